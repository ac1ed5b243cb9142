"""Giving a booking back at its supplier, until it is certain that nothing is held or issued there any more."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow

from activities.issuance import IssuanceActivities
from activities.issuance_messages import OpenException, RecordBooking, RecordLoss, ResolveException
from activities.order_messages import BookingRef
from activities.supplier_messages import CancelAtSupplier
from activities.suppliers import SupplierActivities
from domain.issuance import CancelAnswer, Canceled, Confirmed, Held, NotFound, Pending, Rejected
from workflows.attempts import Attempt
from workflows.execution import durably, undo_at_supplier
from workflows.policies import ASK_CEILING_S, DENIALS_BELIEVED_LOST, QUERY_TIMEOUT_S, UNDO_ALARM
from workflows.questions import ask


class Release:
    """One booking to be given back. `sure`: a hold or booking is known to exist, so one cancellation settles it.

    Otherwise the request may still be on its way, invisible, or booked twice: only when a question, asked after the
    supplier's consistency window, finds nothing held or issued, is it certain.
    """

    def __init__(self, booking: BookingRef, reference: str, *, reason: str, sure: bool, window_s: float) -> None:
        self._booking = booking
        self._reference = reference
        self._reason = reason
        self._sure = sure
        self._window_s = window_s

    @classmethod
    def of(cls, attempt: Attempt, *, reason: str, sure: bool) -> Release:
        """The release of what this attempt may have booked."""
        window_s = attempt.offer.consistency_window_s
        return cls(attempt.booking, attempt.reference, reason=reason, sure=sure, window_s=window_s)

    async def cancel(self) -> CancelAnswer:
        """Cancel until it is known: Canceled, NotFound, or Rejected where the supplier will not."""
        answer = await self._once()
        pause_s = self._window_s
        while not self._sure and not isinstance(answer, Rejected):
            await workflow.sleep(timedelta(seconds=pause_s), summary="consistency window")
            seen = await ask(self._booking)
            if isinstance(seen, Confirmed | Held | Pending):
                answer = await self._once()
            elif isinstance(seen, Canceled | NotFound | Rejected):
                return answer
            pause_s = min(2 * pause_s, ASK_CEILING_S)
        return answer

    async def run(self, *, loss_minor: int = 0) -> None:
        """Cancel and record how it ended. `loss_minor`: what the supplier is owed if it keeps a confirmed booking.

        A mere hold that the supplier will not cancel runs out by itself: it is asked until it has.
        """
        pause_s, denials = self._window_s, 0
        while isinstance(await self.cancel(), Rejected):
            seen = await ask(self._booking)
            # What it will not cancel it has: that it then finds nothing is not believed for ever.
            denials += isinstance(seen, NotFound)
            if isinstance(seen, Confirmed) or denials >= DENIALS_BELIEVED_LOST:
                await self._lose(loss_minor)
                return
            if isinstance(seen, Canceled | Rejected):
                break
            await workflow.sleep(timedelta(seconds=pause_s), summary="the supplier's hold runs out")
            pause_s = min(2 * pause_s, ASK_CEILING_S)
        await durably(IssuanceActivities.record_booking, RecordBooking(self._booking, workflow.now(), "released"))

    async def _lose(self, loss_minor: int) -> None:
        reason = f"uncancelled_{self._booking.supplier_id}"
        message = RecordLoss(self._booking, workflow.now(), loss_minor, reason)
        await durably(IssuanceActivities.record_loss, message)

    async def _once(self) -> CancelAnswer:
        """One cancellation, tried for ever; after a while it shows in the operators' queue."""
        booking = self._booking
        call = asyncio.create_task(
            undo_at_supplier(
                SupplierActivities.cancel_at_supplier,
                CancelAtSupplier(booking, self._reference, self._reason, QUERY_TIMEOUT_S),
                supplier_id=booking.supplier_id,
                summary=f"cancel line {booking.line_no} at {booking.supplier_id}",
            )
        )
        try:
            await workflow.wait_condition(call.done, timeout=UNDO_ALARM, timeout_summary="compensation overdue")
        except TimeoutError:
            await self._alarm()
            await self._all_clear(await call)
        return await call

    async def _alarm(self) -> None:
        booking = self._booking
        await durably(
            IssuanceActivities.open_exception,
            OpenException(
                exception_id=self._alarm_id,
                kind="compensation_overdue",
                order_no=booking.order_no,
                line_no=booking.line_no,
                supplier_id=booking.supplier_id,
                at=workflow.now(),
                evidence={"reference": self._reference, "reason": self._reason},
            ),
        )

    async def _all_clear(self, answer: CancelAnswer) -> None:
        resolution = {"decision": "cleared", "answer": answer.kind}
        await durably(
            IssuanceActivities.resolve_exception,
            ResolveException(self._alarm_id, workflow.now(), "system", resolution),
        )

    @property
    def _alarm_id(self) -> str:
        booking = self._booking
        return f"xcp-{booking.order_no:019d}-{booking.line_no}-undo-{booking.attempt}-{self._reason}"
