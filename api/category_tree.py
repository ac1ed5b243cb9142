"""The category tree and brands over HTTP; attributes of categories: category_attributes.py. Each edit is logged."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import Field
from starlette.responses import Response

from api.catalog import Reader, Writer
from api.catalog_edits import IfMatch, version_of
from api.deps import DatabaseDep, NowDep, capability
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.pages import Page, PagingDep
from api.views import Id, Input, Name, View
from domain.categories import CATEGORIES
from storage import category_tree
from storage.category_tree import Row
from storage.database import Connection

router = capability("Catalogue")

CategoryId = Annotated[Id, Path(description="A category's id.", examples=["ticket"])]
BrandId = Annotated[Id, Path(description="A brand's id.", examples=["2001"])]

_CREATE = problems(401, 403, 404, 409, 413, 415)
_EDIT = problems(401, 403, 404, 409, 412, 413, 415)


class CategoryView(View):
    """A node of the tree."""

    id: str = Field(examples=["1003001"])
    parent_id: str | None
    name: str
    kind: str = Field(examples=["ticket"])
    version: int


class ListedCategory(CategoryView):
    """A node with its level in the tree: 0 is a root."""

    level: int


class BrandView(View):
    """A brand."""

    id: str = Field(examples=["2001"])
    name: str
    version: int


class CategoryCreate(Input):
    """A new node. Without `parent_id` it is a root and needs a `kind`; a child is of its parent's kind."""

    id: Id = Field(examples=["museums"])
    parent_id: Id | None = Field(None, examples=["ticket"])
    name: Name = Field(examples=["Museums"])
    kind: Id | None = Field(None, examples=["ticket"])


class CategoryEdit(Input):
    """What is given is set, the rest stays; `parent_id` null makes the category a root."""

    name: Name | None = Field(None, examples=["Museums and galleries"])
    parent_id: Id | None = Field(None, examples=["ticket"])


class BrandCreate(Input):
    """A new brand, under the id that merchants' documents use."""

    id: Id = Field(examples=["2001"])
    name: Name = Field(examples=["NIKE"])


class BrandEdit(Input):
    """The new name."""

    name: Name = Field(examples=["Nike"])


def _tagged(view: CategoryView | BrandView, status: int) -> Answer:
    return Answer(status, view, {"ETag": f'"{view.version}"'})


def _category(row: Row) -> CategoryView:
    return CategoryView(**{name: row[name] for name in CategoryView.model_fields})


@router.post(
    "/v1/categories",
    status_code=201,
    response_model=CategoryView,
    responses={**_CREATE, **problems(401, 403, 404, 409, 413, 415, codes=["category_exists", "unknown_kind"])},
    summary="Create a category",
)
async def create_category(body: CategoryCreate, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """A root, or a child of any category. Its kind decides how products below it are fulfilled, and never changes."""

    async def create(connection: Connection) -> Answer:
        row = await category_tree.create_category(
            connection,
            body.id,
            parent_id=body.parent_id,
            name=body.name,
            kind=body.kind,
            kinds=CATEGORIES.names(),
            actor=caller.ref,
            now=now,
        )
        return _tagged(_category(row), 201)

    return await keeper.in_transaction(caller, create)


@router.get(
    "/v1/categories", response_model=Page[ListedCategory], responses=problems(401, 403), summary="List categories"
)
async def list_categories(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    parent_id: Annotated[Id | None, Query(description="Only those right below this one.", examples=["ticket"])] = None,
    roots: Annotated[bool, Query(description="Only those that have no parent.")] = False,
) -> Response:
    """The tree by id: all of it, one level below a category, or the roots."""
    position = paging.after(caller)
    after = str(position[0]) if position else None
    async with database.reading() as connection:
        rows = await category_tree.list_categories(
            connection, parent_id=parent_id, roots=roots, after=after, limit=paging.fetch
        )
    return paging.answer(caller, rows, lambda row: ListedCategory(**row), lambda row: [row["id"]])


@router.get(
    "/v1/categories/{category_id}",
    response_model=CategoryView,
    responses=problems(401, 403, 404, codes=["category_not_found"]),
    summary="Read a category",
)
async def read_category(
    category_id: CategoryId, caller: Reader, database: DatabaseDep, response: Response
) -> CategoryView:
    """One node, with the `ETag` that edits may name."""
    async with database.reading() as connection:
        view = _category(await category_tree.read_category(connection, category_id))
    response.headers["ETag"] = f'"{view.version}"'
    return view


@router.patch(
    "/v1/categories/{category_id}",
    response_model=CategoryView,
    responses={**_EDIT, **problems(401, 403, 404, 409, 412, 413, 415, codes=["category_cycle"])},
    summary="Rename or move a category",
)
async def edit_category(
    category_id: CategoryId,
    body: CategoryEdit,
    caller: Writer,
    database: DatabaseDep,
    now: NowDep,
    if_match: IfMatch = None,
) -> Response:
    """Moves take everything below along. A category cannot move below itself, nor below one of another kind."""
    async with database.transaction() as connection:
        row = await category_tree.read_category(connection, category_id)
        row = await category_tree.edit_category(
            connection,
            category_id,
            name=body.name or row["name"],
            parent_id=body.parent_id if "parent_id" in body.model_fields_set else row["parent_id"],
            if_version=version_of(if_match),
            actor=caller.ref,
            now=now,
        )
    return _tagged(_category(row), 200).response()


@router.post(
    "/v1/brands",
    status_code=201,
    response_model=BrandView,
    responses=problems(401, 403, 409, 413, 415, codes=["brand_exists"]),
    summary="Create a brand",
)
async def create_brand(body: BrandCreate, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """Imports make brands that they meet by themselves, under the name that the document has."""

    async def create(connection: Connection) -> Answer:
        row = await category_tree.create_brand(connection, body.id, body.name, actor=caller.ref, now=now)
        return _tagged(BrandView(**row), 201)

    return await keeper.in_transaction(caller, create)


@router.get("/v1/brands", response_model=Page[BrandView], responses=problems(401, 403), summary="List brands")
async def list_brands(caller: Reader, paging: PagingDep, database: DatabaseDep) -> Response:
    """By id."""
    position = paging.after(caller)
    async with database.reading() as connection:
        rows = await category_tree.list_brands(
            connection, after=str(position[0]) if position else None, limit=paging.fetch
        )
    return paging.answer(caller, rows, lambda row: BrandView(**row), lambda row: [row["id"]])


@router.patch(
    "/v1/brands/{brand_id}",
    response_model=BrandView,
    responses=problems(401, 403, 404, 412, 413, 415, codes=["brand_not_found"]),
    summary="Rename a brand",
)
async def rename_brand(
    brand_id: BrandId, body: BrandEdit, caller: Writer, database: DatabaseDep, now: NowDep, if_match: IfMatch = None
) -> Response:
    """Search finds its products by the new name at once."""
    async with database.transaction() as connection:
        row = await category_tree.rename_brand(
            connection, brand_id, body.name, if_version=version_of(if_match), actor=caller.ref, now=now
        )
    return _tagged(BrandView(**row), 200).response()
