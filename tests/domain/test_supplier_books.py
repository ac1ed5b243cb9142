"""Doubles and dropped orders are found by what the suppliers' books say, not by ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.orders import OrderStatus
from domain.supplier_books import BookComparison, BookEntry, PromisedLine, compare_with_books

START = datetime(2026, 11, 1, tzinfo=UTC)
LINE = PromisedLine(1001, 1, OrderStatus.ISSUED, 2, ("ref-1", "ref-2"), START)


def an_entry(
    *history: str, reference: str = "ref-1", supplier: str = "east", units: int = 2, start: int = 0
) -> BookEntry:
    """One status per minute, from minute `start`."""
    steps = tuple((status, START + timedelta(minutes=start + i)) for i, status in enumerate(history))
    return BookEntry(supplier, f"{supplier}-{reference}-{start}", reference, "1001", units, steps)


def compare(line: PromisedLine, *entries: BookEntry, after_s: float = 60) -> BookComparison:
    return compare_with_books([line], entries, now=START + timedelta(seconds=after_s), promise_s=3600)


def test_one_confirmed_booking_for_an_issued_line_is_right() -> None:
    assert compare(LINE, an_entry("ON_HOLD", "CONFIRMED")) == BookComparison(0, 0, ())


def test_two_confirmed_at_once_are_doubles_of_each_unit_even_when_one_was_cancelled_later() -> None:
    first = an_entry("CONFIRMED", "REDEEMED")
    second = an_entry("CONFIRMED", "CANCELLED", reference="ref-2", supplier="west", start=1)

    found = compare(LINE, first, second)

    assert (found.doubles, found.dropped) == (2, 0)
    assert [each.invariant for each in found.violations] == ["booked_once"]


def test_the_same_reference_booked_twice_is_a_double_too() -> None:
    assert compare(LINE, an_entry("CONFIRMED"), an_entry("CONFIRMED", start=1)).doubles == 2


def test_one_after_the_other_is_no_double() -> None:
    first = an_entry("CONFIRMED", "CANCELLED")
    second = an_entry("CONFIRMED", reference="ref-2", supplier="west", start=1)
    assert compare(LINE, first, second) == BookComparison(0, 0, ())


@pytest.mark.parametrize("entries", [[], [an_entry("ON_HOLD", "EXPIRED")], [an_entry("CONFIRMED", units=1)]])
def test_issued_here_and_absent_or_short_there_is_dropped(entries: list[BookEntry]) -> None:
    found = compare(LINE, *entries)
    assert found.dropped == 1
    assert [each.invariant for each in found.violations] == ["issued_there_too"]


@pytest.mark.parametrize(("after_s", "dropped"), [(3600, 0), (3601, 1)])
def test_a_confirmed_line_that_is_undecided_past_its_promise_is_dropped(after_s: float, dropped: int) -> None:
    line = replace(LINE, status=OrderStatus.ISSUING)
    assert compare(line, an_entry("PENDING"), after_s=after_s).dropped == dropped


def test_refunded_here_and_confirmed_there_is_wrong_unless_recorded_as_a_loss() -> None:
    refunded = replace(LINE, status=OrderStatus.REFUNDED)
    kept = an_entry("CONFIRMED")
    assert [each.invariant for each in compare(refunded, kept).violations] == ["refunded_there_too"]
    assert compare(replace(refunded, loss_recorded=True), kept).violations == ()
    assert compare(refunded, an_entry("CONFIRMED", "CANCELLED")).violations == ()


def test_a_confirmed_booking_of_nobody_is_found() -> None:
    found = compare(LINE, an_entry("CONFIRMED"), an_entry("CONFIRMED", reference="stranger"))
    assert [each.invariant for each in found.violations] == ["booking_known_here"]


def test_an_entry_is_read_from_the_books_json() -> None:
    entry = BookEntry.of(
        {
            "supplier": "east", "id": "b", "reference": "REF-1", "order_no": None, "unit_references": ["u1", "u2"],
            "history": [{"status": "CONFIRMED", "at": "2026-11-01T00:00:00.000Z"}],
        }
    )  # fmt: skip
    assert entry == BookEntry("east", "b", "ref-1", None, 2, (("CONFIRMED", START),))
    assert entry.is_confirmed
