"""One order in, one order out: the read under lock and the single statement that writes a change with its log.

The write raises `orders.version`; zero rows updated means that somebody else wrote: read again and decide again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.order import Line, Order
from domain.orders import DeliveryStatus, FulfillmentStatus, OrderStatus, PaymentStatus, RefundStatus
from domain.payments import Pays
from storage.database import Connection


class OrderChangedMeanwhile(Exception):
    """The version that was read is no longer the order's: the transaction is rolled back and tried again."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event for the outbox, about this order."""

    kind: str
    body: dict[str, Any]


_AXES = {
    "status": OrderStatus,
    "payment_status": PaymentStatus,
    "fulfillment_status": FulfillmentStatus,
    "delivery_status": DeliveryStatus,
    "refund_status": RefundStatus,
}
_ORDER = (
    "refunded_minor", "in_review", "refusal", "cancel_reason", "locked_at", "hold_expires_at",
    "price_guaranteed_until", "confirmed_at", "issued_at", "canceled_at", "rested_at",
)  # fmt: skip
_LINE = (
    "refunded_minor", "cost_minor", "supplier_id", "failure", "locked_at", "issued_at", "canceled_at", "refunded_at",
    "supplier_refunded_at", "supplier_refunded_minor",
)  # fmt: skip
_LINE_TYPES = ("int", "text", "bigint", "bigint", "text", "jsonb", *["timestamptz"] * 5, "bigint")


async def load_order(cx: Connection, order_no: int) -> Order | None:
    """The order and its lines under a row lock, for one change in this transaction."""
    cursor = await cx.execute(f"SELECT {_ORDER_COLUMNS} FROM orders WHERE order_no = %s FOR UPDATE", (order_no,))
    row = await cursor.fetchone()
    if row is None:
        return None
    cursor = await cx.execute(
        f"SELECT {_LINE_COLUMNS} FROM order_lines WHERE order_no = %s ORDER BY line_no", (order_no,)
    )
    lines = [Line(**{**line, "status": OrderStatus(line["status"])}) async for line in cursor]
    states = {axis: kind(row[axis]) for axis, kind in _AXES.items()}
    return Order(**{**row, **states, "pays": Pays(row["pays"])}, lines=lines)


_ORDER_COLUMNS = ", ".join(
    ("order_no", "distributor_id", "currency", "total_minor", "version", "all_or_nothing", "pays", *_AXES, *_ORDER)
)
_LINE_FACTS = ("line_no", "status", "sku_id", "kind", "quantity", "unit_price_minor", "total_minor")
_LINE_COLUMNS = ", ".join((*_LINE_FACTS, *_LINE))

_SAVE = f"""
WITH saved AS (
    UPDATE orders SET version = version + 1, updated_at = %(at)s,
           {", ".join(f"{name} = %({name})s" for name in (*_AXES, *_ORDER))}
    WHERE order_no = %(order_no)s AND version = %(version)s RETURNING order_no, distributor_id, version),
line_changes AS (
    UPDATE order_lines l SET status = c.status, {", ".join(f"{name} = c.{name}" for name in _LINE)}
    FROM saved, unnest({
    ", ".join(f"%(l_{name})s::{kind}[]" for name, kind in zip(("line_no", "status", *_LINE), _LINE_TYPES, strict=True))
})
         AS c (line_no, status, {", ".join(_LINE)})
    WHERE l.order_no = saved.order_no AND l.line_no = c.line_no),
log AS (
    INSERT INTO order_events (order_no, seq, line_no, axis, event, from_state, to_state, actor, reason, at)
    SELECT saved.order_no, saved.version * 1000 + e.n, e.line_no, e.axis, e.event, e.from_state, e.to_state,
           %(actor)s, e.reason, %(at)s
    FROM saved, unnest(%(e_line_no)s::int[], %(e_axis)s::text[], %(e_event)s::text[], %(e_from)s::text[],
                       %(e_to)s::text[], %(e_reason)s::text[])
         WITH ORDINALITY AS e (line_no, axis, event, from_state, to_state, reason, n)),
announced AS (
    INSERT INTO outbox_events (key, kind, distributor_id, subject_kind, subject_id, body, at)
    SELECT saved.order_no || '/' || saved.version || '/' || a.n, a.kind, saved.distributor_id, 'order',
           lpad(saved.order_no::text, 19, '0'), a.body, %(at)s
    FROM saved, unnest(%(a_kind)s::text[], %(a_body)s::jsonb[]) WITH ORDINALITY AS a (kind, body, n))
SELECT version FROM saved
"""


async def save_order(
    cx: Connection, order: Order, *, actor: str, at: datetime, announcements: Sequence[Announcement] = ()
) -> None:
    """Write the order, its lines, the log of its changes and the events, in one statement.

    Raises OrderChangedMeanwhile. Afterwards `order.version` is the new one and `order.changes` is empty.
    """
    values: dict[str, Any] = {name: getattr(order, name) for name in (*_AXES, *_ORDER)}
    values["refusal"] = Jsonb(order.refusal) if order.refusal else None
    for name in ("line_no", "status", *_LINE):
        values[f"l_{name}"] = [getattr(line, name) for line in order.lines]
    values["l_failure"] = [Jsonb(line.failure) if line.failure else None for line in order.lines]
    values |= {
        "order_no": order.order_no,
        "version": order.version,
        "at": at,
        "actor": actor,
        "e_line_no": [change.line_no for change in order.changes],
        "e_axis": [change.axis for change in order.changes],
        "e_event": [str(change.event) for change in order.changes],
        "e_from": [str(change.from_state) for change in order.changes],
        "e_to": [str(change.to_state) for change in order.changes],
        "e_reason": [change.reason for change in order.changes],
        "a_kind": [announcement.kind for announcement in announcements],
        "a_body": [Jsonb(announcement.body) for announcement in announcements],
    }
    cursor = await cx.execute(_SAVE, values)
    row = await cursor.fetchone()
    if row is None:
        raise OrderChangedMeanwhile(order.order_no)
    order.version = row["version"]
    order.changes.clear()
