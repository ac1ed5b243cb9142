"""The book: what the outside world saw, kept in SQLite so that killing the process loses nothing that was answered.

A write is one commit in WAL mode without fsync: it survives the death of the process, which is what the fault runs do
(a power cut is not among the faults). Everything runs on the event loop's thread; a statement takes microseconds.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

LIVE = ("ON_HOLD", "PENDING", "CONFIRMED", "REDEEMED")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bookings (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, supplier TEXT NOT NULL, reference TEXT NOT NULL,
    order_no TEXT, due_at REAL, status TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS bookings_by_reference ON bookings (supplier, reference);
CREATE INDEX IF NOT EXISTS bookings_by_order ON bookings (supplier, order_no);
CREATE INDEX IF NOT EXISTS bookings_due ON bookings (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS suppliers (name TEXT PRIMARY KEY, settings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS hits (supplier TEXT, operation TEXT, kind TEXT, hits INTEGER NOT NULL,
    PRIMARY KEY (supplier, operation, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (supplier TEXT, operation TEXT, reference TEXT, calls INTEGER NOT NULL,
    PRIMARY KEY (supplier, operation, reference)) WITHOUT ROWID;
"""


@dataclass(slots=True)
class BookedUnit:
    uuid: str
    unit_id: str
    reseller_reference: str | None = None


@dataclass(slots=True)
class Booking:
    """One booking as the supplier has it. Times are seconds since 1970, UTC; `id` is the supplier's own.

    `due_at` is when a pending booking turns into `due_status`; `forgotten_until` hides it from reads (-1: for ever).
    """

    id: str
    supplier: str
    reference: str
    order_no: str | None
    product_id: str
    option_id: str
    availability_id: str | None
    units: list[BookedUnit]
    contact: dict[str, Any]
    notes: str | None
    created_at: float
    expires_at: float | None
    status: str = "ON_HOLD"
    updated_at: float = 0.0
    confirmed_at: float | None = None
    cancelled_at: float | None = None
    cancel_reason: str | None = None
    due_at: float | None = None
    due_status: str | None = None
    forgotten_until: float | None = None
    history: list[tuple[str, float]] = field(default_factory=list)
    seq: int = 0

    def become(self, status: str, at: float) -> None:
        """Change the status and write it into the history."""
        self.status = status
        self.updated_at = at
        self.history.append((status, at))
        if status == "CONFIRMED":
            self.confirmed_at = at
        elif status == "CANCELLED":
            self.cancelled_at = at

    def settle(self, now: float) -> bool:
        """Let time do its work: holds expire, late confirmations arrive. True when something changed."""
        if self.status == "ON_HOLD" and self.expires_at is not None and self.expires_at <= now:
            self.become("EXPIRED", self.expires_at)
            return True
        if self.status == "PENDING" and self.due_at is not None and self.due_at <= now:
            self.become(self.due_status or "CONFIRMED", self.due_at)
            return True
        return False

    def is_forgotten(self, now: float) -> bool:
        return self.forgotten_until is not None and (self.forgotten_until < 0 or now < self.forgotten_until)


class Book:
    """All suppliers' bookings, settings and counters in one file."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        # The app is built on one thread and served on another, never on two at once.
        self._db = sqlite3.connect(data_dir / "suppliers.sqlite3", isolation_level=None, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=2000;")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def put(self, booking: Booking) -> None:
        """Write a new or changed booking; when this returns it is in the book."""
        self._db.execute(
            "INSERT INTO bookings (id, supplier, reference, order_no, due_at, status, document)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " order_no = excluded.order_no, due_at = excluded.due_at, status = excluded.status,"
            " document = excluded.document",
            (booking.id, booking.supplier, booking.reference, booking.order_no, booking.due_at, booking.status,
             to_json(booking).decode()),
        )  # fmt: skip

    def of_reference(self, supplier: str, reference: str) -> list[Booking]:
        """Every booking under a reseller's uuid, oldest first: more than one only where the supplier repeats."""
        return self._select("supplier = ? AND reference = ? ORDER BY seq LIMIT 1000", (supplier, reference))

    def of_order(self, supplier: str, order_no: str) -> list[Booking]:
        return self._select("supplier = ? AND order_no = ? ORDER BY seq LIMIT 1000", (supplier, order_no))

    def with_id(self, booking_id: str) -> Booking | None:
        return next(iter(self._select("id = ?", (booking_id,))), None)

    def due(self) -> list[Booking]:
        """Bookings whose late result has yet to be called back."""
        return self._select("due_at IS NOT NULL ORDER BY seq", ())

    def live(self) -> list[Booking]:
        """Bookings that take up seats."""
        return self._select("status IN ('ON_HOLD', 'PENDING', 'CONFIRMED', 'REDEEMED')", ())

    def page(self, supplier: str, after: int, limit: int) -> list[Booking]:
        return self._select("supplier = ? AND seq > ? ORDER BY seq LIMIT ?", (supplier, after, limit))

    def erase(self, supplier: str) -> None:
        """Forget a supplier's bookings and counters; its settings stay."""
        self._db.execute("BEGIN IMMEDIATE")
        for table in ("bookings", "hits", "calls"):
            self._db.execute(f"DELETE FROM {table} WHERE supplier = ?", (supplier,))
        self._db.execute("COMMIT")

    def settings(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT name, settings FROM suppliers").fetchall())

    def put_settings(self, supplier: str, settings: str) -> None:
        self._db.execute(
            "INSERT INTO suppliers VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET settings = excluded.settings",
            (supplier, settings),
        )

    def count_hit(self, supplier: str, operation: str, kind: str) -> None:
        self._db.execute(
            "INSERT INTO hits VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET hits = hits + 1",
            (supplier, operation, kind),
        )

    def hits(self, supplier: str) -> list[tuple[str, str, int]]:
        rows = self._db.execute("SELECT operation, kind, hits FROM hits WHERE supplier = ?", (supplier,))
        return [(operation, kind, count) for operation, kind, count in rows]

    def count_call(self, supplier: str, operation: str, reference: str) -> int:
        """Which call of this operation for this reference this is, from 1; kept over restarts."""
        row = self._db.execute(
            "INSERT INTO calls VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET calls = calls + 1 RETURNING calls",
            (supplier, operation, reference),
        ).fetchall()
        return int(row[0][0])

    def _select(self, where: str, values: tuple[Any, ...]) -> list[Booking]:
        rows = self._db.execute(f"SELECT seq, document FROM bookings WHERE {where}", values).fetchall()
        return [_read(seq, document) for seq, document in rows]


def _read(seq: int, text: str) -> Booking:
    document = from_json(text) | {"seq": seq}
    units = [BookedUnit(**unit) for unit in document.pop("units")]
    history = [(status, at) for status, at in document.pop("history")]
    return Booking(**document, units=units, history=history)
