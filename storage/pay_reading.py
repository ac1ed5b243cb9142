"""Reading pay orders: for channels, for their orders, and for people. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from storage.database import Connection

Row = dict[str, Any]

_SHOWN: LiteralString = """
SELECT o.*,
  (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.rank), '[]') FROM pay_order_parts p WHERE p.pay_id = o.id) AS parts,
  (SELECT coalesce(jsonb_agg(to_jsonb(c) ORDER BY c.recorded_at, c.payment_id), '[]')
     FROM charges c WHERE c.pay_id = o.id) AS charges,
  (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.requested_at, r.id), '[]')
     FROM refunds r WHERE r.pay_id = o.id) AS refunds
FROM pay_orders o"""


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """What a list is narrowed to; None does not narrow. `order_no`: of an order that it pays, or of its successor."""

    buyer_id: str | None = None
    status: str | None = None
    order_no: int | None = None


async def read_payment(cx: Connection, pay_id: str, *, buyer_id: str | None) -> Row | None:
    """A pay order with its parts, charges and refunds; of `buyer_id` only where one is given."""
    cursor = await cx.execute(
        f"{_SHOWN} WHERE o.id = %(id)s AND (%(buyer)s::text IS NULL OR o.buyer_id = %(buyer)s)",
        {"id": pay_id, "buyer": buyer_id},
    )
    return await cursor.fetchone()


async def list_payments(cx: Connection, narrowed: PaymentFilter, *, before: str | None, limit: int) -> list[Row]:
    """Newest first, `limit` rows at most; `before`: the cursor. Each as `read_payment` reads it."""
    cursor = await cx.execute(
        f"""{_SHOWN}
        WHERE (%(buyer)s::text IS NULL OR o.buyer_id = %(buyer)s)
          AND (%(status)s::text IS NULL OR o.status = %(status)s)
          AND (%(order)s::bigint IS NULL OR o.id IN (
              SELECT pay_id FROM pay_order_parts WHERE order_no = %(order)s
              UNION SELECT pay_id FROM pay_order_parts WHERE successor_no = %(order)s))
          AND (%(before)s::text IS NULL OR o.id < %(before)s)
        ORDER BY o.id DESC LIMIT %(limit)s
        """,
        {
            "buyer": narrowed.buyer_id,
            "status": narrowed.status,
            "order": narrowed.order_no,
            "before": before,
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def read_for_channel(cx: Connection, pay_id: str) -> Row:
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


async def read_target(cx: Connection, pay_id: str, order_no: int) -> Row | None:
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


async def to_look_at(cx: Connection, *, before: datetime, after: str, limit: int) -> list[str]:
    """Ids above `after` of decided pay orders whose channel has not been asked for the last time, and whose payers have
    had their time, and as much again, before that moment: whoever had its page open may have paid after all."""
    cursor = await cx.execute(
        """
        SELECT p.id FROM pay_orders p JOIN payment_channels c ON c.id = p.channel_id
        WHERE p.looked_at IS NULL AND p.at_rest AND p.channel_id IS NOT NULL AND p.id > %(after)s
          AND p.expires_at IS NOT NULL  -- else it was refused before its channel heard of it
          AND greatest(p.expires_at, p.paid_at, p.closed_at) < %(before)s - make_interval(secs => c.pay_s)
        ORDER BY p.id LIMIT %(limit)s
        """,
        {"before": before, "after": after, "limit": limit},
    )
    return [row["id"] for row in await cursor.fetchall()]
