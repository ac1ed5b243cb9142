"""Steps on our own rows: when a local activity doesn't get through, a normal one does, in a replay, too."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import activity, workflow
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from workflows.execution import durably

QUEUE = "durably"


class Steps:
    """A step whose local tries fail, as while the database is away."""

    @activity.defn
    async def write(self, text: str) -> str:
        if activity.info().is_local:
            raise ConnectionError("the database is away")
        return text


@workflow.defn
class WritingWorkflow:
    @workflow.run
    async def run(self, text: str) -> str:
        written = await durably(Steps.write, text)
        return f"{written}, {await durably(Steps.write, 'again')}"


async def test_a_step_that_went_the_long_way_replays(temporal_env: WorkflowEnvironment) -> None:
    client, steps = temporal_env.client, Steps()
    runner: Any = UnsandboxedWorkflowRunner()
    async with Worker(
        client, task_queue=QUEUE, workflows=[WritingWorkflow], activities=[steps.write], workflow_runner=runner
    ):
        handle = await client.start_workflow(WritingWorkflow.run, "once", id="writing", task_queue=QUEUE)
        assert await handle.result() == "once, again"
        # The core's timers of the failed tries outlive them by this long, and panic where their worker is gone.
        await asyncio.sleep(2)
    history = await handle.fetch_history()
    kinds = [event.WhichOneof("attributes") for event in history.events]
    assert "activity_task_scheduled_event_attributes" in kinds, "the local activity got through after all"
    replayer = Replayer(workflows=[WritingWorkflow], data_converter=pydantic_data_converter, workflow_runner=runner)
    await replayer.replay_workflow(history)
