"""Pools of codes: loaded by people, held for an order's lines, handed out exactly once, and never twice to anybody.

A code is a row; holding, handing out and giving back are conditional statements on its state. Where two buyers want
the last code, `SKIP LOCKED` gives it to one and lets the other see that there is none, without waiting in a queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from storage.database import Connection


async def load(cx: Connection, sku_id: str, codes: Sequence[str], *, valid_to: datetime | None, now: datetime) -> int:
    """Put codes into the pool; how many were new. A code that the variant has (or had) already is left alone."""
    cursor = await cx.execute(
        """
        INSERT INTO codes (sku_id, code, valid_to, loaded_at)
        SELECT %s, code, %s, %s FROM unnest(%s::text[]) WITH ORDINALITY AS c (code, n) ORDER BY n
        ON CONFLICT (sku_id, code) DO NOTHING
        """,
        (sku_id, valid_to, now, list(codes)),
    )
    return cursor.rowcount


async def counts(cx: Connection, sku_id: str) -> dict[str, int]:
    """How many codes of the variant are in each state. The codes themselves are never listed."""
    cursor = await cx.execute("SELECT state, count(*) AS n FROM codes WHERE sku_id = %s GROUP BY state", (sku_id,))
    found = {row["state"]: int(row["n"]) async for row in cursor}
    return {state: found.get(state, 0) for state in ("available", "held", "handed_out", "burned", "withdrawn")}


async def withdraw(cx: Connection, sku_id: str) -> int:
    """Take all codes that nobody holds out of the pool; how many."""
    cursor = await cx.execute(
        "UPDATE codes SET state = 'withdrawn' WHERE sku_id = %s AND state = 'available'", (sku_id,)
    )
    return cursor.rowcount


async def left(cx: Connection, wanted: Mapping[str, int], *, at: datetime) -> dict[str, int]:
    """What is left of each pool that is short of its demand; empty where everything is there."""
    if not wanted:
        return {}
    cursor = await cx.execute(
        """
        SELECT d.sku_id, count(c.id) AS n FROM unnest(%s::text[], %s::bigint[]) AS d (sku_id, quantity)
             LEFT JOIN LATERAL (SELECT id FROM codes c WHERE c.sku_id = d.sku_id AND c.state = 'available'
                                AND (c.valid_to IS NULL OR c.valid_to > %s) LIMIT d.quantity) AS c ON true
        GROUP BY d.sku_id, d.quantity HAVING count(c.id) < d.quantity
        """,
        (list(wanted), list(wanted.values()), at),
    )
    return {row["sku_id"]: int(row["n"]) async for row in cursor}


async def hold(cx: Connection, order_no: int, *, at: datetime) -> dict[str, int] | None:
    """Hold codes for every line of the order whose variant has a pool, or none. None when held; else what is left.

    Idempotent: a line that holds its codes already holds no more.
    """
    cursor = await cx.execute(
        """
        SELECT l.line_no, l.sku_id, l.quantity - count(c.id)::int AS missing
        FROM order_lines l JOIN skus s ON s.id = l.sku_id AND s.stock_policy = 'codes'
             LEFT JOIN codes c ON (c.order_no, c.line_no) = (l.order_no, l.line_no)
        WHERE l.order_no = %s GROUP BY l.line_no, l.sku_id, l.quantity ORDER BY l.line_no
        """,
        (order_no,),
    )
    short: dict[str, int] = {}
    for row in await cursor.fetchall():
        if row["missing"] <= 0:
            continue
        taken = await _take(cx, order_no, row["line_no"], row["sku_id"], row["missing"], at)
        if taken < row["missing"]:
            short[row["sku_id"]] = taken
    if short:
        await release(cx, order_no)
        return short
    return None


async def _take(cx: Connection, order_no: int, line_no: int, sku_id: str, quantity: int, at: datetime) -> int:
    cursor = await cx.execute(
        """
        UPDATE codes SET state = 'held', order_no = %s, line_no = %s
        WHERE id IN (SELECT id FROM codes WHERE sku_id = %s AND state = 'available'
                       AND (valid_to IS NULL OR valid_to > %s) ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
        """,
        (order_no, line_no, sku_id, at, quantity),
    )
    return cursor.rowcount


async def release(cx: Connection, order_no: int, line_no: int | None = None) -> None:
    """Give back what is held and not handed out; always goes through."""
    await cx.execute(
        """
        UPDATE codes SET state = 'available', order_no = NULL, line_no = NULL
        WHERE order_no = %(order)s AND state = 'held' AND (%(line)s::int IS NULL OR line_no = %(line)s)
        """,
        {"order": order_no, "line": line_no},
    )


async def hand_out(cx: Connection, order_no: int, line_no: int, *, quantity: int, at: datetime) -> list[str]:
    """The line's codes, handed out by this, in the order in which they were loaded.

    The line holds them since it was locked, so handing out takes from nobody else; none where some are missing.
    """
    cursor = await cx.execute(
        "SELECT count(*) AS n FROM codes WHERE order_no = %s AND line_no = %s AND state = 'held'", (order_no, line_no)
    )
    row = await cursor.fetchone()
    if row is None or row["n"] < quantity:
        return []
    cursor = await cx.execute(
        """
        WITH given AS (
            UPDATE codes SET state = 'handed_out', handed_out_at = %s
            WHERE order_no = %s AND line_no = %s AND state = 'held' RETURNING id, code)
        SELECT code FROM given ORDER BY id
        """,
        (at, order_no, line_no),
    )
    return [row["code"] async for row in cursor]


async def burn(cx: Connection, order_no: int, line_no: int) -> None:
    """The line is refunded after its codes were handed out: somebody has seen them, so nobody else gets them."""
    await cx.execute(
        "UPDATE codes SET state = 'burned' WHERE order_no = %s AND line_no = %s AND state = 'handed_out'",
        (order_no, line_no),
    )
