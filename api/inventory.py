"""Stock over HTTP: levels, receipts, adjustments, transfers, alerts. What orders hold is their workflows' business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, Field, model_validator
from starlette.responses import Response

from api.deps import DatabaseDep, NowDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.pages import Page, PagingDep
from api.views import Id, Input, Instant, Name, View
from domain.access import Action, NotPermitted, Principal
from domain.warehouses import MAIN_WAREHOUSE
from storage import stock, stock_alerts
from storage.database import Connection
from storage.stock import Movement, StockLevel, Transfer

router = capability("Inventory")

Reader = Annotated[Principal, require(Action.INVENTORY_READ)]
Writer = Annotated[Principal, require(Action.INVENTORY_WRITE)]
SkuId = Annotated[Id, Path(examples=["sku_0f3a9c1d2b4e5f60a1b2"])]
Units = Annotated[int, Field(ge=1, le=10**9, strict=True, examples=[100])]


_MOVEMENT = ("product_not_found", "warehouse_not_found", "movement_reused")


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
    alert_below: int | None = Field(description="Where fewer are available, an alert is open.")

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


class TransferInput(Input):
    """Units that move between two warehouses. `reference` (a transfer note) counts once, for ever."""

    reference: Id = Field(examples=["tn-2026-0007"])
    quantity: Units
    from_warehouse_id: Id = Field(MAIN_WAREHOUSE, examples=["main"])
    to_warehouse_id: Id = Field(examples=["west"])

    @model_validator(mode="after")
    def _two_sides(self) -> TransferInput:
        if self.from_warehouse_id == self.to_warehouse_id:
            raise ValueError("from_warehouse_id and to_warehouse_id are the same: name two warehouses")
        return self


class TransferView(View):
    """Both sides after the transfer."""

    source: StockView
    target: StockView


class AlertInput(Input):
    """When to tell that a variant runs low in a warehouse; null: never."""

    warehouse_id: Id = Field(MAIN_WAREHOUSE, examples=["main"])
    alert_below: Units | None = Field(examples=[20])


class AlertView(View):
    """That fewer than `alert_below` were available, from `opened_at` until `cleared_at` (null while it is so)."""

    id: int
    sku_id: str
    warehouse_id: str
    alert_below: int
    available: int = Field(description="At the crossing.")
    available_now: int
    opened_at: Instant
    cleared_at: Instant | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> AlertView:
        return cls(**{name: row[name] for name in cls.model_fields})


def operators_only(caller: Principal) -> None:
    """Distributors learn what is available from the product itself; levels are ours."""
    if caller.distributor_id is not None:
        raise NotPermitted(Action.INVENTORY_READ, "stock levels")


SkuFilter = Annotated[Id | None, Query(description="Only this variant.")]
WarehouseFilter = Annotated[Id | None, Query(description="Only this warehouse.")]


@router.get("/v1/stock", response_model=Page[StockView], responses=problems(401, 403), summary="List stock levels")
async def list_stock(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    sku_id: SkuFilter = None,
    warehouse_id: WarehouseFilter = None,
    below: Annotated[int | None, Query(ge=0, le=10**9, description="Only where fewer are available.")] = None,
) -> Response:
    """Levels per variant and warehouse, for operators; `below` finds what runs low."""
    operators_only(caller)
    position = paging.after(caller)
    after = (str(position[0]), str(position[1])) if position else None
    async with database.reading() as connection:
        rows = await stock.list_stock(
            connection, after=after, limit=paging.fetch, sku_id=sku_id, warehouse_id=warehouse_id, below=below
        )
    return paging.answer(caller, rows, StockView.of, lambda level: [level.sku_id, level.warehouse_id])


@router.post(
    "/v1/skus/{sku_id}/receipts",
    status_code=201,
    response_model=StockView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=_MOVEMENT),
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
    responses=problems(401, 403, 404, 409, 413, 415, codes=[*_MOVEMENT, "stock_below_held"]),
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


@router.post(
    "/v1/skus/{sku_id}/transfers",
    status_code=201,
    response_model=TransferView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=[*_MOVEMENT, "stock_below_held"]),
    summary="Move stock between warehouses",
)
async def transfer_stock(
    sku_id: SkuId, body: TransferInput, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """Out of one warehouse and into another at once; what orders hold stays. The same reference again moves nothing."""
    moved = Transfer(f"transfer/{body.reference}", sku_id, body.from_warehouse_id, body.to_warehouse_id, body.quantity)

    async def transfer(connection: Connection) -> Answer:
        source, target = await stock.transfer(connection, moved, actor=caller.ref, now=now)
        return Answer(201, TransferView(source=StockView.of(source), target=StockView.of(target)))

    return await keeper.in_transaction(caller, transfer)


@router.put(
    "/v1/skus/{sku_id}/stock-alert",
    response_model=StockView,
    responses=problems(401, 403, 404, 413, 415, codes=["product_not_found", "warehouse_not_found"]),
    summary="Say when stock is low",
)
async def put_stock_alert(
    sku_id: SkuId, body: AlertInput, caller: Writer, database: DatabaseDep, now: NowDep
) -> StockView:
    """An alert opens, and the event `stock.low` is told, once whenever the units available fall below the limit."""
    async with database.transaction() as connection:
        level = await stock_alerts.set_alert(
            connection, sku_id, body.warehouse_id, body.alert_below, actor=caller.ref, now=now
        )
    return StockView.of(level)


@router.get(
    "/v1/stock-alerts", response_model=Page[AlertView], responses=problems(401, 403), summary="List low-stock alerts"
)
async def list_alerts(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    state: Annotated[Literal["open", "cleared"] | None, Query(description="Only those in this state.")] = None,
    sku_id: SkuFilter = None,
    warehouse_id: WarehouseFilter = None,
) -> Response:
    """What is low now (`state=open`), and what was; newest first."""
    operators_only(caller)
    position = paging.after(caller)
    async with database.reading() as connection:
        rows = await stock_alerts.list_alerts(
            connection,
            after=int(position[0]) if position else None,
            limit=paging.fetch,
            state=state,
            sku_id=sku_id,
            warehouse_id=warehouse_id,
        )
    return paging.answer(caller, rows, AlertView.of, lambda row: [row["id"]])
