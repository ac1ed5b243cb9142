"""Payment callbacks: a story for every row of the table "Callbacks" of the payments' specification.

`python -m tests.mutations.callback_rules` takes the rule behind each of them out, and the story has to fail.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from api.channel_callbacks import REFUSED
from tests.money import (
    handed_over,
    journal,
    ledger,
    money_case,
    money_cases,
    nothing_is_owed,
    stands,
    until_payment,
)
from tests.payers import Channel
from tests.platform import Platform
from tests.traders import PRICE_MINOR, Caller, Ticket

SILENT: dict[str, Any] = {"first_interval_s": 3_600.0, "ceiling_s": 3_600.0}
"""Terms of a channel that is not asked before the end: what it does not tell, we don't know."""

LONGER_THAN_ANY_HOLD_S = 3_600.0


async def bought(platform: Platform, channel: Channel, **product: Any) -> tuple[Caller, Ticket, int, str]:
    """A shopper, what they want, their order, and its payment, which waits for them."""
    shopper, ticket = await platform.a_shopper(), await platform.a_ticket(stock=3, **product)
    order_no = await platform.bought(shopper, ticket)
    return shopper, ticket, order_no, await platform.paying(shopper, order_no, channel=channel)


async def expired(platform: Platform, order_no: int, pay_id: str) -> None:
    """Nobody has paid in time: closed at the channel, and the order gone."""
    assert (await platform.payment_settled(pay_id))["status"] == "closed"
    order = await platform.settled(order_no)
    assert (order["status"], order["cancel_reason"]) == ("canceled", "expired")


async def paid_late(platform: Platform, channel: Channel, pay_id: str, **act: Any) -> dict[str, Any]:
    """The payer's money comes although the payment is over; the payment once all has come to rest."""
    told = len(await journal(platform, channel))
    await channel.paid(pay_id, anyway=True, **act)
    await handed_over(platform, channel, told + 1)
    return await platform.payment_settled(pay_id)


async def seen_by(platform: Platform, shopper: Caller, path: str) -> dict[str, Any]:
    """What the shopper is shown."""
    answer = await platform.api.get(path, headers=shopper.headers)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def a_notice(told: dict[str, Any], says: str, **changed: Any) -> dict[str, Any]:
    """A callback's body in the native protocol."""
    return {"type": f"payment.{says}", "at": datetime.now(UTC).isoformat(), "data": {**told, **changed}}


# --- the same success twice, or callback and query together: one effect ----------------------------------------------


async def test_the_same_success_again_has_one_effect(platform: Platform) -> None:
    """Others' failures, Payment: two concurrent "mark paid"; two confirmations of one payment."""
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await channel.next("pay", "callback_twice")
    await channel.paid(pay_id)
    await handed_over(platform, channel, 1)
    (told,) = await channel.truth(pay_id)
    answers = [await channel.tells(platform.api, a_notice(told, "paid"), event_id=name) for name in ("e1", "e2", "e1")]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(await handed_over(platform, channel, 3)) == 3
    payment = await platform.payment_settled(pay_id)
    assert ([charge["verdict"] for charge in payment["charges"]], payment["refunds"]) == (["accepted"], [])
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


async def test_callback_and_query_together_have_one_effect(platform: Platform) -> None:
    """Others' failures, Payment: callback and browser return race; races "solved" by sleeping before reading."""
    channel = await platform.a_channel(first_interval_s=0.3)
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await channel.behave(callback_late_ms=2_500)
    await channel.next("pay", "callback_late")
    await channel.paid(pay_id)
    await until_payment(platform, pay_id, "paid")
    assert await journal(platform, channel) == [], "the query was first"
    await handed_over(platform, channel, 1)
    payment = await platform.payment_settled(pay_id)
    assert ([charge["verdict"] for charge in payment["charges"]], payment["refunds"]) == (["accepted"], [])
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


# --- success after the order was canceled or expired -----------------------------------------------------------------


async def test_money_for_an_order_that_was_canceled_goes_back_and_its_buyer_sees_that(platform: Platform) -> None:
    """Others' failures, Payment: paid, no order, and support searches by hand."""
    channel = await platform.a_channel()
    shopper, _, order_no, pay_id = await bought(platform, channel)
    assert (await platform.cancel(shopper, order_no)).status_code == 200
    assert (await platform.payment_settled(pay_id))["status"] == "closed"
    payment = await paid_late(platform, channel, pay_id)
    assert (payment["status"], payment["parts"][0]["state"], payment["parts"][0]["reason"]) == (
        "refunded", "returned", "canceled",
    )  # fmt: skip
    assert (await platform.settled(order_no))["status"] == "canceled"
    shown = await seen_by(platform, shopper, f"/v1/payments/{pay_id}")
    assert [(refund["state"], refund["amount"]["amount_minor"]) for refund in shown["refunds"]] == [
        ("refunded", PRICE_MINOR)
    ]
    order = await seen_by(platform, shopper, f"/v1/orders/{order_no:019d}")
    assert [(each["payment_id"], each["status"]) for each in order["payments"]] == [(pay_id, "refunded")]
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_money_for_an_order_that_ran_out_buys_another_in_its_place(platform: Platform) -> None:
    """Others' failures, Payment: refunded though stock was there; an expired order can't come back."""
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await expired(platform, order_no, pay_id)
    payment = await paid_late(platform, channel, pay_id)
    part = payment["parts"][0]
    assert (payment["status"], part["state"], payment["refunds"]) == ("paid", "served", [])
    successor_no = int(part["successor_no"])
    assert stands(await platform.settled(successor_no)) == ("issued", "paid", "none")
    old, new = await platform.read(order_no, shopper), await platform.read(successor_no, shopper)
    assert (old["status"], int(old["revived_by"]), int(new["revives"])) == ("canceled", successor_no, order_no)
    assert (
        [each["payment_id"] for each in old["payments"]] == [each["payment_id"] for each in new["payments"]] == [pay_id]
    )
    (stock,) = await platform.rows("SELECT on_hand, held, sold FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert (stock["held"], stock["sold"]) == (0, 1)
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


async def test_money_that_comes_too_late_goes_back_where_the_product_wants_that(platform: Platform) -> None:
    channel = await platform.a_channel()
    shopper, _, order_no, pay_id = await bought(platform, channel, late_payment="refund")
    await expired(platform, order_no, pay_id)
    payment = await paid_late(platform, channel, pay_id)
    assert (payment["status"], payment["parts"][0]["successor_no"]) == ("refunded", None)
    assert (await platform.read(order_no, shopper))["revived_by"] is None
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_money_for_a_canceled_order_buys_again_where_the_product_allows_even_that(platform: Platform) -> None:
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel, late_payment="revive")
    assert (await platform.cancel(shopper, order_no)).status_code == 200
    await platform.payment_settled(pay_id)
    payment = await paid_late(platform, channel, pay_id)
    assert stands(await platform.settled(int(payment["parts"][0]["successor_no"]))) == ("issued", "paid", "none")
    assert (await platform.read(order_no))["status"] == "canceled"
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


async def test_money_that_comes_too_late_buys_nothing_at_another_price(platform: Platform) -> None:
    """Not even at a lower one: nobody has seen it."""
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await expired(platform, order_no, pay_id)
    await platform.rows(
        "UPDATE prices SET amount_minor = %s WHERE sku_id = %s", ticket.price_minor - 100, ticket.sku_id
    )
    payment = await paid_late(platform, channel, pay_id)
    assert (payment["status"], payment["parts"][0]["state"]) == ("refunded", "returned")
    shown = await seen_by(platform, shopper, f"/v1/payments/{pay_id}")
    assert shown["refunded"]["amount_minor"] == ticket.price_minor
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_money_that_comes_when_the_last_one_is_sold_goes_back(platform: Platform) -> None:
    """Others' failures, Payment: late payment, and the money lost when quota is gone."""
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await expired(platform, order_no, pay_id)
    await platform.placed(await platform.a_distributor(), (ticket, 3))
    payment = await paid_late(platform, channel, pay_id)
    assert (payment["status"], payment["parts"][0]["state"]) == ("refunded", "returned")
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


# --- expiry first closes the pay order at the channel ----------------------------------------------------------------


async def test_who_has_paid_when_it_is_closed_wins(platform: Platform) -> None:
    channel = await platform.a_channel(**SILENT)
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id)
    payment = await platform.payment_settled(pay_id)
    assert (payment["status"], payment["parts"][0]["successor_no"]) == ("paid", None)
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


async def test_what_nobody_has_paid_is_closed_at_the_channel_before_its_order_goes(platform: Platform) -> None:
    channel = await platform.a_channel(**SILENT)
    _, ticket, order_no, pay_id = await bought(platform, channel)
    await expired(platform, order_no, pay_id)
    (told,) = await channel.truth(pay_id)
    assert told["status"] == "closed"
    assert (await channel.pay(pay_id)).status_code == 422, "nobody can pay it any more"
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert stock["held"] == 0


async def test_while_closing_is_unclear_the_hold_is_kept_and_a_person_hears_of_it(platform: Platform) -> None:
    channel = await platform.a_channel(alarm_s=60)
    _, ticket, order_no, pay_id = await bought(platform, channel)
    await channel.behave(rates={"error_before": 1.0})
    await platform.forward(platform.payment_host(pay_id), LONGER_THAN_ANY_HOLD_S)
    case = await money_case(platform, "payment_undecided", channel)
    assert (case["state"], case["pay_id"]) == ("open", pay_id)
    assert (await platform.decide(case["id"], "refund")).json()["code"] == "decision_not_offered"
    await platform.fast_forward(order_no, LONGER_THAN_ANY_HOLD_S)
    assert (await platform.read(order_no))["status"] == "locked"
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert stock["held"] == 1
    await channel.behave()
    await expired(platform, order_no, pay_id)
    (case,) = await money_cases(platform, "payment_undecided", channel)
    assert (case["state"], case["resolved_by"]) == ("resolved", "system")
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert stock["held"] == 0


async def test_what_turns_out_paid_after_that_is_issued_though_its_hold_has_long_run_out(platform: Platform) -> None:
    channel = await platform.a_channel(**SILENT, alarm_s=60)
    shopper, ticket, order_no, pay_id = await bought(platform, channel, late_payment="refund")
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id)
    await channel.behave(rates={"error_before": 1.0})
    await platform.forward(platform.payment_host(pay_id), LONGER_THAN_ANY_HOLD_S)
    await platform.fast_forward(order_no, LONGER_THAN_ANY_HOLD_S)
    await channel.behave()
    assert (await platform.payment_settled(pay_id))["status"] == "paid"
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


# --- two different successful payments -------------------------------------------------------------------------------


async def test_the_second_of_two_payments_goes_back_by_itself(platform: Platform) -> None:
    """Others' failures, Payment: shown as failed, later confirmed, and buyers pay two to four times."""
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await channel.paid(pay_id, times=2)
    await handed_over(platform, channel, 2)
    payment = await platform.payment_settled(pay_id)
    assert sorted(charge["verdict"] for charge in payment["charges"]) == ["accepted", "surplus"]
    assert [(each["reason"], each["state"], each["order_no"]) for each in payment["refunds"]] == [
        ("paid_twice", "refunded", None)
    ]
    assert (payment["status"], payment["refunded"]["amount_minor"]) == ("paid", 0), "the payment itself stays"
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


async def test_a_payment_that_was_given_up_and_comes_after_another_has_paid_goes_back(platform: Platform) -> None:
    channel = await platform.a_channel()
    shopper, ticket, order_no, first = await bought(platform, channel)
    given_up = await platform.api.post(f"/v1/payments/{first}/cancel", json={}, headers=shopper.once())
    assert (given_up.status_code, given_up.json()["status"]) == (200, "closed")
    second = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(second)
    await handed_over(platform, channel, 1)
    assert (await platform.payment_settled(second))["status"] == "paid"
    payment = await paid_late(platform, channel, first)
    assert (payment["status"], payment["parts"][0]["state"]) == ("refunded", "returned")
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    assert await ledger(platform, f"buyer:{shopper.id}:unapplied") == 0
    assert await channel.held_minor() == ticket.price_minor


# --- another amount or currency --------------------------------------------------------------------------------------


async def test_a_wrong_amount_pays_nothing_and_goes_back_when_a_person_says_so(platform: Platform) -> None:
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await channel.next("pay", "wrong_amount")
    await channel.paid(pay_id)
    case = await money_case(platform, "payment_wrong_amount", channel)
    assert case["evidence"]["amount_minor"] == ticket.price_minor - 1
    assert (await platform.payment(pay_id))["status"] == "pending"
    assert (await platform.read(order_no))["status"] == "locked"
    assert await channel.held_minor(pay_id) == ticket.price_minor - 1, "nobody has touched the money"
    assert (await platform.decide(case["id"], "refund")).status_code == 200
    ended = await platform.payment_settled(pay_id)
    assert (ended["status"], ended["parts"][0]["state"]) == ("closed", "released")
    assert [(each["state"], each["amount"]["amount_minor"]) for each in ended["refunds"]] == [
        ("refunded", ticket.price_minor - 1)
    ]
    assert (await platform.settled(order_no))["cancel_reason"] == "expired"
    assert (await money_case(platform, "payment_wrong_amount", channel))["state"] == "resolved"
    assert (await platform.decide(case["id"], "refund")).json()["code"] == "exception_closed"
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_another_currency_pays_nothing_and_is_settled_otherwise_with_evidence(platform: Platform) -> None:
    channel = await platform.a_channel()
    _, ticket, order_no, pay_id = await bought(platform, channel)
    (told,) = await channel.truth(pay_id)
    charge = {
        "id": f"chg-{pay_id}",
        "amount_minor": ticket.price_minor,
        "currency": "EUR",
        "paid_at": "2026-11-01T00:00:00Z",
    }
    notice = a_notice(told, "paid", status="paid", charges=[charge])
    assert (await channel.tells(platform.api, notice)).status_code == 200
    case = await money_case(platform, "payment_wrong_amount", channel)
    assert case["evidence"]["currency"] == "EUR"
    assert (await platform.payment(pay_id))["status"] == "pending"
    unproved = await platform.decide(case["id"], "settle")
    assert (unproved.status_code, unproved.json()["errors"][0]["pointer"]) == (422, "/evidence")
    decided = await platform.decide(case["id"], "settle", evidence={"bank_reference": "GB-7"})
    assert (decided.status_code, decided.json()["state"]) == (200, "resolved")
    payment = await platform.payment_settled(pay_id)
    assert [(each["verdict"], each["settled_otherwise"]) for each in payment["charges"]] == [("wrong_amount", True)]
    assert (payment["status"], payment["refunds"]) == ("closed", [])
    assert (await platform.settled(order_no))["status"] == "canceled"


# --- failed, then success --------------------------------------------------------------------------------------------


async def failed(platform: Platform, channel: Channel, pay_id: str) -> None:
    """The payer's attempt fails, so the payment is closed at the channel, and shown as failed."""
    await channel.paid(pay_id, outcome="failed")
    payment = await until_payment(platform, pay_id, "failed")
    assert payment["reason"] == "payment_declined"


async def test_a_success_after_a_failure_wins_while_its_order_can_be_served(platform: Platform) -> None:
    """Others' failures, Payment: shown as failed, later confirmed."""
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await failed(platform, channel, pay_id)
    assert (await platform.read(order_no))["status"] == "locked"
    payment = await paid_late(platform, channel, pay_id)
    assert (payment["status"], payment["parts"][0]["state"], payment["parts"][0]["successor_no"]) == (
        "paid", "served", None,
    )  # fmt: skip
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


async def test_a_success_after_a_failure_goes_back_where_its_order_cannot_be_served(platform: Platform) -> None:
    channel = await platform.a_channel()
    shopper, _, order_no, pay_id = await bought(platform, channel)
    await failed(platform, channel, pay_id)
    assert (await platform.cancel(shopper, order_no)).status_code == 200
    payment = await paid_late(platform, channel, pay_id)
    assert (payment["status"], payment["parts"][0]["state"]) == ("refunded", "returned")
    assert (await platform.settled(order_no))["status"] == "canceled"
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


# --- success, then failed --------------------------------------------------------------------------------------------


async def test_a_failure_after_the_success_is_a_case_and_reverses_nothing(platform: Platform) -> None:
    channel = await platform.a_channel()
    shopper, ticket, order_no, pay_id = await bought(platform, channel)
    await channel.next("pay", "callback_contradict")
    await channel.paid(pay_id)
    case = await money_case(platform, "payment_contradiction", channel)
    assert (case["state"], case["evidence"]["told"]) == ("open", "failed")
    payment = await platform.payment_settled(pay_id)
    assert (payment["status"], payment["refunds"]) == ("paid", [])
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    assert (await platform.decide(case["id"], "acknowledge")).status_code == 200
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


@pytest.mark.parametrize("reorder_ms", [0, 2_500], ids=["while it is in motion", "when it has come to rest"])
async def test_an_older_attempts_failure_that_is_told_late_is_no_contradiction(
    platform: Platform, reorder_ms: int
) -> None:
    """Others' failures, Payment: failed and cancelled callbacks ignored; here they are weighed."""
    channel = await platform.a_channel()
    _, _, order_no, pay_id = await bought(platform, channel)
    await channel.behave(reorder_ms=reorder_ms)
    await channel.next("pay", "callback_reordered")
    await channel.paid(pay_id)
    await handed_over(platform, channel, 2)
    assert (await platform.payment_settled(pay_id))["status"] == "paid"
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    assert await money_cases(platform, "payment_contradiction", channel) == []


# --- an unknown pay order --------------------------------------------------------------------------------------------


async def test_money_for_an_unknown_pay_order_is_kept_answered_and_a_persons_case(platform: Platform) -> None:
    """Others' failures, Payment: a callback that comes before its order answers 200 and is lost."""
    channel = await platform.a_channel()
    shopper, ticket, _, pay_id = await bought(platform, channel)
    await channel.next("pay", "unknown_reference")
    await channel.paid(pay_id)
    case = await money_case(platform, "payment_unknown", channel)
    stray = case["evidence"]["reference"]
    assert (case["pay_id"], stray[:6]) == (None, "stray-")
    assert stray in {row["pay_id"] for row in await handed_over(platform, channel, 2)}
    assert await ledger(platform, f"channel:{channel.id}:unidentified") == -ticket.price_minor
    assert (await platform.decide(case["id"], "refund")).status_code == 200
    await platform.until(lambda: back(platform, channel, stray))
    assert await ledger(platform, f"channel:{channel.id}:unidentified") == 0
    await platform.payment_settled(pay_id)
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)
    assert await channel.held_minor(stray) == 0


async def back(platform: Platform, channel: Channel, reference: str) -> list[dict[str, Any]]:
    """Refunds of charges under that reference which are done."""
    return await platform.rows(
        "SELECT r.* FROM refunds r JOIN charges c USING (channel_id, payment_id) "
        "WHERE c.channel_id = %s AND c.reference = %s AND r.state = 'refunded'",
        channel.id, reference,
    )  # fmt: skip


# --- the workflow is down for hours ----------------------------------------------------------------------------------


async def hold_has_run_out(platform: Platform, order_no: int) -> bool:
    """The order's process has been woken by its timer, whether or not anybody works on it."""
    history = await platform.host(order_no).fetch_history()
    return any(event.event_type == EventType.EVENT_TYPE_TIMER_FIRED for event in history.events)


async def test_what_is_paid_while_nobody_works_is_issued_though_the_hold_has_run_out(platform: Platform) -> None:
    """The lock lasts for money that was on its way, not for when it was read."""
    channel = await platform.a_channel(**SILENT)
    shopper, ticket, order_no, pay_id = await bought(platform, channel, late_payment="refund")
    async with platform.without_workers():
        await channel.paid(pay_id)
        await handed_over(platform, channel, 1)
        assert (await platform.payment(pay_id))["status"] == "pending"
        hours = asyncio.create_task(platform.fast_forward(order_no, LONGER_THAN_ANY_HOLD_S))
        await platform.until(lambda: hold_has_run_out(platform, order_no))
    await hours
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")
    payment = await platform.payment_settled(pay_id)
    assert (payment["status"], payment["parts"][0]["successor_no"], payment["refunds"]) == ("paid", None, [])
    await nothing_is_owed(platform, shopper, channel, pay_id, ticket.price_minor)


# --- a bad signature -------------------------------------------------------------------------------------------------


async def test_a_callback_with_a_bad_signature_is_refused_and_only_counted(platform: Platform) -> None:
    """Others' failures, Security: webhooks unsigned."""
    channel, other = await platform.a_channel(**SILENT), await platform.a_channel()
    _, ticket, order_no, pay_id = await bought(platform, channel)
    (told,) = await channel.truth(pay_id)
    charge = {"id": "forged", "amount_minor": ticket.price_minor, "currency": "CNY", "paid_at": "2026-11-01T00:00:00Z"}
    forged = a_notice(told, "paid", status="paid", charges=[charge])
    before = REFUSED.labels(channel.id, "not_verified")._value.get()
    answer = await channel.tells(platform.api, forged, secret=other.secret)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert REFUSED.labels(channel.id, "not_verified")._value.get() == before + 1
    assert await journal(platform, channel) == []
    assert (await platform.payment(pay_id))["charges"] == []
    assert (await platform.read(order_no))["status"] == "locked"
