"""The feed of changes: whoever reads on never misses a product, and learns which it may no longer see.

A product's `position` is the id of the transaction that changed it last, set by a trigger; a read shows only positions
below the oldest transaction that still runs, as event_reading.py explains. A product that has left the shelf, was
deleted or lost its supplier is touched by that, so it comes by as gone. What a change of the reader's own permissions
takes away is no product's change: the reader's scope is another then, and it has to read anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from domain.catalog import ProductStatus
from storage.catalog_reading import GRANTED, VISIBLE, ProductDetail, Visibility, load_products, visibility_parameters
from storage.database import Connection

_COVERED = """
    (%(everything)s OR p.id = ANY(%(product_ids)s) OR p.category_id IN (SELECT id FROM granted)
     OR EXISTS (SELECT FROM offers o JOIN skus s ON s.id = o.sku_id
                WHERE s.product_id = p.id AND o.supplier_id = ANY(%(supplier_ids)s)))
"""
"""Like VISIBLE, but whatever the state, and also by offers that have ended."""


@dataclass(frozen=True, slots=True)
class Change:
    """The latest change of a product; `detail` is None where it is gone for this reader."""

    product_id: str
    position: int
    version: int
    updated_at: datetime
    detail: ProductDetail | None


async def scope_of(cx: Connection, visible: Visibility) -> str:
    """Names what the reader is permitted to see; another name means that permissions, or the tree under them, changed.

    Grants of categories reach everything below them, so the tree counts where there are any.
    """
    categories: list[str] = []
    if visible.category_ids and not visible.everything:
        cursor = await cx.execute(f"{GRANTED} SELECT id FROM granted ORDER BY id", visibility_parameters(visible))
        categories = [str(row["id"]) for row in await cursor.fetchall()]
    parts = [visible.everything, sorted(visible.statuses), sorted(visible.product_ids), sorted(visible.supplier_ids)]
    return hashlib.sha256(json.dumps([*parts, categories]).encode()).hexdigest()[:16]


async def list_changes(
    cx: Connection, visible: Visibility, *, since: datetime | None, after: tuple[int, str] | None, limit: int
) -> list[Change]:
    """Products in the order of their last change. What no buyer can ever have seen is shown to those only who see all
    states."""
    cursor = await cx.execute(
        f"""{GRANTED} SELECT p.id, p.position, p.version, p.updated_at,
            ({VISIBLE}) AND p.status <> %(deleted)s AS here
        FROM products p
        WHERE p.position < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
          AND (p.was_on_shelf OR %(drafts)s) AND {_COVERED}
          AND (%(since)s::timestamptz IS NULL OR p.updated_at >= %(since)s)
          AND (p.position, p.id) > (%(position)s, %(id)s)
        ORDER BY p.position, p.id LIMIT %(limit)s""",
        {
            **visibility_parameters(visible),
            "deleted": ProductStatus.DELETED,
            "drafts": ProductStatus.DRAFT in visible.statuses,
            "since": since,
            "position": after[0] if after else 0,
            "id": after[1] if after else "",
            "limit": limit,
        },
    )
    rows = await cursor.fetchall()
    details = {detail.row["id"]: detail for detail in await load_products(cx, [r["id"] for r in rows if r["here"]])}
    return [Change(r["id"], r["position"], r["version"], r["updated_at"], details.get(r["id"])) for r in rows]
