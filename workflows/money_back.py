"""Starting the processes that see to money on its way back to a buyer, from wherever it was asked for."""

from __future__ import annotations

from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowHandle, ParentClosePolicy

from workflows.channel_refunds import ChannelRefundWorkflow
from workflows.order_runs import order_runs
from workflows.payment_ids import HostRefund, payment_workflow_id, refund_workflow_id


async def begin_refund(refund_id: str) -> ChildWorkflowHandle[ChannelRefundWorkflow, str] | None:
    """The refund's own process; None where it runs already. It outlives whoever starts it."""
    try:
        return await workflow.start_child_workflow(
            ChannelRefundWorkflow.run,
            HostRefund(refund_id),
            id=refund_workflow_id(refund_id),
            parent_close_policy=ParentClosePolicy.ABANDON,
            static_summary=f"Refund {refund_id}",
        )
    except WorkflowAlreadyStartedError:
        return None


async def order_moves_again(order_no: int, refund_id: str | None) -> None:
    """An order at rest has money on its way back: its process runs again until that has arrived. None: on account."""
    if refund_id is None:
        return
    if not await order_runs(order_no, summary=f"Order {order_no:019d}, whose money goes back"):
        await begin_refund(refund_id)


async def order_gone(pay_id: str, order_no: int) -> None:
    """Tell a payment that one of its orders was canceled: if nothing is left to be paid, it may close at once.

    A hint: without it the payment ends with its time, and what comes until then goes back.
    """
    payment = workflow.get_external_workflow_handle(payment_workflow_id(pay_id))
    with suppress(ApplicationError):  # it has ended
        await payment.signal("order_gone", order_no)
