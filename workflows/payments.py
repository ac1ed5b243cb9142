"""`PaymentWorkflow`: one pay order, from its opening until its money is used, given back, or certain not to come.

It knows nothing that the rows don't, so it may begin anew at any time: a callback that comes after it has ended, or
after a crash, starts it again. Whatever it hears (reply, callback, query) goes through one judgement in the database.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from activities.channels import ChannelActivities
from activities.issuance import IssuanceActivities
from activities.issuance_messages import ResolveException
from activities.order_telling import OrderTelling
from activities.payment_messages import (
    AwaitPayer,
    BookCharges,
    Booked,
    CallChannel,
    CancelPayment,
    ChannelReport,
    ChargeDecision,
    DecideCharge,
    EndUnpaid,
    NoteContradiction,
    OpenMoneyCase,
    OpenPayment,
    OrderServed,
    PayAnswer,
    PaymentPlan,
    PayStanding,
    PlannedPart,
    RestPayment,
    ReturnPart,
    ReviveOrder,
    ServeOrder,
)
from activities.payments import PaymentActivities
from domain.channels import (
    Charge,
    Closed,
    CreateAnswer,
    Created,
    Declined,
    NotKnown,
    NotReachable,
    Paid,
    PaymentAnswer,
    PaymentFailed,
    PaymentTold,
    Unclear,
    Unpaid,
)
from domain.errors import Refusal
from domain.payments import UNDECIDED, PaymentDecided, PaymentDeclined, PayStatus
from workflows.execution import at_channel, durably, tell_order
from workflows.money_back import begin_refund
from workflows.order_ids import HostOrder, order_workflow_id
from workflows.orders import OrderWorkflow
from workflows.payment_ids import HostPayment
from workflows.refusals import refusals


@dataclass(frozen=True, slots=True)
class Ending:
    """It is to be closed at its channel; unless it turns out paid, it ends so."""

    status: Literal["failed", "closed"]
    reason: str
    actor: str = "system"


@workflow.defn
class PaymentWorkflow:
    """One pay order, readable in the Temporal UI like a page."""

    @workflow.init
    def __init__(self, payment: HostPayment) -> None:
        self._pay_id = payment.pay_id
        self._plan: PaymentPlan | None = None
        self._parts: tuple[PlannedPart, ...] = ()
        self._status = PayStatus.CREATED
        self._answer: PayAnswer | None = None
        self._ending: Ending | None = None
        self._asked = self._closes = 0
        self._told: list[ChannelReport] = []
        self._gone: set[int] = set()
        self._paid_at: datetime | None = None
        self._unclear_since: datetime | None = None
        self._alarmed = False
        self._mutex = asyncio.Lock()

    @workflow.run
    async def run(self, payment: HostPayment) -> str:
        """The pay order's story; its result is the status it rests in, or `unknown` where it is not ours."""
        ours = await self._open()
        while True:
            if ours and self._status in UNDECIDED:
                await self._until_decided()
            await self._take_in()
            if ours and self._status not in UNDECIDED:
                await self._use_money()
            await workflow.wait_condition(workflow.all_handlers_finished)
            if not self._told:
                break
        if ours:
            await durably(PaymentActivities.rest_payment, RestPayment(self._pay_id, workflow.now()))
        return str(self._status) if ours else "unknown"

    # --- opening -----------------------------------------------------------------------------------------------

    async def _open(self) -> bool:
        """Check it and hold what it uses, or read it as it stands. False: there is nothing of ours to do."""
        opened = await durably(PaymentActivities.open_payment, OpenPayment(self._pay_id, workflow.now()))
        if opened.plan is None:
            refusal = opened.refusal or Refusal("payment_not_found", "There is no such payment.")
            self._answer = PayAnswer(PayStatus.FAILED, refusal=refusal)
            return False
        plan = self._plan = opened.plan
        self._status, self._parts = plan.status, plan.parts
        if plan.action is not None or self._status is not PayStatus.CREATED:
            refusal_of = Refusal(plan.reason, "The payment has failed.") if self._status is PayStatus.FAILED else None
            self._answer = PayAnswer(self._status, plan.action, refusal_of)
        self._show()
        return True

    # --- until it is paid, failed or closed --------------------------------------------------------------------

    async def _until_decided(self) -> None:
        """The channel is asked to let the payer pay; then asked what became of it, whatever it tells by itself."""
        plan = self._required_plan()
        if not plan.channel_id:
            await self._take_booked(
                await durably(PaymentActivities.use_balances, OpenPayment(self._pay_id, workflow.now()))
            )
            return
        if self._status is PayStatus.CREATED:
            await self._create()
        while self._status in UNDECIDED:
            await self._pause()
            if self._told:
                await self._take_in()
            elif self._ending is not None:
                await self._close()
            else:
                self._asked += 1
                await self._heed(await self._query())
            await self._begin_anew_when_long()

    async def _pause(self) -> None:
        """Until there is something to take in, somebody wants it closed, or the channel's schedule says to ask."""
        ending, asked = self._ending, self._asked
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self._told) or self._ending is not ending,
                timeout=timedelta(seconds=self._pause_s()),
                timeout_summary="close it at the channel" if ending else f"ask the channel, for the {asked + 1}. time",
            )
        if self._ending is None and workflow.now() >= self._required_plan().expires_at:
            self._ending = Ending("closed", "expired")

    def _pause_s(self) -> float:
        plan = self._required_plan()
        if self._ending is not None:  # at once; then only an unclear answer is asked about
            return plan.schedule.interval_s(self._closes - 1) if self._closes else 0
        left_s = max((plan.expires_at - workflow.now()).total_seconds(), 0)
        return min(plan.schedule.interval_s(self._asked), left_s)

    async def _create(self) -> None:
        """Repeated with the same reference until the answer is clear: the channel makes it once."""
        while self._status is PayStatus.CREATED and self._ending is None:
            answer = await self._call_create()
            if isinstance(answer, Created):
                message = AwaitPayer(self._pay_id, workflow.now(), answer.action, answer.channel_reference)
                await durably(PaymentActivities.await_payer, message)
                if self._status is PayStatus.CREATED:
                    self._status = PayStatus.PENDING
                self._answer = self._answer or PayAnswer(self._status, answer.action)
                self._show()
            elif isinstance(answer, Declined):
                self._ending = Ending("failed", answer.code)
            else:
                await self._pause()
                self._asked += 1
                await self._take_in()
        self._asked = 0

    async def _close(self) -> None:
        """*Paid* wins; *closed* ends it; while the answer is unclear its orders wait, and a person hears of it."""
        ending = self._ending
        assert ending is not None
        self._closes += 1
        answer = await self._call_close()
        if isinstance(answer, Closed | NotKnown):
            message = EndUnpaid(self._pay_id, workflow.now(), ending.status, ending.reason, ending.actor)
            await self._take_booked(await durably(PaymentActivities.end_unpaid, message))
        elif isinstance(answer, Unpaid | PaymentFailed):
            await self._worry()  # it knows it, and has not closed it
        else:
            await self._heed(answer)

    async def _heed(self, answer: PaymentAnswer) -> None:
        """An answer to a question of ours."""
        if isinstance(answer, Paid):
            await self._book(self._required_plan().channel_id, answer.charges)
        elif isinstance(answer, PaymentFailed) and self._ending is None:
            # The payer may try again at the channel: only a closed one is certain, and may be paid otherwise.
            self._ending = Ending("failed", answer.code)
        elif isinstance(answer, Closed) and self._ending is None:
            self._ending = Ending("closed", "closed_by_channel")
        if isinstance(answer, Unclear | NotReachable):
            await self._worry()
        elif self._alarmed or self._unclear_since:
            await self._calm()

    async def _take_in(self) -> None:
        """What the channel told us unasked, one after another."""
        while self._told:
            async with self._mutex:
                report = self._told.pop(0)
                told = report.told
                if isinstance(told.answer, Paid):
                    await self._book(report.channel_id, told.answer.charges)
                elif self._status in UNDECIDED:
                    await self._heed(told.answer)
                elif isinstance(told.answer, PaymentFailed | Closed) and self._plan is not None:
                    await self._weigh(told)

    async def _weigh(self, told: PaymentTold) -> None:
        """A *no* after the money came: an older attempt's is no news, anything else is the channel against itself."""
        answer = told.answer
        is_older = isinstance(answer, PaymentFailed) and answer.at and self._paid_at and answer.at <= self._paid_at
        if self._status in (PayStatus.FAILED, PayStatus.CLOSED) or is_older:
            return
        message = NoteContradiction(self._pay_id, workflow.now(), told.event_id, answer.kind)
        await durably(PaymentActivities.note_contradiction, message)

    async def _book(self, channel_id: str, charges: tuple[Charge, ...]) -> None:
        message = BookCharges(self._pay_id, workflow.now(), channel_id, charges)
        await self._take_booked(await durably(PaymentActivities.book_charges, message))

    async def _take_booked(self, booked: Booked) -> None:
        """Where it stands now; what was too much goes back."""
        if self._plan is not None:
            self._status, self._parts, self._paid_at = booked.status, booked.parts, booked.paid_at
            if self._status not in UNDECIDED and self._answer is None:
                refused = self._status in (PayStatus.FAILED, PayStatus.CLOSED)
                code = self._ending.reason if self._ending else str(self._status)
                self._answer = PayAnswer(self._status, refusal=Refusal.of(PaymentDeclined(code)) if refused else None)
            self._show()
        for refund_id in booked.refunds:
            await begin_refund(refund_id)

    # --- the money is there: what does it buy? -----------------------------------------------------------------

    async def _use_money(self) -> None:
        """Every order it was for is issued for it, or another in its place, or its share goes back."""
        if self._status in (PayStatus.FAILED, PayStatus.CLOSED):
            await self._let_orders_go()
            return
        for part in self._parts:
            if part.state == "open":
                await self._serve(part)
            elif part.state == "released":
                await self._return(part, "paid_otherwise")
        plan = self._required_plan()
        for refund_id in plan.refunds:  # what an earlier run of this had begun to give back
            await begin_refund(refund_id)
        self._parts = ()

    async def _let_orders_go(self) -> None:
        """No money came: an order that has run out and was kept for it need not wait any more."""
        for part in self._parts:
            await tell_order(
                OrderTelling.let_order_go,
                ServeOrder(self._pay_id, part.order_no, part.order_no),
                summary=f"tell order {part.order_no:019d} that no money came",
            )
        self._parts = ()

    async def _serve(self, part: PlannedPart) -> None:
        target_no = part.successor_no or part.order_no
        served = await self._tell(part.order_no, target_no)
        if served.outcome == "gone" and target_no == part.order_no:
            message = ReviveOrder(self._pay_id, part.order_no, workflow.now(), served.why)
            revived = await durably(PaymentActivities.revive_order, message)
            if revived.successor_no is not None:
                served = await self._tell(part.order_no, revived.successor_no)
        if served.outcome != "served":
            await self._return(part, served.why)

    async def _tell(self, order_no: int, target_no: int) -> OrderServed:
        """The order's own process takes the money, or says why not; one that is lost is started from its rows."""
        while True:
            served = await tell_order(
                OrderTelling.serve_order,
                ServeOrder(self._pay_id, order_no, target_no),
                summary=f"tell order {target_no:019d} that it is paid",
            )
            if served.outcome != "no_host":
                return served
            with suppress(WorkflowAlreadyStartedError):
                await workflow.start_child_workflow(
                    OrderWorkflow.run,
                    HostOrder(target_no),
                    id=order_workflow_id(target_no),
                    parent_close_policy=ParentClosePolicy.ABANDON,
                    static_summary=f"Order {target_no:019d}, in the place of {order_no:019d}",
                )
            await workflow.sleep(timedelta(seconds=1), summary="the order opens")

    async def _return(self, part: PlannedPart, why: str) -> None:
        returned = await durably(
            PaymentActivities.return_part, ReturnPart(self._pay_id, part.order_no, workflow.now(), why)
        )
        if returned.refund_id is not None:
            await begin_refund(returned.refund_id)

    # --- the channel -------------------------------------------------------------------------------------------

    async def _call_create(self) -> CreateAnswer:
        plan = self._required_plan()
        try:
            return await at_channel(
                ChannelActivities.create_at_channel, self._call(), channel_id=plan.channel_id,
                timeout_s=plan.call_timeout_s, summary=f"let the payer pay {plan.cash_minor} at {plan.channel_id}",
            )  # fmt: skip
        except ActivityError as failure:
            return Unclear(f"the call was lost: {type(failure.cause).__name__}")

    async def _query(self) -> PaymentAnswer:
        plan = self._required_plan()
        try:
            return await at_channel(
                ChannelActivities.query_channel, self._call(), channel_id=plan.channel_id,
                timeout_s=plan.call_timeout_s, summary=f"ask {plan.channel_id} whether it is paid",
            )  # fmt: skip
        except ActivityError as failure:
            return Unclear(f"the call was lost: {type(failure.cause).__name__}")

    async def _call_close(self) -> PaymentAnswer:
        plan = self._required_plan()
        try:
            return await at_channel(
                ChannelActivities.close_at_channel, self._call(), channel_id=plan.channel_id,
                timeout_s=plan.call_timeout_s, summary=f"close it at {plan.channel_id}",
            )  # fmt: skip
        except ActivityError as failure:
            return Unclear(f"the call was lost: {type(failure.cause).__name__}")

    def _call(self) -> CallChannel:
        plan = self._required_plan()
        return CallChannel(plan.channel_id, self._pay_id, plan.call_timeout_s)

    # --- what others say ---------------------------------------------------------------------------------------

    @workflow.update(description="Answer the payer: what to do now, or why this cannot be paid.")
    async def begin(self) -> PayAnswer:
        await workflow.wait_condition(lambda: self._answer is not None)
        assert self._answer is not None
        return self._answer

    @workflow.update(description="Close it at the channel, unless it is paid already.")
    async def cancel(self, message: CancelPayment) -> PayStanding:
        await workflow.wait_condition(lambda: self._answer is not None or self._plan is not None)
        with refusals():
            if self._status not in UNDECIDED or self._plan is None:
                raise PaymentDecided(self._status)
            self._ending = self._ending or Ending("closed", message.reason, message.actor)
            await workflow.wait_condition(lambda: self._status not in UNDECIDED)
            if self._status is PayStatus.PAID:
                raise PaymentDecided(self._status)
        return self.standing()

    @workflow.update(description="Decide about money that no machine may use: `refund` it, or `settle` it otherwise.")
    async def decide(self, decision: DecideCharge) -> PayStanding:
        message = ChargeDecision(self._pay_id, workflow.now(), decision)
        returned = await durably(PaymentActivities.decide_charge, message)
        if returned.refund_id is not None:
            await begin_refund(returned.refund_id)
        return self.standing()

    @workflow.signal(description="The channel told us unasked what became of it.")
    async def channel_reported(self, report: ChannelReport) -> None:
        self._told.append(report)

    @workflow.signal(description="One of its orders was canceled.")
    async def order_gone(self, order_no: int) -> None:
        self._gone.add(order_no)
        await workflow.wait_condition(lambda: self._plan is not None or self._answer is not None)
        if self._plan is not None and all(part.order_no in self._gone for part in self._plan.parts):
            self._ending = self._ending or Ending("closed", "order_canceled")

    @workflow.query(description="Where the pay order stands.")
    def standing(self) -> PayStanding:
        return PayStanding(self._pay_id, self._status, self._ending.reason if self._ending else "")

    # --- people ------------------------------------------------------------------------------------------------

    async def _worry(self) -> None:
        """A person is told when nothing has been clear for too long; the questions go on."""
        plan, now = self._required_plan(), workflow.now()
        self._unclear_since = self._unclear_since or now
        if self._alarmed or (now - self._unclear_since).total_seconds() < plan.alarm_s:
            return
        self._alarmed = True
        evidence: dict[str, object] = {"channel_id": plan.channel_id, "since": self._unclear_since.isoformat()}
        message = OpenMoneyCase(self._alarm_id, "payment_undecided", now, evidence, pay_id=self._pay_id)
        await durably(PaymentActivities.open_money_case, message)

    async def _calm(self) -> None:
        self._unclear_since = None
        if self._alarmed:
            self._alarmed = False
            message = ResolveException(self._alarm_id, workflow.now(), "system", {"decision": "cleared"})
            await durably(IssuanceActivities.resolve_exception, message)

    @property
    def _alarm_id(self) -> str:
        return f"xcp-{self._pay_id}-undecided"

    # --- small parts -------------------------------------------------------------------------------------------

    async def _begin_anew_when_long(self) -> None:
        """A pay order whose channel stays silent for weeks begins anew from its rows."""
        if workflow.info().is_continue_as_new_suggested() and not self._told and workflow.all_handlers_finished():
            workflow.continue_as_new(HostPayment(self._pay_id))

    def _required_plan(self) -> PaymentPlan:
        assert self._plan is not None, "the pay order is open"
        return self._plan

    def _show(self) -> None:
        """The workflow's page in the Temporal UI."""
        plan = self._required_plan()
        lines = [f"**{self._pay_id}**: `{self._status}`" + (f", ends as {self._ending.reason}" if self._ending else "")]
        lines += [
            "",
            f"- {plan.cash_minor} minor units at `{plan.channel_id or 'nobody'}`, until {plan.expires_at:%H:%M:%S}",
        ]
        lines += [f"- order {part.order_no:019d}: {part.state}" for part in plan.parts]
        workflow.set_current_details("\n".join(lines))
