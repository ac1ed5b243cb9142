"""Reading pay orders: for channels, for their orders, and for people. Nothing here writes."""

from __future__ import annotations

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
