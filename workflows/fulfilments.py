"""One line of an order on its way to issued or refunded: the steps of its kind, carried out one after another.

It knows the elementary operations and no kind by name. Buying at outside parties is a `Pursuit` for each part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from activities.fulfilment import FulfilmentActivities
from activities.fulfilment_messages import HandOutUnits, NotifyLine, RecordUnits
from activities.issuance import IssuanceActivities
from activities.issuance_messages import KeepLine, RecordFailure, RecordIssue, TakeBackLine
from activities.order_messages import (
    BookingIntent,
    BookingRef,
    IntendBookings,
    LineDecision,
    LinePlan,
    Part,
    SupplierReport,
)
from activities.orders import OrderActivities
from domain.errors import Refusal
from domain.issuance import Rejected, part_of
from domain.operations import ISSUED, Call, HandOut, Notify, Operation, Record, Schedule, effect_of
from domain.orders import OrderStatus
from workflows.attempts import Attempt
from workflows.deliveries import DeliveryWorkflow, HostDelivery, delivery_workflow_id
from workflows.execution import durably
from workflows.pursuits import Bought, NotBought, Pursuit

BOUGHT_WHOLE: tuple[Operation, ...] = (Call(), ISSUED)
"""The steps of a plan that says none: what most orders do."""


class LineFulfilment:
    """`tell` is called whenever something changed that a reader may see. `status` follows the rows; `money_due`: all
    that is left to do is that its buyer's money comes back."""

    def __init__(self, order_no: int, plan: LinePlan, tell: Callable[[], None]) -> None:
        self._order_no = order_no
        self._plan = plan
        self._tell = tell
        self._steps = plan.steps or BOUGHT_WHOLE
        self._effect = effect_of(self._steps)
        self._pursuits: list[Pursuit] = []
        self.status = plan.status
        self.money_due = plan.money_due
        if not self._sent_apart:
            self._pursue(())
        elif plan.status not in (OrderStatus.PENDING, OrderStatus.LOCKED):
            self._pursue(_booked_parts(plan) or plan.parts)

    def _pursue(self, parts: Sequence[Part]) -> None:
        """Whom to buy from is known: the whole line from one party, or each warehouse's part apart."""
        if self.hands_out:
            return
        if not self._sent_apart:
            self._pursuits = [Pursuit(self._order_no, self._plan, self._tell)]
            return
        alone = len(parts) == 1
        self._pursuits = [
            Pursuit(self._order_no, self._plan, self._tell, part=number, of=part, alone=alone)
            for number, part in enumerate(parts, start=1)
        ]

    # --- what others ask and say -------------------------------------------------------------------------------

    @property
    def line_no(self) -> int:
        return self._plan.line_no

    @property
    def _sent_apart(self) -> bool:
        own_stock = self._plan.stock_policy not in ("none", "codes")
        return isinstance(self._effect, Call) and self._effect.apart and own_stock

    @property
    def failed(self) -> bool:
        """Whether it is certain that it will not be issued, or has been taken back."""
        return self.status is OrderStatus.REFUNDED or self.money_due

    @property
    def hands_out(self) -> bool:
        """Whether it is given out by us, which is certain once it is held, and not bought from anybody."""
        return isinstance(self._effect, HandOut)

    @property
    def apart(self) -> bool:
        """Whether its bookings wait for the word which warehouse sends how much."""
        return self._sent_apart and not self._pursuits

    @property
    def whole(self) -> Pursuit | None:
        """The one pursuit of a line that is bought whole: what can be held before it is paid."""
        return None if self._sent_apart or not self._pursuits else self._pursuits[0]

    @property
    def held(self) -> Attempt | None:
        """The attempt that a supplier holds for the line; None where nobody does."""
        attempt = self.whole.attempt if self.whole else None
        return attempt if attempt is not None and attempt.reserved else None

    @property
    def current(self) -> Pursuit | None:
        """The pursuit that a reader wants to hear of: one that waits for a person, or for an answer, before others."""
        waiting = [each for each in self._pursuits if each.awaits_decision]
        unknown = [each for each in self._pursuits if each.attempt and each.attempt.negotiating_since]
        return next(iter([*waiting, *unknown, *self._pursuits]), None)

    @property
    def supplier_id(self) -> str:
        attempt = self.current.attempt if self.current else None
        return attempt.offer.supplier_id if attempt else ""

    @property
    def negotiating_since(self) -> datetime | None:
        """Since when a party's answer is not known; None while nothing is negotiated."""
        attempt = self.current.attempt if self.current else None
        return attempt.negotiating_since if attempt and self.status is OrderStatus.ISSUING else None

    @property
    def asked(self) -> int:
        attempt = self.current.attempt if self.current else None
        return attempt.asked if attempt else 0

    @property
    def awaits_decision(self) -> bool:
        """Whether a person has to decide, and nobody and nothing has yet."""
        return any(each.awaits_decision for each in self._pursuits)

    def awaits_decision_on(self, attempt: int) -> bool:
        """Whether a person has to decide about the attempt of that number."""
        return any(
            each.awaits_decision and each.attempt is not None and each.attempt.number == attempt
            for each in self._pursuits
        )

    def intents(self) -> tuple[BookingIntent, ...]:
        """What is about to be sent: each pursuit's attempt, begun at its first offer where there is none yet."""
        attempts = [each.attempt or each.take_offer(each.offers_after()[0]) for each in self._pursuits]
        return tuple(attempt.intent() for attempt in attempts)

    def confirmed(self, parts: Sequence[Part], *, gone: bool, money_due: bool) -> None:
        """The line is paid: its parts are known now; `gone`: its stock was taken by others meanwhile, and `money_due`:
        its buyer has yet to get the money back."""
        if gone:
            self._refunded(money_due=money_due)
        else:
            self.status = OrderStatus.ISSUING
        if self.apart:
            self._pursue(parts)

    async def report(self, report: SupplierReport) -> None:
        """A party told us something unasked."""
        for each in self._pursuits:
            if each.has(report.booking.attempt):
                await each.report(report)

    def decide(self, decision: LineDecision) -> None:
        """An operator has decided what a party would not tell."""
        for each in self._pursuits:
            if each.has(decision.attempt):
                each.decide(decision)

    # --- the story ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Step by step to issued; or to a definite failure, and then refunded."""
        for step in self._steps:
            if not await self._perform(step):
                return

    async def forgo(self) -> None:
        """Another line failed, all or nothing, before anything of this one was handed out: it is refunded."""
        await self._record_failure(Refusal("all_or_nothing", "Another line of the order failed."), None, ())

    async def _perform(self, step: Operation) -> bool:
        """Whether the line goes on to its next step."""
        if isinstance(step, Call):
            return await self._buy()
        if isinstance(step, HandOut):
            return await self._hand_out(step)
        if isinstance(step, Record) and step != ISSUED:
            message = RecordUnits(self._order_no, self.line_no, step.event, workflow.now(), self._plan_parts())
            await durably(FulfilmentActivities.record_units, message)
        elif isinstance(step, Notify):
            notice = NotifyLine(self._order_no, self.line_no, step.event, workflow.now())
            await durably(FulfilmentActivities.notify_line, notice)
        elif isinstance(step, Schedule):
            await workflow.sleep(timedelta(seconds=step.after_s), summary="the kind's own pause")
        return True

    def _plan_parts(self) -> tuple[Part, ...]:
        return tuple(each.of for each in self._pursuits if each.of is not None)

    async def _hand_out(self, step: HandOut) -> bool:
        message = HandOutUnits(self._order_no, self.line_no, step.source, workflow.now())
        given = await durably(FulfilmentActivities.hand_out, message)
        if given.refusal is not None:
            await self._record_failure(given.refusal, None, ())
            return False
        self._end(OrderStatus.ISSUED)
        await self.deliver()
        return True

    async def _buy(self) -> bool:
        """Every part to a definite end, side by side: issued when all are bought, failed when one is not."""
        if self._sent_apart:
            message = IntendBookings(self._order_no, workflow.now(), self.intents(), issuing=True)
            await durably(OrderActivities.intend_bookings, message)
        outcomes = await asyncio.gather(*(each.run() for each in self._pursuits))
        bought = [outcome for outcome in outcomes if isinstance(outcome, Bought)]
        if len(bought) == len(outcomes):
            await self._bought(bought)
            return True
        await self._not_bought(outcomes)
        return False

    # --- how it ends -------------------------------------------------------------------------------------------

    async def _bought(self, parts: list[Bought]) -> None:
        attempts = [part.attempt for part in parts]
        first = attempts[0]
        message = RecordIssue(
            first.booking,
            workflow.now(),
            sum(attempt.cost_minor for attempt in attempts),
            first.decision.actor if first.decision else "system",
            tuple(attempt.booking for attempt in attempts[1:]),
        )
        await durably(IssuanceActivities.record_issue, message)
        self.status = OrderStatus.ISSUED
        for each, attempt in zip(self._pursuits, attempts, strict=True):
            await each.close_case(attempt, str(self.status))
        self._tell()
        await self.deliver()

    async def deliver(self) -> None:
        """Where the kind has something left to do after issue, a workflow of its own does it."""
        if not self._plan.delivers or self.status is not OrderStatus.ISSUED:
            return
        with suppress(WorkflowAlreadyStartedError):
            await workflow.start_child_workflow(
                DeliveryWorkflow.run,
                HostDelivery(self._order_no, self.line_no),
                id=delivery_workflow_id(self._order_no, self.line_no),
                parent_close_policy=ParentClosePolicy.ABANDON,
                static_summary=f"Delivery of line {self.line_no} of order {self._order_no:019d}",
            )

    async def _not_bought(self, outcomes: Sequence[Bought | NotBought]) -> None:
        """The money goes back; what other parts have bought, and what was given up on, is given back beside it."""
        first, *rest = sorted(outcomes, key=lambda outcome: isinstance(outcome, Bought))
        assert isinstance(first, NotBought)
        await self._record_failure(first.failure, first, rest)
        for each, outcome in zip(self._pursuits, outcomes, strict=True):
            await each.close_case(outcome.attempt, str(self.status))
            if isinstance(outcome, Bought):
                each.give_back(outcome.attempt, "part_failed", sure=True)
            elif outcome.given_up_by is not None:
                each.give_back(outcome.attempt, "given_up")
            else:
                each.drop_hold(outcome.attempt)

    async def _record_failure(
        self, failure: Refusal, failed: NotBought | None, others: Sequence[Bought | NotBought]
    ) -> None:
        given_up_by = failed.given_up_by if failed else None
        gives_back = [each for each in others if isinstance(each, Bought) or each.given_up_by is not None]
        message = RecordFailure(
            self._order_no,
            self.line_no,
            workflow.now(),
            failure,
            failed.attempt.booking if failed else None,
            booking_state="releasing" if given_up_by else "rejected",
            actor=given_up_by or "system",
            rejected=tuple(each.attempt.booking for each in others if each not in gives_back),
            releasing=tuple(each.attempt.booking for each in gives_back),
        )
        refund_id = await durably(IssuanceActivities.record_failure, message)
        self._refunded(money_due=refund_id is not None)
        self._tell()

    def _refunded(self, *, money_due: bool) -> None:
        """It fails, or is taken back: on account the money is back with that; a buyer has to wait for it."""
        self.status = OrderStatus.REFUNDING if money_due else OrderStatus.REFUNDED
        self.money_due = money_due

    def money_stands(self, status: OrderStatus) -> None:
        """What the rows say of a line whose buyer waits for money."""
        if self.money_due:
            self.status = status
            self.money_due = status is OrderStatus.REFUNDING

    def _end(self, status: OrderStatus) -> None:
        self.status = status
        self._tell()

    async def settled(self) -> None:
        """Until nothing is outstanding at any party: replies that were overtaken, and releases."""
        for each in self._pursuits:
            await each.settled()

    async def finish_releases(self) -> None:
        """Go on with releases that an earlier host of this order began."""
        await asyncio.gather(*(each.finish_releases() for each in self._pursuits))

    async def take_back(self, reason: str) -> None:
        """Another line failed, all or nothing: this one is cancelled at its parties first, and only then refunded."""
        answers = await asyncio.gather(*(each.call_back(reason) for each in self._pursuits))
        bookings = [each.required_attempt.booking for each in self._pursuits]
        kept = next((answer for answer in answers if isinstance(answer, Rejected)), None)
        if kept is not None:
            await durably(IssuanceActivities.keep_line, KeepLine(bookings[0], workflow.now(), kept.code))
            for each, answer in zip(self._pursuits, answers, strict=True):
                if isinstance(answer, Rejected):
                    await each.supplier_keeps(each.required_attempt, answer)
            await self.deliver()  # its delivery may have ended while all of it was taken back
            return
        credit_minor = sum(each.required_attempt.cost_minor for each in self._pursuits)
        first = bookings[0] if bookings else BookingRef(self._order_no, self.line_no, 0, "")
        message = TakeBackLine(first, workflow.now(), reason, credit_minor, others=tuple(bookings[1:]))
        refund_id = await durably(IssuanceActivities.take_back_line, message)
        self._refunded(money_due=refund_id is not None)
        self._tell()


def _booked_parts(plan: LinePlan) -> tuple[Part, ...]:
    """The parts that an earlier host of the order has begun to buy, in their order."""
    parts = {
        part_of(state.attempt): Part(state.warehouse_id or "", state.quantity or plan.quantity)
        for state in plan.bookings
    }
    return tuple(parts[number] for number in sorted(parts))
