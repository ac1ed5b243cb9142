"""Handing what a payment channel told us to the process it speaks of, and starting processes that were lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import structlog
from pydantic import Field, TypeAdapter
from temporalio.client import Client

from activities.payment_messages import ChannelReport
from api import payment_host
from api.deps import Parts
from domain.channels import ChannelEvent, PaymentTold, RefundTold
from storage import channel_callbacks, pay_reading, refunds
from storage.database import Database
from workflows.payment_ids import refund_of

_log = structlog.get_logger(__name__)

EVENTS: TypeAdapter[ChannelEvent] = TypeAdapter(Annotated[ChannelEvent, Field(discriminator="kind")])
"""How the journal keeps what a callback says."""

BATCH = 100
PATIENCE_S = 5.0
"""How old a callback is before the sweep takes it for one that its own request did not hand over."""

PAGE = 500

REFUND_STILL_S = 60.0
"""How old an unfinished refund is before it is looked after whether it has a process."""

PAYMENT_STILL_S = 120.0
"""How long a pay order that is not at rest has not changed before it is looked after whether it has a process."""

MAX_REFERENCE = 200
"""Of a reference that is none of ours, so much goes into the id of the workflow that tells a person of it."""

State = Literal["waiting", "handed_over", "unknown"]


async def hand_over(parts: Parts, channel_id: str, event_id: str, event: ChannelEvent | dict[str, Any]) -> None:
    """Give the callback its effect. What can't be done now stays in the journal for the next sweep.

    `event`: as it was read of its channel, or as the journal has it.
    """
    state: State = "waiting"
    try:
        state = await _hand_over(parts, channel_id, EVENTS.validate_python(event))
    except Exception as failure:
        # Whatever it is, the acknowledged callback stays in the journal, and is tried again after the others.
        _log.warning("channel_callback.not_handed_over", channel=channel_id, event_id=event_id, reason=str(failure))
    async with parts.database.reading() as connection:
        await channel_callbacks.mark(connection, channel_id, event_id, state, now=parts.clock())


async def sweep(parts: Parts) -> int:
    """Hand over again what had no effect yet; how many were tried."""
    before = parts.clock() - timedelta(seconds=PATIENCE_S)
    async with parts.database.reading() as connection:
        rows = await channel_callbacks.not_handed_over(connection, received_before=before, limit=BATCH)
    for row in rows:
        await hand_over(parts, row["channel_id"], row["event_id"], row["event"])
    return len(rows)


async def start_what_stands_still(parts: Parts) -> int:
    """Start the process of every refund and pay order that nothing has moved for a while, and of those whose channel is
    to be asked for the last time; how many those were.

    One that has a process is left alone: a payer, or a channel, who takes their time is no fault.
    """
    now = parts.clock()
    started = 0
    async for host in standing_still(
        parts.database,
        refunds_before=now - timedelta(seconds=REFUND_STILL_S),
        payments_before=now - timedelta(seconds=PAYMENT_STILL_S),
    ):
        await payment_host.host_again(_client(parts), host)
        started += 1
    async for pay_id in _pages(parts.database, pay_reading.to_look_at, now):
        await payment_host.host_again(_client(parts), payment_host.of_payment(pay_id, look=True))
        started += 1
    return started


async def standing_still(
    database: Database, *, refunds_before: datetime, payments_before: datetime
) -> AsyncIterator[payment_host.Host]:
    """Refunds asked for before then and not finished; pay orders that are not at rest and unchanged since then."""
    for read, before, host_of in (
        (refunds.unfinished, refunds_before, payment_host.of_refund),
        (pay_reading.in_motion, payments_before, payment_host.of_payment),
    ):
        async for each in _pages(database, read, before):
            yield host_of(each)


async def _pages(database: Database, read: Callable[..., Awaitable[list[str]]], before: datetime) -> AsyncIterator[str]:
    after = ""
    while True:
        async with database.reading() as connection:
            ids = await read(connection, before=before, after=after, limit=PAGE)
        for each in ids:
            yield each
        if len(ids) < PAGE:
            return
        after = ids[-1]


async def _hand_over(parts: Parts, channel_id: str, event: ChannelEvent) -> State:
    """The journal's state that follows."""
    if isinstance(event, PaymentTold):
        host = payment_host.of_payment(event.pay_id[:MAX_REFERENCE])
        await payment_host.tell(_client(parts), host, ChannelReport(channel_id, event))
        return "handed_over"
    if isinstance(event, RefundTold):
        refund_id = refund_of(event.refund_no)
        async with parts.database.reading() as connection:
            row = await refunds.read(connection, refund_id)
        if row is None or row["channel_id"] != channel_id:
            return "unknown"  # of no refund that we ask of this channel
        await payment_host.tell(_client(parts), payment_host.of_refund(refund_id), event)
    return "handed_over"


def _client(parts: Parts) -> Client:
    assert parts.temporal is not None
    return parts.temporal
