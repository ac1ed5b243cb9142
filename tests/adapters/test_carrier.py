"""The parcel adapter against the carrier simulator over real HTTP: every way to answer, and what it must mean."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import uuid4

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.carriers.parcel_bodies import judge_shipment, read_events, read_told
from adapters.carriers.parcel_http import ParcelCarrier
from adapters.suppliers import BookingRequest, CallbackUnreadable, Goods, NotSent, ShipTo, Told, Tracked
from adapters.suppliers.callbacks import verified_body
from adapters.suppliers.registry import PROTOCOLS
from domain.issuance import (
    Answer,
    Canceled,
    Confirmed,
    IssuedTicket,
    NotFound,
    Pending,
    QueryAnswer,
    Rejected,
    Unknown,
    contradicts,
    is_definite,
)
from domain.units import Happening, TrackedEvent
from simulators.carrier.book import Event
from simulators.carrier.serving import serving
from tests.simulators.outside import SECRET, Controlled, Receiver

TIMEOUT_S = 5.0
SHANGHAI = ShipTo("Lin Wei", "13800000000", "CN", "Shanghai", "Shanghai", "1 Nanjing Road", "200001")
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Simulated(Controlled):
    """One carrier of a test's own: the adapter that speaks to it, and its control API."""

    carrier: ParcelCarrier

    async def params(self, **params: Any) -> None:
        await self.faults(params=params)

    async def tell(self, reference: str, event: str, detail: str = "") -> None:
        await self.control("POST", f"/shipments/{reference}/events", {"event": event, "detail": detail})

    async def issue(self, request: BookingRequest, timeout_s: float = TIMEOUT_S) -> Answer:
        return await self.carrier.issue(request, reserved=False, timeout_s=timeout_s)

    async def query(self, request: BookingRequest) -> object:
        return await self.carrier.query(request.reference, timeout_s=TIMEOUT_S, unit_references=request.unit_references)

    async def cancel(self, reference: str) -> object:
        return await self.carrier.cancel(reference, reason="changed plans", timeout_s=TIMEOUT_S)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("carriers")) as base_url:
        yield base_url


@pytest.fixture
async def parcel(url: str) -> AsyncIterator[Simulated]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        name = f"c{uuid4().hex[:12]}"
        made = await client.put(f"{url}/control/{name}", json={"like": "swift"})
        yield Simulated(client, url, name, ParcelCarrier(client, f"{url}/{name}/v1", made.json()["token"]))


def a_request(pieces: int = 2, **changes: Any) -> BookingRequest:
    request = BookingRequest(
        reference=str(uuid4()),
        product_id="parcel",
        option_id="DEFAULT",
        unit_id="parcel",
        availability_id=None,
        unit_references=tuple(str(uuid4()) for _ in range(pieces)),
        order_no="20260000000001",
        currency="CNY",
        ship_to=SHANGHAI,
        ship_from="wh1",
        goods=(Goods("sku_1", "Tote bag", pieces, 300),),
    )
    return replace(request, **changes)


async def an_accepted(parcel: Simulated) -> BookingRequest:
    request = a_request()
    assert isinstance(await parcel.issue(request), Confirmed)
    return request


async def test_a_parcel_is_confirmed_with_one_waybill_however_many_pieces_are_inside(parcel: Simulated) -> None:
    request = a_request(pieces=3)
    answer = await parcel.issue(request)
    assert isinstance(answer, Confirmed)
    (waybill,) = answer.tickets
    assert (waybill.unit, waybill.supplier_ticket_id, waybill.code_format) == (0, answer.supplier_reference, "WAYBILL")
    (entry,) = await parcel.book(f"?reference={request.reference}")
    assert (entry["waybill"], entry["unit_references"]) == (waybill.code, list(request.unit_references))
    assert (entry["order_no"], entry["warehouse"], entry["to"]["street"]) == (
        "20260000000001",
        "wh1",
        "1 Nanjing Road",
    )


async def test_a_parcel_handed_in_twice_is_one_parcel_and_the_query_agrees(parcel: Simulated) -> None:
    request = a_request()
    answer = await parcel.issue(request)
    assert await parcel.issue(request) == answer
    assert await parcel.query(request) == answer
    assert await parcel.confirmed_in_book(request.reference) == 1


async def test_a_carrier_that_does_not_deduplicate_takes_it_twice(parcel: Simulated) -> None:
    await parcel.control("PUT", "", {"deduplicates": False})
    request = a_request()
    for _ in range(2):
        assert isinstance(await parcel.issue(request), Confirmed)
    assert await parcel.confirmed_in_book(request.reference) == 2


async def test_carriers_hold_nothing_and_sell_nothing(parcel: Simulated) -> None:
    request = a_request()
    for answer in (
        await parcel.carrier.reserve(request, timeout_s=TIMEOUT_S),
        await parcel.carrier.extend(request.reference, minutes=5, timeout_s=TIMEOUT_S),
    ):
        assert isinstance(answer, Rejected)
        assert (answer.code, answer.retry_elsewhere) == ("no_holds", False)
    assert await parcel.query(request) == NotFound()
    assert await parcel.carrier.read_products(timeout_s=TIMEOUT_S) == []
    sessions = await parcel.carrier.read_sessions("p", "o", first_day="2026-01-01", last_day="2026-01-02", timeout_s=1)
    assert sessions == []


@pytest.mark.parametrize("missing", [{"ship_to": None}, {"ship_from": None}, {"goods": ()}])
async def test_half_a_parcel_is_rejected_and_never_sent(parcel: Simulated, missing: dict[str, Any]) -> None:
    request = a_request(**missing)
    answer = await parcel.issue(request)
    assert isinstance(answer, Rejected)
    assert answer.code == "incomplete_request"
    assert await parcel.query(request) == NotFound()


@pytest.mark.parametrize("kind", ["drop_after", "error_after", "unreadable"])
async def test_an_acceptance_whose_answer_is_lost_is_unknown_and_found_by_query(parcel: Simulated, kind: str) -> None:
    request = a_request()
    await parcel.force("ship", kind)
    assert isinstance(await parcel.issue(request), Unknown)
    assert isinstance(await parcel.query(request), Confirmed)
    assert await parcel.confirmed_in_book(request.reference) == 1
    assert await parcel.hits() == {kind: 1}


async def test_a_server_error_before_the_work_is_unknown_all_the_same(parcel: Simulated) -> None:
    request = a_request()
    await parcel.force("ship", "error_before")
    assert isinstance(await parcel.issue(request), Unknown)
    assert await parcel.query(request) == NotFound()


@pytest.mark.parametrize("kind", ["drop_after", "error_after", "error_before", "unreadable"])
async def test_a_question_that_is_not_answered_proves_nothing(parcel: Simulated, kind: str) -> None:
    request = await an_accepted(parcel)
    for operation in ("query", "track", "cancel"):
        await parcel.force(operation, kind)
    assert isinstance(await parcel.query(request), Unknown)
    assert await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S) == Tracked(known=False)
    assert isinstance(await parcel.cancel(request.reference), Unknown)
    assert await parcel.hits() == {kind: 3}
    assert await parcel.confirmed_in_book(request.reference) == (1 if kind == "error_before" else 0)


async def test_a_slow_answer_is_waited_for_and_one_too_slow_is_unknown(parcel: Simulated) -> None:
    await parcel.params(slow_ms=300)
    request = a_request()
    await parcel.force("ship", "slow")
    assert isinstance(await parcel.issue(request, timeout_s=0.1), Unknown)
    await parcel.force("ship", "slow")
    assert isinstance(await parcel.issue(request), Confirmed)


@pytest.mark.parametrize("works", [True, False])
async def test_a_call_that_hangs_ends_at_its_time_out(parcel: Simulated, works: bool) -> None:
    await parcel.params(hang_works=works)
    request = a_request()
    await parcel.force("ship", "hang")
    before = time.monotonic()
    assert isinstance(await parcel.issue(request, timeout_s=0.3), Unknown)
    assert time.monotonic() - before < 1.5
    assert await parcel.confirmed_in_book(request.reference) == works


async def test_a_refused_rate_is_not_sent_and_says_when_to_come_back(parcel: Simulated) -> None:
    await parcel.params(retry_after_s=7)
    request = a_request()
    await parcel.force("ship", "rate_limit")
    with pytest.raises(NotSent) as refused:
        await parcel.issue(request)
    assert refused.value.retry_after_s == 7.0
    await parcel.force("track", "rate_limit")
    with pytest.raises(NotSent):
        await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S)
    assert await parcel.confirmed_in_book(request.reference) == 0


async def test_a_refused_connection_is_not_sent(parcel: Simulated) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    carrier = ParcelCarrier(parcel.client, f"http://127.0.0.1:{port}/v1", "token")
    with pytest.raises(NotSent) as unsent:
        await carrier.issue(a_request(), reserved=False, timeout_s=TIMEOUT_S)
    assert unsent.value.retry_after_s is None


@pytest.mark.parametrize(("kinds", "outcome"), [(["confirm_late"], Confirmed), (["confirm_late", "reject"], Rejected)])
async def test_a_late_decision_is_pending_until_it_has_come(parcel: Simulated, kinds: list[str], outcome: type) -> None:
    await parcel.params(confirm_late_ms=250)
    request = a_request()
    for kind in kinds:
        await parcel.force("ship", kind)
    assert isinstance(await parcel.issue(request), Pending)
    assert isinstance(await parcel.query(request), Pending)
    await asyncio.sleep(0.3)
    assert isinstance(await parcel.query(request), outcome)


async def test_a_rejection_is_final_and_leaves_nothing_on_the_way(parcel: Simulated) -> None:
    request = a_request()
    await parcel.force("ship", "reject")
    expected = Rejected("no_capacity", retry_elsewhere=True, detail="We cannot take it now")
    assert await parcel.issue(request) == expected
    assert await parcel.query(request) == expected
    assert await parcel.cancel(request.reference) == Canceled()
    assert await parcel.confirmed_in_book(request.reference) == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ship_to": replace(SHANGHAI, country="NO")}, "area_not_served"),
        ({"goods": (Goods("sku_2", "Anvil", 1, 30_001),)}, "overweight"),
        ({"ship_to": replace(SHANGHAI, street="")}, "invalid_request"),
    ],
)
async def test_what_a_carrier_does_not_take_another_one_may(
    parcel: Simulated, changes: dict[str, Any], code: str
) -> None:
    answer = await parcel.issue(a_request(**changes))
    assert isinstance(answer, Rejected)
    assert (answer.code, answer.retry_elsewhere) == (code, True)
    assert answer.detail


async def test_a_conflict_of_references_is_no_proof_that_nothing_was_taken(parcel: Simulated) -> None:
    request = await an_accepted(parcel)
    other = replace(request, ship_to=replace(SHANGHAI, street="2 Nanjing Road"))
    assert isinstance(await parcel.issue(other), Unknown)


async def test_a_forgotten_parcel_is_not_found_for_a_while(parcel: Simulated) -> None:
    await parcel.params(forget_ms=250)
    request = a_request()
    await parcel.force("ship", "forget")
    await parcel.force("ship", "drop_after")
    assert isinstance(await parcel.issue(request), Unknown)
    assert await parcel.query(request) == NotFound()
    assert not (await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S)).known
    assert await parcel.confirmed_in_book(request.reference) == 1
    await asyncio.sleep(0.3)
    assert isinstance(await parcel.query(request), Confirmed)


async def test_a_carrier_that_contradicts_itself_is_caught_by_the_next_question(parcel: Simulated) -> None:
    await parcel.params(contradict_way="rejected_then_confirmed")
    request = a_request()
    await parcel.force("ship", "contradict")
    first, later = await parcel.issue(request), await parcel.query(request)
    assert isinstance(first, Rejected)
    assert isinstance(later, Confirmed)
    assert contradicts(first, later)


async def test_a_wrong_token_is_rejected_for_a_parcel_and_unknown_for_a_question(parcel: Simulated) -> None:
    stranger = ParcelCarrier(parcel.client, f"{parcel.url}/{parcel.name}/v1", "wrong")
    answer = await stranger.issue(a_request(), reserved=False, timeout_s=TIMEOUT_S)
    assert answer == Rejected("forbidden", retry_elsewhere=True)
    assert isinstance(await stranger.query("r", timeout_s=TIMEOUT_S), Unknown)
    assert isinstance(await stranger.cancel("r", reason="", timeout_s=TIMEOUT_S), Unknown)


async def test_a_wrong_address_is_not_an_absent_parcel(parcel: Simulated) -> None:
    elsewhere = ParcelCarrier(parcel.client, f"{parcel.url}/nobody/v1", "token")
    assert isinstance(await elsewhere.query("r", timeout_s=TIMEOUT_S), Unknown)
    assert isinstance(await elsewhere.issue(a_request(), reserved=False, timeout_s=TIMEOUT_S), Unknown)


async def test_calling_back_is_repeatable_until_the_parcel_was_picked_up(parcel: Simulated) -> None:
    request = await an_accepted(parcel)
    for _ in range(2):
        assert await parcel.cancel(request.reference) == Canceled()
    assert await parcel.query(request) == Canceled()
    assert isinstance(await parcel.issue(request), Unknown)
    gone = await an_accepted(parcel)
    await parcel.tell(gone.reference, "picked_up")
    refused = await parcel.cancel(gone.reference)
    assert isinstance(refused, Rejected)
    assert refused.code == "already_picked_up"
    assert await parcel.cancel(str(uuid4())) == NotFound()


async def test_tracking_tells_what_means_something_oldest_first(parcel: Simulated) -> None:
    request = await an_accepted(parcel)
    assert await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S) == Tracked()
    for event in ("picked_up", "in_transit", "exception", "lost", "found", "out_for_delivery", "delivered"):
        await parcel.tell(request.reference, event, f"{event} at the depot")
    tracked = await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S)
    assert [each.happening for each in tracked.events] == ["shipped", "lost", "found", "delivered"]
    assert tracked.events[0].detail == "picked_up at the depot"
    assert abs(tracked.events[0].at - datetime.now(UTC)) < timedelta(minutes=1)
    assert isinstance(await parcel.query(request), Confirmed)


async def test_a_wrong_waybill_is_corrected_by_a_higher_version(parcel: Simulated) -> None:
    await parcel.params(correct_ms=150)
    request = a_request()
    await parcel.force("ship", "wrong_waybill")
    wrong = await parcel.issue(request)
    assert isinstance(wrong, Confirmed)
    assert (await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S)).events == ()
    await asyncio.sleep(0.25)
    (event,) = (await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S)).events
    right = await parcel.query(request)
    assert isinstance(right, Confirmed)
    assert (event.happening, event.tracking_no, event.version) == ("corrected", right.tickets[0].code, 2)
    assert right.tickets[0].code != wrong.tickets[0].code
    assert not contradicts(wrong, right)


def a_shipment(**changes: Any) -> dict[str, Any]:
    shipment: dict[str, Any] = {
        "id": "shp-1",
        "reference": "r1",
        "status": "accepted",
        "waybill": "SW000000000001",
        "rejection": None,
        "stage": "accepted",
        "pieces": 2,
    }
    return shipment | changes


def judged(pieces: int | None = 2, **changes: Any) -> object:
    return judge_shipment(json.dumps(a_shipment(**changes)).encode(), "R1", pieces)


ACCEPTED = Confirmed("shp-1", (IssuedTicket(0, "shp-1", "SW000000000001", "WAYBILL"),))
REASON = {"code": "overweight", "message": "Too\x00 heavy"}
NOT_YET: dict[str, Any] = {"waybill": None, "stage": None}


def test_what_is_proved_is_believed() -> None:
    assert judged() == ACCEPTED
    assert judged(pieces=None, stage="delivered", unheard_of=True) == ACCEPTED
    assert judged(status="pending", **NOT_YET) == Pending("shp-1")
    assert judged(status="cancelled") == Canceled()
    rejected = Rejected("overweight", retry_elsewhere=True, detail="Too heavy")
    assert judged(status="rejected", rejection=REASON, **NOT_YET) == rejected


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"reference": "r2"}, id="another parcel"),
        pytest.param({"pieces": 3}, id="another number of pieces"),
        pytest.param({"waybill": None}, id="accepted without a waybill"),
        pytest.param({"waybill": ""}, id="an empty waybill"),
        pytest.param({"waybill": "SW1\x00"}, id="a waybill that cannot be printed"),
        pytest.param({"waybill": 12345678}, id="a waybill that is a number"),
        pytest.param({"rejection": REASON}, id="accepted with a rejection"),
        pytest.param({"status": "rejected", **NOT_YET}, id="rejected without a reason"),
        pytest.param({"status": "rejected", "rejection": REASON, "stage": None}, id="rejected with a waybill"),
        pytest.param(
            {"status": "rejected", "rejection": REASON, "waybill": None, "stage": "lost"}, id="rejected, yet lost"
        ),
        pytest.param({"status": "pending", "stage": None}, id="pending with a waybill"),
        pytest.param({"status": "pending", "waybill": None, "stage": "picked_up"}, id="pending, yet picked up"),
        pytest.param({"status": "cancelled", "stage": "in_transit"}, id="cancelled, yet in transit"),
        pytest.param({"status": "cancelled", "rejection": REASON}, id="cancelled with a rejection"),
        pytest.param({"status": "ACCEPTED"}, id="a status that is not the carrier's"),
        pytest.param({"id": ""}, id="without a name"),
    ],
)
def test_a_parcel_that_does_not_prove_what_it_says_is_unknown(changes: dict[str, Any]) -> None:
    assert isinstance(judged(**changes), Unknown)


a_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
a_body_of_a_kind = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["shp-1", ""]) | a_json,
        "reference": st.sampled_from(["r1", "R1", "r2"]) | a_json,
        "status": st.sampled_from(["accepted", "pending", "rejected", "cancelled", "lost"]) | a_json,
        "waybill": st.sampled_from(["SW000000000001", "", None]) | a_json,
        "rejection": st.none() | st.just(REASON) | a_json,
        "stage": st.sampled_from([None, *get_args(Event)]) | a_json,
        "pieces": st.sampled_from([2, 3, None]) | a_json,
        "error": st.sampled_from(["invalid_request", "unknown_reference"]),
    },
)


@given(body=(a_body_of_a_kind | a_json).map(lambda each: json.dumps(each).encode()) | st.binary(max_size=200))
@example(body=b'{"reference": "r1", "status": "accepted"')
@example(body=b'{"reference": "r1", "status": "accepted", "waybill": "\\ud800"}')
@example(body=b"[" * 100_000)
def test_whatever_a_carrier_answers_only_what_is_proved_is_definite(body: bytes) -> None:
    answer = judge_shipment(body, "r1", 2)
    if not is_definite(answer):
        return
    told = json.loads(body)
    assert told["reference"].lower() == "r1"
    assert told.get("pieces") in (2, None)
    if isinstance(answer, Confirmed):
        assert told["status"] == "accepted"
        assert told.get("rejection") is None
        assert [ticket.code for ticket in answer.tickets] == [told["waybill"]]
    elif isinstance(answer, Rejected):
        assert told["status"] == "rejected"
        assert told.get("waybill") is None
        assert answer.code == told["rejection"]["code"]
    else:
        assert told["status"] == "cancelled"
        assert told.get("stage") in (None, "accepted")


@given(
    status=st.integers(200, 499).filter(lambda code: code not in (401, 403, 429)),
    body=(a_body_of_a_kind | a_json).map(lambda each: json.dumps(each).encode()) | st.binary(max_size=200),
)
@example(status=400, body=b'{"error": "invalid_request", "reference": null}')
@example(status=404, body=b'{"error": "unknown_reference", "reference": "r1"}')
@example(status=404, body=b'{"error": "unknown_reference", "reference": "r2"}')
@example(status=302, body=b"")
def test_no_answer_over_http_is_taken_for_more_than_it_says(status: int, body: bytes) -> None:
    def handed_in(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers={"location": "http://elsewhere.example/"})

    async def asked() -> tuple[Answer, QueryAnswer]:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(handed_in)) as client:
            carrier = ParcelCarrier(client, "http://carrier.example/v1", "token")
            issued = await carrier.issue(a_request(reference="r1"), reserved=False, timeout_s=1)
            return issued, await carrier.query("r1", timeout_s=1)

    answer, found = asyncio.run(asked())
    if isinstance(found, NotFound):
        assert (status, json.loads(body)["error"]) == (404, "unknown_reference")
        assert json.loads(body)["reference"].lower() == "r1"
    if isinstance(answer, Confirmed):
        assert 200 <= status < 300
        assert answer == judge_shipment(body, "r1", 2)
    elif isinstance(answer, Rejected):
        refused = status == 400 and json.loads(body)["error"] == "invalid_request"
        assert refused or answer == judge_shipment(body, "r1", 2)
        assert json.loads(body)["reference"].lower() == "r1"


async def test_an_endless_answer_is_cut_short(parcel: Simulated) -> None:
    def endless(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=b" " * (2 << 20))

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(endless)) as client:
        answer = await ParcelCarrier(client, "http://c.example", "t").query("r1", timeout_s=TIMEOUT_S)
    assert isinstance(answer, Unknown)
    assert "larger" in answer.reason


def an_event(event: str = "delivered", at: datetime = NOW, **fields: Any) -> dict[str, Any]:
    return {"event": event, "at": at.isoformat(), "detail": ""} | fields


def a_corrected(version: int) -> dict[str, Any]:
    return an_event("waybill_corrected", waybill=f"SW00000000000{version}", version=version)


def events(*listed: Mapping[str, Any], reference: str = "r1") -> Tracked:
    return read_events(json.dumps({"reference": reference, "events": listed}).encode(), "r1")


def test_events_are_put_in_order_and_told_once() -> None:
    early, late = an_event("picked_up", NOW), an_event("delivered", NOW + timedelta(hours=1))
    told = events(late, early, late, an_event("in_transit"), an_event("sniffed_at"))
    assert told == Tracked((TrackedEvent("shipped", NOW), TrackedEvent("delivered", NOW + timedelta(hours=1))))


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(events(an_event(), reference="r2"), id="another parcel's"),
        pytest.param(events(an_event() | {"at": "yesterday"}), id="a time that is none"),
        pytest.param(events(an_event(), {"event": "delivered"}), id="one without a time"),
        pytest.param(events(an_event() | {"at": "2026-11-24T12:00:00"}), id="a time without a zone"),
        pytest.param(events(an_event() | {"at": "9999-12-31T23:59:59-12:00"}), id="a time beyond all calendars"),
        pytest.param(events(an_event("waybill_corrected")), id="a correction of nothing"),
        pytest.param(events(a_corrected(2) | {"version": 0}), id="a correction below the first version"),
        pytest.param(events(*[an_event()] * 1_001), id="too many"),
        pytest.param(read_events(b"[]", "r1"), id="no object"),
    ],
)
def test_events_that_cannot_be_read_conclude_nothing(told: Tracked) -> None:
    assert told == Tracked(known=False)


def test_a_callback_tells_the_answer_and_what_happened() -> None:
    told = read_told({"shipment": a_shipment(reference="R1"), "event": an_event("picked_up", detail="Hall\x07 3")})
    assert told.reference == "r1"
    assert told.answer == ACCEPTED
    assert told.tracked == (TrackedEvent("shipped", NOW, "Hall 3"),)
    corrected = read_told({"shipment": a_shipment(), "event": a_corrected(3)}).tracked
    assert corrected == (TrackedEvent("corrected", NOW, "", "SW000000000003", 3),)
    assert read_told({"shipment": a_shipment(), "event": an_event("in_transit")}).tracked == ()


def test_a_callback_with_other_pieces_or_no_parcel_proves_nothing() -> None:
    assert isinstance(read_told({"shipment": a_shipment()}, ("u1", "u2", "u3")).answer, Unknown)
    for body in ({}, {"shipment": None}, {"shipment": a_shipment(), "event": {"event": "delivered"}}):
        with pytest.raises(CallbackUnreadable):
            read_told(body)


@given(body=st.dictionaries(st.sampled_from(["shipment", "event", "type"]), a_body_of_a_kind | a_json))
def test_a_callback_is_read_or_refused_and_nothing_else(body: dict[str, object]) -> None:
    try:
        told = read_told(body)
    except CallbackUnreadable:
        return
    assert told.reference
    assert all(each.happening in get_args(Happening) for each in told.tracked)


def test_parcel_is_registered_by_name() -> None:
    contract = {"base_url": "http://127.0.0.1:1", "api_token": "t"}
    spoken = PROTOCOLS["parcel"]
    assert isinstance(spoken.connect(httpx2.AsyncClient(), contract), ParcelCarrier)
    assert spoken.read_callback(contract, {"shipment": a_shipment()}, ("u1", "u2")).answer == ACCEPTED


def read(receiver: Receiver) -> list[Told]:
    """Every callback that came, in the order of arrival, as the protocol reads it."""
    verified = (verified_body(SECRET, body, headers) for body, headers in receiver.taken)
    return [PROTOCOLS["parcel"].read_callback({}, body, ()) for body in verified]


async def test_callbacks_twice_late_and_early_are_read_as_they_were_meant(parcel: Simulated) -> None:
    await parcel.params(callback_late_ms=200)
    async with parcel.calling_back() as receiver:
        await parcel.force("ship", "callback_early")
        request = a_request()
        answer = await parcel.issue(request)
        assert read(receiver) == [Told(request.reference, answer)]
        await parcel.force("move", "callback_late")
        await parcel.tell(request.reference, "lost")
        await parcel.force("move", "callback_twice")
        await parcel.tell(request.reference, "found")
        await receiver.wait_for(4)
    told = read(receiver)
    assert {each.answer for each in told} == {answer}
    assert [each.tracked[0].happening for each in told[1:]] == ["found", "found", "lost"]
    assert told[1].tracked[0].at > told[3].tracked[0].at
    assert await parcel.hits() == {"callback_early": 1, "callback_late": 1, "callback_twice": 1}


async def test_a_callback_may_contradict_the_answer(parcel: Simulated) -> None:
    await parcel.params(contradict_ms=50)
    async with parcel.calling_back() as receiver:
        await parcel.force("ship", "contradict")
        answer = await parcel.issue(a_request())
        await receiver.wait_for(2)
    later = read(receiver)[-1].answer
    assert isinstance(answer, Confirmed)
    assert later is not None
    assert contradicts(answer, later)


async def test_a_parcel_that_moves_by_itself_may_be_lost_and_found(parcel: Simulated) -> None:
    await parcel.control("PUT", "", {"moves": True, "step_s": 0.03})
    await parcel.control("PUT", "/faults", {"rates": {"lose": 1, "find": 1}, "params": {"found_ms": 20}})
    request = await an_accepted(parcel)
    async with asyncio.timeout(5):
        while len((await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S)).events) < 5:
            await asyncio.sleep(0.02)
    tracked = await parcel.carrier.track(request.reference, timeout_s=TIMEOUT_S)
    assert [each.happening for each in tracked.events[:5]] == ["shipped", "lost", "found", "lost", "found"]
