"""Stock over HTTP: levels, receipts and adjustments. What orders hold of it is the order's workflow's business."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, Field
from starlette.responses import Response

from api.deps import DatabaseDep, NowDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.pages import Page, PagingDep
from api.views import Id, Input, Name, View
from domain.access import Action, NotPermitted, Principal
from storage import stock
from storage.database import Connection
from storage.stock import MAIN_WAREHOUSE, Movement, StockLevel

router = capability("Inventory")

Reader = Annotated[Principal, require(Action.INVENTORY_READ)]
Writer = Annotated[Principal, require(Action.INVENTORY_WRITE)]
SkuId = Annotated[Id, Path(examples=["sku_0f3a9c1d2b4e5f60a1b2"])]
Units = Annotated[int, Field(ge=1, le=10**9, strict=True, examples=[100])]


def _not_zero(units: int) -> int:
    if units == 0:
        raise ValueError("corrects nothing: name the units that are too few, or, negative, too many")
    return units


Correction = Annotated[
    int,
    Field(ge=-(10**9), le=10**9, strict=True, examples=[-2], json_schema_extra={"not": {"const": 0}}),
    AfterValidator(_not_zero),
]


class StockView(View):
    """One variant in one warehouse: on_hand = available + held."""

    sku_id: str
    warehouse_id: str
    on_hand: int
    held: int
    sold: int
    available: int

    @classmethod
    def of(cls, level: StockLevel) -> StockView:
        return cls(**{name: getattr(level, name) for name in cls.model_fields})


class ReceiptInput(Input):
    """Units that came in. `reference` (a delivery note) counts once, for ever."""

    reference: Id = Field(examples=["dn-2026-0042"])
    quantity: Units
    warehouse_id: Id = Field(MAIN_WAREHOUSE, examples=["main"])


class AdjustmentInput(Input):
    """A correction, up or down. `reference` (a stocktake's) counts once, for ever."""

    reference: Id = Field(examples=["stocktake-7"])
    quantity: Correction
    reason: Name = Field(examples=["damaged in transit"])
    warehouse_id: Id = Field(MAIN_WAREHOUSE, examples=["main"])


def _operators_only(caller: Principal) -> None:
    """Distributors learn what is available from the product itself; levels are ours."""
    if caller.distributor_id is not None:
        raise NotPermitted(Action.INVENTORY_READ, "stock levels")


@router.get("/v1/stock", response_model=Page[StockView], responses=problems(401, 403), summary="List stock levels")
async def list_stock(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    sku_id: Annotated[Id | None, Query(description="Only this variant.")] = None,
    below: Annotated[int | None, Query(ge=0, le=10**9, description="Only where fewer are available.")] = None,
) -> Response:
    """Levels per variant and warehouse, for operators; `below` finds what runs low."""
    _operators_only(caller)
    position = paging.after(caller)
    after = (str(position[0]), str(position[1])) if position else None
    async with database.reading() as connection:
        rows = await stock.list_stock(connection, after=after, limit=paging.fetch, sku_id=sku_id, below=below)
    return paging.answer(caller, rows, StockView.of, lambda level: [level.sku_id, level.warehouse_id])


@router.post(
    "/v1/skus/{sku_id}/receipts",
    status_code=201,
    response_model=StockView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["product_not_found", "movement_reused"]),
    summary="Receive stock",
)
async def receive_stock(sku_id: SkuId, body: ReceiptInput, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """Adds units. The same reference again changes nothing and answers the present level."""
    movement = Movement(f"receipt/{body.reference}", sku_id, "received", body.quantity, body.warehouse_id)

    async def receive(connection: Connection) -> Answer:
        return Answer(201, StockView.of(await stock.apply_movement(connection, movement, actor=caller.ref, now=now)))

    return await keeper.in_transaction(caller, receive)


@router.post(
    "/v1/skus/{sku_id}/adjustments",
    status_code=201,
    response_model=StockView,
    responses=problems(
        401, 403, 404, 409, 413, 415, codes=["product_not_found", "movement_reused", "stock_below_held"]
    ),
    summary="Correct stock",
)
async def adjust_stock(
    sku_id: SkuId, body: AdjustmentInput, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """Corrects a level, with its reason; never below what orders hold."""
    movement = Movement(
        f"adjustment/{body.reference}", sku_id, "adjusted", body.quantity, body.warehouse_id, body.reason
    )

    async def adjust(connection: Connection) -> Answer:
        return Answer(201, StockView.of(await stock.apply_movement(connection, movement, actor=caller.ref, now=now)))

    return await keeper.in_transaction(caller, adjust)
