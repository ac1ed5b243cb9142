"""One pay order in, one out: under its row's lock, in the caller's transaction. Orders are locked before it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.ledger import Transfer
from domain.order import Order
from domain.pay_order import PartState, PayOrder, PayPart, applied
from domain.payments import Parts, PayStatus
from storage.database import Connection

_KEPT = (
    "status", "reason", "paid_minor", "refunding_minor", "refunded_minor", "fee_minor", "channel_reference",
    "expires_at", "pending_at", "paid_at", "closed_at", "at_rest",
)  # fmt: skip


async def load(cx: Connection, pay_id: str) -> PayOrder | None:
    """The pay order and its parts, locked; None where there is none."""
    cursor = await cx.execute("SELECT * FROM pay_orders WHERE id = %s FOR UPDATE", (pay_id,))
    row = await cursor.fetchone()
    if row is None:
        return None
    cursor = await cx.execute("SELECT * FROM pay_order_parts WHERE pay_id = %s ORDER BY rank", (pay_id,))
    return PayOrder(
        id=row["id"],
        buyer_id=row["buyer_id"],
        distributor_id=row["distributor_id"],
        channel_id=row["channel_id"],
        currency=row["currency"],
        parts=[_part(part) async for part in cursor],
        owed=Parts(row["cash_minor"], row["coins_minor"], row["voucher_minor"]),
        voucher_ids=tuple(row["voucher_ids"]),
        **{**{name: row[name] for name in _KEPT}, "status": PayStatus(row["status"])},
    )


def _part(row: dict[str, Any]) -> PayPart:
    share = Parts(row["cash_minor"], row["coins_minor"], row["voucher_minor"])
    return PayPart(row["order_no"], PartState(row["state"]), share, row["successor_no"], row["reason"])


async def save(cx: Connection, pay: PayOrder, at: datetime) -> None:
    """Write what may have changed, parts included."""
    values = {name: getattr(pay, name) for name in _KEPT}
    await cx.execute(
        f"UPDATE pay_orders SET {', '.join(f'{name} = %({name})s' for name in _KEPT)}, updated_at = %(at)s, "
        "version = version + 1 WHERE id = %(id)s",
        {**values, "status": str(pay.status), "id": pay.id, "at": at},
    )
    for part in pay.parts:
        await cx.execute(
            "UPDATE pay_order_parts SET state = %s, successor_no = %s, reason = %s "
            "WHERE pay_id = %s AND order_no = %s AND (state, successor_no, reason) IS DISTINCT FROM (%s, %s, %s)",
            (str(part.state), part.successor_no, part.reason, pay.id, part.order_no,
             str(part.state), part.successor_no, part.reason),
        )  # fmt: skip


async def keep_action(cx: Connection, pay_id: str, action: dict[str, Any]) -> None:
    """What the payer has to do, to be shown again."""
    await cx.execute("UPDATE pay_orders SET action = %s WHERE id = %s", (Jsonb(action), pay_id))


async def note_look(cx: Connection, pay_id: str, at: datetime) -> None:
    """Its channel has been asked for the last time."""
    await cx.execute("UPDATE pay_orders SET looked_at = %s WHERE id = %s", (at, pay_id))


async def paying(cx: Connection, order_no: int) -> str | None:
    """The pay order that the order waits for; None where there is none, or it has been decided."""
    cursor = await cx.execute(
        "SELECT pay_id FROM pay_order_parts WHERE %s IN (order_no, successor_no) AND state = 'open'", (order_no,)
    )
    row = await cursor.fetchone()
    return row["pay_id"] if row else None


async def is_open_elsewhere(cx: Connection, order_no: int, pay_id: str) -> bool:
    """Whether another pay order pays the order, or has."""
    cursor = await cx.execute(
        "SELECT 1 FROM pay_order_parts WHERE order_no = %s AND pay_id <> %s AND state IN ('open', 'served')",
        (order_no, pay_id),
    )
    return await cursor.fetchone() is not None


async def usable(cx: Connection, pay_id: str, order_no: int) -> PayOrder | None:
    """The pay order, locked, if its money is there and waits for this order; None where it must not be used for it."""
    pay = await load(cx, pay_id)
    if pay is None or not pay.paid:
        return None
    return pay if pay.part_of(order_no).state is PartState.OPEN else None


async def use(cx: Connection, pay: PayOrder, order: Order, at: datetime) -> list[Transfer]:
    """The money of an open part buys the order; what is booked for it. Once: the part is served afterwards."""
    part = pay.part_of(order.order_no)
    part.state = PartState.SERVED
    await save(cx, pay, at)
    return [applied(pay, order.order_no, part.share.total_minor, at)]


async def orders_of(cx: Connection, pay_id: str) -> list[int]:
    """The numbers of its orders, ascending: the order in which they are locked."""
    cursor = await cx.execute("SELECT order_no FROM pay_order_parts WHERE pay_id = %s ORDER BY order_no", (pay_id,))
    return [row["order_no"] for row in await cursor.fetchall()]


async def kinds_of(cx: Connection, pay_id: str) -> list[str]:
    """The kinds of goods that it pays for."""
    cursor = await cx.execute(
        "SELECT DISTINCT l.kind FROM pay_order_parts p JOIN order_lines l USING (order_no) WHERE p.pay_id = %s "
        "ORDER BY 1",
        (pay_id,),
    )
    return [row["kind"] for row in await cursor.fetchall()]


async def late_payment_rules(cx: Connection, order_no: int) -> list[str]:
    """What each product of the order allows for money that comes too late."""
    cursor = await cx.execute(
        "SELECT p.late_payment FROM order_lines l JOIN products p ON p.id = l.product_id WHERE l.order_no = %s "
        "ORDER BY l.line_no",
        (order_no,),
    )
    return [row["late_payment"] for row in await cursor.fetchall()]
