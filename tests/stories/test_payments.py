"""Money in: a shopper's order is paid by a channel, by balances, or by both, and issued for it; or it goes back."""

from __future__ import annotations

from simulators.payment.channels import opened
from tests.money import nothing_is_owed, stands
from tests.platform import Platform


async def test_an_order_is_issued_when_its_payer_has_paid(platform: Platform) -> None:
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    waiting = await platform.payment(pay_id)
    assert (waiting["status"], waiting["action"]["kind"]) == ("pending", "redirect")
    await channel.paid(pay_id)
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    paid = await platform.payment_settled(pay_id)
    assert (paid["status"], paid["parts"][0]["state"]) == ("paid", "served")
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


async def test_a_lost_callback_loses_no_payment(platform: Platform) -> None:
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id)
    await platform.payment_settled(pay_id)
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    assert (await channel.hits())["callback_lost"] == 1


async def test_what_cannot_be_issued_is_given_back_at_the_channel(platform: Platform) -> None:
    shopper, channel, supplier = await platform.a_shopper(), await platform.a_channel(), await platform.a_supplier()
    ticket = await platform.a_ticket(supplier)
    await supplier.next("confirm", "reject")
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    assert stands(await platform.settled(order_no)) == ("refunded", "refunded", "full")
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_a_part_of_an_order_is_given_back_and_the_rest_kept(platform: Platform) -> None:
    shopper, channel, supplier = await platform.a_shopper(), await platform.a_channel(), await platform.a_supplier()
    good, bad = await platform.a_ticket(), await platform.a_ticket(supplier)
    await supplier.next("confirm", "reject")
    await channel.next("refund", "refund_pending")
    order_no = await platform.bought(shopper, good, bad)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    assert stands(await platform.settled(order_no)) == ("issued", "partially_refunded", "partial")
    assert (await platform.payment_settled(pay_id))["status"] == "partially_refunded"
    await nothing_is_owed(platform, shopper, channel, pay_id, good.price_minor)


async def test_one_payment_pays_several_orders(platform: Platform) -> None:
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    orders = [await platform.bought(shopper, (ticket, quantity)) for quantity in (1, 2)]
    pay_id = await platform.paying(shopper, *orders, channel=channel)
    await channel.paid(pay_id)
    await platform.payment_settled(pay_id)
    assert [stands(await platform.settled(each))[:2] for each in orders] == [("issued", "paid")] * 2
    await nothing_is_owed(platform, shopper, channel, pay_id, 3 * ticket.price_minor)


async def test_a_payment_that_is_not_made_ends_with_its_time_and_so_does_its_order(platform: Platform) -> None:
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    ended = await platform.payment_settled(pay_id)
    assert (ended["status"], ended["parts"][0]["state"]) == ("closed", "released")
    order = await platform.settled(order_no)
    assert (order["status"], order["cancel_reason"]) == ("canceled", "expired")
    assert (await channel.truth(pay_id))[0]["status"] == "closed"


async def test_a_wrong_amount_waits_for_a_person_and_its_payment_and_order_end_with_their_time(
    platform: Platform,
) -> None:
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id, amount_minor=ticket.price_minor - 1)
    ended = await platform.payment_settled(pay_id)
    assert (ended["status"], ended["parts"][0]["state"]) == ("closed", "released")
    assert [charge["verdict"] for charge in ended["charges"]] == ["wrong_amount"]
    assert (await platform.settled(order_no))["cancel_reason"] == "expired"
    (case,) = await platform.rows("SELECT state FROM order_exceptions WHERE pay_id = %s", pay_id)
    assert case["state"] == "open"
    assert await channel.held_minor(pay_id) == ticket.price_minor - 1


async def test_the_alarm_about_a_silent_channel_ends_when_the_channel_has_closed_the_payment(
    platform: Platform,
) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket()
    channel = await platform.a_channel(alarm_s=5)
    pay_id = await platform.paying(shopper, await platform.bought(shopper, ticket), channel=channel)
    await channel.next("query", "error_before", count=100_000)
    assert (await platform.payment_settled(pay_id))["status"] == "closed"
    cases = await platform.rows("SELECT kind, state FROM order_exceptions WHERE pay_id = %s", pay_id)
    assert [(case["kind"], case["state"]) for case in cases] == [("payment_undecided", "resolved")]


async def test_a_channel_that_will_not_have_it_is_out_of_the_way_at_once(platform: Platform) -> None:
    """Its contract's token is wrong: it could not be closed there either, and the order would be blocked for ever."""
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    wrong = {"token": "of-somebody-else", "callback_secret": opened(channel.id, "paybridge").callback_secret}
    shut = await platform.a_channel(credentials=wrong)
    order_no = await platform.bought(shopper, ticket)
    answer = await platform.begin_payment(shopper, order_no, channel=shut)
    assert (answer.status_code, answer.json()["code"]) == (409, "payment_declined"), answer.text
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
