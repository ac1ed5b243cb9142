"""Pay orders as shoppers meet them: what they pay with, what is refused and why, and how one is given up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx2 import Response

from tests.money import ledger, nothing_is_owed, stands, until_payment
from tests.payers import Channel
from tests.platform import Platform
from tests.traders import PRICE_MINOR, Caller

COINS_MINOR, VOUCHER_MINOR = 5_000, 3_000
CASH_MINOR = PRICE_MINOR - COINS_MINOR - VOUCHER_MINOR


def refused(answer: Response, code: str, status: int = 409) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


async def granted(platform: Platform, shopper: Caller, amount_minor: int = COINS_MINOR) -> None:
    """The shopper has coins."""
    body = {"amount": {"amount_minor": amount_minor, "currency": "CNY"}, "campaign": "sorry", "reason": "late"}
    path = f"/v1/users/{shopper.id}/coins"
    answer = await platform.api.post(path, json=body, headers=platform.operator.once())
    assert answer.status_code == 201, answer.text


async def a_voucher(platform: Platform, shopper: Caller) -> str:
    """The id of a voucher of the shopper's."""
    body = {
        "amount": {"amount_minor": VOUCHER_MINOR, "currency": "CNY"}, "campaign": "spring", "user_id": shopper.id,
        "expires_at": (datetime.now(UTC) + timedelta(days=90)).isoformat(),
    }  # fmt: skip
    answer = await platform.api.post("/v1/vouchers", json=body, headers=platform.operator.once())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def purse(platform: Platform, shopper: Caller) -> tuple[int, int]:
    """What the shopper may spend of coins, and of vouchers."""
    shown = (await platform.api.get("/v1/balances", headers=shopper.headers)).json()
    coins = shown["coins"]["available_minor"] if shown["coins"] else 0
    return coins, sum(voucher["available_minor"] for voucher in shown["vouchers"])


async def cancel(platform: Platform, shopper: Caller, pay_id: str) -> Response:
    return await platform.api.post(f"/v1/payments/{pay_id}/cancel", json={}, headers=shopper.once())


# --- what is paid with -----------------------------------------------------------------------------------------------


async def test_a_split_payment_is_given_in_one_order_and_back_in_the_other(platform: Platform) -> None:
    """Two lines fail one after another: the cash goes back first, then coins, and the voucher's value last."""
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    supplier = await platform.a_supplier()
    voucher_id = await a_voucher(platform, shopper)
    await granted(platform, shopper)
    dear = await platform.a_ticket(supplier, price_minor=CASH_MINOR + 1_000)
    cheap = await platform.a_ticket(supplier, price_minor=PRICE_MINOR - CASH_MINOR - 1_000)
    await supplier.next("confirm", "reject", count=2)
    order_no = await platform.bought(shopper, dear, cheap)
    pay_id = await platform.paying(
        shopper, order_no, channel=channel, coins_minor=COINS_MINOR, voucher_ids=[voucher_id]
    )
    waiting = await platform.payment(pay_id)
    parts = [waiting[name]["amount_minor"] for name in ("voucher", "coins", "cash")]
    assert parts == [VOUCHER_MINOR, COINS_MINOR, CASH_MINOR]
    assert await purse(platform, shopper) == (0, 0), "both are put aside"
    await channel.paid(pay_id)
    await platform.until_status(order_no, "refunded")
    payment = await platform.payment_settled(pay_id)
    assert payment["status"] == "refunded"
    first, second = await platform.rows(
        "SELECT amount_minor, cash_minor, coins_minor, voucher_minor FROM refunds WHERE pay_id = %s "
        "ORDER BY coins_minor + voucher_minor",
        pay_id,
    )
    assert first["cash_minor"] == min(first["amount_minor"], CASH_MINOR)
    assert first["voucher_minor"] == 0
    assert (first["coins_minor"] + second["coins_minor"], second["voucher_minor"]) == (COINS_MINOR, VOUCHER_MINOR)
    assert await purse(platform, shopper) == (COINS_MINOR, VOUCHER_MINOR)
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_coins_alone_pay_without_a_channel(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket()
    await granted(platform, shopper, ticket.price_minor)
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, coins_minor=ticket.price_minor)
    payment = await platform.payment_settled(pay_id)
    assert (payment["status"], payment["channel_id"], payment["charges"]) == ("paid", None, [])
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    assert await purse(platform, shopper) == (0, 0)
    assert await ledger(platform, f"buyer:{shopper.id}:coins") == 0


async def test_coins_that_paid_alone_come_back_as_coins(platform: Platform) -> None:
    shopper, supplier = await platform.a_shopper(), await platform.a_supplier()
    ticket = await platform.a_ticket(supplier)
    await supplier.next("confirm", "reject")
    await granted(platform, shopper, ticket.price_minor)
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, coins_minor=ticket.price_minor)
    await platform.until_status(order_no, "refunded")
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"
    assert await purse(platform, shopper) == (ticket.price_minor, 0)


async def test_what_is_put_aside_comes_back_when_nobody_pays_the_rest(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    voucher_id = await a_voucher(platform, shopper)
    await granted(platform, shopper)
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(
        shopper, order_no, channel=channel, coins_minor=COINS_MINOR, voucher_ids=[voucher_id]
    )
    assert await purse(platform, shopper) == (0, 0)
    answer = await cancel(platform, shopper, pay_id)
    assert (answer.status_code, answer.json()["status"]) == (200, "closed")
    assert await purse(platform, shopper) == (COINS_MINOR, VOUCHER_MINOR)


async def test_more_coins_than_there_is_to_pay_or_than_one_has_are_refused(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    await granted(platform, shopper)
    order_no = await platform.bought(shopper, ticket)
    too_many = await platform.begin_payment(shopper, order_no, channel=channel, coins_minor=ticket.price_minor + 1)
    refused(too_many, "parts_exceed_total")
    not_there = await platform.begin_payment(shopper, order_no, channel=channel, coins_minor=COINS_MINOR + 1)
    refused(not_there, "coins_insufficient")
    refused(await platform.begin_payment(shopper, order_no), "channel_required")
    assert await purse(platform, shopper) == (COINS_MINOR, 0)
    assert await channel.truth() == [], "no channel has heard of any of it"


# --- one order, one payment ------------------------------------------------------------------------------------------


async def test_an_order_is_paid_by_one_payment_at_a_time(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    problem = refused(await platform.begin_payment(shopper, order_no, channel=channel), "order_being_paid")
    assert problem["payment_id"] == pay_id
    assert (await cancel(platform, shopper, pay_id)).status_code == 200
    second = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(second)
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    refused(await platform.begin_payment(shopper, order_no, channel=channel), "order_not_payable")


async def test_twenty_wishes_to_pay_one_order_make_one_payment(platform: Platform) -> None:
    """Others' failures, Payment: two concurrent "mark paid"; buyers pay two to four times."""
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    answers = await asyncio.gather(*(platform.begin_payment(shopper, order_no, channel=channel) for _ in range(20)))
    made = [answer.json()["id"] for answer in answers if answer.status_code in (201, 202)]
    others = [answer.json()["code"] for answer in answers if answer.status_code == 409]
    assert (len(made), others) == (1, ["order_being_paid"] * 19)
    assert len(await platform.rows("SELECT 1 FROM pay_order_parts WHERE order_no = %s", order_no)) == 1
    await until_payment(platform, made[0], "pending")
    assert [payment["reference"] for payment in await channel.truth()] == made


async def test_the_same_key_is_the_same_payment(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    key = f"twice-{order_no}"
    answers = [
        await platform.answered(lambda: platform.begin_payment(shopper, order_no, channel=channel, key=key))
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert len(await channel.truth()) == 1


# --- given up --------------------------------------------------------------------------------------------------------


async def test_a_payment_that_is_canceled_can_be_paid_by_nobody(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    answer = await cancel(platform, shopper, pay_id)
    assert (answer.status_code, answer.json()["status"], answer.json()["allowed_actions"]) == (200, "closed", [])
    assert (await channel.pay(pay_id)).status_code == 422
    problem = refused(await cancel(platform, shopper, pay_id), "payment_state_conflict")
    assert problem["state"] == "closed"
    assert (await platform.read(order_no))["status"] == "locked"


async def test_a_payment_that_turns_out_paid_cannot_be_canceled(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket()
    channel = await platform.a_channel(first_interval_s=3_600.0, ceiling_s=3_600.0)
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id)
    assert refused(await cancel(platform, shopper, pay_id), "payment_state_conflict")["state"] == "paid"
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")


async def test_an_order_that_is_canceled_while_it_is_being_paid_closes_its_payment(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket(stock=1)
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    assert (await platform.cancel(shopper, order_no)).status_code == 200
    payment = await until_payment(platform, pay_id, "closed")
    assert (payment["reason"], payment["parts"][0]["state"]) == ("order_canceled", "released")
    assert (await channel.pay(pay_id)).status_code == 422
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert stock["held"] == 0


# --- refused ---------------------------------------------------------------------------------------------------------


async def test_another_shoppers_order_and_payment_do_not_exist(platform: Platform) -> None:
    shopper, stranger = await platform.a_shopper(), await platform.a_shopper()
    channel, ticket = await platform.a_channel(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    refused(await platform.begin_payment(stranger, order_no, channel=channel), "order_not_found", 404)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    read = await platform.api.get(f"/v1/payments/{pay_id}", headers=stranger.headers)
    refused(read, "payment_not_found", 404)
    refused(await cancel(platform, stranger, pay_id), "payment_not_found", 404)
    assert (await platform.payment(pay_id))["status"] == "pending"


async def test_what_is_gone_is_not_payable(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    await platform.fast_forward(order_no)
    problem = refused(await platform.begin_payment(shopper, order_no, channel=channel), "order_not_payable")
    assert problem["states"] == {f"{order_no:019d}": "canceled"}
    assert await channel.truth() == []


async def test_a_channel_refuses_what_it_does_not_take(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    terms: tuple[dict[str, Any], ...] = (
        {"kinds": ["physical"]}, {"max_minor": PRICE_MINOR - 1}, {"min_minor": PRICE_MINOR + 1}, {"active": False},
        {"currency": "EUR"},
    )  # fmt: skip
    for each in terms:
        unfit = await platform.a_channel(**each)
        refused(await platform.begin_payment(shopper, order_no, channel=unfit), "payment_method_not_allowed")
        assert await unfit.truth() == []
    assert await platform.rows("SELECT 1 FROM pay_order_parts WHERE order_no = %s", order_no) == []


async def test_what_the_channel_declines_is_told_and_leaves_the_order_payable(platform: Platform) -> None:
    """Its door is shut, also to closing: what was never there need not be closed."""
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    await lets_in(channel, "somebody-else")
    refused(await begun(platform, shopper, order_no, channel), "payment_declined")
    assert await channel.truth() == []
    await lets_in(channel, f"{channel.id}-token")
    await channel.paid(await platform.paying(shopper, order_no, channel=channel))
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")


async def lets_in(channel: Channel, token: str) -> None:
    """Whoever shows that token, from now on."""
    answer = await channel.simulator.put(f"/control/{channel.id}", json={"token": token})
    assert answer.is_success, answer.text


async def begun(platform: Platform, shopper: Caller, order_no: int, channel: Channel) -> Response:
    """The answer to a wish to pay, once there is one."""
    key = f"begin-{order_no}-{channel.id}"
    return await platform.answered(lambda: platform.begin_payment(shopper, order_no, channel=channel, key=key))


async def test_an_order_that_its_buyer_pays_is_not_confirmed(platform: Platform) -> None:
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    assert (await platform.confirm(shopper, order_no)).status_code == 403, "shoppers pay"
    refused(await platform.confirm(platform.operator, order_no), "payment_required")
    assert (await platform.read(order_no))["status"] == "locked"
