"""The whole platform in one process, as stories and fault runs use it: API, workers, PostgreSQL, Temporal, suppliers.

Nothing is a mock: the suppliers are the simulator over HTTP, and time passes only where a test lets it. Workflows are
started without time skipping; `fast_forward` moves the clock of one order.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import uvicorn
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

import migrations
from api.app import create_app
from api.deps import Parts
from domain.inspection import InspectionTerms, Violation
from domain.orders import AT_REST, OrderStatus
from domain.supplier_books import BookEntry, compare_with_books
from embedded.ports import LOCALHOST
from embedded.postgres import PostgresServer
from settings import Settings
from simulators.carrier import serving as carriers
from simulators.payment import serving as payments
from simulators.supplier import serving as suppliers
from simulators.topup import serving as topups
from storage.database import Database
from storage.ids import LeasedIds
from storage.inspection import inspect, promised_lines
from tests import payers
from tests.interference import Interference
from tests.payers import Channel
from tests.traders import Caller, Simulated, Supplier, Ticket, Traders
from worker import Workers
from workflows.deliveries import delivery_workflow_id
from workflows.order_ids import order_workflow_id
from workflows.payment_ids import payment_workflow_id, refund_workflow_id
from workflows.resolutions import resolution_workflow_id

AT_ONCE = InspectionTerms(promise_s=3600, waiting_s=30, grace_s=-30 * 86_400)
"""No grace: a test has let everything come to rest before it looks, and its orders' clocks run ahead."""

REST_TIMEOUT_S = 40.0


class _Server(uvicorn.Server):
    """Beside the tests in their own event loop, whose signals stay pytest's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _listening(app: FastAPI) -> AsyncIterator[str]:
    """The application's address over real HTTP: what suppliers call back."""
    config = uvicorn.Config(app, host=LOCALHOST, port=0, lifespan="off", log_level="error", access_log=False)
    server = _Server(config)
    serving_it = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://{LOCALHOST}:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving_it


async def _is_there(handle: WorkflowHandle[Any, Any]) -> bool:
    try:
        await handle.describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


@dataclass
class Platform:
    """One of everything. `database` is the worker's role, `owner` may arrange anything."""

    env: WorkflowEnvironment
    settings: Settings
    postgres: PostgresServer
    name: str
    database: Database
    owner: Database
    app: FastAPI
    api: AsyncClient
    simulator: AsyncClient
    workers: Workers
    interference: Interference
    traders: Traders
    stack: AsyncExitStack
    operator: Caller = field(init=False)
    lied_about: set[int] = field(default_factory=set)
    """Orders of which a supplier had booked what it said it had not: a double is its doing, for as long as it lasts."""
    _judged: int = 0
    _judged_money: set[str] = field(default_factory=set)
    """Processes of payments and refunds that have been found at rest."""

    # --- asking the API ----------------------------------------------------------------------------------------

    async def place(
        self,
        caller: Caller,
        *lines: Ticket | tuple[Ticket, int],
        key: str | None = None,
        api: AsyncClient | None = None,
        dry_run: bool = False,
        **body: Any,
    ) -> Response:
        """`POST /v1/orders`; a line is a ticket, or a ticket and how many."""
        asked = [self.line(*line) if isinstance(line, tuple) else self.line(line) for line in lines]
        return await (api or self.api).post(
            f"/v1/orders?dry_run={str(dry_run).lower()}",
            json={"currency": "CNY", "lines": asked, **body},
            headers=caller.once(key),
        )

    @staticmethod
    def line(ticket: Ticket, quantity: int = 1, **more: Any) -> dict[str, Any]:
        """A line as a caller sends it who has seen the ticket's price."""
        price = {"amount_minor": ticket.price_minor, "currency": "CNY"}
        return {"sku_id": ticket.sku_id, "quantity": quantity, "unit_price": price, **more}

    async def check_out(self, shopper: Caller, *lines: Ticket | tuple[Ticket, int], **body: Any) -> Response:
        """`POST /v1/checkouts`."""
        asked = [self.line(*line) if isinstance(line, tuple) else self.line(line) for line in lines]
        return await self.api.post(
            "/v1/checkouts", json={"currency": "CNY", "lines": asked, **body}, headers=shopper.once()
        )

    async def checkout(self, shopper: Caller, *lines: Ticket | tuple[Ticket, int], **body: Any) -> str:
        """The id of a checkout that shows what these lines cost."""
        answer = await self.check_out(shopper, *lines, **body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def bought(self, shopper: Caller, *lines: Ticket | tuple[Ticket, int], **body: Any) -> int:
        """The number of a shopper's order that is locked now, and waits to be paid."""
        checkout_id = await self.checkout(shopper, *lines, **body)
        answer = await self.answered(lambda: self.place_checkout(shopper, checkout_id, key=f"place-{checkout_id}"))
        assert answer.status_code == 201, answer.text
        return int(answer.json()["order_no"])

    async def begin_payment(
        self, shopper: Caller, *order_nos: int, channel: Channel | None = None, key: str | None = None, **body: Any
    ) -> Response:
        """`POST /v1/payments`."""
        asked = {"order_nos": [f"{order_no:019d}" for order_no in order_nos], **body}
        if channel is not None:
            asked["channel_id"] = channel.id
        return await self.api.post("/v1/payments", json=asked, headers=shopper.once(key))

    async def paying(self, shopper: Caller, *order_nos: int, channel: Channel | None = None, **body: Any) -> str:
        """The id of a payment that waits for its payer, or is paid already."""
        key = f"pay-{secrets.token_hex(8)}"
        answer = await self.answered(lambda: self.begin_payment(shopper, *order_nos, channel=channel, key=key, **body))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def payment(self, pay_id: str) -> dict[str, Any]:
        """The payment in full, as an operator sees it."""
        answer = await self.api.get(f"/v1/payments/{pay_id}", headers=self.operator.headers)
        assert answer.status_code == 200, answer.text
        detail: dict[str, Any] = answer.json()
        return detail

    def payment_host(self, pay_id: str) -> WorkflowHandle[Any, Any]:
        return self.env.client.get_workflow_handle(payment_workflow_id(pay_id))

    async def forward(self, handle: WorkflowHandle[Any, Any], seconds: float | None = None) -> None:
        """Let a process' clock run ahead: by so much, or until it has ended."""
        async with asyncio.timeout(REST_TIMEOUT_S):
            with suppress(RPCError):
                await self.env.fast_forward(handle, seconds)

    async def payment_settled(self, pay_id: str) -> dict[str, Any]:
        """The payment in full once its process, and those of its refunds and orders, have come to rest."""
        await self._rest(self.payment_host(pay_id))
        for row in await self.rows("SELECT id FROM refunds WHERE pay_id = %s", pay_id):
            refund = self.env.client.get_workflow_handle(refund_workflow_id(row["id"]))
            await self.until(partial(_is_there, refund))  # its row is written before its process is started
            await self._rest(refund)
        rows = await self.rows("SELECT order_no, successor_no FROM pay_order_parts WHERE pay_id = %s", pay_id)
        for order_no in [row[name] for row in rows for name in ("order_no", "successor_no") if row[name]]:
            await self._rest(self.host(order_no))
        return await self.payment(pay_id)

    async def _rest(self, handle: WorkflowHandle[Any, Any]) -> None:
        try:
            async with asyncio.timeout(1.0):
                await handle.result()
        except TimeoutError:
            await self.forward(handle)
            async with asyncio.timeout(REST_TIMEOUT_S):
                await handle.result()

    async def place_checkout(
        self, shopper: Caller, checkout_id: str, *, key: str | None = None, api: AsyncClient | None = None
    ) -> Response:
        """`POST /v1/orders` with what a checkout has shown."""
        return await (api or self.api).post("/v1/orders", json={"checkout_id": checkout_id}, headers=shopper.once(key))

    async def placed(self, caller: Caller, *lines: Ticket | tuple[Ticket, int], **body: Any) -> int:
        """The number of an order that is locked now."""
        answer = await self.place_patiently(caller, *lines, **body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["order_no"])

    async def answered(self, send: Callable[[], Awaitable[Response]]) -> Response:
        """As a patient client does it: what is not answered is sent again, with the same key."""
        while True:
            answer = await send()
            in_flight = answer.status_code == 409 and answer.json()["code"] == "request_in_flight"
            waits = answer.status_code == 202 and answer.json()["status"] == "accepted"
            if answer.status_code < 500 and not in_flight and not waits:
                return answer
            await asyncio.sleep(0.3)

    async def place_patiently(self, caller: Caller, *lines: Ticket | tuple[Ticket, int], **body: Any) -> Response:
        """Until it is known what became of it."""
        key = body.pop("key", f"patient-{secrets.token_hex(8)}")
        return await self.answered(lambda: self.place(caller, *lines, key=key, **body))

    async def act(self, caller: Caller, order_no: int, action: str, body: Any = None, *, key: str | None = None,
                  query: str = "") -> Response:  # fmt: skip
        """`POST /v1/orders/{no}/{action}`."""
        path = f"/v1/orders/{order_no:019d}/{action}{query}"
        return await self.api.post(path, json=body or {}, headers=caller.once(key))

    async def confirm(self, caller: Caller, order_no: int, *, wait_s: float = 5, key: str | None = None) -> Response:
        return await self.act(caller, order_no, "confirm", key=key, query=f"?wait_s={wait_s}")

    async def cancel(self, caller: Caller, order_no: int) -> Response:
        return await self.act(caller, order_no, "cancel", {"reason": "changed my mind"})

    async def read(self, order_no: int, caller: Caller | None = None) -> dict[str, Any]:
        """The order in full; as an operator sees it, where no caller is given."""
        answer = await self.api.get(f"/v1/orders/{order_no:019d}", headers=(caller or self.operator).headers)
        assert answer.status_code == 200, answer.text
        detail: dict[str, Any] = answer.json()
        return detail

    async def cases(self, order_no: int) -> dict[str, dict[str, Any]]:
        """The order's cases in the operators' queue, by kind."""
        rows = await self.rows("SELECT * FROM order_exceptions WHERE order_no = %s", order_no)
        return {row["kind"]: row for row in rows}

    async def decide(self, case_id: str, decision: str, **more: Any) -> Response:
        """An operator's word on a case."""
        body = {"decision": decision, "reason": "asked by phone", **more}
        return await self.api.post(f"/v1/exceptions/{case_id}/decide", json=body, headers=self.operator.once())

    async def resolved(self, case_id: str) -> dict[str, Any]:
        """The case once its own workflow has ended; that one's timers are skipped."""
        handle = self.env.client.get_workflow_handle(resolution_workflow_id(case_id))

        async def begun() -> bool:
            with suppress(RPCError):
                return bool(await handle.describe())
            return False

        await self.until(begun)
        async with asyncio.timeout(REST_TIMEOUT_S):
            await self.env.fast_forward(handle)
            await handle.result()
        (case,) = await self.rows("SELECT * FROM order_exceptions WHERE id = %s", case_id)
        return case

    # --- time and rest -----------------------------------------------------------------------------------------

    def host(self, order_no: int) -> WorkflowHandle[Any, Any]:
        return self.env.client.get_workflow_handle(order_workflow_id(order_no))

    async def fast_forward(self, order_no: int, seconds: float | None = None) -> None:
        """Let the order's clock run ahead: by so much, or until its workflow has ended."""
        async with asyncio.timeout(REST_TIMEOUT_S):
            try:
                await self.env.fast_forward(self.host(order_no), seconds)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise

    async def settled(self, order_no: int) -> dict[str, Any]:
        """The order in full once its workflow has ended; its timers are skipped if it does not end by itself."""
        try:
            async with asyncio.timeout(1.5):
                await self.host(order_no).result()
        except TimeoutError:
            await self.fast_forward(order_no)
            async with asyncio.timeout(REST_TIMEOUT_S):
                await self.host(order_no).result()
        return await self.read(order_no)

    async def until(self, happened: Callable[[], Awaitable[Any]], timeout_s: float = 20.0) -> Any:
        """What `happened` answers, once that is true."""
        deadline = time.monotonic() + timeout_s
        while not (found := await happened()):
            assert time.monotonic() < deadline, f"did not happen within {timeout_s:g} s"
            await asyncio.sleep(0.02)
        return found

    async def until_status(self, order_no: int, *statuses: str) -> None:
        async def reached() -> bool:
            rows = await self.rows("SELECT status FROM orders WHERE order_no = %s", order_no)
            return bool(rows) and rows[0]["status"] in statuses

        await self.until(reached)

    async def until_case(self, order_no: int, kind: str) -> dict[str, Any]:
        async def opened() -> dict[str, Any] | None:
            return (await self.cases(order_no)).get(kind)

        case: dict[str, Any] = await self.until(opened)
        return case

    async def restart_workers(self) -> None:
        """What the workers have in hand is cut off, unanswered, and others go on."""
        async with self.without_workers():
            pass

    @asynccontextmanager
    async def without_workers(self) -> AsyncIterator[None]:
        """What the workers have in hand is cut off; nobody works until the block is left, then others do."""
        await self.workers.__aexit__(None, None, None)
        yield
        workers = Workers(self.settings, self.env.client, self.database, interceptors=[self.interference])
        self.workers = await self.stack.enter_async_context(workers)

    # --- arranging ---------------------------------------------------------------------------------------------

    async def a_supplier(self, **terms: Any) -> Supplier:
        """A supplier with a contract here and a house at the simulator, whose queue is being worked."""
        supplier = await self.traders.a_supplier(self._callback_url, **terms)
        await self.workers.look_for_parties()
        return supplier

    async def a_carrier(self, **terms: Any) -> Supplier:
        """A carrier whose queue is being worked; its parcels move when a test says so."""
        carrier = await self.traders.a_carrier(self._callback_url, **terms)
        await self.workers.look_for_parties()
        return carrier

    async def a_topup(self, **terms: Any) -> Supplier:
        """An operator that tops up phones, whose queue is being worked."""
        operator = await self.traders.a_topup(self._callback_url, **terms)
        await self.workers.look_for_parties()
        return operator

    async def goods(self, *carriers: Supplier | tuple[Supplier, int], stock: int = 10, **facts: Any) -> Ticket:
        """Goods on the shelf, in our warehouse, that these carriers carry, or a new one."""
        able = carriers or (await self.a_carrier(),)
        return await self.traders.a_ticket(*able, kind="physical", stock=stock, at_supplier="standard", **facts)

    async def a_pack(self, *operators: Supplier, **facts: Any) -> Ticket:
        """A data pack that these operators top up, or a new one."""
        able = operators or (await self.a_topup(),)
        return await self.traders.a_ticket(*able, kind="virtual", at_supplier="CM-1GB-7D", **facts)

    async def a_code_pool(self, *codes: str, **facts: Any) -> Ticket:
        """A variant that is sold from a pool of these codes."""
        return await self.traders.a_ticket(kind="virtual", codes=codes, **facts)

    async def delivered(self, order_no: int, line_no: int = 1) -> str:
        """How the line's delivery ended, once it has; its timers are skipped."""
        handle = self.env.client.get_workflow_handle(delivery_workflow_id(order_no, line_no))
        async with asyncio.timeout(REST_TIMEOUT_S):
            with suppress(RPCError):  # it has ended by itself
                await self.env.fast_forward(handle)
            result: str = await handle.result()
            return result

    async def a_ticket(self, *suppliers: Supplier | tuple[Supplier, int], **facts: Any) -> Ticket:
        """A ticket on the shelf, bought from these suppliers in this order (each with its cost), or from a new one."""
        return await self.traders.a_ticket(*(suppliers or (await self.a_supplier(),)), **facts)

    async def a_shopper(self) -> Caller:
        return await self.traders.a_shopper()

    async def a_channel(self, like: str = "paybridge", **terms: Any) -> Channel:
        """A payment channel whose queue is being worked."""
        channel = await payers.a_channel(self.owner, self.traders.simulated.payments, like, **terms)
        await self.workers.look_for_parties()
        return channel

    async def a_distributor(self, *, limit_minor: int = 100_000_000) -> Caller:
        return await self.traders.a_distributor(limit_minor)

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        async with self.owner.reading() as cx:
            cursor = await cx.execute(query.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def another_api(self) -> AsyncClient:
        """A second API process: connections, node lease and placements of its own."""
        app = await self.stack.enter_async_context(_an_app(self.settings, self.postgres, self.name, self.env))
        return await self.stack.enter_async_context(AsyncClient(transport=ASGITransport(app), base_url="http://api"))

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    @property
    def _callback_url(self) -> str:
        return f"{self.settings.api_url}/v1/callbacks/suppliers"

    # --- judging -----------------------------------------------------------------------------------------------

    async def violations(self) -> list[Violation]:
        """Every invariant, after everything that is at rest has really come to rest. Orders may be in motion."""
        found, judged = await self._workflows_that_should_have_ended()
        found += await self._money_that_should_be_at_rest()
        async with self.database.transaction() as cx:
            found += await inspect(cx, AT_ONCE, since_no=self._judged)
        async with self.database.reading() as cx:
            lines = await promised_lines(cx)
        entries = [BookEntry.of(document) for document in await self.traders.books()]
        found += compare_with_books(lines, entries, now=datetime.now(UTC), promise_s=3600).violations
        self._judged = judged
        forgiven = {f"{order_no}/1" for order_no in self.lied_about}
        return [each for each in found if each.invariant != "booked_once" or each.subject not in forgiven]

    async def _workflows_that_should_have_ended(self) -> tuple[list[Violation], int]:
        """And the number up to which no order has to be judged again."""
        rows = await self.rows(
            "SELECT order_no, status FROM orders WHERE order_no > %s ORDER BY order_no", self._judged
        )
        found = await asyncio.gather(*(self._judge_workflow(row["order_no"], row["status"]) for row in rows))
        still = [row["order_no"] for row in rows if OrderStatus(row["status"]) not in AT_REST]
        judged = min([*still, max([row["order_no"] for row in rows], default=self._judged) + 1]) - 1
        return [each for each in found if each is not None], judged

    async def _judge_workflow(self, order_no: int, status: str) -> Violation | None:
        try:
            found = (await self.host(order_no).describe()).status
        except RPCError:
            return Violation("motion_has_workflow", str(order_no), f"{status}, and no workflow was ever started")
        if OrderStatus(status) not in AT_REST:
            if found is WorkflowExecutionStatus.RUNNING:
                return None
            return Violation("motion_has_workflow", str(order_no), f"{status}, and its workflow is {found}")
        if found is WorkflowExecutionStatus.RUNNING:
            try:
                await self.settled(order_no)
            except TimeoutError:
                return Violation("rest_has_no_workflow", str(order_no), f"{status}, and its workflow does not end")
        return None

    async def _money_that_should_be_at_rest(self) -> list[Violation]:
        """A payment that is not at rest, and a refund that is not finished, have a process; others have none."""
        rows = await self.rows(
            "SELECT host_workflow_id AS host, status, at_rest FROM pay_orders "
            "UNION ALL SELECT 'refund/' || id, state, state <> 'refunding' FROM refunds"
        )
        asked = [row for row in rows if row["host"] not in self._judged_money]
        found = await asyncio.gather(*(self._judge_money(**row) for row in asked))
        wrong = [each for each in found if each is not None]
        resting = {row["host"] for row in asked if row["at_rest"]}
        self._judged_money |= resting - {each.subject for each in wrong}
        return wrong

    async def _judge_money(self, host: str, status: str, at_rest: bool) -> Violation | None:
        handle = self.env.client.get_workflow_handle(host)
        try:
            runs = (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        except RPCError:
            runs = False
        if not at_rest:
            return None if runs else Violation("money_has_workflow", host, f"{status}, and no workflow sees to it")
        if runs:
            try:
                await self._rest(handle)
            except TimeoutError:
                return Violation("money_at_rest_has_no_workflow", host, f"{status}, and its workflow does not end")
        return None

    async def end_what_is_in_motion(self) -> None:
        """Nothing of these tests may reach for another database later."""
        rows = await self.rows(
            "SELECT host_workflow_id AS host FROM orders WHERE status <> ALL (%s) "
            "UNION ALL SELECT host_workflow_id FROM pay_orders WHERE NOT at_rest "
            "UNION ALL SELECT 'refund/' || id FROM refunds WHERE state = 'refunding'",
            sorted(AT_REST),
        )
        for row in rows:
            handle = self.env.client.get_workflow_handle(row["host"])
            with suppress(RPCError):  # it was never started, or has ended
                if (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
                    await handle.terminate("the tests are over")


@asynccontextmanager
async def _an_app(
    settings: Settings, postgres: PostgresServer, name: str, env: WorkflowEnvironment
) -> AsyncIterator[FastAPI]:
    async with Database(postgres.url("tessera_api", name), pool_max=12) as database, LeasedIds(database) as ids:
        app = create_app(settings, database, env.client)
        app.state.parts = replace(app.state.parts, ids=ids)
        yield app


@contextmanager
def _a_database(postgres: PostgresServer, name: str) -> Iterator[None]:
    postgres.ensure_roles(name)
    migrations.upgrade(postgres.url("tessera_owner", name))
    yield
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as cx:
        cx.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def _simulated(stack: AsyncExitStack, directory: Path) -> Simulated:
    """All outside parties, each kind a service of its own."""
    clients = []
    for name, serving in (
        ("suppliers", suppliers.serving), ("carriers", carriers.serving), ("topups", topups.serving),
        ("payments", payments.serving),
    ):  # fmt: skip
        own = directory / name
        own.mkdir(parents=True)
        url = stack.enter_context(serving(own))
        client = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30)
        clients.append(await stack.enter_async_context(client))
    return Simulated(*clients)


@asynccontextmanager
async def running_platform(
    postgres: PostgresServer, env: WorkflowEnvironment, directory: Path, name: str, **settings: Any
) -> AsyncIterator[Platform]:
    """A platform with a database of its own. Workers of two platforms would take each other's tasks: one at a time."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_a_database(postgres, name))
        stack.enter_context(env.with_time_skipping_disabled())
        simulated = await _simulated(stack, directory)
        database = await stack.enter_async_context(Database(postgres.url("tessera_worker", name), pool_max=24))
        owner = await stack.enter_async_context(Database(postgres.url("tessera_owner", name), pool_max=6))
        chosen = Settings(worker_sandboxed=True, max_orders_in_flight=64, **settings)
        app = await stack.enter_async_context(_an_app(chosen, postgres, name, env))
        chosen = chosen.model_copy(update={"api_url": await stack.enter_async_context(_listening(app))})
        api = await stack.enter_async_context(AsyncClient(transport=ASGITransport(app), base_url="http://api"))
        interference = Interference(owner)
        workers = await stack.enter_async_context(Workers(chosen, env.client, database, interceptors=[interference]))
        traders = Traders(owner, simulated, chosen)
        platform = Platform(
            env,
            chosen,
            postgres,
            name,
            database,
            owner,
            app,
            api,
            simulated.suppliers,
            workers,
            interference,
            traders,
            stack,
        )
        await traders.open()
        platform.operator = await traders.an_operator()
        stack.push_async_callback(platform.end_what_is_in_motion)
        yield platform
