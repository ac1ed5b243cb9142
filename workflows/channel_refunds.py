"""`ChannelRefundWorkflow`: money that goes back to a buyer, until their channel says so, or a person has settled it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.channel_refunds import ChannelRefundActivities
from activities.channels import ChannelActivities
from activities.issuance import IssuanceActivities
from activities.issuance_messages import ResolveException
from activities.payment_messages import (
    CallRefund,
    DecideRefund,
    FailRefund,
    OpenMoneyCase,
    OpenRefund,
    RefundPlan,
    RefundStanding,
    RetryRefund,
    SettleRefund,
)
from activities.payments import PaymentActivities
from domain.channels import (
    NotKnown,
    NotReachable,
    RefundAnswer,
    RefundDeclined,
    RefundDone,
    RefundPending,
    RefundTold,
    Unclear,
)
from domain.errors import Refused
from domain.payments import RefundNotFailed, RefundState
from workflows.execution import at_channel, durably
from workflows.order_runs import order_runs
from workflows.payment_ids import HostRefund
from workflows.refusals import refusals

DENIALS_BEFORE_RESEND = 2
"""How often in a row a channel has to say that it knows no such refund before it is sent again: what it was sent may
take a moment to show. Under the same number nothing is given back twice."""

JUST_FAILED = timedelta(seconds=2)
"""How long a person's word waits for the channel's *no* that it is about."""


@workflow.defn
class ChannelRefundWorkflow:
    """One refund. It begins from its rows, whenever it is started."""

    @workflow.init
    def __init__(self, refund: HostRefund) -> None:
        self._refund_id = refund.refund_id
        self._plan: RefundPlan | None = None
        self._opened = False
        self._told: list[RefundTold] = []
        self._by_channel = True
        self._state = RefundState.REFUNDING
        self._unclear_since: datetime | None = None
        self._alarms, self._alarmed = 0, False
        self._mutex = asyncio.Lock()

    @workflow.run
    async def run(self, refund: HostRefund) -> str:
        """Its result is the state it rests in: `refunded`, or `refund_failed` until a person decides; `unknown`."""
        self._plan = await durably(ChannelRefundActivities.open_refund, OpenRefund(refund.refund_id))
        self._opened = True
        if self._plan is None:
            await workflow.wait_condition(workflow.all_handlers_finished)
            return "unknown"
        self._state = self._plan.state
        self._alarms, self._alarmed = self._plan.alarms.raised, self._plan.alarms.open
        self._by_channel = self._plan.route == "channel"
        while True:
            if self._state is RefundState.REFUNDING:
                async with self._mutex:
                    await self._give_back()
            await self._hear_late()
            await workflow.wait_condition(workflow.all_handlers_finished)
            if self._state is not RefundState.REFUNDING and not self._told:
                return str(self._state)

    # --- the story ---------------------------------------------------------------------------------------------

    async def _give_back(self) -> None:
        """What was never the channel's is ours to put back; the rest is asked for until the channel has answered."""
        plan = self._required_plan()
        self._show("the channel is asked to give the money back")
        if not plan.cash_minor:
            await self._settle("")
            return
        sent, asked, denials = False, 0, 0
        while self._state is RefundState.REFUNDING:
            told = await self._take_told()
            answer: RefundAnswer = told or await (self._ask() if sent else self._send())
            if told is None:
                sent, asked = sent or not isinstance(answer, NotReachable), asked + 1
            denials = denials + 1 if isinstance(answer, NotKnown) else 0
            if denials >= DENIALS_BEFORE_RESEND:
                sent, denials = False, 0
            await self._heed(answer)
            if self._state is RefundState.REFUNDING:
                await self._pause(answer, asked)
                await self._begin_anew_when_long()

    async def _hear_late(self) -> None:
        """What the channel says when nobody asks any more. Where it had refused, *done* is done after all."""
        while self._told and self._state is not RefundState.REFUNDING:
            told = self._told.pop(0)
            async with self._mutex:
                if self._state is RefundState.FAILED and isinstance(told.answer, RefundDone):
                    await self._settle(told.answer.channel_reference)
                elif self._state is RefundState.REFUNDED:
                    await self._weigh(told)

    async def _weigh(self, told: RefundTold) -> None:
        """*Done* of a number that was refused, when the money goes, or went, another way: it is given back twice, and
        a person has to look."""
        plan = self._required_plan()
        by_it = self._by_channel and told.refund_no == plan.refund_no
        if by_it or not isinstance(told.answer, RefundDone):
            return
        evidence: dict[str, object] = {"told": told.answer.kind, "refund_no": told.refund_no, "event_id": told.event_id}
        message = OpenMoneyCase(
            f"xcp-{self._refund_id}-twice", "payment_contradiction", workflow.now(), evidence,
            pay_id=plan.pay_id or None, refund_id=self._refund_id,
        )  # fmt: skip
        await durably(PaymentActivities.open_money_case, message)

    async def _heed(self, answer: RefundAnswer) -> None:
        if isinstance(answer, RefundDone):
            await self._settle(answer.channel_reference)
        elif isinstance(answer, RefundDeclined):
            message = FailRefund(self._refund_id, workflow.now(), answer.code)
            self._state = (await durably(ChannelRefundActivities.fail_refund, message)).state
        elif isinstance(answer, Unclear | NotReachable | NotKnown):
            await self._worry()
        if self._alarmed and not isinstance(answer, Unclear | NotReachable | NotKnown):
            await self._calm()

    async def _settle(self, channel_reference: str) -> None:
        message = SettleRefund(self._refund_id, workflow.now(), channel_reference=channel_reference)
        self._state = (await durably(ChannelRefundActivities.settle_refund, message)).state

    async def _pause(self, answer: RefundAnswer, asked: int) -> None:
        """Until the channel's schedule says to ask again, or it tells us by itself."""
        pause_s = self._required_plan().schedule.interval_s(asked - 1)
        if isinstance(answer, NotReachable) and answer.retry_after_s:
            pause_s = max(pause_s, answer.retry_after_s)
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self._told), timeout=timedelta(seconds=pause_s), timeout_summary="ask about the refund"
            )

    async def _begin_anew_when_long(self) -> None:
        """A refund that takes months begins anew from its rows before its history is too long."""
        if workflow.info().is_continue_as_new_suggested() and not self._told and workflow.all_handlers_finished():
            workflow.continue_as_new(HostRefund(self._refund_id))

    # --- the channel -------------------------------------------------------------------------------------------

    async def _send(self) -> RefundAnswer:
        plan = self._required_plan()
        try:
            return await at_channel(
                ChannelActivities.refund_at_channel, self._call(), channel_id=plan.channel_id,
                timeout_s=plan.call_timeout_s, summary=f"refund {plan.cash_minor} at {plan.channel_id}",
            )  # fmt: skip
        except ActivityError as failure:
            return Unclear(f"the call was lost: {type(failure.cause).__name__}")

    async def _ask(self) -> RefundAnswer:
        plan = self._required_plan()
        try:
            return await at_channel(
                ChannelActivities.query_refund_at_channel, self._call(), channel_id=plan.channel_id,
                timeout_s=plan.call_timeout_s, summary=f"ask {plan.channel_id} about the refund",
            )  # fmt: skip
        except ActivityError as failure:
            return Unclear(f"the call was lost: {type(failure.cause).__name__}")

    def _call(self) -> CallRefund:
        plan = self._required_plan()
        return CallRefund(plan.channel_id, self._refund_id, plan.refund_no, plan.call_timeout_s)

    async def _take_told(self) -> RefundDone | RefundPending | RefundDeclined | None:
        """What the channel said unasked about the number that is being tried; about an older one it is history, or a
        person's case."""
        while self._told:
            told = self._told.pop(0)
            if told.refund_no == self._required_plan().refund_no:
                return told.answer
            await self._weigh(told)
        return None

    # --- people ------------------------------------------------------------------------------------------------

    async def _worry(self) -> None:
        """A person is told when nothing has been clear for too long; the questions go on."""
        now = workflow.now()
        self._unclear_since = self._unclear_since or now
        plan = self._required_plan()
        if self._alarmed or (now - self._unclear_since).total_seconds() < plan.alarm_s:
            return
        self._alarms, self._alarmed = self._alarms + 1, True
        evidence: dict[str, object] = {"channel_id": plan.channel_id, "since": self._unclear_since.isoformat()}
        message = OpenMoneyCase(
            self._alarm_id, "refund_undecided", now, evidence, pay_id=plan.pay_id or None, refund_id=self._refund_id
        )
        await durably(PaymentActivities.open_money_case, message)

    async def _calm(self) -> None:
        self._alarmed, self._unclear_since = False, None
        message = ResolveException(self._alarm_id, workflow.now(), "system", {"decision": "cleared"})
        await durably(IssuanceActivities.resolve_exception, message)

    @property
    def _alarm_id(self) -> str:
        return f"xcp-{self._refund_id}-unclear-{self._alarms}"

    @workflow.signal(description="The channel told us unasked what became of the refund.")
    async def channel_reported(self, told: RefundTold) -> None:
        self._told.append(told)

    @workflow.update(description="Decide a refund that failed: `retry`, `to_coins`, or `paid_by_hand` with evidence.")
    async def decide(self, decision: DecideRefund) -> RefundStanding:
        await workflow.wait_condition(lambda: self._opened)
        with suppress(TimeoutError):  # its case is in the queue a moment before this process knows
            await workflow.wait_condition(
                lambda: self._state is not RefundState.REFUNDING,
                timeout=JUST_FAILED,
                timeout_summary="it is not failed",
            )
        with refusals():
            self._refuse_unless_failed()
            async with self._mutex:
                self._refuse_unless_failed()
                if decision.decision == "retry":
                    message = RetryRefund(self._refund_id, workflow.now(), decision.actor)
                    self._plan = await durably(ChannelRefundActivities.retry_refund, message)
                    self._state = self._plan.state
                    await self._order_waits()
                else:
                    await self._settle_otherwise(decision)
        return RefundStanding(self._refund_id, self._state)

    async def _order_waits(self) -> None:
        """An order that was at rest has money on its way again: its own process waits for that."""
        order_no = self._required_plan().order_no
        if order_no is not None:
            await order_runs(order_no, summary=f"Order {order_no:019d}, whose money goes back")

    def _refuse_unless_failed(self) -> None:
        if self._plan is None or self._state is not RefundState.FAILED:
            raise RefundNotFailed(self._refund_id, self._state)

    async def _settle_otherwise(self, decision: DecideRefund) -> None:
        message = SettleRefund(
            self._refund_id,
            workflow.now(),
            route="coins" if decision.decision == "to_coins" else "by_hand",
            actor=decision.actor,
            evidence={**decision.evidence, "reason": decision.reason},
        )
        settled = await durably(ChannelRefundActivities.settle_refund, message)
        if settled.refusal is not None:
            raise Refused(settled.refusal)
        self._state, self._by_channel = settled.state, False

    @workflow.query(description="Where the refund stands.")
    def standing(self) -> RefundStanding:
        return RefundStanding(self._refund_id, self._state)

    # --- small parts -------------------------------------------------------------------------------------------

    def _required_plan(self) -> RefundPlan:
        assert self._plan is not None, "the refund was read"
        return self._plan

    def _show(self, doing: str) -> None:
        """The workflow's page in the Temporal UI."""
        plan = self._required_plan()
        workflow.set_current_details(
            f"**Refund {self._refund_id}** of {plan.pay_id or 'an unknown pay order'}: `{self._state}`, {doing}.\n\n"
            f"- {plan.cash_minor} minor units at `{plan.channel_id or 'nobody'}` under the number `{plan.refund_no}`"
        )
