"""Stocktakes over HTTP: opened, counted while sales go on, looked at, and closed, which applies the differences."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, Field
from starlette.responses import Response

from api.deps import DatabaseDep, NowDep, capability
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.inventory import Reader, WarehouseFilter, Writer, operators_only
from api.pages import Page, PagingDep
from api.views import Id, Input, Instant, Name, View
from domain.inventory import MAX_STOCKTAKE_SKUS, Count
from domain.warehouses import MAIN_WAREHOUSE
from storage import stocktakes
from storage.database import Connection
from storage.stocktakes import Stocktake

router = capability("Inventory")

StocktakeId = Annotated[Id, Path(examples=["stk_0f3a9c1d2b4e5f60"])]
State = Literal["open", "closed", "canceled"]
_READ = problems(401, 403, 404, codes=["stocktake_not_found"])
_CHANGE = ("stocktake_not_found", "stocktake_not_open")


def _distinct(ids: list[str]) -> list[str]:
    if len(set(ids)) < len(ids):
        raise ValueError("names a variant twice")
    return ids


class StocktakeInput(Input):
    """What to count where."""

    warehouse_id: Id = Field(MAIN_WAREHOUSE, examples=["main"])
    sku_ids: Annotated[
        list[Id],
        Field(min_length=1, max_length=MAX_STOCKTAKE_SKUS, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_distinct),
    ]
    note: Name | None = Field(None, examples=["end of the season"])


class CountInput(Input):
    """Units found of one variant; those that orders hold are still there and count, those sold do not."""

    sku_id: Id
    counted: int = Field(ge=0, le=10**9, strict=True, examples=[98])


def _one_each(counts: list[CountInput]) -> list[CountInput]:
    _distinct([each.sku_id for each in counts])
    return counts


class CountsInput(Input):
    """Counts of one round; each is judged against what is on hand when it is written."""

    counts: Annotated[list[CountInput], Field(min_length=1, max_length=MAX_STOCKTAKE_SKUS), AfterValidator(_one_each)]


class StocktakeLineView(View):
    """`difference` = counted - expected: what closing adds, or, negative, takes away. Null until it is counted."""

    sku_id: str
    counted: int | None
    expected: int | None = Field(description="On hand when it was counted.")
    difference: int | None
    on_hand: int = Field(description="Now.")
    held: int = Field(description="Of those on hand now, held by orders.")
    counted_by: str | None
    counted_at: Instant | None

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> StocktakeLineView:
        """From its row."""
        done = line["counted"] is not None
        difference = Count(line["sku_id"], line["counted"], line["expected"]).difference if done else None
        return cls(**line, difference=difference)


class StocktakeSummary(View):
    """A stocktake without its lines: `counted` of `lines` are done."""

    id: str
    warehouse_id: str
    note: str
    state: State
    opened_by: str
    opened_at: Instant
    ended_by: str | None
    ended_at: Instant | None
    lines: int
    counted: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StocktakeSummary:
        """From its row."""
        return cls(**row)


class StocktakeView(View):
    """A stocktake with its lines by variant."""

    id: str
    warehouse_id: str
    note: str
    state: State
    opened_by: str
    opened_at: Instant
    ended_by: str | None
    ended_at: Instant | None
    lines: list[StocktakeLineView]

    @classmethod
    def of(cls, found: Stocktake) -> StocktakeView:
        """From its rows."""
        return cls(**found.row, lines=[StocktakeLineView.of(line) for line in found.lines])


@router.post(
    "/v1/stocktakes",
    status_code=201,
    response_model=StocktakeView,
    responses=problems(
        401, 403, 404, 409, 413, 415, codes=["warehouse_not_found", "product_not_found", "stocktake_overlaps"]
    ),
    summary="Open a stocktake",
)
async def open_stocktake(body: StocktakeInput, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """Begins to count some variants in a warehouse. Sales go on."""

    async def begin(connection: Connection) -> Answer:
        stocktake_id = f"stk_{secrets.token_hex(8)}"
        found = await stocktakes.open_stocktake(
            connection,
            stocktake_id,
            body.warehouse_id,
            body.sku_ids,
            note=body.note or "",
            actor=caller.ref,
            now=now,
        )
        return Answer(201, StocktakeView.of(found), {"Location": f"/v1/stocktakes/{stocktake_id}"})

    return await keeper.in_transaction(caller, begin)


@router.get(
    "/v1/stocktakes", response_model=Page[StocktakeSummary], responses=problems(401, 403), summary="List stocktakes"
)
async def list_stocktakes(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
    warehouse_id: WarehouseFilter = None,
) -> Response:
    """Newest first."""
    operators_only(caller)
    position = paging.after(caller)
    after = (datetime.fromisoformat(str(position[0])), str(position[1])) if position else None
    async with database.reading() as connection:
        rows = await stocktakes.list_stocktakes(
            connection, after=after, limit=paging.fetch, state=state, warehouse_id=warehouse_id
        )
    return paging.answer(caller, rows, StocktakeSummary.of, lambda row: [row["opened_at"].isoformat(), row["id"]])


@router.get("/v1/stocktakes/{stocktake_id}", response_model=StocktakeView, responses=_READ, summary="Read a stocktake")
async def read_stocktake(stocktake_id: StocktakeId, caller: Reader, database: DatabaseDep) -> StocktakeView:
    """Each line with its count and difference."""
    operators_only(caller)
    async with database.reading() as connection:
        return StocktakeView.of(await stocktakes.read_stocktake(connection, stocktake_id))


@router.post(
    "/v1/stocktakes/{stocktake_id}/counts",
    response_model=StocktakeView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=[*_CHANGE, "not_in_stocktake"]),
    summary="Enter counts",
)
async def enter_counts(
    stocktake_id: StocktakeId, body: CountsInput, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """What was found, now. A later count of a variant replaces its earlier one."""
    counted = {each.sku_id: each.counted for each in body.counts}

    async def count(connection: Connection) -> Answer:
        found = await stocktakes.count_lines(connection, stocktake_id, counted, actor=caller.ref, now=now)
        return Answer(200, StocktakeView.of(found))

    return await keeper.in_transaction(caller, count)


@router.post(
    "/v1/stocktakes/{stocktake_id}/close",
    response_model=StocktakeView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=[*_CHANGE, "stocktake_incomplete", "stock_below_held"]),
    summary="Close a stocktake",
)
async def close_stocktake(stocktake_id: StocktakeId, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """Applies the differences, all or none; never below what orders hold. Closed already, it is shown as it is."""

    async def close(connection: Connection) -> Answer:
        found = await stocktakes.close_stocktake(connection, stocktake_id, actor=caller.ref, now=now)
        return Answer(200, StocktakeView.of(found))

    return await keeper.in_transaction(caller, close)


@router.post(
    "/v1/stocktakes/{stocktake_id}/cancel",
    response_model=StocktakeView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=_CHANGE),
    summary="Cancel a stocktake",
)
async def cancel_stocktake(stocktake_id: StocktakeId, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """Ends it without any effect; its variants may be counted by another."""

    async def cancel(connection: Connection) -> Answer:
        found = await stocktakes.cancel_stocktake(connection, stocktake_id, actor=caller.ref, now=now)
        return Answer(200, StocktakeView.of(found))

    return await keeper.in_transaction(caller, cancel)
