"""The native channel's adapter against the payment simulator over real HTTP: every way to answer, and what it means."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks import Webhook

from adapters.payments import BillUnreadable, CallbackRefused, PaymentRequest, RefundRequest
from adapters.payments.direct import DirectChannel, DirectCredentials
from adapters.payments.registry import PROTOCOLS
from domain.channels import (
    BillLine,
    ChannelEvent,
    Closed,
    Created,
    Declined,
    NothingTold,
    NotKnown,
    NotReachable,
    Paid,
    PaymentFailed,
    PaymentTold,
    RefundDeclined,
    RefundDone,
    RefundPending,
    RefundTold,
    Unclear,
    Unpaid,
)
from simulators.payment.serving import serving
from tests.simulators.outside import SECRET, Controlled, Receiver, receiving

TIMEOUT_S = 5.0
AMOUNT = 12_900
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Simulated(Controlled):
    """One channel of a test's own: the adapter that speaks to it, and its control API."""

    channel: DirectChannel

    async def create(self, request: PaymentRequest) -> Created:
        created = await self.channel.create(request, timeout_s=TIMEOUT_S)
        assert isinstance(created, Created)
        return created

    async def pay(self, request: PaymentRequest, **act: Any) -> None:
        await self.control("POST", f"/pay/{request.pay_id}", act)

    async def paid(self, **changes: Any) -> tuple[PaymentRequest, Paid]:
        """A payment that was created and paid."""
        request = a_payment(**changes)
        await self.create(request)
        await self.pay(request)
        answer = await self.query(request)
        assert isinstance(answer, Paid)
        return request, answer

    async def query(self, request: PaymentRequest) -> Any:
        return await self.channel.query(request.pay_id, "", timeout_s=TIMEOUT_S)

    async def totals(self) -> dict[str, int]:
        totals: dict[str, dict[str, int]] = (await self.control("GET", "/truth"))["totals"]
        return totals.get("CNY", {})


def a_payment(**changes: Any) -> PaymentRequest:
    request = PaymentRequest(
        pay_id=f"pay-{uuid4().hex}",
        amount_minor=AMOUNT,
        currency="CNY",
        subject="Two tickets",
        notify_url="",
        return_url="https://shop.test/done",
        expires_at=datetime.now(UTC) + timedelta(minutes=15),
    )
    return replace(request, **changes)


def a_refund(request: PaymentRequest, paid: Paid, **changes: Any) -> RefundRequest:
    charge = paid.charges[0]
    refund = RefundRequest(
        refund_no=f"rfd-{uuid4().hex}",
        pay_id=request.pay_id,
        payment_id=charge.payment_id,
        channel_reference="",
        amount_minor=900,
        paid_minor=charge.amount_minor,
        currency="CNY",
        reason="the date does not suit",
        notify_url=request.notify_url,
    )
    return replace(refund, **changes)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("channels")) as base_url:
        yield base_url


@pytest.fixture
async def direct(url: str) -> AsyncIterator[Simulated]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        name = f"c{uuid4().hex[:12]}"
        made = await client.put(f"{url}/control/{name}", json={"callback_secret": SECRET})
        contract = {
            "base_url": f"{url}/{name}",
            "credentials": {"token": made.json()["token"], "callback_secret": SECRET},
        }
        channel = PROTOCOLS["direct"].connect(client, contract)
        assert isinstance(channel, DirectChannel)
        yield Simulated(client, url, name, channel)


# --- paying ------------------------------------------------------------------------------------------------------


async def test_a_payer_is_sent_to_the_channels_page_and_what_he_pays_is_a_charge(direct: Simulated) -> None:
    request = a_payment()
    created = await direct.create(request)
    assert (created.action.kind, created.action.url) == (
        "redirect",
        f"{direct.url}/{direct.name}/cashier/{request.pay_id}",
    )
    assert await direct.query(request) == Unpaid()
    paid_at = datetime.now(UTC)
    await direct.client.post(created.action.url, data={"outcome": "pay"})
    paid = await direct.query(request)
    assert isinstance(paid, Paid)
    assert [(charge.amount_minor, charge.currency) for charge in paid.charges] == [(AMOUNT, "CNY")]
    assert abs(paid.charges[0].paid_at - paid_at) < timedelta(seconds=2)


async def test_creating_again_is_the_same_payment_and_tells_what_became_of_it(direct: Simulated) -> None:
    request = a_payment()
    created = await direct.create(request)
    assert await direct.create(request) == created
    await direct.pay(request)
    assert (await direct.create(request)).action.kind == "none"
    closed = a_payment()
    await direct.create(closed)
    await direct.channel.close(closed.pay_id, "", timeout_s=TIMEOUT_S)
    assert await direct.channel.create(closed, timeout_s=TIMEOUT_S) == Declined("closed")
    assert (await direct.totals())["charges"] == 1


async def test_a_refused_creation_is_declined_and_a_conflict_is_not(direct: Simulated) -> None:
    late = a_payment(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    declined = await direct.channel.create(late, timeout_s=TIMEOUT_S)
    assert isinstance(declined, Declined)
    assert declined.code == "expired"
    unreadable = await direct.channel.create(a_payment(currency="yuan"), timeout_s=TIMEOUT_S)
    assert isinstance(unreadable, Declined)
    request = a_payment()
    await direct.create(request)
    conflict = await direct.channel.create(replace(request, amount_minor=1), timeout_s=TIMEOUT_S)
    assert isinstance(conflict, Unclear)


async def test_a_failed_attempt_is_told_until_another_one_succeeds(direct: Simulated) -> None:
    request = a_payment()
    await direct.create(request)
    await direct.pay(request, outcome="failed")
    assert await direct.query(request) == PaymentFailed("payment_declined")
    await direct.pay(request)
    assert isinstance(await direct.query(request), Paid)


async def test_closing_ends_it_unless_the_payer_was_faster(direct: Simulated) -> None:
    request = a_payment()
    await direct.create(request)
    for _ in range(2):
        assert await direct.channel.close(request.pay_id, "", timeout_s=TIMEOUT_S) == Closed()
    assert await direct.query(request) == Closed()
    faster, paid = await direct.paid()
    assert await direct.channel.close(faster.pay_id, "", timeout_s=TIMEOUT_S) == paid
    assert await direct.channel.close("pay-none", "", timeout_s=TIMEOUT_S) == NotKnown()


async def test_two_charges_of_one_payment_are_both_told(direct: Simulated) -> None:
    await direct.force("pay", "double_charge")
    _, paid = await direct.paid()
    assert len({charge.payment_id for charge in paid.charges}) == 2


async def test_another_amount_than_asked_is_told_as_it_is(direct: Simulated) -> None:
    await direct.force("pay", "wrong_amount")
    _, paid = await direct.paid()
    assert paid.charges[0].amount_minor == AMOUNT - 1


async def test_what_the_channel_forgets_is_not_known_for_a_while(direct: Simulated) -> None:
    await direct.faults(params={"forget_ms": 200})
    request, paid = await direct.paid()
    await direct.force("query", "forget")
    assert await direct.query(request) == NotKnown()
    await asyncio.sleep(0.25)
    assert await direct.query(request) == paid


# --- giving back -------------------------------------------------------------------------------------------------


async def test_a_refund_is_done_once_per_number(direct: Simulated) -> None:
    request, paid = await direct.paid()
    refund = a_refund(request, paid)
    done = await direct.channel.refund(refund, timeout_s=TIMEOUT_S)
    assert isinstance(done, RefundDone)
    assert await direct.channel.refund(refund, timeout_s=TIMEOUT_S) == done
    assert await direct.channel.query_refund(refund, timeout_s=TIMEOUT_S) == done
    assert (await direct.totals())["refunded_minor"] == 900


async def test_more_than_was_charged_is_declined_and_a_used_number_is_not(direct: Simulated) -> None:
    request, paid = await direct.paid()
    refund = a_refund(request, paid)
    declined = await direct.channel.refund(replace(refund, amount_minor=AMOUNT + 1), timeout_s=TIMEOUT_S)
    assert isinstance(declined, RefundDeclined)
    assert declined.code == "exceeds_charge"
    assert isinstance(await direct.channel.refund(refund, timeout_s=TIMEOUT_S), RefundDone)
    other = replace(refund, amount_minor=1)
    assert isinstance(await direct.channel.refund(other, timeout_s=TIMEOUT_S), Unclear)
    assert isinstance(await direct.channel.query_refund(other, timeout_s=TIMEOUT_S), Unclear)
    nothing = replace(refund, pay_id="pay-none", refund_no="rfd-none")
    assert isinstance(await direct.channel.refund(nothing, timeout_s=TIMEOUT_S), Unclear)
    assert await direct.channel.query_refund(nothing, timeout_s=TIMEOUT_S) == NotKnown()


async def test_a_refund_may_be_pending_and_done_later(direct: Simulated) -> None:
    await direct.faults(params={"refund_late_ms": 200})
    request, paid = await direct.paid()
    refund = a_refund(request, paid)
    await direct.force("refund", "refund_pending")
    pending = await direct.channel.refund(refund, timeout_s=TIMEOUT_S)
    assert isinstance(pending, RefundPending)
    await asyncio.sleep(0.4)
    done = await direct.channel.query_refund(refund, timeout_s=TIMEOUT_S)
    assert done == RefundDone(pending.channel_reference)


async def test_a_refund_that_the_channel_refuses_is_declined_for_good(direct: Simulated) -> None:
    request, paid = await direct.paid()
    refund = a_refund(request, paid)
    await direct.force("refund", "refund_refused")
    assert await direct.channel.refund(refund, timeout_s=TIMEOUT_S) == RefundDeclined("account_closed")
    assert await direct.channel.query_refund(refund, timeout_s=TIMEOUT_S) == RefundDeclined("account_closed")
    assert (await direct.totals())["refunds"] == 0


async def test_a_forgotten_refund_is_not_known_for_a_while(direct: Simulated) -> None:
    await direct.faults(params={"forget_ms": -1})
    request, paid = await direct.paid()
    refund = a_refund(request, paid)
    await direct.channel.refund(refund, timeout_s=TIMEOUT_S)
    await direct.force("query_refund", "forget")
    assert await direct.channel.query_refund(refund, timeout_s=TIMEOUT_S) == NotKnown()
    assert isinstance(await direct.channel.refund(refund, timeout_s=TIMEOUT_S), RefundDone)


# --- faults around every call ------------------------------------------------------------------------------------


Ask = Callable[[Simulated, PaymentRequest, RefundRequest, float], Awaitable[Any]]
CALLS: dict[str, Ask] = {
    "create": lambda direct, request, _, s: direct.channel.create(replace(request, pay_id="pay-new"), timeout_s=s),
    "query": lambda direct, request, _, s: direct.channel.query(request.pay_id, "", timeout_s=s),
    "close": lambda direct, request, _, s: direct.channel.close(request.pay_id, "", timeout_s=s),
    "refund": lambda direct, _, refund, s: direct.channel.refund(refund, timeout_s=s),
    "query_refund": lambda direct, _, refund, s: direct.channel.query_refund(refund, timeout_s=s),
}


@pytest.mark.parametrize("operation", list(CALLS))
@pytest.mark.parametrize("kind", ["error_before", "error_after", "drop_after", "unreadable", "hang"])
async def test_a_call_whose_answer_is_lost_is_unclear(direct: Simulated, operation: str, kind: str) -> None:
    request, paid = await direct.paid()
    await direct.force(operation, kind)
    timeout_s = 0.3 if kind == "hang" else TIMEOUT_S
    assert isinstance(await CALLS[operation](direct, request, a_refund(request, paid), timeout_s), Unclear)
    assert (await direct.hits())[kind] == 1


@pytest.mark.parametrize("operation", list(CALLS))
async def test_a_call_that_was_turned_away_unread_says_when_to_come_again(direct: Simulated, operation: str) -> None:
    request, paid = await direct.paid()
    await direct.faults(params={"retry_after_s": 7})
    await direct.force(operation, "rate_limit")
    answer = await CALLS[operation](direct, request, a_refund(request, paid), TIMEOUT_S)
    assert isinstance(answer, NotReachable)
    assert answer.retry_after_s == 7


@pytest.mark.parametrize("operation", list(CALLS))
async def test_a_call_that_could_not_be_sent_did_nothing(direct: Simulated, operation: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}/paybridge"
        away = replace(direct, channel=a_channel(direct.client, nowhere))
        request, paid = await direct.paid()
        assert isinstance(await CALLS[operation](away, request, a_refund(request, paid), TIMEOUT_S), NotReachable)


@pytest.mark.parametrize("operation", list(CALLS))
async def test_a_shut_door_declines_only_what_is_not_yet_there(direct: Simulated, operation: str) -> None:
    request, paid = await direct.paid()
    stranger = replace(direct, channel=a_channel(direct.client, f"{direct.url}/{direct.name}"))
    answer = await CALLS[operation](stranger, request, a_refund(request, paid), TIMEOUT_S)
    assert isinstance(answer, Declined if operation == "create" else Unclear)


async def test_a_refund_whose_answer_was_lost_is_found_under_its_number(direct: Simulated) -> None:
    request, paid = await direct.paid()
    refund = a_refund(request, paid)
    await direct.force("refund", "drop_after")
    assert isinstance(await direct.channel.refund(refund, timeout_s=TIMEOUT_S), Unclear)
    assert isinstance(await direct.channel.query_refund(refund, timeout_s=TIMEOUT_S), RefundDone)
    assert (await direct.totals())["refunds"] == 1


async def test_a_slow_answer_within_the_time_is_an_answer(direct: Simulated) -> None:
    await direct.faults(params={"slow_ms": 100})
    await direct.force("create", "slow")
    await direct.create(a_payment())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b'{"reference": "pay-1"}', b"\xff", b"[" * 100_000,
        b'{"id": "1", "reference": "pay-2", "status": "closed"}',
        b'{"id": "1", "reference": "pay-1", "status": "dancing"}',
        b'{"id": "1", "reference": "pay-1", "status": "paid", "charges": []}',
        b'{"id": "1", "reference": "pay-1", "status": "closed", "charges": [{"id": "c", "amount_minor": 1,'
        b' "currency": "CNY", "paid_at": "2026-01-01T00:00:00Z"}]}',
        b'{"id": "1", "reference": "pay-1", "status": "paid", "charges": [{"id": "c", "amount_minor": 1e30,'
        b' "currency": "CNY", "paid_at": "2026-01-01T00:00:00Z"}]}',
    ],
)  # fmt: skip
async def test_an_answer_that_proves_nothing_is_unclear(body: bytes) -> None:
    async with answering(200, body) as channel:
        for answer in (
            await channel.query("pay-1", "", timeout_s=TIMEOUT_S),
            await channel.close("pay-1", "", timeout_s=TIMEOUT_S),
            await channel.create(a_payment(pay_id="pay-1"), timeout_s=TIMEOUT_S),
        ):
            assert isinstance(answer, Unclear)


@pytest.mark.parametrize(("status", "body"), [(404, b"<html>"), (404, b"{}"), (302, b""), (418, b"tea"), (422, b"{}")])
async def test_a_strange_refusal_is_no_proof_that_nothing_is_there(status: int, body: bytes) -> None:
    async with answering(status, body) as channel:
        assert isinstance(await channel.query("pay-1", "", timeout_s=TIMEOUT_S), Unclear)
        assert isinstance(await channel.create(a_payment(pay_id="pay-1"), timeout_s=TIMEOUT_S), Unclear)


async def test_a_close_that_leaves_it_open_proves_nothing() -> None:
    async with answering(200, b'{"id": "1", "reference": "pay-1", "status": "waiting"}') as channel:
        assert await channel.query("pay-1", "", timeout_s=TIMEOUT_S) == Unpaid()
        assert isinstance(await channel.close("pay-1", "", timeout_s=TIMEOUT_S), Unclear)


async def test_another_payment_under_our_reference_than_was_created_proves_nothing(direct: Simulated) -> None:
    request = a_payment()
    created = await direct.create(request)
    ask = direct.channel.query
    assert await ask(request.pay_id, created.channel_reference, timeout_s=TIMEOUT_S) == Unpaid()
    assert isinstance(await ask(request.pay_id, "pay_other", timeout_s=TIMEOUT_S), Unclear)


# --- callbacks ---------------------------------------------------------------------------------------------------


async def test_what_is_paid_is_called_back_with_the_charge(direct: Simulated) -> None:
    async with receiving() as receiver:
        request, paid = await direct.paid(notify_url=receiver.url)
        await receiver.wait_for(1)
        (told,) = read_all(direct, receiver)
        assert told == PaymentTold(receiver.taken[0][1]["webhook-id"], request.pay_id, paid)


async def test_a_repeated_callback_is_the_same_event(direct: Simulated) -> None:
    async with receiving() as receiver:
        await direct.force("pay", "callback_twice")
        await direct.paid(notify_url=receiver.url)
        await receiver.wait_for(2)
        first, second = read_all(direct, receiver)
        assert first == second


@pytest.mark.parametrize(("kind", "is_older"), [("callback_contradict", False), ("callback_reordered", True)])
async def test_a_failure_after_the_success_is_another_event_and_says_when_it_failed(
    direct: Simulated, kind: str, is_older: bool
) -> None:
    async with receiving() as receiver:
        await direct.faults(params={"contradict_ms": 100, "reorder_ms": 100})
        await direct.force("pay", kind)
        await direct.paid(notify_url=receiver.url)
        await receiver.wait_for(2)
        success, failure = read_all(direct, receiver)
        assert isinstance(success, PaymentTold)
        assert isinstance(failure, PaymentTold)
        assert isinstance(success.answer, Paid)
        assert isinstance(failure.answer, PaymentFailed)
        assert failure.answer.at is not None
        assert failure.answer.code == "payment_declined"
        assert (failure.answer.at <= success.answer.charges[0].paid_at) is is_older
        assert success.event_id != failure.event_id


async def test_a_genuine_callback_of_a_stranger_has_its_own_reference(direct: Simulated) -> None:
    async with receiving() as receiver:
        await direct.force("pay", "unknown_reference")
        request, _ = await direct.paid(notify_url=receiver.url)
        await receiver.wait_for(2)
        references = {told.pay_id for told in read_all(direct, receiver) if isinstance(told, PaymentTold)}
        assert len(references - {request.pay_id}) == 1


async def test_a_refund_is_called_back_with_its_number(direct: Simulated) -> None:
    async with receiving() as receiver:
        request, paid = await direct.paid()
        refund = a_refund(request, paid, notify_url=receiver.url)
        done = await direct.channel.refund(refund, timeout_s=TIMEOUT_S)
        await direct.force("refund", "refund_refused")
        refused = replace(refund, refund_no="rfd-2")
        await direct.channel.refund(refused, timeout_s=TIMEOUT_S)
        await receiver.wait_for(2)
        told = {each.refund_no: each for each in read_all(direct, receiver) if isinstance(each, RefundTold)}
        assert (told[refund.refund_no].answer, told[refund.refund_no].pay_id) == (done, request.pay_id)
        assert told["rfd-2"].answer == RefundDeclined("account_closed")


def test_a_notice_of_something_else_says_nothing() -> None:
    body = b'{"type": "account.updated", "data": {"id": "1"}}'
    assert a_channel().verify_callback(body, signed(body), NOW) == NothingTold("evt_1")


PAID_NOTICE = json.dumps(
    {
        "type": "payment.paid",
        "data": {
            "id": "pay_1",
            "reference": "pay-1",
            "status": "paid",
            "charges": [{"id": "chg_1", "amount_minor": 5, "currency": "CNY", "paid_at": "2026-05-01T10:00:00Z"}],
        },
    }
).encode()


def test_a_callback_is_judged_by_the_moment_it_is_given_and_by_every_byte() -> None:
    channel, headers = a_channel(), signed(PAID_NOTICE)
    assert isinstance(channel.verify_callback(PAID_NOTICE, headers, NOW), PaymentTold)
    capitals = {name.title(): value for name, value in headers.items()}
    assert channel.verify_callback(PAID_NOTICE, capitals, NOW).event_id == "evt_1"
    rotated = headers | {"webhook-signature": f"v1,b3RoZXI= {headers['webhook-signature']}"}
    assert channel.verify_callback(PAID_NOTICE, rotated, NOW).event_id == "evt_1"
    for body, changed, now in (
        (PAID_NOTICE, headers, NOW + timedelta(minutes=6)),
        (PAID_NOTICE, headers, NOW - timedelta(minutes=6)),
        (PAID_NOTICE.replace(b"5", b"6"), headers, NOW),
        (PAID_NOTICE, headers | {"webhook-id": "evt_2"}, NOW),
        (PAID_NOTICE, signed(PAID_NOTICE, "whsec_b3RoZXI="), NOW),
        (PAID_NOTICE, {}, NOW),
    ):
        with pytest.raises(CallbackRefused):
            channel.verify_callback(body, changed, now)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@given(value=st.text(max_size=40) | st.sampled_from(["", "v1", "v1,", "v1,,", "1e9", "-1", "9" * 400, "²", "\x00"]))
def test_any_malformed_header_is_refused_and_nothing_else_is_raised(name: str, value: str) -> None:
    headers = signed(PAID_NOTICE)
    if headers[name] != value:
        with pytest.raises(CallbackRefused):
            a_channel().verify_callback(PAID_NOTICE, headers | {name: value}, NOW)


@given(body=st.binary(max_size=200))
def test_any_body_that_is_not_signed_is_refused(body: bytes) -> None:
    with pytest.raises(CallbackRefused):
        a_channel().verify_callback(body, signed(PAID_NOTICE), NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NOTICE = json.loads(PAID_NOTICE)


@given(
    data=JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "id": JSON,
            "reference": JSON | st.just("pay-1"),
            "refund_no": JSON | st.just("rfd-1"),
            "status": JSON | st.sampled_from(["paid", "waiting", "failed", "closed", "done", "pending"]),
            "charges": JSON | st.just(NOTICE["data"]["charges"]),
            "amount_minor": JSON,
            "currency": JSON | st.just("CNY"),
        },
    ),
    kind=st.sampled_from(["payment.paid", "refund.done", "refund", "payment", "", "other"]),
)
def test_any_signed_body_tells_something_or_is_refused(data: Any, kind: str) -> None:
    body = json.dumps({"type": kind, "data": data}).encode()
    try:
        told = a_channel().verify_callback(body, signed(body), NOW)
    except CallbackRefused:
        return
    assert told.event_id == "evt_1"
    if isinstance(told, PaymentTold | RefundTold):
        assert told.pay_id.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"{", b"[" * 200_000, b'{"type": 1}', b'{"type": "payment.paid"}', "{}".encode("utf-16"),
        b'{"type": "refund.done", "data": {"id": "1"}}', b'{"type": "payment.paid", "data": {"reference": "\\u0000"}}',
    ],
)  # fmt: skip
def test_a_signed_body_that_the_protocol_does_not_send_is_refused(body: bytes) -> None:
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(NOW.timestamp())), "webhook-signature": "v1,none"}
    if not body.startswith(b"\xff\xfe"):
        headers = signed(body)
    with pytest.raises(CallbackRefused):
        a_channel().verify_callback(body, headers, NOW)


# --- bills -------------------------------------------------------------------------------------------------------


async def test_the_bill_of_a_day_is_streamed_line_by_line(direct: Simulated) -> None:
    request, paid = await direct.paid()
    refund = a_refund(request, paid)
    done = await direct.channel.refund(refund, timeout_s=TIMEOUT_S)
    assert isinstance(done, RefundDone)
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    charge = paid.charges[0]
    lines = [line async for line in direct.channel.download_bill(today, timeout_s=TIMEOUT_S)]
    assert lines == [
        BillLine("payment", request.pay_id, charge.payment_id, AMOUNT, 77, "CNY", charge.paid_at),
        BillLine("refund", refund.refund_no, done.channel_reference, -900, 0, "CNY", lines[1].at),
    ]
    yesterday = direct.channel.download_bill(today - timedelta(days=1), timeout_s=TIMEOUT_S)
    assert [line async for line in yesterday] == []


@pytest.mark.parametrize("kind", ["error_before", "error_after", "drop_after", "unreadable", "rate_limit", "hang"])
async def test_a_bill_that_does_not_come_whole_is_unreadable(direct: Simulated, kind: str) -> None:
    await direct.force("bill", kind)
    with pytest.raises(BillUnreadable):
        await whole_bill(direct.channel, 0.5)


LINE = (
    b'{"kind": "payment", "reference": "pay-1", "id": "chg_1", "amount_minor": 5, "fee_minor": 0, "currency": "CNY",'
    b' "at": "2026-05-01T10:00:00Z"}\n'
)


@pytest.mark.parametrize(
    "body",
    [
        b"", LINE, LINE + b'{"lines": 2}\n', LINE + b'{"lines": 1}', b'{"lines": 0}\n' + LINE, b'{"lines": 0}\n' * 2,
        LINE.replace(b"5", b"-5") + b'{"lines": 1}\n', LINE.replace(b"payment", b"gift") + b'{"lines": 1}\n',
        b"x" * 70_000, LINE.replace(b"2026", b"0001") + b'{"lines": 1}\n', b"\n" + LINE + b'{"lines": 1}\n',
    ],
)  # fmt: skip
async def test_a_bill_without_its_end_or_with_a_strange_line_is_unreadable(body: bytes) -> None:
    async with answering(200, LINE + b'{"lines": 1}\n') as channel:
        assert len(await whole_bill(channel, TIMEOUT_S)) == 1
    async with answering(200, body) as channel:
        with pytest.raises(BillUnreadable):
            await whole_bill(channel, TIMEOUT_S)


# --- contracts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "credentials",
    [
        {}, {"token": "t"}, {"token": "", "callback_secret": SECRET}, {"token": "a\r\nb", "callback_secret": SECRET},
        {"token": "t", "callback_secret": "whsec_!"}, {"token": "t", "callback_secret": ""},
        {"token": "t", "callback_secret": SECRET, "more": 1},
    ],
)  # fmt: skip
def test_credentials_that_could_not_work_are_refused_before_they_are_stored(credentials: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PROTOCOLS["direct"].credentials.model_validate(credentials)


# --- what the tests stand on -------------------------------------------------------------------------------------


def a_channel(client: httpx2.AsyncClient | None = None, base_url: str = "http://127.0.0.1:1") -> DirectChannel:
    """A channel that shows a token which nobody gave it."""
    credentials = DirectCredentials(token="stranger", callback_secret=SECRET)
    return DirectChannel(client or a_silent_client(), base_url, credentials)


def a_silent_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(500)))


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """Headers as the channel would sign the body now."""
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", NOW, body.decode()),
    }


def read_all(direct: Simulated, receiver: Receiver) -> list[ChannelEvent]:
    """What the callbacks say, in order."""
    now = datetime.now(UTC)
    return [direct.channel.verify_callback(body, headers, now) for body, headers in receiver.taken]


async def whole_bill(channel: DirectChannel, timeout_s: float) -> list[BillLine]:
    return [line async for line in channel.download_bill(NOW.date(), timeout_s=timeout_s)]


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[DirectChannel]:
    """A channel that answers everything alike."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, content=body))
    async with httpx2.AsyncClient(transport=transport) as client:
        yield a_channel(client)
