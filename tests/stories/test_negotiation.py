"""After payment *unknown* is never taken for a *no*: the supplier is asked until it is known, or a person decides."""

from __future__ import annotations

from typing import Any

import pytest

from domain.issuance import Rejected
from tests.platform import Platform
from tests.traders import Supplier

PATIENCE: dict[str, Any] = {"first_interval_s": 60, "growth": 4, "ceiling_s": 600, "deadline_s": 1200}
"""Few questions, so that a deadline is near in questions and far in time."""


async def confirmed(platform: Platform, supplier: Supplier) -> int:
    """An order that has been sent to its supplier."""
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, stock=1))
    await platform.confirm(caller, order_no, wait_s=0.2)
    return order_no


@pytest.mark.parametrize("fault", ["error_after", "drop_after", "unreadable", "confirm_late"])
async def test_an_answer_that_tells_nothing_is_followed_by_questions(platform: Platform, fault: str) -> None:
    supplier = await platform.a_supplier(calls_back=False)
    await supplier.behave(confirm_late_ms=300)
    await supplier.next("confirm", fault)
    order_no = await confirmed(platform, supplier)
    detail = await platform.settled(order_no)
    assert (detail["status"], await supplier.statuses()) == ("issued", ["CONFIRMED"])
    reference = detail["lines"][0]["bookings"][0]["reference"]
    calls = await platform.rows("SELECT operation FROM supplier_calls WHERE reference = %s ORDER BY id", reference)
    assert [call["operation"] for call in calls][:2] == ["issue", "query"]


async def test_a_late_confirmation_called_back_ends_the_wait(platform: Platform) -> None:
    supplier = await platform.a_supplier(**PATIENCE)
    await supplier.behave(confirm_late_ms=300)
    await supplier.next("confirm", "confirm_late")
    order_no = await confirmed(platform, supplier)
    assert (await platform.read(order_no))["negotiating"] is True
    await platform.until_status(order_no, "issued")


async def test_a_line_under_negotiation_shows_since_when_and_how_often(platform: Platform) -> None:
    supplier = await platform.a_supplier(calls_back=False, **PATIENCE)
    await supplier.behave(confirm_late_ms=86_400_000)
    await supplier.next("confirm", "confirm_late")
    order_no = await confirmed(platform, supplier)
    await platform.fast_forward(order_no, 400)
    (line,) = (await platform.read(order_no))["lines"]
    assert (line["negotiating"], line["asked"]) == (True, 2)
    assert line["negotiating_since"] is not None


async def test_not_found_twice_over_the_window_permits_to_send_again(platform: Platform) -> None:
    supplier = await platform.a_supplier(calls_back=False)
    await supplier.next("reserve", "error_before")
    order_no = await confirmed(platform, supplier)
    detail = await platform.settled(order_no)
    assert (detail["status"], await supplier.statuses()) == ("issued", ["CONFIRMED"])
    assert detail["lines"][0]["asked"] >= 2
    (booking,) = detail["lines"][0]["bookings"]
    sends = await platform.rows(
        "SELECT at FROM supplier_calls WHERE operation = 'issue' AND reference = %s ORDER BY at", booking["reference"]
    )
    assert len(sends) == 2


async def test_where_references_are_not_unique_it_is_never_sent_again(platform: Platform) -> None:
    supplier = await platform.a_supplier(calls_back=False, deduplicates=False, unique_references=False, **PATIENCE)
    await supplier.next("reserve", "error_before")
    order_no = await confirmed(platform, supplier)
    await platform.fast_forward(order_no, 1300)
    case = await platform.until_case(order_no, "issuance_escalated")
    assert await supplier.book() == []

    answer = await platform.decide(case["id"], "give_up")

    assert answer.status_code in (200, 202)
    assert (await platform.settled(order_no))["status"] == "refunded"
    assert await supplier.book() == []


async def escalated(platform: Platform) -> tuple[Supplier, int, str]:
    """A booking that its supplier has made and denies: with an operator."""
    supplier = await platform.a_supplier(calls_back=False, unique_references=False, **PATIENCE)
    await supplier.behave(forget_ms=-1)
    await supplier.next("confirm", "forget")
    await supplier.next("confirm", "error_after")
    order_no = await confirmed(platform, supplier)
    await platform.fast_forward(order_no, 1300)
    case = await platform.until_case(order_no, "issuance_escalated")
    assert await supplier.statuses() == ["CONFIRMED"]
    return supplier, order_no, case["id"]


async def test_an_operator_who_finds_it_issued_has_it_issued(platform: Platform) -> None:
    supplier, order_no, case_id = await escalated(platform)
    assert (await platform.decide(case_id, "issued")).json()["code"] == "tickets_missing"
    assert "decide_issued" in (await platform.read(order_no))["allowed_actions"]

    ticket = {"supplier_ticket_id": "T-1", "code": "by-phone"}
    answer = await platform.decide(case_id, "issued", supplier_reference="NG-1", tickets=[ticket])

    assert (answer.status_code, answer.json()["state"]) == (200, "resolved")
    detail = await platform.settled(order_no)
    assert [each["code"] for each in detail["lines"][0]["tickets"]] == ["by-phone"]
    assert (await platform.decide(case_id, "give_up")).json()["code"] == "exception_closed"
    assert await supplier.statuses() == ["CONFIRMED"]


async def test_what_is_confirmed_after_giving_up_is_cancelled_at_the_supplier(platform: Platform) -> None:
    supplier, order_no, case_id = await escalated(platform)
    await platform.decide(case_id, "give_up")
    detail = await platform.settled(order_no)
    assert (detail["status"], detail["refund_status"]) == ("refunded", "full")
    assert await supplier.statuses() == ["CANCELLED"]


async def test_what_the_supplier_will_not_cancel_after_giving_up_is_a_recorded_loss(platform: Platform) -> None:
    supplier = await platform.a_supplier(calls_back=False, **PATIENCE)
    await supplier.next("confirm", "error_after")

    async def past_the_cutoff(call: Any) -> Any:
        return Rejected("UNPROCESSABLE_ENTITY") if call.name == "cancel_at_supplier" else await call.proceed()

    platform.interference.meet("too-late", past_the_cutoff)
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, stock=1)
    order_no = await platform.placed(caller, ticket, buyer_ref="too-late")
    await platform.confirm(caller, order_no, wait_s=0.2)
    await supplier.fails(True)
    await platform.fast_forward(order_no, 1300)
    case = await platform.until_case(order_no, "issuance_escalated")
    await supplier.fails(False)

    await platform.decide(case["id"], "give_up")

    detail = await platform.settled(order_no)
    assert [booking["state"] for booking in detail["lines"][0]["bookings"]] == ["lost"]
    (loss,) = await platform.rows(
        "SELECT * FROM ledger_transfers WHERE debit_account LIKE 'loss:%%' AND key LIKE %s", f"{order_no}/%"
    )
    assert (detail["status"], loss["amount_minor"]) == ("refunded", 17_000)
    assert await supplier.statuses() == ["CONFIRMED"]


async def test_cancel_and_refund_asks_the_supplier_to_cancel_before_money_goes_back(platform: Platform) -> None:
    supplier = await platform.a_supplier(
        calls_back=False, unique_references=False, deadline_policy="cancel_and_refund", **PATIENCE
    )
    await supplier.behave(forget_ms=-1)
    await supplier.next("confirm", "forget")
    await supplier.next("confirm", "error_after")
    order_no = await confirmed(platform, supplier)
    await supplier.next("cancel", "error_before", 2)
    detail = await platform.settled(order_no)
    assert (detail["status"], await supplier.statuses()) == ("refunded", ["CANCELLED"])
    assert (await supplier.hits())["error_before"] == 2
