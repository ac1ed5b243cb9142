"""Units: what moves them, how they add up to a line and to an order's delivery, whatever carriers tell in any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.machines import IllegalTransition
from domain.orders import DELIVERY, DeliveryStatus
from domain.units import (
    UNIT,
    Happening,
    TrackedEvent,
    UnitEvent,
    UnitState,
    delivery_of,
    delivery_path,
    follow,
    pieces_of,
    share_of,
)

_S = UnitState
START = datetime(2026, 11, 24, tzinfo=UTC)

states = st.sampled_from(UnitState)
told = st.builds(
    TrackedEvent,
    happening=st.sampled_from(get_args(Happening)),
    at=st.integers(0, 1000).map(lambda s: START + timedelta(seconds=s)),
)


def test_a_unit_that_is_not_issued_is_not_carried_and_one_that_is_complete_stays() -> None:
    with pytest.raises(IllegalTransition):
        UNIT.after(_S.OWED, UnitEvent.SHIP)
    assert [event for event in UnitEvent if UNIT.allows(_S.COMPLETED, event)] == []
    assert [event for event in UnitEvent if UNIT.allows(_S.VOID, event)] == [UnitEvent.RESTORE]


@given(states, st.lists(told, max_size=12))
def test_following_never_refuses_and_moves_only_along_the_table(state: UnitState, events: list[TrackedEvent]) -> None:
    walk = list(accumulate(events, follow, initial=state))
    for before, after in pairwise(walk):
        assert before is after or (before, after) in {(source, to) for (source, _), to in UNIT.table.items()}
    if state in (_S.VOID, _S.COMPLETED, _S.OWED):
        assert set(walk) == {state}


@given(states, told)
def test_what_is_told_twice_moves_once(state: UnitState, event: TrackedEvent) -> None:
    once = follow(state, event)
    assert follow(once, event) is once


@given(st.integers(0, 10**12), st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_shares_of_all_pieces_add_up_to_the_lines_total(total_minor: int, pieces: list[int]) -> None:
    quantity, before, shares = sum(pieces), 0, []
    for piece in pieces:
        shares.append(share_of(total_minor, quantity, before, piece))
        before += piece
    assert sum(shares) == total_minor
    assert min(shares) >= 0
    even = [total_minor * piece / quantity for piece in pieces]
    assert all(abs(share - exact) <= 1 + 1e-3 for share, exact in zip(shares, even, strict=True))


@pytest.mark.parametrize(("before", "quantity"), [(-1, 1), (2, 2), (0, 4), (1, -1)])
def test_more_pieces_than_the_line_has_have_no_share(before: int, quantity: int) -> None:
    with pytest.raises(ValueError, match="pieces of 3"):
        share_of(1000, 3, before, quantity)


credentials = st.lists(st.tuples(st.text(min_size=1), st.just("CODE"), st.text()), max_size=8)


@given(st.integers(1, 6), credentials)
def test_pieces_hold_the_whole_line_and_each_credential_at_most_once(
    quantity: int, shown: list[tuple[str, str, str]]
) -> None:
    pieces = pieces_of(quantity, shown)
    assert sum(piece.quantity for piece in pieces) == quantity
    assert min(piece.quantity for piece in pieces) >= 1
    assert [(piece.code, piece.code_format, piece.reference) for piece in pieces] == shown[:quantity] or not shown


def test_one_waybill_stands_for_all_pieces_and_three_codes_for_one_each() -> None:
    assert [piece.quantity for piece in pieces_of(3, [("W-1", "WAYBILL", "s")])] == [3]
    assert [piece.quantity for piece in pieces_of(3, [(code, "CODE", "") for code in "abc"])] == [1, 1, 1]
    assert [piece.code for piece in pieces_of(2, [])] == [""]


@pytest.mark.parametrize(
    ("units", "stands"),
    [
        ([], None),
        ([_S.VOID], None),
        ([_S.ISSUED, _S.ISSUED], DeliveryStatus.PENDING),
        ([_S.SHIPPED, _S.ISSUED], DeliveryStatus.SHIPPED),
        ([_S.DELIVERED, _S.ISSUED], DeliveryStatus.SHIPPED),
        ([_S.DELIVERED, _S.LOST], DeliveryStatus.LOST),
        ([_S.DELIVERED, _S.COMPLETED, _S.VOID], DeliveryStatus.DELIVERED),
    ],
)
def test_an_orders_delivery_is_what_its_units_say(units: list[UnitState], stands: DeliveryStatus | None) -> None:
    assert delivery_of(units) is stands


@given(st.lists(states, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_units_makes_no_difference(units: list[UnitState], random: object) -> None:
    shuffled = sorted(units, key=lambda _: random.random())  # type: ignore[attr-defined]  # hypothesis' own Random
    assert delivery_of(shuffled) is delivery_of(units)


@given(st.sampled_from(DeliveryStatus), st.sampled_from(DeliveryStatus))
def test_a_path_of_deliveries_is_legal_at_every_step_and_ends_where_it_should(
    start: DeliveryStatus, target: DeliveryStatus
) -> None:
    path = delivery_path(start, target)
    state = start
    for event in path:
        state = DELIVERY.after(state, event)
    assert state is target if path else state is start


@given(st.lists(states, min_size=1, max_size=5), st.lists(st.tuples(st.integers(0, 4), told), max_size=15))
def test_news_of_the_way_out_is_always_reached_by_legal_steps(
    units: list[UnitState], news: list[tuple[int, TrackedEvent]]
) -> None:
    """What units say is reachable from what they said before, or it says less than is known already."""
    order = DeliveryStatus.PENDING
    for number, event in news:
        units[number % len(units)] = follow(units[number % len(units)], event)
        stands = delivery_of(units)
        path = delivery_path(order, stands) if stands is not None else ()
        for step in path:
            order = DELIVERY.after(order, step)
        if stands in (DeliveryStatus.LOST, DeliveryStatus.DELIVERED):
            assert order is stands or order is DeliveryStatus.DELIVERED
