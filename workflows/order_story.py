"""The story of one order: placed, locked, confirmed, issued, and everything that can go wrong on the way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ChildWorkflowError

from activities.issuance import IssuanceActivities
from activities.order_messages import (
    ApproveOrder,
    CancelOrder,
    ConfirmOrder,
    HoldPromotions,
    HoldStock,
    OpenOrder,
    OrderPlan,
    PlaceAnswer,
    ReadMoney,
    RecordLock,
    RefuseOrder,
    ReviewDecision,
)
from activities.orders import OrderActivities
from activities.promotions import PromotionActivities
from domain.errors import Refusal
from domain.orders import AT_REST, OrderStatus, status_of
from domain.payments import Pays
from domain.placing import ReviewDenied
from workflows.execution import durably
from workflows.fulfilments import LineFulfilment
from workflows.locking import SupplierLocks
from workflows.money_back import begin_refund, order_gone
from workflows.order_page import render_page
from workflows.policies import PAID_LATE_LOOK, REFUND_LOOK
from workflows.releases import Release
from workflows.reviews import review_case, review_outcome


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a locked (or still pending) order; the first wish wins. `pay_id`: whose money is there."""

    kind: Literal["confirm", "pay", "cancel"]
    actor: str
    reason: str = ""
    pay_id: str = ""


class _RowsAhead(Exception):
    """The rows are further than the process: it has lost its latest steps, and goes on from what they say."""


class OrderStory:
    """One order from its claim to rest: `run` tells it. What callers want of it comes in through OrderProcess."""

    def __init__(self, order_no: int, host_workflow_id: str) -> None:
        self._order_no = order_no
        self._host = host_workflow_id
        self._plan: OrderPlan | None = None
        self._lines: dict[int, LineFulfilment] = {}
        self._locks: SupplierLocks | None = None
        self._answer: PlaceAnswer | None = None
        self._wish: Wish | None = None
        self._review: ReviewDecision | None = None
        self._locked_at: datetime | None = None
        self._expires_at: datetime | None = None
        self._gone: list[LineFulfilment] = []
        self._waits_for_review = False
        self._kept_for = ""
        self._unusable: set[str] = set()
        self._undoing = False
        self._standing_aside = False
        self._mutex = asyncio.Lock()
        self.status = OrderStatus.PENDING

    async def run(self) -> None:
        """The story of an order; told again from the rows where they are further than the process knew."""
        while True:
            try:
                return await self._story()
            except _RowsAhead:
                workflow.logger.warning("order %s: the rows are ahead of the process", self._order_no)
                self._wish = None

    async def _story(self) -> None:
        """Placed, locked, confirmed, issued: each step only if the last one led on to it."""
        if not await self._open():
            return
        if self.status is OrderStatus.PENDING and not await self._lock():
            return
        if self.status is OrderStatus.LOCKED and not await self._wait_for_confirmation():
            return
        await self._issue()

    # --- opening and locking -----------------------------------------------------------------------------------

    async def _open(self) -> bool:
        """Check and record the order, or read it as it stands when its process has been lost. False: nothing to do."""
        opened = await durably(OrderActivities.open_order, OpenOrder(self._order_no, self._host, workflow.now()))
        if opened.plan is None:
            refusal = opened.refusal or Refusal("refused", "The order was refused.")
            self._move(OrderStatus.REJECTED)
            self._answer = self._answer or PlaceAnswer(refusal=refusal)
            return False
        plan = self._plan = opened.plan
        self._lines = {line.line_no: LineFulfilment(self._order_no, line, self._show) for line in plan.lines}
        self._locked_at, self._expires_at = plan.locked_at, plan.hold_expires_at
        self.status = plan.status
        self._show()
        if self.status is not OrderStatus.PENDING:
            self._answer = self._answer or PlaceAnswer(facts={"order_no": self._order_no, "status": str(self.status)})
        if self.status in AT_REST:
            await self._finish_releases()
            return False
        return True

    async def _lock(self) -> bool:
        """Hold promotions, stock and seats, or nothing. The no is answered before anything is undone at suppliers."""
        plan = self._required_plan()
        if plan.in_review and not await self._reviewed(plan):
            return False
        refusal = (
            await self._hold_promotions(plan) or await self._hold_stock(plan) or await self._hold_at_suppliers(plan)
        )
        if refusal is not None:
            await self._refuse(refusal)
        elif self._wish is not None and self._wish.kind == "cancel":
            await self._cancel(self._wish.reason, self._wish.actor, expired=False)
        else:
            await self._record_lock(plan)
            return True
        await self._undo_at_suppliers()
        return False

    async def _reviewed(self, plan: OrderPlan) -> bool:
        """Parked: wait for an operator, or the buyer's cancel, until the review's deadline."""
        self._answer = self._answer or PlaceAnswer(
            facts={"order_no": self._order_no, "status": "pending", "in_review": True}
        )
        await durably(IssuanceActivities.open_exception, review_case(self._order_no, workflow.now()))
        self._waits_for_review = True
        self._show()
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._review is not None or self._wish is not None,
                timeout=timedelta(seconds=plan.review_s),
                timeout_summary="risk review expires",
            )
        self._waits_for_review = False
        decision, wish = self._review, self._wish
        if decision is None and wish is None:
            decision = self._review = ReviewDecision(False, "nobody reviewed it in time", "system")
        message = review_outcome(self._order_no, workflow.now(), decision, wish.actor if wish else "system")
        await durably(IssuanceActivities.resolve_exception, message)
        if decision is None:
            assert wish is not None
            await self._cancel(wish.reason, wish.actor, expired=False)
            return False
        if not decision.approve:
            await self._refuse(Refusal.of(ReviewDenied(decision.reason)), actor=decision.actor)
            return False
        approval = ApproveOrder(self._order_no, workflow.now(), decision.reason, decision.actor)
        await durably(OrderActivities.approve_order, approval)
        return True

    async def _hold_promotions(self, plan: OrderPlan) -> Refusal | None:
        if not plan.promotions:
            return None
        return await durably(PromotionActivities.hold_promotions, HoldPromotions(self._order_no, workflow.now()))

    async def _hold_stock(self, plan: OrderPlan) -> Refusal | None:
        if all(line.stock_policy == "none" for line in plan.lines):
            return None
        now = workflow.now()
        message = HoldStock(self._order_no, now, now + timedelta(seconds=plan.lock_s))
        return await durably(OrderActivities.hold_stock, message)

    async def _hold_at_suppliers(self, plan: OrderPlan) -> Refusal | None:
        lines = [self._lines[line.line_no] for line in plan.lines if line.offers and line.offers[0].lock]
        needing = [line.whole for line in lines if line.whole is not None]
        if not needing:
            return None
        self._locks = SupplierLocks(self._order_no, hold_minutes=-(-plan.lock_s // 60))
        return await self._locks.lock(needing)

    async def _record_lock(self, plan: OrderPlan) -> None:
        now = workflow.now()
        expires_at = now + timedelta(seconds=plan.lock_s)
        held = self._locks.held if self._locks else []
        if self._locks and self._locks.expires_at:
            expires_at = min(expires_at, self._locks.expires_at)
        message = RecordLock(self._order_no, now, expires_at, tuple(held))
        answer = await durably(OrderActivities.record_lock, message)
        if answer.ahead:
            raise _RowsAhead
        self._locked_at, self._expires_at = now, expires_at
        self._move(OrderStatus.LOCKED)
        self._answer = self._answer or answer

    async def _refuse(self, refusal: Refusal, *, actor: str = "system") -> None:
        """Answer the no; what suppliers may hold is given back afterwards."""
        message = RefuseOrder(self._order_no, workflow.now(), refusal, actor)
        answer = await durably(OrderActivities.refuse_order, message)
        if answer.ahead:
            raise _RowsAhead
        self._move(OrderStatus.REJECTED)
        self._answer = self._answer or answer

    # --- waiting for the buyer ---------------------------------------------------------------------------------

    async def _wait_for_confirmation(self) -> bool:
        """Until confirmed, cancelled or expired, whichever comes first. True: issuing has begun.

        Where a buyer would have to pay, and there is nothing to pay, nobody is waited for.
        """
        if self._by_channel and self._required_plan().free:
            self._wish = self._wish or Wish("confirm", "system")
        while self.status is OrderStatus.LOCKED:
            await self._wait_for_wish_or_expiry()
            async with self._mutex:
                await self._heed_wish_or_expiry()
        if self.status is OrderStatus.CANCELED:
            await self._undo_at_suppliers()
            return False
        return True

    async def _wait_for_wish_or_expiry(self) -> None:
        """Until the buyer wants something, the hold has run out, or its end has been moved.

        One that has run out and is kept, since its payment is undecided, waits for that to be decided.
        """
        expires_at, kept_for = self._expires_at, self._kept_for
        assert expires_at is not None
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._wish is not None or self._expires_at != expires_at or self._kept_for != kept_for,
                timeout=PAID_LATE_LOOK if kept_for else max(expires_at - workflow.now(), timedelta()),
                timeout_summary="look whether its payment is decided" if kept_for else "the hold expires",
            )

    async def _heed_wish_or_expiry(self) -> None:
        wish = self._wish
        if wish is not None and wish.kind in ("confirm", "pay"):
            await self._confirm(wish)
        elif wish is not None:
            await self._cancel(wish.reason, wish.actor, expired=False)
        elif self._expires_at is not None and self._expires_at <= workflow.now():
            await self._cancel("expired", "system", expired=True)

    async def _cancel(self, reason: str, actor: str, *, expired: bool) -> None:
        """Give everything of ours back in one transaction; suppliers are asked to afterwards.

        What has only run out is kept while nobody knows whether its buyer has paid.
        """
        message = CancelOrder(self._order_no, workflow.now(), reason, expired, actor)
        if self._by_channel:
            done = await durably(OrderActivities.cancel_unpaid, message)
            if done.outcome == "kept":
                self._kept_for = done.pay_id
                return
            canceled, pay_id = done.outcome == "canceled", done.pay_id
        else:
            canceled, pay_id = await durably(OrderActivities.cancel_order, message), ""
        if not canceled:
            raise _RowsAhead
        if pay_id:
            await order_gone(pay_id, self._order_no)
        self._move(OrderStatus.CANCELED)
        refusal = Refusal("canceled", "The order was canceled while it waited.")
        self._answer = self._answer or PlaceAnswer(refusal=refusal)

    async def _undo_at_suppliers(self) -> None:
        """Give back what suppliers may hold, side by side, until that is certain."""
        self._undoing = True
        self._show()
        if self._locks is not None:
            await self._locks.undo()
        else:
            held = [line.held for line in self._lines.values() if line.held is not None]
            await asyncio.gather(*(Release.of(each, reason="not_confirmed", sure=True).run() for each in held))
        self._undoing = False
        self._show()

    async def _finish_releases(self) -> None:
        """At rest, and an earlier host of this order was still giving back, or about to have something delivered."""
        await asyncio.gather(*(line.finish_releases() for line in self._lines.values()))
        await asyncio.gather(*(line.deliver() for line in self._lines.values()))

    async def _confirm(self, wish: Wish) -> None:
        """The credit line or the buyer's money pays; what will be sent to suppliers is stored in that transaction."""
        intents = tuple(intent for line in self._lines.values() for intent in line.intents())
        apart = tuple(line.line_no for line in self._lines.values() if line.apart)
        message = ConfirmOrder(self._order_no, workflow.now(), wish.actor, intents, apart, wish.pay_id)
        confirmation = await durably(OrderActivities.confirm_order, message)
        if confirmation.unusable:
            self._unusable.add(wish.pay_id)
            self._wish = None
            return
        if confirmation.ahead:
            raise _RowsAhead
        for line_no, line in self._lines.items():
            gone = line_no in confirmation.gone
            line.confirmed(confirmation.parts.get(line_no, ()), gone=gone, money_due=gone and self._by_channel)
        self._gone = [self._lines[line_no] for line_no in confirmation.gone]
        self._move(status_of(line.status for line in self._lines.values()))

    # --- issuing -----------------------------------------------------------------------------------------------

    async def _issue(self) -> None:
        """Every line to a definite end, side by side; then, where it was agreed, all or nothing.

        There, what we hand out ourselves comes last: a code that somebody has seen can't be taken back.
        """
        holds = [line.held for line in self._gone if line.held is not None]
        releases = [asyncio.create_task(Release.of(each, reason="stock_gone", sure=True).run()) for each in holds]
        lines = list(self._lines.values())
        # What an earlier host of the order had brought to its end, but for the last of it.
        releases += [asyncio.create_task(line.finish_releases()) for line in lines]
        issuing = [line for line in lines if line.status is OrderStatus.ISSUING]
        last = [line for line in issuing if line.hands_out] if self._required_plan().all_or_nothing else []
        await asyncio.gather(
            *(line.run() for line in issuing if line not in last),
            *(line.deliver() for line in lines if line.status is OrderStatus.ISSUED),
        )
        forgone = any(line.failed for line in lines)
        await asyncio.gather(*(line.forgo() if forgone else line.run() for line in last))
        going_back = [line for line in lines if line.status is OrderStatus.REFUNDING and not line.money_due]
        if self._required_plan().all_or_nothing and any(line.failed for line in lines):
            going_back += [line for line in lines if line.status is OrderStatus.ISSUED]
        await asyncio.gather(*(line.take_back("all_or_nothing") for line in going_back))
        if any(line.money_due for line in lines):
            self._move(status_of(line.status for line in lines))
            await self._money_back()
        self._move(status_of(line.status for line in lines))
        await asyncio.gather(*(line.settled() for line in lines), *releases)

    async def _money_back(self) -> None:
        """Until every refund of the order has ended: its money is back, or waits for a person."""
        while True:
            standing = await durably(OrderActivities.read_money, ReadMoney(self._order_no))
            for line_no, status in standing.lines.items():
                self._lines[line_no].money_stands(status)
            self._show()
            if not standing.refunding:
                return
            await asyncio.gather(*(self._refunded(refund_id) for refund_id in standing.refunding))

    async def _refunded(self, refund_id: str) -> None:
        """Until the refund's process ends; one that somebody else has started is looked at again."""
        process = await begin_refund(refund_id)
        if process is None:
            await workflow.sleep(REFUND_LOOK, summary=f"look at {refund_id} again")
            return
        with suppress(ChildWorkflowError):  # somebody has ended it: the rows say how far it came
            await process

    # --- small parts -------------------------------------------------------------------------------------------

    def _move(self, status: OrderStatus) -> None:
        self.status = status
        for line in self._lines.values():
            if status in (OrderStatus.LOCKED, OrderStatus.CANCELED, OrderStatus.REJECTED):
                line.status = status
        self._show()

    def _show(self) -> None:
        """Keep the workflow's page in the Temporal UI up to date."""
        workflow.set_current_details(
            render_page(
                self._order_no, self.status, list(self._lines.values()), self._expires_at, undoing=self._undoing
            )
        )

    @property
    def _by_channel(self) -> bool:
        """Whether its buyer pays it, and no credit line."""
        return self._plan is not None and self._plan.pays == Pays.BY_CHANNEL

    def _required_plan(self) -> OrderPlan:
        assert self._plan is not None, "the order is open"
        return self._plan
