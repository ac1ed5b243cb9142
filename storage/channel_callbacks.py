"""The journal of payment channels' callbacks: kept before they are acknowledged, until they have been handed over."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from psycopg.types.json import Jsonb

from storage.database import Connection


async def keep(
    cx: Connection, channel_id: str, event_id: str, *, pay_id: str, event: dict[str, Any], body: str, now: datetime
) -> bool:
    """Write a callback down; False where the same event is here already."""
    cursor = await cx.execute(
        """
        INSERT INTO channel_callbacks (channel_id, event_id, pay_id, event, body, received_at)
        VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING event_id
        """,
        (channel_id, event_id, pay_id, Jsonb(event), body, now),
    )
    return await cursor.fetchone() is not None


async def mark(
    cx: Connection,
    channel_id: str,
    event_id: str,
    state: Literal["waiting", "handed_over", "unknown"],
    *,
    now: datetime,
) -> None:
    """How handing over went; `unknown`: nothing of ours goes by that name. What was handed over stays so."""
    await cx.execute(
        """
        UPDATE channel_callbacks SET state = %(state)s::text, attempts = attempts + 1,
               handed_over_at = CASE WHEN %(state)s::text = 'handed_over' THEN %(now)s::timestamptz END
        WHERE channel_id = %(channel)s AND event_id = %(event)s AND state <> 'handed_over'
        """,
        {"state": state, "now": now, "channel": channel_id, "event": event_id},
    )


async def not_handed_over(cx: Connection, *, received_before: datetime, limit: int) -> list[dict[str, Any]]:
    """Callbacks that have had no effect yet; those that were tried least come first, among them the oldest."""
    cursor = await cx.execute(
        """
        SELECT channel_id, event_id, event FROM channel_callbacks
        WHERE state = 'waiting' AND received_at < %s ORDER BY attempts, received_at LIMIT %s
        """,
        (received_before, limit),
    )
    return await cursor.fetchall()
