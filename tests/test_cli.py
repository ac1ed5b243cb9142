"""The command line: every command explains itself, quickly, and refuses with what to do next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cli import app

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]  # typer declares the base class only


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert len(shown.output.split()) > 20


def test_help_loads_none_of_the_heavy_libraries() -> None:
    code = "import cli, sys; print([m for m in ('temporalio', 'sqlalchemy', 'fastapi', 'psycopg') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_migrating_without_a_database_says_what_to_do(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["migrate", "--data-dir", str(tmp_path)])
    assert shown.exit_code == 1
    assert "TESSERA_DATABASE_URL" in shown.output


def test_an_unknown_simulator_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["simulator", "nobody", "--data-dir", str(tmp_path)])
    assert shown.exit_code == 1
    assert "supplier" in shown.output
