"""Money on its way back: asked for once, watched until the channel says so; what it refuses is a person's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.money import ledger, money_case, money_cases, nothing_is_owed, stands
from tests.payers import Channel
from tests.platform import Platform
from tests.stories.test_contradictions import reference_of
from tests.stories.test_parcels import happens
from tests.traders import ADDRESS, PRICE_MINOR, Caller

SILENT: dict[str, Any] = {"first_interval_s": 3_600.0, "ceiling_s": 3_600.0}
"""Terms of a channel that is never asked within a test: it has to tell us by itself."""


async def refused(platform: Platform, channel: Channel) -> tuple[Caller, int, str]:
    """A shopper, their order that its supplier refuses, and its payment, which is paid."""
    shopper, supplier = await platform.a_shopper(), await platform.a_supplier()
    await supplier.next("confirm", "reject")
    order_no = await platform.bought(shopper, await platform.a_ticket(supplier))
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    return shopper, order_no, pay_id


async def refund_of(platform: Platform, order_no: int) -> dict[str, Any]:
    """The order's one refund."""
    (row,) = await platform.rows("SELECT * FROM refunds WHERE order_no = %s", order_no)
    return row


async def refunded_by(channel: Channel, pay_id: str) -> list[tuple[str, str]]:
    """Numbers and states of the channel's own refunds."""
    (payment,) = await channel.truth(pay_id)
    return [(refund["refund_no"], refund["status"]) for refund in payment["refunds"]]


# --- until the channel says so ---------------------------------------------------------------------------------------


async def test_a_refund_is_done_when_the_channel_tells_it(platform: Platform) -> None:
    channel = await platform.a_channel(**SILENT)
    await channel.behave(refund_late_ms=1_500)
    await channel.next("refund", "refund_pending")
    shopper, order_no, pay_id = await refused(platform, channel)
    await platform.until_status(order_no, "refunding")
    waiting = await platform.payment(pay_id)
    assert (waiting["refunding"]["amount_minor"], waiting["refunded"]["amount_minor"]) == (PRICE_MINOR, 0)
    assert await channel.held_minor(pay_id) == PRICE_MINOR
    await platform.until_status(order_no, "refunded")
    assert stands(await platform.settled(order_no)) == ("refunded", "refunded", "full")
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_a_refund_that_nobody_tells_of_is_asked_for(platform: Platform) -> None:
    """Others' failures, Refunds: a failed refund counted as refunded; a refund races a callback."""
    channel = await platform.a_channel()
    await channel.behave(refund_late_ms=1_500)
    await channel.next("refund", "refund_pending")
    await channel.next("query_refund", "error_before")
    shopper, order_no, pay_id = await refused(platform, channel)
    await platform.until_status(order_no, "refunding")
    await channel.falls_silent()
    await platform.until_status(order_no, "refunded")
    assert await refunded_by(channel, pay_id) == [((await refund_of(platform, order_no))["id"], "done")]
    await platform.payment_settled(pay_id)
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


@pytest.mark.parametrize("fault", ["error_after", "drop_after", "rate_limit", "refund_callback_twice"])
async def test_a_refund_whose_answer_is_lost_is_given_once(platform: Platform, fault: str) -> None:
    """Others' failures, Temporal: money from a random idempotency key."""
    channel = await platform.a_channel()
    await channel.next("refund", fault)
    shopper, order_no, pay_id = await refused(platform, channel)
    await platform.until_status(order_no, "refunded")
    assert [status for _, status in await refunded_by(channel, pay_id)] == ["done"]
    assert (await channel.hits())[fault] == 1
    await platform.payment_settled(pay_id)
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_an_unclear_refund_is_a_persons_alarm_that_closes_by_itself(platform: Platform) -> None:
    channel = await platform.a_channel(alarm_s=1)
    await channel.falls_silent()
    await channel.next("refund", "error_after")
    await channel.next("query_refund", "error_before", count=3)
    shopper, order_no, pay_id = await refused(platform, channel)
    case = await money_case(platform, "refund_undecided", channel)
    refund_id = (await refund_of(platform, order_no))["id"]
    assert (case["state"], case["refund_id"], case["pay_id"]) == ("open", refund_id, pay_id)
    assert (await platform.read(order_no))["status"] == "refunding"
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"
    (case,) = await money_cases(platform, "refund_undecided", channel)
    assert (case["state"], case["resolved_by"]) == ("resolved", "system")
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


# --- refused for good ------------------------------------------------------------------------------------------------


async def refused_twice(platform: Platform) -> tuple[Caller, Channel, int, str, dict[str, Any]]:
    """A refused order whose refund the channel refuses too: it waits for a person."""
    channel = await platform.a_channel()
    await channel.next("refund", "refund_refused")
    shopper, order_no, pay_id = await refused(platform, channel)
    case = await money_case(platform, "refund_failed", channel)
    assert (await platform.settled(order_no))["status"] == "refund_failed"
    assert await ledger(platform, f"buyer:{shopper.id}:unapplied") == 0, "it is the order's until it is back"
    return shopper, channel, order_no, pay_id, case


async def test_a_refused_refund_is_tried_again_under_another_number(platform: Platform) -> None:
    """Others' failures, Refunds: a failed refund counted as refunded, and never retried."""
    shopper, channel, order_no, pay_id, case = await refused_twice(platform)
    shown = (await platform.api.get(f"/v1/exceptions/{case['id']}", headers=platform.operator.headers)).json()
    assert shown["offered"] == ["retry", "to_coins", "paid_by_hand"]
    assert (await platform.decide(case["id"], "retry")).status_code == 200
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"
    await platform.until_status(order_no, "refunded")
    refund_id = case["refund_id"]
    assert await refunded_by(channel, pay_id) == [(refund_id, "refused"), (f"{refund_id}-r2", "done")]
    assert (await platform.decide(case["id"], "retry")).json()["code"] == "exception_closed"
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_each_refusal_is_a_case_of_its_own(platform: Platform) -> None:
    shopper, channel, order_no, pay_id, first = await refused_twice(platform)
    await channel.next("refund", "refund_refused")
    await platform.decide(first["id"], "retry")

    async def another() -> list[dict[str, Any]]:
        found = await money_cases(platform, "refund_failed", channel)
        return [case for case in found if case["state"] == "open"]

    (second,) = await platform.until(another)
    assert second["id"] != first["id"]
    assert (await platform.decide(second["id"], "retry")).status_code == 200
    await platform.payment_settled(pay_id)
    await platform.until_status(order_no, "refunded")
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_a_refused_refund_becomes_coins(platform: Platform) -> None:
    shopper, channel, order_no, pay_id, case = await refused_twice(platform)
    assert (await platform.decide(case["id"], "to_coins")).status_code == 200
    balances = (await platform.api.get("/v1/balances", headers=shopper.headers)).json()
    assert balances["coins"]["available_minor"] == PRICE_MINOR
    assert stands(await platform.settled(order_no)) == ("refunded", "refunded", "full")
    payment = await platform.payment_settled(pay_id)
    assert [(each["state"], each["route"]) for each in payment["refunds"]] == [("refunded", "coins")]
    assert await ledger(platform, f"buyer:{shopper.id}:coins") == -PRICE_MINOR
    await nothing_is_owed(platform, shopper, channel, pay_id, PRICE_MINOR)


async def test_a_refused_refund_is_paid_by_hand_with_evidence_only(platform: Platform) -> None:
    shopper, channel, order_no, pay_id, case = await refused_twice(platform)
    unproved = await platform.decide(case["id"], "paid_by_hand")
    assert (unproved.status_code, unproved.json()["errors"][0]["pointer"]) == (422, "/evidence")
    assert (await platform.read(order_no))["status"] == "refund_failed"
    proved = await platform.decide(case["id"], "paid_by_hand", evidence={"bank_reference": "GB-20261101-7"})
    assert (proved.status_code, proved.json()["state"]) == (200, "resolved")
    assert stands(await platform.settled(order_no)) == ("refunded", "refunded", "full")
    refund = await refund_of(platform, order_no)
    assert (refund["route"], refund["evidence"]["bank_reference"]) == ("by_hand", "GB-20261101-7")
    await platform.payment_settled(pay_id)
    assert await ledger(platform, f"channel:{channel.id}:cash") == -PRICE_MINOR, "it is what we have that was paid out"
    await nothing_is_owed(platform, shopper, channel, pay_id, PRICE_MINOR)


# --- parts, all, and what comes later --------------------------------------------------------------------------------


async def test_a_failed_line_and_a_parcel_that_is_lost_later_go_back_one_after_another(platform: Platform) -> None:
    """Others' failures, Refunds: nothing can be refunded when nothing is outstanding; several refunds break totals."""
    shopper, channel, carrier = await platform.a_shopper(), await platform.a_channel(), await platform.a_carrier()
    supplier = await platform.a_supplier()
    await supplier.next("confirm", "reject")
    shirt, ticket, kept = await platform.goods(carrier), await platform.a_ticket(supplier), await platform.a_ticket()
    order_no = await platform.bought(shopper, (shirt, 2), ticket, kept, ship_to=ADDRESS)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    await platform.until_status(order_no, "issued")
    assert stands(await platform.settled(order_no)) == ("issued", "partially_refunded", "partial")
    assert await channel.held_minor(pay_id) == 3 * PRICE_MINOR
    await happens(carrier, "picked_up")
    await happens(carrier, "lost")
    case = await platform.until_case(order_no, "unit_lost")
    await channel.behave(refund_late_ms=1_000)
    await channel.next("refund", "refund_pending")
    assert (await platform.decide(case["id"], "give_up")).status_code == 200
    await platform.until_status(order_no, "refunding")
    await platform.until_status(order_no, "issued")
    order = await platform.settled(order_no)
    assert stands(order) == ("issued", "partially_refunded", "partial")
    assert [line["status"] for line in order["lines"]] == ["refunded", "refunded", "issued"]
    payment = await platform.payment_settled(pay_id)
    assert sorted(each["amount"]["amount_minor"] for each in payment["refunds"]) == [PRICE_MINOR, 2 * PRICE_MINOR]
    await nothing_is_owed(platform, shopper, channel, pay_id, PRICE_MINOR)


async def test_all_of_an_order_goes_back_where_it_is_all_or_nothing(platform: Platform) -> None:
    shopper, channel, supplier = await platform.a_shopper(), await platform.a_channel(), await platform.a_supplier()
    await supplier.next("confirm", "reject")
    good, bad = await platform.a_ticket(), await platform.a_ticket(supplier)
    order_no = await platform.bought(shopper, good, bad, all_or_nothing=True)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    await platform.until_status(order_no, "refunded")
    assert stands(await platform.settled(order_no)) == ("refunded", "refunded", "full")
    payment = await platform.payment_settled(pay_id)
    assert (payment["status"], len(payment["refunds"])) == ("refunded", 2)
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)


async def test_what_is_sold_out_at_payment_goes_back(platform: Platform) -> None:
    """Others' failures, Payment: 201 "confirmed" though quota raised an error that was swallowed."""
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    ticket = await platform.a_ticket(stock=1, policy="at_payment")
    orders = [await platform.bought(shopper, ticket) for _ in range(2)]
    payments = []
    for order_no in orders:
        payments.append(await platform.paying(shopper, order_no, channel=channel))
        await channel.paid(payments[-1])
        await platform.until_status(order_no, "issued", "refunded")
    orders_now = [await platform.settled(order_no) for order_no in orders]
    assert [stands(order)[:2] for order in orders_now] == [("issued", "paid"), ("refunded", "refunded")]
    assert orders_now[1]["lines"][0]["failure"]["code"] == "insufficient_stock"
    settled = [await platform.payment_settled(pay_id) for pay_id in payments]
    assert [payment["status"] for payment in settled] == ["paid", "refunded"]
    assert await channel.held_minor() == ticket.price_minor
    assert await ledger(platform, f"buyer:{shopper.id}:unapplied") == 0


async def test_what_is_taken_back_later_goes_back_at_the_channel(platform: Platform) -> None:
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    supplier = await platform.a_supplier(calls_back=False)
    order_no = await platform.bought(shopper, await platform.a_ticket(supplier))
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    await platform.until_status(order_no, "issued")
    await platform.payment_settled(pay_id)
    await supplier.says(platform.api, await reference_of(platform, order_no), "REJECTED")
    case = await platform.until_case(order_no, "contradiction")
    assert (await platform.decide(case["id"], "give_up")).status_code == 202
    assert (await platform.resolved(case["id"]))["resolution"]["outcome"] == "taken_back"
    await platform.until_status(order_no, "refunded")
    assert stands(await platform.settled(order_no)) == ("refunded", "refunded", "full")
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"
    await nothing_is_owed(platform, shopper, channel, pay_id, 0)
