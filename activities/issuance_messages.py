"""What the processes that buy lines say to what records it: issued, failed, tried elsewhere, taken back; and cases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities.order_messages import BookingIntent, BookingRef
from domain.errors import Refusal
from domain.issuance import NegotiationTerms


@dataclass(frozen=True, slots=True)
class RecordIssue:
    """`others`: the bookings of the line's other parts, confirmed too. `cost_minor`: of all of them."""

    booking: BookingRef
    at: datetime
    cost_minor: int
    actor: str = "system"
    others: tuple[BookingRef, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordFailure:
    """The line is certain not to be issued. `booking`: the attempt that was rejected last, if there was one.

    `rejected`, `releasing`: the attempts at the line's other parts that failed too, or are given back.
    """

    order_no: int
    line_no: int
    at: datetime
    failure: Refusal
    booking: BookingRef | None = None
    booking_state: str = "rejected"
    actor: str = "system"
    rejected: tuple[BookingRef, ...] = ()
    releasing: tuple[BookingRef, ...] = ()


@dataclass(frozen=True, slots=True)
class TryElsewhere:
    """This attempt is decided; the next one, at another supplier, is stored before it is sent."""

    booking: BookingRef
    at: datetime
    code: str
    next: BookingIntent


@dataclass(frozen=True, slots=True)
class RecordBooking:
    """What is known of an attempt now, outside of issue and failure: held, releasing, released, lost."""

    booking: BookingRef
    at: datetime
    state: str
    supplier_reference: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TakeBackLine:
    """An issued line that its supplier has cancelled: refunded whole, `supplier_credit_minor` comes back."""

    booking: BookingRef
    at: datetime
    reason: str
    supplier_credit_minor: int
    actor: str = "system"
    others: tuple[BookingRef, ...] = ()


@dataclass(frozen=True, slots=True)
class KeepLine:
    """A line that was to be taken back and that its supplier keeps: it stays issued."""

    booking: BookingRef
    at: datetime
    supplier_code: str


@dataclass(frozen=True, slots=True)
class NoteNegotiation:
    booking: BookingRef
    at: datetime
    asked: int
    escalated: bool


@dataclass(frozen=True, slots=True)
class SupplierTerms:
    """A supplier's terms as they are now, with the first interval from its measured median answer time."""

    terms: NegotiationTerms


@dataclass(frozen=True, slots=True)
class OpenException:
    """Something that a person has to see or decide; the id is the business key, so a repeat opens it once."""

    exception_id: str
    kind: str
    order_no: int
    line_no: int
    supplier_id: str | None
    at: datetime
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ResolveException:
    exception_id: str
    at: datetime
    actor: str
    resolution: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordLoss:
    """Refunded here and confirmed there, and the supplier will not cancel: what we owe it is our loss."""

    booking: BookingRef
    at: datetime
    cost_minor: int
    reason: str
