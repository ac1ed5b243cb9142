"""The OCTO adapter against the supplier simulator over real HTTP: every way to answer, and what it must mean."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from standardwebhooks import Webhook

from adapters.suppliers import BookingRequest, CallbackUnreadable, NotSent, SupplierUnreadable
from adapters.suppliers.callbacks import CallbackRefused, verified_body
from adapters.suppliers.octo import OctoSupplier
from adapters.suppliers.octo_bodies import judge_booking, read_booking, read_products, read_told, unit_label
from adapters.suppliers.registry import PROTOCOLS
from domain.issuance import Canceled, Confirmed, Held, NotFound, Pending, Rejected, Unknown
from simulators.supplier.serving import serving
from tests.simulators.outside import SECRET, Controlled

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Simulated(Controlled):
    """One supplier of a test's own: the adapter that speaks to it, and its control API."""

    supplier: OctoSupplier
    availability_id: str


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("suppliers")) as base_url:
        yield base_url


@pytest.fixture
async def octo(url: str) -> AsyncIterator[Simulated]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        name = f"s{uuid4().hex[:12]}"
        made = await client.put(f"{url}/control/{name}", json={"like": "northgate"})
        supplier = OctoSupplier(client, f"{url}/{name}/octo", made.json()["token"])
        day = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
        found = await supplier.read_sessions(
            "ng-silk-roads", "DEFAULT", first_day=day, last_day=day, timeout_s=TIMEOUT_S
        )
        yield Simulated(client, url, name, supplier, found[0].availability_id)


def a_request(octo: Simulated, units: int = 2, **changes: Any) -> BookingRequest:
    request = BookingRequest(
        reference=str(uuid4()),
        product_id="ng-silk-roads",
        option_id="DEFAULT",
        unit_id="adult",
        availability_id=octo.availability_id,
        unit_references=tuple(str(uuid4()) for _ in range(units)),
        order_no="20260000000001",
        currency="CNY",
        hold_minutes=15,
    )
    return replace(request, **changes)


async def a_hold(octo: Simulated, units: int = 2) -> BookingRequest:
    request = a_request(octo, units)
    assert isinstance(await octo.supplier.reserve(request, timeout_s=TIMEOUT_S), Confirmed)
    return request


async def test_a_reservation_is_a_hold_with_the_suppliers_own_expiry(octo: Simulated) -> None:
    request = a_request(octo)
    answer = await octo.supplier.reserve(request, timeout_s=TIMEOUT_S)
    assert isinstance(answer, Confirmed)
    assert answer.tickets == ()
    assert answer.expires_at is not None
    assert timedelta(minutes=14) < answer.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    assert await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S) == Held(
        answer.supplier_reference, answer.expires_at
    )


async def test_a_reservation_repeated_with_the_same_reference_is_the_same_hold(octo: Simulated) -> None:
    request = a_request(octo)
    first = await octo.supplier.reserve(request, timeout_s=TIMEOUT_S)
    assert await octo.supplier.reserve(request, timeout_s=TIMEOUT_S) == first


async def test_issuing_a_hold_yields_one_ticket_per_unit(octo: Simulated) -> None:
    request = await a_hold(octo, units=3)
    answer = await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S)
    assert isinstance(answer, Confirmed)
    assert [ticket.unit for ticket in answer.tickets] == [0, 1, 2]
    assert len({ticket.code for ticket in answer.tickets}) == 3
    assert {ticket.code_format for ticket in answer.tickets} == {"QRCODE"}
    assert await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S) == answer


async def test_issuing_without_a_hold_reserves_and_confirms_once(octo: Simulated) -> None:
    request = a_request(octo)
    answer = await octo.supplier.issue(request, reserved=False, timeout_s=TIMEOUT_S)
    assert isinstance(answer, Confirmed)
    assert len(answer.tickets) == 2
    assert await octo.supplier.issue(request, reserved=False, timeout_s=TIMEOUT_S) == answer
    assert await octo.confirmed_in_book(request.reference) == 1


async def test_a_supplier_that_does_not_deduplicate_issues_twice_when_confirmed_twice(octo: Simulated) -> None:
    await octo.faults(deduplicates=False)
    request = await a_hold(octo)
    for _ in range(2):
        assert isinstance(await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S), Confirmed)
    assert await octo.confirmed_in_book(request.reference) == 2


@pytest.mark.parametrize("kind", ["drop_after", "error_after", "unreadable"])
async def test_a_confirmation_whose_answer_is_lost_is_unknown_and_found_by_query(octo: Simulated, kind: str) -> None:
    request = await a_hold(octo)
    await octo.force("confirm", kind)
    assert isinstance(await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S), Unknown)
    assert isinstance(await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S), Confirmed)
    assert await octo.confirmed_in_book(request.reference) == 1
    assert await octo.hits() == {kind: 1}


async def test_a_dropped_connection_is_seen_as_no_answer_at_all(octo: Simulated) -> None:
    request = await a_hold(octo)
    await octo.force("query", "drop_after")
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        await octo.client.get(
            f"{octo.url}/{octo.name}/octo/bookings/{request.reference}",
            headers={"Authorization": f"Bearer {octo.name}-token"},
        )


async def test_a_server_error_before_the_work_is_unknown_all_the_same(octo: Simulated) -> None:
    request = await a_hold(octo)
    await octo.force("confirm", "error_before")
    assert isinstance(await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S), Unknown)
    assert isinstance(await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S), Held)


async def test_a_slow_answer_is_waited_for_and_one_too_slow_is_unknown(octo: Simulated) -> None:
    await octo.faults(params={"slow_ms": 300})
    request = await a_hold(octo)
    await octo.force("confirm", "slow")
    assert isinstance(await octo.supplier.issue(request, reserved=True, timeout_s=0.1), Unknown)
    await octo.force("query", "slow")
    assert isinstance(await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S), Confirmed | Held)


async def test_a_call_that_hangs_ends_at_its_time_out(octo: Simulated) -> None:
    request = await a_hold(octo)
    await octo.force("confirm", "hang")
    before = time.monotonic()
    assert isinstance(await octo.supplier.issue(request, reserved=True, timeout_s=0.3), Unknown)
    assert time.monotonic() - before < 1.0
    assert await octo.confirmed_in_book(request.reference) == 1


async def test_a_refused_rate_is_not_sent_and_says_when_to_come_back(octo: Simulated) -> None:
    await octo.faults(params={"retry_after_s": 7})
    request = await a_hold(octo)
    await octo.force("confirm", "rate_limit")
    with pytest.raises(NotSent) as refused:
        await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S)
    assert refused.value.retry_after_s == 7.0
    assert await octo.confirmed_in_book(request.reference) == 0


async def test_issuing_whose_hold_arrived_but_whose_confirmation_was_not_sent_is_unknown(octo: Simulated) -> None:
    request = a_request(octo)
    await octo.force("confirm", "rate_limit")
    assert isinstance(await octo.supplier.issue(request, reserved=False, timeout_s=TIMEOUT_S), Unknown)
    assert isinstance(await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S), Held)


async def test_a_refused_connection_is_not_sent(octo: Simulated) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    supplier = OctoSupplier(octo.client, f"http://127.0.0.1:{port}/octo", "token")
    with pytest.raises(NotSent) as unsent:
        await supplier.reserve(a_request(octo), timeout_s=TIMEOUT_S)
    assert unsent.value.retry_after_s is None


async def test_a_late_confirmation_is_pending_until_it_has_come(octo: Simulated) -> None:
    await octo.faults(params={"confirm_late_ms": 250})
    request = await a_hold(octo)
    await octo.force("confirm", "confirm_late")
    answer = await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S)
    assert isinstance(answer, Pending)
    assert isinstance(await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S), Pending)
    time.sleep(0.3)  # noqa: ASYNC251  (the simulator lives in another thread)
    assert isinstance(await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S), Confirmed)


async def test_a_rejection_is_final_and_leaves_nothing_issued(octo: Simulated) -> None:
    request = await a_hold(octo)
    await octo.force("confirm", "reject")
    expected = Rejected("REJECTED", retry_elsewhere=True)
    assert await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S) == expected
    assert await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S) == expected
    assert await octo.confirmed_in_book(request.reference) == 0


async def test_a_forgotten_booking_is_not_found_for_a_while(octo: Simulated) -> None:
    await octo.faults(params={"forget_ms": 250})
    request = await a_hold(octo)
    await octo.force("confirm", "forget")
    await octo.force("confirm", "drop_after")
    assert isinstance(await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S), Unknown)
    assert await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S) == NotFound()
    assert await octo.confirmed_in_book(request.reference) == 1
    time.sleep(0.3)  # noqa: ASYNC251  (the simulator lives in another thread)
    assert isinstance(await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S), Confirmed)


async def test_an_expired_hold_is_unknown_to_confirm_and_cancelled_to_query(octo: Simulated) -> None:
    await octo.control("PUT", "", {"hold_s": 0.05})
    request = await a_hold(octo)
    time.sleep(0.1)  # noqa: ASYNC251  (the simulator lives in another thread)
    assert isinstance(await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S), Unknown)
    assert await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S) == Canceled()
    # And a reference that was used up cannot be taken for a refusal: it might have been used with success.
    assert isinstance(await octo.supplier.reserve(request, timeout_s=TIMEOUT_S), Unknown)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"product_id": "nothing"}, "INVALID_PRODUCT_ID"),
        ({"option_id": "nothing"}, "INVALID_OPTION_ID"),
        ({"unit_id": "nothing"}, "INVALID_UNIT_ID"),
        ({"availability_id": "2020-01-01T09:00:00+08:00"}, "INVALID_AVAILABILITY_ID"),
    ],
)
async def test_a_reservation_of_what_is_not_sold_is_rejected(
    octo: Simulated, changes: dict[str, Any], code: str
) -> None:
    answer = await octo.supplier.reserve(a_request(octo, **changes), timeout_s=TIMEOUT_S)
    assert isinstance(answer, Rejected)
    assert answer.code == code
    assert answer.retry_elsewhere


async def test_a_sold_out_session_is_rejected_and_seats_come_back_with_the_hold(octo: Simulated) -> None:
    await octo.control("PUT", "", {"capacity": 2})
    first = await a_hold(octo)
    answer = await octo.supplier.reserve(a_request(octo, units=1), timeout_s=TIMEOUT_S)
    assert answer == Rejected("UNPROCESSABLE_ENTITY", retry_elsewhere=True, detail="Sold out")
    await octo.supplier.cancel(first.reference, reason="changed plans", timeout_s=TIMEOUT_S)
    assert isinstance(await octo.supplier.reserve(a_request(octo), timeout_s=TIMEOUT_S), Confirmed)


async def test_a_wrong_token_is_rejected_for_a_reservation_and_unknown_for_a_query(octo: Simulated) -> None:
    stranger = OctoSupplier(octo.client, f"{octo.url}/{octo.name}/octo", "wrong")
    assert await stranger.reserve(a_request(octo), timeout_s=TIMEOUT_S) == Rejected("FORBIDDEN", retry_elsewhere=True)
    assert isinstance(await stranger.query(str(uuid4()), timeout_s=TIMEOUT_S), Unknown)


async def test_cancelling_is_repeatable_and_an_unknown_reference_is_not_found(octo: Simulated) -> None:
    request = a_request(octo)
    await octo.supplier.issue(request, reserved=False, timeout_s=TIMEOUT_S)
    for _ in range(2):
        answer = await octo.supplier.cancel(request.reference, reason="changed plans", timeout_s=TIMEOUT_S)
        assert answer == Canceled()
    assert await octo.supplier.query(request.reference, timeout_s=TIMEOUT_S) == Canceled()
    assert await octo.supplier.cancel(str(uuid4()), reason="none", timeout_s=TIMEOUT_S) == NotFound()


async def test_a_cancellation_whose_answer_is_lost_is_unknown(octo: Simulated) -> None:
    request = await a_hold(octo)
    await octo.force("cancel", "drop_after")
    answer = await octo.supplier.cancel(request.reference, reason="changed plans", timeout_s=TIMEOUT_S)
    assert isinstance(answer, Unknown)


async def test_extending_moves_the_expiry_and_an_issued_booking_refuses(octo: Simulated) -> None:
    request = await a_hold(octo)
    answer = await octo.supplier.extend(request.reference, minutes=60, timeout_s=TIMEOUT_S)
    assert isinstance(answer, Confirmed)
    assert answer.expires_at is not None
    assert answer.expires_at > datetime.now(UTC) + timedelta(minutes=59)
    await octo.supplier.issue(request, reserved=True, timeout_s=TIMEOUT_S)
    refused = await octo.supplier.extend(request.reference, minutes=60, timeout_s=TIMEOUT_S)
    assert isinstance(refused, Rejected)
    assert refused.code == "UNPROCESSABLE_ENTITY"


async def test_the_catalogue_comes_with_prices_options_and_sessions(octo: Simulated) -> None:
    products = {each.product_id: each for each in await octo.supplier.read_products(timeout_s=TIMEOUT_S)}
    silk = products["ng-silk-roads"]
    assert silk.time_zone == "Asia/Shanghai"
    assert silk.availability_required
    adult = silk.options[0].units[0]
    assert (adult.unit_id, adult.retail_minor, adult.net_minor, adult.currency) == ("adult", 12000, 10200, "CNY")
    assert not products["ng-open-pass"].availability_required
    day = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
    found = await octo.supplier.read_sessions(
        "ng-silk-roads", "DEFAULT", first_day=day, last_day=day, timeout_s=TIMEOUT_S
    )
    assert [each.starts_at.strftime("%H:%M") for each in found] == ["09:30", "11:30", "13:30", "15:30"]
    assert all(each.available and each.vacancies == 100_000 for each in found)


async def test_an_unreadable_catalogue_is_never_an_empty_one(octo: Simulated) -> None:
    await octo.force("products", "unreadable")
    with pytest.raises(SupplierUnreadable):
        await octo.supplier.read_products(timeout_s=TIMEOUT_S)
    with pytest.raises(SupplierUnreadable):
        read_products(b'[{"id": "half a product"}]')


def a_booking(*units: tuple[str, str], status: str = "CONFIRMED", **fields: Any) -> bytes:
    """A booking's body with units as (uuid, code); an empty code is a missing ticket."""
    items = [
        {
            "uuid": uuid,
            "resellerReference": unit_label("A1", index, len(units)),
            "status": status,
            "ticket": {"deliveryOptions": [{"deliveryFormat": "QRCODE", "deliveryValue": code}]} if code else None,
        }
        for index, (uuid, code) in enumerate(units)
    ]
    body = {"id": "b", "uuid": "u", "status": status, "supplierReference": "S", "unitItems": items} | fields
    return json.dumps(body).encode()


def judged(body: bytes, *references: str) -> object:
    booking = read_booking(body)
    assert booking is not None
    return judge_booking(booking, references)


def test_tickets_follow_our_units_and_never_their_position() -> None:
    body = a_booking(("x", "X"), ("y", "Y"))
    by_reference = judged(body, "y", "x")
    assert isinstance(by_reference, Confirmed)
    assert [t.code for t in by_reference.tickets] == ["Y", "X"]
    document = json.loads(body)
    document["unitItems"].reverse()
    by_label = judged(json.dumps(document).encode())
    assert isinstance(by_label, Confirmed)
    assert [t.code for t in by_label.tickets] == ["X", "Y"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(a_booking(("x", "X"), ("y", "")), id="a ticket is missing"),
        pytest.param(a_booking(("x", "X")), id="a unit is missing"),
        pytest.param(a_booking(("x", "X"), ("z", "Z")), id="a unit is not ours"),
        pytest.param(a_booking(), id="there are no units"),
        pytest.param(a_booking(("x", "X"), ("y", "Y"), cancellation={"refund": "FULL"}), id="confirmed, yet cancelled"),
        pytest.param(a_booking(("x", "X"), status="MAYBE"), id="a status that is not OCTO's"),
        pytest.param(
            a_booking(("x", ""), status="REJECTED", utcConfirmedAt="2026-01-01T00:00:00Z"), id="rejected, yet confirmed"
        ),
    ],
)
def test_a_booking_that_does_not_prove_what_it_says_is_unknown(body: bytes) -> None:
    assert isinstance(judged(body, "x", "y"), Unknown)


def test_units_that_cannot_be_told_apart_are_unknown() -> None:
    document = json.loads(a_booking(("x", "X"), ("y", "Y")))
    for item in document["unitItems"]:
        item["resellerReference"] = None
    assert isinstance(judged(json.dumps(document).encode()), Unknown)


def test_one_voucher_admits_every_unit_where_there_are_no_tickets() -> None:
    voucher = {"deliveryOptions": [{"deliveryFormat": "PDF_URL", "deliveryValue": "https://tickets.example/1.pdf"}]}
    answer = judged(a_booking(("x", ""), ("y", ""), voucher=voucher), "x", "y")
    assert isinstance(answer, Confirmed)
    assert {t.code_format for t in answer.tickets} == {"PDF_URL"}


def signed(body: bytes, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", at, body.decode()),
    }


def test_a_signed_callback_is_read_as_the_answer_it_carries() -> None:
    body = a_booking(("x", "X"))
    told = read_told(verified_body(SECRET, body, signed(body)))
    assert told.reference == "u"
    assert isinstance(told.answer, Confirmed)
    assert told.answer.tickets[0].code == "X"


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({"webhook-signature": "v1,AAAA"}, a_booking(("x", "X"))),
        ({"webhook-signature": "no comma"}, a_booking(("x", "X"))),
        ({"webhook-signature": "v1,é"}, a_booking(("x", "X"))),
        ({"webhook-timestamp": "nan"}, a_booking(("x", "X"))),
        ({"webhook-id": ""}, a_booking(("x", "X"))),
        ({}, b'{"not": "a booking"}'),
    ],
)
def test_a_callback_that_proves_nothing_is_refused_in_one_way(change: dict[str, str], body: bytes) -> None:
    with pytest.raises((CallbackRefused, CallbackUnreadable)):
        read_told(verified_body(SECRET, body, signed(body) | change))


def test_a_callback_is_refused_when_it_is_old_changed_or_not_text() -> None:
    body = a_booking(("x", "X"))
    with pytest.raises(CallbackRefused):
        verified_body(SECRET, body, signed(body, datetime.now(UTC) - timedelta(minutes=6)))
    with pytest.raises(CallbackRefused):
        verified_body(SECRET, body.replace(b"CONFIRMED", b"REJECTED"), signed(body))
    with pytest.raises(CallbackRefused):
        verified_body(SECRET, b"\xff\xfe", signed(body))


def test_octo_is_registered_by_name() -> None:
    contract = {"base_url": "http://127.0.0.1:1", "api_token": "t"}
    assert isinstance(PROTOCOLS["octo"].connect(httpx2.AsyncClient(), contract), OctoSupplier)
