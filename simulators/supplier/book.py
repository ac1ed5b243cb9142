"""The suppliers' book: bookings with their units, contacts and expiries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.common import book

LIVE = ("ON_HOLD", "PENDING", "CONFIRMED", "REDEEMED")


@dataclass(slots=True)
class BookedUnit:
    uuid: str
    unit_id: str
    reseller_reference: str | None = None


@dataclass(slots=True, kw_only=True)
class Booking(book.Entry):
    """One booking as the supplier has it: `reference` is OCTO's uuid."""

    product_id: str
    option_id: str
    availability_id: str | None
    units: list[BookedUnit]
    contact: dict[str, Any]
    notes: str | None
    expires_at: float | None
    status: str = "ON_HOLD"
    cancel_reason: str | None = None

    def settle(self, now: float) -> bool:
        """Let time do its work: holds expire, late confirmations arrive. True when something changed."""
        if self.status == "ON_HOLD" and self.expires_at is not None and self.expires_at <= now:
            self.become("EXPIRED", self.expires_at)
            return True
        return book.Entry.settle(self, now)


class Book(book.Book[Booking]):
    """All suppliers' bookings in one file of a directory."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir / "suppliers.sqlite3", _booking)

    def live(self) -> list[Booking]:
        """Bookings that take up seats."""
        return self._select("status IN ('ON_HOLD', 'PENDING', 'CONFIRMED', 'REDEEMED')", ())


def _booking(document: dict[str, Any]) -> Booking:
    units = [BookedUnit(**unit) for unit in document.pop("units")]
    return Booking(**document, units=units)
