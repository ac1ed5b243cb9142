"""From rows to plans: what a pay order's process, or a refund's, needs to begin or to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from activities.payment_messages import Alarms, Booked, PaymentPlan, PlannedPart, RefundPlan
from domain.channels import QuerySchedule
from domain.pay_order import PayOrder
from domain.payments import RefundState
from storage import order_exceptions, pay_orders, payment_channels, refunds
from storage.database import Connection
from storage.payments import PaymentChannelRow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The end of a pay order that was never opened: it was refused."""

NO_CHANNEL = QuerySchedule(1.0, 1.0, 1.0)
"""Nobody is asked about what is paid without cash."""


async def plan_of(cx: Connection, pay: PayOrder, *, again: bool) -> PaymentPlan:
    """The pay order as it stands; `again`: as it was opened before."""
    row = await payment_channels.get_channel(cx, pay.channel_id) if pay.channel_id else None
    assert pay.expires_at is not None or not pay.undecided, "an open pay order ends at some time"
    return PaymentPlan(
        pay_id=pay.id,
        status=pay.status,
        channel_id=pay.channel_id or "",
        cash_minor=pay.owed.cash_minor,
        expires_at=pay.expires_at or EPOCH,
        parts=planned_parts(pay),
        schedule=schedule_of(row),
        call_timeout_s=row.call_timeout_s if row else 0,
        alarm_s=row.alarm_s if row else 0,
        reason=pay.reason,
        named=bool(pay.channel_reference),
        again=again,
        alarms=Alarms(*await order_exceptions.alarms(cx, "payment_undecided", pay_id=pay.id)),
        refunds=tuple(await refunds.open_of_payment(cx, pay.id)),
        paid_at=pay.paid_at,
    )


def planned_parts(pay: PayOrder) -> tuple[PlannedPart, ...]:
    """Its orders, with what became of each so far."""
    return tuple(PlannedPart(part.order_no, str(part.state), part.successor_no) for part in pay.parts)


async def required(cx: Connection, pay_id: str) -> PayOrder:
    """The pay order of a process that has opened it, locked."""
    pay = await pay_orders.load(cx, pay_id)
    assert pay is not None, f"{pay_id} was opened"
    return pay


def booked_of(pay: PayOrder, refund_ids: Sequence[str] = ()) -> Booked:
    """Where it stands now, with what goes back of what was too much."""
    return Booked(pay.status, planned_parts(pay), tuple(refund_ids), pay.paid_at)


def schedule_of(row: PaymentChannelRow | None) -> QuerySchedule:
    """How patiently the channel is asked."""
    return QuerySchedule(row.first_interval_s, row.growth, row.ceiling_s) if row else NO_CHANNEL


def refund_no_of(refund: Mapping[str, Any]) -> str:
    """Its number at the channel: later tries have theirs."""
    return str(refund["id"]) if refund["tries"] == 1 else f"{refund['id']}-r{refund['tries']}"


async def refund_plan(cx: Connection, refund: Mapping[str, Any]) -> RefundPlan:
    """The refund as it stands."""
    row = await payment_channels.get_channel(cx, refund["channel_id"]) if refund["channel_id"] else None
    return RefundPlan(
        refund_id=refund["id"],
        pay_id=refund["pay_id"] or "",
        state=RefundState(refund["state"]),
        channel_id=refund["channel_id"] or "",
        refund_no=refund_no_of(refund),
        cash_minor=refund["cash_minor"],
        schedule=schedule_of(row),
        call_timeout_s=row.call_timeout_s if row else 0,
        alarm_s=row.alarm_s if row else 0,
        alarms=Alarms(*await order_exceptions.alarms(cx, "refund_undecided", refund_id=refund["id"])),
        route=refund["route"],
        order_no=refund["order_no"] if refund["line_no"] is not None else None,
    )
