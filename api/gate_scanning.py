"""What happens when a ticket is scanned: found, judged, redeemed at most once, recorded, told; in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from adapters.gate.tokens import is_token
from api.deps import Parts
from domain.access import Principal
from domain.errors import DomainError
from domain.gate import (
    Outcome,
    TicketAmbiguous,
    TicketForged,
    TicketNotValidNow,
    TicketRedeemed,
    TicketRef,
    TicketStanding,
    TicketStatus,
    TicketUnknown,
    TicketVoid,
    judge_entry,
    judge_scan,
)
from storage import gate, order_exceptions, tickets
from storage.database import Connection
from storage.gate import ScanNote
from storage.tickets import StoredTicket

CASES = {Outcome.REDEEMED: "double_admission", Outcome.VOID: "void_admission"}
"""What a person has to know of when a gate without a line to us has let somebody in on a ticket that was no good."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan. `key` makes it once-only; `offline`: the bearer is in already, at `scanned_at`."""

    key: str
    code: str
    gate_id: str
    scanned_at: datetime
    product_id: str | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Scanned:
    """What came of a scan, with the ticket (if one was found) as it stands afterwards."""

    outcome: Outcome
    ticket: StoredTicket | None = None

    @property
    def refusal(self) -> DomainError | None:
        """The fact that a gate is told; None only where the bearer is let in."""
        ticket = self.ticket
        if ticket is None:
            known = {Outcome.FORGED: TicketForged, Outcome.AMBIGUOUS: TicketAmbiguous}
            return known.get(self.outcome, TicketUnknown)()
        serial, standing = ticket.ref.serial, ticket.standing
        match self.outcome:
            case Outcome.ADMITTED:
                return None
            case Outcome.REDEEMED if standing.redeemed_at and standing.redeemed_gate:
                return TicketRedeemed(serial, standing.redeemed_at, standing.redeemed_gate)
            case Outcome.NOT_VALID_NOW:
                return TicketNotValidNow(serial, ticket.window)
        return TicketVoid(serial, standing.voided_at, standing.void_reason)


async def scan_ticket(parts: Parts, caller: Principal, scan: Scan) -> Scanned:
    """Judge and record one scan, and redeem the ticket if it is good.

    May be repeated: the same key has the same outcome. What came of it is committed before anybody is told.
    """
    now = parts.clock()
    async with parts.database.transaction() as cx:
        found = await _find(parts, cx, scan)
        before = await gate.outcome_of(cx, scan.key)
        if before is not None:
            return replace(found, outcome=before)
        scanned = found if found.ticket is None else await _judge(cx, found.ticket, scan, caller.ref, now)
        ref = scanned.ticket.ref if scanned.ticket else None
        note = ScanNote(
            scan.key,
            ref,
            digest_of(scan.code),
            scan.gate_id,
            caller.ref,
            scanned.outcome,
            scan.offline,
            scan.scanned_at,
        )
        await gate.record_scan(cx, note, at=now)
        if scan.offline and scanned.ticket and _is_case(scanned, scan):
            await _open_case(cx, scanned.ticket, scanned.outcome, scan, now)
    return scanned


async def _find(parts: Parts, cx: Connection, scan: Scan) -> Scanned:
    """The ticket that was scanned, locked until the transaction ends; or why there is none."""
    if is_token(scan.code):
        try:
            refs = [parts.ticket_keys.claim_of(scan.code).ticket]
        except TicketForged:
            return Scanned(Outcome.FORGED)
    else:
        refs = await tickets.refs_of_code(cx, scan.code, scan.product_id)
    if len(refs) > 1:
        return Scanned(Outcome.AMBIGUOUS)
    ticket = await tickets.find(cx, refs[0], lock=True) if refs else None
    return Scanned(Outcome.UNKNOWN) if ticket is None else Scanned(Outcome.ADMITTED, ticket)


async def _judge(cx: Connection, ticket: StoredTicket, scan: Scan, actor: str, now: datetime) -> Scanned:
    outcome = judge_entry(ticket.standing) if scan.offline else judge_scan(ticket.standing, ticket.window, now)
    if outcome is not Outcome.ADMITTED:
        return Scanned(outcome, ticket)
    redeemed = await gate.redeem(cx, ticket.ref, gate_id=scan.gate_id, at=scan.scanned_at)
    assert redeemed, "the ticket is locked, and was valid"
    await gate.note_entry(cx, ticket.ref, gate_id=scan.gate_id, actor=actor, at=scan.scanned_at)
    facts = {"gate_id": scan.gate_id, "redeemed_at": scan.scanned_at.isoformat()}
    await gate.announce(cx, "ticket.redeemed", ticket.ref, facts, at=now)
    standing = TicketStanding(TicketStatus.REDEEMED, scan.scanned_at, scan.gate_id)
    return Scanned(outcome, replace(ticket, standing=standing))


def _is_case(scanned: Scanned, scan: Scan) -> bool:
    """Not where the gate has redeemed the ticket itself: that is one entry, and the gate had not heard our answer."""
    assert scanned.ticket is not None
    return scanned.outcome in CASES and scanned.ticket.standing.redeemed_gate != scan.gate_id


async def _open_case(cx: Connection, ticket: StoredTicket, outcome: Outcome, scan: Scan, now: datetime) -> None:
    """One case per ticket and kind; all further scans are on the ticket's record."""
    kind, ref, standing = CASES[outcome], ticket.ref, ticket.standing
    await order_exceptions.open_exception(
        cx,
        exception_id=case_id(ref, kind),
        kind=kind,
        order_no=ref.order_no,
        line_no=ref.line_no,
        supplier_id=None,
        evidence={
            "serial": ref.serial,
            "unit": ref.unit,
            "entered": {"gate_id": scan.gate_id, "at": scan.scanned_at.isoformat()},
            "redeemed": standing.redeemed_at
            and {"gate_id": standing.redeemed_gate, "at": standing.redeemed_at.isoformat()},
            "void": standing.voided_at and {"reason": standing.void_reason, "at": standing.voided_at.isoformat()},
        },
        at=now,
    )


def digest_of(code: str) -> str:
    """SHA-256 (hex) of a code: what is kept and listed of codes, which are worth money themselves."""
    return hashlib.sha256(code.encode()).hexdigest()


def case_id(ref: TicketRef, kind: str) -> str:
    """The case of this kind about a ticket."""
    return f"xcp-{ref.order_no:019d}-{ref.line_no}-{kind}-{ref.unit}"
