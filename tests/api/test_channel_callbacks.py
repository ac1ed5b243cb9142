"""Payment channels' callbacks: the journal keeps what is genuine, once, before it is acknowledged, until it has been
handed over; what is not provably a channel's leaves nothing but a count.

Temporal is away in most of these tests, on purpose: that is when the journal matters.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from hypothesis import given
from hypothesis import strategies as st
from temporalio import workflow
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.payment_messages import ChannelReport
from adapters.payments.registry import PROTOCOLS
from api.channel_callbacks import REFUSED
from api.payment_handover import EVENTS, sweep
from domain.channels import (
    ChannelEvent,
    Charge,
    Closed,
    NothingTold,
    Paid,
    PaymentFailed,
    PaymentTold,
    RefundDeclined,
    RefundDone,
    RefundPending,
    RefundTold,
    Unpaid,
)
from storage import payment_channels
from storage.database import Database
from tests.api.conftest import Clock
from tests.api.signed_channel import signed
from workflows.orders import ORDER_TASK_QUEUE
from workflows.payment_ids import HostPayment, HostRefund, payment_workflow_id, refund_workflow_id

PROTOCOLS.load(["tests.api.signed_channel:PROTOCOL"])
SECRET = "s3cret"
PAID_AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


@pytest.fixture
async def channel_id(owner: Database) -> str:
    """Of a channel with a contract."""
    name = f"callback-{next(_numbers)}"
    contract = {
        "name": name, "protocol": "signed", "base_url": "https://pay.example", "credentials": {"secret": SECRET},
    }  # fmt: skip
    async with owner.transaction() as cx:
        await payment_channels.put_channel(cx, name, contract, actor="test", now=datetime.now(UTC))
    return name


def a_payment(event_id: str = "evt-1", pay_id: str = "pay-nobodys") -> PaymentTold:
    return PaymentTold(event_id, pay_id, Paid((Charge("ch-1", 20_000, "CNY", PAID_AT),)))


async def call_back(
    api: AsyncClient, channel_id: str, event: ChannelEvent | bytes, *, secret: str = SECRET, **headers: str
) -> Response:
    body = event if isinstance(event, bytes) else EVENTS.dump_json(event)
    return await api.post(
        f"/v1/callbacks/payments/{channel_id}", content=body, headers={**signed(body, secret), **headers}
    )


async def journal(owner: Database, channel_id: str) -> list[dict[str, Any]]:
    async with owner.reading() as cx:
        cursor = await cx.execute(
            "SELECT * FROM channel_callbacks WHERE channel_id = %s ORDER BY received_at", (channel_id,)
        )
        return await cursor.fetchall()


def count(channel: str, reason: str) -> float:
    return float(REFUSED.labels(channel, reason)._value.get())


# --- what is genuine -------------------------------------------------------------------------------------------------


async def test_a_callback_is_kept_before_the_channels_own_word_is_answered(
    api: AsyncClient, channel_id: str, owner: Database
) -> None:
    answer = await call_back(api, channel_id, a_payment())
    assert (answer.status_code, answer.text) == (200, "got it")
    (row,) = await journal(owner, channel_id)
    assert (row["event_id"], row["pay_id"], row["state"]) == ("evt-1", "pay-nobodys", "waiting")
    assert EVENTS.validate_python(row["event"]) == a_payment()
    assert json.loads(row["body"])["event_id"] == "evt-1"


async def test_a_callback_while_the_workflow_service_is_away_is_acknowledged_and_waits(
    api: AsyncClient, channel_id: str, owner: Database, app: FastAPI, clock: Clock
) -> None:
    """Failing to hand over changes nothing of the answer, and the sweep tries again for ever."""
    assert (await call_back(api, channel_id, a_payment())).status_code == 200
    assert await sweep(app.state.parts) == 0  # its own request has just had its turn
    clock.advance(seconds=60)
    assert await sweep(app.state.parts) >= 1
    (row,) = await journal(owner, channel_id)
    assert (row["state"], row["attempts"]) == ("waiting", 2)


@pytest.mark.parametrize("times", [2, 5])
async def test_the_same_event_again_is_acknowledged_and_kept_once(
    api: AsyncClient, channel_id: str, owner: Database, times: int
) -> None:
    answers = [await call_back(api, channel_id, a_payment()) for _ in range(times)]
    assert [answer.status_code for answer in answers] == [200] * times
    assert len(await journal(owner, channel_id)) == 1


async def test_two_channels_may_use_the_same_event_id(api: AsyncClient, channel_id: str, owner: Database) -> None:
    other = f"{channel_id}-b"
    async with owner.transaction() as cx:
        await cx.execute(
            "INSERT INTO payment_channels (id, name, protocol, base_url, credentials, created_at) "
            "SELECT %s, name, protocol, base_url, credentials, created_at FROM payment_channels WHERE id = %s",
            (other, channel_id),
        )
    for name in (channel_id, other):
        assert (await call_back(api, name, a_payment())).status_code == 200
        assert len(await journal(owner, name)) == 1


async def test_what_says_nothing_of_ours_is_acknowledged_and_done(
    api: AsyncClient, channel_id: str, owner: Database
) -> None:
    assert (await call_back(api, channel_id, NothingTold("evt-n"))).status_code == 200
    (row,) = await journal(owner, channel_id)
    assert (row["state"], row["handed_over_at"] is not None) == ("handed_over", True)


async def test_a_refund_that_is_not_ours_is_kept_as_unknown(api: AsyncClient, channel_id: str, owner: Database) -> None:
    told = RefundTold("evt-r", "pay-x", "rfd-nobodys-r2", RefundDone("r"))
    assert (await call_back(api, channel_id, told)).status_code == 200
    (row,) = await journal(owner, channel_id)
    assert row["state"] == "unknown"


@pytest.mark.parametrize(
    "media_type", ["application/x-www-form-urlencoded", "application/json", "text/xml; charset=gbk", "x"]
)
async def test_any_content_type_is_read_as_bytes(api: AsyncClient, channel_id: str, media_type: str) -> None:
    answer = await call_back(api, channel_id, a_payment(), **{"content-type": media_type})
    assert (answer.status_code, answer.text) == (200, "got it")


# --- what is not -----------------------------------------------------------------------------------------------------


async def test_a_bad_signature_is_refused_counted_and_leaves_nothing(
    api: AsyncClient, channel_id: str, owner: Database
) -> None:
    before = count(channel_id, "not_verified")
    answer = await call_back(api, channel_id, a_payment(), secret="guessed")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert await journal(owner, channel_id) == []
    assert count(channel_id, "not_verified") == before + 1


async def test_a_changed_byte_is_refused(api: AsyncClient, channel_id: str, owner: Database) -> None:
    body = EVENTS.dump_json(a_payment())
    headers = signed(body, SECRET)
    changed = body.replace(b"20000", b"10000")
    assert changed != body
    answer = await api.post(f"/v1/callbacks/payments/{channel_id}", content=changed, headers=headers)
    assert answer.status_code == 401
    assert await journal(owner, channel_id) == []


@pytest.mark.parametrize("name", ["nobody", "x" * 64, "a%0Ab"])
async def test_unknown_channels_look_like_bad_signatures_and_are_counted_as_one(api: AsyncClient, name: str) -> None:
    before = count("unknown", "unknown_channel")
    answer = await call_back(api, name, a_payment())
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert count("unknown", "unknown_channel") == before + 1


@pytest.mark.parametrize("body", [b"", b"{}", b"\x00\xff", b"[" * 5000, b'{"kind": "payment"}'])
async def test_garbage_is_refused_even_if_it_is_signed(
    api: AsyncClient, channel_id: str, owner: Database, body: bytes
) -> None:
    """A verify function that raises something else than its refusal would be answered as 500 (others' failures)."""
    assert (await call_back(api, channel_id, body)).status_code == 401
    assert await journal(owner, channel_id) == []


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(a_payment("evt\x00"), id="a NUL in its id"),
        pytest.param(a_payment("evt-2", "pay\x00"), id="a NUL in its reference"),
        pytest.param(a_payment(""), id="no id"),
        pytest.param(a_payment("e" * 256), id="an id without bounds"),
    ],
)
async def test_what_the_journal_cannot_hold_is_refused(
    api: AsyncClient, channel_id: str, owner: Database, event: ChannelEvent
) -> None:
    assert (await call_back(api, channel_id, event)).status_code == 401
    assert await journal(owner, channel_id) == []


async def test_a_callback_without_bounds_is_refused_before_it_is_read(api: AsyncClient, channel_id: str) -> None:
    assert (await call_back(api, channel_id, b"x" * (1 << 21))).status_code == 413


# --- the journal's JSON ----------------------------------------------------------------------------------------------

moments = st.datetimes(timezones=st.just(UTC))
charges = st.builds(Charge, st.text(min_size=1, max_size=20), st.integers(1, 10**12), st.just("CNY"), moments)
answers = st.one_of(
    st.builds(Paid, st.lists(charges, min_size=1, max_size=3).map(tuple)),
    st.builds(PaymentFailed, st.text(max_size=10), st.none() | moments),
    st.just(Closed()),
    st.just(Unpaid()),
)
refund_answers = st.one_of(
    st.builds(RefundDone, st.text(max_size=9)),
    st.builds(RefundPending, st.text(max_size=9)),
    st.builds(RefundDeclined, st.text(max_size=9), st.text(max_size=9)),
)
events = st.one_of(
    st.builds(PaymentTold, st.text(max_size=9), st.text(max_size=9), answers),
    st.builds(RefundTold, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9), refund_answers),
    st.builds(NothingTold, st.text(max_size=9)),
)


@given(events)
def test_the_journal_says_what_the_channel_said(event: ChannelEvent) -> None:
    kept = json.loads(json.dumps(EVENTS.dump_python(event, mode="json")))
    assert EVENTS.validate_python(kept) == event


# --- handing over ----------------------------------------------------------------------------------------------------

HEARD: dict[str, list[Any]] = {}
"""What the workflows below were told, by their ids."""


@workflow.defn(name="PaymentWorkflow")
class Payment:
    """Writes down what it is told, as the real one would act on it."""

    def __init__(self) -> None:
        self._told: list[ChannelReport] = []

    @workflow.run
    async def run(self, payment: HostPayment) -> str:
        await workflow.wait_condition(lambda: bool(self._told))
        HEARD.setdefault(workflow.info().workflow_id, []).extend(self._told)
        return payment.pay_id

    @workflow.signal
    async def channel_reported(self, report: ChannelReport) -> None:
        self._told.append(report)


@workflow.defn(name="ChannelRefundWorkflow")
class Refund:
    def __init__(self) -> None:
        self._told: list[RefundTold] = []

    @workflow.run
    async def run(self, refund: HostRefund) -> str:
        await workflow.wait_condition(lambda: bool(self._told))
        HEARD.setdefault(workflow.info().workflow_id, []).extend(self._told)
        return refund.refund_id

    @workflow.signal
    async def channel_reported(self, told: RefundTold) -> None:
        self._told.append(told)


@pytest.fixture
async def with_temporal(app: FastAPI, temporal_env: WorkflowEnvironment) -> AsyncIterator[WorkflowEnvironment]:
    """The application speaks to a Temporal, where somebody listens."""
    app.state.parts = replace(app.state.parts, temporal=temporal_env.client)
    worker = Worker(
        temporal_env.client,
        task_queue=ORDER_TASK_QUEUE,
        workflows=[Payment, Refund],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker:
        yield temporal_env


async def test_a_payment_is_handed_to_the_process_of_its_pay_order_whoevers_it_is(
    api: AsyncClient, channel_id: str, owner: Database, with_temporal: WorkflowEnvironment
) -> None:
    pay_id = f"pay-{channel_id}"
    event = a_payment(pay_id=pay_id)
    assert (await call_back(api, channel_id, event)).status_code == 200
    workflow_id = payment_workflow_id(pay_id)
    assert await with_temporal.client.get_workflow_handle(workflow_id).result() == pay_id
    assert HEARD[workflow_id] == [ChannelReport(channel_id, event)]
    (row,) = await journal(owner, channel_id)
    assert row["state"] == "handed_over"
    assert (await call_back(api, channel_id, event)).status_code == 200
    assert len(await journal(owner, channel_id)) == 1


async def test_what_waited_is_handed_over_by_the_sweep(
    api: AsyncClient, channel_id: str, owner: Database, app: FastAPI, clock: Clock, temporal_env: WorkflowEnvironment
) -> None:
    """Success while the workflow is down for hours: applied when it is up."""
    pay_id = f"pay-{channel_id}"
    assert (await call_back(api, channel_id, a_payment(pay_id=pay_id))).status_code == 200
    clock.advance(hours=5)
    app.state.parts = replace(app.state.parts, temporal=temporal_env.client)
    await sweep(app.state.parts)
    (row,) = await journal(owner, channel_id)
    assert row["state"] == "handed_over"
    handle = temporal_env.client.get_workflow_handle(payment_workflow_id(pay_id))
    assert (await handle.describe()).id == payment_workflow_id(pay_id)
    await handle.terminate()
    await sweep(app.state.parts)
    assert (await journal(owner, channel_id))[0]["attempts"] == row["attempts"]


async def test_what_can_not_be_read_any_more_is_in_nobodys_way(
    api: AsyncClient, channel_id: str, owner: Database, app: FastAPI, clock: Clock, temporal_env: WorkflowEnvironment
) -> None:
    """A row of another version: it waits, and the others are handed over."""
    for event in (NothingTold("evt-1"), NothingTold("evt-2")):
        await call_back(api, channel_id, event)
    async with owner.transaction() as cx:
        await cx.execute(
            "UPDATE channel_callbacks SET state = 'waiting', attempts = 0, "
            "event = CASE event_id WHEN 'evt-1' THEN '{\"kind\": \"prophecy\"}' ELSE event END WHERE channel_id = %s",
            (channel_id,),
        )
    clock.advance(minutes=1)
    await sweep(app.state.parts)
    states = {row["event_id"]: row["state"] for row in await journal(owner, channel_id)}
    assert states == {"evt-1": "waiting", "evt-2": "handed_over"}


async def test_a_reference_without_bounds_becomes_a_process_with_a_bounded_name(
    api: AsyncClient, channel_id: str, owner: Database, with_temporal: WorkflowEnvironment
) -> None:
    reference = f"{channel_id}-" + "r" * 5000
    assert (await call_back(api, channel_id, a_payment(pay_id=reference))).status_code == 200
    (row,) = await journal(owner, channel_id)
    assert (row["state"], len(row["pay_id"]), row["event"]["pay_id"]) == ("handed_over", 200, reference)
    assert await with_temporal.client.get_workflow_handle(payment_workflow_id(reference[:200])).result()


async def a_refund(owner: Database, refund_id: str, channel_id: str) -> None:
    async with owner.transaction() as cx:
        await cx.execute(
            "INSERT INTO charges (channel_id, payment_id, reference, verdict, amount_minor, currency, refunding_minor, "
            "paid_at, recorded_at) VALUES (%s, %s, 'x', 'unknown', 5, 'CNY', 5, now(), now())",
            (channel_id, refund_id),
        )
        await cx.execute(
            "INSERT INTO refunds (id, channel_id, payment_id, reason, currency, amount_minor, cash_minor, "
            "requested_at) VALUES (%s, %s, %s, 'test', 'CNY', 5, 5, now())",
            (refund_id, channel_id, refund_id),
        )


async def test_a_refund_is_handed_to_its_own_process_also_under_a_later_number(
    api: AsyncClient, channel_id: str, owner: Database, with_temporal: WorkflowEnvironment
) -> None:
    refund_id = f"rfd-{channel_id}"
    await a_refund(owner, refund_id, channel_id)
    told = RefundTold("evt-r", "x", f"{refund_id}-r2", RefundDone("r"))
    assert (await call_back(api, channel_id, told)).status_code == 200
    workflow_id = refund_workflow_id(refund_id)
    assert await with_temporal.client.get_workflow_handle(workflow_id).result() == refund_id
    assert HEARD[workflow_id] == [told]
    assert [row["state"] for row in await journal(owner, channel_id)] == ["handed_over"]


async def test_a_channel_cannot_speak_of_anothers_refund(
    api: AsyncClient, channel_id: str, owner: Database, with_temporal: WorkflowEnvironment
) -> None:
    async with owner.transaction() as cx:
        await cx.execute(
            "INSERT INTO payment_channels (id, name, protocol, base_url, created_at) VALUES (%s, 'o', 'p', 'u', now())",
            (f"{channel_id}-other",),
        )
    refund_id = f"rfd-{channel_id}-o"
    await a_refund(owner, refund_id, f"{channel_id}-other")
    told = RefundTold("evt-r", "x", refund_id, RefundDone("r"))
    assert (await call_back(api, channel_id, told)).status_code == 200
    assert [row["state"] for row in await journal(owner, channel_id)] == ["unknown"]
    assert refund_workflow_id(refund_id) not in HEARD
