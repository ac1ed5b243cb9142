"""The mapped adapter against the top-up simulator over real HTTP, by the mapping of the sample data: every way to
answer, and what it must mean."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.suppliers import BookingRequest, NotSent
from adapters.suppliers.mapped import MappedSupplier
from adapters.suppliers.mapped_mapping import Digest, SupplierMapping
from adapters.suppliers.mapped_signing import digest
from domain.issuance import Canceled, Confirmed, NotFound, Pending, Rejected, Unknown
from simulators.topup.serving import serving
from simulators.topup.signing import is_signed

TIMEOUT_S = 5.0
PHONE = "13800138000"
MAPPING = json.loads((Path(__file__).parents[2] / "seeds/suppliers/mobilink.json").read_text())


@dataclass(frozen=True)
class Simulated:
    """One operator of a test's own: the adapter that speaks to it, and its control API."""

    name: str
    url: str
    client: httpx2.AsyncClient
    supplier: MappedSupplier

    def speaking(self, mapping: dict[str, Any], *, base_url: str | None = None, **contract: str) -> MappedSupplier:
        """An adapter by another mapping or contract."""
        terms = {"base_url": base_url or f"{self.url}/{self.name}", "api_token": f"{self.name}-token"} | contract
        return MappedSupplier.of(self.client, {**terms, "protocol_settings": mapping})

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.client.request(method, f"{self.url}/control/{self.name}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def force(self, operation: str, kind: str) -> None:
        await self.control("POST", "/next", {"operation": operation, "kind": kind})

    async def faults(self, **settings: Any) -> None:
        await self.control("PUT", "/faults", settings)

    async def statuses(self, reference: str) -> list[str]:
        page = await self.control("GET", f"/book?reference={reference}")
        return [each["status"] for each in page["bookings"]]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("operators")) as base_url:
        yield base_url


@pytest.fixture
async def operator(url: str) -> AsyncIterator[Simulated]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        name = f"o{uuid4().hex[:12]}"
        made = await client.put(f"{url}/control/{name}", json={"like": "mobilink"})
        supplier = MappedSupplier(
            client, f"{url}/{name}", made.json()["token"], SupplierMapping.model_validate(MAPPING)
        )
        yield Simulated(name, url, client, supplier)


def a_request(units: int = 1, **changes: Any) -> BookingRequest:
    request = BookingRequest(
        reference=str(uuid4()),
        product_id="CM-1GB-7D",
        option_id="DEFAULT",
        unit_id="pack",
        availability_id=None,
        unit_references=tuple(str(uuid4()) for _ in range(units)),
        order_no="0000000000000000042",
        currency="CNY",
        account=PHONE,
    )
    return replace(request, **changes)


async def issue(operator: Simulated, request: BookingRequest, timeout_s: float = TIMEOUT_S) -> object:
    return await operator.supplier.issue(request, reserved=False, timeout_s=timeout_s)


async def query(operator: Simulated, request: BookingRequest) -> object:
    return await operator.supplier.query(
        request.reference, timeout_s=TIMEOUT_S, unit_references=request.unit_references
    )


async def test_a_top_up_is_confirmed_with_one_receipt_per_unit(operator: Simulated) -> None:
    request = a_request(units=3)
    answer = await issue(operator, request)
    assert isinstance(answer, Confirmed)
    assert [ticket.unit for ticket in answer.tickets] == [0, 1, 2]
    assert len({ticket.code for ticket in answer.tickets}) == 3
    assert {(ticket.code_format, ticket.code == ticket.supplier_ticket_id) for ticket in answer.tickets} == {
        ("TOPUP", True)
    }
    assert await query(operator, request) == answer


async def test_a_top_up_repeated_with_the_same_reference_is_the_same_one(operator: Simulated) -> None:
    request = a_request()
    assert await issue(operator, request) == await issue(operator, request)
    assert await operator.statuses(request.reference) == ["CONFIRMED"]


async def test_an_operator_that_does_not_deduplicate_tops_up_twice_when_asked_twice(operator: Simulated) -> None:
    await operator.faults(deduplicates=False)
    request = a_request()
    for _ in range(2):
        assert isinstance(await issue(operator, request), Confirmed)
    assert await operator.statuses(request.reference) == ["CONFIRMED", "CONFIRMED"]


async def test_the_same_gateway_is_spoken_to_in_json_by_another_mapping(operator: Simulated) -> None:
    request = a_request()
    answer = await operator.speaking(MAPPING | {"format": "json"}).issue(request, reserved=False, timeout_s=TIMEOUT_S)
    assert isinstance(answer, Confirmed)


async def test_a_late_top_up_is_pending_with_the_operators_own_hint_until_it_has_come(operator: Simulated) -> None:
    await operator.faults(params={"confirm_late_ms": 250})
    request = a_request()
    await operator.force("recharge", "confirm_late")
    answer = await issue(operator, request)
    assert isinstance(answer, Pending)
    assert answer.ask_again_after_s == 2.0
    assert await query(operator, request) == answer
    time.sleep(0.3)  # noqa: ASYNC251  (the simulator lives in another thread)
    assert isinstance(await query(operator, request), Confirmed)


async def test_a_late_failure_is_pending_and_then_a_definite_no(operator: Simulated) -> None:
    await operator.faults(params={"confirm_late_ms": 100})
    request = a_request()
    await operator.force("recharge", "confirm_late")
    await operator.force("recharge", "reject")
    assert isinstance(await issue(operator, request), Pending)
    time.sleep(0.15)  # noqa: ASYNC251  (the simulator lives in another thread)
    assert isinstance(await query(operator, request), Rejected)
    assert await operator.statuses(request.reference) == ["REJECTED"]


async def test_a_failed_top_up_is_rejected_and_stays_so(operator: Simulated) -> None:
    request = a_request()
    await operator.force("recharge", "reject")
    answer = await issue(operator, request)
    assert isinstance(answer, Rejected)
    assert answer.retry_elsewhere
    assert isinstance(await query(operator, request), Rejected)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"account": "13000130000"}, "PHONE_NOT_SERVED"),
        ({"account": "138"}, "PHONE_INVALID"),
        ({"account": None}, "ACCOUNT_MISSING"),
        ({"product_id": "CM-9TB-1D"}, "PRODUCT_UNKNOWN"),
        ({"product_id": "CM-3GB-30D"}, "OUT_OF_STOCK"),
    ],
)
async def test_what_the_operator_refuses_unread_is_rejected_by_its_code(
    operator: Simulated, changes: dict[str, Any], code: str
) -> None:
    await operator.control("PUT", "", {"out_of_stock": ["CM-3GB-30D"]})
    request = a_request(**changes)
    assert await issue(operator, request) == Rejected(code, retry_elsewhere=True)
    assert await operator.statuses(request.reference) == []
    assert await query(operator, request) == NotFound()


@pytest.mark.parametrize("kind", ["drop_after", "error_after", "unreadable"])
async def test_a_top_up_whose_answer_is_lost_is_unknown_and_found_by_query(operator: Simulated, kind: str) -> None:
    request = a_request()
    await operator.force("recharge", kind)
    assert isinstance(await issue(operator, request), Unknown)
    assert isinstance(await query(operator, request), Confirmed)
    assert await operator.statuses(request.reference) == ["CONFIRMED"]


async def test_a_server_error_before_the_work_is_unknown_all_the_same(operator: Simulated) -> None:
    request = a_request()
    await operator.force("recharge", "error_before")
    assert isinstance(await issue(operator, request), Unknown)
    assert await query(operator, request) == NotFound()


@pytest.mark.parametrize("kind", ["drop_after", "error_after", "error_before", "unreadable"])
async def test_a_question_or_a_cancel_that_is_not_answered_is_unknown(operator: Simulated, kind: str) -> None:
    request = a_request()
    await issue(operator, request)
    await operator.force("query", kind)
    assert isinstance(await query(operator, request), Unknown)
    await operator.force("cancel", kind)
    canceled = await operator.supplier.cancel(request.reference, reason="changed plans", timeout_s=TIMEOUT_S)
    assert isinstance(canceled, Unknown)


async def test_a_slow_answer_is_waited_for_and_one_too_slow_is_unknown(operator: Simulated) -> None:
    await operator.faults(params={"slow_ms": 200})
    request = a_request()
    await operator.force("recharge", "slow")
    assert isinstance(await issue(operator, request, timeout_s=0.1), Unknown)
    await operator.force("query", "slow")
    assert isinstance(await query(operator, request), Confirmed | NotFound)


async def test_a_call_that_hangs_ends_at_its_time_out_and_may_have_been_done(operator: Simulated) -> None:
    request = a_request()
    await operator.force("recharge", "hang")
    before = time.monotonic()
    assert isinstance(await issue(operator, request, timeout_s=0.3), Unknown)
    assert time.monotonic() - before < 1.0
    assert await operator.statuses(request.reference) == ["CONFIRMED"]


async def test_a_refused_rate_is_not_sent_and_says_when_to_come_back(operator: Simulated) -> None:
    await operator.faults(params={"retry_after_s": 7})
    request = a_request()
    await operator.force("recharge", "rate_limit")
    with pytest.raises(NotSent) as refused:
        await issue(operator, request)
    assert refused.value.retry_after_s == 7.0
    assert await operator.statuses(request.reference) == []


async def test_a_refused_connection_is_not_sent(operator: Simulated) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    gone = operator.speaking(MAPPING, base_url=f"http://127.0.0.1:{port}")
    with pytest.raises(NotSent):
        await gone.issue(a_request(), reserved=False, timeout_s=TIMEOUT_S)


async def test_a_forgotten_top_up_is_not_found_for_a_while(operator: Simulated) -> None:
    await operator.faults(params={"forget_ms": 250})
    request = a_request()
    await operator.force("recharge", "forget")
    await operator.force("recharge", "drop_after")
    assert isinstance(await issue(operator, request), Unknown)
    assert await query(operator, request) == NotFound()
    assert await operator.statuses(request.reference) == ["CONFIRMED"]
    time.sleep(0.3)  # noqa: ASYNC251  (the simulator lives in another thread)
    assert isinstance(await query(operator, request), Confirmed)


async def test_an_operator_that_says_no_and_has_done_it_is_found_out_by_query(operator: Simulated) -> None:
    await operator.faults(params={"contradict_way": "rejected_then_confirmed"})
    request = a_request()
    await operator.force("recharge", "contradict")
    assert isinstance(await issue(operator, request), Rejected)
    assert isinstance(await query(operator, request), Confirmed)


async def test_only_what_is_being_processed_can_be_cancelled(operator: Simulated) -> None:
    done, pending = a_request(), a_request()
    await issue(operator, done)
    await operator.force("recharge", "confirm_late")
    await issue(operator, pending)
    refused = await operator.supplier.cancel(done.reference, reason="changed plans", timeout_s=TIMEOUT_S)
    assert refused == Rejected("ALREADY_DONE")
    for _ in range(2):
        answer = await operator.supplier.cancel(pending.reference, reason="changed plans", timeout_s=TIMEOUT_S)
        assert answer == Canceled()
    assert await query(operator, pending) == Canceled()
    nothing = await operator.supplier.cancel(str(uuid4()), reason="none", timeout_s=TIMEOUT_S)
    assert nothing == NotFound()


async def test_a_wrong_secret_is_rejected_for_a_top_up_and_unknown_for_a_query(operator: Simulated) -> None:
    stranger = operator.speaking(MAPPING, api_token="wrong")
    refused = await stranger.issue(a_request(), reserved=False, timeout_s=TIMEOUT_S)
    assert refused == Rejected("SIGN_ERROR", retry_elsewhere=True)
    assert isinstance(await stranger.query(str(uuid4()), timeout_s=TIMEOUT_S), Unknown)


@given(
    secret=st.text(min_size=1, max_size=20),
    parameters=st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "sign"), st.text(max_size=12), max_size=6
    ),
)
def test_what_the_adapter_signs_is_what_the_gateway_expects(secret: str, parameters: dict[str, str]) -> None:
    signed = digest(Digest(kind="hmac-sha256"), secret, parameters)
    assert is_signed(secret, parameters | {"sign": signed})
    assert not is_signed(secret, parameters | {"sign": signed, "one more": "1"})
    assert not is_signed(f"{secret}x", parameters | {"sign": signed})


@pytest.mark.parametrize("kind", [None, "error_after", "drop_after", "unreadable", "rate_limit", "reject"])
async def test_a_phone_is_neither_logged_nor_part_of_an_answer_or_an_error(
    operator: Simulated, caplog: pytest.LogCaptureFixture, kind: str | None
) -> None:
    caplog.set_level(logging.DEBUG)
    if kind is not None:
        await operator.force("recharge", kind)
    try:
        told = repr(await issue(operator, a_request()))
    except NotSent as refused:
        told = repr(refused)
    assert PHONE not in told
    assert caplog.records, "something is logged, or this proves nothing"
    assert not [record for record in caplog.records if PHONE in record.getMessage()]
