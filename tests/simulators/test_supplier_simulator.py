"""The supplier simulator itself: its book is the judge of the fault runs, so it is judged as carefully."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from adapters.suppliers.callbacks import CallbackRefused, verified_body
from adapters.suppliers.octo_bodies import read_told
from domain.issuance import Confirmed, Rejected
from simulators.common.faults import draw
from simulators.supplier.serving import serving
from tests.simulators.outside import SECRET, Controlled, Receiver, a_process, up

PRODUCT, OPTION, UNIT = "ng-silk-roads", "DEFAULT", "adult"


class Desk(Controlled):
    """One supplier as a test sees it: OCTO on one side, control on the other."""

    async def octo(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        given = {"Authorization": f"Bearer {self.name}-token", "Octo-Capabilities": "octo/pricing"} | headers
        return await self.client.request(method, f"{self.url}/{self.name}/octo{path}", json=body, headers=given)

    async def availability_id(self) -> str:
        day = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
        asked = {"productId": PRODUCT, "optionId": OPTION, "localDateStart": day, "localDateEnd": day}
        found: str = (await self.octo("POST", "/availability", asked)).json()[0]["id"]
        return found

    async def hold(self, uuid: str | None = None) -> str:
        uuid = uuid or str(uuid4())
        asked = {
            "uuid": uuid,
            "productId": PRODUCT,
            "optionId": OPTION,
            "availabilityId": await self.availability_id(),
            "unitItems": [{"uuid": str(uuid4()), "unitId": UNIT}],
            "resellerReference": "20260000000001",
        }
        answer = await self.octo("POST", "/bookings", asked)
        assert answer.status_code == 200, answer.text
        return uuid

    async def confirm(self, uuid: str) -> httpx2.Response:
        return await self.octo("POST", f"/bookings/{uuid}/confirm", {"contact": {}})


def answers(receiver: Receiver) -> list[object]:
    return [read_told(verified_body(SECRET, body, headers)).answer for body, headers in receiver.taken]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("suppliers")) as base_url:
        yield base_url


@asynccontextmanager
async def a_desk(url: str, name: str | None = None, **settings: Any) -> AsyncIterator[Desk]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        desk = Desk(client, url, name or f"s{uuid4().hex[:12]}")
        await desk.control("PUT", "", settings)
        yield desk


@pytest.fixture
async def desk(url: str) -> AsyncIterator[Desk]:
    async with a_desk(url) as made:
        yield made


async def test_three_suppliers_are_open_from_the_start_and_healthy(url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        suppliers = (await client.get(f"{url}/control")).json()["suppliers"]
        houses = {each["name"]: each for each in suppliers if each["name"] == each["like"]}
        assert {"northgate", "cineplex", "grandstand"} <= set(houses)
        assert all(each["faults"]["rates"] == {} for each in houses.values())
        assert not houses["cineplex"]["deduplicates"]
        sold: dict[str, set[str]] = {}
        for name in houses:
            products = await Desk(client, url, name).octo("GET", "/products/")
            for product in products.json():
                sold.setdefault(product["reference"], set()).add(name)
    assert [sellers for sellers in sold.values() if len(sellers) > 1] == [{"northgate", "grandstand"}]


async def test_paths_work_with_and_without_a_trailing_slash_and_capabilities_are_echoed(desk: Desk) -> None:
    paths = ("/supplier", "/products", f"/products/{PRODUCT}", "/capabilities", f"/bookings/{await desk.hold()}")
    for path in paths:
        plain, slashed = await desk.octo("GET", path), await desk.octo("GET", f"{path}/")
        assert plain.status_code == slashed.status_code == 200
        assert slashed.headers["octo-capabilities"] == "octo/pricing"
    assert "pricing" in (await desk.octo("GET", paths[-1])).json()
    unpriced = await desk.octo("GET", paths[-1], **{"Octo-Capabilities": ""})
    assert "pricing" not in unpriced.json()
    assert unpriced.headers["octo-capabilities"] == ""


async def test_a_bad_token_is_refused_and_a_bad_body_is_a_domain_error(desk: Desk) -> None:
    assert (await desk.octo("GET", "/products", Authorization="Bearer wrong")).status_code == 403
    answer = await desk.octo("POST", "/bookings", {"productId": 1})
    assert answer.status_code == 400
    assert answer.json()["error"] == "BAD_REQUEST"
    assert (await desk.octo("GET", "/nothing")).status_code == 404


async def test_the_calendar_shows_the_best_of_each_day(desk: Desk) -> None:
    first, last = ((datetime.now(UTC) + timedelta(days=days)).date().isoformat() for days in (2, 4))
    asked = {"productId": PRODUCT, "optionId": OPTION, "localDateStart": first, "localDateEnd": last}
    days = (await desk.octo("POST", "/availability/calendar/", asked)).json()
    assert len(days) == 3
    assert all(day["available"] and len(day["openingHours"]) == 4 for day in days)


async def test_the_book_tells_what_happened_to_a_booking_and_when(desk: Desk) -> None:
    uuid = await desk.hold()
    await desk.confirm(uuid)
    await desk.octo("POST", f"/bookings/{uuid}/cancel", {"reason": "changed plans"})
    (entry,) = await desk.book(f"?reference={uuid}")
    assert [each["status"] for each in entry["history"]] == ["ON_HOLD", "CONFIRMED", "CANCELLED"]
    assert entry["order_no"] == "20260000000001"
    assert entry["status"] == "CANCELLED"
    assert entry["created_at"] <= entry["confirmed_at"] <= entry["cancelled_at"]
    assert len(entry["unit_references"]) == 1
    assert entry["units"][0]["code"]


async def test_the_book_is_read_in_bounded_pages(desk: Desk) -> None:
    made = [await desk.hold() for _ in range(5)]
    seen: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        page = await desk.control("GET", f"/book?limit=2&cursor={cursor}")
        assert len(page["bookings"]) <= 2
        seen += [each["reference"] for each in page["bookings"]]
        cursor = page["next_cursor"]
    assert seen == made


async def test_without_deduplication_every_repeat_is_a_booking_of_its_own(url: str) -> None:
    async with a_desk(url, deduplicates=False) as desk:
        uuid = await desk.hold()
        await desk.hold(uuid)
        first, second = await desk.confirm(uuid), await desk.confirm(uuid)
        third = await desk.confirm(uuid)
        assert len({answer.json()["id"] for answer in (first, second, third)}) == 3
        assert [each["status"] for each in await desk.book(f"?reference={uuid}")] == ["CONFIRMED"] * 3
        await desk.octo("POST", f"/bookings/{uuid}/cancel", {})
        assert [each["status"] for each in await desk.book(f"?reference={uuid}")].count("CONFIRMED") == 2


async def test_an_expired_hold_cannot_be_confirmed(url: str) -> None:
    async with a_desk(url, hold_s=0.05) as desk:
        uuid = await desk.hold()
        await asyncio.sleep(0.1)
        answer = await desk.confirm(uuid)
        assert answer.status_code == 400
        assert (answer.json()["error"], answer.json()["uuid"]) == ("INVALID_BOOKING_UUID", uuid)
        assert (await desk.book())[0]["status"] == "EXPIRED"


def test_a_draw_depends_on_its_arguments_alone_and_is_even() -> None:
    assert draw(1, "s", "confirm", "r", 1, "slow") == draw(1, "s", "confirm", "r", 1, "slow")
    draws = [draw(7, "s", "confirm", f"r{i}", 1, "drop_after") for i in range(4_000)]
    assert all(0 <= each < 1 for each in draws)
    assert 0.27 < sum(each < 0.3 for each in draws) / len(draws) < 0.33


async def test_the_same_seed_strikes_the_same_calls(url: str) -> None:
    references = [str(uuid4()) for _ in range(20)]

    async def struck(seed: int) -> list[list[int]]:
        async with a_desk(url, name="seeded") as desk:
            await desk.control("POST", "/reset")
            await desk.control("PUT", "/faults", {"seed": seed, "rates": {"error_before": 0.4}})
            statuses = []
            for reference in references:
                path = f"/bookings/{reference}"
                statuses.append([(await desk.octo("GET", path)).status_code for _ in range(3)])
            hits = await desk.control("GET", "/hits")
            assert hits["hits"]["error_before"] == sum(each.count(500) for each in statuses)
            assert hits["by_operation"] == {"query": hits["hits"]}
            return statuses

    first = await struck(1)
    assert await struck(1) == first
    assert await struck(2) != first


async def test_a_forced_fault_strikes_the_named_booking_and_no_other(desk: Desk) -> None:
    struck, spared = await desk.hold(), await desk.hold()
    forced = {"operation": "confirm", "kind": "error_before", "count": 2, "reference": struck}
    await desk.control("POST", "/next", forced)
    assert (await desk.confirm(spared)).status_code == 200
    assert [(await desk.confirm(struck)).status_code for _ in range(3)] == [500, 500, 200]


async def test_an_order_that_cannot_be_followed_is_refused(desk: Desk) -> None:
    for path, method, body in (
        ("/next", "POST", {"operation": "cancel", "kind": "confirm_late"}),
        ("/faults", "PUT", {"rates": {"slow": 2}}),
        ("/faults", "PUT", {"rates": {"meteorite": 1}}),
        ("/callbacks", "PUT", {"url": "file:///etc", "secret": SECRET}),
        ("/callbacks", "PUT", {"url": "http://127.0.0.1:1/", "secret": "whsec_"}),
        ("", "PUT", {"like": "nobody"}),
    ):
        answer = await desk.client.request(method, f"{desk.url}/control/{desk.name}{path}", json=body)
        assert answer.status_code == 422, path
    assert (await desk.client.get(f"{desk.url}/control/nobody/book")).status_code == 404


async def test_a_late_confirmation_is_called_back_signed(desk: Desk) -> None:
    async with desk.calling_back() as receiver:
        await desk.control("PUT", "/faults", {"params": {"confirm_late_ms": 100}})
        uuid = await desk.hold()
        await desk.control("POST", "/next", {"operation": "confirm", "kind": "confirm_late"})
        assert (await desk.confirm(uuid)).json()["status"] == "PENDING"
        await receiver.wait_for(1)
        body, headers = receiver.taken[0]
        told = read_told(verified_body(SECRET, body, headers))
        assert told.reference == uuid
        assert isinstance(told.answer, Confirmed)
        with pytest.raises(CallbackRefused):
            verified_body("whsec_b3RoZXI=", body, headers)


async def test_a_receiver_that_is_down_is_called_again_with_the_same_message(desk: Desk) -> None:
    async with desk.calling_back(failures=1) as receiver:
        uuid = await desk.hold()
        await desk.control("POST", "/next", {"operation": "confirm", "kind": "callback_twice"})
        await desk.confirm(uuid)
        await receiver.wait_for(2)
        assert len({headers["webhook-id"] for _, headers in receiver.taken}) == 2


async def test_a_callback_may_come_before_the_reply(desk: Desk) -> None:
    async with desk.calling_back() as receiver:
        uuid = await desk.hold()
        await desk.control("POST", "/next", {"operation": "confirm", "kind": "callback_early"})
        await desk.confirm(uuid)
        assert [type(each) for each in answers(receiver)] == [Confirmed]


@pytest.mark.parametrize(
    ("way", "answered", "called"),
    [("confirmed_then_rejected", "CONFIRMED", Rejected), ("rejected_then_confirmed", "REJECTED", Confirmed)],
)
async def test_a_contradiction_says_two_things_of_one_issued_booking(
    desk: Desk, way: str, answered: str, called: type
) -> None:
    async with desk.calling_back() as receiver:
        await desk.control("PUT", "/faults", {"params": {"contradict_ms": 20, "contradict_way": way}})
        uuid = await desk.hold()
        await desk.control("POST", "/next", {"operation": "confirm", "kind": "contradict"})
        assert (await desk.confirm(uuid)).json()["status"] == answered
        await receiver.wait_for(1)
        assert [type(each) for each in answers(receiver)] == [called]
        assert (await desk.book(f"?reference={uuid}"))[0]["status"] == "CONFIRMED"


async def test_a_fault_that_had_no_effect_is_not_counted(desk: Desk) -> None:
    await desk.control("POST", "/next", {"operation": "confirm", "kind": "callback_twice"})
    await desk.confirm(await desk.hold())
    assert (await desk.control("GET", "/hits"))["hits"] == {}


async def test_a_reset_empties_the_book_and_heals_the_supplier(desk: Desk) -> None:
    await desk.control("PUT", "/faults", {"rates": {"error_before": 1}})
    assert (await desk.octo("GET", "/products")).status_code == 500
    await desk.control("POST", "/reset")
    await desk.hold()
    assert len(await desk.book()) == 1
    assert (await desk.control("GET", "/hits"))["hits"] == {}


async def test_a_killed_process_forgets_nothing(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with httpx2.AsyncClient(trust_env=False) as client:
        desk = Desk(client, url, "killed")
        with a_process("simulators.supplier", tmp_path, unused_tcp_port) as process:
            await up(client, url)
            await desk.control("PUT", "", {"like": "northgate", "capacity": 3})
            await desk.control("PUT", "/faults", {"seed": 5, "params": {"confirm_late_ms": 400}})
            await desk.control("POST", "/next", {"operation": "query", "kind": "error_before"})
            async with desk.calling_back() as receiver:
                issued, pending = await desk.hold(), await desk.hold()
                await desk.confirm(issued)
                await desk.control("POST", "/next", {"operation": "confirm", "kind": "confirm_late"})
                await desk.confirm(pending)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                with a_process("simulators.supplier", tmp_path, unused_tcp_port):
                    await up(client, url)
                    await receiver.wait_for(1)
                    assert json.loads(receiver.taken[0][0])["uuid"] == pending
                    await it_remembers(desk, issued)


async def it_remembers(desk: Desk, issued: str) -> None:
    """Bookings, settings, faults still to strike, and the seats that are taken."""
    assert [each["status"] for each in await desk.book()] == ["CONFIRMED", "CONFIRMED"]
    assert (await desk.control("GET", ""))["faults"]["seed"] == 5
    assert [(await desk.octo("GET", f"/bookings/{issued}")).status_code for _ in range(2)] == [500, 200]
    asked = {"productId": PRODUCT, "optionId": OPTION, "availabilityIds": [await desk.availability_id()]}
    assert (await desk.octo("POST", "/availability", asked)).json()[0]["vacancies"] == 1
