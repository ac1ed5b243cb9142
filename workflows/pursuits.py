"""Buying a line, or the part of it that one warehouse sends: from the first send to a definite end, over as many
suppliers as it takes.

Never sends twice on a guess: a second send follows only from what the supplier has said (domain/issuance.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.issuance import IssuanceActivities
from activities.issuance_messages import OpenException, ResolveException, TryElsewhere
from activities.order_messages import LineDecision, LinePlan, OfferTerms, Part, SupplierReport
from activities.supplier_messages import CallSupplier, NotReached
from activities.suppliers import SupplierActivities
from domain.errors import Refusal
from domain.issuance import (
    Answer,
    CancelAnswer,
    Canceled,
    Confirmed,
    QueryAnswer,
    Rejected,
    Unknown,
    contradicts,
    first_attempt,
    may_try_elsewhere,
)
from workflows.attempts import Attempt, Definite, attempts_so_far
from workflows.execution import at_supplier, durably
from workflows.negotiation import GivenUp, Negotiation
from workflows.policies import SUPPLIER_QUEUE
from workflows.releases import Release


@dataclass(frozen=True, slots=True)
class Bought:
    """The supplier has confirmed."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class NotBought:
    """It is certain that nothing is or will be booked, or a person has given up (`given_up_by`) on knowing."""

    attempt: Attempt
    failure: Refusal
    given_up_by: str | None = None


class Pursuit:
    """One part of a line until it is bought or certainly not. `part` 0 is the whole line; `alone`: it is the only one,
    so that another supplier may be tried. `tell` is called whenever something changed that a reader may see."""

    def __init__(
        self,
        order_no: int,
        plan: LinePlan,
        tell: Callable[[], None],
        *,
        part: int = 0,
        of: Part | None = None,
        alone: bool = True,
    ) -> None:
        self._order_no = order_no
        self._plan = plan
        self._tell = tell
        self._part = part
        self._of = of
        self._alone = alone
        self._attempts = attempts_so_far(order_no, plan, part)
        self.attempt: Attempt | None = self._attempts[max(self._attempts)] if self._attempts else None

    # --- what others ask and say -------------------------------------------------------------------------------

    @property
    def line_no(self) -> int:
        return self._plan.line_no

    @property
    def sku_id(self) -> str:
        return self._plan.sku_id

    @property
    def of(self) -> Part | None:
        """The part that it buys; None for the whole line."""
        return self._of

    def has(self, number: int) -> bool:
        """Whether the attempt with that number is one of this part's."""
        return number in self._attempts

    @property
    def awaits_decision(self) -> bool:
        """Whether a person has to decide, and nobody and nothing has yet."""
        attempt = self.attempt
        return attempt is not None and attempt.escalated and attempt.accepted is None and attempt.decision is None

    def take_offer(self, offer: OfferTerms) -> Attempt:
        """Begin a new attempt at this offer's supplier."""
        number = max(self._attempts, default=first_attempt(self._part) - 1) + 1
        self.attempt = Attempt(
            self._order_no,
            self.line_no,
            number,
            offer,
            self._of.quantity if self._of else self._plan.quantity,
            warehouse_id=self._of.warehouse_id if self._of else None,
        )
        self._attempts[number] = self.attempt
        return self.attempt

    def offers_after(self) -> list[OfferTerms]:
        """Offers of suppliers after the present one, in their order."""
        ids = [offer.offer_id for offer in self._plan.offers]
        at = self.attempt.offer.offer_id if self.attempt else None
        return list(self._plan.offers[ids.index(at) + 1 :] if at in ids else self._plan.offers)

    async def report(self, report: SupplierReport) -> None:
        """A supplier told us something unasked: it short-cuts the wait, or contradicts what was accepted."""
        attempt = self._attempts.get(report.booking.attempt)
        if attempt is None:
            return
        if attempt.accepted is None and isinstance(report.answer, Rejected | Canceled):
            attempt.denied, attempt.doubted = attempt.denied or report.answer, True
        else:
            await self._hear(attempt, report.answer)

    def decide(self, decision: LineDecision) -> None:
        """An operator has decided what the supplier would not tell."""
        assert self.attempt is not None
        self.attempt.decision = decision

    # --- the story ---------------------------------------------------------------------------------------------

    async def run(self) -> Bought | NotBought:
        """To a definite end. `settled` waits for what is still undone elsewhere."""
        while True:
            attempt = self.required_attempt
            outcome = await self._settle(attempt)
            if isinstance(outcome, Confirmed):
                return Bought(attempt)
            if isinstance(outcome, GivenUp):
                reason = f"An operator gave up on the supplier: {outcome.reason}"
                return NotBought(attempt, Refusal("given_up", reason), outcome.actor)
            if not await self._go_elsewhere(attempt, outcome):
                return NotBought(attempt, _failure(outcome))

    async def settled(self) -> None:
        """Until nothing is outstanding at any supplier: replies that were overtaken, and releases."""
        for attempt in self._attempts.values():
            while attempt.overtaken:
                await attempt.overtaken.pop()

    async def finish_releases(self) -> None:
        """Go on with releases that an earlier host of this order began."""
        unfinished = [state for state in self._plan.bookings if state.state == "releasing" and self.has(state.attempt)]
        await asyncio.gather(*(self._release(self._attempts[state.attempt], "resumed") for state in unfinished))

    async def call_back(self, reason: str) -> CancelAnswer:
        """What was bought is cancelled at its supplier, until it is known: Rejected where it keeps it."""
        attempt = self.required_attempt
        attempt.accepted = Canceled()
        answer = await Release.of(attempt, reason=reason, sure=True).cancel()
        if isinstance(answer, Rejected):
            attempt.accepted = Confirmed("")
        return answer

    def give_back(self, attempt: Attempt, reason: str, *, sure: bool = False) -> None:
        """Release what the attempt may have booked, beside what follows; `settled` waits for it."""
        attempt.overtaken.append(asyncio.create_task(self._release(attempt, reason, sure=sure)))

    async def supplier_keeps(self, attempt: Attempt, answer: Rejected) -> None:
        """A case for a person: what was to be taken back is not given up by its supplier."""
        await durably(
            IssuanceActivities.open_exception,
            OpenException(
                exception_id=attempt.case("keeps"),
                kind="cannot_take_back",
                order_no=self._order_no,
                line_no=self.line_no,
                supplier_id=attempt.offer.supplier_id,
                at=workflow.now(),
                evidence={"reference": attempt.reference, "supplier_code": answer.code},
            ),
        )

    async def _settle(self, attempt: Attempt) -> Definite | GivenUp:
        """Send, unless that was done or answered before, and negotiate whatever is not definite."""
        first: QueryAnswer | NotReached = Unknown("sent before")
        if not attempt.maybe_sent and attempt.first_definite() is None:
            first = await self._send(attempt)
        if not isinstance(first, NotReached):
            attempt.heard.append(first)
        outcome: Definite | GivenUp | None = attempt.first_definite()
        if outcome is None:
            outcome = await Negotiation(attempt, self._send, self._may_leave, self._tell).run(first)
        attempt.accepted = Canceled() if isinstance(outcome, GivenUp) else outcome
        denied = [] if attempt.denied is None else [attempt.denied]
        rest, attempt.heard = [*attempt.heard, *denied], []
        for said in rest:
            await self._hear(attempt, said)
        return outcome

    async def _send(self, attempt: Attempt) -> Answer | NotReached:
        """One send of `issue`. A call that failed half-way may have issued: Unknown."""
        attempt.maybe_sent = True
        offer = attempt.offer
        call = asyncio.create_task(
            at_supplier(
                SupplierActivities.issue_at_supplier,
                CallSupplier(attempt.booking, offer.issue_timeout_s, attempt.reserved),
                supplier_id=offer.supplier_id,
                timeout_s=offer.issue_timeout_s,
                queue_for=SUPPLIER_QUEUE,
                priority=2,
                summary=f"issue line {self.line_no} at {offer.supplier_id}",
            )
        )
        await workflow.wait_condition(lambda: call.done() or attempt.first_definite() is not None)
        if not call.done():
            attempt.overtaken.append(asyncio.create_task(self._hear_out(attempt, call)))
            return Unknown("overtaken by the supplier's own report")
        return await _outcome(call, attempt)

    async def _hear_out(self, attempt: Attempt, call: asyncio.Task[Answer | NotReached]) -> None:
        """A reply that its own report has overtaken is heard all the same: it may contradict."""
        await workflow.wait_condition(call.done)
        answer = await _outcome(call, attempt)
        if not isinstance(answer, NotReached):
            await self._hear(attempt, answer)

    async def _hear(self, attempt: Attempt, answer: QueryAnswer) -> None:
        """Before an answer is accepted it is one more; afterwards it matters only if it says the opposite."""
        if attempt.accepted is None:
            attempt.heard.append(answer)
        elif contradicts(attempt.accepted, answer):
            await self._contradicted(attempt, attempt.accepted, answer)

    # --- how it ends -------------------------------------------------------------------------------------------

    async def _go_elsewhere(self, attempt: Attempt, answer: Rejected | Canceled) -> bool:
        """Try the next supplier that the product and the price allow; False where there is none."""
        offers = self._affordable(attempt, answer)
        if not offers:
            return False
        following = self.take_offer(offers[0])
        code = answer.code if isinstance(answer, Rejected) else "canceled"
        message = TryElsewhere(attempt.booking, workflow.now(), code, following.intent())
        await durably(IssuanceActivities.try_elsewhere, message)
        await self.close_case(attempt, "tried_elsewhere")
        self.drop_hold(attempt)
        return True

    def _may_leave(self, attempt: Attempt) -> bool:
        """Whether another supplier could be asked if this one certainly has nothing."""
        return bool(self._affordable(attempt, Canceled()))

    def _affordable(self, attempt: Attempt, answer: Rejected | Canceled) -> list[OfferTerms]:
        if not self._alone:
            return []
        return [
            offer
            for offer in self.offers_after()
            if may_try_elsewhere(answer, cost_minor=attempt.offer.cost_minor, other_cost_minor=offer.cost_minor)
        ]

    def drop_hold(self, attempt: Attempt) -> None:
        """A hold at a supplier that certainly did not issue is given back beside what follows."""
        if attempt.reserved and attempt.unreached:
            self.give_back(attempt, "not_issued", sure=True)

    async def _release(self, attempt: Attempt, reason: str, *, sure: bool = False) -> None:
        await Release.of(attempt, reason=reason, sure=sure).run(loss_minor=attempt.cost_minor)

    async def close_case(self, attempt: Attempt, outcome: str) -> None:
        """Where a person was asked about the attempt: nobody has to decide any more."""
        if not attempt.escalated:
            return
        attempt.escalated = False
        decision = attempt.decision
        resolution: dict[str, object] = {"outcome": outcome}
        if decision is not None:
            resolution |= {"decision": decision.decision, "reason": decision.reason}
        message = ResolveException(
            attempt.case("escalated"), workflow.now(), decision.actor if decision else "system", resolution
        )
        await durably(IssuanceActivities.resolve_exception, message)

    async def _contradicted(self, attempt: Attempt, accepted: Definite, later: QueryAnswer) -> None:
        """Two definite answers disagree: the first stands. Issued here, a person decides; else it is undone there."""
        kind = "contradiction" if isinstance(accepted, Confirmed) else "confirmed_after_refund"
        await durably(
            IssuanceActivities.open_exception,
            OpenException(
                exception_id=attempt.case(kind),
                kind=kind,
                order_no=self._order_no,
                line_no=self.line_no,
                supplier_id=attempt.offer.supplier_id,
                at=workflow.now(),
                evidence={"reference": attempt.reference, "attempt": attempt.number, "later": later.kind},
            ),
        )
        if isinstance(accepted, Confirmed):
            return
        await self._release(attempt, kind)
        message = ResolveException(attempt.case(kind), workflow.now(), "system", {"decision": "release"})
        await durably(IssuanceActivities.resolve_exception, message)

    @property
    def required_attempt(self) -> Attempt:
        """The present attempt, where there has to be one."""
        assert self.attempt is not None, "an attempt was stored when issuing began"
        return self.attempt


async def _outcome(call: asyncio.Task[Answer | NotReached], attempt: Attempt) -> Answer | NotReached:
    """The finished call's answer; what failed half-way is not known. Only NotReached was certainly not sent."""
    try:
        answer = await call
    except ActivityError as failure:
        workflow.logger.warning("issue at %s: outcome unknown: %s", attempt.offer.supplier_id, failure.cause)
        return Unknown("call_failed")
    return answer


def _failure(answer: Rejected | Canceled) -> Refusal:
    if isinstance(answer, Rejected):
        detail = answer.detail or f"The supplier refused to issue ({answer.code})."
        return Refusal("issue_rejected", detail, {"supplier_code": answer.code})
    return Refusal("issue_canceled", "The supplier has canceled the booking; nothing was issued.")
