"""Goods: picked, packed, handed to a carrier, tracked to the door; and what happens when a parcel is lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.platform import Platform
from tests.traders import ADDRESS, Caller, Supplier

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


async def until_open_cases(platform: Platform, order_no: int, count: int) -> list[dict[str, Any]]:
    """The order's open cases, once there are so many."""

    async def reached() -> tuple[list[dict[str, Any]]] | None:
        query = "SELECT id FROM order_exceptions WHERE order_no = %s AND state = 'open'"
        rows = await platform.rows(query, order_no)
        return (rows,) if len(rows) == count else None

    found: tuple[list[dict[str, Any]]] = await platform.until(reached)
    return found[0]


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


async def test_a_parcel_that_is_lost_again_after_it_was_found_is_another_case(
    platform: Platform, caller: Caller
) -> None:
    carrier = await platform.a_carrier()
    order_no = await shipped(platform, caller, carrier)
    await happens(carrier, "lost")
    first = await until_open_cases(platform, order_no, 1)
    await happens(carrier, "found")
    await until_open_cases(platform, order_no, 0)
    await happens(carrier, "lost")
    (case,) = await until_open_cases(platform, order_no, 1)
    assert case["id"] != first[0]["id"]
    assert (await platform.decide(case["id"], "give_up")).status_code == 200
    assert (await platform.read(order_no))["status"] == "refunded"
    assert await platform.delivered(order_no) == "taken_back"


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


async def test_one_of_two_parcels_is_lost_and_its_share_goes_back(platform: Platform, caller: Caller) -> None:
    carrier = await platform.a_carrier()
    shirt = await in_two_warehouses(platform, carrier, here=2, there=2)
    order_no = await platform.placed(caller, (shirt, 3), ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    await happens(carrier, "picked_up", 0)
    await happens(carrier, "lost", 0)
    case = await platform.until_case(order_no, "unit_lost")
    lost = await unit(platform, order_no, case["evidence"]["unit"])
    await platform.decide(case["id"], "give_up")
    order = await platform.read(order_no)
    assert (order["status"], order["refund_status"]) == ("issued", "partial")
    assert order["refunded"]["amount_minor"] == shirt.price_minor * lost["quantity"]
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
