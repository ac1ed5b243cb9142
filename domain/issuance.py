"""Issuing at an outside supplier: the four answers, and what each of them means for the line that waits for it.

The rules are those of fail fast (before money) and negotiation (after it): *unknown* is never taken for a *no*.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal
from uuid import UUID, uuid5

_REFERENCES = UUID("6f1a1f0e-6d0c-5d2b-9f5e-7e55e7a00001")
"""The namespace of our references at suppliers (RFC 9562, version 5: named, never random)."""


ATTEMPTS_PER_PART = 1_000
"""Attempts of a line's parts are numbered apart: the whole line's from 1, its first part's from 1001, and so on."""


def first_attempt(part: int) -> int:
    """The number of the first attempt to buy a part of a line; part 0 is the whole line."""
    return part * ATTEMPTS_PER_PART + 1


def part_of(attempt: int) -> int:
    """Which part of its line an attempt is about; 0: the whole line."""
    return attempt // ATTEMPTS_PER_PART


def booking_reference(order_no: int, line_no: int, attempt: int) -> str:
    """Our reference for one attempt of one line at one supplier: the same in every retry, on every machine."""
    return str(uuid5(_REFERENCES, f"{order_no}/{line_no}/{attempt}"))


def unit_references(order_no: int, line_no: int, attempt: int, quantity: int) -> tuple[str, ...]:
    """One reference per unit of the line, in order."""
    return tuple(str(uuid5(_REFERENCES, f"{order_no}/{line_no}/{attempt}/{unit}")) for unit in range(quantity))


@dataclass(frozen=True, slots=True)
class IssuedTicket:
    """One unit's credential as the supplier gave it.

    `unit` counts from 0 within the line; `code` is what the gate reads; `code_format` is OCTO's deliveryFormat
    (`QRCODE`, `CODE128`, `PDF_URL`, ...); `supplier_ticket_id` is the supplier's own name for it.
    """

    unit: int
    supplier_ticket_id: str
    code: str
    code_format: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Final: the supplier issued. A lock that is confirmed carries no tickets but the supplier's own expiry."""

    supplier_reference: str
    tickets: tuple[IssuedTicket, ...] = ()
    expires_at: datetime | None = None
    kind: Literal["confirmed"] = "confirmed"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Final: the supplier promises that nothing was issued (or, of a cancel, that it will not cancel)."""

    code: str
    retry_elsewhere: bool = False
    detail: str = ""
    kind: Literal["rejected"] = "rejected"


@dataclass(frozen=True, slots=True)
class Pending:
    """Accepted and not finished: ask again by our reference, not before `ask_again_after_s` (None: our schedule)."""

    supplier_reference: str
    ask_again_after_s: float | None = None
    kind: Literal["pending"] = "pending"


@dataclass(frozen=True, slots=True)
class Unknown:
    """We cannot know whether it happened: time-out, connection lost after sending, 5xx, unreadable, contradiction."""

    reason: str
    kind: Literal["unknown"] = "unknown"


@dataclass(frozen=True, slots=True)
class NotFound:
    """Answer of a query only: the supplier knows no booking under our reference (now)."""

    kind: Literal["not_found"] = "not_found"


@dataclass(frozen=True, slots=True)
class Held:
    """Answer of a query only: the booking is on hold at the supplier, neither confirmed nor rejected."""

    supplier_reference: str
    expires_at: datetime | None = None
    kind: Literal["held"] = "held"


@dataclass(frozen=True, slots=True)
class Canceled:
    """Answer of a cancel or a query: the supplier has the booking as cancelled or expired; nothing is issued."""

    kind: Literal["canceled"] = "canceled"


Answer = Confirmed | Rejected | Pending | Unknown
QueryAnswer = Confirmed | Rejected | Pending | Unknown | NotFound | Held | Canceled
CancelAnswer = Canceled | Rejected | Unknown | NotFound


class DeadlinePolicy(StrEnum):
    """What happens when a negotiation reaches its supplier's deadline without a definite answer."""

    ESCALATE = "escalate"
    CANCEL_AND_REFUND = "cancel_and_refund"


@dataclass(frozen=True, slots=True)
class NegotiationTerms:
    """How patiently one supplier is asked. A row per supplier; times in seconds.

    `consistency_window_s`: how long a booking may stay invisible to queries after the supplier made it.
    `unique_references`: its contract promises that one reference never makes two bookings.
    """

    first_interval_s: float
    growth: float
    ceiling_s: float
    deadline_s: float
    consistency_window_s: float
    unique_references: bool
    deadline_policy: DeadlinePolicy

    def interval_s(self, asked: int) -> float:
        """The wait before question number `asked` + 1 (0 for the first): growing, with a ceiling."""
        growth = self.growth ** min(asked, 64)
        return min(self.ceiling_s, self.first_interval_s * growth)


@dataclass(frozen=True, slots=True)
class Absence:
    """How often in a row, and since when, the supplier has said that it has not issued under our reference."""

    times: int = 0
    since: datetime | None = None

    def seen(self, now: datetime) -> Absence:
        """One more such answer, at `now`."""
        return Absence(self.times + 1, self.since or now)

    def permits_resend(self, terms: NegotiationTerms, now: datetime) -> bool:
        """Whether `issue` may be sent again with the same reference.

        Only after two such answers spaced over the consistency window, and only where references are unique:
        everything else could issue twice.
        """
        if not terms.unique_references or self.times < 2 or self.since is None:
            return False
        return now - self.since >= timedelta(seconds=terms.consistency_window_s)


def is_definite(answer: Answer | QueryAnswer) -> bool:
    """Whether the answer ends a negotiation: the line is issued, or certainly is not and will not be."""
    return isinstance(answer, Confirmed | Rejected | Canceled)


def contradicts(accepted: Confirmed | Rejected | Canceled, later: QueryAnswer) -> bool:
    """Whether a later answer says the opposite of the definite one that was accepted."""
    if isinstance(accepted, Confirmed):
        return isinstance(later, Rejected | Canceled)
    return isinstance(later, Confirmed)


def may_try_elsewhere(answer: Rejected | Canceled, *, cost_minor: int, other_cost_minor: int) -> bool:
    """Whether the same product may be bought at another supplier now: it invites that, and ours costs no more."""
    invited = isinstance(answer, Canceled) or answer.retry_elsewhere
    return invited and other_cost_minor <= cost_minor
