"""The breaker opens on the share of failures, lets one probe through per cool-down, and obeys the operator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.suppliers import Breaker, BreakerState, BreakerTerms

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TERMS = BreakerTerms(window=20, min_calls=10, error_share=0.5, cooldown_s=30.0)
COOL = timedelta(seconds=30)


@given(st.integers(0, 20), st.integers(0, 20))
def test_it_opens_when_enough_calls_exist_and_enough_failed(calls: int, failures: int) -> None:
    failures = min(failures, calls)
    after = Breaker(BreakerState.CLOSED).after(TERMS, NOW, calls=calls, failures=failures, succeeded=False)
    expected = calls >= 10 and failures * 2 >= calls
    assert (after.state is BreakerState.OPEN) == expected
    assert after.admits(TERMS, NOW) == (not expected)


def test_an_open_breaker_admits_one_probe_per_cool_down() -> None:
    opened = Breaker(BreakerState.OPEN, opened_at=NOW)
    assert not opened.admits(TERMS, NOW + COOL - timedelta(seconds=1))
    assert opened.admits(TERMS, NOW + COOL)
    assert opened.probes()

    probing = Breaker(BreakerState.OPEN, NOW, probe_at=NOW + COOL)
    assert not probing.admits(TERMS, NOW + COOL + timedelta(seconds=1))
    assert probing.admits(TERMS, NOW + COOL + COOL)


def test_a_success_closes_it_and_a_failure_while_open_changes_nothing() -> None:
    probing = Breaker(BreakerState.OPEN, NOW, probe_at=NOW + COOL)
    later = NOW + COOL + timedelta(seconds=1)

    closed = probing.after(TERMS, later, calls=10, failures=10, succeeded=True)
    still = probing.after(TERMS, later, calls=10, failures=10, succeeded=False)

    assert closed == Breaker(BreakerState.CLOSED)
    assert still == probing  # questions of negotiations go on meanwhile: their failures don't put off the next probe


@pytest.mark.parametrize("succeeded", [True, False])
@pytest.mark.parametrize(("state", "admits"), [(BreakerState.FORCED_OPEN, False), (BreakerState.FORCED_CLOSED, True)])
def test_an_operators_word_lasts(state: BreakerState, admits: bool, succeeded: bool) -> None:
    forced = Breaker(state, opened_at=NOW)
    after = forced.after(TERMS, NOW, calls=20, failures=20, succeeded=succeeded)
    assert after == forced
    assert after.admits(TERMS, NOW + timedelta(days=1)) is admits
    assert not after.probes()
