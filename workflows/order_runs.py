"""Starting an order's own process again, from whatever has to have it running."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from workflows.order_ids import HostOrder, order_workflow_id


async def order_runs(order_no: int, *, summary: str) -> bool:
    """It goes on from the order's rows, and outlives whoever starts it; False where it runs already."""
    try:
        await workflow.start_child_workflow(
            "OrderWorkflow",
            HostOrder(order_no),
            id=order_workflow_id(order_no),
            parent_close_policy=ParentClosePolicy.ABANDON,
            static_summary=summary,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True
