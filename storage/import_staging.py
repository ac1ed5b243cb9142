"""Bulk imports as they are received: the rows of the upload, and what came of each.

An import's id follows from its sender and Idempotency-Key, so that a repetition finds it. `turn` names the upload that
may write its rows: an upload that was taken over finds its turn gone and stops. Nothing of an upload takes effect
before all of it is here (`received`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import CheckConstraint, Index, LargeBinary
from sqlmodel import Field, SQLModel

from domain.errors import DomainError
from storage.columns import at, big, document, one_of
from storage.database import Connection

UPLOAD_PATIENCE = timedelta(seconds=60)
"""An upload of which nothing came for so long has broken off."""

MAX_FAULTS = 50
"""Of one line, in the report."""

KEPT = timedelta(days=30)
"""After this an import and its report are forgotten."""


class ImportState(StrEnum):
    """`uploading` → `received` → `done`; an upload that broke off is `incomplete` until it is sent again."""

    UPLOADING = "uploading"
    INCOMPLETE = "incomplete"
    RECEIVED = "received"
    DONE = "done"


class LineState(StrEnum):
    WAITING = "waiting"
    CREATED = "created"
    REFUSED = "refused"


class CatalogImportRow(SQLModel, table=True):
    """A bulk import. `body_hash` (SHA-256, hex) is that of the whole body, once it is here."""

    __tablename__ = "catalog_imports"
    __table_args__ = (
        one_of("state", ImportState),
        CheckConstraint("created + refused <= lines", name="outcomes_within_lines"),
        Index("catalog_imports_created", "created_at", "id"),
        Index("catalog_imports_unfinished", "state", "touched_at"),
    )

    id: str = Field(primary_key=True)
    actor: str
    state: str
    turn: str
    body_hash: str = ""
    lines: int = big(default=0)
    created: int = big(default=0)
    refused: int = big(default=0)
    created_at: datetime = at()
    touched_at: datetime = at()
    finished_at: datetime | None = at(default=None, nullable=True)


class CatalogImportLineRow(SQLModel, table=True):
    """One line. `body` is the text as sent while it waits; `faults` say why it was refused."""

    __tablename__ = "catalog_import_lines"
    __table_args__ = (
        one_of("state", LineState),
        Index("catalog_import_lines_state", "import_id", "state", "line_no"),
    )

    import_id: str = Field(primary_key=True, foreign_key="catalog_imports.id")
    line_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    state: str = LineState.WAITING.value
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    product_id: str | None = None
    faults: list[Any] | None = document(default=None, nullable=True)


class ImportNotFound(DomainError):
    """No such import."""

    code = "catalog_import_not_found"

    def __init__(self, import_id: str) -> None:
        super().__init__(f"There is no import {import_id!r}: GET /v1/catalog-imports lists them.")


class TurnLost(Exception):
    """Another upload of the same import has taken over, or it is received already."""


Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a line: a product's id, or faults."""

    line_no: int
    product_id: str | None
    faults: Sequence[Mapping[str, str]] = ()


async def begin_upload(cx: Connection, import_id: str, *, actor: str, turn: str, now: datetime) -> Row:
    """The import's row; ours to write where its `turn` is ours. An upload that broke off is begun anew."""
    cursor = await cx.execute(
        """
        INSERT INTO catalog_imports AS i (id, actor, state, turn, created_at, touched_at)
        VALUES (%(id)s, %(actor)s, 'uploading', %(turn)s, %(now)s, %(now)s)
        ON CONFLICT (id) DO UPDATE SET state = 'uploading', turn = excluded.turn, lines = 0, touched_at = %(now)s
        WHERE i.state = 'incomplete' OR (i.state = 'uploading' AND i.touched_at < %(stale)s)
        RETURNING *
        """,
        {"id": import_id, "actor": actor, "turn": turn, "now": now, "stale": now - UPLOAD_PATIENCE},
    )
    row = await cursor.fetchone()
    if row is None:
        return await read_import(cx, import_id)
    await cx.execute("DELETE FROM catalog_import_lines WHERE import_id = %s", (import_id,))
    return row


async def stage_lines(
    cx: Connection, import_id: str, lines: Sequence[tuple[int, bytes | None]], *, turn: str, now: datetime
) -> None:
    """Lines of the upload. Raises TurnLost."""
    await _hold_turn(cx, import_id, turn, now, more=len(lines))
    async with (
        cx.cursor() as cursor,
        cursor.copy("COPY catalog_import_lines (import_id, line_no, body) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(["text", "int8", "bytea"])
        for line_no, text in lines:
            await copy.write_row((import_id, line_no, text))


async def finish_upload(cx: Connection, import_id: str, *, turn: str, body_hash: str, now: datetime) -> None:
    """All of it is here: from now on it takes effect. Raises TurnLost."""
    await _hold_turn(cx, import_id, turn, now)
    await cx.execute(
        "UPDATE catalog_imports SET state = 'received', body_hash = %s WHERE id = %s", (body_hash, import_id)
    )


async def break_off(cx: Connection, import_id: str, *, turn: str) -> None:
    """The upload has ended before its end: nothing of it takes effect, and it can be sent again."""
    await cx.execute(
        "UPDATE catalog_imports SET state = 'incomplete' WHERE id = %s AND turn = %s AND state = 'uploading'",
        (import_id, turn),
    )


async def _hold_turn(cx: Connection, import_id: str, turn: str, now: datetime, more: int = 0) -> None:
    cursor = await cx.execute(
        "UPDATE catalog_imports SET touched_at = %s, lines = lines + %s "
        "WHERE id = %s AND turn = %s AND state = 'uploading'",
        (now, more, import_id, turn),
    )
    if cursor.rowcount == 0:
        raise TurnLost


async def waiting_lines(cx: Connection, import_id: str, limit: int) -> list[Row]:
    """The next lines to work and whose they are, with the import's row locked until this transaction ends.

    None where the import is not received: what broke off, or is done, has nothing to work.
    """
    cursor = await cx.execute(
        "SELECT 1 FROM catalog_imports WHERE id = %s AND state = 'received' FOR UPDATE", (import_id,)
    )
    if await cursor.fetchone() is None:
        return []
    cursor = await cx.execute(
        "SELECT l.line_no, l.body, i.actor FROM catalog_import_lines l JOIN catalog_imports i ON i.id = l.import_id "
        "WHERE l.import_id = %s AND l.state = 'waiting' ORDER BY l.line_no LIMIT %s",
        (import_id, limit),
    )
    return await cursor.fetchall()


async def record_outcomes(cx: Connection, import_id: str, outcomes: Sequence[Outcome], now: datetime) -> None:
    """What came of these lines, in the transaction of their effect. Their texts are not needed any more."""
    await cx.execute(
        """
        UPDATE catalog_import_lines l SET body = NULL, product_id = o.product_id, faults = o.faults,
            state = CASE WHEN o.product_id IS NULL THEN 'refused' ELSE 'created' END
        FROM jsonb_to_recordset(%s) AS o (line_no bigint, product_id text, faults jsonb)
        WHERE l.import_id = %s AND l.line_no = o.line_no AND l.state = 'waiting'
        """,
        (
            Jsonb(
                [
                    {"line_no": each.line_no, "product_id": each.product_id, "faults": list(each.faults) or None}
                    for each in outcomes
                ]
            ),
            import_id,
        ),
    )
    created = sum(outcome.product_id is not None for outcome in outcomes)
    await cx.execute(
        "UPDATE catalog_imports SET created = created + %s, refused = refused + %s, touched_at = %s WHERE id = %s",
        (created, len(outcomes) - created, now, import_id),
    )


async def finish_import(cx: Connection, import_id: str, now: datetime) -> None:
    """No line waits any more."""
    await cx.execute(
        "UPDATE catalog_imports SET state = 'done', finished_at = %s WHERE id = %s AND state = 'received'",
        (now, import_id),
    )


async def read_import(cx: Connection, import_id: str) -> Row:
    """Raises ImportNotFound."""
    cursor = await cx.execute("SELECT * FROM catalog_imports WHERE id = %s", (import_id,))
    row = await cursor.fetchone()
    if row is None:
        raise ImportNotFound(import_id)
    return row


async def list_imports(cx: Connection, *, before: tuple[datetime, str] | None, limit: int) -> list[Row]:
    """Newest first."""
    cursor = await cx.execute(
        "SELECT * FROM catalog_imports WHERE %(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s) "
        "ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
        {"at": before[0] if before else None, "id": before[1] if before else "", "limit": limit},
    )
    return await cursor.fetchall()


async def list_lines(cx: Connection, import_id: str, state: LineState | None, *, after: int, limit: int) -> list[Row]:
    """The report, by line; without the texts."""
    narrowed = "" if state is None else "AND state = %(state)s"
    cursor = await cx.execute(
        "SELECT line_no, state, product_id, faults FROM catalog_import_lines "
        f"WHERE import_id = %(id)s {narrowed} AND line_no > %(after)s ORDER BY line_no LIMIT %(limit)s",
        {"id": import_id, "state": state, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def unstarted(cx: Connection, older_than: datetime) -> list[str]:
    """Imports that are received and have not moved since: their workflow may not run."""
    cursor = await cx.execute(
        "SELECT id FROM catalog_imports WHERE state = 'received' AND touched_at < %s ORDER BY touched_at LIMIT 100",
        (older_than,),
    )
    return [str(row["id"]) for row in await cursor.fetchall()]


async def forget_imports(cx: Connection, now: datetime) -> int:
    """Delete one import past its time with its report, if there is one; how many were deleted.

    One that never came whole is past its time when its upload has been stale for a day.
    """
    cursor = await cx.execute(
        "SELECT id FROM catalog_imports WHERE (state = 'done' AND touched_at < %s) "
        "OR (state IN ('uploading', 'incomplete') AND touched_at < %s) LIMIT 1 FOR UPDATE SKIP LOCKED",
        (now - KEPT, now - timedelta(days=1)),
    )
    row = await cursor.fetchone()
    if row is None:
        return 0
    await cx.execute("DELETE FROM catalog_import_lines WHERE import_id = %s", (row["id"],))
    await cx.execute("DELETE FROM catalog_imports WHERE id = %s", (row["id"],))
    return 1
