"""Warehouses over HTTP: where stock can be, and which place serves an order first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response

from api.catalog_edits import IfMatch, version_of
from api.deps import DatabaseDep, NowDep, capability
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.inventory import Reader, Writer, operators_only
from api.pages import Page, PagingDep
from api.views import Flag, Id, Input, Instant, Name, View
from storage import warehouses
from storage.database import Connection

router = capability("Inventory")

WarehouseId = Annotated[Id, Path(examples=["main"])]
Country = Annotated[
    str, Field(pattern=r"^([A-Z]{2})?$", examples=["CN"], description="ISO 3166-1 alpha-2; blank if not known.")
]
PlaceName = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$", examples=["四川"])]
Rank = Annotated[int, Field(ge=0, le=1000, strict=True, examples=[10])]
_READ = problems(401, 403, 404, codes=["warehouse_not_found"])


class WarehouseInput(Input):
    """A new warehouse. Names of places are compared with those of addresses, without regard to case."""

    id: Id = Field(examples=["west"])
    name: Name = Field(examples=["Chengdu depot"])
    country: Country = ""
    region: PlaceName = ""
    city: PlaceName = ""
    rank: Rank = Field(0, description="Of equally near warehouses the lowest is asked first.")
    active: Flag = True


class WarehouseEdit(Input):
    """The fields to set. Nothing more is promised from a warehouse that is not active."""

    name: Name | None = None
    country: Country | None = None
    region: PlaceName | None = None
    city: PlaceName | None = None
    rank: Rank | None = None
    active: Flag | None = None


class WarehouseView(View):
    """A warehouse. Its `ETag` is its version."""

    id: str
    name: str
    country: str
    region: str
    city: str
    rank: int
    active: bool
    version: int
    created_at: Instant

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> WarehouseView:
        """From its row."""
        return cls(**row)


def _shown(row: Mapping[str, Any], status: int = 200, **headers: str) -> Answer:
    return Answer(status, WarehouseView.of(row), {"ETag": f'"{row["version"]}"', **headers})


@router.post(
    "/v1/warehouses",
    status_code=201,
    response_model=WarehouseView,
    responses=problems(401, 403, 409, 413, 415, codes=["warehouse_exists"]),
    summary="Create a warehouse",
)
async def create_warehouse(body: WarehouseInput, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """A place that stock can be received in. Orders are served by the nearest that has what they want."""

    async def create(connection: Connection) -> Answer:
        facts = body.model_dump(exclude={"id"})
        row = await warehouses.add_warehouse(connection, body.id, facts, actor=caller.ref, now=now)
        return _shown(row, 201, Location=f"/v1/warehouses/{body.id}")

    return await keeper.in_transaction(caller, create)


@router.get(
    "/v1/warehouses", response_model=Page[WarehouseView], responses=problems(401, 403), summary="List warehouses"
)
async def list_warehouses(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    active: Annotated[bool, Query(description="Only those that are active.")] = False,
) -> Response:
    """By id."""
    operators_only(caller)
    position = paging.after(caller)
    after = str(position[0]) if position else None
    async with database.reading() as connection:
        rows = await warehouses.list_warehouses(connection, after=after, limit=paging.fetch, active_only=active)
    return paging.answer(caller, rows, WarehouseView.of, lambda row: [row["id"]])


@router.get("/v1/warehouses/{warehouse_id}", response_model=WarehouseView, responses=_READ, summary="Read a warehouse")
async def read_warehouse(warehouse_id: WarehouseId, caller: Reader, database: DatabaseDep) -> Response:
    """With its `ETag`, for an edit."""
    operators_only(caller)
    async with database.reading() as connection:
        return _shown(await warehouses.get_warehouse(connection, warehouse_id)).response()


@router.patch(
    "/v1/warehouses/{warehouse_id}",
    response_model=WarehouseView,
    responses=problems(401, 403, 404, 412, 413, 415, codes=["warehouse_not_found"]),
    summary="Edit a warehouse",
)
async def edit_warehouse(
    warehouse_id: WarehouseId,
    body: WarehouseEdit,
    caller: Writer,
    database: DatabaseDep,
    now: NowDep,
    if_match: IfMatch = None,
) -> Response:
    """Sets the fields that are given. Orders that are held elsewhere, or here, stay where they are."""
    changes = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    async with database.transaction() as connection:
        row = await warehouses.edit_warehouse(
            connection, warehouse_id, changes, if_version=version_of(if_match), actor=caller.ref, now=now
        )
    return _shown(row).response()
