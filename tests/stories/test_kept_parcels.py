"""A parcel is to be called back, since another line of its order failed, and its carrier will not give it back."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.platform import Platform
from tests.traders import ADDRESS, Caller, Supplier
from workflows.deliveries import delivery_workflow_id

pytestmark = pytest.mark.usefixtures("every_invariant_holds")

HASTY = {"first_interval_s": 0.2, "ceiling_s": 0.5, "consistency_window_s": 0.2}
"""A contract by which a supplier is asked often."""


@pytest.fixture
async def caller(platform: Platform) -> Caller:
    return await platform.a_distributor()


async def happens(carrier: Supplier, event: str) -> None:
    (parcel,) = await carrier.book()
    path = f"/control/{carrier.id}/shipments/{parcel['reference']}/events"
    answer = await carrier.simulator.post(path, json={"event": event})
    assert answer.is_success, answer.text


async def parcel_of(platform: Platform, order_no: int) -> dict[str, Any]:
    order = await platform.read(order_no)
    found: dict[str, Any] = order["lines"][0]["units"][0]
    return found


async def on_its_way_beside_a_silent_supplier(
    platform: Platform, caller: Caller, carrier: Supplier, silent: Supplier
) -> int:
    """An order of all or nothing: its parcel is with the carrier, its ticket's supplier says nothing."""
    shirt, ticket = await platform.goods(carrier), await platform.a_ticket(silent)
    order_no = await platform.placed(caller, shirt, ticket, all_or_nothing=True, ship_to=ADDRESS)
    await silent.fails(True)
    await platform.confirm(caller, order_no, wait_s=0)
    await until_parcel(platform, order_no, "issued")
    return order_no


async def until_parcel(platform: Platform, order_no: int, state: str) -> None:
    async def there() -> bool:
        units = (await platform.read(order_no))["lines"][0]["units"]
        return bool(units) and units[0]["state"] == state

    await platform.until(there)


async def test_a_parcel_that_its_carrier_keeps_goes_on_from_where_it_is(platform: Platform, caller: Caller) -> None:
    carrier, silent = await platform.a_carrier(), await platform.a_supplier(**HASTY)
    order_no = await on_its_way_beside_a_silent_supplier(platform, caller, carrier, silent)
    await happens(carrier, "picked_up")
    await until_parcel(platform, order_no, "shipped")

    await silent.fails(False)
    await silent.next("confirm", "reject")
    order = await platform.settled(order_no)
    assert [line["status"] for line in order["lines"]] == ["issued", "refunded"]
    assert "cannot_take_back" in await platform.cases(order_no)
    assert (await parcel_of(platform, order_no))["state"] == "shipped"

    await happens(carrier, "delivered")
    assert await platform.delivered(order_no) == "completed"
    parcel = await parcel_of(platform, order_no)
    assert [event["event"] for event in parcel["events"]] == [
        "picked", "packed", "issued", "shipped", "voided", "restored", "delivered", "completed",
    ]  # fmt: skip
    assert (await platform.read(order_no))["delivery_status"] == "delivered"


async def test_a_delivery_that_ended_while_its_parcel_was_void_begins_again(platform: Platform, caller: Caller) -> None:
    """The carrier answers no cancellation for a while, and meanwhile tells that it has picked the parcel up."""
    carrier, silent = await platform.a_carrier(), await platform.a_supplier(**HASTY)
    order_no = await on_its_way_beside_a_silent_supplier(platform, caller, carrier, silent)
    await carrier.fails(True)
    await silent.fails(False)
    await silent.next("confirm", "reject")
    await until_parcel(platform, order_no, "void")
    await happens(carrier, "picked_up")
    delivery = platform.env.client.get_workflow_handle(delivery_workflow_id(order_no, 1))
    assert await delivery.result() == "taken_back"

    await carrier.fails(False)
    assert (await platform.settled(order_no))["lines"][0]["status"] == "issued"
    assert (await parcel_of(platform, order_no))["state"] == "shipped"
    assert (await delivery.describe()).status is WorkflowExecutionStatus.RUNNING
    await happens(carrier, "delivered")
    assert await platform.delivered(order_no) == "completed"
