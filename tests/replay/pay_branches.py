"""The branches of payments and refunds, and of orders that their buyers pay: what histories are recorded of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.payers import Channel
from tests.platform import Platform
from tests.traders import Caller
from workflows.order_ids import order_workflow_id
from workflows.payment_ids import payment_workflow_id, refund_workflow_id

Branch = Callable[[Platform], Awaitable[str]]
"""Walks one way and answers the id of the workflow that went it."""


@dataclass(frozen=True, slots=True)
class Sale:
    """A shopper's order that waits for its payer at a channel."""

    shopper: Caller
    channel: Channel
    order_no: int
    pay_id: str


async def a_sale(platform: Platform, *, fails: bool = False, **product: Any) -> Sale:
    """`fails`: its supplier will refuse to issue it."""
    shopper, channel, supplier = await platform.a_shopper(), await platform.a_channel(), await platform.a_supplier()
    if fails:
        await supplier.next("confirm", "reject")
    order_no = await platform.bought(shopper, await platform.a_ticket(supplier, **product))
    return Sale(shopper, channel, order_no, await platform.paying(shopper, order_no, channel=channel))


async def _paid(platform: Platform, sale: Sale, **act: Any) -> None:
    """The payer has paid, the channel has told us, and everything rests."""
    await sale.channel.paid(sale.pay_id, **act)
    await platform.until_status(sale.order_no, "issued", "refunded", "refund_failed")
    await platform.payment_settled(sale.pay_id)


async def payment_paid_by_callback(platform: Platform) -> str:
    sale = await a_sale(platform)
    await _paid(platform, sale)
    return payment_workflow_id(sale.pay_id)


async def payment_paid_by_query(platform: Platform) -> str:
    sale = await a_sale(platform)
    await sale.channel.falls_silent()
    await sale.channel.paid(sale.pay_id)
    await platform.payment_settled(sale.pay_id)
    return payment_workflow_id(sale.pay_id)


async def payment_expired(platform: Platform) -> str:
    sale = await a_sale(platform)
    await platform.payment_settled(sale.pay_id)
    return payment_workflow_id(sale.pay_id)


async def payment_late_with_successor(platform: Platform) -> str:
    """Its second run: the first closed it unpaid, and its order is gone when the money comes."""
    sale = await a_sale(platform)
    await platform.payment_settled(sale.pay_id)
    await sale.channel.paid(sale.pay_id, anyway=True)

    async def served() -> list[dict[str, Any]]:
        return await platform.rows(
            "SELECT 1 FROM pay_order_parts WHERE pay_id = %s AND state = 'served' AND successor_no IS NOT NULL",
            sale.pay_id,
        )

    await platform.until(served)
    await platform.payment_settled(sale.pay_id)
    return payment_workflow_id(sale.pay_id)


async def payment_paid_twice(platform: Platform) -> str:
    sale = await a_sale(platform)
    await _paid(platform, sale, times=2)
    return payment_workflow_id(sale.pay_id)


async def payment_canceled(platform: Platform) -> str:
    sale = await a_sale(platform)
    path = f"/v1/payments/{sale.pay_id}/cancel"
    canceled = await platform.api.post(path, json={}, headers=sale.shopper.once())
    assert canceled.json()["status"] == "closed", canceled.text
    await platform.payment_settled(sale.pay_id)
    return payment_workflow_id(sale.pay_id)


async def _refund(platform: Platform, sale: Sale) -> str:
    (row,) = await platform.rows("SELECT id FROM refunds WHERE pay_id = %s", sale.pay_id)
    return refund_workflow_id(row["id"])


async def refund_done(platform: Platform) -> str:
    sale = await a_sale(platform, fails=True)
    await _paid(platform, sale)
    return await _refund(platform, sale)


async def refund_pending(platform: Platform) -> str:
    """Its channel takes its time, and is asked."""
    sale = await a_sale(platform, fails=True)
    await sale.channel.behave(refund_late_ms=4_000)
    await sale.channel.next("refund", "refund_pending")
    await _paid(platform, sale)
    return await _refund(platform, sale)


async def refund_refused_and_retried(platform: Platform) -> str:
    """Its second run: an operator has it asked for again."""
    sale = await a_sale(platform, fails=True)
    await sale.channel.next("refund", "refund_refused")
    await _paid(platform, sale)
    case = await platform.until_case(sale.order_no, "refund_failed")
    decided = await platform.decide(case["id"], "retry")
    assert decided.is_success, decided.text
    await platform.until_status(sale.order_no, "refunded")
    await platform.payment_settled(sale.pay_id)
    return await _refund(platform, sale)


async def order_paid(platform: Platform) -> str:
    sale = await a_sale(platform)
    await _paid(platform, sale)
    return order_workflow_id(sale.order_no)


async def order_kept_then_paid(platform: Platform) -> str:
    """Its hold has run out, and nobody knew yet whether it was paid."""
    sale = await a_sale(platform)
    await platform.fast_forward(sale.order_no, 1000)
    await _paid(platform, sale)
    return order_workflow_id(sale.order_no)


async def order_expired_unpaid(platform: Platform) -> str:
    sale = await a_sale(platform)
    await platform.fast_forward(sale.order_no, 1000)
    await platform.payment_settled(sale.pay_id)
    return order_workflow_id(sale.order_no)


async def order_refunded_at_channel(platform: Platform) -> str:
    sale = await a_sale(platform, fails=True)
    await _paid(platform, sale)
    return order_workflow_id(sale.order_no)


async def order_free(platform: Platform) -> str:
    """It costs nothing: nobody pays it, and nobody is waited for."""
    gift = await platform.a_ticket((await platform.a_supplier(), 0), price_minor=0)
    order_no = await platform.bought(await platform.a_shopper(), gift)
    await platform.settled(order_no)
    return order_workflow_id(order_no)


async def payment_unclear(platform: Platform) -> str:
    """Its channel stays silent until a person is told, and then says that it is paid."""
    sale = await a_sale(platform)
    await sale.channel.falls_silent()
    await sale.channel.next("query", "error_before", count=10)
    await sale.channel.paid(sale.pay_id)
    await platform.payment_settled(sale.pay_id)
    cases = await platform.rows("SELECT state FROM order_exceptions WHERE pay_id = %s", sale.pay_id)
    assert [case["state"] for case in cases] == ["resolved"]
    return payment_workflow_id(sale.pay_id)


PAY_BRANCHES: tuple[Branch, ...] = (
    payment_paid_by_callback, payment_paid_by_query, payment_expired, payment_late_with_successor, payment_paid_twice,
    payment_canceled, refund_done, refund_pending, refund_refused_and_retried, order_paid, order_kept_then_paid,
    order_expired_unpaid, order_refunded_at_channel, order_free, payment_unclear,
)  # fmt: skip
