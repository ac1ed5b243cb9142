"""Stock under an order: held, confirmed, released or returned exactly once, whatever is retried.

Demand is added up per variant before anything is taken, rows are locked in id order, and the statement carries the
condition, so that two buyers of the last unit have one winner and no deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.placing import demand_per_sku
from storage.database import Connection

WAREHOUSE = "main"


@dataclass(frozen=True, slots=True)
class StockDemand:
    """One line's demand under its variant's policy (`hold`, `at_place`, `at_payment`)."""

    line_no: int
    sku_id: str
    quantity: int
    policy: str


_HELD_AS = {"hold": "held", "at_place": "taken", "at_payment": "checked"}


async def demands(cx: Connection, order_no: int) -> list[StockDemand]:
    """What the order's lines take from our own stock; lines of suppliers' allotments (policy `none`) are left out."""
    cursor = await cx.execute(
        "SELECT l.line_no, l.sku_id, l.quantity, s.stock_policy AS policy "
        "FROM order_lines l JOIN skus s ON s.id = l.sku_id "
        "WHERE l.order_no = %s AND s.stock_policy NOT IN ('none', 'codes') ORDER BY l.line_no",
        (order_no,),
    )
    return [StockDemand(**row) async for row in cursor]


async def parts_of(cx: Connection, order_no: int) -> dict[int, list[tuple[str, int]]]:
    """By line: which warehouse sends how many pieces, in the order of the warehouses' ids."""
    cursor = await cx.execute(
        "SELECT line_no, warehouse_id, quantity FROM stock_holds WHERE order_no = %s "
        "AND state IN ('held', 'taken', 'checked', 'confirmed') ORDER BY line_no, warehouse_id",
        (order_no,),
    )
    parts: dict[int, list[tuple[str, int]]] = {}
    async for row in cursor:
        parts.setdefault(row["line_no"], []).append((row["warehouse_id"], row["quantity"]))
    return parts


_HOLD_ONE = """
WITH pending AS (SELECT order_no FROM orders WHERE order_no = %(order)s AND status = 'pending' FOR UPDATE),
demand AS (
    SELECT l.line_no, l.sku_id, l.quantity, s.stock_policy AS policy
    FROM pending JOIN order_lines l USING (order_no) JOIN skus s ON s.id = l.sku_id
    WHERE s.stock_policy NOT IN ('none', 'codes')),
total AS (
    SELECT min(sku_id) AS sku_id, sum(quantity) AS quantity FROM demand
    HAVING count(DISTINCT sku_id) = 1 AND bool_and(policy = 'hold')),
taken AS (
    UPDATE stock s SET held = s.held + total.quantity FROM total
    WHERE s.sku_id = total.sku_id AND s.warehouse_id = %(warehouse)s AND s.on_hand - s.held >= total.quantity
      AND NOT EXISTS (SELECT 1 FROM stock_holds WHERE order_no = %(order)s)
    RETURNING s.sku_id)
INSERT INTO stock_holds (order_no, line_no, sku_id, warehouse_id, quantity, state, expires_at)
SELECT %(order)s, line_no, sku_id, %(warehouse)s, quantity, 'held', %(expires_at)s FROM demand JOIN taken USING (sku_id)
RETURNING line_no
"""


async def hold_one(cx: Connection, order_no: int, *, expires_at: datetime) -> bool:
    """Hold a pending order's demand of one variant by one conditional statement, with no transaction around it.

    True when held. False says nothing yet: several variants, another policy, too little, or held before; `hold` tells.
    A busy variant's row is locked for no longer than the statement runs.
    """
    cursor = await cx.execute(_HOLD_ONE, {"order": order_no, "warehouse": WAREHOUSE, "expires_at": expires_at})
    return await cursor.fetchone() is not None


async def shortage(cx: Connection, wanted: Mapping[str, int]) -> dict[str, int]:
    """What is left of each variant that is short of its demand now; empty where everything is there."""
    cursor = await cx.execute(
        "SELECT sku_id, on_hand - held AS available FROM stock WHERE sku_id = ANY(%s) AND warehouse_id = %s",
        (list(wanted), WAREHOUSE),
    )
    available = {row["sku_id"]: int(row["available"]) async for row in cursor}
    return {sku: available.get(sku, 0) for sku, quantity in wanted.items() if available.get(sku, 0) < quantity}


async def sold_out(cx: Connection, wanted: Mapping[str, int]) -> dict[str, int]:
    """What is left of each variant whose own quota can't meet its demand now; suppliers' allotments are not ours."""
    cursor = await cx.execute(
        """
        SELECT s.id, coalesce(k.on_hand - k.held, 0) AS available
        FROM unnest(%s::text[], %s::bigint[]) AS d (sku_id, quantity)
             JOIN skus s ON s.id = d.sku_id AND s.stock_policy NOT IN ('none', 'codes')
             LEFT JOIN stock k ON k.sku_id = s.id AND k.warehouse_id = %s
        WHERE coalesce(k.on_hand - k.held, 0) < d.quantity
        """,
        (list(wanted), list(wanted.values()), WAREHOUSE),
    )
    return {row["id"]: int(row["available"]) async for row in cursor}


async def hold(
    cx: Connection, order_no: int, demands: Sequence[StockDemand], *, expires_at: datetime, at: datetime
) -> Mapping[str, int] | None:
    """Hold every line's demand or nothing. None when held; else what is left of each variant that is short."""
    cursor = await cx.execute("SELECT 1 FROM stock_holds WHERE order_no = %s LIMIT 1", (order_no,))
    if await cursor.fetchone():
        return None
    wanted = demand_per_sku([(demand.sku_id, demand.quantity) for demand in demands])
    cursor = await cx.execute(
        "SELECT sku_id, on_hand - held AS available FROM stock WHERE sku_id = ANY(%s) AND warehouse_id = %s "
        "ORDER BY sku_id FOR UPDATE",
        (list(wanted), WAREHOUSE),
    )
    available = {row["sku_id"]: int(row["available"]) async for row in cursor}
    short = {sku: available.get(sku, 0) for sku, quantity in wanted.items() if available.get(sku, 0) < quantity}
    if short:
        return short
    await _take(cx, order_no, demands, at)
    await cx.execute(
        """
        INSERT INTO stock_holds (order_no, line_no, sku_id, warehouse_id, quantity, state, expires_at)
        SELECT %s, line_no, sku_id, %s, quantity, state, %s
        FROM unnest(%s::int[], %s::text[], %s::int[], %s::text[]) AS d (line_no, sku_id, quantity, state)
        """,
        (
            order_no,
            WAREHOUSE,
            expires_at,
            [demand.line_no for demand in demands],
            [demand.sku_id for demand in demands],
            [demand.quantity for demand in demands],
            [_HELD_AS[demand.policy] for demand in demands],
        ),
    )
    return None


async def _take(cx: Connection, order_no: int, demands: Sequence[StockDemand], at: datetime) -> None:
    held = demand_per_sku([(d.sku_id, d.quantity) for d in demands if d.policy == "hold"])
    taken = [demand for demand in demands if demand.policy == "at_place"]
    if held:
        await cx.execute(
            """
            UPDATE stock s SET held = s.held + d.quantity FROM unnest(%s::text[], %s::bigint[]) AS d (sku_id, quantity)
            WHERE s.sku_id = d.sku_id AND s.warehouse_id = %s
            """,
            (list(held), list(held.values()), WAREHOUSE),
        )
    for demand in taken:
        if not await _sell(cx, order_no, demand.line_no, demand.sku_id, demand.quantity, at):
            raise RuntimeError("locked stock was taken by another")


async def confirm(cx: Connection, order_no: int, *, at: datetime) -> list[int]:
    """The order is being issued: holds become sales. Returns the lines whose stock was gone (policy at_payment)."""
    states = await _lock(cx, order_no)
    if not states:
        return []
    await cx.execute(
        """
        WITH hold AS (
            UPDATE stock_holds SET state = 'confirmed' WHERE order_no = %(order)s AND state IN ('held', 'taken')
            RETURNING line_no, sku_id, warehouse_id, quantity, old.state AS was),
        demand AS (
            SELECT sku_id, warehouse_id, sum(quantity) AS quantity FROM hold WHERE was = 'held' GROUP BY 1, 2),
        moved AS (
            UPDATE stock s SET on_hand = on_hand - d.quantity, held = held - d.quantity, sold = sold + d.quantity
            FROM demand d WHERE s.sku_id = d.sku_id AND s.warehouse_id = d.warehouse_id)
        INSERT INTO stock_movements (key, sku_id, warehouse_id, kind, quantity, reason, at)
        SELECT %(order)s || '/' || line_no || '/sold', sku_id, warehouse_id, 'sold', quantity, 'order', %(at)s
        FROM hold WHERE was = 'held'
        """,
        {"order": order_no, "at": at},
    )
    if "checked" not in states:
        return []
    cursor = await cx.execute(
        "SELECT line_no, sku_id, quantity FROM stock_holds WHERE order_no = %s AND state = 'checked' ORDER BY line_no",
        (order_no,),
    )
    gone: list[int] = []
    for row in await cursor.fetchall():
        sold = await _sell(cx, order_no, row["line_no"], row["sku_id"], row["quantity"], at)
        await cx.execute(
            "UPDATE stock_holds SET state = %s WHERE order_no = %s AND line_no = %s",
            ("confirmed" if sold else "failed", order_no, row["line_no"]),
        )
        if not sold:
            gone.append(row["line_no"])
    return gone


async def release(cx: Connection, order_no: int, *, at: datetime) -> None:
    """Give back whatever the order still holds. Asks nothing about availability: a release always goes through."""
    if not await _lock(cx, order_no):
        return
    await cx.execute(
        """
        WITH hold AS (
            UPDATE stock_holds SET state = CASE WHEN state = 'taken' THEN 'returned' ELSE 'released' END
            WHERE order_no = %(order)s AND state IN ('held', 'taken', 'checked')
            RETURNING line_no, sku_id, warehouse_id, quantity, old.state AS was),
        demand AS (
            SELECT sku_id, warehouse_id, sum(quantity) AS quantity FROM hold WHERE was = 'held' GROUP BY 1, 2)
        UPDATE stock s SET held = held - d.quantity
        FROM demand d WHERE s.sku_id = d.sku_id AND s.warehouse_id = d.warehouse_id
        """,
        {"order": order_no},
    )
    cursor = await cx.execute(
        "SELECT line_no, sku_id, quantity FROM stock_holds WHERE order_no = %s AND state = 'returned' ORDER BY line_no",
        (order_no,),
    )
    for row in await cursor.fetchall():
        await _return(cx, order_no, row["line_no"], row["sku_id"], row["quantity"], at)


async def give_back(cx: Connection, order_no: int, line_no: int, *, at: datetime) -> None:
    """A confirmed line was not issued after all: its stock comes back by a new movement."""
    cursor = await cx.execute(
        "UPDATE stock_holds SET state = 'returned' WHERE order_no = %s AND line_no = %s AND state = 'confirmed' "
        "RETURNING sku_id, quantity",
        (order_no, line_no),
    )
    row = await cursor.fetchone()
    if row:
        await _return(cx, order_no, line_no, row["sku_id"], row["quantity"], at)


async def extend(cx: Connection, order_no: int, expires_at: datetime) -> None:
    """The holds last until then."""
    await cx.execute(
        "UPDATE stock_holds SET expires_at = %s WHERE order_no = %s AND state IN ('held', 'taken', 'checked')",
        (expires_at, order_no),
    )


async def _lock(cx: Connection, order_no: int) -> set[str]:
    """Row locks on all stock that the order touches, in id order: two orders never wait for each other in a ring.

    Returns the states of the order's holds, which its own row's lock keeps as they are; empty where it has none.
    """
    cursor = await cx.execute(
        """
        SELECT h.state FROM stock_holds h JOIN stock s USING (sku_id, warehouse_id)
        WHERE h.order_no = %s ORDER BY s.sku_id, s.warehouse_id FOR UPDATE OF s
        """,
        (order_no,),
    )
    return {row["state"] async for row in cursor}


async def _sell(cx: Connection, order_no: int, line_no: int, sku_id: str, quantity: int, at: datetime) -> bool:
    """Take unheld stock for a line, if there is enough: one conditional statement with its movement."""
    cursor = await cx.execute(
        """
        WITH moved AS (
            UPDATE stock SET on_hand = on_hand - %(quantity)s, sold = sold + %(quantity)s
            WHERE sku_id = %(sku)s AND warehouse_id = %(warehouse)s AND on_hand - held >= %(quantity)s
            RETURNING sku_id)
        INSERT INTO stock_movements (key, sku_id, warehouse_id, kind, quantity, reason, at)
        SELECT %(key)s, sku_id, %(warehouse)s, 'sold', %(quantity)s, 'order', %(at)s FROM moved RETURNING key
        """,
        {
            "key": f"{order_no}/{line_no}/sold",
            "sku": sku_id,
            "warehouse": WAREHOUSE,
            "quantity": quantity,
            "at": at,
        },
    )
    return await cursor.fetchone() is not None


async def _return(cx: Connection, order_no: int, line_no: int, sku_id: str, quantity: int, at: datetime) -> None:
    """Bring sold stock back, once: the movement's key is the line's."""
    await cx.execute(
        """
        WITH movement AS (
            INSERT INTO stock_movements (key, sku_id, warehouse_id, kind, quantity, reason, at)
            VALUES (%(key)s, %(sku)s, %(warehouse)s, 'returned', %(quantity)s, 'not issued', %(at)s)
            ON CONFLICT (key) DO NOTHING RETURNING quantity)
        UPDATE stock SET on_hand = on_hand + movement.quantity, sold = sold - movement.quantity
        FROM movement WHERE sku_id = %(sku)s AND warehouse_id = %(warehouse)s
        """,
        {
            "key": f"{order_no}/{line_no}/returned",
            "sku": sku_id,
            "warehouse": WAREHOUSE,
            "quantity": quantity,
            "at": at,
        },
    )
