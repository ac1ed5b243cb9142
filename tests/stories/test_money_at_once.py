"""Money that two are about to decide at the same moment, and people who wait for machines: one effect, and a way on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.payment_messages import BookCharges, ChargeDecision, DecideCharge
from activities.payments import ChargeTakenMeanwhile, PaymentActivities, case_id, charge_refund_id
from api import payment_host
from domain.channels import Charge, RefundDone, RefundTold
from domain.money import Money
from domain.pay_order import Verdict
from domain.payments import PayStatus
from storage import balance_grants, charges, order_exceptions
from tests.payers import Channel
from tests.platform import Platform
from tests.stories.test_money_cases import SHOWN, charge_of, failed_refund, refused, wrong_amount

PAID_AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


async def ledger(platform: Platform, account: str) -> int:
    rows = await platform.rows(
        "SELECT coalesce(sum(debits_minor - credits_minor), 0)::bigint AS minor FROM ledger_balances "
        "WHERE account = %s",
        account,
    )
    return int(rows[0]["minor"])


def the_payments(platform: Platform) -> PaymentActivities:
    assert platform.parts.ids is not None
    return PaymentActivities(platform.database, platform.parts.ids)


async def pending(platform: Platform, channel: Channel) -> str:
    shopper = await platform.a_shopper()
    return await platform.paying(
        shopper, await platform.bought(shopper, await platform.a_ticket()), channel=channel
    )  # fmt: skip


@pytest.mark.parametrize(("first", "second"), [("refund", "settle"), ("settle", "refund")])
async def test_of_two_words_on_the_same_money_the_first_counts(platform: Platform, first: str, second: str) -> None:
    """Both saw the case open: given back at the channel and by hand, the money would be lost."""
    _, channel, case = await wrong_amount(platform)
    assert (await platform.decide(case["id"], first, evidence=SHOWN)).status_code == 200
    late = DecideCharge(case["id"], "settle" if second == "settle" else "refund", "operator/late", "too late", SHOWN)
    payments = the_payments(platform)
    await payments.decide_charge(ChargeDecision(case["evidence"]["reference"], PAID_AT, late))
    charge = await charge_of(platform, channel, "wrong_amount")
    goes_back = await platform.rows("SELECT 1 FROM refunds WHERE payment_id = %s", charge["payment_id"])
    assert (charge["settled_otherwise"], len(goes_back)) == ((False, 1) if first == "refund" else (True, 0))


async def test_coins_of_another_currency_are_refused_and_it_is_decided_otherwise(platform: Platform) -> None:
    shopper, _, pay_id, channel, case = await failed_refund(platform)
    async with platform.owner.transaction() as cx:
        await balance_grants.grant_coins(
            cx, "in-euros", buyer_id=shopper.id, amount=Money(100, "EUR"), campaign="euros", reason="test",
            actor="test", now=PAID_AT,
        )  # fmt: skip
    refused(await platform.decide(case["id"], "to_coins"), "coins_unfit")
    assert (await platform.decide(case["id"], "retry")).status_code == 200
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"
    assert await channel.held_minor(pay_id) == 0


async def test_what_was_paid_by_hand_is_still_held_by_the_channel(platform: Platform) -> None:
    shopper, _, pay_id, channel, case = await failed_refund(platform)
    assert (await platform.decide(case["id"], "paid_by_hand", evidence=SHOWN)).status_code == 200
    await platform.payment_settled(pay_id)
    held_minor = await channel.held_minor(pay_id)
    assert held_minor > 0
    assert await ledger(platform, f"channel:{channel.id}:clearing") == held_minor
    assert await ledger(platform, f"channel:{channel.id}:cash") == -held_minor
    assert await ledger(platform, f"buyer:{shopper.id}:unapplied") == 0


async def test_a_charge_that_is_told_under_another_reference_at_once_pays_nothing(platform: Platform) -> None:
    channel = await platform.a_channel()
    pay_id = await pending(platform, channel)
    minor = (await platform.payment(pay_id))["total"]["amount_minor"]
    charge = Charge("chg-of-both", minor, "CNY", PAID_AT)
    payments = the_payments(platform)
    taken = Charge(charge.payment_id, 1, "EUR", PAID_AT)
    async with platform.owner.transaction() as cx:
        await charges.insert(cx, channel.id, taken, pay_id=None, reference="", verdict=Verdict.UNKNOWN, at=PAID_AT)
        await order_exceptions.open_exception(
            cx, exception_id=case_id("charge", channel.id), kind="payment_unknown",
            evidence={"channel_id": channel.id, "payment_id": charge.payment_id}, at=PAID_AT,
        )  # fmt: skip
        told = asyncio.create_task(payments.book_charges(BookCharges(pay_id, PAID_AT, channel.id, (charge,))))
        await asyncio.sleep(0.3)
        assert not told.done()
    with pytest.raises(ChargeTakenMeanwhile):
        await told
    again = await payments.book_charges(BookCharges(pay_id, PAID_AT, channel.id, (charge,)))
    assert again.status is PayStatus.PENDING
    await platform.payment_settled(pay_id)


async def told_people(platform: Platform, pay_id: str, wanted: list[str]) -> None:
    """The payment's clock runs until its cases about the channel's silence stand so."""
    states: list[str] = []
    for _ in range(30):
        rows = await platform.rows(
            "SELECT state FROM order_exceptions WHERE pay_id = %s AND kind = 'payment_undecided' ORDER BY id", pay_id
        )
        if (states := [row["state"] for row in rows]) == wanted:
            return
        await platform.forward(platform.payment_host(pay_id), 3)
    pytest.fail(f"its cases are {states}")


async def test_each_silence_of_a_channel_is_a_case_that_closes_when_it_speaks(platform: Platform) -> None:
    channel = await platform.a_channel(alarm_s=1, first_interval_s=2.0, growth=1.0, ceiling_s=2.0)
    pay_id = await pending(platform, channel)
    for before in ([], ["resolved"]):
        await channel.behave(rates={"error_before": 1.0})
        await told_people(platform, pay_id, [*before, "open"])
        await channel.behave()
        await told_people(platform, pay_id, [*before, "resolved"])
    await channel.paid(pay_id)
    assert (await platform.payment_settled(pay_id))["status"] == "paid"


async def test_a_case_about_silence_closes_though_the_process_that_opened_it_was_lost(platform: Platform) -> None:
    channel = await platform.a_channel(alarm_s=1, first_interval_s=2.0, growth=1.0, ceiling_s=2.0)
    pay_id = await pending(platform, channel)
    await channel.behave(rates={"error_before": 1.0})
    await told_people(platform, pay_id, ["open"])
    await platform.payment_host(pay_id).terminate("lost")
    await channel.behave()
    await channel.paid(pay_id)

    async def started_again() -> bool:
        return (await platform.payment_host(pay_id).describe()).status is not WorkflowExecutionStatus.TERMINATED

    await platform.until(started_again)
    assert (await platform.payment_settled(pay_id))["status"] == "paid"
    await told_people(platform, pay_id, ["resolved"])


async def done_after_all(platform: Platform, refund_id: str, number: str) -> None:
    """The channel tells that it has given the money back, although it had refused."""
    told = RefundTold(f"evt-{number}", "", number, RefundDone())
    await payment_host.tell(platform.env.client, payment_host.of_refund(refund_id), told)


async def refund_case(platform: Platform, refund_id: str, kind: str) -> str | None:
    rows = await platform.rows("SELECT state FROM order_exceptions WHERE refund_id = %s AND kind = %s", refund_id, kind)
    return rows[0]["state"] if rows else None


async def test_a_refund_that_was_refused_and_is_done_after_all_needs_nobody_any_more(platform: Platform) -> None:
    _, _, pay_id, _, case = await failed_refund(platform)
    await done_after_all(platform, case["refund_id"], case["refund_id"])

    async def closed() -> bool:
        return await refund_case(platform, case["refund_id"], "refund_failed") == "resolved"

    await platform.until(closed)
    assert (await platform.payment_settled(pay_id))["refunds"][0]["state"] == "refunded"
    refused(await platform.decide(case["id"], "paid_by_hand", evidence=SHOWN), "exception_closed")


async def test_an_order_whose_refund_is_tried_again_has_its_process_again(platform: Platform) -> None:
    _, order_no, pay_id, channel, case = await failed_refund(platform)
    await platform.settled(order_no)
    await channel.behave(refund_late_ms=2_000)
    await channel.next("refund", "refund_pending")
    assert (await platform.decide(case["id"], "retry")).status_code == 200
    assert (await platform.read(order_no))["status"] == "refunding"
    assert await platform.violations() == []
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"


@pytest.mark.parametrize("decision", ["to_coins", "retry"])
async def test_money_that_goes_back_a_second_way_is_a_persons_case(platform: Platform, decision: str) -> None:
    _, _, pay_id, _, case = await failed_refund(platform)
    assert (await platform.decide(case["id"], decision)).status_code == 200
    assert (await platform.payment_settled(pay_id))["status"] == "refunded"
    assert await refund_case(platform, case["refund_id"], "payment_contradiction") is None
    await done_after_all(platform, case["refund_id"], case["refund_id"])

    async def told() -> bool:
        return await refund_case(platform, case["refund_id"], "payment_contradiction") == "open"

    await platform.until(told)


async def test_a_refund_that_its_channel_tells_of_twice_is_no_case(platform: Platform) -> None:
    _, _, pay_id, _, case = await failed_refund(platform)
    assert (await platform.decide(case["id"], "retry")).status_code == 200
    await platform.payment_settled(pay_id)
    await done_after_all(platform, case["refund_id"], f"{case['refund_id']}-r2")
    await platform.payment_settled(pay_id)
    assert await refund_case(platform, case["refund_id"], "payment_contradiction") is None


@pytest.mark.parametrize(
    ("one", "other"), [("pi.1", "pi/1"), ("pi.1", "pi_1"), ("pi_1", "pi_1é"), ("pi 1", "pi_1"), ("x" * 200, "x" * 201)]
)
def test_no_two_charges_share_a_case(one: str, other: str) -> None:
    ids = {case_id("charge", each) for each in (one, other)}
    assert len(ids) == 2
    assert all(len(each) <= len("xcp-") + 80 and each.isascii() for each in ids)


def test_a_refunds_number_fits_at_every_channel_however_long_the_names_are() -> None:
    channels, charges_there = ("a" * 40, "b" * 40), ("x" * 255, "y" * 255)
    ids = {charge_refund_id(channel, payment) for channel in channels for payment in charges_there}
    assert len(ids) == 4
    assert max(len(f"{each}-r99") for each in ids) <= 64
