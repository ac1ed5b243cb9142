"""Stocktakes: a difference is what was found against what was on hand then, whatever was sold since."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.inventory import Count, CountBelowHeld, differences

UNITS = st.integers(0, 50)


@given(counted=UNITS, expected=UNITS, sold=UNITS, received=UNITS)
def test_units_sold_and_received_after_the_count_do_not_change_the_difference(
    counted: int, expected: int, sold: int, received: int
) -> None:
    on_hand = expected + received - min(sold, expected + received)
    if on_hand + counted - expected >= 0:
        found = differences([Count("a", counted, expected)], {"a": (on_hand, 0)})
        assert found.get("a", 0) == counted - expected


def test_a_count_that_agrees_changes_nothing() -> None:
    assert differences([Count("a", 7, 7)], {"a": (3, 3)}) == {}


def test_a_count_below_what_orders_hold_is_refused_with_every_variant_that_is_short() -> None:
    counts = [Count("a", 2, 10), Count("b", 5, 5), Count("c", 0, 1)]
    with pytest.raises(CountBelowHeld) as refused:
        differences(counts, {"a": (10, 5), "b": (5, 5), "c": (1, 1)})
    assert refused.value.missing == {"a": 3, "c": 1}


def test_a_count_of_exactly_what_is_held_is_applied() -> None:
    assert differences([Count("a", 5, 10)], {"a": (10, 5)}) == {"a": -5}
