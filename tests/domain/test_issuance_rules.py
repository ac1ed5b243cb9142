"""Never guess: how patiently a supplier is asked, when a resend is safe, what contradicts, when to go elsewhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.issuance import (
    Absence,
    Canceled,
    Confirmed,
    DeadlinePolicy,
    Held,
    NegotiationTerms,
    NotFound,
    Pending,
    QueryAnswer,
    Rejected,
    Unknown,
    booking_reference,
    contradicts,
    is_definite,
    may_try_elsewhere,
    unit_references,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TERMS = NegotiationTerms(1.0, 2.0, 300.0, 1800.0, 10.0, True, DeadlinePolicy.ESCALATE)
INDEFINITE: list[QueryAnswer] = [Pending("s"), Unknown("timeout"), NotFound(), Held("s")]
DEFINITE: list[Confirmed | Rejected | Canceled] = [Confirmed("s"), Rejected("sold_out"), Canceled()]


@given(st.integers(0, 10_000))
def test_the_intervals_grow_up_to_the_ceiling(asked: int) -> None:
    assert TERMS.interval_s(0) == 1.0
    assert TERMS.interval_s(asked) <= TERMS.interval_s(asked + 1) <= TERMS.ceiling_s
    assert TERMS.interval_s(10_000) == TERMS.ceiling_s


def test_one_absence_permits_nothing_however_long_ago() -> None:
    assert not Absence().permits_resend(TERMS, NOW)
    assert not Absence().seen(NOW).permits_resend(TERMS, NOW + timedelta(days=1))


@given(st.floats(0, 100))
def test_two_absences_permit_a_resend_only_when_spaced_over_the_window(apart_s: float) -> None:
    later = NOW + timedelta(seconds=apart_s)
    absence = Absence().seen(NOW).seen(later)
    assert absence.permits_resend(TERMS, later) == (later - NOW >= timedelta(seconds=10))


@given(st.integers(0, 20))
def test_without_unique_references_nothing_is_ever_sent_again(times: int) -> None:
    absence = Absence(times, NOW)
    assert not absence.permits_resend(replace(TERMS, unique_references=False), NOW + timedelta(days=9))


@pytest.mark.parametrize("answer", INDEFINITE)
def test_what_is_not_definite_ends_nothing_and_contradicts_nothing(answer: QueryAnswer) -> None:
    assert not is_definite(answer)
    assert not any(contradicts(accepted, answer) for accepted in DEFINITE)


@pytest.mark.parametrize("accepted", DEFINITE)
@pytest.mark.parametrize("later", DEFINITE)
def test_only_yes_and_no_contradict_each_other(
    accepted: Confirmed | Rejected | Canceled, later: Confirmed | Rejected | Canceled
) -> None:
    assert is_definite(accepted)
    assert contradicts(accepted, later) == (isinstance(accepted, Confirmed) != isinstance(later, Confirmed))


@given(st.booleans(), st.integers(0, 1000), st.integers(0, 1000))
def test_elsewhere_is_tried_only_when_invited_and_not_dearer(invited: bool, ours: int, other: int) -> None:
    answer = Rejected("sold_out", retry_elsewhere=invited)
    assert may_try_elsewhere(answer, cost_minor=ours, other_cost_minor=other) == (invited and other <= ours)
    assert may_try_elsewhere(Canceled(), cost_minor=ours, other_cost_minor=other) == (other <= ours)


def test_references_are_stable_and_differ_by_line_attempt_and_unit() -> None:
    assert booking_reference(1, 1, 1) == booking_reference(1, 1, 1)
    every = [booking_reference(1, line, attempt) for line in (1, 2) for attempt in (1, 2)]
    every += [unit for line in (1, 2) for attempt in (1, 2) for unit in unit_references(1, line, attempt, 3)]
    assert len(set(every)) == len(every) == 16
