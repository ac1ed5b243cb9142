"""Tickets at the gate: how a ticket is named, when it lets its bearer in, and what a gate is told.

A ticket's *serial* is its place in its order in a form for people: it names, and proves nothing. What proves is the
signed token (adapters/gate/tokens.py), or the code of the supplier that issued the ticket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.errors import DomainError

OWN_FORMAT = "TESSERA"
"""The `code_format` of tickets that nobody outside issues: their code is our token, computed when it is read."""

GATE_OPENS_BEFORE_H = 3
"""How long before an event its tickets open the gate, unless the product's terms say otherwise."""

LATE_ENTRY_H = 4
"""How long after an event's start its tickets open the gate at least, also where its day ends earlier."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_LETTERS = 19
_GROUP = 5
_PART_BITS = 16
_LARGEST_PART = (1 << _PART_BITS) - 1
_LARGEST_ORDER_NO = (1 << 63) - 1


class NotASerial(DomainError):
    """The text is no ticket's serial, most likely a misreading."""

    code = "ticket_unknown"

    def __init__(self) -> None:
        super().__init__("This is no ticket's serial: compare each of its 20 characters with the ticket.")


@dataclass(frozen=True, slots=True, order=True)
class TicketRef:
    """Which ticket: the unit (from 0) of a line of an order."""

    order_no: int
    line_no: int
    unit: int

    @property
    def serial(self) -> str:
        """`XXXXX-XXXXX-XXXXX-XXXXX` in Crockford's base 32, the last one a check character.

        Raises ValueError for a line or unit beyond 16 bits.
        """
        if not (0 <= self.order_no <= _LARGEST_ORDER_NO and max(self.line_no, self.unit) <= _LARGEST_PART):
            raise ValueError(f"out of range: {self}")
        number = (self.order_no << _PART_BITS | self.line_no) << _PART_BITS | self.unit
        letters = [_ALPHABET[number >> shift & 31] for shift in range(5 * (_LETTERS - 1), -1, -5)]
        text = "".join([*letters, _ALPHABET[_check(letters)]])
        return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))

    @classmethod
    def of_serial(cls, text: str) -> TicketRef:
        """The ticket that a serial names, as people type it: any case, with or without hyphens. Raises NotASerial."""
        letters = text.upper().replace("-", "").replace(" ", "")
        if len(letters) != _LETTERS + 1 or any(letter not in _VALUES for letter in letters):
            raise NotASerial
        if _check(letters[:_LETTERS]) != _VALUES[letters[_LETTERS]]:
            raise NotASerial
        number = 0
        for letter in letters[:_LETTERS]:
            number = number << 5 | _VALUES[letter]
        order_no = number >> 2 * _PART_BITS
        return cls(order_no, number >> _PART_BITS & _LARGEST_PART, number & _LARGEST_PART)


def _check(letters: str | list[str]) -> int:
    """ISO 7064's hybrid scheme for 32 letters: every misread letter shows, and nearly every swap of neighbours."""
    size = len(_ALPHABET)
    running = size
    for letter in letters:
        running = (running + _VALUES[letter]) % size or size
        running = running * 2 % (size + 1)
    return (size + 1 - running) % size


@dataclass(frozen=True, slots=True)
class Window:
    """When a ticket opens the gate: `[opens_at, closes_at)`; None: it does not end."""

    opens_at: datetime
    closes_at: datetime | None

    def is_open(self, now: datetime) -> bool:
        """Whether a ticket with this window is let in at `now`."""
        return self.opens_at <= now and (self.closes_at is None or now < self.closes_at)


def window_of(
    *, starts_at: datetime | None, issued_at: datetime, time_zone: str, terms: Mapping[str, object]
) -> Window:
    """The window of a ticket for an event, or of an open one (`starts_at` None), under what was agreed when buying.

    An event: from `gate_opens_before_h` hours before it until the end of its day in the product's IANA zone, and at
    least LATE_ENTRY_H after it began. An open ticket: from its issue until the end of the `valid_days`-th day after the
    day of issue; without that term it does not end. Both terms are whole numbers; anything else counts as not agreed.
    """
    zone = ZoneInfo(time_zone)
    if starts_at is None:
        days = _whole(terms.get("valid_days"))
        return Window(issued_at, None if days is None else _end_of_day(issued_at, zone, days))
    before = _whole(terms.get("gate_opens_before_h"))
    opens_at = starts_at - timedelta(hours=GATE_OPENS_BEFORE_H if before is None else before)
    closes_at = max(_end_of_day(starts_at, zone, 0), starts_at + timedelta(hours=LATE_ENTRY_H))
    return Window(opens_at.astimezone(UTC), closes_at.astimezone(UTC))


def _end_of_day(moment: datetime, zone: ZoneInfo, days: int) -> datetime:
    """The midnight that ends the local day `days` after that of `moment`: days have 23 to 25 hours."""
    next_day = moment.astimezone(zone).date() + timedelta(days=days + 1)
    return datetime.combine(next_day, time(), zone).astimezone(UTC)


_LONGEST = 36_500


def _whole(term: object) -> int | None:
    """A term that is a whole number of a sensible size."""
    whole = isinstance(term, int) and not isinstance(term, bool) and 0 <= term <= _LONGEST
    return term if whole and isinstance(term, int) else None


class Outcome(StrEnum):
    """What a gate is told of one scan."""

    ADMITTED = "admitted"
    REDEEMED = "redeemed"
    VOID = "void"
    NOT_VALID_NOW = "not_valid_now"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    FORGED = "forged"


class TicketStatus(StrEnum):
    """`redeemed` is final: whoever is in is in."""

    VALID = "valid"
    REDEEMED = "redeemed"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class TicketStanding:
    """Where a ticket stands, with the when, where and why of it."""

    status: TicketStatus
    redeemed_at: datetime | None = None
    redeemed_gate: str | None = None
    voided_at: datetime | None = None
    void_reason: str | None = None

    def check_unused(self, serial: str) -> None:
        """Raises TicketRedeemed or TicketVoid unless the ticket is valid."""
        if self.status is TicketStatus.VOID:
            raise TicketVoid(serial, self.voided_at, self.void_reason)
        if self.redeemed_at is not None and self.redeemed_gate is not None:
            raise TicketRedeemed(serial, self.redeemed_at, self.redeemed_gate)


def judge_scan(standing: TicketStanding, window: Window, now: datetime) -> Outcome:
    """What a scan at `now` comes to. What was used or taken back is told before what is too early or too late."""
    if standing.status is TicketStatus.REDEEMED:
        return Outcome.REDEEMED
    if standing.status is TicketStatus.VOID:
        return Outcome.VOID
    return Outcome.ADMITTED if window.is_open(now) else Outcome.NOT_VALID_NOW


def judge_entry(standing: TicketStanding) -> Outcome:
    """What an entry comes to that has happened, at a gate without a line to us: no window undoes it."""
    if standing.status is TicketStatus.VALID:
        return Outcome.ADMITTED
    return Outcome.REDEEMED if standing.status is TicketStatus.REDEEMED else Outcome.VOID


class TicketUnknown(DomainError):
    """No ticket has this code, serial or place."""

    code = "ticket_unknown"

    def __init__(self) -> None:
        super().__init__("No ticket of ours has this code: let the buyer show the ticket anew, or look up the order.")


class TicketForged(DomainError):
    """It looks like a token of ours, and no key of ours has signed it. One wording, whatever is wrong with it."""

    code = "ticket_forged"

    def __init__(self) -> None:
        super().__init__("This code was not signed by us: do not admit. If it was misread, scan it again.")


class TicketAmbiguous(DomainError):
    """Two suppliers gave the same code."""

    code = "ticket_ambiguous"

    def __init__(self) -> None:
        super().__init__("More than one ticket has this supplier's code: name the `product_id` that the gate is for.")


class TicketRedeemed(DomainError):
    """Somebody is in on it."""

    code = "ticket_redeemed"

    def __init__(self, serial: str, at: datetime, gate_id: str) -> None:
        super().__init__(f"Ticket {serial} was redeemed at {at.isoformat()} at gate {gate_id}: do not admit again.")
        self._facts = {"serial": serial, "redeemed_at": at.isoformat(), "gate_id": gate_id}

    @property
    def facts(self) -> dict[str, object]:
        return dict(self._facts)


class TicketVoid(DomainError):
    """It was taken back: refunded, withdrawn by its supplier, or voided by an operator."""

    code = "ticket_void"

    def __init__(self, serial: str, at: datetime | None, reason: str | None) -> None:
        since = f" since {at.isoformat()}" if at else ""
        super().__init__(f"Ticket {serial} is void{since} ({reason or 'taken back'}): do not admit.")
        self._facts = {"serial": serial, "voided_at": at and at.isoformat(), "reason": reason}

    @property
    def facts(self) -> dict[str, object]:
        return dict(self._facts)


class TicketNotValidNow(DomainError):
    """Too early or too late."""

    code = "ticket_not_valid_now"

    def __init__(self, serial: str, window: Window) -> None:
        closes = window.closes_at.isoformat() if window.closes_at else "any time"
        super().__init__(f"Ticket {serial} opens the gate from {window.opens_at.isoformat()} until {closes}.")
        self._facts = {
            "serial": serial,
            "valid_from": window.opens_at.isoformat(),
            "valid_until": window.closes_at and window.closes_at.isoformat(),
        }

    @property
    def facts(self) -> dict[str, object]:
        return dict(self._facts)


class TicketsNotIssued(DomainError):
    """There is nothing to print yet, or no more."""

    code = "tickets_not_issued"

    def __init__(self, status: str) -> None:
        super().__init__(f"The order is {status} and has no tickets: they are there once it is issued.")
        self._status = status

    @property
    def facts(self) -> dict[str, object]:
        return {"state": self._status}


class TicketHasNoCode(DomainError):
    """The supplier's credential is a document of its own, not a code."""

    code = "ticket_has_no_code"

    def __init__(self, code_format: str, link: str | None) -> None:
        where = f": open {link}" if link else ": show it as text"
        super().__init__(f"The supplier's credential is of the kind {code_format}, which is no QR code{where}.")
        self._link = link

    @property
    def facts(self) -> dict[str, object]:
        return {"link": self._link}
