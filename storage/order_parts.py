"""The statements under order_stock.py: parts of lines reserved, sold and taken back at levels that are locked already.

A movement's key is made of order and line, and, but for the first warehouse of a line, the warehouse: unique, and the
same however often a step is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from domain.warehouses import Part, first_parts
from storage.database import Connection


async def reserve(cx: Connection, parts: Sequence[Part]) -> None:
    """Hold units; the table's CHECK is the last word on how many there are."""
    if not parts:
        return
    await cx.execute(
        """
        WITH demand AS (
            SELECT sku_id, warehouse_id, sum(quantity) AS quantity
            FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS p (sku_id, warehouse_id, quantity) GROUP BY 1, 2)
        UPDATE stock s SET held = s.held + d.quantity FROM demand d
        WHERE s.sku_id = d.sku_id AND s.warehouse_id = d.warehouse_id
        """,
        (
            [part.sku_id for part in parts],
            [part.warehouse_id for part in parts],
            [part.quantity for part in parts],
        ),
    )


async def sell(cx: Connection, order_no: int, parts: Sequence[Part], at: datetime) -> None:
    """Take unheld units, each part by one conditional statement with its movement."""
    firsts = set(first_parts(parts))
    for part in parts:
        place = () if part in firsts else (part.warehouse_id,)
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
                "key": "/".join((str(order_no), str(part.line_no), *place, "sold")),
                "sku": part.sku_id,
                "warehouse": part.warehouse_id,
                "quantity": part.quantity,
                "at": at,
            },
        )
        if await cursor.fetchone() is None:
            raise RuntimeError("locked stock was taken by another")


async def take_back(cx: Connection, order_no: int, line_no: int | None = None, *, state: str, at: datetime) -> None:
    """Holds in `state` (`taken`, `confirmed`), of one line or all, become `returned`: their units are on hand again."""
    await cx.execute(
        """
        WITH hold AS (
            UPDATE stock_holds SET state = 'returned'
            WHERE order_no = %(order)s AND state = %(state)s AND (%(line)s::int IS NULL OR line_no = %(line)s)
            RETURNING line_no, sku_id, warehouse_id, quantity),
        movement AS (
            INSERT INTO stock_movements (key, sku_id, warehouse_id, kind, quantity, reason, at)
            SELECT concat_ws('/', %(order)s::bigint, line_no,
                             CASE WHEN warehouse_id <> min(warehouse_id) OVER (PARTITION BY line_no)
                                  THEN warehouse_id END, 'returned'),
                   sku_id, warehouse_id, 'returned', quantity, 'not issued', %(at)s
            FROM hold ON CONFLICT (key) DO NOTHING RETURNING sku_id, warehouse_id, quantity),
        back AS (SELECT sku_id, warehouse_id, sum(quantity) AS quantity FROM movement GROUP BY 1, 2)
        UPDATE stock s SET on_hand = on_hand + back.quantity, sold = sold - back.quantity
        FROM back WHERE s.sku_id = back.sku_id AND s.warehouse_id = back.warehouse_id
        """,
        {"order": order_no, "line": line_no, "state": state, "at": at},
    )


async def insert_holds(
    cx: Connection, order_no: int, parts: Sequence[Part], states: Mapping[int, str], expires_at: datetime | None
) -> None:
    """One row per part, in its line's state."""
    if not parts:
        return
    await cx.execute(
        """
        INSERT INTO stock_holds (order_no, line_no, sku_id, warehouse_id, quantity, state, expires_at)
        SELECT %s, line_no, sku_id, warehouse_id, quantity, state, %s
        FROM unnest(%s::int[], %s::text[], %s::text[], %s::int[], %s::text[])
             AS d (line_no, sku_id, warehouse_id, quantity, state)
        """,
        (
            order_no,
            expires_at,
            [part.line_no for part in parts],
            [part.sku_id for part in parts],
            [part.warehouse_id for part in parts],
            [part.quantity for part in parts],
            [states[part.line_no] for part in parts],
        ),
    )
