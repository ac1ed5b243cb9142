"""The attributes that a category defines, over HTTP: what imports below it are checked against."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import Field

from api.catalog import Reader, Writer
from api.category_tree import CategoryId
from api.deps import DatabaseDep, NowDep, capability
from api.errors import problems
from api.views import Flag, Input, Name, View
from domain.attributes import AttributeDefinition, AttributeScope, ValueKind
from domain.imports import MAX_ID
from storage import category_attributes, category_tree
from storage.database import Connection

router = capability("Catalogue")

AttributeId = Annotated[int, Path(ge=1, le=MAX_ID, description="The attribute's number in documents.", examples=[201])]


class AttributeInput(Input):
    """A definition. `allowed` empty: any value of the kind."""

    name: Name = Field(examples=["colour"])
    scope: AttributeScope = Field(examples=["sales"], description="`sales` makes variants, `basic` describes.")
    value_kind: ValueKind = ValueKind.TEXT
    required: Flag = False
    allowed: Annotated[list[Name], Field(max_length=500)] = Field([], examples=[["black", "white"]])


class AttributeView(View):
    """A definition in effect; `defined_by` is the category itself or one above it."""

    attribute_id: int = Field(examples=[201])
    name: str
    scope: AttributeScope
    value_kind: ValueKind
    required: bool
    allowed: list[str]
    defined_by: str

    @classmethod
    def of(cls, definition: AttributeDefinition) -> AttributeView:
        """The domain's value as it is shown."""
        names = (name for name in cls.model_fields if name != "allowed")
        return cls(allowed=list(definition.allowed), **{name: getattr(definition, name) for name in names})


class AttributesView(View):
    """All that a category's products can say of themselves, by scope, then by id."""

    data: list[AttributeView]


@router.put(
    "/v1/categories/{category_id}/attributes/{attribute_id}",
    response_model=AttributesView,
    responses=problems(401, 403, 404, 413, 415, codes=["category_not_found"]),
    summary="Define an attribute",
)
async def define_attribute(
    category_id: CategoryId,
    attribute_id: AttributeId,
    body: AttributeInput,
    caller: Writer,
    database: DatabaseDep,
    now: NowDep,
) -> AttributesView:
    """Made or replaced, for this category and all below it. From the first definition on, imports are checked; what is
    there already stays as it is. Answers with all that is in effect."""
    definition = AttributeDefinition(
        attribute_id, body.name, body.scope, body.value_kind, body.required, tuple(body.allowed), category_id
    )
    async with database.transaction() as connection:
        await category_attributes.define_attribute(connection, definition, actor=caller.ref, now=now)
        return await _attributes(connection, category_id)


@router.get(
    "/v1/categories/{category_id}/attributes",
    response_model=AttributesView,
    responses=problems(401, 403, 404, codes=["category_not_found"]),
    summary="List a category's attributes",
)
async def list_attributes(category_id: CategoryId, caller: Reader, database: DatabaseDep) -> AttributesView:
    """Its own and inherited ones; of two with one id the nearer one counts."""
    async with database.reading() as connection:
        await category_tree.read_category(connection, category_id)
        return await _attributes(connection, category_id)


async def _attributes(connection: Connection, category_id: str) -> AttributesView:
    defined = await category_attributes.definitions_of(connection, [category_id])
    found = defined.get(category_id, {}).values()
    return AttributesView(
        data=[AttributeView.of(each) for each in sorted(found, key=lambda each: (each.scope, each.attribute_id))]
    )
