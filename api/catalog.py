"""The catalogue over HTTP: import, lists by change, details, sessions. Editing what is there: catalog_edits.py."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from api.catalog_views import Eyes, OperationView, ProductView, SessionsView, SessionView
from api.deps import DatabaseDep, NowDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.pages import Page, PagingDep
from api.views import Id, Instant
from domain.access import Action, Principal
from domain.catalog import DEFAULT_CHANNEL, ProductStatus, UnknownCategory
from domain.imports import DocumentRefused, ImportedProduct, parse_product
from storage import accounts, catalog_reading
from storage.catalog_imports import create_imported
from storage.catalog_reading import ProductQuery, Visibility
from storage.database import Connection

router = capability("Catalogue")

Reader = Annotated[Principal, require(Action.CATALOG_READ)]
Writer = Annotated[Principal, require(Action.CATALOG_WRITE)]
ProductId = Annotated[Id, Path(examples=["prd_0f3a9c1d2b4e5f60a1b2"])]

SESSION_DAYS = 31
"""The longest span of sessions in one answer."""

EXAMPLE: dict[str, Any] = {
    "categoryId": 1003001,
    "spu": {"name": "Museum tote bag", "brandId": 2001, "description": "Cotton canvas"},
    "basicAttributes": [{"attributeId": 102, "attributeName": "material", "value": "cotton"}],
    "skus": [
        {
            "skuName": "natural",
            "price": 79.00,
            "stock": 100,
            "salesAttributes": [{"attributeId": 201, "attributeName": "colour", "value": "natural"}],
        }
    ],
}
_IMPORT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["categoryId", "spu", "skus"]},
                "example": EXAMPLE,
            }
        },
    }
}


@contextmanager
def _as_input() -> Iterator[None]:
    """What is wrong with a document is wrong with the request's body."""
    try:
        yield
    except UnknownCategory as error:
        fault = {"type": error.code, "loc": ("body", "categoryId"), "msg": str(error)}
        raise RequestValidationError([fault]) from error
    except DocumentRefused as error:
        faults = [_located(each.pointer, each.code, each.detail) for each in error.faults]
        raise RequestValidationError(faults) from error


async def document_of(request: Request) -> ImportedProduct:
    """The body as a merchant's document, read from its own text so that no price is ever a float."""
    with _as_input():
        return parse_product(await request.body())


def _located(pointer: str, code: str, detail: str) -> dict[str, Any]:
    kind = "json_invalid" if code == "not_json" else code
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return {"type": kind, "loc": ("body", *parts), "msg": detail}


async def eyes_of(caller: Reader, database: DatabaseDep, now: NowDep) -> Eyes:
    """How this caller sees the catalogue: a distributor by its grants, in its channel and currency; a shopper in our
    storefront's."""
    if caller.distributor_id is None:
        return Eyes(caller, DEFAULT_CHANNEL, None, now)
    async with database.reading() as connection:
        row = await accounts.distributor(connection, caller.distributor_id)
    return Eyes(caller, row["channel"], row["currency"], now)


Seeing = Annotated[Eyes, Depends(eyes_of)]


@router.post(
    "/v1/products/import",
    status_code=201,
    response_model=ProductView,
    responses=problems(401, 403, 409, 413, 415),
    summary="Import a product document",
    openapi_extra=_IMPORT_BODY,
)
async def import_product(
    caller: Writer,
    document: Annotated[ImportedProduct, Depends(document_of)],
    keeper: KeeperDep,
    now: NowDep,
) -> Response:
    """A merchant's product with its variants, first prices (decimal, in CNY) and stock; it becomes a `draft`.

    `categoryId` decides the kind: a category of the tree, whose attributes are checked, or else a merchants' family
    (1003xxx physical, 1005xxx virtual) with default weight and size. All faults of a document are named at once, each
    with its place; nothing is rounded.
    """

    async def create(connection: Connection) -> Answer:
        product_id = f"prd_{secrets.token_hex(10)}"
        with _as_input():
            await create_imported(connection, document, product_id=product_id, actor=caller.ref, now=now)
        detail = await catalog_reading.get_product(connection, product_id, Visibility())
        view = Eyes(caller, DEFAULT_CHANNEL, None, now).product(detail)
        return Answer(201, view, {"Location": f"/v1/products/{product_id}"})

    return await keeper.in_transaction(caller, create)


@router.get(
    "/v1/products", response_model=Page[ProductView], responses=problems(401, 403), summary="List products by change"
)
async def list_products(
    eyes: Seeing,
    paging: PagingDep,
    database: DatabaseDep,
    status: Annotated[ProductStatus | None, Query(description="Distributors only ever see `on_shelf`.")] = None,
    kind: Annotated[str | None, Query(max_length=64, examples=["ticket"])] = None,
    category_id: Annotated[Id | None, Query(description="This category, or one below it.")] = None,
    supplier_id: Annotated[Id | None, Query(examples=["northgate"])] = None,
    updated_since: Annotated[Instant | None, Query(description="Changed then or later.")] = None,
) -> Response:
    """Products in the order of their last change. To keep up with changes, read `GET /v1/products/changes` instead: it
    misses nothing that was being written meanwhile, and tells what is gone."""
    query = ProductQuery(status, kind, category_id, supplier_id, updated_since)
    position = paging.after(eyes.caller)
    after = (datetime.fromisoformat(str(position[0])), str(position[1])) if position else None
    async with database.reading() as connection:
        rows = await catalog_reading.list_products(connection, query, eyes.visible, after=after, limit=paging.fetch)
    return paging.answer(
        eyes.caller, rows, eyes.product, lambda each: [each.row["updated_at"].isoformat(), each.row["id"]]
    )


@router.get(
    "/v1/products/{product_id}",
    response_model=ProductView,
    responses=problems(401, 403, 404, codes=["product_not_found"]),
    summary="Read a product",
)
async def read_product(product_id: ProductId, eyes: Seeing, database: DatabaseDep, response: Response) -> ProductView:
    """A product with variants, the prices in effect for the caller, and a preview of its fulfilment."""
    async with database.reading() as connection:
        detail = await catalog_reading.get_product(connection, product_id, eyes.visible)
    response.headers["ETag"] = f'"{detail.row["version"]}"'
    return eyes.product(detail)


@router.get(
    "/v1/products/{product_id}/sessions",
    response_model=SessionsView,
    responses=problems(401, 403, 404, codes=["product_not_found"]),
    summary="List a product's sessions",
)
async def list_sessions(
    product_id: ProductId,
    eyes: Seeing,
    database: DatabaseDep,
    now: NowDep,
    begin: Annotated[Instant | None, Query(alias="from", description="First start; default: now.")] = None,
    end: Annotated[Instant | None, Query(alias="to", description="Before this start; at most 31 days later.")] = None,
) -> SessionsView:
    """What can be booked, as last read from the suppliers; a lock decides."""
    first = now if begin is None else begin
    longest = first + timedelta(days=SESSION_DAYS)
    last = longest if end is None else min(end, longest)
    async with database.reading() as connection:
        await catalog_reading.get_product(connection, product_id, eyes.visible)
        rows = await catalog_reading.list_sessions(connection, product_id, first, last)
    return SessionsView(data=[SessionView(**row) for row in rows])


@router.get(
    "/v1/products/{product_id}/operations",
    response_model=Page[OperationView],
    responses=problems(401, 403, 404, codes=["product_not_found"]),
    summary="Read a product's operation log",
)
async def list_operations(product_id: ProductId, caller: Writer, paging: PagingDep, database: DatabaseDep) -> Response:
    """Who changed what of the product and its variants, newest first."""
    position = paging.after(caller)
    before = int(position[0]) if position else None
    async with database.reading() as connection:
        detail = await catalog_reading.get_product(connection, product_id, Visibility())
        subjects = [product_id, *(sku.row["id"] for sku in detail.skus)]
        rows = await catalog_reading.read_log(connection, subjects, before=before, limit=paging.fetch)
    return paging.answer(caller, rows, OperationView.of, lambda row: [row["id"]])
