"""What the outside world saw, beside what we say: doubles and dropped orders, counted in the suppliers' own books."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain.inspection import Violation
from domain.orders import OrderStatus

_CONFIRMED = frozenset({"CONFIRMED", "REDEEMED"})


@dataclass(frozen=True, slots=True)
class BookEntry:
    """One booking in a supplier's book: under our reference, for so many units, with every status it had."""

    supplier_id: str
    booking_id: str
    reference: str
    order_no: str | None
    units: int
    history: tuple[tuple[str, datetime], ...]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> BookEntry:
        """From the JSON of the simulator's book."""
        return cls(
            supplier_id=document["supplier"],
            booking_id=document["id"],
            reference=document["reference"].lower(),
            order_no=document["order_no"],
            units=len(document["unit_references"]),
            history=tuple((step["status"], datetime.fromisoformat(step["at"])) for step in document["history"]),
        )

    @property
    def is_confirmed(self) -> bool:
        """Whether it stands confirmed now."""
        return bool(self.history) and self.history[-1][0] in _CONFIRMED

    def steps(self) -> Iterator[tuple[datetime, int]]:
        """+1 where it became confirmed, -1 where it ceased to be."""
        confirmed = False
        for status, at in self.history:
            if (status in _CONFIRMED) != confirmed:
                confirmed = not confirmed
                yield at, 1 if confirmed else -1


@dataclass(frozen=True, slots=True)
class PromisedLine:
    """A line as we have it. `references`: ours, of every attempt at a supplier (lower case); `parts`: which part of the
    line each of them is about (0: all of it); `loss_recorded`: the ledger has a loss for its order, so that a booking
    which couldn't be cancelled is accounted for."""

    order_no: int
    line_no: int
    status: OrderStatus
    quantity: int
    references: tuple[str, ...]
    confirmed_at: datetime | None
    loss_recorded: bool = False
    parts: tuple[int, ...] = ()

    def references_by_part(self) -> dict[int, list[str]]:
        """Bookings of different parts stand beside each other; of one part there is one at a time."""
        found: dict[int, list[str]] = defaultdict(list)
        for number, reference in enumerate(self.references):
            found[self.parts[number] if self.parts else 0].append(reference)
        return found

    @property
    def subject(self) -> str:
        return f"{self.order_no}/{self.line_no}"


@dataclass(frozen=True, slots=True)
class BookComparison:
    """`doubles` and `dropped` are the two counts that judge issuance; both have their violations listed."""

    doubles: int
    dropped: int
    violations: tuple[Violation, ...]


def compare_with_books(
    lines: Iterable[PromisedLine], entries: Iterable[BookEntry], *, now: datetime, promise_s: float
) -> BookComparison:
    """All lines against all suppliers' books.

    doubles: per unit of a line, the most bookings confirmed at once over all suppliers, minus one. dropped: confirmed
    lines neither issued nor refunded past their promise, or issued here and absent there.
    """
    booked: dict[str, list[BookEntry]] = defaultdict(list)
    for entry in entries:
        booked[entry.reference].append(entry)
    doubles = dropped = 0
    violations: list[Violation] = []
    for line in lines:
        by_part = [
            [entry for reference in references for entry in booked.pop(reference, ())]
            for references in line.references_by_part().values()
        ]
        own = [entry for part in by_part for entry in part]
        most = max([line.quantity, *(entry.units for entry in own)])
        extra = sum(doubles_of(part, unit) for part in by_part for unit in range(most))
        if extra:
            doubles += extra
            told = ", ".join(f"{entry.supplier_id} {entry.booking_id}" for entry in own)
            violations.append(Violation("booked_once", line.subject, f"{extra} units too many at once: {told}"))
        lost = list(_dropped(line, own, now, promise_s))
        dropped += bool(lost)
        violations += [*lost, *_kept_there(line, own)]
    for strangers in booked.values():
        for entry in strangers:
            if entry.is_confirmed:
                detail = f"confirmed at {entry.supplier_id} under {entry.reference}, which is no line's"
                violations.append(Violation("booking_known_here", entry.booking_id, detail))
    return BookComparison(doubles, dropped, tuple(violations))


def doubles_of(entries: Iterable[BookEntry], unit: int) -> int:
    """For one unit (by its place in the line): the most bookings confirmed at once, minus one; at least 0."""
    steps = sorted(step for entry in entries if unit < entry.units for step in entry.steps())
    most = count = 0  # at equal times -1 sorts first: cancelled there and confirmed here at once is no double
    for _, change in steps:
        count += change
        most = max(most, count)
    return max(0, most - 1)


def _dropped(line: PromisedLine, own: list[BookEntry], now: datetime, promise_s: float) -> Iterator[Violation]:
    if line.status is OrderStatus.ISSUED and line.references:
        units = sum(entry.units for entry in own if entry.is_confirmed)
        if units < line.quantity:
            detail = f"issued here for {line.quantity} units, {units} are confirmed there"
            yield Violation("issued_there_too", line.subject, detail)
    undecided = line.status not in (OrderStatus.ISSUED, OrderStatus.REFUNDED, OrderStatus.CANCELED)
    if undecided and line.confirmed_at is not None and now - line.confirmed_at > timedelta(seconds=promise_s):
        yield Violation("promise_kept", line.subject, f"{line.status} since {line.confirmed_at.isoformat()}")


def _kept_there(line: PromisedLine, own: list[BookEntry]) -> Iterator[Violation]:
    if line.status not in (OrderStatus.REFUNDED, OrderStatus.CANCELED, OrderStatus.REJECTED) or line.loss_recorded:
        return
    for entry in own:
        if entry.is_confirmed:
            detail = f"{line.status} here, still confirmed at {entry.supplier_id}, and no loss is recorded"
            yield Violation("refunded_there_too", line.subject, detail)
