"""Reading orders: the core that processes need, the detail in one read, and lists by keyset. Nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.access import Fence
from storage.database import Connection


async def read_core(cx: Connection, order_no: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The order with its distributor's channel, and its lines; (None, []) where there is none."""
    cursor = await cx.execute(
        "SELECT o.*, d.channel FROM orders o JOIN distributors d ON d.id = o.distributor_id WHERE o.order_no = %s",
        (order_no,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None, []
    cursor = await cx.execute("SELECT * FROM order_lines WHERE order_no = %s ORDER BY line_no", (order_no,))
    return row, await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class OrderHead:
    """What a route needs before it acts: whose order it is, where it stands, who pays, which workflow writes it."""

    order_no: int
    distributor_id: str
    status: str
    in_review: bool
    version: int
    host_workflow_id: str
    pays: str
    escalated: bool


async def read_head(cx: Connection, order_no: int, fence: Fence) -> OrderHead | None:
    """The order's head. Within the fence only: a foreign order does not exist."""
    cursor = await cx.execute(
        """
        SELECT order_no, distributor_id, status, in_review, version, host_workflow_id, pays,
               EXISTS (SELECT 1 FROM bookings b WHERE b.order_no = o.order_no AND b.escalated_at IS NOT NULL
                       AND b.decided_at IS NULL) AS escalated
        FROM orders o WHERE order_no = %(order)s
          AND (%(distributor)s::text IS NULL OR distributor_id = %(distributor)s)
          AND (%(buyer)s::text IS NULL OR buyer_ref = %(buyer)s)
        """,
        {"order": order_no, "distributor": fence.distributor_id, "buyer": fence.buyer_id},
    )
    row = await cursor.fetchone()
    return OrderHead(**row) if row else None


async def read_detail(cx: Connection, order_no: int, fence: Fence) -> dict[str, Any] | None:
    """Everything about one order in one statement: axes, lines, discounts, tickets, bookings, flows, payments, log.

    Within the fence only.
    """
    cursor = await cx.execute(
        """
        SELECT o.*, (SELECT s.order_no FROM orders s WHERE s.revives = o.order_no) AS revived_by,
          (SELECT jsonb_agg(to_jsonb(l) || jsonb_build_object('snapshot', s.body) ORDER BY l.line_no)
             FROM order_lines l JOIN snapshots s ON s.id = l.snapshot_id WHERE l.order_no = o.order_no) AS lines,
          (SELECT jsonb_agg(to_jsonb(d) ORDER BY d.line_no, d.rank)
             FROM order_discounts d WHERE d.order_no = o.order_no) AS discounts,
          (SELECT jsonb_agg(to_jsonb(t) ORDER BY t.line_no, t.unit)
             FROM tickets t WHERE t.order_no = o.order_no) AS tickets,
          (SELECT jsonb_agg(to_jsonb(u) || jsonb_build_object('events', (
                    SELECT jsonb_agg(to_jsonb(v) ORDER BY v.at, v.id) FROM unit_events v
                    WHERE (v.order_no, v.line_no, v.unit) = (u.order_no, u.line_no, u.unit)))
                  ORDER BY u.line_no, u.unit)
             FROM fulfilment_units u WHERE u.order_no = o.order_no) AS units,
          (SELECT jsonb_agg(to_jsonb(r) ORDER BY r.at) FROM breach_records r WHERE r.order_no = o.order_no) AS breaches,
          (SELECT jsonb_object_agg(l.line_no, jsonb_build_array(s.stock_policy, EXISTS (
                    SELECT FROM offers f WHERE f.sku_id = s.id)))
             FROM order_lines l JOIN skus s ON s.id = l.sku_id WHERE l.order_no = o.order_no) AS terms,
          (SELECT jsonb_agg(to_jsonb(b) ORDER BY b.line_no, b.attempt)
             FROM bookings b WHERE b.order_no = o.order_no) AS bookings,
          (SELECT jsonb_agg(to_jsonb(e) ORDER BY e.seq) FROM order_events e WHERE e.order_no = o.order_no) AS timeline,
          (SELECT jsonb_agg(to_jsonb(f) ORDER BY f.id)
             FROM receivable_flows f WHERE f.order_no = o.order_no) AS receivables,
          (SELECT jsonb_agg(to_jsonb(f) ORDER BY f.id) FROM payable_flows f WHERE f.order_no = o.order_no) AS payables,
          (SELECT jsonb_agg(to_jsonb(p) || jsonb_build_object('status', y.status) ORDER BY p.pay_id)
             FROM pay_order_parts p JOIN pay_orders y ON y.id = p.pay_id
             WHERE p.order_no = o.order_no OR p.successor_no = o.order_no) AS payments,
          (SELECT jsonb_agg(to_jsonb(r) ORDER BY r.requested_at, r.id)
             FROM refunds r WHERE r.order_no = o.order_no) AS refunds,
          (SELECT jsonb_agg(to_jsonb(x) ORDER BY x.opened_at)
             FROM order_exceptions x WHERE x.order_no = o.order_no) AS exceptions
        FROM orders o WHERE o.order_no = %(order)s
          AND (%(distributor)s::text IS NULL OR o.distributor_id = %(distributor)s)
          AND (%(buyer)s::text IS NULL OR o.buyer_ref = %(buyer)s)
        """,
        {"order": order_no, "distributor": fence.distributor_id, "buyer": fence.buyer_id},
    )
    return await cursor.fetchone()


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """What a list is narrowed to; None does not narrow. Times are [from, to)."""

    distributor_id: str | None = None
    status: str | None = None
    buyer_ref: str | None = None
    client_order_no: str | None = None
    supplier_id: str | None = None
    in_review: bool | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


_CLAUSES = {
    "distributor_id": "o.distributor_id = %(distributor_id)s",
    "status": "o.status = %(status)s",
    "buyer_ref": "o.buyer_ref = %(buyer_ref)s",
    "client_order_no": "o.client_order_no = %(client_order_no)s",
    "supplier_id": "o.order_no IN (SELECT order_no FROM bookings WHERE supplier_id = %(supplier_id)s)",
    "in_review": "o.in_review = %(in_review)s",
    "created_from": "o.created_at >= %(created_from)s",
    "created_to": "o.created_at < %(created_to)s",
}


async def list_orders(cx: Connection, narrowed: OrderFilter, *, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Newest first, `limit` + 1 rows at most so that the caller sees whether there are more; `before`: the cursor."""
    values = {name: getattr(narrowed, name) for name in _CLAUSES if getattr(narrowed, name) is not None}
    clauses = [_CLAUSES[name] for name in values]
    if before is not None:
        clauses.append("o.order_no < %(before)s")
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    cursor = await cx.execute(
        f"SELECT o.* FROM orders o {where} ORDER BY o.order_no DESC LIMIT %(limit)s",
        {**values, "before": before, "limit": limit + 1},
    )
    return await cursor.fetchall()


async def open_orders(cx: Connection, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Orders in motion, in id order: what reconciliation compares with Temporal."""
    cursor = await cx.execute(
        """
        SELECT order_no, distributor_id, host_workflow_id, status FROM orders
        WHERE order_no > %s AND status IN ('pending', 'locked', 'issuing', 'refunding') ORDER BY order_no LIMIT %s
        """,
        (after, limit),
    )
    return await cursor.fetchall()
