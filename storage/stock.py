"""Stock that comes in and is corrected, what is available, and the proof that the movements add up.

A movement's key makes it once-only: the same receipt sent twice is one receipt. Stock under an order: order_stock.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.errors import DomainError
from storage.catalog_log import log_operation
from storage.catalog_writing import product_of_sku
from storage.database import Connection

MAIN_WAREHOUSE = "main"


class StockBelowHeld(DomainError):
    """The adjustment would leave less than orders hold already."""

    code = "stock_below_held"

    def __init__(self, sku_id: str, on_hand: int, held: int, quantity: int) -> None:
        super().__init__(
            f"{sku_id} has {on_hand} on hand of which {held} are held by orders: {quantity} cannot be taken away."
        )
        self.on_hand = on_hand
        self.held = held

    @property
    def facts(self) -> dict[str, object]:
        return {"on_hand": self.on_hand, "held": self.held}


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


@dataclass(frozen=True, slots=True)
class StockLevel:
    sku_id: str
    warehouse_id: str
    on_hand: int
    held: int
    sold: int

    @property
    def available(self) -> int:
        return self.on_hand - self.held


async def apply_movement(cx: Connection, movement: Movement, *, actor: str, now: datetime) -> StockLevel:
    """Write the movement and its effect, once per key. Raises StockBelowHeld, MovementReused, ProductNotFound."""
    await product_of_sku(cx, movement.sku_id)
    place = (movement.sku_id, movement.warehouse_id)
    await cx.execute("INSERT INTO stock (sku_id, warehouse_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", place)
    level = await _locked(cx, *place)
    if not await _insert(cx, movement, now):
        return level
    after = level.on_hand + movement.quantity
    if after < level.held:
        raise StockBelowHeld(movement.sku_id, level.on_hand, level.held, -movement.quantity)
    await cx.execute("UPDATE stock SET on_hand = %s WHERE sku_id = %s AND warehouse_id = %s", (after, *place))
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action=f"stock.{movement.kind}",
        subject=("sku", movement.sku_id),
        before={"on_hand": level.on_hand},
        after={"on_hand": after, "warehouse_id": movement.warehouse_id, "reason": movement.reason},
    )
    return await _locked(cx, *place)


async def _locked(cx: Connection, sku_id: str, warehouse_id: str) -> StockLevel:
    cursor = await cx.execute(
        "SELECT sku_id, warehouse_id, on_hand, held, sold FROM stock "
        "WHERE sku_id = %s AND warehouse_id = %s FOR UPDATE",
        (sku_id, warehouse_id),
    )
    row = await cursor.fetchone()
    assert row is not None, "the row was inserted in this transaction or before it"
    return StockLevel(**row)


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


async def stock_of(cx: Connection, sku_ids: Sequence[str]) -> list[StockLevel]:
    """Every warehouse's level of these variants."""
    cursor = await cx.execute(
        "SELECT sku_id, warehouse_id, on_hand, held, sold FROM stock WHERE sku_id = ANY(%s) "
        "ORDER BY sku_id, warehouse_id",
        (list(sku_ids),),
    )
    return [StockLevel(**row) for row in await cursor.fetchall()]


async def list_stock(
    cx: Connection, *, after: tuple[str, str] | None, limit: int, sku_id: str | None, below: int | None
) -> list[StockLevel]:
    """Levels in the order of (variant, warehouse); `below`: only where fewer than that are available."""
    cursor = await cx.execute(
        """
        SELECT sku_id, warehouse_id, on_hand, held, sold FROM stock
        WHERE (%(after_sku)s::text IS NULL OR (sku_id, warehouse_id) > (%(after_sku)s, %(after_warehouse)s::text))
          AND (%(sku)s::text IS NULL OR sku_id = %(sku)s)
          AND (%(below)s::bigint IS NULL OR on_hand - held < %(below)s)
        ORDER BY sku_id, warehouse_id LIMIT %(limit)s
        """,
        {
            "after_sku": after[0] if after else None,
            "after_warehouse": after[1] if after else None,
            "sku": sku_id,
            "below": below,
            "limit": limit,
        },
    )
    return [StockLevel(**row) for row in await cursor.fetchall()]


async def available_of(cx: Connection, sku_ids: Sequence[str]) -> dict[str, int | None]:
    """Units that could be held now, over all warehouses; None where the stock is the supplier's."""
    cursor = await cx.execute(
        """
        SELECT s.id, s.stock_policy, coalesce(sum(k.on_hand - k.held), 0)::bigint AS available
        FROM skus s LEFT JOIN stock k ON k.sku_id = s.id WHERE s.id = ANY(%s) GROUP BY s.id
        """,
        (list(sku_ids),),
    )
    rows = await cursor.fetchall()
    return {row["id"]: None if row["stock_policy"] == "none" else row["available"] for row in rows}


async def unproven_stock(cx: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Where the movements or the open holds do not add up to the row; nothing, if all is well.

    on_hand = received - sold + returned + adjusted; held = the holds that are open; sold = sold - returned.
    """
    cursor = await cx.execute(
        """
        WITH moved AS (
            SELECT sku_id, warehouse_id,
                sum(CASE kind WHEN 'sold' THEN -quantity ELSE quantity END) AS on_hand,
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
        ORDER BY sku_id, warehouse_id LIMIT %s
        """,
        (limit,),
    )
    return list(await cursor.fetchall())
