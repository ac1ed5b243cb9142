"""Stock that comes in, is corrected and moved between warehouses, and the proof that the movements add up.

A movement's key makes it once-only: the same receipt sent twice is one receipt. Stock under an order: order_stock.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain.errors import DomainError
from domain.inventory import StockBelowHeld
from domain.warehouses import MAIN_WAREHOUSE
from storage.catalog_log import log_operation
from storage.catalog_writing import product_of_sku
from storage.database import Connection
from storage.warehouses import get_warehouse


class MovementReused(DomainError):
    """The key belongs to another movement: it was for another variant, warehouse or quantity."""

    code = "movement_reused"

    def __init__(self, key: str) -> None:
        super().__init__(f"The reference {key!r} belongs to another movement: give this one its own.")


@dataclass(frozen=True, slots=True)
class Movement:
    """Units into (`received`) or by correction (`adjusted`, signed) of one variant's stock in one warehouse."""

    key: str
    sku_id: str
    kind: str
    quantity: int
    warehouse_id: str = MAIN_WAREHOUSE
    reason: str = ""


_LEVEL = "sku_id, warehouse_id, on_hand, held, sold, alert_below"


@dataclass(frozen=True, slots=True)
class StockLevel:
    """One variant in one warehouse. Below `alert_below` available units an alert is open (stock_alerts.py)."""

    sku_id: str
    warehouse_id: str
    on_hand: int
    held: int
    sold: int
    alert_below: int | None = None

    @property
    def available(self) -> int:
        return self.on_hand - self.held


@dataclass(frozen=True, slots=True)
class Transfer:
    """Units of one variant from one warehouse into another. `key` counts once, for ever."""

    key: str
    sku_id: str
    source_id: str
    target_id: str
    quantity: int

    @property
    def movements(self) -> tuple[Movement, Movement]:
        """Out and in: together they change no sum."""
        return (
            Movement(
                f"{self.key}/out", self.sku_id, "transferred_out", self.quantity, self.source_id, f"to {self.target_id}"
            ),
            Movement(
                f"{self.key}/in", self.sku_id, "transferred_in", self.quantity, self.target_id, f"from {self.source_id}"
            ),
        )


async def apply_movement(cx: Connection, movement: Movement, *, actor: str, now: datetime) -> StockLevel:
    """Write the movement and its effect, once per key.

    Raises StockBelowHeld, MovementReused, ProductNotFound, WarehouseNotFound.
    """
    (level,) = await _apply(cx, (movement,), actor=actor, now=now)
    return level


async def transfer(cx: Connection, moved: Transfer, *, actor: str, now: datetime) -> tuple[StockLevel, StockLevel]:
    """Move units at once, once per key: the levels of both sides. What orders hold stays where it is.

    Raises as `apply_movement` does.
    """
    if moved.source_id == moved.target_id:
        raise ValueError("a transfer has two sides")
    source, target = await _apply(cx, moved.movements, actor=actor, now=now)
    return source, target


async def _apply(cx: Connection, movements: Sequence[Movement], *, actor: str, now: datetime) -> list[StockLevel]:
    """Movements of one variant, each in a warehouse of its own; levels afterwards, in their order."""
    sku_id = movements[0].sku_id
    await product_of_sku(cx, sku_id)
    for movement in movements:
        await get_warehouse(cx, movement.warehouse_id)
    levels = await lock_levels(cx, [sku_id], [movement.warehouse_id for movement in movements])
    for movement in movements:
        place = (sku_id, movement.warehouse_id)
        if await _insert(cx, movement, now):
            levels[place] = await _change(cx, levels[place], movement, actor=actor, now=now)
    return [levels[sku_id, movement.warehouse_id] for movement in movements]


async def _change(cx: Connection, level: StockLevel, movement: Movement, *, actor: str, now: datetime) -> StockLevel:
    """Raises StockBelowHeld."""
    signed = -movement.quantity if movement.kind == "transferred_out" else movement.quantity
    after = replace(level, on_hand=level.on_hand + signed)
    if after.on_hand < level.held:
        raise StockBelowHeld(movement.sku_id, level.on_hand, level.held, -signed)
    await cx.execute(
        "UPDATE stock SET on_hand = %s WHERE sku_id = %s AND warehouse_id = %s",
        (after.on_hand, movement.sku_id, movement.warehouse_id),
    )
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action=f"stock.{movement.kind}",
        subject=("sku", movement.sku_id),
        before={"on_hand": level.on_hand},
        after={"on_hand": after.on_hand, "warehouse_id": movement.warehouse_id, "reason": movement.reason},
    )
    return after


async def lock_levels(
    cx: Connection, sku_ids: Sequence[str], warehouse_ids: Sequence[str]
) -> dict[tuple[str, str], StockLevel]:
    """The levels of these variants in these warehouses, made where missing, locked in id order as orders lock them."""
    await cx.execute(
        """
        INSERT INTO stock (sku_id, warehouse_id)
        SELECT sku_id, warehouse_id FROM unnest(%s::text[]) AS k (sku_id), unnest(%s::text[]) AS w (warehouse_id)
        ORDER BY sku_id, warehouse_id ON CONFLICT DO NOTHING
        """,
        (list(sku_ids), list(warehouse_ids)),
    )
    cursor = await cx.execute(
        f"SELECT {_LEVEL} FROM stock WHERE sku_id = ANY(%s) AND warehouse_id = ANY(%s) "
        "ORDER BY sku_id, warehouse_id FOR UPDATE",
        (list(sku_ids), list(warehouse_ids)),
    )
    return {(row["sku_id"], row["warehouse_id"]): StockLevel(**row) for row in await cursor.fetchall()}


async def _insert(cx: Connection, movement: Movement, now: datetime) -> bool:
    """Whether the movement is new. The same key for anything else is refused."""
    cursor = await cx.execute(
        """
        INSERT INTO stock_movements (key, sku_id, warehouse_id, kind, quantity, reason, at)
        VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO NOTHING
        """,
        (
            movement.key,
            movement.sku_id,
            movement.warehouse_id,
            movement.kind,
            movement.quantity,
            movement.reason,
            now,
        ),
    )
    if cursor.rowcount == 1:
        return True
    cursor = await cx.execute(
        "SELECT 1 FROM stock_movements WHERE key = %s AND sku_id = %s AND warehouse_id = %s AND kind = %s "
        "AND quantity = %s",
        (movement.key, movement.sku_id, movement.warehouse_id, movement.kind, movement.quantity),
    )
    if await cursor.fetchone() is None:
        raise MovementReused(movement.key)
    return False


async def list_stock(
    cx: Connection,
    *,
    after: tuple[str, str] | None,
    limit: int,
    sku_id: str | None,
    warehouse_id: str | None,
    below: int | None,
) -> list[StockLevel]:
    """Levels in the order of (variant, warehouse); `below`: only where fewer than that are available."""
    cursor = await cx.execute(
        f"""
        SELECT {_LEVEL} FROM stock
        WHERE (%(after_sku)s::text IS NULL OR (sku_id, warehouse_id) > (%(after_sku)s, %(after_warehouse)s::text))
          AND (%(sku)s::text IS NULL OR sku_id = %(sku)s)
          AND (%(warehouse)s::text IS NULL OR warehouse_id = %(warehouse)s)
          AND (%(below)s::bigint IS NULL OR on_hand - held < %(below)s)
        ORDER BY sku_id, warehouse_id LIMIT %(limit)s
        """,
        {
            "after_sku": after[0] if after else None,
            "after_warehouse": after[1] if after else None,
            "sku": sku_id,
            "warehouse": warehouse_id,
            "below": below,
            "limit": limit,
        },
    )
    return [StockLevel(**row) for row in await cursor.fetchall()]


async def available_of(cx: Connection, sku_ids: Sequence[str]) -> dict[str, int | None]:
    """Units that could be held now, over all active warehouses; None where it is not our stock that counts."""
    cursor = await cx.execute(
        """
        SELECT s.id, s.stock_policy, coalesce(sum(k.on_hand - k.held) FILTER (WHERE w.active), 0)::bigint AS available
        FROM skus s LEFT JOIN stock k ON k.sku_id = s.id LEFT JOIN warehouses w ON w.id = k.warehouse_id
        WHERE s.id = ANY(%s) GROUP BY s.id
        """,
        (list(sku_ids),),
    )
    rows = await cursor.fetchall()
    return {row["id"]: None if row["stock_policy"] in ("none", "codes") else row["available"] for row in rows}


async def unproven_stock(cx: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Where the movements or the open holds do not add up to the row; nothing, if all is well.

    on_hand = received - sold + returned + adjusted - transferred_out + transferred_in; held = the holds that are open;
    sold = sold - returned.
    """
    cursor = await cx.execute(
        """
        WITH moved AS (
            SELECT sku_id, warehouse_id,
                sum(CASE WHEN kind IN ('sold', 'transferred_out') THEN -quantity ELSE quantity END) AS on_hand,
                sum(CASE kind WHEN 'sold' THEN quantity WHEN 'returned' THEN -quantity ELSE 0 END) AS sold
            FROM stock_movements GROUP BY sku_id, warehouse_id),
        open AS (
            SELECT sku_id, warehouse_id, sum(quantity) AS held FROM stock_holds
            WHERE state = 'held' GROUP BY sku_id, warehouse_id)
        SELECT sku_id, warehouse_id, coalesce(k.on_hand, 0) AS on_hand, coalesce(m.on_hand, 0)::bigint AS moved,
            coalesce(k.held, 0) AS held, coalesce(o.held, 0)::bigint AS held_by_orders,
            coalesce(k.sold, 0) AS sold, coalesce(m.sold, 0)::bigint AS moved_sold
        FROM stock k FULL JOIN moved m USING (sku_id, warehouse_id) FULL JOIN open o USING (sku_id, warehouse_id)
        WHERE coalesce(k.on_hand, 0) <> coalesce(m.on_hand, 0) OR coalesce(k.held, 0) <> coalesce(o.held, 0)
            OR coalesce(k.sold, 0) <> coalesce(m.sold, 0)
        ORDER BY sku_id, warehouse_id LIMIT %s
        """,
        (limit,),
    )
    return list(await cursor.fetchall())
