"""Before payment a quick no beats a slow maybe: one try, short time-outs, a breaker, and everything given back."""

from __future__ import annotations

from typing import Any

import pytest

from domain.issuance import Pending
from tests.platform import Platform
from tests.traders import Caller, Supplier, Ticket


async def until_statuses(platform: Platform, supplier: Supplier, *statuses: str) -> None:
    async def reached() -> bool:
        return await supplier.statuses() == list(statuses)

    await platform.until(reached)


async def order_of(platform: Platform, caller: Caller) -> int:
    (row,) = await platform.rows("SELECT order_no FROM orders WHERE distributor_id = %s", caller.id)
    return int(row["order_no"])


@pytest.mark.parametrize("fault", ["error_after", "drop_after", "unreadable", "hang"])
async def test_a_lock_of_which_nothing_is_known_is_refused_and_given_back(platform: Platform, fault: str) -> None:
    supplier = await platform.a_supplier(lock_timeout_s=0.5)
    await supplier.behave(hang_ms=1500)
    await supplier.next("reserve", fault)
    await supplier.next("cancel", "error_before")
    caller = await platform.a_distributor()
    answer = await platform.place(caller, await platform.a_ticket(supplier, stock=1, lock=True))
    assert (answer.status_code, answer.json()["code"]) == (409, "supplier_unavailable")
    await until_statuses(platform, supplier, "CANCELLED")
    assert (await platform.settled(await order_of(platform, caller)))["status"] == "rejected"
    assert (await supplier.hits())["error_before"] == 1


async def test_the_next_supplier_is_tried_where_the_first_has_certainly_not_taken_the_seat(platform: Platform) -> None:
    full, free = await platform.a_supplier(), await platform.a_supplier()
    await full.next("reserve", "reject")
    await platform.placed(await platform.a_distributor(), await platform.a_ticket(full, free, lock=True))
    assert (await full.book(), await free.statuses()) == ([], ["ON_HOLD"])


async def test_an_asynchronous_lock_is_asked_for_until_it_is_held(platform: Platform) -> None:
    supplier = await platform.a_supplier()

    async def accepted_only(call: Any) -> Any:
        answer = await call.proceed()
        return Pending("in their queue") if call.name == "reserve_at_supplier" else answer

    platform.interference.meet("patient", accepted_only)
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, lock=True), buyer_ref="patient")
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "issued"
    assert await supplier.statuses() == ["CONFIRMED"]


async def broken(platform: Platform, supplier: Supplier, ticket: Ticket, caller: Caller) -> None:
    """The supplier fails until its breaker opens."""
    await supplier.next("reserve", "error_before", 100)
    for _ in range(15):
        answer = await platform.place(caller, ticket)
        assert answer.json()["code"] == "supplier_unavailable"
        if (await breaker(platform, supplier))["state"] == "open":
            return
    raise AssertionError("the breaker did not open")


async def breaker(platform: Platform, supplier: Supplier) -> dict[str, Any]:
    answer = await platform.api.get(f"/v1/suppliers/{supplier.id}/breaker", headers=platform.operator.headers)
    state: dict[str, Any] = answer.json()
    return state


async def force(platform: Platform, supplier: Supplier, state: str) -> None:
    answer = await platform.api.put(
        f"/v1/suppliers/{supplier.id}/breaker",
        json={"state": state, "reason": "seen on their status page"},
        headers=platform.operator.headers,
    )
    assert answer.status_code == 200, answer.text


async def test_a_breaker_opens_refuses_at_once_and_is_closed_by_its_probe(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, lock=True)
    await broken(platform, supplier, ticket, caller)

    before = (await supplier.hits())["error_before"]
    assert (await platform.place(caller, ticket)).json()["code"] == "supplier_unavailable"
    assert (await supplier.hits())["error_before"] == before

    await platform.simulator.post(f"/control/{supplier.id}/reset")
    await platform.rows(
        "UPDATE supplier_breakers SET opened_at = now() - interval '1 hour', probe_at = NULL WHERE supplier_id = %s",
        supplier.id,
    )
    await platform.placed(caller, ticket)
    assert (await breaker(platform, supplier))["state"] == "closed"


async def test_an_operator_may_force_a_breaker_either_way(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(supplier, lock=True)
    await force(platform, supplier, "forced_open")
    assert (await platform.place(caller, ticket)).json()["code"] == "supplier_unavailable"
    assert await supplier.book() == []
    await force(platform, supplier, "forced_closed")
    await platform.placed(caller, ticket)
    await force(platform, supplier, "closed")
    await platform.placed(caller, ticket)


async def test_a_broken_supplier_stops_no_other(platform: Platform) -> None:
    down, up = await platform.a_supplier(), await platform.a_supplier()
    caller = await platform.a_distributor()
    await force(platform, down, "forced_open")
    await platform.placed(caller, await platform.a_ticket(down, up, lock=True))
    assert (await down.book(), await up.statuses()) == ([], ["ON_HOLD"])
