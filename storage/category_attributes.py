"""The attributes that categories define: kept per category, read with those of all ancestors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlmodel import Field, SQLModel

from domain.attributes import AttributeDefinition, AttributeScope, ValueKind, nearest
from storage.catalog_log import log_operation
from storage.category_tree import read_category
from storage.columns import big, document, one_of
from storage.database import Connection


class AttributeDefinitionRow(SQLModel, table=True):
    """`allowed` is a list of texts; empty: any value of the kind."""

    __tablename__ = "attribute_definitions"
    __table_args__ = (one_of("scope", AttributeScope), one_of("value_kind", ValueKind))

    category_id: str = Field(primary_key=True, foreign_key="categories.id")
    attribute_id: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str
    scope: str
    value_kind: str
    required: bool = False
    allowed: list[Any] = document(default_factory=list, sa_column_kwargs={"server_default": text("'[]'")})


Definitions = dict[int, AttributeDefinition]


async def define_attribute(cx: Connection, definition: AttributeDefinition, *, actor: str, now: datetime) -> None:
    """The category's own definition of this id, made or replaced. Raises CategoryNotFound."""
    category_id = definition.defined_by
    await read_category(cx, category_id)
    after = {
        "attribute_id": definition.attribute_id,
        "name": definition.name,
        "scope": str(definition.scope),
        "value_kind": str(definition.value_kind),
        "required": definition.required,
        "allowed": list(definition.allowed),
    }
    cursor = await cx.execute(
        "SELECT attribute_id, name, scope, value_kind, required, allowed FROM attribute_definitions "
        "WHERE category_id = %s AND attribute_id = %s FOR UPDATE",
        (category_id, definition.attribute_id),
    )
    before = await cursor.fetchone()
    if before == after:
        return
    await cx.execute(
        """
        INSERT INTO attribute_definitions (category_id, attribute_id, name, scope, value_kind, required, allowed)
        VALUES (%(category_id)s, %(attribute_id)s, %(name)s, %(scope)s, %(value_kind)s, %(required)s, %(allowed)s)
        ON CONFLICT (category_id, attribute_id) DO UPDATE SET name = excluded.name, scope = excluded.scope,
            value_kind = excluded.value_kind, required = excluded.required, allowed = excluded.allowed
        """,
        {**after, "category_id": category_id, "allowed": Jsonb(after["allowed"])},
    )
    subject = ("category", category_id)
    await log_operation(
        cx, at=now, actor=actor, action="category.define_attribute", subject=subject, before=before, after=after
    )


async def definitions_of(cx: Connection, category_ids: Sequence[str]) -> dict[str, Definitions]:
    """What is in effect in each of these categories, their own and inherited, by attribute id."""
    cursor = await cx.execute(
        """
        WITH RECURSIVE up (category_id, id, parent_id, depth) AS (
            SELECT id, id, parent_id, 0 FROM categories WHERE id = ANY(%s)
            UNION ALL SELECT u.category_id, c.id, c.parent_id, depth + 1
                FROM up u JOIN categories c ON c.id = u.parent_id)
        SELECT u.category_id, u.depth, d.category_id AS defined_by, d.attribute_id, d.name, d.scope, d.value_kind,
            d.required, d.allowed
        FROM up u JOIN attribute_definitions d ON d.category_id = u.id ORDER BY u.category_id, u.depth, d.attribute_id
        """,
        (list(category_ids),),
    )
    levels: dict[str, list[AttributeDefinition]] = {}
    for row in await cursor.fetchall():
        levels.setdefault(row["category_id"], []).append(
            AttributeDefinition(
                row["attribute_id"],
                row["name"],
                AttributeScope(row["scope"]),
                ValueKind(row["value_kind"]),
                row["required"],
                tuple(row["allowed"]),
                row["defined_by"],
            )
        )
    # in the order of depth, so that the first of an id is the nearest
    return {category_id: nearest([found]) for category_id, found in levels.items()}
