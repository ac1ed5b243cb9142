"""Refunds of money: asked for in the transaction of what causes them, never more than what was paid.

`paid - refunded - refunding` is kept three times by conditional statements with a CHECK behind each: of the pay order,
of the order's share, and of the charge that the channel gives it back from. Lock order: order, pay order, part, charge.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.pay_order import PayPart
from domain.payments import Parts, RefundExceedsPaid
from storage.database import Connection


@dataclass(frozen=True, slots=True)
class Share:
    """What one order has of a pay order: all of it, and what is not on its way back or back already."""

    pay_id: str
    order_no: int
    paid: Parts
    going_back: Parts

    @classmethod
    def whole(cls, pay_id: str, part: PayPart) -> Share:
        """Of an order that nothing has gone back for."""
        return cls(pay_id, part.order_no, part.share, Parts())

    @property
    def left(self) -> Parts:
        return self.paid.less(self.going_back)


async def share_of(cx: Connection, order_no: int) -> Share | None:
    """The share that paid this order, locked with its pay order; None where no money was taken for it."""
    cursor = await cx.execute(
        """
        SELECT p.pay_id, p.order_no, p.cash_minor, p.coins_minor, p.voucher_minor FROM pay_order_parts p
        JOIN pay_orders o ON o.id = p.pay_id
        WHERE (p.order_no = %(order)s AND p.successor_no IS NULL OR p.successor_no = %(order)s) AND p.state = 'served'
        FOR UPDATE OF o, p
        """,
        {"order": order_no},
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    going_back = await _going_back(cx, row["pay_id"], row["order_no"])
    paid = Parts(row["cash_minor"], row["coins_minor"], row["voucher_minor"])
    return Share(row["pay_id"], row["order_no"], paid, going_back)


async def _going_back(cx: Connection, pay_id: str, part_no: int) -> Parts:
    cursor = await cx.execute(
        """
        SELECT coalesce(sum(r.cash_minor), 0)::bigint AS cash_minor,
               coalesce(sum(r.coins_minor), 0)::bigint AS coins_minor,
               coalesce(sum(r.voucher_minor), 0)::bigint AS voucher_minor
        FROM refunds r JOIN pay_order_parts p ON p.pay_id = r.pay_id AND r.order_no IN (p.order_no, p.successor_no)
        WHERE p.pay_id = %s AND p.order_no = %s
        """,
        (pay_id, part_no),
    )
    row = await cursor.fetchone()
    assert row is not None
    return Parts(**row)


async def request(
    cx: Connection, refund_id: str, share: Share, amount_minor: int, *,
    order_no: int, line_no: int | None, currency: str, reason: str, actor: str, at: datetime,
) -> None:  # fmt: skip
    """Ask for `amount_minor` of an order's share. Raises RefundExceedsPaid. Once: its caller moves the order too."""
    parts = share.left.to_give_back(amount_minor)
    charge = await _accepted_charge(cx, share.pay_id) if parts.cash_minor else None
    await _insert(
        cx, refund_id, pay_id=share.pay_id, order_no=order_no, line_no=line_no, charge=charge, parts=parts,
        currency=currency, reason=reason, actor=actor, at=at,
    )  # fmt: skip
    for table, key, values in (
        ("pay_orders", "id = %(pay)s", "paid_minor"),
        ("pay_order_parts", "pay_id = %(pay)s AND order_no = %(part)s", "amount_minor"),
    ):
        cursor = await cx.execute(
            f"UPDATE {table} SET refunding_minor = refunding_minor + %(amount)s "
            f"WHERE {key} AND {values} - refunded_minor - refunding_minor >= %(amount)s RETURNING 1",
            {"pay": share.pay_id, "part": share.order_no, "amount": amount_minor},
        )
        if await cursor.fetchone() is None:
            raise RefundExceedsPaid(amount_minor, share.left.total_minor)
    if charge is not None:
        await take_from_charge(cx, *charge, parts.cash_minor)


async def request_of_charge(
    cx: Connection, refund_id: str, *, channel_id: str, payment_id: str, pay_id: str | None, amount_minor: int,
    currency: str, reason: str, actor: str, at: datetime,
) -> bool:  # fmt: skip
    """Ask for all of a charge that pays nothing; False where that was asked for already."""
    charge = (channel_id, payment_id)
    new = await _insert(
        cx, refund_id, pay_id=pay_id, order_no=None, line_no=None, charge=charge, parts=Parts(cash_minor=amount_minor),
        currency=currency, reason=reason, actor=actor, at=at,
    )  # fmt: skip
    if new:
        await take_from_charge(cx, *charge, amount_minor)
    return new


async def take_from_charge(cx: Connection, channel_id: str, payment_id: str, amount_minor: int) -> None:
    """Raises RefundExceedsPaid where the charge has not that much left."""
    cursor = await cx.execute(
        "UPDATE charges SET refunding_minor = refunding_minor + %(amount)s WHERE channel_id = %(channel)s "
        "AND payment_id = %(payment)s AND amount_minor - refunded_minor - refunding_minor >= %(amount)s RETURNING 1",
        {"channel": channel_id, "payment": payment_id, "amount": amount_minor},
    )
    if await cursor.fetchone() is None:
        raise RefundExceedsPaid(amount_minor, 0)


async def _accepted_charge(cx: Connection, pay_id: str) -> tuple[str, str]:
    cursor = await cx.execute(
        "SELECT channel_id, payment_id FROM charges WHERE pay_id = %s AND verdict = 'accepted' FOR UPDATE", (pay_id,)
    )
    row = await cursor.fetchone()
    assert row is not None, "cash was paid, so a charge was accepted"
    return row["channel_id"], row["payment_id"]


async def _insert(
    cx: Connection, refund_id: str, *, pay_id: str | None, order_no: int | None, line_no: int | None,
    charge: tuple[str, str] | None, parts: Parts, currency: str, reason: str, actor: str, at: datetime,
) -> bool:  # fmt: skip
    cursor = await cx.execute(
        """
        INSERT INTO refunds (id, pay_id, order_no, line_no, channel_id, payment_id, reason, currency, amount_minor,
                             cash_minor, coins_minor, voucher_minor, requested_at, actor)
        VALUES (%(id)s, %(pay)s, %(order)s, %(line)s, %(channel)s, %(payment)s, %(reason)s, %(currency)s, %(amount)s,
                %(cash)s, %(coins)s, %(voucher)s, %(at)s, %(actor)s) ON CONFLICT (id) DO NOTHING RETURNING id
        """,
        {
            "id": refund_id,
            "pay": pay_id,
            "order": order_no,
            "line": line_no,
            "channel": charge[0] if charge else None,
            "payment": charge[1] if charge else None,
            "reason": reason,
            "currency": currency,
            "amount": parts.total_minor,
            "cash": parts.cash_minor,
            "coins": parts.coins_minor,
            "voucher": parts.voucher_minor,
            "at": at,
            "actor": actor,
        },
    )
    return await cursor.fetchone() is not None


async def next_id(cx: Connection, order_no: int, line_no: int) -> str:
    """The id of the line's next refund: `rfd-{order}-{line}-{n}`. The order's row is locked, so n is free."""
    cursor = await cx.execute(
        "SELECT count(*) + 1 AS n FROM refunds WHERE order_no = %s AND line_no = %s", (order_no, line_no)
    )
    row = await cursor.fetchone()
    assert row is not None
    return f"rfd-{order_no:019d}-{line_no}-{row['n']}"


async def read(cx: Connection, refund_id: str, *, lock: bool = False) -> dict[str, Any] | None:
    """One refund with what is known of its charge and its channel's patience; None for an unknown id."""
    cursor = await cx.execute(
        f"""
        SELECT r.*, o.buyer_id, o.channel_reference AS pay_reference, c.amount_minor AS charged_minor,
               c.reference AS charge_reference, c.verdict
        FROM refunds r LEFT JOIN pay_orders o ON o.id = r.pay_id
        LEFT JOIN charges c ON c.channel_id = r.channel_id AND c.payment_id = r.payment_id
        WHERE r.id = %s {"FOR UPDATE OF r" if lock else ""}
        """,
        (refund_id,),
    )
    return await cursor.fetchone()


async def of_order(cx: Connection, order_no: int, *, line_no: int | None = None) -> list[dict[str, Any]]:
    """The order's refunds, or one line's, in the order of their ids."""
    cursor = await cx.execute(
        "SELECT id, line_no, state, amount_minor FROM refunds WHERE order_no = %(order)s "
        "AND (%(line)s::int IS NULL OR line_no = %(line)s) ORDER BY id",
        {"order": order_no, "line": line_no},
    )
    return await cursor.fetchall()


async def settle(
    cx: Connection, row: dict[str, Any], *, route: str, channel_reference: str, actor: str,
    evidence: dict[str, str], at: datetime,
) -> None:  # fmt: skip
    """The money is back: of what was on its way this much has gone. `row` is locked and was not settled before."""
    await cx.execute(
        """
        UPDATE refunds SET state = 'refunded', refunded_at = %s, route = %s, actor = %s,
               channel_reference = CASE WHEN %s = '' THEN channel_reference ELSE %s END, evidence = %s WHERE id = %s
        """,
        (at, route, actor, channel_reference, channel_reference, Jsonb(evidence) if evidence else None, row["id"]),
    )
    amount = {"amount": row["amount_minor"], "cash": row["cash_minor"], **row}
    moved = "refunding_minor = refunding_minor - {0}, refunded_minor = refunded_minor + {0}"
    if row["order_no"] is not None:
        await cx.execute(
            f"UPDATE pay_order_parts SET {moved.format('%(amount)s')} "
            "WHERE pay_id = %(pay_id)s AND %(order_no)s IN (order_no, successor_no)",
            amount,
        )
    if row["cash_minor"]:
        await cx.execute(
            f"UPDATE charges SET {moved.format('%(cash)s')} "
            "WHERE channel_id = %(channel_id)s AND payment_id = %(payment_id)s",
            amount,
        )


async def fail(cx: Connection, refund_id: str, *, code: str, at: datetime) -> None:
    """Its channel will not. What it holds of its charge stays held: a person may ask again."""
    await cx.execute(
        "UPDATE refunds SET state = 'refund_failed', failure = %s, failed_at = %s WHERE id = %s", (code, at, refund_id)
    )


async def ask_again(cx: Connection, refund_id: str, *, actor: str) -> None:
    """Under the next number."""
    await cx.execute(
        "UPDATE refunds SET state = 'refunding', tries = tries + 1, actor = %s WHERE id = %s", (actor, refund_id)
    )


async def open_of_payment(cx: Connection, pay_id: str) -> list[str]:
    """Ids of what is on its way back of a pay order and belongs to no order's line."""
    cursor = await cx.execute(
        "SELECT id FROM refunds WHERE pay_id = %s AND line_no IS NULL AND state = 'refunding' ORDER BY id", (pay_id,)
    )
    return [row["id"] for row in await cursor.fetchall()]


async def note_reference(cx: Connection, refund_id: str, channel_reference: str) -> None:
    """The channel's own name for a refund that is not finished."""
    await cx.execute("UPDATE refunds SET channel_reference = %s WHERE id = %s", (channel_reference, refund_id))


async def unfinished(cx: Connection, *, before: datetime, after: str, limit: int) -> list[str]:
    """Ids of refunds that are on their way and were asked for before then, in id order above `after`."""
    cursor = await cx.execute(
        "SELECT id FROM refunds WHERE state = 'refunding' AND requested_at < %s AND id > %s ORDER BY id LIMIT %s",
        (before, after, limit),
    )
    return [row["id"] for row in await cursor.fetchall()]
