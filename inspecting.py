"""`tessera inspect`: the inspection in production, over the database, Temporal's open workflows and, where the
suppliers are simulated, their own books."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import httpx2
from rich.console import Console
from rich.table import Table
from temporalio.client import Client

from demo.books import Control
from domain.categories import CATEGORIES
from domain.inspection import InspectionTerms, Violation
from domain.supplier_books import BookComparison, BookEntry, compare_with_books
from settings import Settings
from storage.database import Database
from storage.inspection import inspect, promised_lines

BOOKS_AGAIN_S = 3.0
"""Books and database are not read in one moment: what disagrees is looked at again after this long."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found. `books`: how many bookings the suppliers' books have; None where no book could be read."""

    violations: tuple[Violation, ...]
    orders: int
    open_workflows: int | None
    books: int | None
    doubles: int
    dropped: int

    @property
    def clean(self) -> bool:
        return not (self.violations or self.doubles or self.dropped)


async def inspect_all(
    settings: Settings, terms: InspectionTerms | None = None, *, promise_s: float | None = None
) -> Inspected:
    """All invariants. `promise_s`: after how long a confirmed line that is undecided counts as dropped; default: the
    terms'."""
    terms = terms or InspectionTerms(promise_s=settings.promise_s)
    url = settings.database_url or settings.worker_database_url
    if url is None:
        raise RuntimeError("no address of PostgreSQL is known: start `tessera up`, or set TESSERA_DATABASE_URL")
    CATEGORIES.load(settings.kind_places)
    opened = await open_workflows(settings)
    async with Database(url, pool_max=4) as database:
        async with database.transaction() as cx:
            violations = await inspect(cx, terms, open_workflows=opened)
            cursor = await cx.execute("SELECT count(*) AS n FROM orders")
            counted = await cursor.fetchone()
        entries, comparison = await _compare(database, settings, terms.promise_s if promise_s is None else promise_s)
    assert counted is not None
    return Inspected(
        violations=(*violations, *comparison.violations),
        orders=counted["n"],
        open_workflows=None if opened is None else len(opened),
        books=entries,
        doubles=comparison.doubles,
        dropped=comparison.dropped,
    )


async def show(settings: Settings, *, as_json: bool) -> int:
    """Print what was found; the exit code is 1 where something was."""
    found = await inspect_all(settings)
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=2) + "\n")
    else:
        _print(found)
    return 0 if found.clean else 1


def _print(found: Inspected) -> None:
    console = Console()
    workflows = "not looked at" if found.open_workflows is None else f"{found.open_workflows} open"
    books = "not looked at" if found.books is None else f"{found.books} bookings"
    console.print(f"{found.orders} orders; workflows: {workflows}; suppliers' books: {books}")
    console.print(f"doubles {found.doubles}, dropped {found.dropped}, violations {len(found.violations)}")
    if found.violations:
        table = Table("invariant", "of", "what")
        for violation in found.violations:
            table.add_row(violation.invariant, violation.subject, violation.detail)
        console.print(table)


async def open_workflows(settings: Settings) -> Collection[str] | None:
    """Ids of all workflows that are open; None where no Temporal is known."""
    if settings.temporal_address is None:
        return None
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    return {each.id async for each in client.list_workflows("ExecutionStatus = 'Running'")}


async def read_books(settings: Settings) -> list[BookEntry] | None:
    """The books of all simulators that answer; None where that of the ticket suppliers does not."""
    async with httpx2.AsyncClient(trust_env=False) as http:
        books: dict[str, list[BookEntry]] = {}
        for simulator in ("supplier", "topup", "carrier"):
            control = Control(http, settings.simulator_url(simulator))
            with contextlib.suppress(httpx2.HTTPError):
                names = [each["name"] for each in await control.suppliers()]
                books[simulator] = [entry for name in names for entry in await control.entries(name)]
        return [entry for book in books.values() for entry in book] if "supplier" in books else None


async def _compare(database: Database, settings: Settings, promise_s: float) -> tuple[int | None, BookComparison]:
    """Lines against books, twice where they disagree: a line may have moved between the two readings."""
    entries, comparison = await _compare_once(database, settings, promise_s)
    if not comparison.violations:
        return entries, comparison
    await asyncio.sleep(BOOKS_AGAIN_S)
    entries, again = await _compare_once(database, settings, promise_s)
    before = {(found.invariant, found.subject) for found in comparison.violations}
    lasting = tuple(found for found in again.violations if (found.invariant, found.subject) in before)
    dropped = sum(found.invariant in ("issued_there_too", "promise_kept") for found in lasting)
    return entries, BookComparison(again.doubles, dropped, lasting)


async def _compare_once(database: Database, settings: Settings, promise_s: float) -> tuple[int | None, BookComparison]:
    async with database.reading() as cx:
        lines = await promised_lines(cx)
    entries = await read_books(settings)
    if entries is None:
        return None, BookComparison(0, 0, ())
    return len(entries), compare_with_books(lines, entries, now=datetime.now(UTC), promise_s=promise_s)
