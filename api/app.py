"""The API's composition root: settings and open connections in, an application out.

`create_app` is handed everything and opens nothing (tests use it); `application` is what `tessera api` and uvicorn's
`--factory` call: it opens the pieces when the server starts and closes them when it stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx2
from fastapi import APIRouter, FastAPI
from temporalio.client import Client

import telemetry
from activities.channel_directory import ChannelDirectory
from activities.payloads import DATA_CONVERTER
from adapters.gate.tokens import TicketKeys
from adapters.payments.registry import PROTOCOLS as CHANNELS
from api import (
    accounts,
    balances,
    bulk_imports,
    catalog,
    catalog_edits,
    catalog_search,
    category_attributes,
    category_tree,
    channel_callbacks,
    checkouts,
    code_pools,
    contract,
    documentation,
    errors,
    events,
    exceptions,
    gate,
    gate_offline,
    inventory,
    offers,
    operations,
    orders,
    payment_channels,
    payments,
    promotions,
    stocktakes,
    supplier_callbacks,
    suppliers,
    tickets,
    users,
    warehouses,
    waybills,
)
from api.deps import Parts, check_declared, utc_now
from api.envelope import Envelope
from api.keys import Keyring
from api.upkeep import keep_up
from domain.categories import CATEGORIES
from settings import Settings
from storage.database import Database
from storage.ids import LeasedIds

ROUTERS: tuple[APIRouter, ...] = (
    checkouts.router,
    orders.router,
    exceptions.router,
    tickets.router,
    gate.router,
    gate_offline.router,
    events.router,
    accounts.router,
    users.router,
    catalog_search.router,  # before `catalog`, whose /v1/products/{product_id} would take its addresses
    catalog.router,
    catalog_edits.router,
    category_tree.router,
    category_attributes.router,
    bulk_imports.router,
    inventory.router,
    code_pools.router,
    offers.router,
    waybills.router,
    promotions.router,
    balances.router,
    warehouses.router,
    stocktakes.router,
    suppliers.router,
    supplier_callbacks.router,
    payments.router,
    payment_channels.router,
    channel_callbacks.router,
    operations.router,
    documentation.router,
)
"""One line per capability."""


class NoCalls(httpx2.AsyncBaseTransport):
    """The API reads what payment channels send, and calls none: that is the workers'."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise RuntimeError(f"the API calls no payment channel: {request.url.host}")


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Api(FastAPI):
    """FastAPI whose contract names the problem document, and says that POST's Idempotency-Key is required."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schema = super().openapi()
            problem = errors.Problem.model_json_schema(ref_template="#/components/schemas/{model}", by_alias=True)
            shapes = schema.setdefault("components", {}).setdefault("schemas", {})
            shapes.update(problem.pop("$defs", {}))
            shapes["Problem"] = {**problem, "additionalProperties": True}
            for _, operation in contract.operations(schema):
                _require_key(operation)
            contract.complete(schema)
        assert self.openapi_schema is not None
        return self.openapi_schema


def _require_key(operation: dict[str, Any]) -> None:
    """The header is optional to the framework only so that its absence has a code of its own."""
    for parameter in operation.get("parameters", ()):
        if parameter["name"].lower() == "idempotency-key":
            parameter["required"] = True
            parameter["schema"] = {"type": "string", "pattern": '^"?[A-Za-z0-9_\\-:.]{1,255}"?$'}
            parameter["example"] = "7d1f3c1e-5a0b-4a53-9d4f-0c9b8f6f2a11"


def create_app(
    settings: Settings,
    database: Database,
    temporal: Client | None,
    *,
    clock: Callable[[], datetime] = utc_now,
    lifespan: Lifespan | None = None,
    routers: tuple[APIRouter, ...] = ROUTERS,
) -> FastAPI:
    """The application on these pieces. Raises UndeclaredRoute when a route says nothing of its permission."""
    CATEGORIES.load(settings.kind_places)
    CHANNELS.load(settings.channel_places)
    app = Api(
        title=documentation.TITLE,
        version="1.0",
        description=documentation.DESCRIPTION,
        openapi_tags=documentation.TAGS,
        docs_url=None,  # ours: Swagger UI without the internet
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    keyring = Keyring(database, settings.pepper.get_secret_value(), clock)
    ticket_keys = TicketKeys.read(settings.ticket_keys.get_secret_value())
    placements = asyncio.Semaphore(settings.max_orders_in_flight)
    channels = ChannelDirectory(database, httpx2.AsyncClient(transport=NoCalls()))
    app.state.parts = Parts(settings, database, temporal, keyring, ticket_keys, channels, clock, placements=placements)
    for router in routers:
        # flat, not nested: nested routers are matched through one more layer at every request
        app.router.routes.extend(router.routes)
    check_declared(app.router.routes)
    errors.install(app)
    app.add_middleware(Envelope)
    return app


def application(settings: Settings | None = None) -> FastAPI:
    """The application that opens its own pieces when the server starts.

    Temporal is connected at the first call that needs it: the API starts, reads and says what is missing without it.
    """
    settings = settings or Settings()
    if settings.api_database_url is None or settings.temporal_address is None:
        raise SystemExit("TESSERA_API_DATABASE_URL and TESSERA_TEMPORAL_ADDRESS say where the API's pieces are.")
    telemetry.configure(settings)
    database = Database(settings.api_database_url, pool_max=settings.database_pool_max)
    address, namespace = settings.temporal_address, settings.temporal_namespace

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client = await Client.connect(address, namespace=namespace, data_converter=DATA_CONVERTER, lazy=True)
        app.state.parts = replace(app.state.parts, temporal=client)
        async with database, LeasedIds(database) as ids:
            app.state.parts = replace(app.state.parts, ids=ids)
            sweeping = asyncio.create_task(keep_up(app.state.parts), name="upkeep")
            yield
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    return create_app(settings, database, None, lifespan=lifespan)
