"""Shoppers' orders that cost nothing: nobody has to pay them, so nobody is waited for."""

from __future__ import annotations

from tests.platform import Platform
from tests.traders import Ticket


async def a_gift(platform: Platform) -> Ticket:
    """A ticket that costs its buyer nothing, and us neither."""
    return await platform.a_ticket((await platform.a_supplier(), 0), price_minor=0)


async def test_an_order_that_costs_nothing_is_issued_without_a_payment(platform: Platform) -> None:
    shopper, gift = await platform.a_shopper(), await a_gift(platform)
    order = await platform.settled(await platform.bought(shopper, gift))
    assert (order["status"], order["payment_status"], order["refund_status"]) == ("issued", "paid", "none")
    assert await platform.rows("SELECT id FROM pay_orders") == []


async def test_a_free_order_that_cannot_be_issued_gives_nothing_back(platform: Platform) -> None:
    shopper, supplier = await platform.a_shopper(), await platform.a_supplier()
    gift = await platform.a_ticket(supplier, price_minor=0)
    await supplier.next("confirm", "reject")
    order = await platform.settled(await platform.bought(shopper, gift))
    assert order["status"] == "refunded"
    assert await platform.rows("SELECT id FROM refunds") == []


async def test_a_free_order_is_not_paid_beside_others(platform: Platform) -> None:
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    gift = await platform.bought(shopper, await a_gift(platform))
    refused = await platform.begin_payment(shopper, await platform.bought(shopper, ticket), gift, channel=channel)
    assert (refused.status_code, refused.json()["code"]) == (409, "nothing_to_pay")


async def test_a_free_line_that_fails_leaves_the_paid_one_alone(platform: Platform) -> None:
    shopper, channel, supplier = await platform.a_shopper(), await platform.a_channel(), await platform.a_supplier()
    ticket, gift = await platform.a_ticket(), await platform.a_ticket(supplier, price_minor=0)
    await supplier.next("confirm", "reject")
    order_no = await platform.bought(shopper, ticket, gift)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    assert (await platform.settled(order_no))["status"] == "issued"
    assert await channel.held_minor(pay_id) == ticket.price_minor
