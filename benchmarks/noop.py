"""The yardstick: a workflow of an order's durable shape whose steps do nothing, with a worker process of its own.

`python -m benchmarks.noop ADDRESS NAMESPACE` runs the worker until SIGTERM. Its shape is the order's own: the same
update with start, local activities, activities on a queue of the supplier's kind, timers, second update, and so the
same number of workflow tasks; `durable cost` counts both and shows it. There is no API, no SQL and no supplier in it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

TASK_QUEUE = "bench-noop"
SUPPLIER_QUEUE = "bench-noop-supplier"
STEPS = 100
"""Slots for activities, as many as our worker has."""


@activity.defn
async def step() -> None:
    """Nothing, in one of our own database's places."""


@activity.defn
async def at_supplier() -> None:
    """Nothing, in a supplier's place."""


@workflow.defn
class NoopWorkflow:
    """An order without its business. `locked`: the variant that is held at its supplier when it is placed."""

    @workflow.init
    def __init__(self, locked: bool) -> None:
        self._placed = self._wished = self._issued = False

    @workflow.run
    async def run(self, locked: bool) -> str:
        await _step()
        await _step()
        if locked:
            await _at_supplier()
        await _step()
        self._placed = True
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._wished, timeout=timedelta(seconds=900))
        if not self._wished:
            return "canceled"
        await _step()
        await _at_supplier()
        await _step()
        self._issued = True
        await workflow.wait_condition(workflow.all_handlers_finished)
        return "issued"

    @workflow.update
    async def place(self) -> str:
        await workflow.wait_condition(lambda: self._placed)
        return "locked"

    @workflow.update
    async def confirm(self) -> str:
        self._wished = True
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._issued, timeout=timedelta(seconds=30))
        return "issued"


async def _step() -> None:
    await workflow.execute_local_activity(
        step, start_to_close_timeout=timedelta(seconds=2), schedule_to_close_timeout=timedelta(seconds=3)
    )


async def _at_supplier() -> None:
    await workflow.execute_activity(
        at_supplier,
        task_queue=SUPPLIER_QUEUE,
        start_to_close_timeout=timedelta(seconds=15),
        retry_policy=RetryPolicy(maximum_attempts=1),
    )


async def run_worker(address: str, namespace: str) -> None:
    """Workers like ours: one for workflows and local steps, one for the supplier's queue; until SIGTERM."""
    client = await Client.connect(address, namespace=namespace)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    orders = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[NoopWorkflow],
        activities=[step],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=STEPS,
        max_concurrent_local_activities=STEPS,
        max_cached_workflows=2000,
    )
    supplier = Worker(
        client,
        task_queue=SUPPLIER_QUEUE,
        activities=[at_supplier],
        max_concurrent_activities=STEPS,
        max_task_queue_activities_per_second=1000,
        disable_eager_activity_execution=True,
    )
    async with orders, supplier:
        print("ready", flush=True)
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(run_worker(sys.argv[1], sys.argv[2]))
