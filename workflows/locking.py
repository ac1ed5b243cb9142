"""Locking an order's lines at their suppliers: fail fast. Nobody has paid yet, so a quick no beats a slow maybe."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.issuance import IssuanceActivities
from activities.issuance_messages import RecordBooking
from activities.order_messages import HeldBooking, IntendBookings
from activities.orders import OrderActivities
from activities.supplier_messages import NotReached, ReserveAtSupplier
from activities.suppliers import SupplierActivities
from domain.errors import Refusal
from domain.issuance import Canceled, Confirmed, Held, Pending, QueryAnswer, Rejected, Unknown
from domain.placing import SeatTaken
from domain.suppliers import SupplierUnavailable
from workflows.attempts import Attempt
from workflows.execution import at_supplier, durably
from workflows.policies import LOCK_POLL
from workflows.pursuits import Pursuit
from workflows.questions import ask
from workflows.releases import Release


class SupplierLocks:
    """All lines of one order that their suppliers hold. What is sent is stored, and registered to be undone, before."""

    def __init__(self, order_no: int, hold_minutes: int) -> None:
        self._order_no = order_no
        self._hold_minutes = hold_minutes
        self.held: list[HeldBooking] = []
        self._undo: dict[Attempt, Release] = {}

    async def lock(self, lines: list[Pursuit]) -> Refusal | None:
        """Hold every line that needs it, all at once; the first refusal, or None when all are held."""
        refusals = await asyncio.gather(*(self._lock_line(line) for line in lines))
        return next((refusal for refusal in refusals if refusal is not None), None)

    @property
    def expires_at(self) -> datetime | None:
        """The earliest expiry that a supplier has given; None where none did."""
        return min((held.expires_at for held in self.held if held.expires_at is not None), default=None)

    async def undo(self) -> None:
        """Give back everything that was sent, side by side, until that is certain."""
        releases, self._undo = list(self._undo.values()), {}
        await asyncio.gather(*(release.run() for release in releases))

    async def _lock_line(self, line: Pursuit) -> Refusal | None:
        """Try the line's offers in turn: another one only while the last has certainly not taken the seat."""
        if line.attempt is not None and await self._adopted(line.attempt):
            return None
        refusal = Refusal.of(SupplierUnavailable(line.sku_id))
        for offer in line.offers_after():
            if not offer.lock:
                break
            attempt = line.take_offer(offer)
            self._undo[attempt] = Release.of(attempt, reason="order_not_locked", sure=False)
            answer = await self._reserve(attempt)
            if isinstance(answer, Confirmed | Held):
                self._hold(attempt, answer)
                return None
            if not isinstance(answer, NotReached | Rejected):
                return refusal
            await self._not_held(attempt)
            if isinstance(answer, Rejected):
                refusal = Refusal.of(SeatTaken(line.sku_id, answer.code))
                if not answer.retry_elsewhere:
                    return refusal
        return refusal

    async def _adopted(self, attempt: Attempt) -> bool:
        """A reservation that was sent before this process was restarted: kept if the supplier holds it, else undone."""
        self._undo[attempt] = Release.of(attempt, reason="order_not_locked", sure=False)
        answer = await ask(attempt.booking)
        if not isinstance(answer, Held):
            return False
        self._hold(attempt, answer)
        return True

    def _hold(self, attempt: Attempt, answer: Confirmed | Held) -> None:
        attempt.reserved = True
        self._undo[attempt] = Release.of(attempt, reason="order_not_locked", sure=True)
        self.held.append(HeldBooking(attempt.booking, answer.supplier_reference, answer.expires_at))

    async def _not_held(self, attempt: Attempt) -> None:
        """It certainly has nothing for us: nothing to undo."""
        del self._undo[attempt]
        message = RecordBooking(attempt.booking, workflow.now(), "rejected")
        await durably(IssuanceActivities.record_booking, message)

    async def _reserve(self, attempt: Attempt) -> QueryAnswer | NotReached:
        """One try; an accepted but unfinished lock is asked for again until the fail-fast deadline."""
        message = IntendBookings(self._order_no, workflow.now(), (attempt.intent(),))
        await durably(OrderActivities.intend_bookings, message)
        offer = attempt.offer
        deadline = workflow.now() + timedelta(seconds=offer.lock_timeout_s)
        patience = timedelta(seconds=offer.lock_timeout_s)
        try:
            answer: QueryAnswer | NotReached = await at_supplier(
                SupplierActivities.reserve_at_supplier,
                ReserveAtSupplier(attempt.booking, self._hold_minutes, offer.lock_timeout_s),
                supplier_id=offer.supplier_id,
                timeout_s=offer.lock_timeout_s,
                queue_for=patience,
                priority=1,
                summary=f"hold line {attempt.line_no} at {offer.supplier_id}",
            )
        except ActivityError as failure:
            workflow.logger.warning("lock at %s: outcome unknown: %s", offer.supplier_id, failure.cause)
            return Unknown("call_failed")
        while isinstance(answer, Pending) and workflow.now() < deadline:
            await workflow.sleep(LOCK_POLL, summary=f"ask {offer.supplier_id} for the hold")
            answer = await ask(attempt.booking, timeout_s=offer.lock_timeout_s, queue_for=patience)
        return Rejected("hold_lost") if isinstance(answer, Canceled) else answer
