"""Suppliers over HTTP: contracts, scorecards, breakers, and the sync of their catalogues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import Response
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.catalog_messages import CatalogSync
from adapters.suppliers.registry import PROTOCOLS
from api.deps import DatabaseDep, NowDep, TemporalDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.supplier_views import (
    BreakerInput,
    BreakerView,
    ScorecardView,
    SupplierCreate,
    SupplierEdit,
    SuppliersView,
    SupplierView,
    SyncView,
)
from api.views import Id
from domain.access import Action, NotPermitted, Principal
from domain.errors import DomainError
from storage import scorecard, supplier_contracts
from storage.database import Connection
from workflows.catalog import CATALOG_TASK_QUEUE, CatalogSyncWorkflow, catalog_workflow_id

router = capability("Suppliers")

RPC_TIMEOUT = timedelta(seconds=5)

Reader = Annotated[Principal, require(Action.SUPPLIER_READ)]
Writer = Annotated[Principal, require(Action.SUPPLIER_WRITE)]
SupplierId = Annotated[Id, Path(examples=["northgate"])]
_READ = problems(401, 403, 404, codes=["supplier_not_found"])


class SupplierExists(DomainError):
    code = "supplier_exists"

    def __init__(self, supplier_id: str) -> None:
        super().__init__(f"{supplier_id} exists already: change it with PATCH.")


class SyncNotFound(DomainError):
    code = "sync_not_found"

    def __init__(self, supplier_id: str) -> None:
        super().__init__(f"The catalogue of {supplier_id} was not synchronised lately: start a sync.")


def check_settings(protocol: str, settings: Mapping[str, Any]) -> None:
    """Refuses what the protocol cannot work by, with pointers into the settings. Raises RequestValidationError."""
    try:
        PROTOCOLS[protocol].settings.model_validate(settings)
    except ValidationError as invalid:
        found = invalid.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError(
            [{**error, "loc": ("body", "protocol_settings", *error["loc"])} for error in found]
        ) from invalid


@router.post(
    "/v1/suppliers",
    status_code=201,
    response_model=SupplierView,
    responses=problems(401, 403, 409, 413, 415, codes=["supplier_exists"]),
    summary="Create a supplier",
)
async def create_supplier(body: SupplierCreate, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """A contract: where and how it is spoken to, its limits, and how patiently it is asked."""
    check_settings(body.protocol, body.protocol_settings)

    async def create(connection: Connection) -> Answer:
        if not await supplier_contracts.put_supplier(connection, body.id, body.contract(), actor=caller.ref, now=now):
            raise SupplierExists(body.id)
        view = SupplierView.of(await supplier_contracts.get_supplier(connection, body.id))
        return Answer(201, view, {"Location": f"/v1/suppliers/{body.id}"})

    return await keeper.in_transaction(caller, create)


@router.get("/v1/suppliers", response_model=SuppliersView, responses=problems(401, 403), summary="List suppliers")
async def list_suppliers(
    _: Reader,
    database: DatabaseDep,
    active: Annotated[bool, Query(description="Only those that are active.")] = False,
) -> SuppliersView:
    """All suppliers by id, without their tokens."""
    async with database.reading() as connection:
        rows = await supplier_contracts.list_suppliers(connection, active_only=active)
    return SuppliersView(data=[SupplierView.of(row) for row in rows])


@router.get("/v1/suppliers/{supplier_id}", response_model=SupplierView, responses=_READ, summary="Read a supplier")
async def read_supplier(supplier_id: SupplierId, _: Reader, database: DatabaseDep) -> SupplierView:
    """The contract, without its token."""
    async with database.reading() as connection:
        return SupplierView.of(await supplier_contracts.get_supplier(connection, supplier_id))


@router.patch(
    "/v1/suppliers/{supplier_id}",
    response_model=SupplierView,
    responses=problems(401, 403, 404, 413, 415, codes=["supplier_not_found"]),
    summary="Change a supplier's contract",
)
async def edit_supplier(
    supplier_id: SupplierId, body: SupplierEdit, caller: Writer, database: DatabaseDep, now: NowDep
) -> SupplierView:
    """Sets the terms that are given; the next call to the supplier goes by them."""
    async with database.transaction() as connection:
        known = await supplier_contracts.get_supplier(connection, supplier_id)
        if body.protocol_settings is not None:
            check_settings(known.protocol, body.protocol_settings)
        await supplier_contracts.put_supplier(connection, supplier_id, body.contract(), actor=caller.ref, now=now)
        return SupplierView.of(await supplier_contracts.get_supplier(connection, supplier_id))


@router.get(
    "/v1/suppliers/{supplier_id}/scorecard",
    response_model=ScorecardView,
    responses=_READ,
    summary="Read a supplier's scorecard",
)
async def read_scorecard(
    supplier_id: SupplierId,
    _: Reader,
    database: DatabaseDep,
    now: NowDep,
    hours: Annotated[int, Query(ge=1, le=24 * 90, description="How far back to count.")] = 24,
) -> ScorecardView:
    """Answer times, shares of unknown answers and refusals, contradictions, and the time to certainty."""
    since = now - timedelta(hours=hours)
    async with database.reading() as connection:
        await supplier_contracts.get_supplier(connection, supplier_id)
        return ScorecardView.of(supplier_id, since, await scorecard.read_scorecard(connection, supplier_id, since))


@router.get(
    "/v1/suppliers/{supplier_id}/breaker",
    response_model=BreakerView,
    responses=_READ,
    summary="Read a supplier's breaker",
)
async def read_breaker(supplier_id: SupplierId, _: Reader, database: DatabaseDep) -> BreakerView:
    """Whether locks are tried at this supplier now, and who decided that."""
    async with database.reading() as connection:
        await supplier_contracts.get_supplier(connection, supplier_id)
        return BreakerView.of(supplier_id, *await supplier_contracts.read_breaker(connection, supplier_id))


@router.put(
    "/v1/suppliers/{supplier_id}/breaker",
    response_model=BreakerView,
    responses=problems(401, 403, 404, 413, 415, codes=["supplier_not_found"]),
    summary="Force a supplier's breaker",
)
async def put_breaker(
    supplier_id: SupplierId, body: BreakerInput, caller: Writer, database: DatabaseDep, now: NowDep
) -> BreakerView:
    """`forced_open` sends no locks there, `forced_closed` sends them whatever happens, `closed` gives it back."""
    async with database.transaction() as connection:
        await supplier_contracts.force_breaker(
            connection, supplier_id, body.state, actor=caller.ref, now=now, reason=body.reason
        )
        return BreakerView.of(supplier_id, *await supplier_contracts.read_breaker(connection, supplier_id))


@router.post(
    "/v1/suppliers/{supplier_id}/catalog-syncs",
    status_code=202,
    response_model=SyncView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["supplier_not_found"]),
    summary="Synchronise a supplier's catalogue",
)
async def start_sync(
    supplier_id: SupplierId, caller: Writer, keeper: KeeperDep, database: DatabaseDep, client: TemporalDep
) -> Response:
    """Starts the sync, or joins the one that runs; `Location` is polled for its report."""

    async def start() -> Answer:
        async with database.reading() as connection:
            await supplier_contracts.get_supplier(connection, supplier_id)
        await start_catalog_sync(client, supplier_id)
        view = SyncView(supplier_id=supplier_id, workflow_id=catalog_workflow_id(supplier_id), state="running")
        return Answer(202, view, {"Location": f"/v1/suppliers/{supplier_id}/catalog-sync"})

    return await keeper.elsewhere(caller, start)


async def start_catalog_sync(client: Client, supplier_id: str) -> None:
    """One sync per supplier at a time: a second start joins the first."""
    await client.start_workflow(
        CatalogSyncWorkflow.run,
        CatalogSync(supplier_id),
        id=catalog_workflow_id(supplier_id),
        task_queue=CATALOG_TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=f"Catalogue of {supplier_id}",
        rpc_timeout=RPC_TIMEOUT,
    )


@router.get(
    "/v1/suppliers/{supplier_id}/catalog-sync",
    response_model=SyncView,
    responses=problems(401, 403, 404, codes=["sync_not_found"]),
    summary="Read the latest sync of a supplier's catalogue",
)
async def read_sync(supplier_id: SupplierId, caller: Reader, client: TemporalDep) -> SyncView:
    """Whether it runs, and what it did."""
    if caller.distributor_id is not None:
        raise NotPermitted(Action.SUPPLIER_READ)
    workflow_id = catalog_workflow_id(supplier_id)
    handle = client.get_workflow_handle_for(CatalogSyncWorkflow.run, workflow_id)
    try:
        status = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).status
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise SyncNotFound(supplier_id) from error
        raise
    if status is WorkflowExecutionStatus.RUNNING:
        return SyncView(supplier_id=supplier_id, workflow_id=workflow_id, state="running")
    if status is not WorkflowExecutionStatus.COMPLETED:
        return SyncView(supplier_id=supplier_id, workflow_id=workflow_id, state="failed")
    report = asdict(await handle.result(rpc_timeout=RPC_TIMEOUT))
    return SyncView(supplier_id=supplier_id, workflow_id=workflow_id, state="completed", report=report)
