"""What happens to tickets at gates and desks: redeemed once, voided, and every scan on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from domain.gate import Outcome, TicketRef
from storage import events
from storage.columns import at, big, one_of
from storage.database import Connection


class TicketScanRow(SQLModel, table=True):
    """One scan at one gate and what came of it. Append-only. `code_digest` is the SHA-256 (hex) of what was scanned.

    `key` makes it once-only: the gate's Idempotency-Key, or, offline, the gate, the moment and what was scanned.
    """

    __tablename__ = "ticket_scans"
    __table_args__ = (one_of("outcome", Outcome), Index("ticket_scans_ticket", "order_no", "line_no", "unit", "id"))

    id: int = big(primary_key=True, default=None)
    key: str = Field(unique=True)
    order_no: int | None = big(default=None, nullable=True)
    line_no: int | None = None
    unit: int | None = None
    code_digest: str
    gate_id: str
    actor: str
    outcome: str
    offline: bool = False
    scanned_at: datetime = at()
    recorded_at: datetime = at()


@dataclass(frozen=True, slots=True)
class ScanNote:
    """A scan as it is recorded; `ref` is None where no ticket was found."""

    key: str
    ref: TicketRef | None
    code_digest: str
    gate_id: str
    actor: str
    outcome: Outcome
    offline: bool
    scanned_at: datetime


async def redeem(cx: Connection, ref: TicketRef, *, gate_id: str, at: datetime) -> bool:
    """Redeem the ticket if it is valid; False where it was redeemed or void before. This statement is the once."""
    cursor = await cx.execute(
        "UPDATE tickets SET status = 'redeemed', redeemed_at = %s, redeemed_gate = %s "
        "WHERE order_no = %s AND line_no = %s AND unit = %s AND status = 'valid'",
        (at, gate_id, ref.order_no, ref.line_no, ref.unit),
    )
    return cursor.rowcount == 1


async def void(cx: Connection, ref: TicketRef, *, by: str, reason: str, at: datetime) -> bool:
    """Void the ticket for good if it is valid; False where it was redeemed or void before."""
    cursor = await cx.execute(
        "UPDATE tickets SET status = 'void', voided_at = %s, voided_by = %s, void_reason = %s "
        "WHERE order_no = %s AND line_no = %s AND unit = %s AND status = 'valid'",
        (at, by, reason, ref.order_no, ref.line_no, ref.unit),
    )
    return cursor.rowcount == 1


async def note_entry(cx: Connection, ref: TicketRef, *, gate_id: str, actor: str, at: datetime) -> None:
    """Write the entry into the history of the ticket's fulfilment unit, once."""
    await cx.execute(
        """
        INSERT INTO unit_events (order_no, line_no, unit, key, event, detail, actor, at)
        SELECT order_no, line_no, unit, 'redeemed', 'redeemed', %s, %s, %s FROM fulfilment_units
        WHERE order_no = %s AND line_no = %s AND unit = %s ON CONFLICT DO NOTHING
        """,
        (f"gate {gate_id}", actor, at, ref.order_no, ref.line_no, ref.unit),
    )


async def outcome_of(cx: Connection, key: str) -> Outcome | None:
    """What came of the scan with this key, if it was recorded before."""
    cursor = await cx.execute("SELECT outcome FROM ticket_scans WHERE key = %s", (key,))
    row = await cursor.fetchone()
    return Outcome(row["outcome"]) if row else None


async def record_scan(cx: Connection, scan: ScanNote, *, at: datetime) -> None:
    """Append it to the history; a repeat changes nothing."""
    place = (scan.ref.order_no, scan.ref.line_no, scan.ref.unit) if scan.ref else (None, None, None)
    await cx.execute(
        """
        INSERT INTO ticket_scans (key, order_no, line_no, unit, code_digest, gate_id, actor, outcome, offline,
                                  scanned_at, recorded_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (key) DO NOTHING
        """,
        (
            scan.key,
            *place,
            scan.code_digest,
            scan.gate_id,
            scan.actor,
            scan.outcome,
            scan.offline,
            scan.scanned_at,
            at,
        ),
    )


async def scans_of(cx: Connection, ref: TicketRef, *, limit: int) -> Sequence[dict[str, Any]]:
    """The latest scans of a ticket, newest first."""
    cursor = await cx.execute(
        "SELECT gate_id, outcome, offline, scanned_at, recorded_at FROM ticket_scans "
        "WHERE order_no = %s AND line_no = %s AND unit = %s ORDER BY id DESC LIMIT %s",
        (ref.order_no, ref.line_no, ref.unit, limit),
    )
    return await cursor.fetchall()


async def announce(cx: Connection, kind: str, ref: TicketRef, facts: dict[str, Any], *, at: datetime) -> None:
    """Tell the order's distributor of a ticket's change, once per ticket and kind of event.

    The order's row is not locked for it: what happens at a gate has no order among the order's own changes but the
    one in which it became visible.
    """
    place = {"order_no": f"{ref.order_no:019d}", "line_no": ref.line_no, "unit": ref.unit, "serial": ref.serial}
    await events.announce(
        cx, key=f"{ref.serial}/{kind}", kind=kind, order_no=ref.order_no, body={**place, **facts}, at=at
    )
