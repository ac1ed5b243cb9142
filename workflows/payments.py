"""`PaymentWorkflow`: one pay order, from its opening until its money is used, given back, or certain not to come.

It knows nothing that the rows don't, so it may begin anew at any time: a callback that comes after it has ended, or
after a crash, starts it again. Whatever it hears (reply, callback, query) goes through one judgement in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from temporalio import workflow

from activities.channels import ChannelActivities
from activities.charges import ChargeActivities
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
    OpenPayment,
    PayAnswer,
    PaymentPlan,
    PayStanding,
    PlannedPart,
    RestPayment,
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
from workflows.execution import at_channel, durably
from workflows.last_look import Doubt, LastLook
from workflows.money_back import begin_refund
from workflows.payment_ids import HostPayment
from workflows.payment_uses import PaymentUses
from workflows.refusals import refusals
from workflows.silence import Silence

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Ending:
    """It is to be closed at its channel; unless it turns out paid, it ends so. `never_there`: the channel would not
    have it, so there is nothing to be closed."""

    status: Literal["failed", "closed"]
    reason: str
    actor: str = "system"
    never_there: bool = False


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
        self._opened = self._creating = self._named = False
        self._doubt = Doubt()
        self._gone: set[int] = set()
        self._paid_at: datetime | None = None
        self._silence: Silence | None = None
        self._uses = PaymentUses(payment.pay_id)
        self._mutex = asyncio.Lock()

    @workflow.run
    async def run(self, payment: HostPayment) -> str:
        """The pay order's story; its result is the status it rests in, or `unknown` where it is not ours."""
        ours = await self._open()
        if ours and self._undecided:
            await self._until_decided()
        if not ours:
            await workflow.wait_condition(workflow.all_handlers_finished)
            return "unknown"
        await self._silence_ends()
        look = asyncio.create_task(self._last_look().take()) if payment.look else None
        while True:
            await self._use_money()
            await workflow.wait_condition(workflow.all_handlers_finished)
            if look is not None:
                await self._until_looked(look)
            if not self._to_be_used():
                await durably(PaymentActivities.rest_payment, RestPayment(self._pay_id, workflow.now()))
                if workflow.all_handlers_finished() and not self._to_be_used():  # nothing was told meanwhile
                    return str(self._status)

    # --- opening -----------------------------------------------------------------------------------------------

    async def _open(self) -> bool:
        """Check it and hold what it uses, or read it as it stands. False: there is nothing of ours to do."""
        opened = await durably(PaymentActivities.open_payment, OpenPayment(self._pay_id, workflow.now()))
        self._opened = True
        if opened.plan is None:
            refusal = opened.refusal or Refusal("payment_not_found", "There is no such payment.")
            self._status = PayStatus.FAILED
            self._answer = PayAnswer(self._status, refusal=refusal)
            return False
        plan = self._plan = opened.plan
        self._status, self._parts, self._paid_at = plan.status, plan.parts, plan.paid_at
        self._named = plan.named
        self._silence = Silence(
            self._pay_id, "payment_undecided", plan.channel_id, plan.alarm_s, plan.alarms, pay_id=self._pay_id
        )
        if self._status is not PayStatus.CREATED:
            failed = self._status is PayStatus.FAILED
            refusal_of = Refusal.of(PaymentDeclined(plan.reason)) if failed else None
            self._answer = PayAnswer(self._status, refusal_of)
        self._show()
        return True

    # --- until it is paid, failed or closed --------------------------------------------------------------------

    @property
    def _undecided(self) -> bool:
        return self._status in UNDECIDED

    async def _until_decided(self) -> None:
        """The channel is asked to let the payer pay, and what became of it; what it tells by itself comes in beside."""
        plan = self._required_plan()
        if not plan.channel_id:
            message = OpenPayment(self._pay_id, workflow.now())
            await self._take_booked(await durably(ChargeActivities.use_balances, message))
            return
        creating = asyncio.create_task(self._create()) if self._status is PayStatus.CREATED else None
        while self._undecided:
            await self._pause()
            if self._undecided and self._ending is not None:
                await self._close()
            elif self._undecided:
                self._asked += 1
                answer = await self._unless_decided(self._query())
                await self._heed(answer)
            await self._begin_anew_when_long()
        if creating is not None:
            await creating

    async def _create(self) -> None:
        """Repeated with the same reference until the answer is clear: the channel makes it once."""
        self._creating, tries, perhaps_there = True, 0, self._required_plan().again
        while self._status is PayStatus.CREATED and self._ending is None:
            answer = await self._unless_decided(self._call_create())
            if isinstance(answer, Created):
                message = AwaitPayer(self._pay_id, workflow.now(), answer.channel_reference)
                self._named = bool(answer.channel_reference)
                await durably(PaymentActivities.await_payer, message)
                if self._status is PayStatus.CREATED:
                    self._status = PayStatus.PENDING
                self._answer = self._answer or PayAnswer(self._status)
                self._show()
            elif isinstance(answer, Declined):
                self._ending = self._ending or Ending("failed", answer.code, never_there=not perhaps_there)
            elif answer is not None:
                perhaps_there = perhaps_there or isinstance(answer, Unclear)
                pause = timedelta(seconds=self._required_plan().schedule.interval_s(tries))
                with suppress(TimeoutError):
                    await workflow.wait_condition(
                        lambda: not self._undecided or self._ending is not None, timeout=pause,
                        timeout_summary="create it again, under the same reference",
                    )  # fmt: skip
            tries += 1
        self._creating = False

    async def _pause(self) -> None:
        """Until it is decided, somebody wants it closed, or the channel's schedule says to ask."""
        ending, asked = self._ending, self._asked
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: not self._undecided or self._ending is not ending,
                timeout=timedelta(seconds=self._pause_s()),
                timeout_summary="close it at the channel" if ending else f"ask the channel, question {asked + 1}",
            )
        if self._ending is None and workflow.now() >= self._required_plan().expires_at:
            self._ending = Ending("closed", "expired")

    def _pause_s(self) -> float:
        plan = self._required_plan()
        if self._ending is not None:  # at once; then only an unclear answer is asked about
            return plan.schedule.interval_s(self._closes - 1) if self._closes else 0
        left_s = max((plan.expires_at - workflow.now()).total_seconds(), 0)
        return min(plan.schedule.interval_s(self._asked), left_s)

    async def _close(self) -> None:
        """*Paid* wins, if it is what was asked; *closed* ends it; while the answer is unclear its orders wait, and a
        person hears of it.

        *Not known* proves nothing as long as it may still be on its way there, and for a while after the channel has
        named it: one that forgets may remember.
        """
        ending = self._ending
        assert ending is not None
        if ending.never_there:
            await self._end_unpaid(ending)
            return
        self._closes += 1
        on_its_way = self._creating
        answer = await self._unless_decided(self._call_close())
        if isinstance(answer, Paid):
            await self._book(self._required_plan().channel_id, answer.charges)
            if self._undecided:  # what came is not what was asked: a person has it, and no more can be paid there
                await self._end_unpaid(ending)
        elif isinstance(answer, Closed) or (isinstance(answer, NotKnown) and not on_its_way and self._is_forgotten()):
            await self._end_unpaid(ending)
        elif isinstance(answer, Unpaid | PaymentFailed | NotKnown):
            await self._required_silence().goes_on()
        else:
            await self._heed(answer)

    def _is_forgotten(self) -> bool:
        """Whether *not known* is believed: at once of what the channel never named, else when it says so for long."""
        return self._doubt.is_over() or not self._named

    async def _end_unpaid(self, ending: Ending) -> None:
        """Nobody can pay it any more. What was paid, if anything, is no payment of it, and a person has been told."""
        async with self._mutex:
            if self._undecided:
                message = EndUnpaid(self._pay_id, workflow.now(), ending.status, ending.reason, ending.actor)
                await self._take_booked(await durably(PaymentActivities.end_unpaid, message))
        await self._silence_ends()

    async def _heed(self, answer: PaymentAnswer | None) -> None:
        """An answer to a question of ours; None: it was decided before that came."""
        if isinstance(answer, Paid):
            await self._book(self._required_plan().channel_id, answer.charges)
        elif isinstance(answer, Unclear | NotReachable):
            await self._required_silence().goes_on()
        elif answer is not None:
            self._named = self._named or isinstance(answer, Unpaid | PaymentFailed)
            self._end_as(answer)
            await self._silence_ends()

    def _end_as(self, answer: PaymentAnswer) -> None:
        """A *no* is certain only when it is closed at the channel: until then its payer may try again, and succeed."""
        if isinstance(answer, PaymentFailed):
            self._ending = self._ending or Ending("failed", answer.code)
        elif isinstance(answer, Closed):
            self._ending = self._ending or Ending("closed", "closed_by_channel")

    async def _take_in(self, report: ChannelReport) -> None:
        """What the channel told us unasked."""
        told = report.told
        if isinstance(told.answer, Paid):
            await self._book(report.channel_id, told.answer.charges)
        elif self._undecided:
            self._end_as(told.answer)
        elif self._plan is not None:
            await self._weigh(told)

    async def _weigh(self, told: PaymentTold) -> None:
        """A *no* after the money came: an older attempt's is no news, anything else is the channel against itself."""
        answer = told.answer
        is_older = isinstance(answer, PaymentFailed) and answer.at and self._paid_at and answer.at <= self._paid_at
        unpaid = self._status in (PayStatus.FAILED, PayStatus.CLOSED)
        if unpaid or is_older or not isinstance(answer, PaymentFailed | Closed):
            return
        message = NoteContradiction(self._pay_id, workflow.now(), told.event_id, answer.kind)
        await durably(ChargeActivities.note_contradiction, message)

    async def _book(self, channel_id: str, charges: tuple[Charge, ...]) -> None:
        async with self._mutex:
            message = BookCharges(self._pay_id, workflow.now(), channel_id, charges)
            await self._take_booked(await durably(ChargeActivities.book_charges, message))
        await self._silence_ends()

    async def _take_booked(self, booked: Booked) -> None:
        """Where it stands now; what was too much goes back."""
        if self._plan is not None:
            self._status, self._parts, self._paid_at = booked.status, booked.parts, booked.paid_at
            if not self._undecided and self._answer is None:
                refused = self._status in (PayStatus.FAILED, PayStatus.CLOSED)
                code = self._ending.reason if self._ending else str(self._status)
                self._answer = PayAnswer(self._status, refusal=Refusal.of(PaymentDeclined(code)) if refused else None)
            self._show()
        for refund_id in booked.refunds:
            await begin_refund(refund_id)

    def _last_look(self) -> LastLook:
        plan = self._required_plan()
        return LastLook(
            self._pay_id, plan.schedule, self._query, lambda paid: self._book(plan.channel_id, paid.charges)
        )

    async def _until_looked(self, look: asyncio.Task[None]) -> None:
        """Or until there is money to be used, which does not wait for a channel that says nothing."""
        await workflow.wait_condition(lambda: look.done() or bool(self._to_be_used()))
        if look.done():
            await look

    # --- the money is there: what does it buy? -----------------------------------------------------------------

    def _to_be_used(self) -> list[PlannedPart]:
        """Orders of a paid pay order for which nothing has been done with its money yet."""
        paid = self._status not in (*UNDECIDED, PayStatus.FAILED, PayStatus.CLOSED)
        return [part for part in self._parts if paid and part.state in ("open", "released")]

    async def _use_money(self) -> None:
        """Every order it was for has it, or its share goes back; where none came, nobody waits for it any more."""
        if self._status in (PayStatus.FAILED, PayStatus.CLOSED):
            for part in self._parts:
                await self._uses.let_go(part)
        while parts := self._to_be_used():
            for part in parts:
                await self._uses.use(part)
                self._parts = tuple(replace(each, state="done") if each == part else each for each in self._parts)
        for refund_id in self._required_plan().refunds:  # what an earlier run of this had begun to give back
            await begin_refund(refund_id)

    # --- the channel -------------------------------------------------------------------------------------------

    async def _unless_decided(self, call: Coroutine[Any, Any, A]) -> A | None:
        """The channel's answer; None where it was decided meanwhile by what it told us: nobody waits for that."""
        task = asyncio.create_task(call)
        await workflow.wait_condition(lambda: task.done() or not self._undecided)
        if task.done():
            return task.result()
        task.cancel()
        return None

    async def _call_create(self) -> CreateAnswer:
        plan = self._required_plan()
        doing = f"let the payer pay {plan.cash_minor} at {plan.channel_id}"
        return await self._call(ChannelActivities.create_at_channel, doing)

    async def _query(self) -> PaymentAnswer:
        doing = f"ask {self._required_plan().channel_id} whether it is paid"
        return await self._call(ChannelActivities.query_channel, doing)

    async def _call_close(self) -> PaymentAnswer:
        return await self._call(ChannelActivities.close_at_channel, f"close it at {self._required_plan().channel_id}")

    async def _call(self, step: Callable[[Any, CallChannel], Awaitable[A]], doing: str) -> A | Unclear:
        plan = self._required_plan()
        message = CallChannel(plan.channel_id, self._pay_id, plan.call_timeout_s)
        return await at_channel(step, message, channel_id=plan.channel_id, timeout_s=plan.call_timeout_s, summary=doing)

    # --- what others say ---------------------------------------------------------------------------------------

    @workflow.update(description="Answer the payer: what to do now, or why this cannot be paid.")
    async def begin(self) -> PayAnswer:
        await workflow.wait_condition(lambda: self._answer is not None)
        assert self._answer is not None
        return self._answer

    @workflow.update(description="Close it at the channel, unless it is paid already.")
    async def cancel(self, message: CancelPayment) -> PayStanding:
        await workflow.wait_condition(lambda: self._opened)
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
        returned = await durably(ChargeActivities.decide_charge, message)
        if returned.refund_id is not None:
            await begin_refund(returned.refund_id)
        return self.standing()

    @workflow.signal(description="The channel told us unasked what became of it.")
    async def channel_reported(self, report: ChannelReport) -> None:
        await workflow.wait_condition(lambda: self._opened)
        await self._take_in(report)

    @workflow.signal(description="One of its orders was canceled.")
    async def order_gone(self, order_no: int) -> None:
        self._gone.add(order_no)
        await workflow.wait_condition(lambda: self._opened)
        if self._plan is not None and all(part.order_no in self._gone for part in self._plan.parts):
            self._ending = self._ending or Ending("closed", "order_canceled")

    @workflow.query(description="Where the pay order stands.")
    def standing(self) -> PayStanding:
        return PayStanding(self._pay_id, self._status, self._ending.reason if self._ending else "")

    # --- small parts -------------------------------------------------------------------------------------------

    async def _begin_anew_when_long(self) -> None:
        """A pay order whose channel stays silent for weeks begins anew from its rows."""
        if self._undecided and workflow.info().is_continue_as_new_suggested() and workflow.all_handlers_finished():
            workflow.continue_as_new(HostPayment(self._pay_id))

    def _required_silence(self) -> Silence:
        assert self._silence is not None, "the pay order is open"
        return self._silence

    async def _silence_ends(self) -> None:
        if self._silence is not None:
            await self._silence.ends()

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
