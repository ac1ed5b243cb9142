"""The inbox of suppliers' callbacks: kept before they are acknowledged, and until they have been handed over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection


async def keep(
    cx: Connection, supplier_id: str, message_id: str, *, reference: str, body: dict[str, Any], now: datetime
) -> bool:
    """Write a callback down; False where the same message is here already."""
    cursor = await cx.execute(
        """
        INSERT INTO supplier_callbacks (supplier_id, message_id, reference, body, received_at)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING message_id
        """,
        (supplier_id, message_id, reference, Jsonb(body), now),
    )
    return await cursor.fetchone() is not None


async def mark(cx: Connection, supplier_id: str, message_id: str, state: str, *, now: datetime) -> None:
    """How handing over went: `handed_over`, `unmatched` (no booking of ours has the reference) or `waiting`."""
    await cx.execute(
        """
        UPDATE supplier_callbacks SET state = %(state)s::text, attempts = attempts + 1,
               handed_over_at = CASE WHEN %(state)s::text = 'handed_over' THEN %(now)s END
        WHERE supplier_id = %(supplier)s AND message_id = %(message)s AND state <> 'handed_over'
        """,
        {"state": state, "now": now, "supplier": supplier_id, "message": message_id},
    )


async def not_handed_over(cx: Connection, *, received_before: datetime, limit: int) -> list[dict[str, Any]]:
    """Callbacks that have had no effect yet, oldest first; an unmatched one is tried again for a day."""
    cursor = await cx.execute(
        """
        SELECT supplier_id, message_id, body FROM supplier_callbacks
        WHERE state IN ('waiting', 'unmatched') AND received_at < %(before)s
          AND (state = 'waiting' OR received_at > %(before)s - interval '1 day')
        ORDER BY attempts, received_at LIMIT %(limit)s
        """,
        {"before": received_before, "limit": limit},
    )
    return await cursor.fetchall()
