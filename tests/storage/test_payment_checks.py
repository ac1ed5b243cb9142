"""The inspection of buyers' money is silent on what really happened, and finds each thing that is planted."""

from __future__ import annotations

import pytest

from domain.channels import Charge
from domain.inspection import InspectionTerms
from domain.ledger import Transfer, cash, clearing
from domain.pay_order import Verdict, applied, given_back, received
from domain.payments import Parts
from storage import channel_callbacks, charges, order_exceptions, pay_drafts, pay_orders, payment_channels, refunds
from storage.database import Connection, Database
from storage.inspection import inspect
from storage.inspection_checks import CHECKS
from storage.pay_drafts import Draft
from storage.payment_checks import PAYMENT_CHECKS
from storage.settlement import insert_flows
from tests.storage import world
from tests.storage.test_inspection import plant_as_owner

ISSUED, CANCELED, WAITING = 1001, 1002, 1003
PAID, GIVEN_BACK, OPEN = "pay-1", "pay-2", "pay-3"
TOTAL = 2 * world.PRICE * world.QUANTITY
BUYER, CHANNEL = "usr-1", "meridian"
QUIET = InspectionTerms(promise_s=10**9)


def a_charge(payment_id: str, amount_minor: int = TOTAL) -> Charge:
    return Charge(payment_id, amount_minor, "CNY", world.START)


async def a_buyers_order(owner: Connection, order_no: int, status: str, payment_status: str) -> None:
    await world.an_order(owner, order_no)
    await owner.execute(
        "UPDATE orders SET distributor_id = 'house', pays = 'by_channel', buyer_ref = %s, status = %s, "
        "payment_status = %s WHERE order_no = %s",
        (BUYER, status, payment_status, order_no),
    )


async def a_pay_order(cx: Connection, pay_id: str, order_no: int) -> None:
    owed = Parts(cash_minor=TOTAL)
    draft = Draft(
        pay_id=pay_id, host_workflow_id=f"payment/{pay_id}", buyer_id=BUYER, idempotency_key=pay_id, body_hash="",
        channel_id=CHANNEL, currency="CNY", owed=owed, shares=((order_no, owed),), voucher_ids=(), return_url="",
    )  # fmt: skip
    assert await pay_drafts.insert(cx, draft, world.START)


async def charged(cx: Connection, charge: Charge, verdict: Verdict, pay_id: str | None) -> None:
    await charges.insert(cx, CHANNEL, charge, pay_id=pay_id, reference=pay_id or "?", verdict=verdict, at=world.START)
    await insert_flows(cx, transfers=[received(CHANNEL, charge, BUYER if pay_id else None)])


async def accepted(cx: Connection, pay_id: str) -> list[Transfer]:
    """Paid, and of an open order where there is one: used for it."""
    pay = await pay_orders.load(cx, pay_id)
    assert pay is not None
    pay.accept(world.START)
    await pay_orders.save(cx, pay, world.START)
    return [applied(pay, pay.parts[0].order_no, TOTAL, world.START)]


async def sent_back(cx: Connection, refund_id: str, payment_id: str, pay_id: str | None) -> dict[str, object]:
    """The refund of a whole charge, locked."""
    await refunds.request_of_charge(
        cx, refund_id, channel_id=CHANNEL, payment_id=payment_id, pay_id=pay_id, amount_minor=TOTAL, currency="CNY",
        reason="paid_twice", actor="system", at=world.START,
    )  # fmt: skip
    row = await refunds.read(cx, refund_id, lock=True)
    assert row is not None
    return row


@pytest.fixture
async def bank(database: Database, owner_url: str) -> Database:
    """An order paid and issued; one whose money is on its way back; one that waits; and all the odd charges."""
    async with Database(owner_url, pool_max=2) as owned, owned.transaction() as owner:
        await world.make_world(owner)
        contract = {"name": "Meridian", "protocol": "p", "base_url": "https://pay.example"}
        await payment_channels.put_channel(owner, CHANNEL, contract, actor="test", now=world.START)
        await a_buyers_order(owner, ISSUED, "issued", "paid")
        await a_buyers_order(owner, CANCELED, "canceled", "unpaid")
        await a_buyers_order(owner, WAITING, "locked", "unpaid")
        for pay_id, order_no in ((PAID, ISSUED), (GIVEN_BACK, CANCELED), (OPEN, WAITING)):
            await a_pay_order(owner, pay_id, order_no)
    async with database.transaction() as cx:
        await charged(cx, a_charge("ch-1"), Verdict.ACCEPTED, PAID)
        used = await accepted(cx, PAID)
        await cx.execute("UPDATE pay_order_parts SET state = 'served' WHERE pay_id = %s", (PAID,))
        await insert_flows(cx, transfers=used)
        await charged(cx, a_charge("ch-2"), Verdict.ACCEPTED, GIVEN_BACK)
        await accepted(cx, GIVEN_BACK)
        await _return(cx)
        await _odd_charges(cx)
        for state in ("waiting", "handed_over"):
            await channel_callbacks.keep(cx, CHANNEL, state, pay_id=PAID, event={}, body="", now=world.START)
            await channel_callbacks.mark(cx, CHANNEL, state, "handed_over", now=world.START)
    return database


async def _return(cx: Connection) -> None:
    pay = await pay_orders.load(cx, GIVEN_BACK)
    assert pay is not None
    await cx.execute("UPDATE pay_order_parts SET state = 'returned' WHERE pay_id = %s", (GIVEN_BACK,))
    await refunds.request(
        cx, "rfd-part", refunds.Share.whole(GIVEN_BACK, pay.parts[0]), TOTAL, order_no=CANCELED, line_no=None,
        currency="CNY", reason="canceled", actor="system", at=world.START,
    )  # fmt: skip


async def _odd_charges(cx: Connection) -> None:
    """One too much that is back, one whose channel refuses, one paid back by hand, a wrong one, and a stranger's."""
    await charged(cx, a_charge("twice"), Verdict.SURPLUS, PAID)
    row = await sent_back(cx, "rfd-twice", "twice", PAID)
    await refunds.settle(cx, row, route="channel", channel_reference="", actor="system", evidence={}, at=world.START)
    back = [given_back(clearing(CHANNEL), CHANNEL, "rfd-twice", BUYER, TOTAL, "CNY", world.START)]
    await charged(cx, a_charge("kept"), Verdict.SURPLUS, PAID)
    await sent_back(cx, "rfd-kept", "kept", PAID)
    await refunds.fail(cx, "rfd-kept", code="account_closed", at=world.START)
    await a_case(cx, "xcp-kept", "refund_failed", {}, refund_id="rfd-kept")
    await charged(cx, a_charge("by-hand"), Verdict.SURPLUS, PAID)
    row = await sent_back(cx, "rfd-by-hand", "by-hand", PAID)
    shown = {"bank_reference": "7", "reason": "called"}
    await refunds.settle(cx, row, route="by_hand", channel_reference="", actor="ada", evidence=shown, at=world.START)
    back.append(given_back(cash(CHANNEL), CHANNEL, "rfd-by-hand", BUYER, TOTAL, "CNY", world.START))
    await insert_flows(cx, transfers=back)
    await charged(cx, a_charge("short", TOTAL - 1), Verdict.WRONG_AMOUNT, OPEN)
    await a_case(cx, "xcp-short", "payment_wrong_amount", {"channel_id": CHANNEL, "payment_id": "short"})
    await charged(cx, a_charge("stranger"), Verdict.UNKNOWN, None)
    await charges.settle_otherwise(cx, CHANNEL, "stranger")
    await a_case(cx, "xcp-stranger", "payment_unknown", {"channel_id": CHANNEL, "payment_id": "stranger"})
    await order_exceptions.resolve(cx, "xcp-stranger", by="ada", at=world.START, resolution={"decision": "settle"})


async def a_case(
    cx: Connection, case_id: str, kind: str, evidence: dict[str, str], *, refund_id: str | None = None
) -> None:
    await order_exceptions.open_exception(
        cx, exception_id=case_id, kind=kind, evidence=evidence, refund_id=refund_id, at=world.START
    )


async def found(database: Database, terms: InspectionTerms = QUIET) -> dict[str, str]:
    """The violations of payments' invariants: their subjects, by invariant."""
    async with database.transaction() as cx:
        violations = await inspect(cx, terms)
    return {each.invariant: each.subject for each in violations if each.invariant in PAYMENT_CHECKS}


async def test_what_really_happened_gives_no_alarm(bank: Database) -> None:
    assert await found(bank) == {}
    assert PAYMENT_CHECKS.items() <= CHECKS.items()


PLANTED: list[tuple[str, str]] = [
    ("channel_callback_handed_over", "UPDATE channel_callbacks SET state = 'waiting' WHERE event_id = 'waiting'"),
    ("payment_parts_add_up", f"UPDATE pay_order_parts SET amount_minor = 1, cash_minor = 1 WHERE pay_id = '{OPEN}'"),
    ("payment_refunds_add_up", f"UPDATE pay_orders SET refunding_minor = 1 WHERE id = '{GIVEN_BACK}'"),
    ("payment_refunds_add_up", f"UPDATE pay_orders SET refunded_minor = 1 WHERE id = '{PAID}'"),
    ("part_refunds_add_up", f"UPDATE pay_order_parts SET refunding_minor = 1 WHERE pay_id = '{GIVEN_BACK}'"),
    ("charge_refunds_add_up", "UPDATE charges SET refunded_minor = 0 WHERE payment_id = 'twice'"),
    ("charge_refunds_add_up", "UPDATE refunds SET state = 'refunded' WHERE id = 'rfd-part'"),
    ("payment_as_charged", "DELETE FROM charges WHERE payment_id = 'ch-1'"),
    ("payment_as_charged", "UPDATE charges SET amount_minor = amount_minor + 1 WHERE payment_id = 'ch-1'"),
    ("payment_as_charged", "UPDATE charges SET currency = 'EUR' WHERE payment_id = 'ch-1'"),
    ("payment_as_charged", "UPDATE charges SET verdict = 'accepted' WHERE payment_id = 'short'"),
    (
        "buyer_owed_as_unused",
        f"UPDATE ledger_balances SET credits_minor = credits_minor + 1 WHERE account = 'buyer:{BUYER}:unapplied'",
    ),
    ("buyer_owed_as_unused", f"UPDATE pay_order_parts SET state = 'returned' WHERE pay_id = '{PAID}'"),
    ("order_paid_once", f"UPDATE orders SET payment_status = 'unpaid' WHERE order_no = {ISSUED}"),
    ("order_paid_once", f"UPDATE orders SET payment_status = 'paid' WHERE order_no = {WAITING}"),
    ("order_paid_once", f"UPDATE pay_order_parts SET state = 'served', order_no = {ISSUED} WHERE pay_id = '{OPEN}'"),
    ("order_paid_once", f"UPDATE pay_order_parts SET successor_no = {WAITING} WHERE pay_id = '{PAID}'"),
    ("order_paid_once", f"UPDATE orders SET pays = 'on_account' WHERE order_no = {ISSUED}"),
    ("order_not_issued_unpaid", f"UPDATE orders SET status = 'issuing' WHERE order_no = {WAITING}"),
    (
        "surplus_goes_back",
        "UPDATE charges SET verdict = 'surplus', pay_id = 'pay-1', settled_otherwise = false "
        "WHERE payment_id = 'stranger'",
    ),
    ("odd_charge_has_case", "DELETE FROM order_exceptions WHERE id = 'xcp-short'"),
    ("odd_charge_decided", "UPDATE charges SET settled_otherwise = false WHERE payment_id = 'stranger'"),
    ("failed_refund_has_case", "UPDATE order_exceptions SET state = 'resolved' WHERE id = 'xcp-kept'"),
    ("hand_paid_has_evidence", "UPDATE refunds SET evidence = NULL WHERE id = 'rfd-by-hand'"),
    ("hand_paid_has_evidence", "UPDATE refunds SET evidence = '{\"reason\": \"so\"}' WHERE id = 'rfd-by-hand'"),
]


@pytest.mark.parametrize(("invariant", "plant"), PLANTED)
async def test_each_planted_violation_is_found(bank: Database, owner_url: str, invariant: str, plant: str) -> None:
    plant_as_owner(owner_url, plant)
    assert invariant in await found(bank)


async def test_a_payment_that_stays_undecided_is_an_alarm_unless_a_person_knows(bank: Database, owner_url: str) -> None:
    late = InspectionTerms(promise_s=60)
    assert (await found(bank, late)).get("payment_decided") == OPEN
    plant_as_owner(owner_url, f"UPDATE order_exceptions SET pay_id = '{OPEN}' WHERE id = 'xcp-short'")
    assert "payment_decided" not in await found(bank, late)


async def test_money_that_is_there_and_not_used_is_an_alarm_after_the_promise(bank: Database, owner_url: str) -> None:
    plant_as_owner(owner_url, f"UPDATE pay_order_parts SET state = 'open' WHERE pay_id = '{PAID}'")
    assert "payment_used" not in await found(bank)
    assert (await found(bank, InspectionTerms(promise_s=60)))["payment_used"] == f"{PAID} {ISSUED}"


def test_every_invariant_of_payments_has_a_planted_violation() -> None:
    """`payment_decided` and `payment_used` are a matter of time, and have tests of their own."""
    assert {invariant for invariant, _ in PLANTED} == set(PAYMENT_CHECKS) - {"payment_decided", "payment_used"}
