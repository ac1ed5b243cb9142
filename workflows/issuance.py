"""Issuing one line: send once, and while the supplier's answer is unknown, negotiate until it is known.

Never sends twice on a guess: a second send follows only from what the supplier has said (domain/issuance.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.issuance import IssuanceActivities
from activities.order_messages import (
    BookingIntent,
    BookingRef,
    BookingState,
    LineDecision,
    LinePlan,
    NoteNegotiation,
    OfferTerms,
    OpenException,
    RecordFailure,
    RecordIssue,
    ResolveException,
    SupplierReport,
    TryElsewhere,
)
from activities.supplier_messages import CallSupplier, NotReached
from activities.suppliers import SupplierActivities
from domain.errors import Refusal
from domain.issuance import (
    Absence,
    Answer,
    Canceled,
    Confirmed,
    DeadlinePolicy,
    Held,
    NegotiationTerms,
    NotFound,
    Pending,
    QueryAnswer,
    Rejected,
    Unknown,
    booking_reference,
    contradicts,
    is_definite,
    may_try_elsewhere,
)
from domain.orders import OrderStatus
from workflows.execution import at_supplier, durably
from workflows.policies import ASK_CEILING_S, QUERY_TIMEOUT_S, RESEND_TRIES, SUPPLIER_QUEUE
from workflows.questions import ask
from workflows.releases import Release

Definite = Confirmed | Rejected | Canceled


class LineIssuance:
    """One line on its way to issued or refunded. `tell` is called whenever something changed that a reader may see."""

    def __init__(self, order_no: int, plan: LinePlan, tell: Callable[[], None]) -> None:
        self._order_no = order_no
        self._plan = plan
        self._tell = tell
        self._offer: OfferTerms | None = None
        self._attempt = 0
        self._reserved = False
        self._sent_before = False
        self._reports: list[QueryAnswer] = []
        self._decision: LineDecision | None = None
        self._accepted: Definite | None = None
        self._unreached = 0
        self._asked_when_escalated = 0
        self.status = plan.status
        self.negotiating_since: datetime | None = None
        self.asked = 0
        self.escalated = False
        self._begin_with_latest_booking()

    # --- what others ask and say -------------------------------------------------------------------------------

    @property
    def line_no(self) -> int:
        return self._plan.line_no

    @property
    def supplier_id(self) -> str:
        return self._offer.supplier_id if self._offer else ""

    @property
    def booking(self) -> BookingRef:
        """The attempt that is under way, or was the last."""
        return BookingRef(self._order_no, self.line_no, self._attempt, self.supplier_id)

    @property
    def cost_minor(self) -> int:
        """What the present offer costs for the whole line, in minor units."""
        return (self._offer.cost_minor if self._offer else 0) * self._plan.quantity

    @property
    def reserved(self) -> bool:
        """Whether the supplier holds something for this line now."""
        return self._reserved

    def intent(self) -> BookingIntent:
        """What is about to be sent, to be stored before it is."""
        assert self._offer is not None
        return BookingIntent(
            line_no=self.line_no,
            attempt=self._attempt,
            offer_id=self._offer.offer_id,
            supplier_id=self._offer.supplier_id,
            reference=self.reference,
            cost_minor=self.cost_minor,
        )

    @property
    def reference(self) -> str:
        return booking_reference(self._order_no, self.line_no, self._attempt)

    def take_offer(self, offer: OfferTerms) -> None:
        """Begin a new attempt at this offer's supplier."""
        self._offer = offer
        self._attempt += 1
        self._reserved = False
        self._sent_before = False
        self._unreached = 0

    def note_reserved(self) -> None:
        """The supplier holds the present attempt."""
        self._reserved = True

    @property
    def offer(self) -> OfferTerms | None:
        return self._offer

    def other_offers(self) -> list[OfferTerms]:
        """Offers of suppliers after the present one, in their order."""
        tried = [offer.offer_id for offer in self._plan.offers]
        position = tried.index(self._offer.offer_id) + 1 if self._offer and self._offer.offer_id in tried else 0
        return list(self._plan.offers[position:])

    async def report(self, report: SupplierReport) -> None:
        """A supplier told us something unasked: it short-cuts the wait, or contradicts what was accepted."""
        if report.booking.attempt != self._attempt:
            return
        if self._accepted is None:
            self._reports.append(report.answer)
        elif contradicts(self._accepted, report.answer):
            await self._contradicted(report.answer)

    def decide(self, decision: LineDecision) -> None:
        """An operator has decided what the supplier would not tell."""
        self._decision = decision

    # --- the story ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """From the first send to a definite end: issued, or failed and refunded."""
        while True:
            answer = await self._settle()
            if self._decision is not None and self._decision.decision == "give_up":
                await self._give_up()
                return
            if isinstance(answer, Confirmed):
                await self._issued()
                return
            if not await self._go_elsewhere(answer):
                await self._failed(answer)
                return

    async def _settle(self) -> Definite:
        """Send, unless that was done before our time, and negotiate whatever is not definite."""
        first: QueryAnswer | NotReached = Unknown("sent before") if self._sent_before else await self._send()
        answer = await self._heed(first)
        if answer is None:
            answer = await self._negotiate(first)
        self._accepted = answer
        return answer

    async def _send(self) -> Answer | NotReached:
        """One send of `issue`. A call that failed half-way may have issued: Unknown."""
        assert self._offer is not None
        self._sent_before = True
        call = asyncio.create_task(
            at_supplier(
                SupplierActivities.issue_at_supplier,
                CallSupplier(self.booking, self._offer.issue_timeout_s, self._reserved),
                supplier_id=self.supplier_id,
                timeout_s=self._offer.issue_timeout_s,
                queue_for=SUPPLIER_QUEUE,
                priority=2,
                summary=f"issue line {self.line_no} at {self.supplier_id}",
            )
        )
        await workflow.wait_condition(lambda: call.done() or any(map(is_definite, self._reports)))
        if not call.done():
            return Unknown("overtaken by the supplier's own report")
        try:
            return await call
        except ActivityError as failure:
            workflow.logger.warning("issue at %s: outcome unknown: %s", self.supplier_id, failure.cause)
            return Unknown("call_failed")

    async def _heed(self, answer: QueryAnswer | NotReached) -> Definite | None:
        """The first definite answer wins: a report that came before this answer, else this answer.

        When both are definite and disagree, a person is told.
        """
        heard: list[QueryAnswer] = [*self._reports]
        self._reports.clear()
        if not isinstance(answer, NotReached):
            heard.append(answer)
        first: Definite | None = None
        for said in heard:
            if isinstance(said, Confirmed | Rejected | Canceled):
                if first is None:
                    first = said
                elif contradicts(first, said):
                    await self._contradicted(said)
        return first

    # --- negotiation -------------------------------------------------------------------------------------------

    async def _negotiate(self, last: QueryAnswer | NotReached) -> Definite:
        """Ask on the supplier's own schedule until it is known; at its deadline its policy says what then."""
        terms = (await durably(SupplierActivities.read_negotiation, self.supplier_id)).terms
        if self.negotiating_since is None:
            self.negotiating_since = workflow.now()
            await self._note()
        deadline = self.negotiating_since + timedelta(seconds=terms.deadline_s)
        absence = Absence()
        while True:
            self._tell()
            await self._pause(terms, last, deadline)
            if self._decision is not None:
                return self._decided()
            last = await self._next_answer(terms, absence, last)
            definite = await self._heed(last)
            if definite is not None:
                return definite
            now = workflow.now()
            absence = absence.seen(now) if isinstance(last, NotFound | Held) else Absence()
            if self._unreachable(last, now, deadline):
                return Rejected("supplier_unreachable", retry_elsewhere=True)
            if now >= deadline and not self.escalated:
                if terms.deadline_policy is DeadlinePolicy.CANCEL_AND_REFUND:
                    return await self._cancel_for_good(terms)
                await self._escalate()
            await self._note()

    async def _pause(self, terms: NegotiationTerms, last: QueryAnswer | NotReached, deadline: datetime) -> None:
        """Wait for the next question, a report or a decision; never past the deadline before it has been acted on."""
        wait_s = terms.interval_s(self.asked)
        if isinstance(last, Pending) and last.ask_again_after_s is not None:
            wait_s = max(last.ask_again_after_s, 0.2)
        if isinstance(last, NotReached) and last.retry_after_s is not None:
            wait_s = max(wait_s, last.retry_after_s)
        if self.escalated:
            wait_s = min(terms.ceiling_s * 2 ** min(self.asked - self._asked_when_escalated, 12), ASK_CEILING_S)
        else:
            left_s = (deadline - workflow.now()).total_seconds()
            wait_s = min(wait_s, max(left_s, 0.2))
        try:
            await workflow.wait_condition(
                lambda: bool(self._reports) or self._decision is not None,
                timeout=timedelta(seconds=wait_s),
                timeout_summary=f"ask {self.supplier_id} again",
            )
        except TimeoutError:
            return

    async def _next_answer(
        self, terms: NegotiationTerms, absence: Absence, last: QueryAnswer | NotReached
    ) -> QueryAnswer | NotReached:
        """What moves the negotiation now: a report, a permitted send, or a question."""
        if self._reports:
            return self._reports.pop(0)
        if isinstance(last, NotReached):
            self._unreached += 1
            return await self._send()
        if absence.permits_resend(terms, workflow.now()):
            self._reserved = isinstance(last, Held)
            return await self._send()
        self.asked += 1
        return await ask(self.booking)

    def _unreachable(self, last: QueryAnswer | NotReached, now: datetime, deadline: datetime) -> bool:
        """Whether it is certain that nothing was sent, and time to stop trying here."""
        if not isinstance(last, NotReached):
            return False
        return now >= deadline or (self._unreached >= RESEND_TRIES and bool(self._affordable(Canceled())))

    async def _escalate(self) -> None:
        self.escalated = True
        self._asked_when_escalated = self.asked
        await durably(
            IssuanceActivities.open_exception,
            OpenException(
                exception_id=self._case("escalated"),
                kind="issuance_escalated",
                order_no=self._order_no,
                line_no=self.line_no,
                supplier_id=self.supplier_id,
                at=workflow.now(),
                evidence={"reference": self.reference, "asked": self.asked, "attempt": self._attempt},
            ),
        )

    async def _note(self) -> None:
        await durably(
            IssuanceActivities.note_negotiation,
            NoteNegotiation(self.booking, workflow.now(), self.asked, self.escalated),
        )

    def _decided(self) -> Definite:
        decision = self._decision
        assert decision is not None
        if decision.decision == "issued":
            return Confirmed(decision.supplier_reference)
        return Canceled()

    async def _cancel_for_good(self, terms: NegotiationTerms) -> Definite:
        """Ask the supplier to cancel; only its word that nothing is booked lets the money go back."""
        answer = await self._release(terms.consistency_window_s).cancel()
        if isinstance(answer, Rejected):
            seen = await ask(self.booking)
            if isinstance(seen, Confirmed | Canceled | Rejected):
                return seen
            await self._escalate()
            return await self._negotiate(seen)
        return Canceled()

    # --- how it ends -------------------------------------------------------------------------------------------

    async def _issued(self) -> None:
        actor = self._decision.actor if self._decision else "system"
        await durably(
            IssuanceActivities.record_issue, RecordIssue(self.booking, workflow.now(), self.cost_minor, actor)
        )
        await self._end(OrderStatus.ISSUED)

    async def _failed(self, answer: Rejected | Canceled) -> None:
        await durably(
            IssuanceActivities.record_failure,
            RecordFailure(self._order_no, self.line_no, workflow.now(), _failure(answer), self.booking),
        )
        await self._end(OrderStatus.REFUNDED)

    async def _give_up(self) -> None:
        """The operator's word: refund now, then make sure that the supplier has nothing booked, or book the loss."""
        assert self._decision is not None
        await durably(
            IssuanceActivities.record_failure,
            RecordFailure(
                self._order_no,
                self.line_no,
                workflow.now(),
                Refusal("given_up", f"An operator gave up on the supplier: {self._decision.reason}"),
                self.booking,
                booking_state="releasing",
                actor=self._decision.actor,
            ),
        )
        await self._end(OrderStatus.REFUNDED)
        await self._release(10.0).run(loss_minor=self.cost_minor)

    async def _go_elsewhere(self, answer: Rejected | Canceled) -> bool:
        """Try the next supplier that the product and the price allow; False where there is none."""
        offers = self._affordable(answer)
        if not offers:
            return False
        rejected = self.booking
        self.take_offer(offers[0])
        self._accepted = None
        self.negotiating_since, self.asked = None, 0
        code = answer.code if isinstance(answer, Rejected) else "canceled"
        await durably(
            IssuanceActivities.try_elsewhere, TryElsewhere(rejected, workflow.now(), code, self.intent())
        )
        return True

    def _affordable(self, answer: Rejected | Canceled) -> list[OfferTerms]:
        assert self._offer is not None
        cost = self._offer.cost_minor
        return [
            offer
            for offer in self.other_offers()
            if may_try_elsewhere(answer, cost_minor=cost, other_cost_minor=offer.cost_minor)
        ]

    async def _end(self, status: OrderStatus) -> None:
        self.status = status
        if self.escalated:
            actor = self._decision.actor if self._decision else "system"
            resolution: dict[str, object] = {"decision": str(status)}
            if self._decision is not None:
                resolution = {"decision": self._decision.decision, "reason": self._decision.reason}
            await durably(
                IssuanceActivities.resolve_exception,
                ResolveException(self._case("escalated"), workflow.now(), actor, resolution),
            )
            self.escalated = False
        self.negotiating_since = None
        self._tell()

    async def _contradicted(self, later: QueryAnswer) -> None:
        """Two definite answers disagree: the first stands, and a person decides what follows."""
        await durably(
            IssuanceActivities.open_exception,
            OpenException(
                exception_id=self._case("contradiction"),
                kind="contradiction",
                order_no=self._order_no,
                line_no=self.line_no,
                supplier_id=self.supplier_id,
                at=workflow.now(),
                evidence={"reference": self.reference, "attempt": self._attempt, "later": later.kind},
            ),
        )

    def _release(self, window_s: float) -> Release:
        return Release(self.booking, self.reference, reason="given_up", sure=False, window_s=window_s)

    def _case(self, kind: str) -> str:
        return f"xcp-{self._order_no:019d}-{self.line_no}-{kind}-{self._attempt}"

    def _begin_with_latest_booking(self) -> None:
        """Go on from what an earlier host of this order has stored."""
        if not self._plan.bookings:
            return
        latest = self._plan.bookings[-1]
        offers = [offer for offer in self._plan.offers if offer.offer_id == latest.offer_id]
        self._offer = offers[0] if offers else self._withdrawn(latest)
        self._attempt = latest.attempt
        self._reserved = latest.state == "held"
        self._sent_before = latest.state == "issuing"

    def _withdrawn(self, booking: BookingState) -> OfferTerms:
        """An offer that is no longer made: what was booked under it is carried through all the same."""
        return OfferTerms(
            offer_id=booking.offer_id,
            supplier_id=booking.supplier_id,
            cost_minor=booking.cost_minor // self._plan.quantity,
            lock=False,
            lock_timeout_s=QUERY_TIMEOUT_S,
            issue_timeout_s=QUERY_TIMEOUT_S,
            lock_s=0,
        )


def _failure(answer: Rejected | Canceled) -> Refusal:
    if isinstance(answer, Rejected):
        detail = answer.detail or f"The supplier refused to issue ({answer.code})."
        return Refusal("issue_rejected", detail, {"supplier_code": answer.code})
    return Refusal("issue_canceled", "The supplier has canceled the booking; nothing was issued.")
