"""The whole stack on one machine, in the order of its needs: PostgreSQL, schema, Temporal, simulators, workers, API,
sample data.

`tessera up` runs it in front of a person; tests, benchmarks and fault runs use `Stack` directly and kill or freeze
its parts.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
from temporalio.service import RPCError

import migrations
from embedded import postgres, temporal
from embedded.credentials import Credentials
from embedded.ports import LOCALHOST, PortBook, is_free
from embedded.postgres import PostgresServer
from embedded.supervisor import IsAlive, Part, Report, Supervisor, read_state, unfailing
from embedded.temporal import TemporalServer
from settings import Settings, port_setting

Seed = Callable[[Settings], Awaitable[None]]

SIMULATORS: Mapping[str, str] = {
    "supplier": "simulators.supplier",
    "carrier": "simulators.carrier",
    "topup": "simulators.topup",
    "payment": "simulators.payment",
}
"""Outside parties by name and the module that plays them; `settings.port_setting` says where each listens."""
USUAL_WORKER_METRICS_PORT = 9464
HTTP_PATIENCE_S = 0.2
ROOT = str(Path(migrations.__file__).parent.parent)
"""Where our packages are, whether installed or a checkout."""


@dataclass(frozen=True)
class StackOptions:
    """How many of what. `restart=False` leaves a dead part dead until `start_part`: fault runs decide themselves.

    `usual_ports=False` takes any free ports: stacks that start at the same moment don't race for the usual ones.
    """

    apis: int = 1
    workers: int = 1
    simulators: tuple[str, ...] = tuple(SIMULATORS)
    restart: bool = True
    usual_ports: bool = True
    postgres_settings: Mapping[str, str] = field(default_factory=dict)
    extra_environment: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """`async with Stack(settings) as stack:` has everything running inside the block and stopped after it."""

    def __init__(
        self,
        settings: Settings,
        options: StackOptions | None = None,
        *,
        report: Report = lambda _: None,
        seed: Seed | None = None,
    ) -> None:
        self.options = options or StackOptions()
        self.data_dir = settings.data_dir.resolve()
        self.urls: dict[str, str] = {}
        self._given = settings
        self._report = unfailing(report)
        self._seed = seed
        self._ports = PortBook(self.data_dir / "ports.json", prefer_usual=self.options.usual_ports)
        self._supervisor = Supervisor(self.data_dir, report, restart=self.options.restart)
        self._parts: dict[str, Part] = {}
        self._environment: dict[str, str] = {}

    @property
    def settings(self) -> Settings:
        """The settings with every address filled in: what a command needs to speak to this stack."""
        return with_environment(self._given, self._environment)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the parts that live now, by name (`postgres`, `temporal`, `worker-1`, `api-1`, …)."""
        return self._supervisor.pids

    @property
    def restarts(self) -> dict[str, int]:
        """How often each part was brought back after it died."""
        return self._supervisor.restarts

    async def start(self) -> None:
        """Starts everything; whatever was started is stopped again when one part can't be."""
        await asyncio.to_thread(self._supervisor.open)
        try:
            await self._start_all()
        except BaseException:
            await self._supervisor.stop_all()
            raise

    async def stop(self) -> None:
        """Stops all in reverse order; bounded, then by SIGKILL."""
        await self._supervisor.stop_all()

    def kill(self, part: str) -> None:
        """SIGKILL to one part."""
        self._supervisor.kill(part)

    def send(self, part: str, signal_number: signal.Signals) -> None:
        """Any signal to one part: SIGSTOP freezes it, SIGCONT lets it go on."""
        self._supervisor.send(part, signal_number)

    async def stop_part(self, part: str) -> None:
        """Stops one part properly."""
        await self._supervisor.stop(part)

    async def start_part(self, part: str) -> None:
        """Starts a part that was stopped or died, and waits until it is ready."""
        await self._supervisor.start(self._parts[part])

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start_all(self) -> None:
        credentials = Credentials.load_or_create(self.data_dir / "secrets.json")
        self._provide(
            pepper=credentials.pepper, cursor_secret=credentials.cursor_secret, ticket_keys=credentials.ticket_keys
        )
        self._environment |= self.options.extra_environment
        await self._start_postgres(credentials)
        await asyncio.to_thread(migrations.upgrade, _require(self.settings.database_url))
        self._report(f"schema: at {migrations.head() or 'no revision yet'}")
        await self._start_temporal()
        api_ports = [
            self._ports.claim(f"api-{n}", self._given.api_port + n - 1) for n in range(1, self.options.apis + 1)
        ]
        if api_ports:
            self._provide(api_url=f"http://{LOCALHOST}:{api_ports[0]}", api_port=str(api_ports[0]))
        await self._start_simulators()
        for number in range(1, self.options.workers + 1):
            await self._start_worker(number)
        for number, port in enumerate(api_ports, start=1):
            await self._start_api(number, port)
        if self._seed is not None:
            await self._seed(self.settings)
            self._report("sample data: there")

    async def _start_postgres(self, credentials: Credentials) -> None:
        if self._given.database_url is not None:
            self._provide(worker_database_url=self._given.database_url, api_database_url=self._given.database_url)
            self._report(
                "postgres: as TESSERA_DATABASE_URL says, also for API and worker unless they have URLs of their own"
            )
            return
        port = self._ports.claim("postgres", postgres.USUAL_PORT)
        server = PostgresServer(self.data_dir / "postgres", port, credentials, settings=self.options.postgres_settings)
        report = partial(self._report_of, "postgres")

        async def ready(is_alive: IsAlive) -> None:
            await asyncio.to_thread(server.wait_until_ready, is_alive, report)
            await asyncio.to_thread(server.ensure_roles)

        await self._start(
            Part(
                "postgres",
                tuple(server.argv()),
                run_as=server.run_as,
                prepare=partial(server.prepare, stop_orphan=True),
                ready=ready,
                stop_signal=postgres.STOP_SIGNAL,
                start_timeout_s=postgres.START_TIMEOUT_S + 30,
                stop_timeout_s=postgres.STOP_TIMEOUT_S,
            )
        )
        self._provide(
            database_url=server.url("tessera_owner"),
            worker_database_url=server.url("tessera_worker"),
            api_database_url=server.url("tessera_api"),
        )
        self._report(f"postgres: ready at {LOCALHOST}:{port}")

    async def _start_temporal(self) -> None:
        if self._given.temporal_address is not None:
            try:
                await self._prepare_namespace(self._given.temporal_address, lambda: True)
            except RPCError as refusal:  # a managed service keeps retention and attributes to its own tools
                self._report(f"temporal: its namespace is left as it is ({refusal.message})")
            self._report(f"temporal: at {self._given.temporal_address}, as TESSERA_TEMPORAL_ADDRESS says")
            return
        server = TemporalServer(
            self.data_dir / "temporal",
            self._ports.claim("temporal", temporal.USUAL_PORT),
            self._ports.claim("temporal-ui", temporal.USUAL_UI_PORT),
            self._ports.claim("temporal-metrics", temporal.USUAL_METRICS_PORT),
        )
        await self._start(
            Part(
                "temporal",
                tuple(server.argv()),
                prepare=server.prepare,
                ready=partial(self._prepare_namespace, server.address),
                start_timeout_s=temporal.START_TIMEOUT_S + 10,
                stop_timeout_s=temporal.STOP_TIMEOUT_S,
            )
        )
        self._provide(temporal_address=server.address, temporal_ui_url=server.ui_url)
        self._show("Temporal UI", server.ui_url)
        self._report(f"temporal: ready at {server.address}, UI at {server.ui_url}")

    async def _prepare_namespace(self, address: str, is_alive: IsAlive) -> None:
        client = await temporal.connect_when_ready(address, self._given.temporal_namespace, is_alive=is_alive)
        await temporal.prepare_namespace(
            client,
            retention_days=self._given.temporal_retention_days,
            search_attributes=temporal.SEARCH_ATTRIBUTES,
        )

    async def _start_simulators(self) -> None:
        for name in self.options.simulators:
            setting = port_setting(name)
            port = self._ports.claim(f"simulator-{name}", getattr(self._given, setting))
            directory = self.data_dir / "simulators" / name
            directory.mkdir(parents=True, exist_ok=True)
            argv = [*_python(SIMULATORS[name]), "--host", LOCALHOST, "--port", str(port), "--data", str(directory)]
            self._provide(**{setting: str(port)})
            await self._start(self._own_part(f"simulator-{name}", argv, ready=partial(_listening, port)))
            self._show(f"{name.capitalize()} simulator", f"http://{LOCALHOST}:{port}")
            self._report(f"simulator-{name}: ready at http://{LOCALHOST}:{port}")

    async def _start_worker(self, number: int) -> None:
        name = f"worker-{number}"
        port = self._ports.claim(f"{name}-metrics", USUAL_WORKER_METRICS_PORT + number - 1)
        env = {"TESSERA_WORKER_METRICS_PORT": str(port)}
        await self._start(self._own_part(name, _tessera("worker"), env, ready=partial(_listening, port)))
        self._report(f"{name}: ready, metrics at http://{LOCALHOST}:{port}/metrics")

    async def _start_api(self, number: int, port: int) -> None:
        name = f"api-{number}"
        env = {"TESSERA_API_HOST": LOCALHOST, "TESSERA_API_PORT": str(port)}
        docs = f"http://{LOCALHOST}:{port}/docs"
        ready = partial(_answers, f"http://{LOCALHOST}:{port}/readyz")
        await self._start(self._own_part(name, _tessera("api"), env, ready=ready))
        self._show("API documentation" if number == 1 else f"API {number}", docs)
        self._report(f"{name}: ready at {docs}")

    def _own_part(
        self,
        name: str,
        argv: list[str],
        env: Mapping[str, str] | None = None,
        *,
        ready: Callable[[IsAlive], Awaitable[None]],
    ) -> Part:
        """A process of ours: gets the addresses, but never the owner's way into the database."""
        environment = {**self._environment, **(env or {}), "TESSERA_DATA_DIR": str(self.data_dir), "PYTHONPATH": ROOT}
        if self._given.database_url is None:
            environment.pop("TESSERA_DATABASE_URL", None)
        return Part(name, tuple(argv), environment, ready=ready)

    async def _start(self, part: Part) -> None:
        self._parts[part.name] = part
        await self._supervisor.start(part)

    def _provide(self, **values: str) -> None:
        """Fills settings that nobody has given; children get them as TESSERA_* variables."""
        given = self._given.model_fields_set
        addresses = {"api_port", "api_url", "temporal_ui_url", *map(port_setting, SIMULATORS)}
        chosen = {name: value for name, value in values.items() if name not in given or name in addresses}
        self._environment |= {f"TESSERA_{name.upper()}": value for name, value in chosen.items()}
        self._supervisor.publish({"environment": self._environment})

    def _show(self, title: str, url: str) -> None:
        self.urls[title] = url
        self._supervisor.publish({"urls": self.urls})

    def _report_of(self, part: str, line: str) -> None:
        self._report(f"{part}: {line}")


def settings_of_running(settings: Settings) -> Settings:
    """`settings` with the addresses of the stack that runs (or ran last) on its data directory; what was given
    stays."""
    environment = read_state(settings.data_dir.resolve()).environment
    given = {f"TESSERA_{name.upper()}" for name in settings.model_fields_set}
    return with_environment(settings, {name: value for name, value in environment.items() if name not in given})


def with_environment(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """A copy of `settings` as a process with these variables would read them."""
    values = {name.removeprefix("TESSERA_").lower(): value for name, value in environment.items()}
    known = {name: value for name, value in values.items() if name in Settings.model_fields}
    explicit = {name: getattr(settings, name) for name in settings.model_fields_set}
    return Settings.model_validate({**explicit, **known})


def _python(module: str) -> list[str]:
    """Runs a module of ours; -P: never one of the same name in the directory where somebody typed `tessera up`."""
    return [sys.executable, "-P", "-m", module]


def _tessera(command: str) -> list[str]:
    return [*_python("cli"), command]


def _require(url: str | None) -> str:
    if url is None:
        raise RuntimeError("no owner's address of PostgreSQL is known: set TESSERA_DATABASE_URL")
    return url


async def _listening(port: int, is_alive: IsAlive) -> None:
    while is_free(port):
        if not is_alive():
            raise RuntimeError("the process ended")
        await asyncio.sleep(HTTP_PATIENCE_S)


async def _answers(url: str, is_alive: IsAlive) -> None:
    """Waits until the URL answers 2xx."""
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
        while True:
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx2.TransportError:
                pass
            if not is_alive():
                raise RuntimeError("the process ended")
            await asyncio.sleep(HTTP_PATIENCE_S)
