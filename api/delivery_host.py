"""Speaking to the workflow that delivers a line: start it where it is missing, tell it, ask of it what people want."""

from __future__ import annotations

from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.fulfilment_messages import Corrected, CorrectWaybill, UnitReport
from api.order_host import RPC_TIMEOUT, refused
from domain.errors import Refused
from workflows.deliveries import DeliveryWorkflow, HostDelivery, UnitDecision, delivery_workflow_id
from workflows.orders import ORDER_TASK_QUEUE


async def tell_delivery(client: Client, report: UnitReport) -> None:
    """Hand a carrier's news to the line's delivery; one that has ended, or was lost, begins again from its rows."""
    await client.start_workflow(
        DeliveryWorkflow.run,
        HostDelivery(report.order_no, report.line_no),
        id=delivery_workflow_id(report.order_no, report.line_no),
        task_queue=ORDER_TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal="tracked",
        start_signal_args=[report],
        rpc_timeout=RPC_TIMEOUT,
    )


async def deliver_again(client: Client, order_no: int, line_no: int) -> None:
    """Start the delivery of a line that has lost its workflow; one that runs is left alone."""
    await client.start_workflow(
        DeliveryWorkflow.run,
        HostDelivery(order_no, line_no),
        id=delivery_workflow_id(order_no, line_no),
        task_queue=ORDER_TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        rpc_timeout=RPC_TIMEOUT,
    )


async def correct(client: Client, correction: CorrectWaybill, *, update_id: str) -> int:
    """Correct a waybill; the unit's new version. Raises Refused."""
    answer: Corrected = await _update(
        client, correction.order_no, correction.line_no, "correct", correction, Corrected, update_id
    )
    if answer.refusal is not None:
        raise Refused(answer.refusal)
    return answer.version


async def decide(client: Client, order_no: int, line_no: int, decision: UnitDecision, *, update_id: str) -> str:
    """An operator's word on a unit; its state afterwards. Raises Refused."""
    state: str = await _update(client, order_no, line_no, "decide", decision, str, update_id)
    return state


async def _update(
    client: Client, order_no: int, line_no: int, name: str, message: object, result: type[Any], update_id: str
) -> Any:
    """An update of the line's delivery, which is started from its rows where none is running."""
    start = WithStartWorkflowOperation(
        DeliveryWorkflow.run,
        HostDelivery(order_no, line_no),
        id=delivery_workflow_id(order_no, line_no),
        task_queue=ORDER_TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    try:
        return await client.execute_update_with_start_workflow(
            name,
            message,
            start_workflow_operation=start,
            id=update_id,
            result_type=result,
            rpc_timeout=RPC_TIMEOUT,
        )
    except WorkflowUpdateFailedError as failed:
        raise refused(failed) from failed
