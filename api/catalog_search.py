"""Finding products, and keeping up with them: full-text search, and the feed of changes that tells what is gone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field
from starlette.responses import Response

from api.catalog import Seeing
from api.catalog_views import Channel, Eyes, ProductView
from api.deps import DatabaseDep, capability
from api.errors import problems
from api.pages import Page, PagingDep
from api.views import MAX_MINOR, Currency, Id, Instant, View
from domain.catalog import ProductStatus
from domain.errors import DomainError
from storage import catalog_feed, catalog_search
from storage.catalog_feed import Change
from storage.catalog_reading import ProductDetail, load_products
from storage.catalog_search import Found, Search

router = capability("Catalogue")

MAX_ATTRIBUTES = 10


class FeedScopeChanged(DomainError):
    """What the reader is permitted to see is not what it was when its cursor was made."""

    code = "feed_scope_changed"

    def __init__(self) -> None:
        super().__init__(
            "Your permissions have changed since this cursor: read the feed anew without one, and drop every product "
            "that this reading does not list."
        )


class ChangeView(View):
    """The latest change of a product. `gone`: it has left the shelf or your permissions; `product` is null then."""

    product_id: str = Field(examples=["prd_0f3a9c1d2b4e5f60a1b2"])
    state: Literal["present", "gone"]
    version: int = Field(description="Of the product; a smaller one than you hold is old news.")
    updated_at: Instant
    product: ProductView | None


def _attribute(text: str) -> str:
    name, colon, value = text.partition(":")
    if not (colon and name.strip() and value.strip()) or "\x00" in text:
        raise ValueError("has to be name:value, such as colour:black")
    return text


Attribute = Annotated[str, AfterValidator(_attribute)]
Amount = Annotated[int | None, Query(ge=0, le=MAX_MINOR, description="Minor units of `currency`.", examples=[1999])]


def _search(eyes: Eyes, currency: str | None, channel: str | None, **asked: Any) -> Search:
    """With the price of the caller's channel and currency; operators choose theirs. Raises RequestValidationError."""
    search = Search(now=eyes.now, channel=channel or eyes.channel, currency=eyes.currency or currency or "", **asked)
    if not eyes.operator and (channel or (currency and currency != eyes.currency)):
        name = "channel" if channel else "currency"
        raise _wrong(name, f"leave {name} out: your prices are those of your contract, in {eyes.currency}")
    if search.priced and not search.currency:
        raise _wrong("currency", "name the currency that price_min and price_max are in")
    return search


def _wrong(name: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("query", name), "msg": message}])


@router.get(
    "/v1/products/search", response_model=Page[ProductView], responses=problems(401, 403), summary="Search products"
)
async def search_products(
    eyes: Seeing,
    paging: PagingDep,
    database: DatabaseDep,
    q: Annotated[str, Query(max_length=200, description="Words, in any script.", examples=["博物馆 adult"])] = "",
    category_id: Annotated[Id | None, Query(description="This category, or one below it.")] = None,
    brand_id: Annotated[Id | None, Query(examples=["2001"], description="This brand.")] = None,
    attribute: Annotated[
        list[Attribute],
        Query(max_length=MAX_ATTRIBUTES, description="`name:value`, exact but for capitals; several must all hold."),
    ] = [],  # noqa: B006 - FastAPI copies it
    kind: Annotated[str | None, Query(max_length=64, examples=["ticket"])] = None,
    status: Annotated[ProductStatus | None, Query(description="Distributors only ever see `on_shelf`.")] = None,
    price_min: Amount = None,
    price_max: Amount = None,
    currency: Annotated[Currency | None, Query(description="Of the prices; distributors have their own.")] = None,
    channel: Annotated[Channel | None, Query(description="Operators: whose prices; default: `default`.")] = None,
) -> Response:
    """Every word has to be in the product's title, variants, attributes or description, or in the name of its brand or
    a category above it. The best come first: the title counts most. A product fits a price when one of its variants
    has it now, in the caller's channel."""
    search = _search(
        eyes,
        currency,
        channel,
        text=q,
        category_id=category_id,
        brand_id=brand_id,
        kind=kind,
        status=status,
        attributes=tuple((name, value) for name, _, value in (each.partition(":") for each in attribute)),
        price_min_minor=price_min,
        price_max_minor=price_max,
    )
    position = paging.after(eyes.caller)
    after = (float(position[0]), str(position[1])) if position else None
    async with database.transaction() as connection:
        found = await catalog_search.search_products(connection, search, eyes.visible, after=after, limit=paging.fetch)
        details = await load_products(connection, [each.product_id for each in found])
    rows: list[tuple[Found, ProductDetail]] = list(zip(found, details, strict=True))
    return paging.answer(
        eyes.caller, rows, lambda row: eyes.product(row[1]), lambda row: [repr(row[0].rank), row[0].product_id]
    )


@router.get(
    "/v1/products/changes",
    response_model=Page[ChangeView],
    responses=problems(401, 403, codes=["feed_scope_changed"]),
    summary="Read changes of products",
)
async def list_changes(
    eyes: Seeing,
    paging: PagingDep,
    database: DatabaseDep,
    updated_since: Annotated[
        Instant | None, Query(description="Where a first reading begins: changed then or later.")
    ] = None,
) -> Response:
    """Each product once, at its latest change, oldest first. Keep `next_cursor`, which is there on the last page too,
    and ask again with it: nothing is left out that was being written meanwhile. What has left the shelf, or lost the
    supplier you may buy from, comes by as `gone`. When your permissions change, the cursor is refused with
    `feed_scope_changed`: read anew. A price that begins later moves its product when it is set, not when it begins."""
    position = paging.after(eyes.caller)
    async with database.reading() as connection:
        scope = await catalog_feed.scope_of(connection, eyes.visible)
        if position and position[2] != scope:
            raise FeedScopeChanged
        after = (int(position[0]), str(position[1])) if position else None
        rows = await catalog_feed.list_changes(
            connection, eyes.visible, since=updated_since, after=after, limit=paging.fetch
        )

    def view(change: Change) -> ChangeView:
        return ChangeView(
            product_id=change.product_id,
            state="gone" if change.detail is None else "present",
            version=change.version,
            updated_at=change.updated_at,
            product=None if change.detail is None else eyes.product(change.detail),
        )

    return paging.answer(eyes.caller, rows, view, lambda change: [change.position, change.product_id, scope], feed=True)
