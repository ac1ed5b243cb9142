"""Where a variant's units come from, and when they are taken: changed by people, never under orders in motion."""

from __future__ import annotations

from datetime import datetime

from domain.catalog import VariantInOrders, source_of
from storage.catalog_log import log_operation
from storage.catalog_writing import lock_product, product_of_sku, touch_product
from storage.database import Connection


async def set_stock_policy(
    cx: Connection, sku_id: str, policy: str, *, lock_at_supplier: bool, actor: str, now: datetime
) -> None:
    """Own quota (`hold`, `at_place`, `at_payment`), a pool of `codes`, or the supplier's allotment (`none`), and where
    a seat is held. Raises VariantInOrders where orders in motion count on another source of units."""
    product_id = await product_of_sku(cx, sku_id)
    await lock_product(cx, product_id)
    cursor = await cx.execute(
        "SELECT s.stock_policy, coalesce(bool_or(o.lock_at_supplier), false) AS lock_at_supplier "
        "FROM skus s LEFT JOIN offers o ON o.sku_id = s.id WHERE s.id = %s GROUP BY s.id",
        (sku_id,),
    )
    before = await cursor.fetchone()
    after = {"stock_policy": policy, "lock_at_supplier": lock_at_supplier}
    if before == after:
        return
    if before is not None and source_of(before["stock_policy"]) != source_of(policy):
        await _no_order_in_motion(cx, sku_id)
    await cx.execute("UPDATE skus SET stock_policy = %s, updated_at = %s WHERE id = %s", (policy, now, sku_id))
    await cx.execute("UPDATE offers SET lock_at_supplier = %s WHERE sku_id = %s", (lock_at_supplier, sku_id))
    await touch_product(cx, product_id, now)
    await log_operation(
        cx, at=now, actor=actor, action="sku.stock_policy", subject=("sku", sku_id), before=before, after=after
    )


async def _no_order_in_motion(cx: Connection, sku_id: str) -> None:
    cursor = await cx.execute(
        """
        SELECT count(*) AS orders FROM orders AS o
        WHERE o.status IN ('pending', 'locked', 'issuing', 'refunding')
          AND EXISTS (SELECT FROM order_lines AS l WHERE l.order_no = o.order_no AND l.sku_id = %s)
        """,
        (sku_id,),
    )
    row = await cursor.fetchone()
    if row and row["orders"]:
        raise VariantInOrders(sku_id, row["orders"])
