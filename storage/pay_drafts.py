"""Drafts of pay orders: written down with their parts before anything is asked of a channel, once per buyer's key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.access import HOUSE
from domain.payments import OrderBeingPaid, Parts
from storage.database import Connection


@dataclass(frozen=True, slots=True)
class DraftedBefore:
    """What the same key of the same buyer has made already."""

    pay_id: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A pay order to be. `shares`: of each order, in the order in which they were named. Amounts in minor units."""

    pay_id: str
    host_workflow_id: str
    buyer_id: str
    idempotency_key: str
    body_hash: str
    channel_id: str | None
    currency: str
    owed: Parts
    shares: tuple[tuple[int, Parts], ...]
    voucher_ids: tuple[str, ...]
    return_url: str


async def drafted(cx: Connection, buyer_id: str, idempotency_key: str) -> DraftedBefore | None:
    """The pay order of that key, whatever has become of it."""
    cursor = await cx.execute(
        "SELECT id AS pay_id, body_hash FROM pay_orders WHERE buyer_id = %s AND idempotency_key = %s",
        (buyer_id, idempotency_key),
    )
    row = await cursor.fetchone()
    return DraftedBefore(**row) if row else None


async def orders_to_pay(cx: Connection, buyer_id: str, order_nos: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Those of the buyer's orders, by number: status, payment status, how they are paid, total, and kinds of goods."""
    cursor = await cx.execute(
        """
        SELECT o.order_no, o.status, o.payment_status, o.pays, o.currency, o.total_minor, o.hold_expires_at,
               (SELECT array_agg(DISTINCT l.kind) FROM order_lines l WHERE l.order_no = o.order_no) AS kinds
        FROM orders o WHERE o.order_no = ANY(%s) AND o.distributor_id = %s AND o.buyer_ref = %s
        """,
        (list(order_nos), HOUSE, buyer_id),
    )
    return {row["order_no"]: row for row in await cursor.fetchall()}


async def insert(cx: Connection, draft: Draft, at: datetime) -> bool:
    """Write it down; False where the key has made one meanwhile. Raises OrderBeingPaid: an order has an open one."""
    cursor = await cx.execute(
        """
        INSERT INTO pay_orders (id, buyer_id, distributor_id, idempotency_key, body_hash, channel_id, host_workflow_id,
            currency, total_minor, cash_minor, coins_minor, voucher_minor, voucher_ids, return_url, created_at,
            updated_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (buyer_id, idempotency_key) DO NOTHING
        """,
        (
            draft.pay_id, draft.buyer_id, HOUSE, draft.idempotency_key, draft.body_hash, draft.channel_id,
            draft.host_workflow_id, draft.currency, draft.owed.total_minor, draft.owed.cash_minor,
            draft.owed.coins_minor, draft.owed.voucher_minor, Jsonb(list(draft.voucher_ids)), draft.return_url, at, at,
        ),
    )  # fmt: skip
    if cursor.rowcount == 0:
        return False
    ranked = {order_no: (rank, share) for rank, (order_no, share) in enumerate(draft.shares, 1)}
    for order_no in sorted(ranked):  # in one order, so that two who want the same orders don't wait for each other
        rank, share = ranked[order_no]
        cursor = await cx.execute(
            """
            INSERT INTO pay_order_parts (pay_id, order_no, rank, amount_minor, cash_minor, coins_minor, voucher_minor)
            VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (order_no) WHERE state = 'open' DO NOTHING
            """,
            (draft.pay_id, order_no, rank, share.total_minor, share.cash_minor, share.coins_minor, share.voucher_minor),
        )
        if cursor.rowcount == 0:
            raise OrderBeingPaid(order_no, await _paying(cx, order_no))
    return True


async def _paying(cx: Connection, order_no: int) -> str:
    """The latest pay order of the order: the one that was in the way, even if it has ended at this very moment."""
    cursor = await cx.execute(
        "SELECT pay_id FROM pay_order_parts WHERE order_no = %s ORDER BY (state = 'open') DESC, pay_id DESC LIMIT 1",
        (order_no,),
    )
    row = await cursor.fetchone()
    assert row is not None, "its part was in the way"
    return str(row["pay_id"])
