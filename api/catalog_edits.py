"""Editing the catalogue over HTTP: texts, lifecycle, prices, where a variant's stock is. Each edit is logged."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Path
from starlette.responses import Response

from api.catalog import ProductId, Writer
from api.catalog_views import Eyes, PriceInput, ProductEdit, ProductView, StockPolicyInput, TransitionInput
from api.deps import DatabaseDep, NowDep, capability
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.views import Id
from domain.access import Principal
from domain.catalog import DEFAULT_CHANNEL
from storage import catalog_reading, catalog_writing, stock_policies
from storage.catalog_reading import Visibility
from storage.database import Connection

router = capability("Catalogue")

SkuId = Annotated[Id, Path(examples=["sku_0f3a9c1d2b4e5f60a1b2"])]
IfMatch = Annotated[str | None, Header(max_length=64, description="The `ETag` that was read.", examples=['"3"'])]

_TAG = re.compile(r'(?:W/)?"(\d{1,9})"', re.ASCII)
_EDIT = problems(401, 403, 404, 409, 412, 413, 415, codes=["product_not_found"])


def version_of(if_match: str | None) -> int | None:
    """The version that `If-Match` expects; None for any. A tag that is none of ours matches no version."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _TAG.fullmatch(if_match.strip())
    return int(match.group(1)) if match else -1


async def _shown(connection: Connection, caller: Principal, product_id: str, now: NowDep) -> Answer:
    detail = await catalog_reading.get_product(connection, product_id, Visibility())
    view = Eyes(caller, DEFAULT_CHANNEL, None, now).product(detail)
    return Answer(200, view, {"ETag": f'"{detail.row["version"]}"'})


@router.patch("/v1/products/{product_id}", response_model=ProductView, responses=_EDIT, summary="Edit a product")
async def edit_product(
    product_id: ProductId,
    body: ProductEdit,
    caller: Writer,
    database: DatabaseDep,
    now: NowDep,
    if_match: IfMatch = None,
) -> Response:
    """Sets the fields that are given. Orders keep the snapshot of what their buyer saw."""
    changes = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    async with database.transaction() as connection:
        await catalog_writing.edit_product(
            connection, product_id, changes, if_version=version_of(if_match), actor=caller.ref, now=now
        )
        return (await _shown(connection, caller, product_id, now)).response()


@router.post(
    "/v1/products/{product_id}/transitions",
    response_model=ProductView,
    responses={**_EDIT, **problems(401, 403, 404, 409, 412, 413, 415, codes=["illegal_transition"])},
    summary="Move a product through its lifecycle",
)
async def move_product(
    product_id: ProductId,
    body: TransitionInput,
    caller: Writer,
    keeper: KeeperDep,
    now: NowDep,
    if_match: IfMatch = None,
) -> Response:
    """One event: `submit`, `approve`, `put_on_shelf`, ...; an event that is not possible now names where it is."""

    async def move(connection: Connection) -> Answer:
        await catalog_writing.move_product(
            connection,
            product_id,
            body.event,
            actor=caller.ref,
            now=now,
            reason=body.reason,
            if_version=version_of(if_match),
        )
        return await _shown(connection, caller, product_id, now)

    return await keeper.in_transaction(caller, move)


@router.post(
    "/v1/skus/{sku_id}/prices",
    response_model=ProductView,
    responses={**_EDIT, **problems(401, 403, 404, 409, 413, 415, codes=["price_exists", "price_in_the_past"])},
    summary="Set a price from a date on",
)
async def set_price(sku_id: SkuId, body: PriceInput, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """A new price in a channel and currency. Prices are ended, never edited; none begins in the past."""

    async def price(connection: Connection) -> Answer:
        await catalog_writing.set_price(
            connection,
            sku_id,
            channel=body.channel,
            currency=body.price.currency,
            amount_minor=body.price.amount_minor,
            valid_from=body.valid_from,
            actor=caller.ref,
            now=now,
        )
        return await _shown(connection, caller, await catalog_writing.product_of_sku(connection, sku_id), now)

    return await keeper.in_transaction(caller, price)


@router.put(
    "/v1/skus/{sku_id}/stock-policy",
    response_model=ProductView,
    responses=problems(401, 403, 404, 409, 412, 413, 415, codes=["product_not_found", "variant_in_orders"]),
    summary="Choose between own quota and the supplier's allotment",
)
async def set_stock_policy(
    sku_id: SkuId, body: StockPolicyInput, caller: Writer, database: DatabaseDep, now: NowDep
) -> Response:
    """`none` sells from the supplier's allotment; with own quota, receive stock for the variant; `codes` are loaded.

    Between these three it changes only while no order with the variant is in motion.
    """
    async with database.transaction() as connection:
        await stock_policies.set_stock_policy(
            connection, sku_id, body.stock_policy, lock_at_supplier=body.lock_at_supplier, actor=caller.ref, now=now
        )
        product_id = await catalog_writing.product_of_sku(connection, sku_id)
        return (await _shown(connection, caller, product_id, now)).response()
