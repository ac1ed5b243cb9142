"""Drafting a payment: what rows can tell is judged, and the pay order is written down, once per buyer and key.

Its own process judges again, under the orders' locks, before a channel hears of it (activities/payments.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.balance_views import code_hasher
from api.deps import Parts as Process
from api.idempotency import IdempotencyKeyReused
from api.order_actions import OrderNotFound
from api.payment_views import PaymentInput
from domain.balances import Voucher
from domain.errors import DomainError
from domain.ids import show
from domain.money import CurrencyMismatch, Money
from domain.orders import OrderStatus, PaymentStatus
from domain.payments import ChannelRequired, OrdersNotPayable, Parts, PartsExceedTotal, Pays, spread
from storage import balances, pay_drafts, payment_channels
from storage.database import Connection
from storage.pay_drafts import Draft
from workflows.payment_ids import payment_workflow_id

Rows = Mapping[int, Mapping[str, Any]]


class NothingToPay(DomainError):
    """An order that costs nothing."""

    code = "nothing_to_pay"

    def __init__(self, order_no: int) -> None:
        super().__init__(f"Order {order_no:019d} costs nothing: it is issued without a payment. Leave it out.")


async def draft_payment(process: Process, buyer_id: str, key: str, body_hash: str, body: PaymentInput) -> str:
    """The id of the pay order that this key makes, or has made before.

    Raises IdempotencyKeyReused, OrderNotFound, OrdersNotPayable, OrderBeingPaid, CurrencyMismatch, NothingToPay,
    PartsExceedTotal, ChannelRequired, ChannelNotFound, MethodNotAllowed, and what vouchers refuse.
    """
    async with process.database.transaction() as connection:
        before = await pay_drafts.drafted(connection, buyer_id, key)
        if before is None:
            draft = await _drafted(connection, process, buyer_id, key, body_hash, body)
            if await pay_drafts.insert(connection, draft, process.clock()):
                return draft.pay_id
            before = await pay_drafts.drafted(connection, buyer_id, key)
    assert before is not None, "its key was in the way"
    if before.body_hash != body_hash:
        raise IdempotencyKeyReused
    return before.pay_id


async def _drafted(
    connection: Connection, process: Process, buyer_id: str, key: str, body_hash: str, body: PaymentInput
) -> Draft:
    orders = await pay_drafts.orders_to_pay(connection, buyer_id, body.order_nos)
    currency = _judge(orders, body.order_nos)
    totals = [int(orders[order_no]["total_minor"]) for order_no in body.order_nos]
    owed, voucher_ids = await _parts(connection, process, buyer_id, body, Money(sum(totals), currency))
    kinds = sorted({kind for order in orders.values() for kind in order["kinds"]})
    pay_id = f"pay-{show(process.next_order_no(buyer_id))}"
    return Draft(
        pay_id=pay_id,
        host_workflow_id=payment_workflow_id(pay_id),
        buyer_id=buyer_id,
        idempotency_key=key,
        body_hash=body_hash,
        channel_id=await _channel(connection, body.channel_id, Money(owed.cash_minor, currency), kinds),
        currency=currency,
        owed=owed,
        shares=tuple(zip(body.order_nos, spread(owed, totals), strict=True)),
        voucher_ids=voucher_ids,
        return_url=body.return_url or "",
    )


def _judge(orders: Rows, order_nos: list[int]) -> str:
    """Their currency, where all of them are the buyer's, cost something, and can be paid now."""
    for order_no in order_nos:
        if order_no not in orders:
            raise OrderNotFound(f"{order_no:019d}")
        if not orders[order_no]["total_minor"]:
            raise NothingToPay(order_no)
    if unfit := {order_no: why for order_no in order_nos if (why := _unfit(orders[order_no]))}:
        raise OrdersNotPayable(unfit)
    first, *others = dict.fromkeys(orders[order_no]["currency"] for order_no in order_nos)
    if others:
        raise CurrencyMismatch(first, others[0])
    return str(first)


def _unfit(order: Mapping[str, Any]) -> str:
    if order["status"] != OrderStatus.LOCKED:
        return str(order["status"])
    if order["pays"] != Pays.BY_CHANNEL or order["payment_status"] != PaymentStatus.UNPAID:
        return str(order["payment_status"])
    return ""


async def _parts(
    connection: Connection, process: Process, buyer_id: str, body: PaymentInput, total: Money
) -> tuple[Parts, tuple[str, ...]]:
    """What is paid from where: vouchers as far as they go, then the coins that were named, the rest in cash. With the
    ids of the vouchers that are needed."""
    left_minor, at = total.amount_minor, process.clock()
    used: list[str] = []
    for voucher in await _vouchers(connection, process, buyer_id, body):
        if not left_minor:
            break
        taken_minor = min(left_minor, voucher.available_minor)
        voucher.judge(max(taken_minor, 1), total.currency, buyer_id=buyer_id, at=at)
        left_minor -= taken_minor
        used.append(voucher.id)
    if body.coins_minor > left_minor:
        raise PartsExceedTotal(total.amount_minor - left_minor + body.coins_minor, total.amount_minor)
    return Parts(left_minor - body.coins_minor, body.coins_minor, total.amount_minor - left_minor), tuple(used)


async def _vouchers(connection: Connection, process: Process, buyer_id: str, body: PaymentInput) -> list[Voucher]:
    """The buyer's vouchers that are named, in the order of use; what is named by its code is theirs from now on."""
    at, ids = process.clock(), list(body.voucher_ids)
    if body.voucher_codes:
        hasher = code_hasher(process.settings)
        ids += await balances.resolve_codes(connection, body.voucher_codes, hasher=hasher, buyer_id=buyer_id, at=at)
    return await balances.read_vouchers(connection, list(dict.fromkeys(ids)), buyer_id=buyer_id, at=at)


async def _channel(connection: Connection, channel_id: str | None, cash: Money, kinds: list[str]) -> str | None:
    """The channel that takes the cash; none where nothing is left to be paid in it."""
    if not cash.amount_minor:
        return None
    if channel_id is None:
        raise ChannelRequired(cash.amount_minor)
    row = await payment_channels.get_channel(connection, channel_id)
    payment_channels.terms_of(row).judge(cash, kinds)
    return row.id
