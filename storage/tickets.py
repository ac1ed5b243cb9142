"""Tickets as gates and buyers see them: minting our own, finding one, those of an order, and what changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.gate import OWN_FORMAT, TicketRef, TicketStanding, TicketStatus, Window, window_of
from storage.database import Connection


@dataclass(frozen=True, slots=True)
class StoredTicket:
    """A ticket with what its line and the snapshot of what was bought say about it.

    `code` is the supplier's, empty for our own. `variant`: the variant's attributes as the buyer saw them.
    """

    ref: TicketRef
    distributor_id: str
    buyer_ref: str | None
    product_id: str
    product_title: str
    variant_title: str
    variant: list[Any]
    starts_at: datetime | None
    time_zone: str
    window: Window
    code: str
    code_format: str
    supplier_ticket_id: str
    issued_at: datetime
    standing: TicketStanding
    position: int

    @property
    def is_own(self) -> bool:
        """Whether its code is a token of ours."""
        return self.code_format == OWN_FORMAT

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StoredTicket:
        """From a row of `_TICKET`."""
        standing = TicketStanding(
            TicketStatus(row["status"]), row["redeemed_at"], row["redeemed_gate"], row["voided_at"], row["void_reason"]
        )
        window = window_of(
            starts_at=row["starts_at"], issued_at=row["issued_at"], time_zone=row["time_zone"], terms=row["terms"]
        )
        plain = {name: row[name] for name in _PLAIN}
        ref = TicketRef(row["order_no"], row["line_no"], row["unit"])
        return cls(ref=ref, window=window, standing=standing, **plain)


_PLAIN = (
    "distributor_id", "buyer_ref", "product_id", "product_title", "variant_title", "variant", "starts_at", "time_zone",
    "code", "code_format", "supplier_ticket_id", "issued_at", "position",
)  # fmt: skip

_TICKET = """
SELECT t.*, o.distributor_id, o.buyer_ref, l.product_id, coalesce(l.starts_at, k.event_at) AS starts_at,
       coalesce(s.body #>> '{product,title}', p.title) AS product_title,
       coalesce(s.body #>> '{sku,title}', k.title) AS variant_title,
       coalesce(s.body #> '{sku,attributes}', k.attributes) AS variant,
       coalesce(s.body #>> '{product,time_zone}', p.time_zone) AS time_zone,
       coalesce(s.body #> '{product,terms}', p.terms) AS terms
FROM tickets t JOIN orders o USING (order_no) JOIN order_lines l USING (order_no, line_no)
     JOIN skus k ON k.id = l.sku_id JOIN products p ON p.id = l.product_id JOIN snapshots s ON s.id = l.snapshot_id
"""


async def mint_tickets(cx: Connection, order_no: int, line_no: int, *, at: datetime) -> int:
    """Issue our own tickets, one per unit of the line; how many it has now. A repeat changes nothing.

    They have no code: the token is computed from the ticket and our keys whenever it is shown.
    """
    await cx.execute(
        """
        INSERT INTO tickets (order_no, line_no, unit, supplier_ticket_id, code, code_format, issued_at)
        SELECT l.order_no, l.line_no, unit, '', '', %s, %s
        FROM order_lines l, generate_series(0, l.quantity - 1) AS unit WHERE l.order_no = %s AND l.line_no = %s
        ON CONFLICT DO NOTHING
        """,
        (OWN_FORMAT, at, order_no, line_no),
    )
    return await count(cx, order_no, line_no)


async def find(cx: Connection, ref: TicketRef, *, lock: bool = False) -> StoredTicket | None:
    """The ticket; with `lock` as it will stay until the transaction ends."""
    cursor = await cx.execute(
        f"{_TICKET} WHERE t.order_no = %s AND t.line_no = %s AND t.unit = %s {'FOR UPDATE OF t' if lock else ''}",
        (ref.order_no, ref.line_no, ref.unit),
    )
    row = await cursor.fetchone()
    return StoredTicket.of(row) if row else None


async def refs_of_code(cx: Connection, code: str, product_id: str | None) -> list[TicketRef]:
    """Which tickets have this supplier's code: two at most, since two are too many already."""
    cursor = await cx.execute(
        """
        SELECT t.order_no, t.line_no, t.unit FROM tickets t JOIN order_lines l USING (order_no, line_no)
        WHERE t.code = %(code)s AND t.code <> ''
          AND (%(product)s::text IS NULL OR l.product_id = %(product)s) LIMIT 2
        """,
        {"code": code, "product": product_id},
    )
    return [TicketRef(**row) async for row in cursor]


async def redeemed_of(cx: Connection, order_no: int, line_no: int) -> list[TicketRef]:
    """Tickets of the line with which somebody was let in."""
    cursor = await cx.execute(
        "SELECT order_no, line_no, unit FROM tickets "
        "WHERE order_no = %s AND line_no = %s AND status = 'redeemed' ORDER BY unit",
        (order_no, line_no),
    )
    return [TicketRef(**row) async for row in cursor]


async def count(cx: Connection, order_no: int, line_no: int | None = None) -> int:
    """How many tickets the order (or one line of it) has, void ones included."""
    cursor = await cx.execute(
        "SELECT count(*) AS tickets FROM tickets WHERE order_no = %(order)s "
        "AND (%(line)s::int IS NULL OR line_no = %(line)s)",
        {"order": order_no, "line": line_no},
    )
    row = await cursor.fetchone()
    return row["tickets"] if row else 0


async def of_order(cx: Connection, order_no: int, *, skip: int, limit: int) -> list[StoredTicket]:
    """Tickets of an order, in the order of lines and units."""
    cursor = await cx.execute(
        f"{_TICKET} WHERE t.order_no = %s ORDER BY t.line_no, t.unit OFFSET %s LIMIT %s", (order_no, skip, limit)
    )
    return [StoredTicket.of(row) async for row in cursor]


@dataclass(frozen=True, slots=True, order=True)
class ChangePlace:
    """A place in the order in which tickets changed."""

    position: int
    ref: TicketRef


async def changes(
    cx: Connection, product_id: str, starts_at: datetime | None, *, after: ChangePlace | None, limit: int
) -> list[StoredTicket]:
    """Tickets of an event (or the product's open ones), in the order of their last changes, `limit` at most.

    What is still being written is left out until it is settled, so that a reader who goes on after the last place
    misses nothing: storage/event_reading.py says why.
    """
    event = "l.starts_at = %(starts_at)s" if starts_at else "l.starts_at IS NULL AND k.event_at IS NULL"
    if starts_at:
        event = f"({event} OR l.starts_at IS NULL AND k.event_at = %(starts_at)s)"
    cursor = await cx.execute(
        f"""
        {_TICKET} WHERE l.product_id = %(product)s AND {event}
          AND t.position < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
          AND (t.position, t.order_no, t.line_no, t.unit) > (%(position)s, %(order)s, %(line)s, %(unit)s)
        ORDER BY t.position, t.order_no, t.line_no, t.unit LIMIT %(limit)s
        """,
        {
            "product": product_id,
            "starts_at": starts_at,
            "position": after.position if after else -1,
            "order": after.ref.order_no if after else 0,
            "line": after.ref.line_no if after else 0,
            "unit": after.ref.unit if after else 0,
            "limit": limit,
        },
    )
    return [StoredTicket.of(row) async for row in cursor]
