"""Pools of codes over HTTP: loading and withdrawing codes, and how many are left. Codes are never listed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from api.deps import DatabaseDep, NowDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.inventory import SkuId
from api.views import Input, Instant, View
from domain.access import Action, NotPermitted, Principal
from storage import codes
from storage.catalog_log import log_operation
from storage.catalog_writing import product_of_sku
from storage.database import Connection

router = capability("Inventory")

Reader = Annotated[Principal, require(Action.INVENTORY_READ)]
Writer = Annotated[Principal, require(Action.INVENTORY_WRITE)]
Code = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S(.*\S)?$", examples=["7QK2-M9XA-44TD"])]


class CodesInput(Input):
    """Codes for the variant's pool. After `valid_to` a code is not handed out any more."""

    codes: Annotated[list[Code], Field(min_length=1, max_length=10_000)]
    valid_to: Instant | None = Field(None, examples=["2027-12-31T00:00:00Z"])


class PoolView(View):
    """How many codes of the variant are in each state. `loaded`: new by this request."""

    sku_id: str
    available: int
    held: int
    handed_out: int
    burned: int = Field(description="Handed out and refunded: nobody gets them again.")
    withdrawn: int
    loaded: int | None = None


def _operators_only(caller: Principal) -> None:
    if caller.distributor_id is not None:
        raise NotPermitted(Action.INVENTORY_READ, "pools of codes")


@router.post(
    "/v1/skus/{sku_id}/codes",
    status_code=201,
    response_model=PoolView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["product_not_found"]),
    summary="Load codes into a pool",
)
async def load_codes(sku_id: SkuId, body: CodesInput, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """Each code counts once per variant, for ever: what is there already is left alone. Handed out in this order.

    The variant sells from its pool when its stock policy is `codes`.
    """

    async def load(connection: Connection) -> Answer:
        await product_of_sku(connection, sku_id)
        loaded = await codes.load(connection, sku_id, body.codes, valid_to=body.valid_to, now=now)
        await _log(connection, caller, "codes.load", sku_id, {"loaded": loaded}, now)
        view = PoolView(sku_id=sku_id, loaded=loaded, **await codes.counts(connection, sku_id))
        return Answer(201, view)

    return await keeper.in_transaction(caller, load)


@router.post(
    "/v1/skus/{sku_id}/codes/withdraw",
    response_model=PoolView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["product_not_found"]),
    summary="Withdraw what is left of a pool",
)
async def withdraw_codes(sku_id: SkuId, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """Codes that no order holds are not handed out any more; those that are held go their way."""

    async def withdraw(connection: Connection) -> Answer:
        await product_of_sku(connection, sku_id)
        withdrawn = await codes.withdraw(connection, sku_id)
        await _log(connection, caller, "codes.withdraw", sku_id, {"withdrawn": withdrawn}, now)
        return Answer(200, PoolView(sku_id=sku_id, **await codes.counts(connection, sku_id)))

    return await keeper.in_transaction(caller, withdraw)


@router.get(
    "/v1/skus/{sku_id}/codes",
    response_model=PoolView,
    responses=problems(401, 403, 404, codes=["product_not_found"]),
    summary="Read how much of a pool is left",
)
async def read_pool(sku_id: SkuId, caller: Reader, database: DatabaseDep) -> PoolView:
    """Counts, for operators; what is available is told to distributors with the product."""
    _operators_only(caller)
    async with database.reading() as connection:
        await product_of_sku(connection, sku_id)
        return PoolView(sku_id=sku_id, **await codes.counts(connection, sku_id))


async def _log(
    connection: Connection, caller: Principal, action: str, sku_id: str, after: dict[str, int], now: Instant
) -> None:
    await log_operation(
        connection, at=now, actor=caller.ref, action=action, subject=("sku", sku_id), before=None, after=after
    )
