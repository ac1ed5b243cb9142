"""Every no of placing: its code and its facts, and nothing held after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import Response

from tests.platform import Platform
from tests.traders import Caller, Ticket


@pytest.fixture
async def caller(platform: Platform) -> AsyncIterator[Caller]:
    """A distributor of whom nothing may be held or owed when the test is over."""
    distributor = await platform.a_distributor(limit_minor=100_000)
    yield distributor
    (line,) = await platform.rows("SELECT * FROM credit_lines WHERE distributor_id = %s", distributor.id)
    assert (line["held_minor"], line["outstanding_minor"]) == (0, 0)


async def refused(answer: Response, code: str, status: int = 409) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


async def test_a_changed_price_is_refused_with_the_new_one(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=1, price_minor=20_000)
    seen = Ticket(ticket.sku_id, ticket.product_id, 19_000)

    problem = await refused(await platform.place(caller, seen), "price_changed")

    assert problem["unit_price"] == {"amount_minor": 20_000, "currency": "CNY"}


async def test_a_price_whose_window_has_closed_cannot_be_paid_any_more(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=1)
    await platform.rows("UPDATE prices SET valid_to = now() WHERE sku_id = %s", ticket.sku_id)
    await refused(await platform.place(caller, ticket), "not_on_sale")


async def test_an_unknown_variant_is_not_found(platform: Platform, caller: Caller) -> None:
    await refused(await platform.place(caller, Ticket("sku-none", "prd-none", 1)), "product_not_found", 404)


@pytest.mark.parametrize("status", ["draft", "approved", "off_shelf", "frozen", "deleted"])
async def test_what_is_not_on_the_shelf_is_not_sold(platform: Platform, caller: Caller, status: str) -> None:
    await refused(await platform.place(caller, await platform.a_ticket(stock=1, status=status)), "not_on_sale")


async def test_what_no_supplier_offers_any_more_is_not_sold(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=1)
    await platform.rows("UPDATE offers SET active = false WHERE sku_id = %s", ticket.sku_id)
    await refused(await platform.place(caller, ticket), "not_on_sale")


async def test_another_currency_than_the_offers_is_refused(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=1)
    line = Platform.line(ticket) | {"unit_price": {"amount_minor": ticket.price_minor, "currency": "USD"}}
    answer = await platform.place(caller, currency="USD", lines=[line])
    await refused(answer, "currency_mismatch")


async def test_more_than_the_credit_line_has_free_is_refused(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=9)
    problem = await refused(await platform.place(caller, (ticket, 6)), "credit_exceeded")
    assert (problem["required_minor"], problem["available_minor"]) == (120_000, 100_000)


async def test_too_little_stock_is_refused_with_what_is_left(platform: Platform, caller: Caller) -> None:
    plenty, scarce = await platform.a_ticket(stock=5), await platform.a_ticket(stock=1)
    problem = await refused(await platform.place(caller, plenty, (scarce, 2)), "insufficient_stock")
    assert problem["left"] == {scarce.sku_id: 1}
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", plenty.sku_id)
    assert stock["held"] == 0


async def test_two_lines_of_one_variant_are_one_demand(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=3)
    problem = await refused(await platform.place(caller, (ticket, 2), (ticket, 2)), "insufficient_stock")
    assert problem["left"] == {ticket.sku_id: 3}


async def test_a_sold_out_variant_blocks_no_other_product(platform: Platform) -> None:
    gone, there = await platform.a_ticket(stock=0), await platform.a_ticket(stock=1)
    caller = await platform.a_distributor()
    await refused(await platform.place(caller, gone), "insufficient_stock")
    await platform.placed(caller, there)


async def test_a_blocked_buyer_is_refused(platform: Platform, caller: Caller) -> None:
    await platform.rows("INSERT INTO blocked_buyers VALUES (%s, 'mallory', 'fraud', now())", caller.id)
    answer = await platform.place(caller, await platform.a_ticket(stock=1), buyer_ref="mallory")
    await refused(answer, "buyer_blocked")


async def test_a_product_outside_the_callers_grants_is_not_permitted(platform: Platform, caller: Caller) -> None:
    mine, other = await platform.a_ticket(stock=1), await platform.a_ticket(stock=1)
    await platform.rows(
        "UPDATE grants SET resource_kind = 'product', resource_id = %s "
        "WHERE principal_id = %s AND action = 'order:create'",
        mine.product_id,
        caller.id,
    )
    await refused(await platform.place(caller, other), "not_permitted", 403)


async def test_a_buyer_who_has_had_the_limit_gets_no_more(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=9, buyer_limit=2)
    first = await platform.placed(caller, (ticket, 2), buyer_ref="ann")

    problem = await refused(await platform.place(caller, ticket, buyer_ref="ann"), "buyer_limit_exceeded")

    assert (problem["limit"], problem["already"]) == (2, 2)
    other = await platform.placed(caller, ticket, buyer_ref="bob")
    for order_no in (first, other):
        await platform.cancel(caller, order_no)


async def test_an_event_that_has_begun_is_not_sold(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=1, event_at=datetime.now(UTC) - timedelta(minutes=1))
    await refused(await platform.place(caller, ticket), "event_past")


async def test_a_product_sold_by_session_needs_one_that_exists(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=1, session_required=True)
    await refused(await platform.place(caller, ticket), "session_unknown")
    line = Platform.line(ticket, availability_id="2001-01-01T00:00:00+08:00")
    await refused(await platform.place(caller, lines=[line]), "session_unknown")


async def test_personal_tickets_need_a_name_each(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=5, visitors_required=True)
    line = Platform.line(ticket, 2, visitors=["Ann"])
    await refused(await platform.place(caller, lines=[line]), "visitors_required")
    named = await platform.place(caller, lines=[Platform.line(ticket, 2, visitors=["Ann", "Bob"])])
    assert named.status_code == 201
    await platform.cancel(caller, int(named.json()["order_no"]))


async def test_a_kind_without_a_category_is_refused_clearly(platform: Platform, caller: Caller) -> None:
    mug = await platform.a_ticket(stock=1, kind="furniture")
    problem = await refused(await platform.place(caller, mug), "category_not_supported")
    assert "furniture" in problem["detail"]


async def test_a_seat_that_the_supplier_will_not_hold_is_taken(platform: Platform, caller: Caller) -> None:
    supplier = await platform.a_supplier()
    await supplier.next("reserve", "reject")
    problem = await refused(await platform.place(caller, await platform.a_ticket(supplier, lock=True)), "seat_taken")
    assert problem["sku_id"].startswith("sku-")


async def test_one_refused_line_gives_back_the_seats_of_the_others(platform: Platform, caller: Caller) -> None:
    willing, unwilling = await platform.a_supplier(), await platform.a_supplier()
    await unwilling.next("reserve", "reject")
    tickets = [await platform.a_ticket(willing, lock=True), await platform.a_ticket(unwilling, lock=True)]

    await refused(await platform.place(caller, *tickets), "seat_taken")

    async def given_back() -> bool:
        return await willing.statuses() == ["CANCELLED"]

    await platform.until(given_back)


@pytest.mark.parametrize("subject", ["buyer", "device", "address"])
async def test_who_is_on_the_deny_list_is_denied(platform: Platform, caller: Caller, subject: str) -> None:
    await platform.rows("INSERT INTO risk_denials VALUES (%s, 'eve', 'chargebacks', now())", subject)
    who: dict[str, Any] = {f"{subject}_ref": "eve"}
    answer = await platform.place(caller, await platform.a_ticket(stock=1), **who)
    await refused(answer, "risk_denied")


async def test_a_refused_order_leaves_its_log_and_can_be_read(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=0)
    await refused(await platform.place(caller, ticket), "insufficient_stock")
    listed = await platform.api.get("/v1/orders", headers=caller.headers)
    (order,) = listed.json()["data"]
    detail = await platform.read(int(order["order_no"]), caller)
    assert (detail["status"], detail["refusal"]["code"]) == ("rejected", "insufficient_stock")
    assert "refuse" in [event["event"] for event in detail["timeline"]]
    again = await platform.confirm(caller, int(order["order_no"]))
    assert (again.status_code, again.json()["state"]) == (409, "rejected")
