"""Stocktakes: opened for some variants in one warehouse, counted line by line while sales go on, closed once.

Locks: the stocktake's row, then levels in id order, as everybody takes levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.catalog import ProductNotFound
from domain.inventory import (
    Count,
    NotInStocktake,
    StocktakeIncomplete,
    StocktakeNotFound,
    StocktakeNotOpen,
    StocktakeOverlaps,
    differences,
)
from storage.catalog_log import log_operation
from storage.database import Connection
from storage.stock import Movement, apply_movement, lock_levels
from storage.warehouses import get_warehouse


@dataclass(frozen=True, slots=True)
class Stocktake:
    """A stocktake's row and its lines by variant, each with `counted`, `expected` and what is on hand and held now."""

    row: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]] = field(default_factory=list)


async def open_stocktake(
    cx: Connection,
    stocktake_id: str,
    warehouse_id: str,
    sku_ids: Sequence[str],
    *,
    note: str,
    actor: str,
    now: datetime,
) -> Stocktake:
    """Begin to count these variants there. Raises WarehouseNotFound, ProductNotFound, StocktakeOverlaps."""
    await get_warehouse(cx, warehouse_id)
    await _known(cx, sku_ids)
    await cx.execute(
        "INSERT INTO stocktakes (id, warehouse_id, note, opened_by, opened_at) VALUES (%s, %s, %s, %s, %s)",
        (stocktake_id, warehouse_id, note, actor, now),
    )
    cursor = await cx.execute(
        """
        INSERT INTO stocktake_lines (stocktake_id, sku_id, warehouse_id)
        SELECT %s, sku_id, %s FROM unnest(%s::text[]) AS k (sku_id) ORDER BY sku_id
        ON CONFLICT (warehouse_id, sku_id) WHERE open DO NOTHING
        """,
        (stocktake_id, warehouse_id, sorted(set(sku_ids))),
    )
    if cursor.rowcount < len(set(sku_ids)):
        raise await _overlap(cx, stocktake_id, warehouse_id, sku_ids)
    await _log(cx, now, actor, "open", stocktake_id, {"warehouse_id": warehouse_id, "lines": len(set(sku_ids))})
    return await read_stocktake(cx, stocktake_id)


async def _known(cx: Connection, sku_ids: Sequence[str]) -> None:
    cursor = await cx.execute(
        "SELECT k.sku_id FROM unnest(%s::text[]) AS k (sku_id) LEFT JOIN skus s ON s.id = k.sku_id "
        "WHERE s.id IS NULL ORDER BY k.sku_id LIMIT 1",
        (list(sku_ids),),
    )
    if row := await cursor.fetchone():
        raise ProductNotFound(row["sku_id"])


async def _overlap(cx: Connection, stocktake_id: str, warehouse_id: str, sku_ids: Sequence[str]) -> StocktakeOverlaps:
    cursor = await cx.execute(
        "SELECT stocktake_id, sku_id FROM stocktake_lines WHERE warehouse_id = %s AND sku_id = ANY(%s) AND open "
        "AND stocktake_id <> %s ORDER BY stocktake_id, sku_id",
        (warehouse_id, list(sku_ids), stocktake_id),
    )
    rows = await cursor.fetchall()
    other = rows[0]["stocktake_id"] if rows else "Another stocktake"  # which has been ended meanwhile
    return StocktakeOverlaps(other, [row["sku_id"] for row in rows if row["stocktake_id"] == other])


async def count_lines(
    cx: Connection, stocktake_id: str, counted: Mapping[str, int], *, actor: str, now: datetime
) -> Stocktake:
    """Write what was found, beside what is on hand at this moment; a later count of a line replaces its earlier one.

    Raises StocktakeNotFound, StocktakeNotOpen, NotInStocktake.
    """
    row = await _lock(cx, stocktake_id)
    if row["state"] != "open":
        raise StocktakeNotOpen(stocktake_id, row["state"])
    sku_ids = sorted(counted)
    cursor = await cx.execute(
        "SELECT sku_id FROM stocktake_lines WHERE stocktake_id = %s AND sku_id = ANY(%s)", (stocktake_id, sku_ids)
    )
    if strangers := set(sku_ids) - {line["sku_id"] async for line in cursor}:
        raise NotInStocktake(sorted(strangers))
    levels = await lock_levels(cx, sku_ids, [row["warehouse_id"]])
    expected = [levels[sku_id, row["warehouse_id"]].on_hand for sku_id in sku_ids]
    await cx.execute(
        """
        UPDATE stocktake_lines l SET counted = c.counted, expected = c.expected, counted_by = %s, counted_at = %s
        FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS c (sku_id, counted, expected)
        WHERE l.stocktake_id = %s AND l.sku_id = c.sku_id
        """,
        (actor, now, sku_ids, [counted[sku_id] for sku_id in sku_ids], expected, stocktake_id),
    )
    return await read_stocktake(cx, stocktake_id)


async def close_stocktake(cx: Connection, stocktake_id: str, *, actor: str, now: datetime) -> Stocktake:
    """Apply the differences as adjustments, reason `stocktake/<id>`. Closed already, it stays as it is.

    Raises StocktakeNotFound, StocktakeNotOpen (canceled), StocktakeIncomplete, CountBelowHeld.
    """
    row = await _lock(cx, stocktake_id)
    if row["state"] == "closed":
        return await read_stocktake(cx, stocktake_id)
    if row["state"] == "canceled":
        raise StocktakeNotOpen(stocktake_id, row["state"])
    lines = (await read_stocktake(cx, stocktake_id)).lines
    if missing := [line["sku_id"] for line in lines if line["counted"] is None]:
        raise StocktakeIncomplete(missing)
    counts = [Count(line["sku_id"], line["counted"], line["expected"]) for line in lines]
    levels = await lock_levels(cx, [count.sku_id for count in counts], [row["warehouse_id"]])
    found = differences(counts, {sku_id: (each.on_hand, each.held) for (sku_id, _), each in levels.items()})
    reason = f"stocktake/{stocktake_id}"
    for sku_id, quantity in sorted(found.items()):
        movement = Movement(f"{reason}/{sku_id}", sku_id, "adjusted", quantity, row["warehouse_id"], reason)
        await apply_movement(cx, movement, actor=actor, now=now)
    await _end(cx, stocktake_id, "closed", actor=actor, now=now)
    await _log(cx, now, actor, "close", stocktake_id, {"differences": found})
    return await read_stocktake(cx, stocktake_id)


async def cancel_stocktake(cx: Connection, stocktake_id: str, *, actor: str, now: datetime) -> Stocktake:
    """End it without any effect. Canceled already, it stays so. Raises StocktakeNotFound, StocktakeNotOpen (closed)."""
    row = await _lock(cx, stocktake_id)
    if row["state"] == "closed":
        raise StocktakeNotOpen(stocktake_id, row["state"])
    if row["state"] == "open":
        await _end(cx, stocktake_id, "canceled", actor=actor, now=now)
        await _log(cx, now, actor, "cancel", stocktake_id, {})
    return await read_stocktake(cx, stocktake_id)


async def read_stocktake(cx: Connection, stocktake_id: str) -> Stocktake:
    """Raises StocktakeNotFound."""
    cursor = await cx.execute("SELECT * FROM stocktakes WHERE id = %s", (stocktake_id,))
    row = await cursor.fetchone()
    if row is None:
        raise StocktakeNotFound(stocktake_id)
    cursor = await cx.execute(
        """
        SELECT l.sku_id, l.counted, l.expected, l.counted_by, l.counted_at,
               coalesce(s.on_hand, 0) AS on_hand, coalesce(s.held, 0) AS held
        FROM stocktake_lines l LEFT JOIN stock s USING (sku_id, warehouse_id)
        WHERE l.stocktake_id = %s ORDER BY l.sku_id
        """,
        (stocktake_id,),
    )
    return Stocktake(row, await cursor.fetchall())


async def list_stocktakes(
    cx: Connection,
    *,
    after: tuple[datetime, str] | None,
    limit: int,
    state: str | None = None,
    warehouse_id: str | None = None,
) -> list[dict[str, Any]]:
    """Newest first, without their lines; `counted` of `lines` are done."""
    cursor = await cx.execute(
        """
        SELECT t.*, n.lines, n.counted FROM stocktakes t CROSS JOIN LATERAL (
            SELECT count(*) AS lines, count(counted) AS counted FROM stocktake_lines WHERE stocktake_id = t.id) n
        WHERE (%(at)s::timestamptz IS NULL OR (t.opened_at, t.id) < (%(at)s, %(id)s))
          AND (%(state)s::text IS NULL OR t.state = %(state)s)
          AND (%(warehouse)s::text IS NULL OR t.warehouse_id = %(warehouse)s)
        ORDER BY t.opened_at DESC, t.id DESC LIMIT %(limit)s
        """,
        {
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "state": state,
            "warehouse": warehouse_id,
            "limit": limit,
        },
    )
    return await cursor.fetchall()


async def _lock(cx: Connection, stocktake_id: str) -> dict[str, Any]:
    cursor = await cx.execute("SELECT * FROM stocktakes WHERE id = %s FOR UPDATE", (stocktake_id,))
    row = await cursor.fetchone()
    if row is None:
        raise StocktakeNotFound(stocktake_id)
    return row


async def _end(cx: Connection, stocktake_id: str, state: str, *, actor: str, now: datetime) -> None:
    """Its lines may be counted by another from now on."""
    await cx.execute(
        "UPDATE stocktakes SET state = %s, ended_by = %s, ended_at = %s WHERE id = %s",
        (state, actor, now, stocktake_id),
    )
    await cx.execute("UPDATE stocktake_lines SET open = false WHERE stocktake_id = %s", (stocktake_id,))


async def _log(
    cx: Connection, at: datetime, actor: str, verb: str, stocktake_id: str, after: Mapping[str, Any]
) -> None:
    await log_operation(
        cx,
        at=at,
        actor=actor,
        action=f"stocktake.{verb}",
        subject=("stocktake", stocktake_id),
        before=None,
        after=after,
    )
