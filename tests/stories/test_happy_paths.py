"""An order's good days: placed, confirmed, issued."""

from __future__ import annotations

from tests.platform import Platform


async def test_a_ticket_of_our_own_quota_is_placed_confirmed_and_issued(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=3)

    order_no = await platform.placed(caller, (ticket, 2))
    answer = await platform.confirm(caller, order_no)

    assert answer.json()["status"] == "issued"
    detail = await platform.settled(order_no)
    assert [len(line["tickets"]) for line in detail["lines"]] == [2]
    assert (detail["payment_status"], detail["fulfillment_status"]) == ("on_account", "fulfilled")
    (stock,) = await platform.rows("SELECT * FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert (stock["on_hand"], stock["held"], stock["sold"]) == (1, 0, 2)


async def test_a_seat_is_held_at_its_supplier_from_placing_on(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, lock=True)

    order_no = await platform.placed(caller, ticket)
    assert await supplier.statuses() == ["ON_HOLD"]
    await platform.confirm(caller, order_no)

    assert (await platform.settled(order_no))["status"] == "issued"
    assert await supplier.statuses() == ["CONFIRMED"]


async def test_three_lines_over_two_suppliers_are_issued_side_by_side(platform: Platform) -> None:
    east, west = await platform.a_supplier(), await platform.a_supplier()
    caller = await platform.a_distributor()
    tickets = [
        await platform.a_ticket(east, stock=5),
        await platform.a_ticket(west, lock=True),
        await platform.a_ticket(east, lock=True),
    ]

    order_no = await platform.placed(caller, *tickets)
    await platform.confirm(caller, order_no)

    detail = await platform.settled(order_no)
    assert [line["status"] for line in detail["lines"]] == ["issued"] * 3
    assert (await east.statuses(), await west.statuses()) == (["CONFIRMED"] * 2, ["CONFIRMED"])


async def test_local_activities_pass_by_the_interference(platform: Platform) -> None:
    """The fault runs rely on it."""
    before = platform.interference.locals_seen
    await platform.placed(await platform.a_distributor(), await platform.a_ticket(stock=1))
    assert platform.interference.locals_seen >= before + 3
