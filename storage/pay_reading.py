"""Reading pay orders: for channels, for their orders, and for people. Nothing here writes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from storage.database import Connection


async def read_for_channel(cx: Connection, pay_id: str) -> dict[str, Any]:
    """What a channel is told of a pay order; `subject` is the first line's title, and how many more there are."""
    cursor = await cx.execute(
        """
        SELECT o.*, (SELECT min(l.title) || CASE WHEN count(*) > 1 THEN ' +' || count(*) - 1 ELSE '' END
                     FROM pay_order_parts p JOIN order_lines l USING (order_no) WHERE p.pay_id = o.id) AS subject
        FROM pay_orders o WHERE o.id = %s
        """,
        (pay_id,),
    )
    row = await cursor.fetchone()
    assert row is not None, "it is opened before anybody is told"
    return row


async def read_target(cx: Connection, pay_id: str, order_no: int) -> dict[str, Any] | None:
    """The order that the money is for, and when that came; None while the order is not placed."""
    cursor = await cx.execute(
        "SELECT o.status, o.cancel_reason, o.host_workflow_id, p.paid_at FROM orders o, pay_orders p "
        "WHERE o.order_no = %s AND p.id = %s",
        (order_no, pay_id),
    )
    return await cursor.fetchone()


async def in_motion(cx: Connection, *, before: datetime, after: str, limit: int) -> list[str]:
    """Ids of pay orders that are not at rest and have not changed since `before`, in id order above `after`."""
    cursor = await cx.execute(
        "SELECT id FROM pay_orders WHERE NOT at_rest AND updated_at < %s AND id > %s ORDER BY id LIMIT %s",
        (before, after, limit),
    )
    return [row["id"] for row in await cursor.fetchall()]
