"""Issuing: in part, all or nothing, elsewhere; stock policies; lost workflows. Nothing twice and nothing dropped."""

from __future__ import annotations

from typing import Any

from tests.platform import Platform


async def issued(platform: Platform, *tickets: Any, **body: Any) -> dict[str, Any]:
    """The order in full after it was placed, confirmed, and has come to rest."""
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, *tickets, **body)
    await platform.confirm(caller, order_no)
    return await platform.settled(order_no)


async def test_what_can_be_issued_is_and_the_rest_is_refunded(platform: Platform) -> None:
    good, bad = await platform.a_supplier(), await platform.a_supplier()
    await bad.next("confirm", "reject")
    detail = await issued(platform, await platform.a_ticket(good, stock=1), (await platform.a_ticket(bad, stock=2), 2))
    assert [line["status"] for line in detail["lines"]] == ["issued", "refunded"]
    assert (detail["status"], detail["refund_status"]) == ("issued", "partial")
    assert detail["refunded"]["amount_minor"] == 40_000
    assert detail["lines"][1]["failure"]["code"] == "issue_rejected"
    (stock,) = await platform.rows("SELECT * FROM stock WHERE sku_id = %s", detail["lines"][1]["sku_id"])
    assert (stock["on_hand"], stock["sold"]) == (2, 0)


async def test_all_or_nothing_takes_back_what_was_issued(platform: Platform) -> None:
    good, bad = await platform.a_supplier(), await platform.a_supplier()
    await bad.next("confirm", "reject")
    tickets = [await platform.a_ticket(good, stock=1), await platform.a_ticket(bad, stock=1)]
    detail = await issued(platform, *tickets, all_or_nothing=True)
    assert (detail["status"], detail["refund_status"]) == ("refunded", "full")
    assert await good.statuses() == ["CANCELLED"]
    assert {ticket["status"] for line in detail["lines"] for ticket in line["tickets"]} == {"void"}


async def test_another_supplier_issues_what_the_first_rejects(platform: Platform) -> None:
    first, second = await platform.a_supplier(), await platform.a_supplier()
    await first.next("confirm", "reject")
    detail = await issued(platform, await platform.a_ticket((first, 17_000), (second, 17_000), stock=1))
    assert detail["status"] == "issued"
    assert (await first.statuses(), await second.statuses()) == (["REJECTED"], ["CONFIRMED"])
    bookings = detail["lines"][0]["bookings"]
    assert [booking["state"] for booking in bookings] == ["rejected", "confirmed"]
    assert len({booking["reference"] for booking in bookings}) == 2


async def test_a_dearer_supplier_is_not_tried(platform: Platform) -> None:
    first, dearer = await platform.a_supplier(), await platform.a_supplier()
    await first.next("confirm", "reject")
    detail = await issued(platform, await platform.a_ticket((first, 17_000), (dearer, 17_001), stock=1))
    assert detail["status"] == "refunded"
    assert await dearer.book() == []


async def test_a_supplier_that_cannot_be_reached_is_passed_over(platform: Platform) -> None:
    away = await platform.a_supplier(base_url="http://127.0.0.1:1/octo")
    there = await platform.a_supplier()
    detail = await issued(platform, await platform.a_ticket(away, there, stock=1))
    assert detail["status"] == "issued"
    assert await there.statuses() == ["CONFIRMED"]


async def test_stock_taken_at_placing_is_sold_and_comes_back_when_cancelled(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=1, policy="at_place")
    order_no = await platform.placed(caller, ticket)
    (stock,) = await platform.rows("SELECT * FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert (stock["on_hand"], stock["held"], stock["sold"]) == (0, 0, 1)
    assert (await platform.place(caller, ticket)).json()["code"] == "insufficient_stock"
    await platform.cancel(caller, order_no)
    assert (await issued(platform, ticket))["status"] == "issued"


async def test_stock_that_is_gone_at_payment_is_refunded(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, stock=1, policy="at_payment")
    orders = [await platform.placed(caller, ticket) for _ in range(2)]
    for order_no in orders:
        await platform.confirm(caller, order_no)
    details = [await platform.settled(order_no) for order_no in orders]
    assert [detail["status"] for detail in details] == ["issued", "refunded"]
    assert details[1]["lines"][0]["failure"]["code"] == "insufficient_stock"
    assert await supplier.statuses() == ["CONFIRMED"]


async def test_stock_gone_at_payment_gives_back_the_seat_too(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller = await platform.a_distributor()
    ticket = await platform.a_ticket(supplier, stock=1, policy="at_payment", lock=True)
    orders = [await platform.placed(caller, ticket) for _ in range(2)]
    for order_no in orders:
        await platform.confirm(caller, order_no)
        await platform.settled(order_no)
    assert await supplier.statuses() == ["CONFIRMED", "CANCELLED"]


async def test_a_locked_order_whose_workflow_was_lost_goes_on(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, stock=1, lock=True))
    await platform.host(order_no).terminate("lost")
    answer = await platform.confirm(caller, order_no)
    assert answer.json()["status"] == "issued"
    await platform.settled(order_no)
    assert await supplier.statuses() == ["CONFIRMED"]


async def test_a_locked_order_whose_workflow_was_lost_can_be_cancelled(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, stock=1, lock=True))
    await platform.host(order_no).terminate("lost")
    assert (await platform.cancel(caller, order_no)).json()["status"] == "canceled"
    await platform.settled(order_no)
    assert await supplier.statuses() == ["CANCELLED"]


async def test_an_order_lost_while_it_was_issued_is_asked_about_and_never_sent_again(platform: Platform) -> None:
    supplier = await platform.a_supplier(calls_back=False)
    await supplier.next("confirm", "slow")
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, stock=1))
    await platform.confirm(caller, order_no, wait_s=0)
    await platform.until_status(order_no, "issuing")
    await platform.host(order_no).terminate("lost")
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "issued"
    assert await supplier.statuses() == ["CONFIRMED"]


async def test_cancelling_in_the_temporal_ui_cancels_the_order(platform: Platform) -> None:
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1))
    await platform.host(order_no).cancel()
    assert (await platform.settled(order_no))["status"] == "canceled"
