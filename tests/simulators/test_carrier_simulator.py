"""The carrier simulator itself: its book is a judge of the fault runs, so it is judged as carefully."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from adapters.suppliers.callbacks import CallbackRefused, verified_body
from domain.supplier_books import BookEntry
from simulators.carrier.serving import serving
from tests.simulators.outside import SECRET, Controlled, Receiver, a_process, up

SHANGHAI = {
    "receiver": "Lin Wei",
    "phone": "13800000000",
    "country": "CN",
    "region": "Shanghai",
    "city": "Shanghai",
    "street": "1 Nanjing Road",
}
JOURNEY = ["accepted", "picked_up", "in_transit", "out_for_delivery", "delivered"]


class Depot(Controlled):
    """One carrier as a test sees it: its protocol on one side, control on the other."""

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        given = {"Authorization": f"Bearer {self.name}-token"} | headers
        return await self.client.request(method, f"{self.url}/{self.name}/v1{path}", json=body, headers=given)

    async def ship(self, reference: str | None = None, **changes: Any) -> Any:
        parcel = {
            "reference": reference or str(uuid4()),
            "from": {"warehouse": "wh1"},
            "to": SHANGHAI,
            "goods": [{"sku": "sku_1", "title": "Tote bag", "quantity": 2, "weight_g": 300}],
            "metadata": {"order_no": "20260000000001", "unit_references": ["u1", "u2"]},
        }
        answer = await self.call("POST", "/shipments", parcel | changes)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def cancel(self, reference: str) -> httpx2.Response:
        return await self.call("POST", f"/shipments/{reference}/cancel", {"reason": "changed plans"})

    async def read(self, reference: str) -> Any:
        return (await self.call("GET", f"/shipments/{reference}")).json()

    async def tell(self, reference: str, event: str) -> None:
        await self.control("POST", f"/shipments/{reference}/events", {"event": event})

    async def events(self, reference: str) -> list[str]:
        found = (await self.call("GET", f"/shipments/{reference}/events")).json()["events"]
        return [each["event"] for each in found]

    async def until(self, reference: str, event: str) -> list[str]:
        async with asyncio.timeout(5):
            while event not in (seen := await self.events(reference)):
                await asyncio.sleep(0.02)
        return seen


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("carriers")) as base_url:
        yield base_url


@asynccontextmanager
async def a_depot(url: str, name: str | None = None, **settings: Any) -> AsyncIterator[Depot]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        depot = Depot(client, url, name or f"c{uuid4().hex[:12]}")
        await depot.control("PUT", "", settings)
        yield depot


@pytest.fixture
async def depot(url: str) -> AsyncIterator[Depot]:
    async with a_depot(url) as made:
        yield made


def told(receiver: Receiver) -> list[tuple[str, str | None]]:
    """(status, event) of every callback, in the order of their arrival; each is proved to be the carrier's."""
    bodies = [verified_body(SECRET, body, headers) for body, headers in receiver.taken]
    return [(each["shipment"]["status"], each["event"] and each["event"]["event"]) for each in bodies]


async def test_two_carriers_are_open_from_the_start_and_healthy(url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        carriers = (await client.get(f"{url}/control")).json()["suppliers"]
    houses = {each["name"]: each for each in carriers if each["name"] == each["like"]}
    assert set(houses) == {"swift", "local"}
    assert houses["swift"]["regions"] is None
    assert "Shanghai" in houses["local"]["regions"]
    assert not any(each["moves"] or each["faults"]["rates"] for each in houses.values())


async def test_a_parcel_is_accepted_with_a_waybill_and_stays_where_it_is(depot: Depot) -> None:
    parcel = await depot.ship()
    assert (parcel["status"], parcel["waybill_version"], parcel["pieces"]) == ("accepted", 1, 2)
    assert parcel["weight_g"] == 600
    assert len(parcel["waybill"]) == 14
    assert await depot.read(parcel["reference"]) == parcel
    assert await depot.events(parcel["reference"]) == ["accepted"]
    assert (await depot.ship())["waybill"] != parcel["waybill"]


async def test_one_reference_is_one_parcel_unless_the_carrier_does_not_deduplicate(url: str, depot: Depot) -> None:
    first = await depot.ship()
    assert await depot.ship(first["reference"]) == first
    assert len(await depot.book()) == 1
    async with a_depot(url, deduplicates=False) as careless:
        twice = [await careless.ship("same") for _ in range(2)]
        assert len({each["waybill"] for each in twice}) == 2
        assert len(await careless.book("?reference=same")) == 2


async def test_a_reference_that_was_used_for_another_parcel_is_a_conflict(depot: Depot) -> None:
    parcel = await depot.ship()
    other = {
        "reference": parcel["reference"],
        "from": {"warehouse": "wh1"},
        "to": SHANGHAI | {"street": "2 Nanjing Road"},
        "goods": [{"sku": "sku_1", "title": "Tote bag", "quantity": 2, "weight_g": 300}],
    }
    answer = await depot.call("POST", "/shipments", other)
    assert (answer.status_code, answer.json()["error"]) == (409, "reference_conflict")
    assert len(await depot.book()) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": SHANGHAI | {"country": "NO"}}, "area_not_served"),
        ({"to": SHANGHAI | {"region": "Tibet"}}, "area_not_served"),
        ({"goods": [{"sku": "s", "title": "Anvil", "quantity": 3, "weight_g": 7_000}]}, "overweight"),
    ],
)
async def test_the_carriers_rules_reject_and_the_book_says_so(url: str, changes: dict[str, Any], code: str) -> None:
    async with a_depot(url, like="local") as depot:
        parcel = await depot.ship(**changes)
        assert (parcel["status"], parcel["rejection"]["code"], parcel["waybill"]) == ("rejected", code, None)
        assert (await depot.book())[0]["history"][-1]["status"] == "REJECTED"
        assert (await depot.ship(to=SHANGHAI | {"region": "shanghai"}))["status"] == "accepted"


async def test_a_stranger_is_refused_and_a_bad_body_is_named(depot: Depot) -> None:
    assert (await depot.call("GET", "/shipments/x", Authorization="Bearer wrong")).status_code == 403
    answer = await depot.call("POST", "/shipments", {"reference": "r1", "from": {"warehouse": "wh1"}})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "to" in answer.json()["message"]
    assert (await depot.call("GET", "/nothing")).status_code == 404
    missing = await depot.call("GET", "/shipments/never")
    assert (missing.status_code, missing.json()["error"], missing.json()["reference"]) == (
        404,
        "unknown_reference",
        "never",
    )


async def test_a_parcel_is_called_back_only_before_it_was_picked_up(depot: Depot) -> None:
    early, late = (await depot.ship())["reference"], (await depot.ship())["reference"]
    assert [(await depot.cancel(early)).json()["status"] for _ in range(2)] == ["cancelled"] * 2
    await depot.tell(late, "picked_up")
    refused = await depot.cancel(late)
    assert (refused.status_code, refused.json()["error"]) == (409, "already_picked_up")
    histories = {each["reference"]: [step["status"] for step in each["history"]] for each in await depot.book()}
    assert histories == {early: ["CONFIRMED", "CANCELLED"], late: ["CONFIRMED"]}


async def test_the_book_is_read_like_every_suppliers_book(depot: Depot) -> None:
    parcel = await depot.ship()
    await depot.tell(parcel["reference"], "lost")
    entry = BookEntry.of((await depot.book())[0])
    assert (entry.supplier_id, entry.reference, entry.order_no) == (depot.name, parcel["reference"], "20260000000001")
    assert (entry.units, entry.is_confirmed) == (2, True)
    await depot.ship(metadata={"order_no": "7"})
    assert [each["order_no"] for each in await depot.book("?order_no=7")] == ["7"]


async def test_events_are_called_back_one_by_one_and_signed(depot: Depot) -> None:
    async with depot.calling_back() as receiver:
        reference = (await depot.ship())["reference"]
        await receiver.wait_for(1)
        await depot.tell(reference, "picked_up")
        await receiver.wait_for(2)
        assert told(receiver) == [("accepted", "accepted"), ("accepted", "picked_up")]
        with pytest.raises(CallbackRefused):
            verified_body("whsec_b3RoZXI=", *receiver.taken[0])


async def test_nothing_happens_to_a_parcel_that_is_not_under_way(depot: Depot) -> None:
    reference = (await depot.ship())["reference"]
    await depot.cancel(reference)
    for named in (reference, "never"):
        path = f"{depot.url}/control/{depot.name}/shipments/{named}/events"
        assert (await depot.client.post(path, json={"event": "delivered"})).status_code == 404
    assert await depot.events(reference) == ["accepted"]
    path = f"{depot.url}/control/{depot.name}/shipments/{reference}/events"
    assert (await depot.client.post(path, json={"event": "eaten"})).status_code == 422


async def test_parcels_move_by_themselves_where_they_are_told_to(url: str) -> None:
    async with a_depot(url, moves=True, step_s=0.03) as depot, depot.calling_back() as receiver:
        reference = (await depot.ship())["reference"]
        assert await depot.until(reference, "delivered") == JOURNEY
        await receiver.wait_for(5)
        await asyncio.sleep(0.1)
        assert sorted(event for _, event in told(receiver) if event) == sorted(JOURNEY)
        assert await depot.events(reference) == JOURNEY


async def test_a_parcel_that_is_called_back_moves_no_more(url: str) -> None:
    async with a_depot(url, moves=True, step_s=0.1) as depot:
        reference = (await depot.ship())["reference"]
        await depot.cancel(reference)
        await asyncio.sleep(0.2)
        assert await depot.events(reference) == ["accepted"]


async def test_a_lost_parcel_stays_lost_unless_it_is_found(url: str) -> None:
    async with a_depot(url, moves=True, step_s=0.04) as depot:
        await depot.faults(params={"found_ms": 60})
        lost, found = (await depot.ship("lost"))["reference"], (await depot.ship("found"))["reference"]
        for reference, kinds in ((lost, ["lose"]), (found, ["lose", "find"])):
            await depot.until(reference, "picked_up")
            for kind in kinds:
                forced = {"operation": "move", "kind": kind, "reference": reference}
                await depot.control("POST", "/next", forced)
        assert "found" in await depot.until(found, "delivered")
        assert (await depot.events(found)).index("lost") < (await depot.events(found)).index("found")
        assert (await depot.events(lost))[-1] == "lost"
        assert (await depot.control("GET", "/hits"))["by_operation"] == {"move": {"lose": 2, "find": 1}}


async def test_a_parcel_that_arrived_goes_nowhere_whatever_is_told_of_it(url: str) -> None:
    async with a_depot(url, moves=True, step_s=0.03) as depot:
        reference = (await depot.ship())["reference"]
        await depot.until(reference, "delivered")
        await depot.tell(reference, "found")
        await asyncio.sleep(0.1)
        assert await depot.events(reference) == [*JOURNEY, "found"]


async def test_an_exception_delays_a_parcel_and_no_more(url: str) -> None:
    async with a_depot(url, moves=True, step_s=0.03) as depot:
        await depot.faults(rates={"exception": 1})
        reference = (await depot.ship())["reference"]
        await depot.until(reference, "exception")
        await depot.faults()
        seen = await depot.until(reference, "delivered")
        assert [each for each in seen if each != "exception"] == JOURNEY


async def test_a_wrong_waybill_is_corrected_with_a_higher_version(depot: Depot) -> None:
    await depot.faults(params={"correct_ms": 150})
    await depot.force("ship", "wrong_waybill")
    async with depot.calling_back() as receiver:
        wrong = await depot.ship()
        assert (await depot.read(wrong["reference"]))["waybill"] == wrong["waybill"]
        await depot.until(wrong["reference"], "waybill_corrected")
        right = await depot.read(wrong["reference"])
        assert (wrong["waybill_version"], right["waybill_version"]) == (1, 2)
        assert wrong["waybill"] != right["waybill"]
        await receiver.wait_for(2)
        event = json.loads(receiver.taken[-1][0])["event"]
        assert (event["waybill"], event["version"]) == (right["waybill"], 2)
        assert len(await depot.book()) == 1


async def test_a_correction_that_a_test_tells_is_the_only_one(depot: Depot) -> None:
    await depot.faults(params={"correct_ms": 150})
    await depot.force("ship", "wrong_waybill")
    reference = (await depot.ship())["reference"]
    await depot.tell(reference, "waybill_corrected")
    await asyncio.sleep(0.25)
    assert await depot.events(reference) == ["accepted", "waybill_corrected"]


@pytest.mark.parametrize(
    ("kinds", "status"), [(["confirm_late"], "accepted"), (["confirm_late", "reject"], "rejected")]
)
async def test_a_late_decision_is_called_back(depot: Depot, kinds: list[str], status: str) -> None:
    await depot.faults(params={"confirm_late_ms": 100})
    for kind in kinds:
        await depot.force("ship", kind)
    async with depot.calling_back() as receiver:
        parcel = await depot.ship()
        assert (parcel["status"], parcel["waybill"]) == ("pending", None)
        assert await depot.events(parcel["reference"]) == []
        await receiver.wait_for(1)
        assert told(receiver) == [(status, "accepted" if status == "accepted" else None)]
        assert (await depot.read(parcel["reference"]))["status"] == status


async def test_callbacks_come_twice_out_of_order_and_before_the_reply(depot: Depot) -> None:
    await depot.faults(params={"callback_late_ms": 200})
    async with depot.calling_back(failures=1) as receiver:
        await depot.force("ship", "callback_early")
        reference = (await depot.ship())["reference"]  # the one attempt before the reply is refused
        await depot.force("move", "callback_late")
        await depot.tell(reference, "picked_up")
        await depot.force("move", "callback_twice")
        await depot.tell(reference, "in_transit")
        await receiver.wait_for(3)
        assert [event for _, event in told(receiver)] == ["in_transit", "in_transit", "picked_up"]
        assert len({headers["webhook-id"] for _, headers in receiver.taken}) == 3
        await depot.force("ship", "callback_early")
        await depot.ship()
        assert told(receiver)[3:] == [("accepted", "accepted")]


@pytest.mark.parametrize(
    ("way", "answered", "called"),
    [("confirmed_then_rejected", "accepted", "rejected"), ("rejected_then_confirmed", "rejected", "accepted")],
)
async def test_a_contradiction_says_two_things_of_one_parcel(
    depot: Depot, way: str, answered: str, called: str
) -> None:
    async with depot.calling_back() as receiver:
        await depot.faults(params={"contradict_ms": 50, "contradict_way": way})
        await depot.force("ship", "contradict")
        parcel = await depot.ship()
        assert parcel["status"] == answered
        await receiver.wait_for(2 if answered == "accepted" else 1)
        assert told(receiver)[-1][0] == called
        assert (await depot.book())[0]["status"] == "CONFIRMED"


async def test_a_callback_fault_without_anybody_to_call_is_not_counted(depot: Depot) -> None:
    reference = (await depot.ship())["reference"]
    await depot.force("move", "callback_twice")
    await depot.tell(reference, "picked_up")
    assert await depot.hits() == {}


async def test_an_order_that_cannot_be_followed_is_refused(depot: Depot) -> None:
    for path, method, body in (
        ("/next", "POST", {"operation": "move", "kind": "drop_after"}),
        ("/next", "POST", {"operation": "teleport", "kind": "slow"}),
        ("/faults", "PUT", {"rates": {"lose": 2}}),
        ("/faults", "PUT", {"rates": {"meteorite": 1}}),
        ("/faults", "PUT", {"params": {"found_ms": "soon"}}),
        ("/callbacks", "PUT", {"url": "file:///etc", "secret": SECRET}),
        ("", "PUT", {"like": "nobody"}),
        ("", "PUT", {"step_s": 0}),
    ):
        answer = await depot.client.request(method, f"{depot.url}/control/{depot.name}{path}", json=body)
        assert answer.status_code == 422, path
    assert (await depot.client.get(f"{depot.url}/control/nobody/book")).status_code == 404


async def test_a_reset_empties_the_book_and_heals_the_carrier(depot: Depot) -> None:
    await depot.ship()
    await depot.faults(rates={"error_before": 1})
    assert (await depot.call("GET", "/shipments/x")).status_code == 500
    await depot.control("POST", "/reset")
    assert await depot.book() == []
    assert (await depot.call("GET", "/shipments/x")).status_code == 404
    assert await depot.hits() == {}


async def test_a_killed_process_forgets_nothing_and_its_parcels_go_on(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with httpx2.AsyncClient(trust_env=False) as client:
        depot = Depot(client, url, "killed")
        with a_process("simulators.carrier", tmp_path, unused_tcp_port) as process:
            await up(client, url)
            await depot.control("PUT", "", {"like": "local", "step_s": 0.1})
            accepted = await depot.ship()
            await depot.control("PUT", "", {"moves": True})
            await depot.control("PUT", "/faults", {"seed": 5, "params": {"confirm_late_ms": 400}})
            await depot.force("ship", "confirm_late")
            await depot.force("query", "error_before")
            async with depot.calling_back() as receiver:
                pending = await depot.ship()
                assert pending["status"] == "pending"
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                with a_process("simulators.carrier", tmp_path, unused_tcp_port):
                    await up(client, url)
                    assert await depot.until(pending["reference"], "delivered") == JOURNEY
                    await receiver.wait_for(len(JOURNEY))
                    assert sorted(event for _, event in told(receiver) if event) == sorted(JOURNEY)
                    await it_remembers(depot, accepted)


async def it_remembers(depot: Depot, accepted: Any) -> None:
    """Parcels, settings, and faults still to strike."""
    path = f"/shipments/{accepted['reference']}"
    assert [(await depot.call("GET", path)).status_code for _ in range(2)] == [500, 200]
    assert await depot.read(accepted["reference"]) == accepted
    assert (await depot.control("GET", ""))["faults"]["seed"] == 5
    assert [each["status"] for each in await depot.book()] == ["CONFIRMED", "CONFIRMED"]
