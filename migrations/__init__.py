"""Schema of our PostgreSQL: Alembic, one head, forward-safe. Run from code, so that no file path or ini file is
assumed."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

ROLES_SQL = Path(__file__).with_name("roles.sql")
"""Roles and database rights, run by a superuser before the first migration."""


def configuration(database_url: str) -> Config:
    """Alembic's configuration for the owner's URL (`postgresql://…`, as libpq writes it)."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the schema to `revision`. Safe to run twice and from several processes at once: they take turns."""
    command.upgrade(configuration(database_url), revision)


def head() -> str | None:
    """The revision that this checkout's code expects; None while there is no migration."""
    return ScriptDirectory.from_config(configuration("")).get_current_head()
