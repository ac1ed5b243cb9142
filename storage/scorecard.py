"""How a supplier answers, from the calls recorded and the bookings decided: medians, shares, time to certainty."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from storage.database import Connection


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Times are None, and shares 0, where there is nothing to count. Answer times in ms, certainty in seconds.

    `certainty_*`: from the moment an issue may have been sent until its outcome was known.
    """

    calls: int
    answer_median_ms: int | None
    answer_p95_ms: int | None
    unknown: int
    refusals: int
    contradictions: int
    decided: int
    certainty_median_s: float | None
    certainty_p95_s: float | None

    @property
    def unknown_share(self) -> float:
        return self.unknown / self.calls if self.calls else 0.0

    @property
    def refusal_share(self) -> float:
        return self.refusals / self.calls if self.calls else 0.0


async def read_scorecard(cx: Connection, supplier_id: str, since: datetime) -> Scorecard:
    """Over all calls and decisions since then."""
    cursor = await cx.execute(
        """
        SELECT c.*, b.*, x.* FROM (
            SELECT count(*) AS calls,
                percentile_disc(0.5) WITHIN GROUP (ORDER BY elapsed_ms) AS answer_median_ms,
                percentile_disc(0.95) WITHIN GROUP (ORDER BY elapsed_ms) AS answer_p95_ms,
                count(*) FILTER (WHERE answer = 'unknown') AS unknown,
                count(*) FILTER (WHERE answer = 'rejected') AS refusals
            FROM supplier_calls WHERE supplier_id = %(supplier)s AND at >= %(since)s) c,
        LATERAL (
            SELECT count(*) AS decided,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM decided_at - issuing_at)::float8)
                    AS certainty_median_s,
                percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM decided_at - issuing_at)::float8)
                    AS certainty_p95_s
            FROM bookings WHERE supplier_id = %(supplier)s AND decided_at >= %(since)s AND issuing_at IS NOT NULL) b,
        LATERAL (
            SELECT count(*) AS contradictions FROM order_exceptions
            WHERE supplier_id = %(supplier)s AND kind = 'contradiction' AND opened_at >= %(since)s) x
        """,
        {"supplier": supplier_id, "since": since},
    )
    row = await cursor.fetchone()
    assert row is not None, "aggregates without groups have one row"
    return Scorecard(**row)
