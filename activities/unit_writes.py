"""What issuing and taking back share: a line's units and their credentials, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from activities.order_messages import BookingRef
from domain.categories import CATEGORIES
from domain.issuance import IssuedTicket
from domain.order import Line, Order
from domain.orders import OrderStatus
from domain.units import pieces_of
from storage import bookings, order_exceptions, tickets, units
from storage.database import Connection
from storage.units import NewUnit


async def record_credentials(cx: Connection, line: Line, booked: Sequence[BookingRef], *, at: datetime) -> None:
    """The bookings are confirmed; the units that came of them have the credentials kept with the suppliers' answers.

    Tickets go where gates look for them; everything else is shown by its unit.
    """
    category = CATEGORIES.of(line.kind)
    new: list[NewUnit] = []
    order_no = booked[0].order_no
    for booking in booked:
        place = (order_no, booking.line_no, booking.attempt)
        row = await bookings.mark(cx, *place, "confirmed", at=at) or await bookings.read_booking(cx, *place)
        shown = _tickets(row)
        quantity = row["quantity"] or line.quantity
        if category.gated:
            await bookings.insert_tickets(cx, order_no, line.line_no, shown, at=at)
            new += [NewUnit(1, attempt=booking.attempt) for _ in range(quantity)]
            continue
        credentials = [(ticket.code, ticket.code_format, ticket.supplier_ticket_id) for ticket in shown]
        new += [
            NewUnit(
                piece.quantity, piece.code, piece.code_format, piece.reference, booking.attempt, row["warehouse_id"]
            )
            for piece in pieces_of(quantity, credentials)
        ]
    await units.issue(cx, order_no, line.line_no, new, carried=category.carried, at=at)


def _tickets(row: dict[str, Any]) -> list[IssuedTicket]:
    return [IssuedTicket(**ticket) for ticket in (row["answer"] or {}).get("tickets", ())]


async def void_line(cx: Connection, order_no: int, line_no: int, *, at: datetime, reason: str) -> None:
    """The line is no longer issued: a gate says no, and nothing of it is on its way any more."""
    await bookings.void_tickets(cx, order_no, line_no)
    await units.void(cx, order_no, line_no, at=at, reason=reason)


async def note_what_was_used(cx: Connection, order_no: int, line_no: int, *, at: datetime) -> None:
    """A line is refunded although somebody was let in with it: its supplier took it back all the same, and the case
    tells a person. Idempotency: the case's id."""
    used = await tickets.redeemed_of(cx, order_no, line_no)
    if used:
        await order_exceptions.open_exception(
            cx,
            exception_id=f"xcp-{order_no:019d}-{line_no}-used_and_refunded",
            kind="used_and_refunded",
            order_no=order_no,
            line_no=line_no,
            supplier_id=None,
            evidence={"serials": [ticket.serial for ticket in used]},
            at=at,
        )


async def void_what_is_taken_back(cx: Connection, order: Order, *, at: datetime) -> None:
    """All or nothing: siblings that were issued are on their way back, and a gate must say no at once."""
    for line in order.lines:
        if line.status is OrderStatus.REFUNDING:
            await void_line(cx, order.order_no, line.line_no, at=at, reason="all_or_nothing")
