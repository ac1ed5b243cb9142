"""Handing a supplier's callback to the order it speaks of: to its workflow, or to a person where it contradicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import structlog

from activities.fulfilment_messages import UnitReport
from activities.order_messages import BookingRef, SupplierReport
from adapters.suppliers import Told
from adapters.suppliers.registry import PROTOCOLS
from api import delivery_host, order_host
from api.deps import Parts
from api.resolving import begin_resolution
from domain.issuance import Canceled, Confirmed, QueryAnswer, Rejected, contradicts, unit_references
from domain.orders import AT_REST, OrderStatus
from domain.units import TrackedEvent
from storage import bookings, order_exceptions, supplier_callbacks, supplier_calls
from storage.database import Connection
from workflows.resolutions import Resolution

_log = structlog.get_logger(__name__)

BATCH = 100
PATIENCE_S = 5.0
"""How old a callback is before the sweep takes it for one that its own request did not hand over."""


async def hand_over(parts: Parts, supplier_id: str, message_id: str, body: Mapping[str, Any]) -> None:
    """Give the callback its effect. What can't be done now stays in the inbox for the next sweep."""
    state = "waiting"
    try:
        state = await _hand_over(parts, supplier_id, body)
    except Exception as failure:
        # Whatever it is, the acknowledged callback stays in the inbox, and is tried again after the others.
        _log.warning("callback.not_handed_over", supplier=supplier_id, message=message_id, reason=str(failure))
    async with parts.database.reading() as connection:
        await supplier_callbacks.mark(connection, supplier_id, message_id, state, now=parts.clock())


async def sweep(parts: Parts) -> int:
    """Hand over again what had no effect yet; how many were tried."""
    before = parts.clock() - timedelta(seconds=PATIENCE_S)
    async with parts.database.reading() as connection:
        rows = await supplier_callbacks.not_handed_over(connection, received_before=before, limit=BATCH)
    for row in rows:
        await hand_over(parts, row["supplier_id"], row["message_id"], row["body"])
    return len(rows)


async def _hand_over(parts: Parts, supplier_id: str, body: Mapping[str, Any]) -> str:
    """The inbox state that follows."""
    async with parts.database.transaction() as connection:
        contract = await supplier_calls.read_contract(connection, supplier_id)
        assert contract is not None, "its callback was verified by its contract"
        read = PROTOCOLS[contract["protocol"]].read_callback
        row = await bookings.by_reference(connection, supplier_id, read(contract, body, ()).reference)
        if row is None:
            return "unmatched"
        told: Told = read(contract, body, _references(row))
        answer = None if told.answer is None else await _without_credentials(connection, row, told.answer)
    if told.tracked and not await _tell_delivery(parts, row, told.tracked):
        return "waiting"
    if not isinstance(answer, Confirmed | Rejected | Canceled):
        return "handed_over"  # nothing definite was said: the schedule of questions goes on
    if OrderStatus(row["order_status"]) in AT_REST:
        await _compare(parts, row, answer)
        return "handed_over"
    await _tell(parts, row, answer)
    return "handed_over"


async def _without_credentials(connection: Connection, row: Mapping[str, Any], answer: QueryAnswer) -> QueryAnswer:
    """Tickets are kept beside the booking, and not told to Temporal."""
    if not isinstance(answer, Confirmed):
        return answer
    await bookings.keep_answer(
        connection,
        row["order_no"],
        row["line_no"],
        row["attempt"],
        supplier_reference=answer.supplier_reference,
        answer={"tickets": [asdict(ticket) for ticket in answer.tickets]},
    )
    return replace(answer, tickets=())


async def _tell_delivery(parts: Parts, row: Mapping[str, Any], events: tuple[TrackedEvent, ...]) -> bool:
    """What happened to a unit on its way goes to its delivery. False while the line is not issued yet here: the
    carrier was faster than we, and the inbox keeps it until then."""
    if row["line_status"] in (OrderStatus.LOCKED, OrderStatus.ISSUING):
        return False
    assert parts.temporal is not None
    report = UnitReport(row["order_no"], row["line_no"], row["attempt"], events)
    await delivery_host.tell_delivery(parts.temporal, report)
    return True


async def _tell(parts: Parts, row: Mapping[str, Any], answer: Confirmed | Rejected | Canceled) -> None:
    assert parts.temporal is not None
    report = SupplierReport(_booking(row), answer)
    try:
        await order_host.tell_host(parts.temporal, row["host_workflow_id"], report)
    except order_host.HostMissing:
        async with parts.database.reading() as connection:
            now = await bookings.by_reference(connection, row["supplier_id"], row["reference"])
        if now is not None and OrderStatus(now["order_status"]) in AT_REST:
            await _compare(parts, now, answer)
            return
        await order_host.host_again(
            parts.temporal,
            row["order_no"],
            distributor_id=row["distributor_id"],
            workflow_id=row["host_workflow_id"],
        )
        await order_host.tell_host(parts.temporal, row["host_workflow_id"], report)


async def _compare(parts: Parts, row: Mapping[str, Any], answer: Confirmed | Rejected | Canceled) -> None:
    """The order is at rest: the same word again is nothing, the opposite is a case.

    Refunded here and confirmed there is undone at the supplier at once; issued here and rejected there waits for a
    person, since the buyer may be at the gate.
    """
    issued = row["line_status"] == OrderStatus.ISSUED and row["state"] == "confirmed"
    accepted: Confirmed | Canceled = Confirmed("") if issued else Canceled()
    if not contradicts(accepted, answer) or row["state"] == "lost":
        return
    kind = "contradiction" if issued else "confirmed_after_refund"
    exception_id = f"xcp-{row['order_no']:019d}-{row['line_no']}-{kind}-{row['attempt']}"
    async with parts.database.transaction() as connection:
        await order_exceptions.open_exception(
            connection,
            exception_id=exception_id,
            kind=kind,
            order_no=row["order_no"],
            line_no=row["line_no"],
            supplier_id=row["supplier_id"],
            evidence={"reference": row["reference"], "attempt": row["attempt"], "later": answer.kind},
            at=parts.clock(),
        )
    if not issued:
        resolution = Resolution(
            exception_id=exception_id,
            action="release",
            booking=_booking(row),
            reference=row["reference"],
            cost_minor=row["cost_minor"],
            window_s=row["window_s"],
            actor="system",
            reason="confirmed_after_refund",
        )
        await begin_resolution(parts, resolution)


def _references(row: Mapping[str, Any]) -> tuple[str, ...]:
    return unit_references(row["order_no"], row["line_no"], row["attempt"], row["quantity"])


def _booking(row: Mapping[str, Any]) -> BookingRef:
    return BookingRef(row["order_no"], row["line_no"], row["attempt"], row["supplier_id"])
