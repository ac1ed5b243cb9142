"""How tickets are shown: in their order, and by themselves with what happened to them at gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from adapters.gate.tokens import TicketClaim, TicketKeys
from api.views import Input, Instant, OrderNo, Text, View
from domain.gate import OWN_FORMAT, Outcome, TicketRef, TicketStatus, Window, window_of
from storage.tickets import StoredTicket

EXAMPLE_SERIAL = "3KB8K-ZC38C-00400-20004"

Serial = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z\-]{20,23}$"), Field(examples=[EXAMPLE_SERIAL])]


class TicketView(View):
    """One unit's credential: the supplier's own code, or our signed token (`code_format` TESSERA; none once void)."""

    unit: int
    serial: str
    code: str
    code_format: str
    supplier_ticket_id: str
    status: str
    issued_at: Instant
    valid_from: Instant
    valid_until: Instant | None
    qr: str = Field(description="Where its QR code is, as PNG.")

    @classmethod
    def of(cls, ticket: Mapping[str, Any], line: Mapping[str, Any], keys: TicketKeys) -> TicketView:
        """From the ticket and its line in an order's detail, whose times are text there."""
        ref = TicketRef(ticket["order_no"], ticket["line_no"], ticket["unit"])
        window = _window(ticket, line)
        plain = {name: ticket[name] for name in ("unit", "code_format", "supplier_ticket_id", "status", "issued_at")}
        own = ticket["code_format"] == OWN_FORMAT
        return cls(
            **plain,
            serial=ref.serial,
            code=own_code(keys, ref, window, ticket["status"]) if own else ticket["code"],
            valid_from=window.opens_at,
            valid_until=window.closes_at,
            qr=f"/v1/orders/{ref.order_no:019d}/tickets/{ref.line_no}/{ref.unit}/qr.png",
        )


def own_code(keys: TicketKeys, ref: TicketRef, window: Window, status: str) -> str:
    """Our token; none for a void ticket, which nobody should be able to show."""
    return "" if status == TicketStatus.VOID else keys.token_of(TicketClaim(ref, window))


def code_of(keys: TicketKeys, ticket: StoredTicket) -> str:
    """What the ticket's bearer shows: the supplier's code, or our token."""
    return own_code(keys, ticket.ref, ticket.window, ticket.standing.status) if ticket.is_own else ticket.code


def _window(ticket: Mapping[str, Any], line: Mapping[str, Any]) -> Window:
    """By what the buyer saw, as the gate reckons it (storage/tickets.py)."""
    product, sku = line["snapshot"].get("product", {}), line["snapshot"].get("sku", {})
    starts_at = line["starts_at"] or sku.get("event_at")
    return window_of(
        starts_at=datetime.fromisoformat(starts_at) if starts_at else None,
        issued_at=datetime.fromisoformat(ticket["issued_at"]),
        time_zone=product.get("time_zone", "UTC"),
        terms=product.get("terms", {}),
    )


class VoidInput(Input):
    """Why a ticket no longer opens the gate. Gates show it."""

    reason: Text


class ScanView(View):
    """One scan of the ticket."""

    gate_id: str
    outcome: Outcome
    offline: bool
    scanned_at: Instant
    recorded_at: Instant


class TicketDetailView(View):
    """A ticket and what happened to it. Its code is in its order."""

    serial: str
    order_no: OrderNo
    line_no: int
    unit: int
    product_id: str
    title: str
    variant: str
    status: TicketStatus
    valid_from: Instant
    valid_until: Instant | None
    issued_at: Instant
    redeemed_at: Instant | None
    redeemed_gate: str | None
    voided_at: Instant | None
    void_reason: str | None
    scans: list[ScanView] = Field(description="The latest, newest first.")

    @classmethod
    def of(cls, ticket: StoredTicket, scans: Sequence[Mapping[str, Any]]) -> TicketDetailView:
        """From storage."""
        ref, standing = ticket.ref, ticket.standing
        return cls(
            serial=ref.serial,
            order_no=ref.order_no,
            line_no=ref.line_no,
            unit=ref.unit,
            product_id=ticket.product_id,
            title=ticket.product_title,
            variant=ticket.variant_title,
            status=standing.status,
            valid_from=ticket.window.opens_at,
            valid_until=ticket.window.closes_at,
            issued_at=ticket.issued_at,
            redeemed_at=standing.redeemed_at,
            redeemed_gate=standing.redeemed_gate,
            voided_at=standing.voided_at,
            void_reason=standing.void_reason,
            scans=[ScanView(**scan) for scan in scans],
        )
