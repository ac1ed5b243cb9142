"""Amounts add up exactly and never meet a foreign currency."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import CurrencyMismatch, Money, allot, total

AMOUNTS = st.integers(min_value=-(10**15), max_value=10**15)
WEIGHTS = st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=30).filter(any)


@given(AMOUNTS, WEIGHTS)
def test_parts_add_up_to_the_whole_and_are_within_one_unit_of_their_share(amount: int, weights: list[int]) -> None:
    parts = allot(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(amount * weight, sum(weights))) < 1


@given(AMOUNTS, WEIGHTS)
def test_a_heavier_part_gets_no_less_and_nothing_gets_nothing(amount: int, weights: list[int]) -> None:
    parts = [abs(part) for part in allot(amount, weights)]
    for i, heavier in enumerate(weights):
        for j, lighter in enumerate(weights):
            assert heavier <= lighter or parts[i] >= parts[j]
    assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)


def test_equal_remainders_go_to_the_earlier_part() -> None:
    assert allot(100, [1, 1, 1]) == [34, 33, 33]
    assert allot(-100, [1, 1, 1]) == [-34, -33, -33]


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [-1, 3]])
def test_weights_that_divide_nothing_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # `min` of nothing has its own words
        allot(1, weights)


@given(AMOUNTS, AMOUNTS)
def test_sums_are_exact(left: int, right: int) -> None:
    amount = Money(left, "CNY") + Money(right, "CNY")
    assert amount - Money(right, "CNY") == Money(left, "CNY")
    assert total([Money(left, "CNY"), Money(right, "CNY")], "CNY") == amount
    assert -amount * 2 == Money(-2 * (left + right), "CNY")


def test_currencies_never_mix() -> None:
    with pytest.raises(CurrencyMismatch) as refusal:
        total([Money(1, "CNY"), Money(1, "USD")], "CNY")
    assert refusal.value.facts == {"expected": "CNY", "found": "USD"}


@pytest.mark.parametrize(("amount", "currency"), [(1.0, "CNY"), (True, "CNY"), (1, "cny"), (1, "¥"), (1, "CNYX")])
def test_what_is_no_amount_cannot_be_built(amount: Any, currency: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        Money(amount, currency)
