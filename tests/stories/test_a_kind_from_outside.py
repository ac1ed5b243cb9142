"""Kinds that the tree has never heard of, sold end to end: two files of somebody else, and the setting that names them.

Nothing here is arranged in rows but what no address of the API makes: parties' contracts, and when an event begins.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from api.app import create_app
from domain.access import Role
from domain.categories import CATEGORIES, KindMissing
from embedded.postgres import PostgresServer
from reconcile import reconcile
from settings import Settings
from storage.database import Database
from tests.platform import Platform, running_platform
from tests.traders import ADDRESS, Caller, Supplier, Ticket
from workflows.deliveries import delivery_workflow_id

pytestmark = pytest.mark.usefixtures("every_invariant_holds")

KINDS = "tests.outside.parking:Parking, tests.outside.flowers:Flowers"


@pytest.fixture(scope="module")
async def platform(
    postgres: PostgresServer, temporal_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """A platform whose only difference is a setting."""
    assert not {"parking", "flowers"} & set(CATEGORIES.names()), "the tree itself must not know them"
    directory = tmp_path_factory.mktemp("outside")
    async with running_platform(postgres, temporal_env, directory, "platform_outside", kinds=KINDS) as running:
        await a_category(running, "2001", "Parking", "parking")
        await a_category(running, "3001", "Flowers", "flowers")
        yield running


@pytest.fixture
async def caller(platform: Platform) -> Caller:
    return await platform.a_distributor()


async def a_category(platform: Platform, category_id: str, name: str, kind: str) -> None:
    """A root of the tree, made over HTTP."""
    body = {"id": category_id, "name": name, "kind": kind}
    answer = await platform.api.post("/v1/categories", json=body, headers=platform.operator.once())
    assert answer.status_code == 201, answer.text


async def on_the_shelf(platform: Platform, category_id: int, *, stock: int = 5) -> Ticket:
    """A merchant's document of that category, imported, approved and put on the shelf."""
    document = {
        "categoryId": category_id,
        "spu": {"name": "Saturday", "brandId": 9001, "description": ""},
        "skus": [{"skuName": "one", "price": 50, "stock": stock, "salesAttributes": []}],
    }
    headers = {**platform.operator.once(), "Content-Type": "application/json"}
    answer = await platform.api.post("/v1/products/import", content=json.dumps(document).encode(), headers=headers)
    assert answer.status_code == 201, answer.text
    product = answer.json()
    for event in ("submit", "approve", "put_on_shelf"):
        path = f"/v1/products/{product['id']}/transitions"
        moved = await platform.api.post(path, json={"event": event}, headers=platform.operator.once())
        assert moved.status_code == 200, moved.text
    return Ticket(product["skus"][0]["id"], product["id"], 5000)


async def begins(platform: Platform, ticket: Ticket, at: datetime) -> None:
    """As a supplier's catalogue says it: no merchant's document has dates."""
    await platform.rows("UPDATE skus SET event_at = %s WHERE id = %s", at, ticket.sku_id)


async def shown(platform: Platform, caller: Caller, ticket: Ticket) -> dict[str, Any]:
    answer = await platform.api.get(f"/v1/products/{ticket.product_id}", headers=caller.headers)
    assert answer.status_code == 200, answer.text
    product: dict[str, Any] = answer.json()
    return product


async def notices(platform: Platform, order_no: int) -> list[str]:
    rows = await platform.rows("SELECT kind FROM outbox_events WHERE subject_id = %s ORDER BY id", f"{order_no:019d}")
    return [row["kind"] for row in rows]


async def park(platform: Platform, caller: Caller, place: Ticket, **more: Any) -> Any:
    body = {"currency": "CNY", "lines": [platform.line(place, 2, **more)]}
    return await platform.answered(
        lambda: platform.api.post("/v1/orders", json=body, headers=caller.once(f"park-{place.sku_id}-{len(more)}"))
    )


async def test_parking_is_sold_shown_at_the_barrier_and_over_when_it_has_begun(
    platform: Platform, caller: Caller
) -> None:
    place, start = await on_the_shelf(platform, 2001), datetime.now(UTC) + timedelta(days=3)
    await begins(platform, place, start)
    product = await shown(platform, caller, place)
    assert (product["kind"], product["preview"]["what"]) == ("parking", "a parking place")

    placed = await park(platform, caller, place, account="B-TX-1234")
    assert placed.status_code == 201, placed.text
    order_no = int(placed.json()["order_no"])
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    (line,) = order["lines"]
    assert (order["status"], order["delivery_status"], len(line["tickets"])) == ("issued", "not_required", 2)
    assert line["preview"] == {
        "what": "a parking place", "how": "opens the barrier by its code", "when": "once confirmed",
    }  # fmt: skip
    assert "parking.begun" not in await notices(platform, order_no)

    assert await platform.delivered(order_no) == "completed"
    (line,) = (await platform.read(order_no))["lines"]
    assert [unit["state"] for unit in line["units"]] == ["completed", "completed"]
    assert (await notices(platform, order_no))[-1] == "parking.begun"
    done = datetime.fromisoformat(line["units"][0]["events"][-1]["at"])
    assert timedelta() <= done - start < timedelta(minutes=5)


async def test_parking_whose_process_was_lost_is_taken_up_again_and_told_once(
    platform: Platform, caller: Caller
) -> None:
    """As after a loss of Temporal's memory: only the rows know that something is left to do."""
    place = await on_the_shelf(platform, 2001)
    await begins(platform, place, datetime.now(UTC) + timedelta(days=2))
    order_no = int((await park(platform, caller, place, account="B-TX-555")).json()["order_no"])
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    lost = platform.env.client.get_workflow_handle(delivery_workflow_id(order_no, 1))
    await lost.terminate("lost")

    known = platform.settings.model_copy(
        update={
            "temporal_address": platform.env.client.service_client.config.target_host,
            "database_url": platform.postgres.url("tessera_owner", platform.name),
        }
    )
    told: list[str] = []
    assert (await reconcile(known, told.append)).deliveries == 1
    assert f"order {order_no:019d} line 1: on its way" in told[0]
    assert (await reconcile(known)).deliveries == 0
    assert await platform.delivered(order_no) == "completed"
    assert (await notices(platform, order_no)).count("parking.begun") == 1
    assert (await reconcile(known)).deliveries == 0


async def test_the_barrier_opens_once_for_a_parking_place(platform: Platform, caller: Caller) -> None:
    place = await on_the_shelf(platform, 2001)
    await begins(platform, place, datetime.now(UTC) + timedelta(minutes=30))
    order_no = int((await park(platform, caller, place, account="B-TX-777")).json()["order_no"])
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    gate = await platform.traders.an_operator(Role.GATE)
    (line,) = (await platform.read(order_no, caller))["lines"]
    body = {"code": line["tickets"][0]["code"], "gate_id": "barrier-1"}
    scans = [await platform.api.post("/v1/gate/redemptions", json=body, headers=gate.once()) for _ in range(2)]
    assert [scan.status_code for scan in scans] == [200, 409]


async def test_the_inspection_misses_a_ticket_of_a_kind_from_outside(platform: Platform, caller: Caller) -> None:
    place = await on_the_shelf(platform, 2001)
    order_no = int((await park(platform, caller, place, account="B-TX-999")).json()["order_no"])
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    (taken,) = await platform.rows("DELETE FROM tickets WHERE order_no = %s AND unit = 1 RETURNING *", order_no)
    found = await platform.violations()
    assert [(each.invariant, each.subject) for each in found] == [("tickets_as_issued", f"{order_no}/1")]
    names = ", ".join(taken)
    places = ", ".join(["%s"] * len(taken))
    await platform.rows(f"INSERT INTO tickets ({names}) VALUES ({places})", *taken.values())


async def test_a_rule_of_the_kind_refuses_with_its_own_code_and_sentence(platform: Platform, caller: Caller) -> None:
    place = await on_the_shelf(platform, 2001)
    refused = await park(platform, caller, place)
    assert (refused.status_code, refused.json()["code"]) == (409, "plate_required")
    assert "number plate" in refused.json()["detail"]


async def test_parking_that_is_full_is_refused(platform: Platform, caller: Caller) -> None:
    place = await on_the_shelf(platform, 2001, stock=1)
    refused = await park(platform, caller, place, account="B-TX-1")
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_stock")


async def a_florists_rider(platform: Platform, **offer: Any) -> Supplier:
    """A carrier with a standing offer for the whole kind, made over HTTP."""
    rider = await platform.a_carrier()
    body = {"supplier_id": rider.id, "kind": "flowers", "supplier_product_id": "standard", "cost_minor": 700, **offer}
    made = await platform.api.post("/v1/offers", json=body, headers=platform.operator.once())
    assert made.status_code == 201, made.text
    return rider


async def lets(rider: Supplier, event: str) -> None:
    reference = (await rider.book())[-1]["reference"]
    answer = await rider.simulator.post(f"/control/{rider.id}/shipments/{reference}/events", json={"event": event})
    assert answer.is_success, answer.text


async def test_flowers_are_bound_handed_to_a_rider_and_brought_to_the_door(platform: Platform, caller: Caller) -> None:
    rider = await a_florists_rider(platform)
    bunch = await on_the_shelf(platform, 3001)
    assert (await shown(platform, caller, bunch))["preview"]["how"] == "bound by us, brought to the door"

    nowhere = await platform.place(caller, bunch)
    assert (nowhere.status_code, nowhere.json()["code"]) == (409, "address_required")
    order_no = await platform.placed(caller, bunch, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "issued"
    assert await rider.statuses() == ["CONFIRMED"]

    await lets(rider, "picked_up")
    await lets(rider, "delivered")
    assert await platform.delivered(order_no) == "completed"
    order = await platform.read(order_no)
    (unit,) = order["lines"][0]["units"]
    assert [event["event"] for event in unit["events"]] == [
        "bound", "issued", "shipped", "delivered", "photographed", "completed",
    ]  # fmt: skip
    assert (order["delivery_status"], unit["code_format"]) == ("delivered", "WAYBILL")
    assert (await notices(platform, order_no))[-1] == "flowers.delivered"
    assert [flow["amount"]["amount_minor"] for flow in order["flows"] if flow["side"] == "payable"] == [700]


async def test_flowers_that_are_lost_become_a_case_and_their_price_goes_back(
    platform: Platform, caller: Caller
) -> None:
    rider = await platform.a_carrier()
    bunch = await on_the_shelf(platform, 3001)
    body = {"supplier_id": rider.id, "sku_id": bunch.sku_id, "supplier_product_id": "standard", "cost_minor": 1}
    made = await platform.api.post("/v1/offers", json=body, headers=platform.operator.once())
    assert made.status_code == 201, made.text
    order_no = await platform.placed(caller, bunch, ship_to=ADDRESS)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    await lets(rider, "picked_up")
    await lets(rider, "lost")
    case = await platform.until_case(order_no, "unit_lost")
    await platform.decide(case["id"], "give_up")
    assert await platform.delivered(order_no) == "taken_back"
    order = await platform.read(order_no)
    assert (order["status"], order["refunded"]) == ("refunded", order["total"])


async def test_an_offer_or_a_category_of_a_kind_that_nobody_has_named_is_refused(platform: Platform) -> None:
    body = {"id": "4001", "name": "Courses", "kind": "course"}
    refused = await platform.api.post("/v1/categories", json=body, headers=platform.operator.once())
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_kind")
    assert {"parking", "flowers"} <= set(refused.json()["known"])


def test_a_place_without_a_kind_stops_the_api_at_its_start() -> None:
    settings = Settings(kinds="tests.outside.parking:Parkings")
    with pytest.raises(KindMissing, match=r"There is no kind at 'tests\.outside\.parking:Parkings': .*`package\.mod"):
        create_app(settings, Database("postgresql:///none"), None)
