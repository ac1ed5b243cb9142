"""Speaking to the workflow that hosts an order: start it, hand it what a caller wants, and read its *no*.

A time-out means *unknown*: the same call with the same ids is safe, and is what a repetition of the request does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.order_messages import OrderStanding, PlaceAnswer, SupplierReport
from domain.errors import Refusal, Refused
from workflows.order_ids import HostOrder, order_workflow_id
from workflows.orders import ORDER_TASK_QUEUE, PLACE_UPDATE_ID, OrderWorkflow

A = TypeVar("A")

DISTRIBUTOR = SearchAttributeKey.for_keyword("Distributor")
RPC_TIMEOUT = timedelta(seconds=10)
DROPPED_PAUSE_S = 0.05


class Undecided(Exception):
    """No answer in time: what was asked may or may not have happened, and is safe to ask again."""


class HostMissing(Exception):
    """No running workflow hosts the order."""


async def place(client: Client, order_no: int, *, distributor_id: str, title: str, timeout_s: float) -> PlaceAnswer:
    """Start the order's workflow and wait for its first answer, in one call. Raises Undecided after `timeout_s`."""
    try:
        async with patience(timeout_s):
            try:
                return await _place(client, order_no, _looks(order_no, distributor_id, title), timeout_s, again=False)
            except (WorkflowAlreadyStartedError, WorkflowUpdateFailedError):
                # Its workflow has ended without this answer (somebody terminated it): the rows make a new one safe.
                looks = _looks(order_no, distributor_id, "restarted")
                return await _place(client, order_no, looks, timeout_s, again=True)
    except WorkflowUpdateFailedError as failed:
        raise Undecided from failed


async def _place(client: Client, order_no: int, looks: dict[str, Any], timeout_s: float, *, again: bool) -> PlaceAnswer:
    reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE if again else WorkflowIDReusePolicy.REJECT_DUPLICATE

    async def send() -> PlaceAnswer:  # whole, since the library uses up an operation with its first sending
        start = WithStartWorkflowOperation(
            OrderWorkflow.run,
            HostOrder(order_no),
            id=order_workflow_id(order_no),
            task_queue=ORDER_TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=reuse,
            **looks,
        )
        answer: PlaceAnswer = await client.execute_update_with_start_workflow(
            "place",
            start_workflow_operation=start,
            id=PLACE_UPDATE_ID,
            result_type=PlaceAnswer,
            rpc_timeout=timedelta(seconds=timeout_s),
        )
        return answer

    return await until_taken(send)


@asynccontextmanager
async def patience(timeout_s: float) -> AsyncIterator[None]:
    """Whatever the client library waits for, it is `timeout_s` at most, and then nothing is known: Undecided."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as late:
        raise Undecided from late
    except RPCError as error:
        if error.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
            raise Undecided from error
        raise


async def until_taken(send: Callable[[], Awaitable[A]]) -> A:
    """Send an update again where the server dropped it, together with a task of the workflow that did not count: it was
    about to end when something else came in. Its id makes that safe; to be used with `patience`."""
    while True:
        try:
            return await send()
        except RPCError as error:
            if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
            await asyncio.sleep(DROPPED_PAUSE_S)


async def host_again(client: Client, order_no: int, *, distributor_id: str, workflow_id: str) -> None:
    """Start a workflow for an order that has lost its own: it reads the order's rows and goes on from there."""
    await client.start_workflow(
        OrderWorkflow.run,
        HostOrder(order_no),
        id=workflow_id,
        task_queue=ORDER_TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        rpc_timeout=RPC_TIMEOUT,
        **_looks(order_no, distributor_id, "restarted"),
    )


def _looks(order_no: int, distributor_id: str, title: str) -> dict[str, Any]:
    return {
        "search_attributes": TypedSearchAttributes([SearchAttributePair(DISTRIBUTOR, distributor_id)]),
        "static_summary": f"Order {order_no:019d} of {distributor_id}: {title}",
        "priority": Priority(priority_key=3, fairness_key=distributor_id),
    }


async def ask_host(
    client: Client, workflow_id: str, update: Any, message: object, *, update_id: str, timeout_s: float
) -> OrderStanding:
    """Send an update to the order's workflow. Raises Refused (its no), HostMissing, Undecided."""
    handle = client.get_workflow_handle(workflow_id)
    async with patience(timeout_s):
        try:
            standing: OrderStanding = await until_taken(
                lambda: handle.execute_update(update, message, id=update_id, rpc_timeout=timedelta(seconds=timeout_s))
            )
            return standing
        except WorkflowUpdateFailedError as failed:
            raise refused(failed) from failed
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise HostMissing(workflow_id) from error
            raise


async def tell_host(client: Client, workflow_id: str, report: SupplierReport) -> None:
    """Hand a supplier's report to the order's workflow. Raises HostMissing."""
    try:
        await client.get_workflow_handle(workflow_id).signal(
            OrderWorkflow.supplier_reported, report, rpc_timeout=RPC_TIMEOUT
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise HostMissing(workflow_id) from error
        raise


def refused(failed: WorkflowUpdateFailedError) -> Exception:
    """The fact behind a failed update. An update that failed because its workflow ended has no host any more."""
    cause = failed.cause
    if not isinstance(cause, ApplicationError):
        return HostMissing(str(cause))
    if cause.type == "AcceptedUpdateCompletedWorkflow":
        return HostMissing(cause.message)
    facts: Mapping[str, Any] = cause.details[0] if cause.details else {}
    return Refused(Refusal(cause.type or "refused", cause.message, dict(facts)))
