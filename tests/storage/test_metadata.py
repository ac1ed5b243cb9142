"""SQLModel's traps: 32-bit ids, naive times, floats for money; and that the migration makes what the models say."""

from __future__ import annotations

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import BigInteger, Column, DateTime, Float, Integer, Numeric, Table, create_engine

from embedded.postgres import PostgresServer
from storage.metadata import metadata

SMALL = frozenset(
    {
        "alarm_s", "asked", "attempt", "attempts", "buyer_limit", "elapsed_ms", "failed_logins", "fee_bp", "line_no",
        "lock_s", "max_concurrent", "node", "pay_s", "quantity", "rank", "slot", "status", "tries", "unit", "vacancies",
        "version", "weight_g", "window_s",
    }
)  # fmt: skip
"""Columns that may be 32 bits: counts and times of one order, line or contract. Neither ids nor amounts."""

FLOATS = frozenset(
    f"suppliers.{name}"
    for name in (
        "consistency_window_s", "first_interval_s", "growth", "ceiling_s", "deadline_s", "lock_timeout_s",
        "issue_timeout_s", "max_per_second",
    )
) | frozenset(
    f"payment_channels.{name}"
    for name in ("first_interval_s", "growth", "ceiling_s", "call_timeout_s", "max_per_second")
)  # fmt: skip
"""Terms of a supplier's contract that are measured, not counted."""


def columns() -> list[tuple[Table, Column[object]]]:
    return [(table, column) for table in metadata.sorted_tables for column in table.columns]


def test_there_are_tables() -> None:
    assert len(metadata.tables) > 25


def test_integers_are_64_bits_unless_they_are_known_to_be_small() -> None:
    small = [
        f"{table.name}.{column.name}"
        for table, column in columns()
        if isinstance(column.type, Integer) and not isinstance(column.type, BigInteger) and column.name not in SMALL
        and not (table.name == "order_events" and column.name == "seq")
    ]  # fmt: skip
    assert small == []


def test_every_amount_is_a_64_bit_integer() -> None:
    amounts = [column for _, column in columns() if column.name.endswith("_minor")]
    assert len(amounts) > 15
    assert [str(column) for column in amounts if not isinstance(column.type, BigInteger)] == []


def test_every_time_has_a_zone() -> None:
    times = [column for _, column in columns() if isinstance(column.type, DateTime)]
    assert len(times) > 30
    assert [str(column) for column in times if not column.type.timezone] == []  # type: ignore[attr-defined]


def test_floats_are_only_in_suppliers_terms() -> None:
    floats = {f"{t.name}.{c.name}" for t, c in columns() if isinstance(c.type, Float | Numeric)}
    assert floats <= FLOATS


def test_the_migrated_database_checks_what_the_models_say(owner_url: str, postgres: PostgresServer) -> None:
    """Alembic does not compare CHECKs: the models' own tables, made in an empty database, have the same ones."""
    bare = "bare_models"
    postgres.ensure_roles(bare)
    plain = create_engine(postgres.url("tessera_owner", bare).replace("postgresql://", "postgresql+psycopg://", 1))
    metadata.create_all(plain)
    plain.dispose()
    assert checks_of(postgres.url("tessera_owner", bare)) == checks_of(owner_url)


def checks_of(url: str) -> set[tuple[str, str]]:
    """Each table's CHECKs as the server writes them, but for those that only plain SQL can say."""
    with psycopg.connect(url) as cx:
        rows = cx.execute(
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'c' AND conrelid <> 0 AND conname NOT LIKE '%account_known'"
        ).fetchall()
    return {(table, check) for table, check in rows}


def test_the_migrated_database_has_what_the_models_say(owner_url: str) -> None:
    engine = create_engine(owner_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [each for each in compare_metadata(context, metadata) if not _is_identity(each)]
    engine.dispose()
    assert differences == []


def _is_identity(difference: object) -> bool:
    """The models leave to the migration how a BIGINT key is numbered."""
    return isinstance(difference, list) and difference[0][0] == "modify_default" and difference[0][3] == "id"
