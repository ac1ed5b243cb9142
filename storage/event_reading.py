"""Reading the outbox in an order in which nobody who reads on ever misses an event.

Ids alone won't do: they are given out before their transactions commit, so a smaller one may appear after a larger one
was shown. `position` is a transaction's id, or higher (OutboxEventRow); a read shows only positions below the oldest
transaction that still runs. Whatever commits after it belongs to that transaction or a later one, hence comes behind
everything shown. A transaction that stays open delays the feed; it never breaks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.database import Connection


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What the feed is narrowed to; None does not narrow. Times are [from, to)."""

    distributor_id: str | None = None
    kind: str | None = None
    subject_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


_CLAUSES = {
    "distributor_id": "distributor_id = %(distributor_id)s",
    "kind": "kind = %(kind)s",
    "subject_id": "subject_id = %(subject_id)s",
    "created_from": "at >= %(created_from)s",
    "created_to": "at < %(created_to)s",
}
_SETTLED = "position < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


async def list_events(
    cx: Connection, narrowed: EventFilter, *, after: tuple[int, int] | None, limit: int
) -> list[dict[str, Any]]:
    """In the feed's order, oldest first; `after`: position and id of the last event that was read."""
    values: dict[str, Any] = {name: getattr(narrowed, name) for name in _CLAUSES if getattr(narrowed, name) is not None}
    clauses = [_SETTLED, *(_CLAUSES[name] for name in values)]
    if after is not None:
        clauses.append("(position, id) > (%(position)s, %(id)s)")
        values |= {"position": after[0], "id": after[1]}
    cursor = await cx.execute(
        "SELECT id, position, kind, subject_kind, subject_id, body, at FROM outbox_events "
        f"WHERE {' AND '.join(clauses)} ORDER BY position, id LIMIT %(limit)s",
        {**values, "limit": limit},
    )
    return await cursor.fetchall()
