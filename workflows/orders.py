"""`OrderWorkflow`: hosts the process of one order, and is the order's only writer while it is in motion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from temporalio import workflow

from activities.order_messages import LineDecision, OrderStanding, PlaceAnswer, ReviewDecision, SupplierReport
from activities.payment_messages import PayOrderMessage
from workflows.negotiation import HistoryFull
from workflows.order_ids import HostOrder
from workflows.order_process import OrderProcess
from workflows.refusals import refusals

ORDER_TASK_QUEUE = "tessera"
"""Where every worker takes orders and what runs beside them."""

PLACE_UPDATE_ID = "place"
"""The one id of the update that places: sent again with it, the first answer comes back."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """`wait_s`: how long the answer may wait for the outcome, in seconds."""

    actor: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Cancel:
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Extend:
    """`by_s`: until when from now, in seconds."""

    actor: str
    by_s: int


@workflow.defn
class OrderWorkflow:
    """One order, readable in the Temporal UI like a page."""

    @workflow.init
    def __init__(self, order: HostOrder) -> None:
        self._process = OrderProcess(order.order_no, workflow.info().workflow_id)

    @workflow.run
    async def run(self, order: HostOrder) -> str:
        """The order's whole life; its result is the status it rests in."""
        try:
            await self._to_the_end(asyncio.create_task(self._process.run()))
        except HistoryFull:
            self._process.stand_aside()
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(order)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return str(self._process.status)

    async def _to_the_end(self, story: asyncio.Task[None]) -> None:
        """A cancellation from the Temporal UI asks to cancel the order; it never cuts a step in two."""
        while not story.done():
            try:
                await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.cancelled():
                    raise
                self._process.ask_to_cancel("operator/temporal-ui", "canceled in the Temporal UI")
        story.result()

    @workflow.update(description="Answer what became of placing: locked, parked for review, or refused and why.")
    async def place(self) -> PlaceAnswer:
        return await self._process.placed()

    @workflow.update(description="Confirm on account and wait a moment for the outcome.")
    async def confirm(self, message: Confirm) -> OrderStanding:
        with refusals():
            return await self._process.confirm(message.actor, message.wait_s)

    @confirm.validator
    def _validate_confirm(self, message: Confirm) -> None:
        _refuse_unless(self._process.may_confirm)

    @workflow.update(description="Its buyer's money is there: begin issuing.")
    async def pay(self, message: PayOrderMessage) -> OrderStanding:
        with refusals():
            return await self._process.pay(message)

    @workflow.signal(description="A payment that it waited for has ended without money.")
    async def payment_ended(self, pay_id: str) -> None:
        self._process.payment_ended(pay_id)

    @workflow.update(description="Cancel before issuing begins; everything held is given back.")
    async def cancel(self, message: Cancel) -> OrderStanding:
        with refusals():
            return await self._process.cancel(message.actor, message.reason)

    @cancel.validator
    def _validate_cancel(self, message: Cancel) -> None:
        _refuse_unless(self._process.may_cancel)

    @workflow.update(description="Let the hold run on, up to the ceiling.")
    async def extend(self, message: Extend) -> OrderStanding:
        with refusals():
            return await self._process.extend(message.actor, message.by_s)

    @extend.validator
    def _validate_extend(self, message: Extend) -> None:
        _refuse_unless(self._process.may_extend)

    @workflow.update(description="Approve or deny an order that a risk rule has parked.")
    async def review(self, decision: ReviewDecision) -> OrderStanding:
        with refusals():
            return await self._process.review(decision)

    @review.validator
    def _validate_review(self, decision: ReviewDecision) -> None:
        _refuse_unless(self._process.may_review)

    @workflow.update(description="Decide an escalated line: `issued` (found at the supplier) or `give_up` (refund).")
    async def decide(self, decision: LineDecision) -> OrderStanding:
        with refusals():
            return await self._process.decide(decision)

    @decide.validator
    def _validate_decide(self, decision: LineDecision) -> None:
        _refuse_unless(lambda: self._process.may_decide(decision))

    @workflow.signal(description="A supplier told us unasked what became of a booking.")
    async def supplier_reported(self, report: SupplierReport) -> None:
        await self._process.supplier_reported(report)

    @workflow.query(description="Where the order stands.")
    def standing(self) -> OrderStanding:
        return self._process.standing()


def _refuse_unless(rule: Callable[[], None]) -> None:
    with refusals():
        rule()
