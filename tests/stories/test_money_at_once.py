"""Money that two are about to decide at the same moment, and people who wait for machines: one effect, and a way on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.payment_messages import BookCharges, ChargeDecision, DecideCharge
from activities.payments import ChargeTakenMeanwhile, PaymentActivities, case_id
from domain.channels import Charge
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
    payments = PaymentActivities(platform.database, platform.parts.ids)
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
    payments = PaymentActivities(platform.database, platform.parts.ids)
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


async def test_each_silence_of_a_channel_is_a_case_that_closes_when_it_speaks(platform: Platform) -> None:
    channel = await platform.a_channel(alarm_s=1, first_interval_s=2.0, growth=1.0, ceiling_s=2.0)
    pay_id = await pending(platform, channel)

    async def states() -> list[str]:
        rows = await platform.rows(
            "SELECT state FROM order_exceptions WHERE pay_id = %s AND kind = 'payment_undecided' ORDER BY id", pay_id
        )
        return [row["state"] for row in rows]

    for silences in (["open"], ["resolved", "open"]):
        await channel.behave(rates={"error_before": 1.0})
        while await states() != silences:
            await platform.forward(platform.payment_host(pay_id), 3)
        await channel.behave()
        while "open" in await states():
            await platform.forward(platform.payment_host(pay_id), 3)
    await channel.paid(pay_id)
    assert (await platform.payment_settled(pay_id))["status"] == "paid"
    assert await states() == ["resolved", "resolved"]


async def test_a_case_about_silence_closes_though_the_process_that_opened_it_was_lost(platform: Platform) -> None:
    channel = await platform.a_channel(alarm_s=1, first_interval_s=2.0, growth=1.0, ceiling_s=2.0)
    pay_id = await pending(platform, channel)
    await channel.behave(rates={"error_before": 1.0})

    async def cases() -> list[str]:
        rows = await platform.rows("SELECT state FROM order_exceptions WHERE pay_id = %s", pay_id)
        return [row["state"] for row in rows]

    while await cases() != ["open"]:
        await platform.forward(platform.payment_host(pay_id), 3)
    await platform.payment_host(pay_id).terminate("lost")
    await channel.behave()
    await channel.paid(pay_id)

    async def started_again() -> bool:
        return (await platform.payment_host(pay_id).describe()).status is not WorkflowExecutionStatus.TERMINATED

    await platform.until(started_again)
    assert (await platform.payment_settled(pay_id))["status"] == "paid"
    assert await cases() == ["resolved"]


@pytest.mark.parametrize("others", ["pi/1", "pi 1", "pi_1", "pi_1é", "x" * 200, "x" * 201])
def test_no_two_charges_share_a_case(others: str) -> None:
    ids = {case_id("charge", each) for each in ("pi.1", others)}
    assert len(ids) == 2
    assert all(len(each) <= len("xcp-") + 80 and each.isascii() for each in ids)
