"""Calls to suppliers as they went, the breaker that they open, and the measured pace that negotiation starts from."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.suppliers import Breaker, BreakerState, BreakerTerms
from storage.database import Connection

FAILED_ANSWERS = ("unknown", "not_sent", "rate_limited")
"""Answers that count against a supplier; a definite no does not: it is an answer."""


async def record_call(
    cx: Connection,
    *,
    supplier_id: str,
    operation: str,
    reference: str,
    answer: str,
    detail: str,
    elapsed_ms: int,
    at: datetime,
) -> Breaker:
    """One call and its answer; returns the supplier's breaker as it stands, in the same statement."""
    cursor = await cx.execute(
        """
        WITH noted AS (
            INSERT INTO supplier_calls (supplier_id, operation, reference, answer, detail, elapsed_ms, at)
            VALUES (%s, %s, %s, %s, %s, %s, %s))
        SELECT state, opened_at, probe_at FROM supplier_breakers WHERE supplier_id = %s
        """,
        (supplier_id, operation, reference, answer, detail[:500], elapsed_ms, at, supplier_id),
    )
    return _breaker(await cursor.fetchone())


async def read_breaker(cx: Connection, supplier_id: str) -> Breaker:
    """The breaker as it stands; closed where nothing has been recorded."""
    cursor = await cx.execute(
        "SELECT state, opened_at, probe_at FROM supplier_breakers WHERE supplier_id = %s", (supplier_id,)
    )
    return _breaker(await cursor.fetchone())


def _breaker(row: dict[str, Any] | None) -> Breaker:
    if row is None:
        return Breaker(BreakerState.CLOSED)
    return Breaker(BreakerState(row["state"]), row["opened_at"], row["probe_at"])


async def take_probe(cx: Connection, supplier_id: str, terms: BreakerTerms, at: datetime) -> bool:
    """Take the one probe that an open breaker admits per cool-down; False where another has it."""
    cursor = await cx.execute(
        """
        UPDATE supplier_breakers SET probe_at = %(at)s
        WHERE supplier_id = %(supplier)s AND state = 'open'
          AND greatest(opened_at, coalesce(probe_at, opened_at)) <= %(at)s - make_interval(secs => %(cooldown)s)
        RETURNING supplier_id
        """,
        {"supplier": supplier_id, "at": at, "cooldown": terms.cooldown_s},
    )
    return await cursor.fetchone() is not None


async def count_latest(cx: Connection, supplier_id: str, window: int) -> tuple[int, int]:
    """How many of the latest `window` calls there are, and how many of them failed."""
    cursor = await cx.execute(
        """
        SELECT count(*) AS calls, count(*) FILTER (WHERE answer = ANY(%s)) AS failures
        FROM (SELECT answer FROM supplier_calls WHERE supplier_id = %s ORDER BY id DESC LIMIT %s) AS latest
        """,
        (list(FAILED_ANSWERS), supplier_id, window),
    )
    row = await cursor.fetchone()
    return (int(row["calls"]), int(row["failures"])) if row else (0, 0)


async def write_breaker(cx: Connection, supplier_id: str, breaker: Breaker, *, by: str) -> None:
    """The breaker's new state. An operator's word is only taken back by an operator."""
    await cx.execute(
        """
        INSERT INTO supplier_breakers (supplier_id, state, opened_at, probe_at, changed_by)
        VALUES (%(supplier)s, %(state)s, %(opened)s, %(probe)s, %(by)s)
        ON CONFLICT (supplier_id) DO UPDATE SET state = excluded.state, opened_at = excluded.opened_at,
               probe_at = excluded.probe_at, changed_by = excluded.changed_by
        WHERE supplier_breakers.state IN ('open', 'closed') OR %(by)s <> 'system'
        """,
        {
            "supplier": supplier_id,
            "state": str(breaker.state),
            "opened": breaker.opened_at,
            "probe": breaker.probe_at,
            "by": by,
        },
    )


async def read_contract(cx: Connection, supplier_id: str) -> dict[str, Any] | None:
    """The supplier's row; None for an unknown one."""
    cursor = await cx.execute("SELECT * FROM suppliers WHERE id = %s", (supplier_id,))
    return await cursor.fetchone()


async def median_answer_s(cx: Connection, supplier_id: str, *, calls: int = 200) -> float | None:
    """The median time of its latest answered calls, in seconds; None where there are fewer than ten."""
    cursor = await cx.execute(
        """
        SELECT count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY elapsed_ms) AS median
        FROM (SELECT elapsed_ms FROM supplier_calls WHERE supplier_id = %s AND operation IN ('issue', 'query')
              AND answer <> ALL(%s) ORDER BY id DESC LIMIT %s) AS latest
        """,
        (supplier_id, list(FAILED_ANSWERS), calls),
    )
    row = await cursor.fetchone()
    return float(row["median"]) / 1000 if row and row["n"] >= 10 else None
