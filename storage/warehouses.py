"""Warehouses as people keep them, and the levels of the active ones as placing sees them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.warehouses import Place, Warehouse, WarehouseExists, WarehouseNotFound, WarehouseStale
from storage.catalog_log import log_operation
from storage.database import Connection

EDITABLE = ("name", "country", "region", "city", "rank", "active")


async def add_warehouse(
    cx: Connection, warehouse_id: str, facts: Mapping[str, Any], *, actor: str, now: datetime
) -> dict[str, Any]:
    """A new warehouse with these facts (some of EDITABLE, `name` among them). Raises WarehouseExists."""
    values = {"country": "", "region": "", "city": "", "rank": 0, "active": True, **facts}
    cursor = await cx.execute(
        """
        INSERT INTO warehouses (id, name, country, region, city, rank, active, created_at)
        VALUES (%(id)s, %(name)s, %(country)s, %(region)s, %(city)s, %(rank)s, %(active)s, %(now)s)
        ON CONFLICT DO NOTHING RETURNING *
        """,
        {**values, "id": warehouse_id, "now": now},
    )
    row = await cursor.fetchone()
    if row is None:
        raise WarehouseExists(warehouse_id)
    await _log(cx, now, actor, "create", warehouse_id, None, values)
    return row


async def edit_warehouse(
    cx: Connection, warehouse_id: str, changes: Mapping[str, Any], *, if_version: int | None, actor: str, now: datetime
) -> dict[str, Any]:
    """Set some of EDITABLE. What is equal already is no change. Raises WarehouseNotFound, WarehouseStale."""
    cursor = await cx.execute("SELECT * FROM warehouses WHERE id = %s FOR NO KEY UPDATE", (warehouse_id,))
    row = await cursor.fetchone()
    if row is None:
        raise WarehouseNotFound(warehouse_id)
    if if_version is not None and if_version != row["version"]:
        raise WarehouseStale(warehouse_id, row["version"])
    changed = {name: changes[name] for name in EDITABLE if name in changes and changes[name] != row[name]}
    if not changed:
        return row
    before = {name: row[name] for name in changed}
    row |= {**changed, "version": row["version"] + 1}
    await cx.execute(
        """
        UPDATE warehouses SET name = %(name)s, country = %(country)s, region = %(region)s, city = %(city)s,
            rank = %(rank)s, active = %(active)s, version = %(version)s WHERE id = %(id)s
        """,
        row,
    )
    await _log(cx, now, actor, "edit", warehouse_id, before, changed)
    return row


async def get_warehouse(cx: Connection, warehouse_id: str) -> dict[str, Any]:
    """Raises WarehouseNotFound."""
    cursor = await cx.execute("SELECT * FROM warehouses WHERE id = %s", (warehouse_id,))
    row = await cursor.fetchone()
    if row is None:
        raise WarehouseNotFound(warehouse_id)
    return row


async def list_warehouses(
    cx: Connection, *, after: str | None, limit: int, active_only: bool = False
) -> list[dict[str, Any]]:
    """By id."""
    cursor = await cx.execute(
        "SELECT * FROM warehouses WHERE (%(after)s::text IS NULL OR id > %(after)s) AND (active OR NOT %(active)s) "
        "ORDER BY id LIMIT %(limit)s",
        {"after": after, "active": active_only, "limit": limit},
    )
    return await cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Shelves:
    """What could be promised now: units by variant and warehouse, and the warehouses they are in."""

    available: dict[tuple[str, str], int]
    warehouses: list[Warehouse]


async def lock_shelves(cx: Connection, sku_ids: Collection[str]) -> Shelves:
    """Every level of these variants in active warehouses, locked in id order until the transaction ends."""
    cursor = await cx.execute(
        """
        SELECT s.sku_id, s.warehouse_id, s.on_hand - s.held AS available, w.country, w.region, w.city, w.rank
        FROM stock s JOIN warehouses w ON w.id = s.warehouse_id AND w.active
        WHERE s.sku_id = ANY(%s) ORDER BY s.sku_id, s.warehouse_id FOR UPDATE OF s
        """,
        (list(sku_ids),),
    )
    rows = await cursor.fetchall()
    found = {
        row["warehouse_id"]: Warehouse(
            row["warehouse_id"], Place(row["country"], row["region"], row["city"]), row["rank"]
        )
        for row in rows
    }
    return Shelves({(row["sku_id"], row["warehouse_id"]): row["available"] for row in rows}, list(found.values()))


async def _log(
    cx: Connection,
    at: datetime,
    actor: str,
    verb: str,
    warehouse_id: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
) -> None:
    await log_operation(
        cx,
        at=at,
        actor=actor,
        action=f"warehouse.{verb}",
        subject=("warehouse", warehouse_id),
        before=before,
        after=after,
    )
