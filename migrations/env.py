"""Alembic's entry point: one online run, as the owner, in one transaction, one process at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, make_url, pool, text

from storage.metadata import metadata

LOCK_KEY = 7_355_608
"""Advisory lock of migrations: any constant of ours."""


def database_url() -> str:
    """The owner's URL: from the caller (`config.attributes`) or from `alembic -x url=…`."""
    url = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True).get("url")
    if not url:
        raise RuntimeError("no database given: use `tessera migrate`, or `alembic -x url=postgresql://…`")
    return str(url)


def run() -> None:
    """Upgrades or compares, over a given connection (tests) or one of our own."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    engine = create_engine(make_url(database_url()).set(drivername="postgresql+psycopg"), poolclass=pool.NullPool)
    with engine.connect() as own_connection:
        migrate(own_connection)
    engine.dispose()


def migrate(connection) -> None:  # type: ignore[no-untyped-def]  # Alembic or a test hands over a sync Connection or Engine
    """All pending revisions in one transaction: either the whole upgrade is there or nothing of it."""
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        context.run_migrations()


run()
