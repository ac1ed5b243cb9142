"""Between locked and confirmed: cancelled, expired, extended; parked by a risk rule before that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from tests.platform import Platform
from tests.traders import Caller


async def test_a_locked_order_is_cancelled_and_everything_comes_back(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, stock=1, lock=True)
    order_no = await platform.placed(caller, ticket)

    answer = await platform.cancel(caller, order_no)

    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert (await platform.settled(order_no))["cancel_reason"] == "changed my mind"
    assert await supplier.statuses() == ["CANCELLED"]
    await platform.placed(caller, ticket)


async def test_cancelling_again_gives_the_same_answer(platform: Platform) -> None:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1))
    answers = [await platform.cancel(caller, order_no) for _ in range(2)]
    assert [(each.status_code, each.json()["status"]) for each in answers] == [(200, "canceled")] * 2


async def test_a_cancelled_order_cannot_be_confirmed(platform: Platform) -> None:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1))
    await platform.cancel(caller, order_no)
    answer = await platform.confirm(caller, order_no)
    assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (
        409, "order_state_conflict", "canceled",
    )  # fmt: skip


async def test_an_order_that_is_being_issued_cannot_be_cancelled(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    await supplier.next("confirm", "slow")
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, stock=1))
    assert (await platform.confirm(caller, order_no, wait_s=0)).status_code == 202
    answer = await platform.cancel(caller, order_no)
    assert (answer.status_code, answer.json()["code"]) == (409, "issuance_undecided")
    assert (await platform.settled(order_no))["status"] == "issued"


async def test_an_issued_order_is_not_cancelled_but_confirmed_again(platform: Platform) -> None:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1))
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    assert (await platform.cancel(caller, order_no)).json()["state"] == "issued"
    again = await platform.confirm(caller, order_no)
    assert (again.status_code, again.json()["status"]) == (200, "issued")


async def test_a_dry_run_of_cancelling_changes_nothing(platform: Platform) -> None:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1))
    answer = await platform.act(caller, order_no, "cancel", query="?dry_run=true")
    assert answer.json()["status"] == "canceled"
    assert (await platform.read(order_no))["status"] == "locked"


async def test_a_hold_expires_after_its_time(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, stock=1, lock=True)
    order_no = await platform.placed(caller, ticket)

    await platform.fast_forward(order_no, 899)
    assert (await platform.read(order_no))["status"] == "locked"
    await platform.fast_forward(order_no, 10)

    detail = await platform.settled(order_no)
    assert (detail["status"], detail["cancel_reason"]) == ("canceled", "expired")
    assert await supplier.statuses() == ["CANCELLED"]
    listed = await platform.api.get("/v1/orders?status=canceled", headers=platform.operator.headers)
    assert f"{order_no:019d}" in {order["order_no"] for order in listed.json()["data"]}


async def test_a_suppliers_earlier_expiry_wins(platform: Platform) -> None:
    supplier = await platform.a_supplier(hold_s=300)
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, lock=True))
    detail = await platform.read(order_no)
    held_s = (_at(detail["hold_expires_at"]) - _at(detail["locked_at"])).total_seconds()
    assert held_s == pytest.approx(300, abs=5)
    await platform.fast_forward(order_no, 310)
    assert (await platform.settled(order_no))["cancel_reason"] == "expired"


async def test_a_hold_runs_on_up_to_the_ceiling(platform: Platform) -> None:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1))
    answer = await platform.act(caller, order_no, "extend", {"by_s": 1800})
    assert answer.status_code == 200
    await platform.fast_forward(order_no, 1500)
    assert (await platform.read(order_no))["status"] == "locked"

    answer = await platform.act(caller, order_no, "extend", {"by_s": 86_400})

    detail = await platform.read(order_no)
    held_s = (_at(answer.json()["hold_expires_at"]) - _at(detail["locked_at"])).total_seconds()
    assert held_s == pytest.approx(platform.settings.lock_ceiling_s, abs=1)
    await platform.fast_forward(order_no, 2200)
    assert (await platform.settled(order_no))["cancel_reason"] == "expired"


async def test_a_hold_is_not_extended_where_its_supplier_will_not(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    await supplier.next("extend", "error_before")
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, lock=True))
    before = (await platform.read(order_no))["hold_expires_at"]
    answer = await platform.act(caller, order_no, "extend", {"by_s": 1800})
    assert (answer.status_code, answer.json()["code"]) == (409, "hold_not_extended")
    assert (await platform.read(order_no))["hold_expires_at"] == before
    answer = await platform.act(caller, order_no, "extend", {"by_s": 1800})
    assert answer.status_code == 200


@pytest.fixture
async def parked(platform: Platform) -> AsyncIterator[tuple[Caller, int]]:
    """An order above the ceiling of a risk rule, waiting for an operator."""
    await platform.rows(
        "INSERT INTO risk_rules (id, kind, subject, threshold, outcome) "
        "VALUES ('big', 'amount', 'order', 500000, 'review')"
    )
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=1, price_minor=600_000)
    answer = await platform.place(caller, ticket)
    assert (answer.status_code, answer.json()["in_review"]) == (202, True)
    order_no = int(answer.json()["order_no"])
    await platform.until_case(order_no, "risk_review")
    yield caller, order_no
    await platform.rows("DELETE FROM risk_rules")


async def review(platform: Platform, order_no: int, decision: str) -> int:
    body = {"decision": decision, "reason": "looked at it"}
    return (await platform.act(platform.operator, order_no, "review", body)).status_code


async def test_a_parked_order_is_locked_once_an_operator_approves(
    platform: Platform, parked: tuple[Caller, int]
) -> None:
    caller, order_no = parked
    assert "approve" in (await platform.read(order_no))["allowed_actions"]
    assert "approve" not in (await platform.read(order_no, caller))["allowed_actions"]
    assert await review(platform, order_no, "approve") == 200
    assert (await platform.read(order_no))["status"] == "locked"
    assert (await platform.cases(order_no))["risk_review"]["state"] == "resolved"
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "issued"


async def test_a_parked_order_is_refused_once_an_operator_denies(
    platform: Platform, parked: tuple[Caller, int]
) -> None:
    _, order_no = parked
    assert await review(platform, order_no, "deny") == 200
    detail = await platform.settled(order_no)
    assert (detail["status"], detail["refusal"]["code"]) == ("rejected", "risk_denied")
    assert await review(platform, order_no, "approve") == 409


async def test_a_parked_order_is_refused_when_nobody_reviews_it(platform: Platform, parked: tuple[Caller, int]) -> None:
    _, order_no = parked
    await platform.fast_forward(order_no, platform.settings.review_s + 60)
    assert (await platform.settled(order_no))["status"] == "rejected"
    assert (await platform.cases(order_no))["risk_review"]["resolved_by"] == "system"


async def test_a_parked_order_can_be_cancelled(platform: Platform, parked: tuple[Caller, int]) -> None:
    caller, order_no = parked
    assert (await platform.cancel(caller, order_no)).status_code == 200
    assert (await platform.settled(order_no))["status"] == "canceled"
    assert (await platform.cases(order_no))["risk_review"]["state"] == "resolved"


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
