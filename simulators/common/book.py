"""The book: what the outside world saw, kept in SQLite so that killing the process loses nothing that was answered.

A write is one commit in WAL mode without fsync: it survives the death of the process, which is what the fault runs do
(a power cut is not among the faults). Everything runs on the event loop's thread; a statement takes microseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic_core import from_json, to_json

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


@dataclass(slots=True, kw_only=True)
class Entry:
    """One booking as its supplier has it. Times are seconds since 1970, UTC; `id` is the supplier's own.

    `due_at` is when a pending booking turns into `due_status`; `forgotten_until` hides it from reads (-1: for ever).
    """

    id: str
    supplier: str
    reference: str
    order_no: str | None
    created_at: float
    status: str
    updated_at: float = 0.0
    confirmed_at: float | None = None
    cancelled_at: float | None = None
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
        """Let time do its work: late confirmations arrive. True when something changed."""
        if self.status == "PENDING" and self.due_at is not None and self.due_at <= now:
            self.become(self.due_status or "CONFIRMED", self.due_at)
            return True
        return False

    def is_forgotten(self, now: float) -> bool:
        return self.forgotten_until is not None and (self.forgotten_until < 0 or now < self.forgotten_until)


E = TypeVar("E", bound=Entry)


class Tally:
    """Settings and counters of all parties, in one file with their bookings."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        # The app is built on one thread and served on another, never on two at once.
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=2000;")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

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


class Book(Tally, Generic[E]):
    """All parties' bookings. `read` makes an entry from its JSON document."""

    def __init__(self, file: Path, read: Callable[[dict[str, Any]], E]) -> None:
        super().__init__(file)
        self._read = read

    def put(self, entry: E) -> None:
        """Write a new or changed booking; when this returns it is in the book."""
        self._db.execute(
            "INSERT INTO bookings (id, supplier, reference, order_no, due_at, status, document)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " order_no = excluded.order_no, due_at = excluded.due_at, status = excluded.status,"
            " document = excluded.document",
            (entry.id, entry.supplier, entry.reference, entry.order_no, entry.due_at, entry.status,
             to_json(entry).decode()),
        )  # fmt: skip

    def of_reference(self, supplier: str, reference: str) -> list[E]:
        """Every booking under a client's reference, oldest first: more than one only where the supplier repeats."""
        return self._select("supplier = ? AND reference = ? ORDER BY seq LIMIT 1000", (supplier, reference))

    def of_order(self, supplier: str, order_no: str) -> list[E]:
        return self._select("supplier = ? AND order_no = ? ORDER BY seq LIMIT 1000", (supplier, order_no))

    def with_id(self, entry_id: str) -> E | None:
        return next(iter(self._select("id = ?", (entry_id,))), None)

    def due(self) -> list[E]:
        """Bookings to which something is yet to happen by itself."""
        return self._select("due_at IS NOT NULL ORDER BY seq", ())

    def page(self, supplier: str, after: int, limit: int) -> list[E]:
        return self._select("supplier = ? AND seq > ? ORDER BY seq LIMIT ?", (supplier, after, limit))

    def _select(self, where: str, values: tuple[Any, ...]) -> list[E]:
        rows = self._db.execute(f"SELECT seq, document FROM bookings WHERE {where}", values).fetchall()
        return [self._entry(seq, text) for seq, text in rows]

    def _entry(self, seq: int, text: str) -> E:
        document: dict[str, Any] = from_json(text) | {"seq": seq}
        document["history"] = [(status, at) for status, at in document["history"]]
        return self._read(document)


def latest(known: list[E], *statuses: str) -> E | None:
    """The latest in one of the statuses; without any, the latest of all."""
    return next((entry for entry in reversed(known) if not statuses or entry.status in statuses), None)


def shown(known: list[E]) -> E | None:
    """Of several bookings under one reference, the one that reads show: the latest issued, else living, else any."""
    return latest(known, "CONFIRMED", "REDEEMED") or latest(known, "PENDING", "ON_HOLD") or latest(known)


class Clerk(Generic[E]):
    """Whoever makes and changes bookings in a book. `clock` is seconds since 1970.

    Every method is synchronous, so calls never interleave inside one; when it returns, the book has what it did.
    """

    def __init__(self, book: Book[E], clock: Callable[[], float]) -> None:
        self.book = book
        self.clock = clock

    def write(self, entry: E) -> None:
        self.book.put(entry)

    def settled(self, supplier: str, reference: str, now: float) -> list[E]:
        """Every booking under a reference as it is at `now`, oldest first."""
        return [self.settle(entry, now) for entry in self.book.of_reference(supplier, reference)]

    def settle(self, entry: E, now: float) -> E:
        if entry.settle(now):
            self.write(entry)
        return entry

    def current(self, entry_id: str) -> E | None:
        entry = self.book.with_id(entry_id)
        return None if entry is None else self.settle(entry, self.clock())

    def listed(self, supplier: str, reference: str | None, order_no: str | None, after: int, limit: int) -> list[E]:
        """Bookings as they are now, oldest first: those of a reference or an order, else a page after a `seq`."""
        if reference is not None:
            found = self.book.of_reference(supplier, reference)
        elif order_no is not None:
            found = self.book.of_order(supplier, order_no)
        else:
            found = self.book.page(supplier, after, limit)
        now = self.clock()
        return [self.settle(entry, now) for entry in found]

    def complete(self, entry_id: str) -> E | None:
        """A late confirmation has come due: settle it, and say what to call back. None when it was cancelled."""
        entry = self.book.with_id(entry_id)
        if entry is None or entry.due_at is None:
            return None
        entry.settle(max(self.clock(), entry.due_at))
        entry.due_at = None
        self.write(entry)
        return entry
