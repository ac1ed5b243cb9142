"""The operators' queue: what a person has to decide or to know, with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from storage.database import Connection


async def open_exception(
    cx: Connection,
    *,
    exception_id: str,
    kind: str,
    order_no: int | None = None,
    line_no: int = 0,
    supplier_id: str | None = None,
    pay_id: str | None = None,
    refund_id: str | None = None,
    evidence: dict[str, Any],
    at: datetime,
) -> bool:
    """Put it into the queue once; False where it is there already."""
    cursor = await cx.execute(
        """
        INSERT INTO order_exceptions (id, kind, order_no, line_no, supplier_id, pay_id, refund_id, evidence, opened_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING RETURNING id
        """,
        (exception_id, kind, order_no, line_no, supplier_id, pay_id, refund_id, Jsonb(evidence), at),
    )
    return await cursor.fetchone() is not None


async def resolve(cx: Connection, exception_id: str, *, by: str, at: datetime, resolution: dict[str, Any]) -> bool:
    """Close it, once; False where it was not open."""
    cursor = await cx.execute(
        """
        UPDATE order_exceptions SET state = 'resolved', resolved_by = %s, resolved_at = %s, resolution = %s
        WHERE id = %s AND state = 'open' RETURNING id
        """,
        (by, at, Jsonb(resolution), exception_id),
    )
    return await cursor.fetchone() is not None


async def read_exception(cx: Connection, exception_id: str) -> dict[str, Any] | None:
    """One entry with its order's host; None for an unknown id."""
    cursor = await cx.execute(
        """
        SELECT x.*, o.host_workflow_id, o.status AS order_status, l.status AS line_status, l.kind AS line_kind,
            l.quantity
        FROM order_exceptions x LEFT JOIN orders o USING (order_no)
             LEFT JOIN order_lines l ON (l.order_no, l.line_no) = (x.order_no, x.line_no)
        WHERE x.id = %s
        """,
        (exception_id,),
    )
    return await cursor.fetchone()


async def alarms(
    cx: Connection, kind: str, *, pay_id: str | None = None, refund_id: str | None = None
) -> tuple[int, bool]:
    """How many cases of this kind there were about the pay order or the refund, and whether one is open."""
    cursor = await cx.execute(
        "SELECT count(*) AS raised, coalesce(bool_or(state = 'open'), false) AS open FROM order_exceptions "
        "WHERE kind = %(kind)s AND (pay_id = %(pay)s OR refund_id = %(refund)s)",
        {"kind": kind, "pay": pay_id, "refund": refund_id},
    )
    row = await cursor.fetchone()
    assert row is not None
    return row["raised"], row["open"]


async def list_exceptions(
    cx: Connection, *, state: str | None, kind: str | None, pay_id: str | None, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """In id order, `limit` + 1 rows at most; `pay_id`: about that payment; `after`: the cursor."""
    cursor = await cx.execute(
        """
        SELECT * FROM order_exceptions
        WHERE (%(state)s::text IS NULL OR state = %(state)s) AND (%(kind)s::text IS NULL OR kind = %(kind)s)
          AND (%(pay)s::text IS NULL OR pay_id = %(pay)s) AND (%(after)s::text IS NULL OR id > %(after)s)
        ORDER BY id LIMIT %(limit)s
        """,
        {"state": state, "kind": kind, "pay": pay_id, "after": after, "limit": limit + 1},
    )
    return await cursor.fetchall()


async def open_about_units(cx: Connection, order_no: int, line_no: int, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The line's open cases of these kinds: `unit`, `kind`, and its `occurrence`, counted from 1."""
    cursor = await cx.execute(
        """
        SELECT (evidence ->> 'unit')::int AS unit, kind, coalesce((evidence ->> 'occurrence')::int, 1) AS occurrence
        FROM order_exceptions WHERE order_no = %s AND line_no = %s AND state = 'open' AND kind = ANY(%s) ORDER BY id
        """,
        (order_no, line_no, list(kinds)),
    )
    return await cursor.fetchall()
