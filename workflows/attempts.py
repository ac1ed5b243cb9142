"""One attempt to buy one line from one supplier: what was sent, what was heard, what a person decided about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from activities.order_messages import BookingIntent, BookingRef, BookingState, LineDecision, LinePlan, OfferTerms
from domain.issuance import Canceled, Confirmed, QueryAnswer, Rejected, booking_reference, part_of

Definite = Confirmed | Rejected | Canceled


@dataclass(slots=True, eq=False)
class Attempt:
    """Nothing of it survives into the next attempt: another supplier's answers are another story.

    `maybe_sent`: an `issue` is on its way, or its outcome is not known. `heard`: answers that nobody has acted on yet,
    in the order in which they came. `accepted`: the first definite answer, which stands. `denied`: an unasked *no*,
    which is no proof but a reason to ask at once (`doubted`): what is booked all the same must not be bought twice.
    """

    order_no: int
    line_no: int
    number: int
    offer: OfferTerms
    quantity: int
    warehouse_id: str | None = None
    reserved: bool = False
    maybe_sent: bool = False
    unreached: int = 0
    heard: list[QueryAnswer] = field(default_factory=list)
    accepted: Definite | None = None
    denied: Rejected | Canceled | None = None
    doubted: bool = False
    decision: LineDecision | None = None
    negotiating_since: datetime | None = None
    asked: int = 0
    escalated: bool = False
    asked_when_escalated: int = 0
    overtaken: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def reference(self) -> str:
        """Our reference at the supplier."""
        return booking_reference(self.order_no, self.line_no, self.number)

    @property
    def booking(self) -> BookingRef:
        return BookingRef(self.order_no, self.line_no, self.number, self.offer.supplier_id)

    @property
    def cost_minor(self) -> int:
        """What the offer costs for all pieces of the attempt, in minor units."""
        return self.offer.cost_minor * self.quantity

    def intent(self) -> BookingIntent:
        """What is about to be sent, to be stored before it is."""
        return BookingIntent(
            line_no=self.line_no,
            attempt=self.number,
            offer_id=self.offer.offer_id,
            supplier_id=self.offer.supplier_id,
            reference=self.reference,
            cost_minor=self.cost_minor,
            quantity=self.quantity if part_of(self.number) else None,
            warehouse_id=self.warehouse_id,
        )

    def first_definite(self) -> Definite | None:
        """The earliest definite answer that was heard and not acted on."""
        return next((said for said in self.heard if isinstance(said, Confirmed | Rejected | Canceled)), None)

    def case(self, kind: str) -> str:
        """The id of a case about this attempt."""
        return f"xcp-{self.order_no:019d}-{self.line_no}-{kind}-{self.number}"


def attempts_so_far(order_no: int, plan: LinePlan, part: int) -> dict[int, Attempt]:
    """The attempts at this part that earlier hosts of this order have stored, as far as they got."""
    return {state.attempt: _resumed(order_no, plan, state) for state in plan.bookings if part_of(state.attempt) == part}


def _resumed(order_no: int, plan: LinePlan, state: BookingState) -> Attempt:
    accepted: Definite | None = None
    if state.state == "confirmed":
        accepted = Confirmed("")
    elif state.state in ("rejected", "released", "releasing", "lost"):
        accepted = Canceled()
    return Attempt(
        order_no=order_no,
        line_no=plan.line_no,
        number=state.attempt,
        offer=_offer_of(plan, state),
        quantity=state.quantity or plan.quantity,
        warehouse_id=state.warehouse_id,
        reserved=state.state == "held",
        maybe_sent=state.state == "issuing",
        accepted=accepted,
        negotiating_since=state.negotiating_since,
        asked=state.asked,
        escalated=state.escalated and accepted is None,
        asked_when_escalated=state.asked,
    )


def _offer_of(plan: LinePlan, state: BookingState) -> OfferTerms:
    """The offer at the cost that was agreed then; it may no longer be made, and is carried through all the same."""
    known = next((offer for offer in plan.offers if offer.offer_id == state.offer_id), None)
    template = known or plan.offers[0] if plan.offers else None
    return OfferTerms(
        offer_id=state.offer_id,
        supplier_id=state.supplier_id,
        cost_minor=state.cost_minor // (state.quantity or plan.quantity),
        lock=False if template is None else template.lock,
        lock_timeout_s=3.0 if template is None else template.lock_timeout_s,
        issue_timeout_s=10.0 if template is None else template.issue_timeout_s,
        lock_s=0 if template is None else template.lock_s,
        consistency_window_s=10.0 if template is None else template.consistency_window_s,
    )
