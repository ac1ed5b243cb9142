"""Negotiation: a supplier's answer to *issue* is not known, so it is asked on its own schedule until it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

from activities.issuance import IssuanceActivities
from activities.issuance_messages import NoteNegotiation, OpenException
from activities.supplier_messages import NotReached
from activities.suppliers import SupplierActivities
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
)
from workflows.attempts import Attempt, Definite
from workflows.execution import durably
from workflows.policies import ASK_CEILING_S, RESEND_TRIES, SHORTEST_PAUSE_S
from workflows.questions import ask
from workflows.releases import Release

Said = QueryAnswer | NotReached


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An operator's word that the line is to be refunded, whatever the supplier may have done."""

    actor: str
    reason: str


class HistoryFull(Exception):
    """The workflow's history is long enough: its host goes on in a fresh one, from the rows."""


class Negotiation:
    """One attempt's negotiation. `send` repeats `issue`, with the same reference; `may_leave`: others sell it too."""

    def __init__(
        self,
        attempt: Attempt,
        send: Callable[[Attempt], Awaitable[Answer | NotReached]],
        may_leave: Callable[[Attempt], bool],
        tell: Callable[[], None],
    ) -> None:
        self._attempt = attempt
        self._send = send
        self._may_leave = may_leave
        self._tell = tell
        # Only a first send that certainly did not arrive leaves nothing to be found at the supplier.
        self._nothing_sent = False

    async def run(self, last: Said) -> Definite | GivenUp:
        """Until an answer is definite, a person decides, or the deadline's policy ends it."""
        attempt = self._attempt
        terms = (await durably(SupplierActivities.read_negotiation, attempt.offer.supplier_id)).terms
        attempt.negotiating_since = attempt.negotiating_since or workflow.now()
        deadline = attempt.negotiating_since + timedelta(seconds=terms.deadline_s)
        self._nothing_sent = isinstance(last, NotReached)
        absence = Absence()
        await self._note()
        while True:
            self._tell()
            await self._pause(terms, last, deadline)
            outcome = attempt.first_definite() or self._decided()
            if outcome is not None:
                return outcome
            last = await self._ask_or_send(terms, absence, last)
            outcome = self._take_in(last) or self._decided()
            if outcome is not None:
                return outcome
            now = workflow.now()
            absence = absence.seen(now) if isinstance(last, NotFound | Held) else Absence()
            if self._may_stop_trying(now, deadline):
                return Rejected("supplier_unreachable", retry_elsewhere=True)
            if now >= deadline and not attempt.escalated:
                if terms.deadline_policy is DeadlinePolicy.CANCEL_AND_REFUND:
                    outcome = await self._cancel_for_good()
                    if outcome is not None:
                        return outcome
                await self._escalate()
            await self._note()

    def _take_in(self, last: Said) -> Definite | None:
        if isinstance(last, NotReached):
            return self._attempt.first_definite()
        self._attempt.heard.append(last)
        return self._attempt.first_definite()

    async def _ask_or_send(self, terms: NegotiationTerms, absence: Absence, last: Said) -> Said:
        """A permitted send, or a question."""
        attempt = self._attempt
        attempt.heard.clear()  # none of it was definite
        if attempt.doubted:
            attempt.doubted = False
            attempt.asked += 1
            return await ask(attempt.booking)
        if self._nothing_sent:
            attempt.unreached += 1
            return await self._resend()
        if absence.permits_resend(terms, workflow.now()):
            attempt.reserved = isinstance(last, Held)
            return await self._resend()
        attempt.asked += 1
        return await ask(attempt.booking)

    async def _resend(self) -> Said:
        answer = await self._send(self._attempt)
        self._nothing_sent = self._nothing_sent and isinstance(answer, NotReached)
        return answer

    async def _pause(self, terms: NegotiationTerms, last: Said, deadline: datetime) -> None:
        """Wait for the next question, a report or a decision; not past the deadline before it has been acted on."""
        if workflow.info().is_continue_as_new_suggested():
            raise HistoryFull
        with suppress(TimeoutError):
            await workflow.wait_condition(
                self._has_news,
                timeout=timedelta(seconds=self._pause_s(terms, last, deadline)),
                timeout_summary=f"ask {self._attempt.offer.supplier_id} again",
            )

    def _has_news(self) -> bool:
        attempt = self._attempt
        return attempt.doubted or attempt.first_definite() is not None or attempt.decision is not None

    def _pause_s(self, terms: NegotiationTerms, last: Said, deadline: datetime) -> float:
        attempt = self._attempt
        if attempt.escalated:
            doublings = min(attempt.asked - attempt.asked_when_escalated, 16)
            return float(min(terms.ceiling_s * 2**doublings, ASK_CEILING_S))
        wait_s = terms.interval_s(attempt.asked + attempt.unreached)
        if isinstance(last, Pending) and last.ask_again_after_s is not None:
            wait_s = last.ask_again_after_s
        if isinstance(last, NotReached) and last.retry_after_s is not None:
            wait_s = max(wait_s, last.retry_after_s)
        left_s = (deadline - workflow.now()).total_seconds()
        return max(min(wait_s, left_s), SHORTEST_PAUSE_S)

    def _may_stop_trying(self, now: datetime, deadline: datetime) -> bool:
        """Whether it is certain that nothing was sent, and time to try another supplier, or to give the money back."""
        if not self._nothing_sent:
            return False
        return now >= deadline or (self._attempt.unreached >= RESEND_TRIES and self._may_leave(self._attempt))

    def _decided(self) -> Definite | GivenUp | None:
        decision = self._attempt.decision
        if decision is None:
            return None
        if decision.decision == "issued":
            return Confirmed(decision.supplier_reference)
        return GivenUp(decision.actor, decision.reason)

    async def _escalate(self) -> None:
        attempt = self._attempt
        attempt.escalated = True
        attempt.asked_when_escalated = attempt.asked
        await durably(
            IssuanceActivities.open_exception,
            OpenException(
                exception_id=attempt.case("escalated"),
                kind="issuance_escalated",
                order_no=attempt.order_no,
                line_no=attempt.line_no,
                supplier_id=attempt.offer.supplier_id,
                at=workflow.now(),
                evidence={"reference": attempt.reference, "asked": attempt.asked, "attempt": attempt.number},
            ),
        )

    async def _note(self) -> None:
        attempt = self._attempt
        message = NoteNegotiation(attempt.booking, workflow.now(), attempt.asked, attempt.escalated)
        await durably(IssuanceActivities.note_negotiation, message)

    async def _cancel_for_good(self) -> Definite | None:
        """Ask the supplier to cancel; only its word that nothing is booked lets the money go back, and nowhere else.

        None where it will not cancel and does not say why: a person has to decide.
        """
        answer = await Release.of(self._attempt, reason="deadline", sure=False).cancel()
        if not isinstance(answer, Rejected):
            return Rejected("canceled_at_deadline", detail="The supplier did not answer in time and has cancelled.")
        seen = await ask(self._attempt.booking)
        return seen if isinstance(seen, Confirmed | Canceled | Rejected) else None
