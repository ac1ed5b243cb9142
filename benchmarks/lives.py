"""One whole life: of an order over HTTP, and of the yardstick's workflow by the Temporal client."""

from __future__ import annotations

import asyncio
import secrets

from temporalio.client import WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from benchmarks.noop import TASK_QUEUE, NoopWorkflow
from benchmarks.plain_http import Reply
from benchmarks.world import Variant, World

CONFIRM_WAIT_S = 30


class NotAsExpected(Exception):
    """An answer that the benchmark's figures would be nothing worth with."""

    def __init__(self, what: str, reply: Reply) -> None:
        super().__init__(f"{what} answered {reply.status}: {reply.body[:500].decode(errors='replace')}")


async def place(world: World, variant: Variant) -> str:
    """Place an order; its number. An answer that came late (202) is asked for again by its own key, as buyers do."""
    key, body = secrets.token_hex(16), variant.order()
    for _ in range(30):
        reply = await world.api.post("/v1/orders", body, key)
        if reply.status == 201:
            return str(reply.json()["order_no"])
        if reply.status not in (202, 409, 503):
            break
    raise NotAsExpected("placing", reply)


async def order(world: World, variant: Variant) -> str:
    """Place, confirm, and be told that it is issued; the order's workflow id."""
    order_no = await place(world, variant)
    path = f"/v1/orders/{order_no}/confirm?wait_s={CONFIRM_WAIT_S}"
    for _ in range(30):
        reply = await world.api.post(path, None, secrets.token_hex(16))
        if reply.status not in (202, 409):
            break
        # still issuing; or placed by a repetition, whose answer may be here before its workflow is that far
        await asyncio.sleep(0.1)
    if reply.status != 200 or reply.json()["status"] != "issued":
        raise NotAsExpected("confirming", reply)
    return f"order/{order_no}"


async def place_noop(world: World, *, locked: bool) -> str:
    """Update-with-start, with the policies of an order's; the workflow's id."""
    workflow_id = f"noop/{secrets.token_hex(10)}"
    start = WithStartWorkflowOperation(
        NoopWorkflow.run,
        locked,
        id=workflow_id,
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
    )
    await world.client.execute_update_with_start_workflow(
        NoopWorkflow.place, start_workflow_operation=start, id="place"
    )
    return workflow_id


async def noop(world: World, *, locked: bool) -> str:
    """The yardstick's whole life; the workflow's id."""
    workflow_id = await place_noop(world, locked=locked)
    handle = world.client.get_workflow_handle(workflow_id)
    issued = await handle.execute_update(NoopWorkflow.confirm, id="confirm")
    assert issued == "issued"
    return workflow_id
