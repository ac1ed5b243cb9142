"""Goods: picked, packed, handed to a carrier, tracked to the door; and what happens when a parcel is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.fulfilment import FulfilmentActivities
from activities.fulfilment_messages import RecordTracking, UnitReport, WriteOff
from activities.issuance import IssuanceActivities
from activities.issuance_messages import TakeBackLine
from activities.order_messages import BookingRef
from api import order_host
from domain.units import TrackedEvent
from storage import units
from tests.platform import Platform
from tests.traders import ADDRESS, PRICE_MINOR, Caller, Supplier
from workflows.deliveries import delivery_workflow_id

pytestmark = pytest.mark.usefixtures("every_invariant_holds")


@pytest.fixture
async def caller(platform: Platform) -> Caller:
    return await platform.a_distributor()


async def happens(carrier: Supplier, event: str, number: int = 0) -> None:
    """The carrier's own people let it happen to one of its parcels."""
    reference = (await carrier.book())[number]["reference"]
    answer = await carrier.simulator.post(f"/control/{carrier.id}/shipments/{reference}/events", json={"event": event})
    assert answer.is_success, answer.text


async def unit(platform: Platform, order_no: int, number: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = (await platform.read(order_no))["lines"][0]["units"][number]
    return found


async def until_unit(platform: Platform, order_no: int, state: str, number: int = 0) -> dict[str, Any]:
    async def reached() -> dict[str, Any] | None:
        found = await unit(platform, order_no, number)
        return found if found["state"] == state else None

    found: dict[str, Any] = await platform.until(reached)
    return found


async def shipped(platform: Platform, caller: Caller, carrier: Supplier, quantity: int = 2) -> int:
    """An order whose parcel the carrier has picked up."""
    shirt = await platform.goods(carrier)
    order_no = await platform.placed(caller, (shirt, quantity), ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "issued"
    await happens(carrier, "picked_up")
    await until_unit(platform, order_no, "shipped")
    return order_no


async def test_goods_are_picked_packed_shipped_and_delivered(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    order_no = await shipped(platform, caller, carrier)
    parcel = await unit(platform, order_no)
    (booked,) = await carrier.book()
    assert (parcel["quantity"], parcel["code"], parcel["code_format"]) == (2, booked["waybill"], "WAYBILL")
    assert parcel["warehouse_id"] == booked["warehouse"] == "main"
    assert (await platform.read(order_no))["delivery_status"] == "shipped"
    await happens(carrier, "delivered")
    await until_unit(platform, order_no, "delivered")
    assert (await platform.read(order_no))["delivery_status"] == "delivered"
    assert await platform.delivered(order_no) == "completed"
    done = await unit(platform, order_no)
    assert [event["event"] for event in done["events"]] == [
        "picked", "packed", "issued", "shipped", "delivered", "completed",
    ]  # fmt: skip
    told = await platform.rows("SELECT kind FROM outbox_events WHERE subject_id = %s ORDER BY id", f"{order_no:019d}")
    assert [row["kind"] for row in told][-2:] == ["order.shipped", "order.delivered"]


async def test_a_carrier_that_never_calls_is_asked(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier(calls_back=False)
    shirt = await platform.goods(carrier)
    order_no = await platform.placed(caller, shirt, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    await happens(carrier, "picked_up")
    await happens(carrier, "delivered")
    assert await platform.delivered(order_no) == "completed"
    assert (await platform.read(order_no))["delivery_status"] == "delivered"


async def test_goods_need_an_address_that_somebody_serves(platform: Platform, caller: Caller) -> None:
    shirt = await platform.goods()
    refused = await platform.place(caller, shirt)
    assert (refused.status_code, refused.json()["code"]) == (409, "address_required")
    await platform.rows("UPDATE offers SET regions = '[\"CN/Beijing\"]' WHERE sku_id = %s", shirt.sku_id)
    refused = await platform.place(caller, shirt, ship_to=ADDRESS)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_deliverable")
    assert "Shanghai" in refused.json()["detail"]


async def test_a_carrier_of_the_whole_kind_carries_what_has_no_offer_of_its_own(
    platform: Platform, caller: Caller
) -> None:
    carrier = await platform.a_carrier()
    body = {
        "supplier_id": carrier.id, "kind": "physical", "supplier_product_id": "standard", "cost_minor": 900,
        "regions": ["CN/Tibet"],
    }  # fmt: skip
    made = await platform.api.post("/v1/offers", json=body, headers=platform.operator.once())
    assert made.status_code == 201, made.text
    again = await platform.api.post("/v1/offers", json=body, headers=platform.operator.once())
    assert (again.status_code, again.json()["code"]) == (409, "offer_exists")
    tent = await platform.traders.a_ticket(kind="physical", stock=1)
    order_no = await platform.placed(caller, tent, ship_to={**ADDRESS, "region": "Tibet"})
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    assert order["status"] == "issued"
    assert [flow["amount"]["amount_minor"] for flow in order["flows"] if flow["side"] == "payable"] == [900]
    ended = await platform.api.patch(
        f"/v1/offers/{made.json()['id']}", json={"active": False}, headers=platform.operator.headers
    )
    assert ended.json()["active"] is False


@pytest.mark.parametrize("fault", ["error_after", "drop_after", "unreadable", "confirm_late"])
async def test_an_unknown_answer_makes_no_second_parcel(platform: Platform, caller: Caller, fault: str) -> None:
    carrier = await platform.a_carrier()
    await carrier.next("ship", fault)
    shirt = await platform.goods(carrier)
    order_no = await platform.placed(caller, shirt, ship_to=ADDRESS)
    await platform.confirm(caller, order_no, wait_s=0)
    assert (await platform.settled(order_no))["status"] == "issued"
    assert await carrier.statuses() == ["CONFIRMED"]


async def test_another_carrier_takes_what_the_first_refuses(platform: Platform, caller: Caller) -> None:
    dear, cheap = await platform.a_carrier(), await platform.a_carrier()
    await dear.next("ship", "reject")
    shirt = await platform.goods(dear, cheap)
    order_no = await platform.placed(caller, shirt, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    assert (order["status"], await cheap.statuses()) == ("issued", ["CONFIRMED"])


async def test_goods_that_no_carrier_takes_are_refunded_and_back_in_stock(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    await carrier.next("ship", "reject")
    shirt = await platform.goods(carrier, stock=1)
    order_no = await platform.placed(caller, shirt, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    assert (order["status"], order["lines"][0]["units"][0]["state"]) == ("refunded", "void")
    (stock,) = await platform.rows("SELECT on_hand, held, sold FROM stock WHERE sku_id = %s", shirt.sku_id)
    assert stock == {"on_hand": 1, "held": 0, "sold": 0}


async def test_a_lost_parcel_waits_for_a_person_and_its_money_goes_back(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    order_no = await shipped(platform, caller, carrier)
    await happens(carrier, "lost")
    case = await platform.until_case(order_no, "unit_lost")
    assert (await platform.read(order_no))["delivery_status"] == "lost"
    decided = await platform.decide(case["id"], "give_up")
    assert decided.status_code == 200, decided.text
    order = await platform.read(order_no)
    assert (order["status"], order["refunded"], order["refund_status"]) == ("refunded", order["total"], "full")
    (parcel,) = order["lines"][0]["units"]
    assert (parcel["state"], parcel["breach"]["borne_by"]) == ("void", f"carrier/{carrier.id}")
    assert parcel["breach"]["cost"] == order["total"]
    (theirs,) = (await platform.read(order_no, caller))["lines"][0]["units"]
    assert (theirs["breach"]["borne_by"], theirs["code"]) == ("carrier", "")
    assert await platform.delivered(order_no) == "taken_back"


async def test_a_lost_parcel_that_is_found_needs_no_decision(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    order_no = await shipped(platform, caller, carrier)
    await happens(carrier, "lost")
    await platform.until_case(order_no, "unit_lost")
    await happens(carrier, "found")
    await until_unit(platform, order_no, "shipped")
    await happens(carrier, "delivered")
    assert await platform.delivered(order_no) == "completed"
    case = (await platform.cases(order_no))["unit_lost"]
    assert (case["state"], case["resolution"]["decision"]) == ("resolved", "cleared")


async def test_an_operator_who_finds_a_parcel_by_phone_needs_only_its_waybill(
    platform: Platform, caller: Caller
) -> None:
    carrier = await platform.a_carrier(calls_back=False, unique_references=False)
    await carrier.behave(forget_ms=-1)
    await carrier.next("ship", "drop_after")
    await carrier.next("ship", "forget")
    shirt = await platform.goods(carrier)
    order_no = await platform.placed(caller, (shirt, 3), ship_to=ADDRESS)
    await platform.confirm(caller, order_no, wait_s=0)
    await platform.fast_forward(order_no, 2000)
    case = await platform.until_case(order_no, "issuance_escalated")
    refused = await platform.decide(case["id"], "issued", supplier_reference="P1")
    assert (refused.json()["code"], refused.json()["quantity"]) == ("tickets_missing", 1)
    assert "waybill" in refused.json()["detail"]
    (booked,) = await carrier.book()
    told = {"supplier_ticket_id": booked["id"], "code": booked["waybill"], "code_format": "WAYBILL"}
    await platform.decide(case["id"], "issued", supplier_reference=booked["id"], tickets=[told])
    assert (await platform.settled(order_no))["status"] == "issued"
    parcel = await unit(platform, order_no)
    assert (parcel["quantity"], parcel["code"]) == (3, booked["waybill"])


async def test_a_wrong_waybill_is_corrected_by_version(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    order_no = await shipped(platform, caller, carrier)
    path = f"/v1/orders/{order_no:019d}/lines/1/units/0/waybill"

    async def correct(waybill: str, version: int) -> Any:
        body = {"waybill": waybill, "version": version}
        return await platform.api.post(path, json=body, headers=platform.operator.once())

    first = await correct("FIRST-0001", 1)
    assert (first.status_code, first.json()["version"]) == (200, 2)
    second = await correct("SECOND-0002", 2)
    assert second.json()["version"] == 3
    late = await correct("FIRST-0001", 1)
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    parcel = await unit(platform, order_no)
    assert (parcel["code"], parcel["version"]) == ("SECOND-0002", 3)
    missing = await platform.api.post(
        path.replace("units/0", "units/7"), json={"waybill": "ABCD", "version": 1}, headers=platform.operator.once()
    )
    assert (missing.status_code, missing.json()["code"]) == (404, "unit_not_found")


async def test_a_carriers_own_correction_comes_by_callback(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    await carrier.behave(correct_ms=200)
    await carrier.next("ship", "wrong_waybill")
    shirt = await platform.goods(carrier)
    order_no = await platform.placed(caller, shirt, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)

    async def right() -> bool:
        (booked,) = await carrier.book()
        parcel = await unit(platform, order_no)
        return bool(parcel["version"] > 1 and parcel["code"] == booked["waybill"])

    await platform.until(right)


async def test_what_carriers_tell_twice_or_out_of_order_moves_nothing_back(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    shirt = await platform.goods(carrier)
    order_no = await platform.placed(caller, shirt, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    await carrier.behave(callback_late_ms=400)
    await carrier.next("move", "callback_late")
    await happens(carrier, "picked_up")
    await carrier.next("move", "callback_twice")
    await happens(carrier, "delivered")
    await until_unit(platform, order_no, "delivered")

    async def both_told() -> bool:
        return {"shipped", "delivered"} <= {event["event"] for event in (await unit(platform, order_no))["events"]}

    await platform.until(both_told)
    assert await platform.delivered(order_no) == "completed"
    events = [event["event"] for event in (await unit(platform, order_no))["events"]]
    assert events.count("delivered") == events.count("shipped") == 1
    assert (await platform.read(order_no))["delivery_status"] == "delivered"


async def in_two_warehouses(platform: Platform, carrier: Supplier, here: int, there: int) -> Any:
    """Goods of which some are in `main` and some in a warehouse elsewhere."""
    shirt = await platform.goods(carrier, stock=here)
    await platform.rows(
        "INSERT INTO warehouses (id, name, country, region, city, rank, created_at) "
        "VALUES ('far', 'Far', 'CN', 'Yunnan', 'Kunming', 50, now()) ON CONFLICT DO NOTHING"
    )
    await platform.api.post(
        f"/v1/skus/{shirt.sku_id}/receipts",
        json={"reference": f"far-{shirt.sku_id}", "quantity": there, "warehouse_id": "far"},
        headers=platform.operator.once(),
    )
    return shirt


async def test_a_line_that_no_warehouse_has_whole_goes_in_two_parcels(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    shirt = await in_two_warehouses(platform, carrier, here=2, there=2)
    order_no = await platform.placed(caller, (shirt, 3), ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    units = order["lines"][0]["units"]
    assert (order["status"], sum(unit["quantity"] for unit in units)) == ("issued", 3)
    assert {unit["warehouse_id"] for unit in units} == {"main", "far"}
    book = await carrier.book()
    assert sorted(booked["warehouse"] for booked in book) == ["far", "main"]
    assert {unit["code"] for unit in units} == {booked["waybill"] for booked in book}
    await happens(carrier, "picked_up", 0)
    await happens(carrier, "delivered", 0)

    async def one_there() -> bool:
        states = [unit["state"] for unit in (await platform.read(order_no))["lines"][0]["units"]]
        return sorted(states) == ["delivered", "issued"]

    await platform.until(one_there)
    assert (await platform.read(order_no))["delivery_status"] == "shipped"
    await happens(carrier, "picked_up", 1)
    await happens(carrier, "delivered", 1)
    assert await platform.delivered(order_no) == "completed"
    assert (await platform.read(order_no))["delivery_status"] == "delivered"


async def one_of_two_is_lost(platform: Platform, caller: Caller, carrier: Supplier) -> dict[str, Any]:
    """The case about one parcel of an order of three pieces in two parcels."""
    shirt = await in_two_warehouses(platform, carrier, here=2, there=2)
    order_no = await platform.placed(caller, (shirt, 3), ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    await happens(carrier, "picked_up", 0)
    await happens(carrier, "lost", 0)
    return await platform.until_case(order_no, "unit_lost")


async def test_one_of_two_parcels_is_lost_and_its_share_goes_back(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    case = await one_of_two_is_lost(platform, caller, carrier)
    order_no = case["order_no"]
    lost = await unit(platform, order_no, case["evidence"]["unit"])
    await platform.decide(case["id"], "give_up")
    order = await platform.read(order_no)
    assert (order["status"], order["refund_status"]) == ("issued", "partial")
    assert order["refunded"]["amount_minor"] == PRICE_MINOR * lost["quantity"]
    await happens(carrier, "picked_up", 1)
    await happens(carrier, "delivered", 1)
    assert await platform.delivered(order_no) == "completed"


async def test_a_part_that_is_refused_calls_the_other_parcel_back(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    shirt = await in_two_warehouses(platform, carrier, here=1, there=1)
    order_no = await platform.placed(caller, (shirt, 2), ship_to=ADDRESS)
    await carrier.next("ship", "reject")
    await platform.confirm(caller, order_no, wait_s=0)
    order = await platform.settled(order_no)
    assert (order["status"], order["refunded"]) == ("refunded", order["total"])
    assert "CONFIRMED" not in await carrier.statuses()
    stock = await platform.rows("SELECT on_hand, held, sold FROM stock WHERE sku_id = %s", shirt.sku_id)
    assert stock == [{"on_hand": 1, "held": 0, "sold": 0}] * 2


async def test_what_is_taken_back_after_a_share_of_it_was_refunded_gives_back_the_rest(
    platform: Platform, caller: Caller
) -> None:
    carrier = await platform.a_carrier()
    case = await one_of_two_is_lost(platform, caller, carrier)
    order_no = case["order_no"]
    await platform.decide(case["id"], "give_up")
    kept = next(each for each in await bookings_of(platform, order_no) if each["unit"] != case["evidence"]["unit"])
    booking = BookingRef(order_no, 1, kept["attempt"], carrier.id)
    message = TakeBackLine(booking, datetime.now(UTC), "recalled", kept["cost_minor"])
    await IssuanceActivities(platform.database).take_back_line(message)
    order = await platform.read(order_no)
    assert (order["status"], order["refunded"], order["refund_status"]) == ("refunded", order["total"], "full")
    assert await credit_used(platform, caller) == 0


async def test_a_parcel_that_arrives_while_somebody_gives_it_up_is_paid_for(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    order_no = await shipped(platform, caller, carrier)
    await happens(carrier, "delivered")
    await until_unit(platform, order_no, "delivered")
    given_up = WriteOff(order_no, 1, 0, datetime.now(UTC), "asked by phone", platform.operator.id)
    await FulfilmentActivities(platform.database).write_off(given_up)
    order = await platform.read(order_no)
    assert (order["status"], order["refunded"]["amount_minor"]) == ("issued", 0)
    assert (await unit(platform, order_no))["breach"] is None


async def bookings_of(platform: Platform, order_no: int) -> list[dict[str, Any]]:
    return await platform.rows(
        "SELECT unit, attempt, cost_minor FROM fulfilment_units JOIN bookings USING (order_no, line_no, attempt) "
        "WHERE order_no = %s",
        order_no,
    )


async def credit_used(platform: Platform, caller: Caller) -> int:
    (row,) = await platform.rows("SELECT outstanding_minor FROM credit_lines WHERE distributor_id = %s", caller.id)
    return int(row["outstanding_minor"])


def on_its_way(platform: Platform, order_no: int) -> WorkflowHandle[Any, Any]:
    return platform.env.client.get_workflow_handle(delivery_workflow_id(order_no, 1))


async def test_a_parcel_that_is_lost_again_is_a_case_again(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    order_no = await shipped(platform, caller, carrier)
    await happens(carrier, "lost")
    await platform.until_case(order_no, "unit_lost")
    await happens(carrier, "found")
    await until_unit(platform, order_no, "shipped")
    await happens(carrier, "lost")

    async def two() -> list[dict[str, Any]]:
        rows = await platform.rows("SELECT * FROM order_exceptions WHERE order_no = %s ORDER BY id", order_no)
        return rows if [row["state"] for row in rows] == ["resolved", "open"] else []

    _, second = await platform.until(two)
    await platform.decide(second["id"], "give_up")
    assert (await platform.read(order_no))["status"] == "refunded"


async def test_a_parcel_that_is_overdue_waits_for_a_person_until_it_is_there(
    platform: Platform, caller: Caller
) -> None:
    """That it moved is no arrival; and that it is lost, when somebody has chosen to wait on, is another case."""
    carrier = await platform.a_carrier(calls_back=False)
    shirt = await platform.goods(carrier)
    order_no = await platform.placed(caller, shirt, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    await happens(carrier, "picked_up")
    await platform.env.fast_forward(on_its_way(platform, order_no), 31 * 86_400)
    case = await platform.until_case(order_no, "delivery_overdue")
    await platform.env.fast_forward(on_its_way(platform, order_no), 86_400)
    assert (await platform.cases(order_no))["delivery_overdue"]["state"] == "open"
    await platform.decide(case["id"], "keep")
    await happens(carrier, "lost")
    await platform.env.fast_forward(on_its_way(platform, order_no), 86_400)
    lost = await platform.until_case(order_no, "unit_lost")
    await platform.decide(lost["id"], "give_up")
    assert (await platform.read(order_no))["status"] == "refunded"


async def test_a_delivery_notices_that_its_line_was_taken_back(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier(calls_back=False)
    shirt = await platform.goods(carrier)
    order_no = await platform.placed(caller, shirt, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    (booked,) = await bookings_of(platform, order_no)
    booking = BookingRef(order_no, 1, booked["attempt"], carrier.id)
    reference = (await carrier.book())[0]["reference"]
    canceled = await carrier.simulator.post(
        f"/{carrier.id}/v1/shipments/{reference}/cancel", headers={"Authorization": f"Bearer {carrier.id}-token"}
    )
    assert canceled.is_success, canceled.text
    message = TakeBackLine(booking, datetime.now(UTC), "recalled", booked["cost_minor"])
    await IssuanceActivities(platform.database).take_back_line(message)
    assert await platform.delivered(order_no) == "taken_back"
    assert await platform.cases(order_no) == {}


async def test_what_is_told_in_whatever_order_says_where_a_parcel_stands(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier(calls_back=False)
    order_no = await issued(platform, caller, carrier)
    picked_up = datetime.now(UTC)
    await tell(platform, order_no, TrackedEvent("shipped", picked_up))
    await tell(platform, order_no, TrackedEvent("found", picked_up + timedelta(hours=2)))
    await tell(platform, order_no, TrackedEvent("lost", picked_up + timedelta(hours=1)))
    assert (await unit(platform, order_no))["state"] == "shipped"


async def test_a_line_that_its_supplier_keeps_stands_where_its_carrier_has_brought_it(
    platform: Platform, caller: Caller
) -> None:
    carrier = await platform.a_carrier(calls_back=False)
    order_no = await issued(platform, caller, carrier)
    now = datetime.now(UTC)
    await tell(platform, order_no, TrackedEvent("shipped", now))
    async with platform.database.transaction() as cx:
        await units.void(cx, order_no, 1, at=now, reason="all_or_nothing")
    await tell(platform, order_no, TrackedEvent("delivered", now + timedelta(hours=1)))
    assert (await unit(platform, order_no))["state"] == "void"
    async with platform.database.transaction() as cx:
        await units.restore(cx, order_no, 1, at=now + timedelta(hours=2))
    assert (await unit(platform, order_no))["state"] == "delivered"


async def issued(platform: Platform, caller: Caller, carrier: Supplier) -> int:
    order_no = await platform.placed(caller, await platform.goods(carrier), ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "issued"
    return order_no


async def tell(platform: Platform, order_no: int, event: TrackedEvent) -> None:
    (booked,) = await bookings_of(platform, order_no)
    report = UnitReport(order_no, 1, booked["attempt"], (event,))
    await FulfilmentActivities(platform.database).record_tracking(RecordTracking(report, event.at))


async def test_a_parcel_that_was_being_called_back_still_is_when_the_orders_process_was_lost(
    platform: Platform, caller: Caller
) -> None:
    """One line has failed and its other parcel is on its way back; another line is not decided for a long time."""
    carrier, seller = await platform.a_carrier(), await platform.a_supplier()
    shirt = await in_two_warehouses(platform, carrier, here=1, there=1)
    order_no = await platform.placed(caller, (shirt, 2), await platform.a_ticket(seller), ship_to=ADDRESS)
    await carrier.next("ship", "reject")
    await carrier.next("cancel", "error_before", count=2)
    await seller.fails(True)
    await platform.confirm(caller, order_no, wait_s=0)

    async def on_its_way_back() -> bool:
        found = await platform.rows("SELECT state FROM bookings WHERE order_no = %s", order_no)
        return "releasing" in [row["state"] for row in found]

    await platform.until(on_its_way_back)
    await carrier.fails(True)
    await platform.host(order_no).terminate("lost")
    await carrier.fails(False)
    await order_host.host_again(
        platform.env.client, order_no, distributor_id=caller.id, workflow_id=f"order/{order_no:019d}"
    )

    async def given_back() -> bool:
        return "CONFIRMED" not in await carrier.statuses()

    await platform.until(given_back)
    assert (await platform.read(order_no))["status"] == "issuing"
    await seller.fails(False)
    assert (await platform.settled(order_no))["status"] == "issued"
