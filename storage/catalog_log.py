"""The operation log: one row per edit by a person, an import or a supplier's catalogue, in the edit's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection

Facts = Mapping[str, Any]


async def log_operation(
    cx: Connection,
    *,
    at: datetime,
    actor: str,
    action: str,
    subject: tuple[str, str],
    before: Facts | None,
    after: Facts | None,
) -> None:
    """`subject` is (kind, id); `before` and `after` hold what changed only, as plain JSON."""
    await cx.execute(
        "INSERT INTO operation_log (at, actor, action, subject_kind, subject_id, before, after) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (
            at,
            actor,
            action,
            *subject,
            None if before is None else Jsonb(dict(before)),
            None if after is None else Jsonb(dict(after)),
        ),
    )


async def last_logged(cx: Connection, actor: str, subject: tuple[str, str]) -> dict[str, Any] | None:
    """What this actor's latest edit of the subject left behind; None where it made none."""
    cursor = await cx.execute(
        "SELECT after FROM operation_log WHERE subject_kind = %s AND subject_id = %s AND actor = %s "
        "ORDER BY id DESC LIMIT 1",
        (*subject, actor),
    )
    row = await cursor.fetchone()
    return None if row is None else dict(row["after"] or {})
