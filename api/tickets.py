"""Tickets by themselves: as QR code and PDF for their buyers, with their record for those who look into a case."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Path, Query, Request
from starlette.responses import Response

from api.deps import DatabaseDep, Parts, capability, parts_of, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.order_actions import OrderNotFound
from api.ticket_printing import PrintedTicket, pdf_of, png_of
from api.ticket_views import Serial, TicketDetailView, VoidInput, code_of
from domain.access import Action, Principal
from domain.gate import TicketRef, TicketsNotIssued, TicketStatus, TicketUnknown, TicketVoid
from storage import gate, order_reading, tickets, units
from storage.catalog_log import log_operation
from storage.database import Connection
from storage.tickets import StoredTicket

router = capability("tickets", "Tickets")

OrderNumber = Annotated[str, Path(pattern=r"^[0-9]{1,19}$", examples=["1039000000000000001"])]
LineNumber = Annotated[int, Path(ge=1, le=65_535)]
Unit = Annotated[int, Path(ge=0, le=65_535)]
TicketSerial = Annotated[Serial, Path()]
Reader = Annotated[Principal, require(Action.ORDER_READ)]

MAX_PAGES = 200
SCANS_SHOWN = 50
_PRIVATE = {"Cache-Control": "private, no-store"}


class Png(Response):
    """An image."""

    media_type = "image/png"


class Pdf(Response):
    """A document."""

    media_type = "application/pdf"


@router.get(
    "/v1/orders/{order_no}/tickets/{line_no}/{unit}/qr.png",
    response_class=Png,
    responses=problems(
        401, 403, 404, 409, codes=["ticket_unknown", "tickets_not_issued", "ticket_void", "ticket_has_no_code"]
    ),
    summary="Read a ticket's QR code",
)
async def read_qr(order_no: OrderNumber, line_no: LineNumber, unit: Unit, caller: Reader, request: Request) -> Response:
    """What the gate scans: our signed token, or the supplier's own code. A void ticket has none."""
    parts = parts_of(request)
    async with parts.database.reading() as connection:
        number, _ = await _issued(connection, caller, order_no)
        ticket = await tickets.find(connection, TicketRef(number, line_no, unit))
    if ticket is None:
        raise TicketUnknown
    if ticket.standing.status is TicketStatus.VOID:
        raise TicketVoid(ticket.ref.serial, ticket.standing.voided_at, ticket.standing.void_reason)
    png = await asyncio.to_thread(png_of, PrintedTicket(ticket, code_of(parts.ticket_keys, ticket)))
    return Png(png, headers=_PRIVATE)


@router.get(
    "/v1/orders/{order_no}/tickets.pdf",
    response_class=Pdf,
    responses=problems(401, 403, 404, 409, codes=["tickets_not_issued"]),
    summary="Read an order's tickets as PDF",
)
async def read_pdf(
    order_no: OrderNumber,
    caller: Reader,
    request: Request,
    first: Annotated[int, Query(ge=1, le=100_000, description=f"Begin with this one; {MAX_PAGES} at most.")] = 1,
) -> Response:
    """A page per ticket. Void tickets are marked and have no QR code."""
    parts = parts_of(request)
    async with parts.database.reading() as connection:
        number, total = await _issued(connection, caller, order_no)
        pages = await tickets.of_order(connection, number, skip=first - 1, limit=MAX_PAGES)
    if not pages:
        raise TicketUnknown
    return Pdf(await asyncio.to_thread(_printed, parts, pages, first, total), headers=_PRIVATE)


def _printed(parts: Parts, pages: list[StoredTicket], first: int, total: int) -> bytes:
    printed = [PrintedTicket(ticket, code_of(parts.ticket_keys, ticket)) for ticket in pages]
    return pdf_of(printed, first=first, total=total)


@router.get(
    "/v1/tickets/{serial}",
    response_model=TicketDetailView,
    responses=problems(401, 403, 404, codes=["ticket_unknown"]),
    summary="Read a ticket",
)
async def read_ticket(serial: TicketSerial, caller: Reader, database: DatabaseDep) -> TicketDetailView:
    """Where it stands and each scan of it. Distributors see their own, shoppers theirs."""
    async with database.reading() as connection:
        return await _detail(connection, TicketRef.of_serial(serial), caller)


@router.post(
    "/v1/tickets/{serial}/void",
    response_model=TicketDetailView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["ticket_unknown", "ticket_redeemed", "ticket_void"]),
    summary="Void a ticket",
)
async def void_ticket(
    serial: TicketSerial,
    body: VoidInput,
    request: Request,
    caller: Annotated[Principal, require(Action.TICKET_VOID)],
    keeper: KeeperDep,
) -> Response:
    """For good: no gate lets it in, also when its line is restored. Money is not moved by this."""
    ref, now = TicketRef.of_serial(serial), parts_of(request).clock()

    async def void(connection: Connection) -> Answer:
        ticket = await tickets.find(connection, ref, lock=True)
        if ticket is None:
            raise TicketUnknown
        ticket.standing.check_unused(ref.serial)
        await gate.void(connection, ref, by=caller.ref, reason=body.reason, at=now)
        await units.void(
            connection, ref.order_no, ref.line_no, unit=ref.unit, at=now, reason=body.reason, actor=caller.ref
        )
        await log_operation(
            connection,
            at=now,
            actor=caller.ref,
            action="ticket.void",
            subject=("ticket", ref.serial),
            before={"status": "valid"},
            after={"status": "void", "reason": body.reason},
        )
        facts = {"reason": body.reason, "voided_at": now.isoformat()}
        await gate.announce(connection, "ticket.voided", ref, facts, at=now)
        return Answer(200, await _detail(connection, ref, caller))

    return await keeper.in_transaction(caller, void)


async def _detail(cx: Connection, ref: TicketRef, caller: Principal) -> TicketDetailView:
    ticket = await tickets.find(cx, ref)
    if ticket is None or caller.fence.holds_back(ticket.distributor_id, ticket.buyer_ref):
        raise TicketUnknown
    return TicketDetailView.of(ticket, await gate.scans_of(cx, ref, limit=SCANS_SHOWN))


async def _issued(cx: Connection, caller: Principal, order_no: str) -> tuple[int, int]:
    """The order's number and how many tickets it has. Raises OrderNotFound (foreign ones too), TicketsNotIssued."""
    number = int(order_no)
    if number >= 2**63:
        raise OrderNotFound(order_no)
    head = await order_reading.read_head(cx, number, caller.fence)
    if head is None:
        raise OrderNotFound(order_no)
    total = await tickets.count(cx, number)
    if not total:
        raise TicketsNotIssued(head.status)
    return number, total
