"""The category tree and the brands as people edit them: made, renamed, moved, listed; each edit leaves a log row."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.category_tree import (
    BrandExists,
    BrandNotFound,
    CategoryExists,
    CategoryNotFound,
    TreeStale,
    UnknownKind,
    check_place,
)
from storage.catalog_log import log_operation
from storage.database import Connection

Row = dict[str, Any]

_TREE_LOCK = 5_270_501
"""Moves wait for each other: two that are legal alone could make a circle together."""


async def create_category(
    cx: Connection,
    category_id: str,
    *,
    parent_id: str | None,
    name: str,
    kind: str | None,
    kinds: list[str],
    actor: str,
    now: datetime,
) -> Row:
    """A new node; without `kind` it is of its parent's. Raises CategoryExists, CategoryNotFound (the parent's),
    UnknownKind, CategoryKindDiffers, CategoryTooDeep."""
    await _lock_tree(cx)
    above = [] if parent_id is None else await _above(cx, parent_id)
    chosen = kind or (above[0][1] if above else "")
    if chosen not in kinds:
        raise UnknownKind(chosen, kinds)
    check_place(category_id, chosen, 0, above)
    cursor = await cx.execute(
        "INSERT INTO categories (id, parent_id, name, kind) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING *",
        (category_id, parent_id, name, chosen),
    )
    row = await cursor.fetchone()
    if row is None:
        raise CategoryExists(category_id)
    after = {"parent_id": parent_id, "name": name, "kind": chosen}
    subject = ("category", category_id)
    await log_operation(cx, at=now, actor=actor, action="category.create", subject=subject, before=None, after=after)
    return row


async def edit_category(
    cx: Connection,
    category_id: str,
    *,
    name: str,
    parent_id: str | None,
    if_version: int | None,
    actor: str,
    now: datetime,
) -> Row:
    """Name and place as given; the kind stays. What is so already is no edit. Raises CategoryNotFound, TreeStale,
    CategoryCycle, CategoryKindDiffers, CategoryTooDeep."""
    await _lock_tree(cx)
    row = await read_category(cx, category_id)
    if if_version is not None and if_version != row["version"]:
        raise TreeStale(category_id, row["version"])
    after = {"name": name, "parent_id": parent_id}
    changed = {key: value for key, value in after.items() if row[key] != value}
    if not changed:
        return row
    if "parent_id" in changed and parent_id is not None:
        check_place(category_id, row["kind"], await _height(cx, category_id), await _above(cx, parent_id))
    await cx.execute(
        "UPDATE categories SET name = %s, parent_id = %s, version = version + 1 WHERE id = %s",
        (name, parent_id, category_id),
    )
    action = "category.move" if "parent_id" in changed else "category.rename"
    before = {key: row[key] for key in changed}
    subject = ("category", category_id)
    await log_operation(cx, at=now, actor=actor, action=action, subject=subject, before=before, after=changed)
    return await read_category(cx, category_id)


async def read_category(cx: Connection, category_id: str) -> Row:
    """Raises CategoryNotFound."""
    cursor = await cx.execute("SELECT * FROM categories WHERE id = %s", (category_id,))
    row = await cursor.fetchone()
    if row is None:
        raise CategoryNotFound(category_id)
    return row


async def list_categories(
    cx: Connection, *, parent_id: str | None, roots: bool, after: str | None, limit: int
) -> list[Row]:
    """By id; those right below `parent_id`, the `roots`, or all. Each with its level: 0 is a root."""
    cursor = await cx.execute(
        """
        WITH RECURSIVE page AS (
            SELECT * FROM categories
            WHERE (%(parent)s::text IS NULL OR parent_id = %(parent)s) AND (NOT %(roots)s OR parent_id IS NULL)
              AND (%(after)s::text IS NULL OR id > %(after)s)
            ORDER BY id LIMIT %(limit)s),
        up (id, parent_id, level) AS (
            SELECT id, parent_id, 0 FROM page
            UNION ALL SELECT u.id, c.parent_id, level + 1 FROM up u JOIN categories c ON c.id = u.parent_id)
        SELECT page.*, (SELECT max(level) FROM up WHERE up.id = page.id) AS level FROM page ORDER BY id
        """,
        {"parent": parent_id, "roots": roots, "after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def path_of(cx: Connection, category_id: str) -> list[str]:
    """From the category up to its root. Raises CategoryNotFound."""
    return [each for each, _ in await _above(cx, category_id)]


async def create_brand(cx: Connection, brand_id: str, name: str, *, actor: str, now: datetime) -> Row:
    """Raises BrandExists."""
    cursor = await cx.execute(
        "INSERT INTO brands (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING *", (brand_id, name)
    )
    row = await cursor.fetchone()
    if row is None:
        raise BrandExists(brand_id)
    subject, after = ("brand", brand_id), {"name": name}
    await log_operation(cx, at=now, actor=actor, action="brand.create", subject=subject, before=None, after=after)
    return row


async def rename_brand(
    cx: Connection, brand_id: str, name: str, *, if_version: int | None, actor: str, now: datetime
) -> Row:
    """Raises BrandNotFound, TreeStale."""
    cursor = await cx.execute("SELECT * FROM brands WHERE id = %s FOR UPDATE", (brand_id,))
    row = await cursor.fetchone()
    if row is None:
        raise BrandNotFound(brand_id)
    if if_version is not None and if_version != row["version"]:
        raise TreeStale(brand_id, row["version"])
    if row["name"] == name:
        return row
    cursor = await cx.execute(
        "UPDATE brands SET name = %s, version = version + 1 WHERE id = %s RETURNING *", (name, brand_id)
    )
    renamed = await cursor.fetchone()
    assert renamed is not None, "the row is locked"
    subject, before, after = ("brand", brand_id), {"name": row["name"]}, {"name": name}
    await log_operation(cx, at=now, actor=actor, action="brand.rename", subject=subject, before=before, after=after)
    return renamed


async def list_brands(cx: Connection, *, after: str | None, limit: int) -> list[Row]:
    """By id."""
    cursor = await cx.execute(
        "SELECT * FROM brands WHERE (%(after)s::text IS NULL OR id > %(after)s) ORDER BY id LIMIT %(limit)s",
        {"after": after, "limit": limit},
    )
    return await cursor.fetchall()


async def _lock_tree(cx: Connection) -> None:
    await cx.execute("SELECT pg_advisory_xact_lock(%s)", (_TREE_LOCK,))


async def _above(cx: Connection, category_id: str) -> list[tuple[str, str]]:
    """(id, kind) from this category up to its root. Raises CategoryNotFound."""
    cursor = await cx.execute(
        """
        WITH RECURSIVE up (id, parent_id, kind, depth) AS (
            SELECT id, parent_id, kind, 0 FROM categories WHERE id = %s
            UNION ALL SELECT c.id, c.parent_id, c.kind, depth + 1 FROM up u JOIN categories c ON c.id = u.parent_id)
        SELECT id, kind FROM up ORDER BY depth
        """,
        (category_id,),
    )
    found = [(str(row["id"]), str(row["kind"])) for row in await cursor.fetchall()]
    if not found:
        raise CategoryNotFound(category_id)
    return found


async def _height(cx: Connection, category_id: str) -> int:
    """How many levels lie below the category."""
    cursor = await cx.execute(
        """
        WITH RECURSIVE down (id, depth) AS (
            SELECT %s::text, 0
            UNION ALL SELECT c.id, depth + 1 FROM down d JOIN categories c ON c.parent_id = d.id)
        SELECT max(depth) AS height FROM down
        """,
        (category_id,),
    )
    row = await cursor.fetchone()
    return 0 if row is None else int(row["height"])
