"""Low stock: the limit of a level, and the alerts that the database opens and clears as levels cross theirs.

The crossing is noticed by a trigger (migration 0003), so that whatever moves a level, orders included, tells it once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from storage.catalog_log import log_operation
from storage.catalog_writing import product_of_sku
from storage.database import Connection
from storage.stock import StockLevel, lock_levels
from storage.warehouses import get_warehouse


async def set_alert(
    cx: Connection, sku_id: str, warehouse_id: str, alert_below: int | None, *, actor: str, now: datetime
) -> StockLevel:
    """Alert when fewer units are available there (None: never); at once, where that is so already.

    Raises ProductNotFound, WarehouseNotFound.
    """
    await product_of_sku(cx, sku_id)
    await get_warehouse(cx, warehouse_id)
    level = (await lock_levels(cx, [sku_id], [warehouse_id]))[sku_id, warehouse_id]
    if level.alert_below == alert_below:
        return level
    await cx.execute(
        "UPDATE stock SET alert_below = %s WHERE sku_id = %s AND warehouse_id = %s",
        (alert_below, sku_id, warehouse_id),
    )
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action="stock.alert",
        subject=("sku", sku_id),
        before={"alert_below": level.alert_below},
        after={"alert_below": alert_below, "warehouse_id": warehouse_id},
    )
    return replace(level, alert_below=alert_below)


async def list_alerts(
    cx: Connection,
    *,
    after: int | None,
    limit: int,
    state: str | None = None,
    sku_id: str | None = None,
    warehouse_id: str | None = None,
) -> list[dict[str, Any]]:
    """Newest first; `state`: `open` or `cleared`. With what is available now beside what it was at the crossing."""
    cursor = await cx.execute(
        """
        SELECT a.*, s.on_hand - s.held AS available_now FROM stock_alerts a JOIN stock s USING (sku_id, warehouse_id)
        WHERE (%(after)s::bigint IS NULL OR a.id < %(after)s)
          AND (%(state)s::text IS NULL OR (a.cleared_at IS NULL) = (%(state)s = 'open'))
          AND (%(sku)s::text IS NULL OR a.sku_id = %(sku)s)
          AND (%(warehouse)s::text IS NULL OR a.warehouse_id = %(warehouse)s)
        ORDER BY a.id DESC LIMIT %(limit)s
        """,
        {"after": after, "state": state, "sku": sku_id, "warehouse": warehouse_id, "limit": limit},
    )
    return await cursor.fetchall()
