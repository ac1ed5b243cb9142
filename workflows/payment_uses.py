"""What a pay order's money buys: each of its orders, another in its place, or nothing, and then it goes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

from activities.order_telling import OrderTelling
from activities.payment_messages import OrderServed, PlannedPart, ReturnPart, ReviveOrder, ServeOrder
from activities.payments import PaymentActivities
from workflows.execution import durably, tell_order
from workflows.money_back import begin_refund
from workflows.order_runs import order_runs


@dataclass(frozen=True, slots=True)
class PaymentUses:
    """The parts of one pay order. Everything may be done twice: the rows say what was done."""

    pay_id: str

    async def use(self, part: PlannedPart) -> None:
        """The money is there: its order is issued for it, or another in its place, or its share goes back."""
        if part.state == "open":
            await self._serve(part)
        else:
            await self._return(part, "paid_otherwise")

    async def let_go(self, part: PlannedPart) -> None:
        """No money came: an order that has run out and was kept for it need not wait any more."""
        await tell_order(
            OrderTelling.let_order_go,
            ServeOrder(self.pay_id, part.order_no, part.order_no),
            summary=f"tell order {part.order_no:019d} that no money came",
        )

    async def _serve(self, part: PlannedPart) -> None:
        target_no = part.successor_no or part.order_no
        served = await self._tell(part.order_no, target_no)
        if served.outcome == "gone" and target_no == part.order_no:
            message = ReviveOrder(self.pay_id, part.order_no, workflow.now(), served.why)
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
                ServeOrder(self.pay_id, order_no, target_no),
                summary=f"tell order {target_no:019d} that it is paid",
            )
            if served.outcome != "no_host":
                return served
            await order_runs(target_no, summary=f"Order {target_no:019d}, in the place of {order_no:019d}")
            await workflow.sleep(timedelta(seconds=1), summary="the order opens")

    async def _return(self, part: PlannedPart, why: str) -> None:
        message = ReturnPart(self.pay_id, part.order_no, workflow.now(), why)
        returned = await durably(PaymentActivities.return_part, message)
        if returned.refund_id is not None:
            await begin_refund(returned.refund_id)
