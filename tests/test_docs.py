"""The pages for people say nothing that isn't there: settings, links, commands, targets, addresses and files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.main import get_command

from cli import app
from settings import Settings

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "docs" / "states.md"
"""Compared with the tables it is made from by tests/domain/test_machines.py."""
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")} - {GENERATED})
IMAGINED = ("vouchers", "parking")
"""Capabilities that the guides take for examples: their files don't exist."""
ROOMS = frozenset(path.name for path in ROOT.iterdir() if path.is_dir())
ADR_LINES_MAX = 40

_FENCE = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ADDRESS = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE) /(?!control)")  # the simulator's control API is not ours
_VARIABLE = re.compile(r"TESSERA_[A-Z_]*[A-Z]")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

on_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def code_of(page: Path) -> Iterator[str]:
    """Lines of fenced blocks, and inline code with its line breaks undone."""
    text = page.read_text()
    for _, block in _FENCE.findall(text):
        yield from (line.strip() for line in block.splitlines())
    for span in _SPAN.findall(_FENCE.sub("", text)):
        yield " ".join(span.split())


def anchors_of(page: Path) -> set[str]:
    """What links may point at, as GitHub names headings."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def documented_settings() -> dict[str, str]:
    """Variables of docs/settings.md with the default that the page gives; `-` stands for none."""
    rows = re.findall(r"^\| `(TESSERA_\w+)` \| `?([^`|]+?)`? \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a setting stands there twice"
    return dict(rows)


def default_of(name: str) -> str:
    default = Settings.model_fields[name].default
    if default is None or default == "":
        return "-"
    return default.get_secret_value() if isinstance(default, SecretStr) else str(default)


def test_the_page_of_settings_has_every_setting_with_its_default() -> None:
    assert documented_settings() == {f"TESSERA_{name.upper()}": default_of(name) for name in Settings.model_fields}


@on_every_page
def test_variables_on_a_page_exist(page: Path) -> None:
    composed = (ROOT / "docker-compose.yml").read_text() + (ROOT / ".env.example").read_text()
    known = {f"TESSERA_{name.upper()}" for name in Settings.model_fields} | set(_VARIABLE.findall(composed))
    assert set(_VARIABLE.findall(page.read_text())) <= known


@on_every_page
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@on_every_page
def test_commands_on_a_page_exist(page: Path) -> None:
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]  # typer declares the base class only
    named = {found[1] for code in code_of(page) if (found := re.match(r"(?:.*/)?tessera ([a-z]+)", code))}
    assert named <= commands


@on_every_page
def test_make_targets_on_a_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {found[1] for code in code_of(page) if (found := re.match(r"make ([a-z]+)", code))}
    assert named <= targets


@on_every_page
def test_addresses_on_a_page_are_routes_of_the_api(page: Path) -> None:
    contract = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    routes = [
        re.compile(f"{method.upper()} " + re.sub(r"\{\w+\}", "[^/]+", path))
        for path, methods in contract.items()
        for method in methods
    ]
    asked = [code.partition("?")[0] for code in code_of(page) if _ADDRESS.match(code)]
    assert [address for address in asked if not any(route.fullmatch(address) for route in routes)] == []


@on_every_page
def test_files_on_a_page_exist(page: Path) -> None:
    named = {
        code
        for code in code_of(page)
        if re.fullmatch(r"[\w.\-/]+/[\w.\-]*", code) and code.split("/")[0] in ROOMS and not code.startswith("order/")
    }
    missing = {name for name in named if not (ROOT / name).exists() and not any(word in name for word in IMAGINED)}
    assert missing == set()


def test_decision_records_are_short_and_listed() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", (ROOT / "docs" / "adr" / "README.md").read_text())
    assert [record.name for record in records] == listed
    assert [record.name for record in records if len(record.read_text().splitlines()) > ADR_LINES_MAX] == []
