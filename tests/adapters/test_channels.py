"""Every payment channel against its simulator over real HTTP: whatever it speaks, the same happenings mean the same.

Stripe and Alipay take the money of one payment once: the fault `double_charge` is not in their table. Alipay tells of
no failed attempt, and its pay order begins when the payer opens the address that `create` signed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

import simulators.payment
from adapters.payments import CallbackRefused, PaymentChannel, PaymentRequest, RefundRequest
from adapters.payments.registry import PROTOCOLS
from domain.channels import (
    BillLine,
    ChannelEvent,
    Closed,
    Created,
    Declined,
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
from tests.simulators.outside import SECRET, Controlled, Receiver

TIMEOUT_S = 5.0
KEYS = Path(simulators.payment.__file__).parent
CREDENTIALS: dict[str, Callable[[str], dict[str, str]]] = {
    "direct": lambda token: {"token": token, "callback_secret": SECRET},
    "stripe": lambda token: {"secret_key": token, "webhook_secret": SECRET},
    "alipay": lambda token: {
        "app_id": token,
        "private_key": (KEYS / "alipay_development_app_private.pem").read_text(),
        "channel_public_key": (KEYS / "alipay_development_channel_public.pem").read_text(),
    },
}
HOUSES = {"direct": "paybridge", "stripe": "stripe", "alipay": "alipay"}


@dataclass(frozen=True)
class Simulated(Controlled):
    """One channel of a test's own: the adapter that speaks to it, and its control API."""

    protocol: str
    channel: PaymentChannel
    references: dict[str, str] = field(default_factory=dict)

    async def create(self, request: PaymentRequest) -> Created:
        """The pay order as the payer has it before them: an address that is to be opened was opened."""
        created = await self.channel.create(request, timeout_s=TIMEOUT_S)
        assert isinstance(created, Created), created
        if self.protocol == "alipay":
            opened = await self.client.get(created.action.url)
            assert opened.status_code == 302, opened.text
        self.references[request.pay_id] = created.channel_reference
        return created

    async def created(self, **changes: Any) -> PaymentRequest:
        request = a_request(**changes)
        await self.create(request)
        return request

    async def paid(self, **changes: Any) -> PaymentRequest:
        request = await self.created(**changes)
        await self.pay(request)
        return request

    async def pay(self, request: PaymentRequest, **act: Any) -> None:
        await self.control("POST", f"/pay/{request.pay_id}", act)

    async def query(self, request: PaymentRequest, timeout_s: float = TIMEOUT_S) -> object:
        reference = self.references.get(request.pay_id, "")
        return await self.channel.query(request.pay_id, reference, timeout_s=timeout_s)

    async def close(self, request: PaymentRequest) -> object:
        reference = self.references.get(request.pay_id, "")
        return await self.channel.close(request.pay_id, reference, timeout_s=TIMEOUT_S)

    async def refund_of(self, request: PaymentRequest, amount_minor: int, **changes: Any) -> RefundRequest:
        """A refund of the one charge of a payment."""
        paid = await self.query(request)
        assert isinstance(paid, Paid)
        refund = RefundRequest(
            refund_no=f"rfd-{uuid4().hex[:20]}",
            pay_id=request.pay_id,
            payment_id=paid.charges[0].payment_id,
            channel_reference=self.references[request.pay_id],
            amount_minor=amount_minor,
            paid_minor=paid.charges[0].amount_minor,
            currency=request.currency,
            reason="one ticket fewer",
            notify_url=request.notify_url,
        )
        return replace(refund, **changes)

    async def refund(self, refund: RefundRequest) -> object:
        return await self.channel.refund(refund, timeout_s=TIMEOUT_S)

    async def query_refund(self, refund: RefundRequest) -> object:
        return await self.channel.query_refund(refund, timeout_s=TIMEOUT_S)

    async def truth(self) -> dict[str, int]:
        """What was really charged and given back."""
        totals: dict[str, dict[str, int]] = (await self.control("GET", "/truth"))["totals"]
        return totals.get("CNY", {"charges": 0, "charged_minor": 0, "refunds": 0, "refunded_minor": 0})

    async def bill(self) -> list[BillLine]:
        """Of the days around now, wherever the channel's days begin."""
        today = datetime.now(UTC).date()
        days = (today + timedelta(days=offset) for offset in (-1, 0, 1))
        return [line for day in days async for line in self.channel.download_bill(day, timeout_s=TIMEOUT_S)]

    def told(self, receiver: Receiver) -> list[ChannelEvent]:
        now = datetime.now(UTC)
        return [self.channel.verify_callback(body, headers, now) for body, headers in receiver.taken]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("channels")) as base_url:
        yield base_url


@pytest.fixture(params=sorted(CREDENTIALS))
async def channel(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Simulated]:
    protocol, name = request.param, f"c{uuid4().hex[:12]}"
    async with httpx2.AsyncClient(trust_env=False) as client:
        made = await client.put(f"{url}/control/{name}", json={"like": HOUSES[protocol]})
        yield Simulated(client, url, name, protocol, connected(client, f"{url}/{name}", protocol, made.json()["token"]))


def connected(client: httpx2.AsyncClient, base_url: str, protocol: str, token: str) -> PaymentChannel:
    credentials = PROTOCOLS[protocol].credentials.model_validate(CREDENTIALS[protocol](token)).model_dump()
    contract = {
        "id": protocol,
        "base_url": base_url,
        "credentials": credentials,
        "currency": "CNY",
        "time_zone": "Asia/Shanghai",
    }
    return PROTOCOLS[protocol].connect(client, contract)


def a_request(**changes: Any) -> PaymentRequest:
    request = PaymentRequest(
        pay_id=f"pay-{uuid4().hex[:20]}",
        amount_minor=8_805,
        currency="CNY",
        subject="Two tickets",
        notify_url="",
        return_url="",
        expires_at=datetime.now(UTC) + timedelta(minutes=15),
    )
    return replace(request, **changes)


# --- payments --------------------------------------------------------------------------------------------------------


async def test_a_pay_order_that_is_created_twice_is_one(channel: Simulated) -> None:
    request = a_request()
    first, second = await channel.create(request), await channel.create(request)
    assert second.channel_reference == first.channel_reference
    assert second.action.kind == first.action.kind
    assert len((await channel.control("GET", "/truth"))["payments"]) == 1
    await channel.pay(request)
    assert (await channel.truth())["charges"] == 1


async def test_a_reference_does_not_change_its_amount(channel: Simulated) -> None:
    request = await channel.created()
    again = await channel.channel.create(replace(request, amount_minor=1), timeout_s=TIMEOUT_S)
    if channel.protocol == "alipay":
        assert isinstance(again, Created)
        assert (await channel.client.get(again.action.url)).status_code == 409
    else:
        assert isinstance(again, Declined | Unclear)
    await channel.pay(request)
    assert (await channel.truth())["charged_minor"] == 8_805


async def test_a_query_tells_nobody_unpaid_and_paid_apart(channel: Simulated) -> None:
    request = a_request()
    assert await channel.query(request) == NotKnown()
    await channel.create(request)
    assert await channel.query(request) == Unpaid()
    begin = datetime.now(UTC) - timedelta(seconds=2)
    await channel.pay(request)
    answer = await channel.query(request)
    assert isinstance(answer, Paid)
    (charge,) = answer.charges
    assert (charge.amount_minor, charge.currency) == (8_805, "CNY")
    assert begin <= charge.paid_at <= datetime.now(UTC) + timedelta(seconds=1)


async def test_a_payment_is_found_by_our_reference_where_the_channel_s_was_lost(channel: Simulated) -> None:
    request = await channel.paid()
    known = await channel.query(request)
    channel.references.clear()
    assert await channel.query(request) == known
    assert await channel.close(request) == known


async def test_after_a_failed_attempt_another_may_succeed(channel: Simulated) -> None:
    request = await channel.created()
    await channel.pay(request, outcome="failed")
    answer = await channel.query(request)
    assert isinstance(answer, Unpaid if channel.protocol == "alipay" else PaymentFailed)
    await channel.pay(request)
    assert isinstance(await channel.query(request), Paid)


async def test_a_pay_order_closed_before_payment_can_not_be_paid(channel: Simulated) -> None:
    request = await channel.created()
    assert await channel.close(request) == Closed()
    assert await channel.close(request) == Closed()
    assert await channel.query(request) == Closed()
    answer = await channel.client.post(f"{channel.url}/control/{channel.name}/pay/{request.pay_id}", json={})
    assert answer.is_client_error
    assert (await channel.truth())["charges"] == 0


async def test_closing_after_payment_says_that_it_was_paid(channel: Simulated) -> None:
    request = await channel.paid()
    assert isinstance(await channel.close(request), Paid)
    assert isinstance(await channel.query(request), Paid)


async def test_closing_what_was_never_made_closes_nothing(channel: Simulated) -> None:
    assert await channel.close(a_request()) == NotKnown()


# --- refunds ---------------------------------------------------------------------------------------------------------


async def test_refunds_are_partial_several_and_never_more_than_was_paid(channel: Simulated) -> None:
    request = await channel.paid()
    for amount_minor in (3_000, 5_000):
        assert isinstance(await channel.refund(await channel.refund_of(request, amount_minor)), RefundDone)
    assert isinstance(await channel.refund(await channel.refund_of(request, 806)), RefundDeclined)
    assert isinstance(await channel.refund(await channel.refund_of(request, 805)), RefundDone)
    assert await channel.truth() == {"charges": 1, "charged_minor": 8_805, "refunds": 3, "refunded_minor": 8_805}
    assert isinstance(await channel.query(request), Paid)


async def test_a_refund_that_is_repeated_is_one(channel: Simulated) -> None:
    refund = await channel.refund_of(await channel.paid(), 3_000)
    assert await channel.query_refund(refund) == NotKnown()
    first = await channel.refund(refund)
    again = await channel.refund(refund)
    assert isinstance(first, RefundDone)
    assert isinstance(again, RefundDone | RefundPending)
    assert await channel.query_refund(refund) == first
    assert await channel.query_refund(replace(refund, channel_reference="")) == first
    assert (await channel.truth())["refunded_minor"] == 3_000


async def test_a_refund_under_way_is_pending_until_it_is_done(channel: Simulated) -> None:
    await channel.faults(params={"refund_late_ms": 1_000})
    refund = await channel.refund_of(await channel.paid(), 3_000)
    await channel.force("refund", "refund_pending")
    assert isinstance(await channel.refund(refund), RefundPending)
    assert isinstance(await channel.query_refund(refund), RefundPending)
    assert (await channel.truth())["refunds"] == 0
    async with asyncio.timeout(5):
        while isinstance(answer := await channel.query_refund(refund), RefundPending):
            await asyncio.sleep(0.05)
    assert isinstance(answer, RefundDone)
    assert (await channel.truth())["refunded_minor"] == 3_000


async def test_a_refund_that_is_refused_for_good_is_a_no_and_stays_one(channel: Simulated) -> None:
    refund = await channel.refund_of(await channel.paid(), 3_000)
    await channel.force("refund", "refund_refused")
    assert isinstance(await channel.refund(refund), RefundDeclined)
    assert isinstance(await channel.query_refund(refund), RefundDeclined)
    assert isinstance(await channel.refund(refund), RefundDeclined)
    assert (await channel.truth())["refunded_minor"] == 0


async def test_a_refund_of_what_was_never_paid_is_a_no(channel: Simulated) -> None:
    paid, unpaid = await channel.paid(), await channel.created()
    refund = await channel.refund_of(paid, 3_000)
    reference = channel.references[unpaid.pay_id]
    other = replace(refund, pay_id=unpaid.pay_id, payment_id="chg_none", channel_reference=reference)
    assert isinstance(await channel.refund(other), RefundDeclined)
    assert (await channel.truth())["refunds"] == 0


# --- faults ----------------------------------------------------------------------------------------------------------

BEFORE = ("rate_limit", "error_before")
AFTER = ("drop_after", "error_after", "unreadable")


@pytest.mark.parametrize("kind", [*BEFORE, *AFTER])
async def test_a_create_is_not_declined_because_its_answer_is_missing(channel: Simulated, kind: str) -> None:
    request = a_request()
    await channel.force("create", kind)
    answer = await channel.channel.create(request, timeout_s=TIMEOUT_S)
    if channel.protocol == "alipay":  # creating there needs no call, which a fault could strike
        assert isinstance(answer, Created)
        assert await channel.hits() == {}
        return
    assert isinstance(answer, NotReachable if kind == "rate_limit" else Unclear)
    assert await channel.query(request) == (NotKnown() if kind in BEFORE else Unpaid())
    assert await channel.hits() == {kind: 1}
    await channel.paid(pay_id=request.pay_id)
    assert (await channel.truth())["charges"] == 1


@pytest.mark.parametrize("kind", [*BEFORE, *AFTER])
async def test_a_query_that_is_not_answered_says_nothing(channel: Simulated, kind: str) -> None:
    request = await channel.paid()
    await channel.force("query", kind)
    answer = await channel.query(request)
    if kind == "rate_limit":
        assert isinstance(answer, NotReachable)
        assert answer.retry_after_s == 1
    else:
        assert isinstance(answer, Unclear)
    assert isinstance(await channel.query(request), Paid)


@pytest.mark.parametrize("kind", [*BEFORE, *AFTER])
async def test_a_close_that_is_not_answered_closes_once_or_not_at_all(channel: Simulated, kind: str) -> None:
    request = await channel.created()
    await channel.force("close", kind)
    assert isinstance(await channel.close(request), NotReachable if kind == "rate_limit" else Unclear)
    assert await channel.query(request) == (Unpaid() if kind in BEFORE else Closed())
    assert await channel.close(request) == Closed()


@pytest.mark.parametrize("kind", [*BEFORE, *AFTER])
async def test_a_refund_that_is_not_answered_is_asked_about_and_given_once(channel: Simulated, kind: str) -> None:
    refund = await channel.refund_of(await channel.paid(), 3_000)
    await channel.force("refund", kind)
    assert isinstance(await channel.refund(refund), NotReachable if kind == "rate_limit" else Unclear)
    found = await channel.query_refund(refund)
    assert found == NotKnown() if kind in BEFORE else isinstance(found, RefundDone)
    assert isinstance(await channel.refund(refund), RefundDone | RefundPending)
    assert isinstance(await channel.query_refund(refund), RefundDone)
    assert await channel.truth() == {"charges": 1, "charged_minor": 8_805, "refunds": 1, "refunded_minor": 3_000}


@pytest.mark.parametrize("kind", [*BEFORE, *AFTER])
async def test_a_question_about_a_refund_that_is_not_answered_says_nothing(channel: Simulated, kind: str) -> None:
    refund = await channel.refund_of(await channel.paid(), 3_000)
    await channel.refund(refund)
    await channel.force("query_refund", kind)
    assert isinstance(await channel.query_refund(refund), NotReachable if kind == "rate_limit" else Unclear)
    assert isinstance(await channel.query_refund(refund), RefundDone)


async def test_an_answer_that_never_comes_is_unclear_within_the_time(channel: Simulated) -> None:
    request = await channel.paid()
    await channel.force("query", "hang")
    assert isinstance(await channel.query(request, timeout_s=1.0), Unclear)
    await channel.force("query", "slow")
    assert isinstance(await channel.query(request), Paid)


async def test_what_is_forgotten_for_a_while_is_not_known_for_that_while(channel: Simulated) -> None:
    await channel.faults(params={"forget_ms": 300})
    request = await channel.paid()
    refund = await channel.refund_of(request, 3_000)
    await channel.refund(refund)
    await channel.force("query", "forget")
    await channel.force("query_refund", "forget")
    assert await channel.query(request) == NotKnown()
    assert await channel.query_refund(refund) == NotKnown()
    await asyncio.sleep(0.4)
    assert isinstance(await channel.query(request), Paid)
    assert isinstance(await channel.query_refund(refund), RefundDone)


@pytest.mark.parametrize("protocol", sorted(CREDENTIALS))
async def test_a_channel_that_nobody_serves_is_not_reachable(protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with httpx2.AsyncClient(trust_env=False) as client:
        gone = connected(client, f"http://127.0.0.1:{port}/gone", protocol, "gone-token")
        assert isinstance(await gone.query("pay-1", "pi_1", timeout_s=TIMEOUT_S), NotReachable)
        assert isinstance(await gone.close("pay-1", "pi_1", timeout_s=TIMEOUT_S), NotReachable)


async def test_a_wrong_amount_is_shown_as_it_was_charged(channel: Simulated) -> None:
    request = await channel.created()
    await channel.force("pay", "wrong_amount")
    async with channel.calling_back(word=channel.channel.acknowledgement.text.encode()) as receiver:
        await channel.pay(request)
        await receiver.wait_for(1)
    (event,) = channel.told(receiver)
    for answer in (await channel.query(request), event.answer if isinstance(event, PaymentTold) else None):
        assert isinstance(answer, Paid)
        assert answer.charges[0].amount_minor == 8_804


async def test_a_payer_who_is_charged_twice_is_shown_with_two_charges_where_that_can_be(channel: Simulated) -> None:
    request = await channel.created()
    await channel.force("pay", "double_charge")
    await channel.pay(request)
    answer = await channel.query(request)
    assert isinstance(answer, Paid)
    charged = 2 if channel.protocol == "direct" else 1
    assert len({charge.payment_id for charge in answer.charges}) == charged
    assert (await channel.truth())["charges"] == charged
    assert (await channel.hits()).get("double_charge", 0) == charged - 1


# --- callbacks -------------------------------------------------------------------------------------------------------


async def test_a_success_is_told_as_the_query_has_it(channel: Simulated) -> None:
    async with channel.calling_back(word=channel.channel.acknowledgement.text.encode()) as receiver:
        request = await channel.paid()
        await receiver.wait_for(1)
    (event,) = channel.told(receiver)
    paid = await channel.query(request)
    assert isinstance(event, PaymentTold)
    assert isinstance(event.answer, Paid)
    assert isinstance(paid, Paid)
    assert event.pay_id == request.pay_id
    told, known = event.answer.charges[0], paid.charges[0]
    assert (told.payment_id, told.amount_minor, told.currency) == (known.payment_id, known.amount_minor, "CNY")
    assert abs(told.paid_at - known.paid_at) <= timedelta(seconds=1)


async def test_a_callback_comes_again_until_the_success_word_and_is_the_same_event(channel: Simulated) -> None:
    word = channel.channel.acknowledgement.text.encode()
    await channel.force("pay", "callback_twice")
    async with channel.calling_back(failures=1, word=word) as receiver:
        await channel.paid()
        await receiver.wait_for(2)
    events = channel.told(receiver)
    assert len({event.event_id for event in events}) == 1


async def test_a_lost_callback_is_made_up_for_by_the_query(channel: Simulated) -> None:
    await channel.force("pay", "callback_lost")
    async with channel.calling_back(word=channel.channel.acknowledgement.text.encode()) as receiver:
        request = await channel.paid()
        assert isinstance(await channel.query(request), Paid)
        assert receiver.taken == []


@pytest.mark.parametrize("kind", ["callback_reordered", "callback_contradict"])
async def test_what_comes_after_the_success_never_says_paid_and_the_query_still_does(
    channel: Simulated, kind: str
) -> None:
    await channel.faults(params={"reorder_ms": 50, "contradict_ms": 50})
    await channel.force("pay", kind)
    async with channel.calling_back(word=channel.channel.acknowledgement.text.encode()) as receiver:
        request = await channel.paid()
        await receiver.wait_for(2)
    first, second = channel.told(receiver)
    assert isinstance(first, PaymentTold)
    assert isinstance(second, PaymentTold)
    assert isinstance(first.answer, Paid)
    assert isinstance(second.answer, PaymentFailed | Closed | Unpaid)
    assert first.event_id != second.event_id
    assert isinstance(await channel.query(request), Paid)


async def test_money_for_a_pay_order_of_nobody_s_is_told_with_its_reference(channel: Simulated) -> None:
    await channel.force("pay", "unknown_reference")
    async with channel.calling_back(word=channel.channel.acknowledgement.text.encode()) as receiver:
        request = await channel.paid()
        await receiver.wait_for(2)
    told = {event.pay_id for event in channel.told(receiver) if isinstance(event, PaymentTold)}
    assert len(told) == 2
    assert request.pay_id in told


async def test_a_refund_is_told_with_our_number_when_it_is_done(channel: Simulated) -> None:
    await channel.faults(params={"refund_late_ms": 50})
    request = await channel.paid()
    refund = await channel.refund_of(request, 8_805)
    await channel.force("refund", "refund_pending")
    async with channel.calling_back(word=channel.channel.acknowledgement.text.encode()) as receiver:
        await channel.refund(refund)
        await receiver.wait_for(1)
    (event,) = channel.told(receiver)
    assert isinstance(event, RefundTold)
    assert (event.pay_id, event.refund_no) == (request.pay_id, refund.refund_no)
    assert isinstance(event.answer, RefundDone)


async def test_a_callback_that_is_forged_old_or_garbled_is_refused(channel: Simulated) -> None:
    async with channel.calling_back(word=channel.channel.acknowledgement.text.encode()) as receiver:
        await channel.paid()
        await receiver.wait_for(1)
    ((body, headers),) = receiver.taken
    verify, now = channel.channel.verify_callback, datetime.now(UTC)
    verify(body, headers, now)
    for changed, at in (
        (body.replace(b"88", b"99", 1), now),
        (body[:-1], now),
        (b"", now),
        (body, now + timedelta(days=3)),
        (body, now - timedelta(days=3)),
    ):
        with pytest.raises(CallbackRefused):
            verify(changed, headers, at)


# --- bills -----------------------------------------------------------------------------------------------------------


async def test_the_bill_is_what_really_happened(channel: Simulated) -> None:
    first, second = await channel.paid(), await channel.paid(amount_minor=1_000)
    await channel.created()
    refund = await channel.refund_of(first, 3_000)
    await channel.refund(refund)
    lines = await channel.bill()
    assert sorted((line.kind, line.reference, line.amount_minor, line.currency) for line in lines) == sorted(
        [
            ("payment", first.pay_id, 8_805, "CNY"),
            ("payment", second.pay_id, 1_000, "CNY"),
            ("refund", refund.refund_no, -3_000, "CNY"),
        ]
    )
    truth = await channel.truth()
    assert sum(line.amount_minor for line in lines) == truth["charged_minor"] - truth["refunded_minor"]
    paid = await channel.query(second)
    assert isinstance(paid, Paid)
    (line,) = (line for line in lines if line.reference == second.pay_id)
    assert line.channel_reference == paid.charges[0].payment_id
    assert 0 < line.fee_minor < 100


async def test_a_bill_of_many_lines_is_read_to_its_end(channel: Simulated) -> None:
    paid = [await channel.paid(amount_minor=100 + each) for each in range(120)]
    lines = await channel.bill()
    assert sorted(line.reference for line in lines) == sorted(request.pay_id for request in paid)
