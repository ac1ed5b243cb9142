"""A supplier's unasked *no* is a reason to ask, never a proof: what is booked all the same must not be bought twice."""

from __future__ import annotations

from tests.platform import Platform


async def test_an_unasked_no_beside_an_unknown_answer_does_not_send_the_line_elsewhere(platform: Platform) -> None:
    liar, honest = await platform.a_supplier(first_interval_s=30.0, ceiling_s=60.0), await platform.a_supplier()
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(liar, honest, lock=True)
    order_no = await platform.placed(caller, ticket)
    await liar.next("confirm", "error_after")
    assert (await platform.confirm(caller, order_no, wait_s=0)).status_code == 202
    await platform.until(lambda: _has_been_unknown(platform, order_no))

    (booking,) = await liar.book()
    await liar.says(platform.api, booking["reference"], "REJECTED")

    assert (await platform.settled(order_no))["status"] == "issued"
    assert (await liar.statuses(), await honest.statuses()) == (["CONFIRMED"], [])
    case = await platform.until_case(order_no, "contradiction")
    await platform.decide(case["id"], "keep")


async def test_an_unasked_no_that_is_true_ends_the_negotiation_at_once(platform: Platform) -> None:
    supplier = await platform.a_supplier(first_interval_s=30.0, ceiling_s=60.0)
    await supplier.behave(confirm_late_ms=1500)
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, lock=True)
    order_no = await platform.placed(caller, ticket)
    await supplier.next("confirm", "confirm_late")
    await supplier.next("confirm", "reject")

    assert (await platform.confirm(caller, order_no, wait_s=0)).status_code == 202

    assert (await platform.settled(order_no))["status"] == "refunded"
    assert await supplier.statuses() == ["REJECTED"]


async def _has_been_unknown(platform: Platform, order_no: int) -> bool:
    rows = await platform.rows("SELECT 1 FROM bookings WHERE order_no = %s AND negotiating_since IS NOT NULL", order_no)
    return bool(rows)
