"""Calls to suppliers. Each activity is one call; its answer is a value, and *unknown* is never taken for a *no*.

Calls that change something at the supplier are tried once by Temporal: whether to send again is negotiation's
decision, never a retry policy's. Credentials in an answer are kept in the database, not told to Temporal.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.issuance_messages import SupplierTerms
from activities.order_messages import BookingRef
from activities.supplier_directory import Directory
from activities.supplier_messages import (
    CallSupplier,
    CancelAtSupplier,
    ExtendAtSupplier,
    NotReached,
    ReserveAtSupplier,
    TrackAtSupplier,
)
from adapters.suppliers import BookingRequest, Goods, NotSent, ShipTo, Tracker
from domain.issuance import (
    Answer,
    CancelAnswer,
    Confirmed,
    DeadlinePolicy,
    NegotiationTerms,
    QueryAnswer,
    Unknown,
    unit_references,
)
from domain.suppliers import Breaker, BreakerTerms
from domain.units import TrackedEvent
from storage import bookings, supplier_calls
from storage.database import Connection, Database

A = TypeVar("A", bound=Answer | QueryAnswer | CancelAnswer)

_log = structlog.get_logger(__name__)


class SupplierActivities:
    """`directory` gives the adapter for a supplier's id; `breaker_terms` say when its breaker opens."""

    def __init__(self, database: Database, directory: Directory, breaker_terms: BreakerTerms | None = None) -> None:
        self._database = database
        self._directory = directory
        self._terms = breaker_terms or BreakerTerms()

    @activity.defn
    async def reserve_at_supplier(self, message: ReserveAtSupplier) -> Answer | NotReached:
        """Hold at the supplier: one try, short time-out, and none at all while its breaker is open.

        Idempotency key: the booking's reference.
        """
        booking = message.booking
        async with self._database.transaction() as cx:
            admitted = await self._admitted(cx, booking.supplier_id)
        if not admitted:
            return NotReached("breaker_open")
        request = await self._request(booking, hold_minutes=message.hold_minutes)
        supplier = await self._directory.supplier(booking.supplier_id)
        return await self._call(
            "reserve", booking, request.reference, lambda: supplier.reserve(request, timeout_s=message.timeout_s)
        )

    @activity.defn
    async def issue_at_supplier(self, message: CallSupplier) -> Answer | NotReached:
        """Obtain the final thing. Idempotency key: the booking's reference, stored before the first send."""
        booking = message.booking
        request = await self._request(booking)
        supplier = await self._directory.supplier(booking.supplier_id)
        return await self._call(
            "issue",
            booking,
            request.reference,
            lambda: supplier.issue(request, reserved=message.reserved, timeout_s=message.timeout_s),
        )

    @activity.defn
    async def query_supplier(self, message: CallSupplier) -> QueryAnswer | NotReached:
        """Ask what the supplier knows under our reference. Changes nothing there."""
        booking = message.booking
        request = await self._request(booking)
        supplier = await self._directory.supplier(booking.supplier_id)
        return await self._call(
            "query",
            booking,
            request.reference,
            lambda: supplier.query(
                request.reference, timeout_s=message.timeout_s, unit_references=request.unit_references
            ),
        )

    @activity.defn
    async def cancel_at_supplier(self, message: CancelAtSupplier) -> CancelAnswer:
        """Give back a hold or an issued booking. Idempotency key: the booking's reference; repeating is harmless.

        Raises while the answer is not known, so that it is tried for ever without filling the history.
        """
        booking = message.booking
        supplier = await self._directory.supplier(booking.supplier_id)
        answer = await self._call(
            "cancel",
            booking,
            message.reference,
            lambda: supplier.cancel(message.reference, reason=message.reason, timeout_s=message.timeout_s),
        )
        if isinstance(answer, Unknown | NotReached):
            raise ApplicationError(
                f"{booking.supplier_id} has not said whether it cancelled: {answer.reason}",
                type="CancelUnknown",
                category=ApplicationErrorCategory.BENIGN,
            )
        return answer

    @activity.defn
    async def extend_at_supplier(self, message: ExtendAtSupplier) -> Answer | NotReached:
        """Prolong a hold at the supplier. Idempotency key: the booking's reference."""
        booking = message.booking
        supplier = await self._directory.supplier(booking.supplier_id)
        return await self._call(
            "extend",
            booking,
            message.reference,
            lambda: supplier.extend(message.reference, minutes=message.minutes, timeout_s=message.timeout_s),
        )

    @activity.defn
    async def track_at_supplier(self, message: TrackAtSupplier) -> tuple[TrackedEvent, ...]:
        """Ask its carrier what has happened to a unit so far. Changes nothing there; not knowing is no news."""
        supplier = await self._directory.supplier(message.supplier_id)
        if not isinstance(supplier, Tracker):
            return ()
        try:
            answer = await supplier.track(message.reference, timeout_s=message.timeout_s)
        except NotSent as failure:
            _log.info("tracking.not_asked", supplier=message.supplier_id, reason=str(failure))
            return ()
        return answer.events

    @activity.defn
    async def read_negotiation(self, supplier_id: str) -> SupplierTerms:
        """The supplier's terms; the first interval starts from its measured median answer time. Reads only."""
        async with self._database.reading() as cx:
            row = await supplier_calls.read_contract(cx, supplier_id)
            median_s = await supplier_calls.median_answer_s(cx, supplier_id)
        if row is None:
            raise ApplicationError(f"no supplier {supplier_id}", type="SupplierMissing", non_retryable=True)
        first_s = row["first_interval_s"] if median_s is None else max(0.2, min(row["ceiling_s"], median_s))
        return SupplierTerms(
            NegotiationTerms(
                first_interval_s=first_s,
                growth=row["growth"],
                ceiling_s=row["ceiling_s"],
                deadline_s=row["deadline_s"],
                consistency_window_s=row["consistency_window_s"],
                unique_references=row["unique_references"],
                deadline_policy=DeadlinePolicy(row["deadline_policy"]),
            )
        )

    async def _admitted(self, cx: Connection, supplier_id: str) -> bool:
        breaker = await supplier_calls.read_breaker(cx, supplier_id)
        now = datetime.now(UTC)
        if not breaker.admits(self._terms, now):
            return False
        return not breaker.probes() or await supplier_calls.take_probe(cx, supplier_id, self._terms, now)

    async def _request(self, booking: BookingRef, *, hold_minutes: int | None = None) -> BookingRequest:
        async with self._database.reading() as cx:
            row = await bookings.read_request(cx, booking.order_no, booking.line_no, booking.attempt)
        if row is None:
            raise ApplicationError(f"no intent is stored for {booking}", type="IntentMissing", non_retryable=True)
        contact = row["contact"] or {}
        return BookingRequest(
            reference=row["reference"],
            product_id=row["supplier_product_id"],
            option_id=row["option_id"],
            unit_id=row["unit_id"],
            availability_id=row["availability_id"],
            unit_references=unit_references(booking.order_no, booking.line_no, booking.attempt, row["quantity"]),
            order_no=f"{booking.order_no:019d}",
            currency=row["currency"],
            hold_minutes=hold_minutes,
            contact_name=contact.get("full_name"),
            contact_email=contact.get("email"),
            account=row["account"],
            ship_to=ShipTo(**row["ship_to"]) if row["ship_to"] else None,
            ship_from=row["warehouse_id"],
            goods=(Goods(row["sku_id"], row["title"], row["quantity"], row["weight_g"]),),
        )

    async def _call(
        self, operation: str, booking: BookingRef, reference: str, send: Callable[[], Awaitable[A]]
    ) -> A | NotReached:
        """Send, then note how it went in one transaction: the call, a confirmation's credentials, the breaker."""
        started = time.perf_counter()
        answer: A | NotReached
        try:
            answer = await send()
        except NotSent as failure:
            answer = NotReached(str(failure) or "not_sent", failure.retry_after_s)
        elapsed_ms = round((time.perf_counter() - started) * 1000)
        detail = getattr(answer, "reason", "") or getattr(answer, "code", "")
        async with self._database.transaction() as cx:
            breaker = await supplier_calls.record_call(
                cx,
                supplier_id=booking.supplier_id,
                operation=operation,
                reference=reference,
                answer=answer.kind,
                detail=detail,
                elapsed_ms=elapsed_ms,
                at=datetime.now(UTC),
            )
            failed = answer.kind in supplier_calls.FAILED_ANSWERS
            # An open breaker is closed by work that succeeds, not by the cancellation of what failed being answered.
            if failed or (breaker.probes() and operation in ("reserve", "issue")):
                await self._tell_breaker(cx, booking.supplier_id, breaker, failed=failed)
            return await self._without_credentials(cx, booking, answer)

    async def _tell_breaker(self, cx: Connection, supplier_id: str, breaker: Breaker, *, failed: bool) -> None:
        calls, failures = await supplier_calls.count_latest(cx, supplier_id, self._terms.window)
        after = breaker.after(self._terms, datetime.now(UTC), calls=calls, failures=failures, succeeded=not failed)
        if after != breaker:
            _log.warning("breaker.changed", supplier=supplier_id, state=str(after.state), failures=failures)
            await supplier_calls.write_breaker(cx, supplier_id, after, by="system")

    async def _without_credentials(self, cx: Connection, booking: BookingRef, answer: A | NotReached) -> A | NotReached:
        if not isinstance(answer, Confirmed) or not answer.tickets:
            return answer
        await bookings.keep_answer(
            cx,
            booking.order_no,
            booking.line_no,
            booking.attempt,
            supplier_reference=answer.supplier_reference,
            answer={"tickets": [asdict(ticket) for ticket in answer.tickets]},
        )
        return replace(answer, tickets=())
