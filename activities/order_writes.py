"""What the order's activities share: one order under lock in one transaction, written with its log and events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

from temporalio.exceptions import ApplicationError

from activities.order_messages import BookingIntent
from domain.announcements import announcements
from domain.order import Line, Order
from domain.settlement import LineFacts
from storage import order_writing
from storage.bookings import Intent
from storage.database import Connection, Database
from storage.order_writing import Announcement


@asynccontextmanager
async def order_under_lock(database: Database, order_no: int) -> AsyncIterator[tuple[Connection, Order]]:
    """The order for one change. An order that does not exist is a bug of the caller's and not retried."""
    async with database.transaction() as cx:
        order = await order_writing.load_order(cx, order_no)
        if order is None:
            raise ApplicationError(f"order {order_no} has no row", type="OrderMissing", non_retryable=True)
        yield cx, order


async def save(cx: Connection, order: Order, *, actor: str, at: datetime) -> None:
    """Write the order with its log and the events that follow from its changes."""
    told = [Announcement(kind, body) for kind, body in announcements(order, order.changes)]
    await order_writing.save_order(cx, order, actor=actor, at=at, announcements=told)


def intent_of(intent: BookingIntent, *, state: str) -> Intent:
    """A process's intent as the row that is stored before anything is sent."""
    return Intent(
        intent.line_no,
        intent.attempt,
        intent.offer_id,
        intent.supplier_id,
        intent.reference,
        intent.cost_minor,
        state,
        intent.quantity,
        intent.warehouse_id,
    )


def facts_of(order: Order, line: Line) -> LineFacts:
    """The line as settlement sees it."""
    return LineFacts(
        order_no=order.order_no,
        line_no=line.line_no,
        status=line.status,
        distributor_id=order.distributor_id,
        currency=order.currency,
        total_minor=line.total_minor,
        supplier_id=line.supplier_id,
        cost_minor=line.cost_minor,
        refunded_minor=line.refunded_minor,
        supplier_refunded_minor=line.supplier_refunded_minor,
        locked_at=line.locked_at,
        canceled_at=line.canceled_at,
        issued_at=line.issued_at,
        refunded_at=line.refunded_at,
        supplier_refunded_at=line.supplier_refunded_at,
    )


def all_facts(order: Order, lines: Iterable[Line] | None = None) -> list[LineFacts]:
    """All lines, or the given ones, as settlement sees them."""
    return [facts_of(order, line) for line in (order.lines if lines is None else lines)]
