"""The process of one order: its story, and what callers, suppliers and operators may say to it while it goes on.

A plain class of deterministic code, hosted by a workflow. `may_...` are the validators' questions: they raise the
DomainError that says why not.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

from activities.order_messages import LineDecision, OrderStanding, PlaceAnswer, ReviewDecision, SupplierReport
from activities.payment_messages import PayOrderMessage
from domain.orders import AT_REST, NotInState, OrderStatus, judge_cancel, judge_confirm, judge_extend
from domain.payments import PaymentRequired
from workflows.extending import extend_locks
from workflows.order_story import OrderStory, Wish


class OrderProcess(OrderStory):
    """An order and its doors: every public method but `run` is something that the world says to it."""

    async def placed(self) -> PlaceAnswer:
        """The first answer: locked, parked or refused."""
        await workflow.wait_condition(lambda: self._answer is not None)
        assert self._answer is not None
        return self._answer

    @property
    def _opening(self) -> bool:
        """Whether the rows have not been read yet: nothing can be judged before."""
        return self._plan is None and self._answer is None

    @property
    def _locking(self) -> bool:
        """Whether the lock is being recorded: its rows may be there, and its caller know it, before we do."""
        return self.status is OrderStatus.PENDING and self._plan is not None and not self._waits_for_review

    async def _opened(self) -> None:
        await workflow.wait_condition(lambda: not self._opening)

    def may_confirm(self) -> None:
        """Raises the DomainError that says why confirming is not possible now."""
        if self._opening or self._locking:
            return
        if self._wish is not None and self._wish.kind == "cancel" and self.status is OrderStatus.LOCKED:
            raise NotInState("confirm", OrderStatus.CANCELED, ("locked", "issuing", "issued"))
        if judge_confirm(self.status) and self._by_channel:
            raise PaymentRequired

    async def confirm(self, actor: str, wait_s: float) -> OrderStanding:
        """Begin issuing, unless it has begun, and wait up to `wait_s` for the outcome."""
        await workflow.wait_condition(lambda: not (self._opening or self._locking))
        self.may_confirm()
        if judge_confirm(self.status) and self._wish is None:
            self._wish = Wish("confirm", actor)
        await workflow.wait_condition(lambda: self.status is not OrderStatus.LOCKED)
        if self.status is OrderStatus.CANCELED:
            judge_confirm(self.status)
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self.status in AT_REST, timeout=timedelta(seconds=wait_s), timeout_summary="confirm answers"
            )
        return self.standing()

    async def pay(self, message: PayOrderMessage) -> OrderStanding:
        """Its buyer's money is there: begin issuing, even where the hold has run out meanwhile and was kept for it."""
        await workflow.wait_condition(lambda: not self._opening and self.status is not OrderStatus.PENDING)
        while self.status is OrderStatus.LOCKED:
            if message.pay_id in self._unusable:
                raise NotInState("pay", self.status, ("locked (while its payment is open)",))
            self._wish = self._wish or Wish("pay", f"payment/{message.pay_id}", pay_id=message.pay_id)
            await workflow.wait_condition(lambda: self.status is not OrderStatus.LOCKED or self._wish is None)
        if self.status in (OrderStatus.CANCELED, OrderStatus.REJECTED):
            raise NotInState("pay", self.status, ("locked",))
        return self.standing()

    def payment_ended(self, pay_id: str) -> None:
        """The payment that it may have been kept for is over: what has run out need not be kept any more."""
        if self._kept_for == pay_id:
            self._kept_for = ""

    def may_cancel(self) -> None:
        """Raises the DomainError that says why cancelling is not possible now."""
        if self._opening:
            return
        if self._wish is not None and self._wish.kind != "cancel" and self.status is OrderStatus.LOCKED:
            judge_cancel(OrderStatus.ISSUING)
        judge_cancel(self.status)

    async def cancel(self, actor: str, reason: str) -> OrderStanding:
        """Cancel a pending or locked order; a cancelled one gives the same answer again."""
        await self._opened()
        self.may_cancel()
        if judge_cancel(self.status) and self._wish is None:
            self._wish = Wish("cancel", actor, reason)
        await workflow.wait_condition(lambda: self.status not in (OrderStatus.PENDING, OrderStatus.LOCKED))
        judge_cancel(self.status)
        return self.standing()

    def stand_aside(self) -> None:
        """A fresh host takes over from the rows: whoever waits here is answered with how things stand."""
        self._standing_aside = True

    def ask_to_cancel(self, actor: str, reason: str) -> None:
        """Cancel if that is still possible; otherwise the order goes on."""
        if self._wish is None and self.status in (OrderStatus.PENDING, OrderStatus.LOCKED):
            self._wish = Wish("cancel", actor, reason)

    def may_extend(self) -> None:
        """Raises the DomainError that says why extending is not possible now."""
        if not self._opening:
            judge_extend(self.status)

    async def extend(self, actor: str, by_s: int) -> OrderStanding:
        """Let the hold run on by `by_s` seconds from now, at suppliers first, up to the ceiling."""
        await self._opened()
        async with self._mutex:
            judge_extend(self.status)
            if self._wish is None:
                plan = self._required_plan()
                lines = list(self._lines.values())
                assert self._expires_at is not None
                assert self._locked_at is not None
                self._expires_at = await extend_locks(plan, lines, self._locked_at, self._expires_at, by_s, actor)
        return self.standing()

    def may_review(self) -> None:
        """Raises NotInState unless the order is parked for review, and nobody has said anything yet."""
        if self._opening:
            return
        parked = self._plan is not None and self._plan.in_review and self.status is OrderStatus.PENDING
        if not parked or self._review is not None or self._wish is not None:
            raise NotInState("review", self.status, ("pending (in review)",))

    async def review(self, decision: ReviewDecision) -> OrderStanding:
        """An operator's word on a parked order; the first one counts."""
        await self._opened()
        self.may_review()
        self._review = decision
        await workflow.wait_condition(lambda: self.status is not OrderStatus.PENDING)
        return self.standing()

    def may_decide(self, decision: LineDecision) -> None:
        """Raises NotInState unless this attempt of the line waits for an operator's decision."""
        if self._opening:
            return
        line = self._lines.get(decision.line_no)
        if line is None or not line.awaits_decision_on(decision.attempt):
            raise NotInState("decide", line.status if line else self.status, ("issuing (escalated)",))

    async def decide(self, decision: LineDecision) -> OrderStanding:
        """An operator's word on an escalated line."""
        await self._opened()
        self.may_decide(decision)
        line = self._lines[decision.line_no]
        line.decide(decision)
        await workflow.wait_condition(lambda: self._standing_aside or line.status is not OrderStatus.ISSUING)
        return self.standing()

    async def supplier_reported(self, report: SupplierReport) -> None:
        """What a supplier told us unasked."""
        await self._opened()
        line = self._lines.get(report.booking.line_no)
        if line is not None:
            await line.report(report)

    def standing(self) -> OrderStanding:
        """Where the order stands."""
        return OrderStanding(
            order_no=self._order_no,
            status=self.status,
            lines={line_no: line.status for line_no, line in self._lines.items()},
            negotiating=tuple(no for no, line in self._lines.items() if line.negotiating_since is not None),
            hold_expires_at=self._expires_at,
        )
