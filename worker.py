"""The worker's composition root: settings in; database, suppliers, activities and workflows put together."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import structlog
from temporalio.client import Client, WorkflowHistory
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Interceptor, Replayer, UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

import telemetry
from activities.catalog import CatalogActivities
from activities.catalog_imports import CatalogImportActivities
from activities.channel_directory import ChannelDirectory
from activities.channel_refunds import ChannelRefundActivities
from activities.channels import ChannelActivities
from activities.charges import ChargeActivities
from activities.failures import FailFast
from activities.fulfilment import FulfilmentActivities
from activities.issuance import IssuanceActivities
from activities.order_plans import OrderTimings
from activities.order_telling import OrderTelling
from activities.orders import OrderActivities
from activities.payloads import DATA_CONVERTER
from activities.payments import PaymentActivities
from activities.promotions import PromotionActivities
from activities.supplier_directory import Directory
from activities.suppliers import SupplierActivities
from adapters.payments.registry import PROTOCOLS as CHANNELS
from domain.categories import CATEGORIES
from settings import Settings
from storage.database import Database
from storage.ids import LeasedIds
from storage.payment_channels import list_channels
from storage.supplier_contracts import list_suppliers
from workflows.catalog import CatalogSyncWorkflow
from workflows.catalog_imports import CatalogImportWorkflow
from workflows.channel_refunds import ChannelRefundWorkflow
from workflows.deliveries import DeliveryWorkflow
from workflows.execution import supplier_queue
from workflows.orders import ORDER_TASK_QUEUE, OrderWorkflow
from workflows.payment_ids import channel_queue
from workflows.payments import PaymentWorkflow
from workflows.resolutions import ResolutionWorkflow

_log = structlog.get_logger(__name__)

WORKFLOWS = (
    OrderWorkflow,
    PaymentWorkflow,
    ChannelRefundWorkflow,
    DeliveryWorkflow,
    ResolutionWorkflow,
    CatalogSyncWorkflow,
    CatalogImportWorkflow,
)
"""Every workflow there is. A new one is one line here."""

PARTIES_LOOK_S = 5.0
"""How often a worker looks for suppliers and channels that have been added or changed their limits."""

PASSED_THROUGH = ("domain", "activities", "adapters", "storage", "httpx2", "psycopg", "psycopg_pool", "pydantic",
                  "sqlalchemy", "sqlmodel", "structlog")  # fmt: skip
"""What the sandbox does not load anew for each workflow. `workflows` is not among them: it is what is checked."""


def workflow_runner(*, sandboxed: bool) -> WorkflowRunner:
    """In tests the sandbox watches for what is not deterministic; in production its price buys nothing more."""
    if not sandboxed:
        return UnsandboxedWorkflowRunner()
    return SandboxedWorkflowRunner(SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))


class Workers:
    """One worker for workflows and our own steps, and one per supplier and per payment channel, with its limits.

    `async with Workers(...)` runs them; parties that are added later get theirs within seconds.
    """

    def __init__(
        self, settings: Settings, client: Client, database: Database, *, interceptors: Sequence[Interceptor] = ()
    ) -> None:
        CATEGORIES.load(settings.kind_places)
        CHANNELS.load(settings.channel_places)
        self._settings = settings
        self._client = client
        self._database = database
        self._interceptors = interceptors
        self._http = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=200, max_keepalive_connections=100))
        self._directory = Directory(database, self._http)
        self._suppliers = SupplierActivities(database, self._directory)
        notify_url = f"{settings.api_url}/v1/callbacks/payments/{{channel_id}}"
        self._channels = ChannelActivities(database, ChannelDirectory(database, self._http), notify_url)
        self._ids = LeasedIds(database)
        self._per_party: dict[str, tuple[tuple[float, int], Worker]] = {}
        self._stack = AsyncExitStack()
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Workers:
        await self._stack.enter_async_context(self._http)
        await self._stack.enter_async_context(self._ids)
        await self._stack.enter_async_context(self._main_worker())
        await self.look_for_parties()
        self._looking = asyncio.create_task(self._keep_looking(), name="look-for-parties")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(worker.shutdown() for _, worker in self._per_party.values()))
        await self._stack.aclose()

    def _main_worker(self) -> Worker:
        settings = self._settings
        timings = OrderTimings(settings.lock_s, settings.lock_ceiling_s, settings.review_s)
        orders, issuance = OrderActivities(self._database, timings), IssuanceActivities(self._database)
        fulfilment = FulfilmentActivities(self._database)
        catalog = CatalogActivities(self._database, self._directory)
        promotions = PromotionActivities(self._database)
        payments, back = PaymentActivities(self._database, self._ids), ChannelRefundActivities(self._database)
        charges = ChargeActivities(self._database)
        telling = OrderTelling(self._database, self._client)
        imports = CatalogImportActivities(self._database)
        return Worker(
            self._client,
            task_queue=ORDER_TASK_QUEUE,
            workflows=list(WORKFLOWS),
            activities=[*_activities(orders), *_activities(issuance), *_activities(fulfilment),
                        *_activities(promotions), *_activities(catalog), *_activities(imports),
                        *_activities(payments), *_activities(charges), *_activities(back), *_activities(telling),
                        self._suppliers.read_negotiation],
            workflow_runner=workflow_runner(sandboxed=settings.worker_sandboxed),
            max_concurrent_activities=settings.worker_activities,
            max_concurrent_local_activities=settings.worker_activities,
            max_cached_workflows=settings.worker_cached_workflows,
            graceful_shutdown_timeout=timedelta(seconds=5),
            interceptors=[FailFast(), *self._interceptors],
        )  # fmt: skip

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(PARTIES_LOOK_S)
            try:
                await self.look_for_parties()
            except Exception as failure:
                # Weather of the database: the next look, in seconds, finds what this one missed.
                _log.warning("parties.not_read", reason=str(failure))

    async def look_for_parties(self) -> None:
        """Open a queue's worker for each supplier and payment channel that has none with its present limits."""
        async with self._database.reading() as cx:
            suppliers, channels = await list_suppliers(cx), await list_channels(cx)
        for supplier in suppliers:
            limits = (supplier.max_per_second, supplier.max_concurrent)
            await self._open_queue(supplier_queue(supplier.id), self._suppliers, limits)
        for channel in channels:
            limits = (channel.max_per_second, channel.max_concurrent)
            await self._open_queue(channel_queue(channel.id), self._channels, limits)

    async def _open_queue(self, queue: str, holder: object, limits: tuple[float, int]) -> None:
        known = self._per_party.get(queue)
        if known is not None and known[0] == limits:
            return
        if known is not None:
            await known[1].shutdown()
        worker = self._party_worker(queue, holder, *limits)
        await self._stack.enter_async_context(worker)
        self._per_party[queue] = (limits, worker)
        _log.info("queue.opened", queue=queue, per_second=limits[0], concurrent=limits[1])

    def _party_worker(self, queue: str, holder: object, per_second: float, concurrent: int) -> Worker:
        return Worker(
            self._client,
            task_queue=queue,
            activities=_activities(holder),
            max_concurrent_activities=concurrent,
            max_task_queue_activities_per_second=per_second,
            disable_eager_activity_execution=True,
            graceful_shutdown_timeout=timedelta(seconds=5),
            interceptors=self._interceptors,
        )


def _activities(holder: object) -> list[Any]:
    """The methods of an activity class that are activities."""
    methods = (getattr(holder, name) for name in dir(holder) if not name.startswith("_"))
    return [method for method in methods if hasattr(method, "__temporal_activity_definition")]


async def run_worker(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; what is under way gets a few seconds, and goes on elsewhere after that."""
    if settings.worker_database_url is None or settings.temporal_address is None:
        raise SystemExit("TESSERA_WORKER_DATABASE_URL and TESSERA_TEMPORAL_ADDRESS say where the worker's pieces are.")
    telemetry.configure(settings)
    client = await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        data_converter=DATA_CONVERTER,
        runtime=_runtime(settings),
    )
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with (
        Database(settings.worker_database_url, pool_max=settings.database_pool_max) as database,
        Workers(settings, client, database),
    ):
        _log.info("worker.started", task_queue=ORDER_TASK_QUEUE)
        await stopping.wait()
    _log.info("worker.stopped")


async def replay_histories(paths: Sequence[Path]) -> dict[str, str | None]:
    """Each history file by name with why it does not replay, or None where it does."""
    replayer = Replayer(
        workflows=list(WORKFLOWS), data_converter=DATA_CONVERTER, workflow_runner=UnsandboxedWorkflowRunner()
    )
    results: dict[str, str | None] = {}
    for path in paths:
        document = json.loads(await asyncio.to_thread(path.read_text, "utf-8"))
        history = WorkflowHistory.from_json(document.get("workflow_id", path.stem), document.get("history", document))
        replayed = await replayer.replay_workflow(history, raise_on_replay_failure=False)
        results[path.name] = str(replayed.replay_failure) if replayed.replay_failure else None
    return results


def _runtime(settings: Settings) -> Runtime:
    if settings.worker_metrics_port is None:
        return Runtime.default()
    address = f"{settings.worker_metrics_host}:{settings.worker_metrics_port}"
    return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address, durations_as_seconds=True)))
