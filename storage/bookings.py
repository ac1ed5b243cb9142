"""Bookings at suppliers: the intent before it is sent, what is known of it since, and the tickets that came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.issuance import IssuedTicket
from storage.database import Connection


@dataclass(frozen=True, slots=True)
class Intent:
    """One attempt at one supplier, about to be sent. `cost_minor` is for all its pieces; `quantity` None: all."""

    line_no: int
    attempt: int
    offer_id: str
    supplier_id: str
    reference: str
    cost_minor: int
    state: str = "intended"
    quantity: int | None = None
    warehouse_id: str | None = None


async def intend(cx: Connection, order_no: int, intents: Sequence[Intent], *, at: datetime) -> None:
    """Store what is about to be sent. An attempt that exists already is left as it is, but may advance to `issuing`."""
    await cx.execute(
        """
        INSERT INTO bookings (order_no, line_no, attempt, offer_id, supplier_id, reference, cost_minor, state, quantity,
                              warehouse_id, intended_at, issuing_at)
        SELECT %(order)s, b.*, %(at)s, CASE WHEN b.state = 'issuing' THEN %(at)s END
        FROM unnest(%(line)s::int[], %(attempt)s::int[], %(offer)s::text[], %(supplier)s::text[], %(reference)s::text[],
                    %(cost)s::bigint[], %(state)s::text[], %(quantity)s::int[], %(warehouse)s::text[])
             AS b (line_no, attempt, offer_id, supplier_id, reference, cost_minor, state, quantity, warehouse_id)
        ON CONFLICT (order_no, line_no, attempt) DO UPDATE
           SET state = 'issuing', issuing_at = coalesce(bookings.issuing_at, excluded.issuing_at)
           WHERE excluded.state = 'issuing' AND bookings.state IN ('intended', 'held')
        """,
        {
            "order": order_no,
            "at": at,
            "line": [intent.line_no for intent in intents],
            "attempt": [intent.attempt for intent in intents],
            "offer": [intent.offer_id for intent in intents],
            "supplier": [intent.supplier_id for intent in intents],
            "reference": [intent.reference for intent in intents],
            "cost": [intent.cost_minor for intent in intents],
            "state": [intent.state for intent in intents],
            "quantity": [intent.quantity for intent in intents],
            "warehouse": [intent.warehouse_id for intent in intents],
        },
    )


async def mark(
    cx: Connection,
    order_no: int,
    line_no: int,
    attempt: int,
    state: str,
    *,
    at: datetime,
    supplier_reference: str | None = None,
    expires_at: datetime | None = None,
    answer: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Note what is known of the booking now; its row. None where it was decided before: the first answer wins."""
    cursor = await cx.execute(
        """
        UPDATE bookings SET state = %(state)s, answer = coalesce(%(answer)s, answer),
               supplier_reference = coalesce(%(supplier_reference)s, supplier_reference),
               hold_expires_at = coalesce(%(expires_at)s, hold_expires_at),
               decided_at = CASE WHEN %(state)s IN ('confirmed', 'rejected', 'released', 'lost') THEN %(at)s END
        WHERE order_no = %(order)s AND line_no = %(line)s AND attempt = %(attempt)s
          AND (state IN ('intended', 'held', 'issuing', 'releasing') OR %(state)s IN ('releasing', 'lost'))
          AND NOT (state = 'lost')
        RETURNING *
        """,
        {
            "order": order_no,
            "line": line_no,
            "attempt": attempt,
            "state": state,
            "at": at,
            "supplier_reference": supplier_reference,
            "expires_at": expires_at,
            "answer": Jsonb(answer) if answer else None,
        },
    )
    return await cursor.fetchone()


async def note_negotiation(
    cx: Connection, order_no: int, line_no: int, attempt: int, *, asked: int, at: datetime, escalated: bool
) -> None:
    """Show how often the supplier has been asked, and whether an operator has to decide."""
    await cx.execute(
        """
        UPDATE bookings SET asked = greatest(asked, %s), negotiating_since = coalesce(negotiating_since, %s),
               escalated_at = CASE WHEN %s THEN coalesce(escalated_at, %s) ELSE escalated_at END
        WHERE order_no = %s AND line_no = %s AND attempt = %s AND decided_at IS NULL
        """,
        (asked, at, escalated, at, order_no, line_no, attempt),
    )


async def insert_tickets(
    cx: Connection, order_no: int, line_no: int, tickets: Sequence[IssuedTicket], *, at: datetime
) -> None:
    """The supplier's credentials, one per unit; a repeat changes nothing."""
    await cx.execute(
        """
        INSERT INTO tickets (order_no, line_no, unit, supplier_ticket_id, code, code_format, issued_at)
        SELECT %s, %s, t.*, %s FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[]) AS t
        ON CONFLICT DO NOTHING
        """,
        (
            order_no,
            line_no,
            at,
            [ticket.unit for ticket in tickets],
            [ticket.supplier_ticket_id for ticket in tickets],
            [ticket.code for ticket in tickets],
            [ticket.code_format for ticket in tickets],
        ),
    )


async def void_tickets(cx: Connection, order_no: int, line_no: int) -> None:
    """The line is no longer issued: a gate must say no."""
    await cx.execute(
        "UPDATE tickets SET status = 'void' WHERE order_no = %s AND line_no = %s AND status = 'valid'",
        (order_no, line_no),
    )


async def restore_tickets(cx: Connection, order_no: int, line_no: int) -> None:
    """The supplier keeps the line issued after all: its tickets open the gate again."""
    await cx.execute(
        "UPDATE tickets SET status = 'valid' WHERE order_no = %s AND line_no = %s AND status = 'void'",
        (order_no, line_no),
    )


async def begin_release(cx: Connection, order_no: int, lines: Sequence[int] | None = None) -> None:
    """The order (or these lines of it) ends before it was issued: what suppliers may hold for it is on its way back."""
    await cx.execute(
        """
        UPDATE bookings SET state = 'releasing' WHERE order_no = %(order)s AND state IN ('intended', 'held')
          AND (%(lines)s::int[] IS NULL OR line_no = ANY(%(lines)s))
        """,
        {"order": order_no, "lines": None if lines is None else list(lines)},
    )


async def read_request(cx: Connection, order_no: int, line_no: int, attempt: int) -> dict[str, Any] | None:
    """All that the supplier has to be told about one attempt, with the buyer's contact: read where it is sent."""
    cursor = await cx.execute(
        """
        SELECT b.reference, b.supplier_id, b.state, b.warehouse_id, f.supplier_product_id, f.option_id, f.unit_id,
               f.currency, coalesce(b.quantity, l.quantity) AS quantity, l.availability_id, l.account, l.sku_id,
               l.title, s.weight_g, o.contact, o.ship_to
        FROM bookings b JOIN offers f ON f.id = b.offer_id
             JOIN order_lines l ON (l.order_no, l.line_no) = (b.order_no, b.line_no)
             JOIN skus s ON s.id = l.sku_id
             JOIN orders o ON o.order_no = b.order_no
        WHERE b.order_no = %s AND b.line_no = %s AND b.attempt = %s
        """,
        (order_no, line_no, attempt),
    )
    return await cursor.fetchone()


async def of_order(cx: Connection, order_no: int) -> list[dict[str, Any]]:
    """All attempts of an order, in order of line and attempt."""
    cursor = await cx.execute(
        "SELECT b.*, u.consistency_window_s AS window_s FROM bookings b JOIN suppliers u ON u.id = b.supplier_id "
        "WHERE order_no = %s ORDER BY line_no, attempt",
        (order_no,),
    )
    return await cursor.fetchall()


async def by_reference(cx: Connection, supplier_id: str, reference: str) -> dict[str, Any] | None:
    """The attempt that a supplier speaks of, with its order's host and state."""
    cursor = await cx.execute(
        """
        SELECT b.*, o.host_workflow_id, o.distributor_id, o.status AS order_status, l.status AS line_status,
               coalesce(b.quantity, l.quantity) AS quantity, u.consistency_window_s AS window_s
        FROM bookings b JOIN orders o USING (order_no) JOIN suppliers u ON u.id = b.supplier_id
             JOIN order_lines l ON (l.order_no, l.line_no) = (b.order_no, b.line_no)
        WHERE b.reference = %s AND b.supplier_id = %s
        """,
        (reference, supplier_id),
    )
    return await cursor.fetchone()


async def releasing_at_rest(cx: Connection, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Orders at rest of which something is still being given back at a supplier, in id order."""
    cursor = await cx.execute(
        """
        SELECT o.order_no, o.distributor_id, o.host_workflow_id FROM orders o
        WHERE o.order_no > %s AND o.status NOT IN ('pending', 'locked', 'issuing', 'refunding')
          AND o.order_no IN (SELECT order_no FROM bookings WHERE state = 'releasing')
        ORDER BY o.order_no LIMIT %s
        """,
        (after, limit),
    )
    return await cursor.fetchall()


async def keep_answer(
    cx: Connection, order_no: int, line_no: int, attempt: int, *, supplier_reference: str, answer: dict[str, Any]
) -> None:
    """Keep a confirmation with its credentials until it is recorded: they are not told to Temporal."""
    await cx.execute(
        """
        UPDATE bookings SET answer = %s, supplier_reference = %s
        WHERE order_no = %s AND line_no = %s AND attempt = %s AND state NOT IN ('confirmed', 'released', 'lost')
        """,
        (Jsonb(answer), supplier_reference, order_no, line_no, attempt),
    )


async def read_booking(cx: Connection, order_no: int, line_no: int, attempt: int) -> dict[str, Any]:
    """One attempt, with what `keep_answer` kept (`answer`). It exists: its intent was stored before it was sent."""
    cursor = await cx.execute(
        "SELECT * FROM bookings WHERE order_no = %s AND line_no = %s AND attempt = %s", (order_no, line_no, attempt)
    )
    row = await cursor.fetchone()
    assert row is not None, "an intent is stored before it is sent"
    return row
