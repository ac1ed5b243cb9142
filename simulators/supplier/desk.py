"""The desk: reserves, confirms, cancels and extends by OCTO's rules, and misbehaves where a fault says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, Field

from simulators.common.book import Clerk, latest, shown
from simulators.common.faults import Strike
from simulators.common.results import Outcome, decide, may_forget, remembered
from simulators.supplier.book import Book, BookedUnit, Booking
from simulators.supplier.catalogue import find_session
from simulators.supplier.faults import Kind
from simulators.supplier.houses import SupplierSettings
from simulators.supplier.seats import Seats

HOLD_S = 30 * 60


class Refusal(Exception):
    """A domain error as OCTO puts it: status 400 with a code, a sentence and the field it is about."""

    def __init__(self, code: str, message: str, **fields: str) -> None:
        super().__init__(message)
        self.code = code
        self.fields = fields


class UnitItemBody(BaseModel):
    unitId: str = Field(max_length=200)
    uuid: UUID | None = None
    resellerReference: str | None = Field(None, max_length=200)


class ReserveBody(BaseModel):
    productId: str = Field(max_length=200)
    optionId: str = Field(max_length=200)
    availabilityId: str | None = Field(None, max_length=200)
    uuid: UUID | None = None
    expirationMinutes: int | None = Field(None, ge=1, le=1_440)
    notes: str | None = Field(None, max_length=2_000)
    unitItems: list[UnitItemBody] = Field(min_length=1, max_length=100)
    resellerReference: str | None = Field(None, max_length=200)
    contact: dict[str, Any] = Field(default_factory=dict)


class ConfirmBody(BaseModel):
    contact: dict[str, Any] = Field(default_factory=dict)
    resellerReference: str | None = Field(None, max_length=200)


class CancelBody(BaseModel):
    reason: str | None = Field(None, max_length=2_000)


class ExtendBody(BaseModel):
    expirationMinutes: int | None = Field(None, ge=1, le=1_440)


def _unknown_uuid(reference: str) -> Refusal:
    return Refusal("INVALID_BOOKING_UUID", "The uuid was already used, missing or invalid", uuid=reference)


class Desk(Clerk[Booking]):
    """All suppliers' desks over one book. `clock` is seconds since 1970."""

    def __init__(self, book: Book, seats: Seats, clock: Callable[[], float] = time.time) -> None:
        super().__init__(book, clock)
        self._seats = seats
        for booking in book.live():
            self._seats.note(booking)

    def reserve(self, supplier: SupplierSettings, body: ReserveBody, strike: Strike[Kind]) -> Outcome[Booking]:
        """A hold. The uuid is the idempotency key, for suppliers that heed it."""
        now = self.clock()
        reference = str(body.uuid or uuid4())
        if supplier.deduplicates:
            known = self.settled(supplier.name, reference, now)
            if known:
                if known[-1].status in ("EXPIRED", "CANCELLED", "REJECTED"):
                    raise _unknown_uuid(reference)
                return Outcome(known[-1])
        self._check_offer(supplier, body, now)
        if strike.takes("reject"):
            raise Refusal("UNPROCESSABLE_ENTITY", "No longer available")
        hold_s = supplier.hold_s or (body.expirationMinutes * 60 if body.expirationMinutes else HOLD_S)
        booking = Booking(
            id=str(uuid4()), supplier=supplier.name, reference=reference, order_no=body.resellerReference,
            product_id=body.productId, option_id=body.optionId, availability_id=body.availabilityId,
            units=[BookedUnit(str(u.uuid or uuid4()), u.unitId, u.resellerReference) for u in body.unitItems],
            contact=body.contact, notes=body.notes, created_at=now, expires_at=now + hold_s,
        )  # fmt: skip
        booking.become("ON_HOLD", now)
        may_forget(booking, supplier, strike, now)
        self.write(booking)
        return Outcome(booking)

    def confirm(
        self, supplier: SupplierSettings, reference: str, body: ConfirmBody, strike: Strike[Kind]
    ) -> Outcome[Booking]:
        """Issue a hold. A repeat is harmless, or a second booking where the supplier does not deduplicate."""
        now = self.clock()
        known = self.settled(supplier.name, reference, now)
        held = latest(known, "ON_HOLD")
        if held is None:
            issued = latest(known, "CONFIRMED", "REDEEMED")
            if issued is not None and not supplier.deduplicates:
                held = replace(issued, id=str(uuid4()), history=[], status="ON_HOLD", created_at=now, confirmed_at=None)
            else:
                standing = issued or latest(known, "PENDING", "REJECTED")
                if standing is None:
                    raise _unknown_uuid(reference)
                return Outcome(standing)
        held.contact = held.contact | body.contact
        held.order_no = body.resellerReference or held.order_no
        held.expires_at = None
        outcome = decide(held, supplier, strike, now)
        may_forget(held, supplier, strike, now)
        self.write(held)
        return outcome

    def cancel(self, supplier: SupplierSettings, reference: str, body: CancelBody) -> Outcome[Booking]:
        """Give a booking back, up to its start. A repeat is harmless; of several it takes the one that reads show."""
        now = self.clock()
        booking = shown(self.settled(supplier.name, reference, now))
        if booking is None:
            raise _unknown_uuid(reference)
        if booking.status in ("CANCELLED", "EXPIRED", "REJECTED"):
            return Outcome(booking)
        if not self.is_cancellable(supplier, booking, now):
            raise Refusal("UNPROCESSABLE_ENTITY", "The cancellation cutoff has elapsed")
        booking.cancel_reason = body.reason
        booking.due_at = None
        booking.become("CANCELLED", now)
        self.write(booking)
        return Outcome(booking)

    def extend(self, supplier: SupplierSettings, reference: str, body: ExtendBody) -> Outcome[Booking]:
        now = self.clock()
        known = self.settled(supplier.name, reference, now)
        held = latest(known, "ON_HOLD")
        if held is None:
            if latest(known, "CONFIRMED", "REDEEMED", "PENDING") is not None:
                raise Refusal("UNPROCESSABLE_ENTITY", "The booking is no longer on hold")
            raise _unknown_uuid(reference)
        held.expires_at = now + (supplier.hold_s or (body.expirationMinutes or 30) * 60)
        held.updated_at = now
        self.write(held)
        return Outcome(held)

    def find(self, supplier: SupplierSettings, reference: str, strike: Strike[Kind]) -> Booking:
        """What a read by uuid shows; a forgotten booking is as if it had never been."""
        booking = remembered(self, supplier, reference, strike)
        if booking is None:
            raise _unknown_uuid(reference)
        return booking

    def find_by_order(self, supplier: SupplierSettings, order_no: str) -> list[Booking]:
        now = self.clock()
        found = [self.settle(booking, now) for booking in self.book.of_order(supplier.name, order_no)]
        return [booking for booking in found if not booking.is_forgotten(now)]

    def vacancies(self, supplier: SupplierSettings, product_id: str, option_id: str, availability_id: str) -> int:
        taken = self._seats.taken(supplier.name, product_id, option_id, availability_id, self.clock())
        return max(0, supplier.capacity_of(availability_id) - taken)

    def is_cancellable(self, supplier: SupplierSettings, booking: Booking, now: float) -> bool:
        """Until the session's sales end (OCTO's cutoff of zero); open-dated bookings always."""
        if booking.availability_id is None:
            return True
        product = supplier.house.product(booking.product_id)
        option = product.option(booking.option_id) if product is not None else None
        at = datetime.fromtimestamp(now, UTC)
        if product is None or option is None:
            return False
        session = find_session(product, option, booking.availability_id, at)
        return session is not None and session.cutoff_at > at

    def reset(self, supplier: SupplierSettings) -> None:
        self.book.erase(supplier.name)
        self._seats.forget(supplier.name)

    def _check_offer(self, supplier: SupplierSettings, body: ReserveBody, now: float) -> None:
        product = supplier.house.product(body.productId)
        if product is None:
            raise Refusal("INVALID_PRODUCT_ID", "The productId was missing or invalid", productId=body.productId)
        option = product.option(body.optionId)
        if option is None:
            raise Refusal("INVALID_OPTION_ID", "The optionId was missing or invalid", optionId=body.optionId)
        for item in body.unitItems:
            if option.unit(item.unitId) is None:
                raise Refusal("INVALID_UNIT_ID", "The unitId was missing or invalid", unitId=item.unitId)
        if body.availabilityId is None and not product.dated:
            return
        availability_id, at = body.availabilityId or "", datetime.fromtimestamp(now, UTC)
        session = find_session(product, option, availability_id, at)
        if session is None:
            message = "The availabilityId was missing or invalid"
            raise Refusal("INVALID_AVAILABILITY_ID", message, availabilityId=availability_id)
        if session.cutoff_at <= at:
            raise Refusal("UNPROCESSABLE_ENTITY", "Sales for this session have ended")
        if self.vacancies(supplier, product.id, option.id, session.id) < len(body.unitItems):
            raise Refusal("UNPROCESSABLE_ENTITY", "Sold out")

    def write(self, entry: Booking) -> None:
        super().write(entry)
        self._seats.note(entry)
