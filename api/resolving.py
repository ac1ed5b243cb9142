"""Starting what a decided case needs: one workflow per case, however often it is asked for."""

from __future__ import annotations

from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.deps import Parts
from api.order_host import RPC_TIMEOUT
from workflows.orders import ORDER_TASK_QUEUE
from workflows.resolutions import Resolution, ResolutionWorkflow, resolution_workflow_id


async def begin_resolution(parts: Parts, resolution: Resolution) -> None:
    """Start the case's workflow; one that ran or runs already is left alone."""
    if parts.temporal is None:
        raise RPCError("no Temporal is configured", RPCStatusCode.UNAVAILABLE, b"")
    try:
        await parts.temporal.start_workflow(
            ResolutionWorkflow.run,
            resolution,
            id=resolution_workflow_id(resolution.exception_id),
            task_queue=ORDER_TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"{resolution.action} of {resolution.reference} at {resolution.booking.supplier_id}",
            rpc_timeout=RPC_TIMEOUT,
        )
    except WorkflowAlreadyStartedError:
        return
