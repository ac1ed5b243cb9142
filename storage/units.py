"""Fulfilment units as rows: recorded when they are issued, moved by what their carrier tells, each with its history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.units import TRACKED, CredentialStale, TrackedEvent, UnitNotFound, UnitState, stands_by
from storage.database import Connection


@dataclass(frozen=True, slots=True)
class NewUnit:
    """A unit to be recorded, in the order of the line's units; `attempt` is the booking it comes from, 0 for none."""

    quantity: int
    code: str = ""
    code_format: str = ""
    reference: str = ""
    attempt: int = 0
    warehouse_id: str | None = None


_NEW = """
    SELECT %(order)s AS order_no, %(line)s AS line_no, (u.n - 1)::int AS unit, u.quantity, %(carried)s AS carried,
           u.code, u.code_format, u.reference, u.attempt, u.warehouse_id
    FROM unnest(%(quantity)s::int[], %(code)s::text[], %(code_format)s::text[], %(reference)s::text[],
                %(attempt)s::int[], %(warehouse_id)s::text[])
         WITH ORDINALITY AS u (quantity, code, code_format, reference, attempt, warehouse_id, n)
"""
_COLUMNS = "order_no, line_no, unit, quantity, carried, code, code_format, reference, attempt, warehouse_id"

_OWE = f"""
INSERT INTO fulfilment_units ({_COLUMNS}, state)
SELECT {_COLUMNS}, 'owed' FROM ({_NEW}) AS new ON CONFLICT DO NOTHING
"""

_ISSUE = f"""
WITH issued AS (
    INSERT INTO fulfilment_units AS f ({_COLUMNS}, state, issued_at)
    SELECT {_COLUMNS}, 'issued', %(at)s FROM ({_NEW}) AS new
    ON CONFLICT (order_no, line_no, unit) DO UPDATE
       SET state = 'issued', issued_at = excluded.issued_at, code = excluded.code, reference = excluded.reference,
           code_format = excluded.code_format, attempt = excluded.attempt
       WHERE f.state = 'owed'
    RETURNING f.order_no, f.line_no, f.unit, f.code)
INSERT INTO unit_events (order_no, line_no, unit, key, event, at)
SELECT order_no, line_no, unit, 'issued', 'issued', %(at)s FROM issued ON CONFLICT DO NOTHING
"""


def _values(order_no: int, line_no: int, units: Sequence[NewUnit], carried: bool) -> dict[str, Any]:
    names = ("quantity", "code", "code_format", "reference", "attempt", "warehouse_id")
    columns: dict[str, Any] = {name: [getattr(unit, name) for unit in units] for name in names}
    return {**columns, "order": order_no, "line": line_no, "carried": carried}


async def owe(cx: Connection, order_no: int, line_no: int, units: Sequence[NewUnit], *, carried: bool) -> None:
    """What the line will consist of, before it is issued; a repeat changes nothing."""
    await cx.execute(_OWE, _values(order_no, line_no, units, carried))


async def issue(
    cx: Connection, order_no: int, line_no: int, units: Sequence[NewUnit], *, carried: bool, at: datetime
) -> None:
    """The units are issued, with the first row of their history, in one statement; a repeat changes nothing."""
    await cx.execute(_ISSUE, {**_values(order_no, line_no, units, carried), "at": at})


async def record(cx: Connection, order_no: int, line_no: int, event: str, *, at: datetime, detail: str = "") -> None:
    """Write into the history of each of the line's units that this happened, once per event; `void` ones are left."""
    await cx.execute(
        """
        INSERT INTO unit_events (order_no, line_no, unit, key, event, detail, at)
        SELECT order_no, line_no, unit, %(event)s, %(event)s, %(detail)s, %(at)s FROM fulfilment_units
        WHERE order_no = %(order)s AND line_no = %(line)s AND state <> 'void' ON CONFLICT DO NOTHING
        """,
        {"order": order_no, "line": line_no, "event": event, "detail": detail, "at": at},
    )


_MOVE = """
WITH moved AS (
    UPDATE fulfilment_units SET state = %(to)s
    WHERE order_no = %(order)s AND line_no = %(line)s AND state = ANY(%(states)s)
      AND (%(unit)s::int IS NULL OR unit = %(unit)s)
    RETURNING order_no, line_no, unit)
INSERT INTO unit_events (order_no, line_no, unit, key, event, detail, actor, at)
SELECT order_no, line_no, unit, %(event)s || '/' || %(at)s::text, %(event)s, %(detail)s, %(actor)s, %(at)s FROM moved
ON CONFLICT DO NOTHING
"""


async def void(
    cx: Connection,
    order_no: int,
    line_no: int,
    *,
    at: datetime,
    reason: str,
    unit: int | None = None,
    actor: str = "system",
) -> None:
    """The line (or one unit of it) is taken back: nothing more happens to what is not void already."""
    states = [str(state) for state in UnitState if state not in (UnitState.VOID, UnitState.COMPLETED)]
    await _move(cx, order_no, line_no, unit, states, "void", "voided", at, reason, actor)


async def restore(cx: Connection, order_no: int, line_no: int, *, at: datetime) -> None:
    """The line stays issued after all: what was on its way still is, but for units that were written off for good."""
    cursor = await cx.execute(
        """
        SELECT unit, carried FROM fulfilment_units AS u
        WHERE order_no = %s AND line_no = %s AND state = 'void'
          AND NOT EXISTS (SELECT FROM breach_records AS b
                          WHERE (b.order_no, b.line_no, b.unit) = (u.order_no, u.line_no, u.unit))
        ORDER BY unit FOR UPDATE
        """,
        (order_no, line_no),
    )
    for row in await cursor.fetchall():
        await _move(cx, order_no, line_no, row["unit"], ["void"], "issued", "restored", at, "", "system")
        if row["carried"]:
            await _follow_history(cx, order_no, line_no, row["unit"])


async def complete(cx: Connection, order_no: int, line_no: int, *, at: datetime) -> None:
    """Nothing more is expected of what was issued or delivered."""
    await _move(cx, order_no, line_no, None, ["issued", "delivered"], "completed", "completed", at, "", "system")


async def _move(
    cx: Connection,
    order_no: int,
    line_no: int,
    unit: int | None,
    states: list[str],
    to: str,
    event: str,
    at: datetime,
    detail: str,
    actor: str,
) -> None:
    values = {
        "order": order_no, "line": line_no, "unit": unit, "states": states, "to": to, "event": event, "at": at,
        "detail": detail, "actor": actor,
    }  # fmt: skip
    await cx.execute(_MOVE, values)


async def of_line(cx: Connection, order_no: int, line_no: int) -> list[dict[str, Any]]:
    """The line's units, each with its booking's reference at the party that carries it, where there is one, and how
    often it was told to be lost."""
    cursor = await cx.execute(
        """
        SELECT u.*, b.supplier_id, b.reference AS booking_reference, b.cost_minor,
               (SELECT count(*) FROM unit_events AS e
                WHERE (e.order_no, e.line_no, e.unit) = (u.order_no, u.line_no, u.unit) AND e.event = 'lost') AS losses
        FROM fulfilment_units u LEFT JOIN bookings b USING (order_no, line_no, attempt)
        WHERE u.order_no = %s AND u.line_no = %s ORDER BY u.unit
        """,
        (order_no, line_no),
    )
    return await cursor.fetchall()


async def left_for_good(cx: Connection, order_no: int, line_no: int) -> list[str]:
    """Warehouses whose parcel of the line was delivered or written off: its pieces are on nobody's shelf of ours."""
    cursor = await cx.execute(
        """
        SELECT DISTINCT u.warehouse_id FROM fulfilment_units u
             LEFT JOIN breach_records b USING (order_no, line_no, unit)
        WHERE u.order_no = %s AND u.line_no = %s AND u.carried AND u.warehouse_id IS NOT NULL
          AND (u.delivered_at IS NOT NULL OR b.unit IS NOT NULL)
        ORDER BY u.warehouse_id
        """,
        (order_no, line_no),
    )
    return [row["warehouse_id"] async for row in cursor]


async def carried_states(cx: Connection, order_no: int) -> list[UnitState]:
    """Where all carried units of the order stand."""
    cursor = await cx.execute("SELECT state FROM fulfilment_units WHERE order_no = %s AND carried", (order_no,))
    return [UnitState(row["state"]) async for row in cursor]


async def track(
    cx: Connection, order_no: int, line_no: int, unit: int, events: Sequence[TrackedEvent]
) -> UnitState | None:
    """Take in what the carrier told of a unit, each event once; where the unit stands by all that was told so far.

    None where there is no such unit. A corrected waybill counts only if its version is higher.
    """
    cursor = await cx.execute(
        "SELECT state FROM fulfilment_units WHERE order_no = %s AND line_no = %s AND unit = %s FOR UPDATE",
        (order_no, line_no, unit),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    news = [event for event in events if await _note(cx, order_no, line_no, unit, event)]
    for event in news:
        if event.happening == "corrected":
            await cx.execute(
                """
                UPDATE fulfilment_units SET code = %(code)s, version = %(version)s
                WHERE order_no = %(order)s AND line_no = %(line)s AND unit = %(unit)s AND %(version)s > version
                """,
                {
                    "code": event.tracking_no, "version": event.version, "order": order_no, "line": line_no,
                    "unit": unit,
                },
            )  # fmt: skip
    state = UnitState(row["state"])
    return await _follow_history(cx, order_no, line_no, unit) if news and state in TRACKED else state


async def _follow_history(cx: Connection, order_no: int, line_no: int, unit: int) -> UnitState:
    """Bring a unit that is not void to where it stands by all that its carrier has told of it."""
    cursor = await cx.execute(
        """
        SELECT event AS happening, at FROM unit_events
        WHERE order_no = %s AND line_no = %s AND unit = %s AND actor = 'carrier' AND event <> 'corrected' ORDER BY id
        """,
        (order_no, line_no, unit),
    )
    told = [TrackedEvent(**row) for row in await cursor.fetchall()]
    state = stands_by(told)
    delivered = min((event.at for event in told if event.happening == "delivered"), default=None)
    await cx.execute(
        """
        UPDATE fulfilment_units SET state = %s, delivered_at = coalesce(delivered_at, %s)
        WHERE order_no = %s AND line_no = %s AND unit = %s
        """,
        (str(state), delivered, order_no, line_no, unit),
    )
    return state


async def _note(cx: Connection, order_no: int, line_no: int, unit: int, event: TrackedEvent) -> bool:
    """Whether the event is news. A carrier tells the same event by callback, again, and when it is asked."""
    key = f"{event.happening}/{event.version or event.at.isoformat()}"
    cursor = await cx.execute(
        """
        INSERT INTO unit_events (order_no, line_no, unit, key, event, detail, actor, at)
        VALUES (%s, %s, %s, %s, %s, %s, 'carrier', %s) ON CONFLICT DO NOTHING RETURNING id
        """,
        (order_no, line_no, unit, key, event.happening, event.tracking_no or event.detail, event.at),
    )
    return await cursor.fetchone() is not None


async def correct(
    cx: Connection, order_no: int, line_no: int, unit: int, *, code: str, version: int, actor: str, at: datetime
) -> int:
    """A person's correction of a waybill that was read at `version`; the new version.

    The later correction wins and a call that is repeated late does not undo it. Raises CredentialStale, UnitNotFound.
    """
    cursor = await cx.execute(
        """
        UPDATE fulfilment_units SET code = %(code)s, version = version + 1
        WHERE order_no = %(order)s AND line_no = %(line)s AND unit = %(unit)s AND carried AND version = %(version)s
        RETURNING version
        """,
        {"code": code, "order": order_no, "line": line_no, "unit": unit, "version": version},
    )
    row = await cursor.fetchone()
    if row is None:
        await _refuse_correction(cx, order_no, line_no, unit, code=code, version=version)
        return version + 1
    await cx.execute(
        """
        INSERT INTO unit_events (order_no, line_no, unit, key, event, detail, actor, at)
        VALUES (%s, %s, %s, %s, 'corrected', %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        (order_no, line_no, unit, f"corrected/{row['version']}", code, actor, at),
    )
    return int(row["version"])


async def _refuse_correction(
    cx: Connection, order_no: int, line_no: int, unit: int, *, code: str, version: int
) -> None:
    """Silent where the very same correction was made before: a repetition of the call."""
    cursor = await cx.execute(
        "SELECT version, code FROM fulfilment_units WHERE order_no = %s AND line_no = %s AND unit = %s AND carried",
        (order_no, line_no, unit),
    )
    row = await cursor.fetchone()
    if row is None:
        raise UnitNotFound(line_no, unit)
    if (row["version"], row["code"]) != (version + 1, code):
        raise CredentialStale(row["version"], row["code"])


async def breach(
    cx: Connection,
    order_no: int,
    line_no: int,
    unit: int,
    *,
    what: str,
    why: str,
    cost_minor: int,
    currency: str,
    borne_by: str,
    at: datetime,
) -> bool:
    """Record what was promised and not delivered; False where that was recorded before."""
    cursor = await cx.execute(
        """
        INSERT INTO breach_records (order_no, line_no, unit, what, why, cost_minor, currency, borne_by, at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING unit
        """,
        (order_no, line_no, unit, what, why, cost_minor, currency, borne_by, at),
    )
    return await cursor.fetchone() is not None


async def lines_on_their_way(
    cx: Connection, *, lasting: Sequence[str] = (), after: tuple[int, int], limit: int
) -> list[dict[str, Any]]:
    """Lines of which units are not complete and are carried, or of the kinds that go on after issue without it
    (`lasting`); in id order: what has to have a delivery's workflow."""
    # Most kinds are done when they are issued: only what is carried has an index, so the rest is asked for if need be.
    there = "(u.carried OR l.kind = ANY(%(lasting)s))" if lasting else "u.carried"
    cursor = await cx.execute(
        f"""
        SELECT DISTINCT u.order_no, u.line_no, o.distributor_id
        FROM fulfilment_units u JOIN orders o USING (order_no) JOIN order_lines l USING (order_no, line_no)
        WHERE u.state IN ('issued', 'shipped', 'delivered', 'lost') AND {there}
          AND (u.order_no, u.line_no) > (%(order)s, %(line)s) AND o.status IN ('issued', 'refunded')
        ORDER BY u.order_no, u.line_no LIMIT %(limit)s
        """,
        {"lasting": list(lasting), "order": after[0], "line": after[1], "limit": limit},
    )
    return await cursor.fetchall()
