"""Locking an order's lines at their suppliers: fail fast. Nobody has paid yet, so a quick no beats a slow maybe."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.order_messages import BookingIntent, HeldBooking, IntendBookings, OfferTerms
from activities.orders import OrderActivities
from activities.supplier_messages import NotReached, ReserveAtSupplier
from activities.suppliers import SupplierActivities
from domain.errors import Refusal
from domain.issuance import Canceled, Confirmed, Held, Pending, QueryAnswer, Rejected, Unknown
from domain.placing import SeatTaken
from domain.suppliers import SupplierUnavailable
from workflows.execution import at_supplier, durably
from workflows.issuance import LineIssuance
from workflows.policies import LOCK_POLL
from workflows.questions import ask
from workflows.releases import Release


@dataclass(frozen=True, slots=True)
class Sent:
    """A reservation that was sent: to be given back if the order is not locked. `sure`: the supplier confirmed it."""

    line: LineIssuance
    release: Release


class SupplierLocks:
    """All lines of one order that their suppliers hold. What was sent is registered before it is sent."""

    def __init__(self, order_no: int, hold_minutes: int) -> None:
        self._order_no = order_no
        self._hold_minutes = hold_minutes
        self.held: list[HeldBooking] = []
        self._undo: list[Release] = []

    async def lock(self, lines: list[LineIssuance], sku_ids: dict[int, str]) -> Refusal | None:
        """Hold every line that needs it, all at once; the first refusal, or None when all are held."""
        refusals = await asyncio.gather(*(self._lock_line(line, sku_ids[line.line_no]) for line in lines))
        return next((refusal for refusal in refusals if refusal is not None), None)

    @property
    def expires_at(self) -> datetime | None:
        """The earliest expiry that a supplier has given; None where none did."""
        return min((held.expires_at for held in self.held if held.expires_at is not None), default=None)

    async def undo(self) -> None:
        """Give back everything that was sent, in reverse, until that is certain."""
        for release in reversed(self._undo):
            await release.run()
        self._undo.clear()

    async def _lock_line(self, line: LineIssuance, sku_id: str) -> Refusal | None:
        """Try the line's offers in turn: another one only while the last has certainly not taken the seat."""
        refusal: Refusal | None = None
        while (offer := _next_offer(line)) is not None and offer.lock:
            line.take_offer(offer)
            await self._store([line.intent()])
            answer = await self._reserve(line, offer)
            if isinstance(answer, Confirmed | Held):
                line.note_reserved()
                self._undo.append(self._release(line, sure=True))
                expires_at = answer.expires_at
                self.held.append(HeldBooking(line.booking, answer.supplier_reference, expires_at))
                return None
            if isinstance(answer, NotReached):
                refusal = Refusal.of(SupplierUnavailable(sku_id))
                continue
            if isinstance(answer, Rejected):
                refusal = Refusal.of(SeatTaken(sku_id, answer.code))
                if answer.retry_elsewhere:
                    continue
                return refusal
            self._undo.append(self._release(line, sure=False))
            return Refusal.of(SupplierUnavailable(sku_id))
        return refusal or Refusal.of(SupplierUnavailable(sku_id))

    async def _reserve(self, line: LineIssuance, offer: OfferTerms) -> QueryAnswer | NotReached:
        """One try; an accepted but unfinished lock is asked for again until the fail-fast deadline."""
        deadline = workflow.now() + timedelta(seconds=offer.lock_timeout_s)
        try:
            answer: QueryAnswer | NotReached = await at_supplier(
                SupplierActivities.reserve_at_supplier,
                ReserveAtSupplier(line.booking, self._hold_minutes, offer.lock_timeout_s),
                supplier_id=offer.supplier_id,
                timeout_s=offer.lock_timeout_s,
                queue_for=timedelta(seconds=offer.lock_timeout_s),
                priority=1,
                summary=f"hold line {line.line_no} at {offer.supplier_id}",
            )
        except ActivityError as failure:
            workflow.logger.warning("lock at %s: outcome unknown: %s", offer.supplier_id, failure.cause)
            return Unknown("call_failed")
        while isinstance(answer, Pending) and workflow.now() < deadline:
            await workflow.sleep(LOCK_POLL, summary=f"ask {offer.supplier_id} for the hold")
            answer = await ask(line.booking, timeout_s=offer.lock_timeout_s)
        return Rejected("hold_lost") if isinstance(answer, Canceled) else answer

    async def _store(self, intents: list[BookingIntent]) -> None:
        await durably(
            OrderActivities.intend_bookings, IntendBookings(self._order_no, workflow.now(), tuple(intents))
        )

    def _release(self, line: LineIssuance, *, sure: bool) -> Release:
        return Release(line.booking, line.reference, reason="order_not_locked", sure=sure)


def _next_offer(line: LineIssuance) -> OfferTerms | None:
    offers = line.other_offers()
    return offers[0] if offers else None
