"""The embedded Temporal server: the flags that matter are in force, and what we set survives a restart."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from temporalio import workflow
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from embedded import processes, temporal
from embedded.ports import any_free_port
from embedded.temporal import TemporalServer

KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD


@workflow.defn
class NapWorkflow:
    """Sleeps as long as it is told, in seconds."""

    @workflow.run
    async def run(self, nap_s: float) -> None:
        """Just that."""
        await workflow.sleep(nap_s)


@asynccontextmanager
async def a_server(directory: Path) -> AsyncIterator[tuple[Client, subprocess.Popen[bytes]]]:
    """A running embedded server on a directory, killed at the end."""
    server = TemporalServer(directory, any_free_port(), any_free_port(), any_free_port())
    server.prepare()
    child = processes.spawn(server.argv(), directory / "temporal.log")
    try:
        client = await temporal.connect_when_ready(server.address, is_alive=lambda: child.poll() is None)
        yield client, child
    finally:
        child.send_signal(signal.SIGKILL)
        await asyncio.to_thread(child.wait)


async def test_a_timer_of_100_ms_takes_less_than_a_second(tmp_path: Path) -> None:
    async with a_server(tmp_path) as (client, _), a_worker(client) as queue:
        await client.execute_workflow(NapWorkflow.run, 0.0, id=str(uuid.uuid4()), task_queue=queue)
        started_s = time.perf_counter()
        await client.execute_workflow(NapWorkflow.run, 0.1, id=str(uuid.uuid4()), task_queue=queue)
        assert time.perf_counter() - started_s < 0.9


async def test_retention_and_attributes_reach_a_database_that_existed_before(tmp_path: Path) -> None:
    async with a_server(tmp_path) as (client, _):
        await temporal.prepare_namespace(client, retention_days=90, search_attributes={"First": KEYWORD})
    async with a_server(tmp_path) as (client, _):
        for _attempt in range(2):
            await temporal.prepare_namespace(
                client, retention_days=90, search_attributes={"First": KEYWORD, "Second": KEYWORD}
            )
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        described = await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace)
        )
    assert {"First", "Second"} <= set(listed.custom_attributes)
    assert described.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=90)


async def test_a_sleeping_workflow_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    name = str(uuid.uuid4())
    async with a_server(tmp_path) as (client, _):
        await client.start_workflow(NapWorkflow.run, 0.5, id=name, task_queue="nap")
    async with a_server(tmp_path) as (client, _), a_worker(client, "nap"):
        await asyncio.wait_for(client.get_workflow_handle(name).result(), 30)


async def test_tests_skip_a_month_in_seconds(temporal_env: WorkflowEnvironment) -> None:
    async with a_worker(temporal_env.client) as queue:
        started_s = time.perf_counter()
        month_s = 30 * 86_400.0
        await temporal_env.client.execute_workflow(NapWorkflow.run, month_s, id=str(uuid.uuid4()), task_queue=queue)
        assert time.perf_counter() - started_s < 20


@asynccontextmanager
async def a_worker(client: Client, queue: str | None = None) -> AsyncIterator[str]:
    """A worker that naps, and the name of its queue."""
    queue = queue or str(uuid.uuid4())
    async with Worker(client, task_queue=queue, workflows=[NapWorkflow], workflow_runner=UnsandboxedWorkflowRunner()):
        yield queue
