"""`ResolutionWorkflow`: what a person decided about an order at rest is carried out, at the supplier first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from temporalio import workflow

from activities.issuance import IssuanceActivities
from activities.issuance_messages import OpenException, ResolveException, TakeBackLine
from activities.order_messages import BookingRef
from domain.issuance import Rejected
from workflows.execution import durably
from workflows.money_back import order_moves_again
from workflows.releases import Release


def resolution_workflow_id(exception_id: str) -> str:
    """A case is resolved once."""
    return f"resolution/{exception_id}"


@dataclass(frozen=True, slots=True)
class Resolution:
    """`release`: refunded here, so the supplier must have nothing booked, or what it keeps is our loss.

    `take_back`: issued here, and not to be kept: cancelled at the supplier, then refunded.
    """

    exception_id: str
    action: Literal["release", "take_back"]
    booking: BookingRef
    reference: str
    cost_minor: int
    window_s: float
    actor: str
    reason: str


@workflow.defn
class ResolutionWorkflow:
    """One case about a booking of an order at rest."""

    @workflow.run
    async def run(self, resolution: Resolution) -> str:
        """The case's end: `released`, `taken_back` or `supplier_keeps`."""
        booking = resolution.booking
        release = Release(
            booking, resolution.reference, reason=resolution.action, sure=False, window_s=resolution.window_s
        )
        if resolution.action == "release":
            await release.run(loss_minor=resolution.cost_minor)
            return await self._close(resolution, "released")
        answer = await release.cancel()
        if isinstance(answer, Rejected):
            await durably(IssuanceActivities.open_exception, _keeps(resolution, answer))
            return await self._close(resolution, "supplier_keeps")
        message = TakeBackLine(booking, workflow.now(), resolution.reason, resolution.cost_minor, resolution.actor)
        refund_id = await durably(IssuanceActivities.take_back_line, message)
        await order_moves_again(booking.order_no, refund_id)
        return await self._close(resolution, "taken_back")

    async def _close(self, resolution: Resolution, outcome: str) -> str:
        decision: dict[str, object] = {"decision": resolution.action, "outcome": outcome, "reason": resolution.reason}
        message = ResolveException(resolution.exception_id, workflow.now(), resolution.actor, decision)
        await durably(IssuanceActivities.resolve_exception, message)
        return outcome


def _keeps(resolution: Resolution, answer: Rejected) -> OpenException:
    booking = resolution.booking
    return OpenException(
        exception_id=f"{resolution.exception_id}-keeps",
        kind="cannot_take_back",
        order_no=booking.order_no,
        line_no=booking.line_no,
        supplier_id=booking.supplier_id,
        at=workflow.now(),
        evidence={"reference": resolution.reference, "supplier_code": answer.code},
    )
