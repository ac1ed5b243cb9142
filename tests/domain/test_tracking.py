"""Where a unit stands by what its carrier tells of it, and which share of a line is whose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from domain.units import Happening, TrackedEvent, UnitState, follow, share_of, stands_by

START = datetime(2026, 5, 1, tzinfo=UTC)
HAPPENINGS = st.lists(st.sampled_from(get_args(Happening)), max_size=8)


@given(HAPPENINGS, st.randoms())
def test_the_order_in_which_a_carrier_tells_does_not_matter(happenings: list[Happening], chance: Random) -> None:
    told = [TrackedEvent(each, START + timedelta(hours=n)) for n, each in enumerate(happenings)]
    shuffled = list(told)
    chance.shuffle(shuffled)
    state = UnitState.ISSUED
    for event in told:
        state = follow(state, event)
    assert stands_by(shuffled) is state


def test_a_parcel_that_was_found_before_it_was_told_to_be_lost_is_on_its_way() -> None:
    found, lost = (TrackedEvent("found", START + timedelta(hours=2)), TrackedEvent("lost", START))
    assert stands_by([found, lost]) is UnitState.SHIPPED
    assert stands_by([found]) is UnitState.ISSUED


@given(st.integers(0, 10**9), st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_the_shares_of_all_pieces_add_up_to_the_lines_total(total_minor: int, quantities: list[int]) -> None:
    before, shares = 0, []
    for quantity in quantities:
        shares.append(share_of(total_minor, sum(quantities), before, quantity))
        before += quantity
    assert sum(shares) == total_minor
    assert all(share >= 0 for share in shares)
