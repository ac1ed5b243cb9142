"""Promotions as rules: what each kind takes off, who may use one, and that the best legal combination is the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.promotion_choice import MOST_AT_ONCE, LineDiscount, best_combination
from domain.promotion_terms import AmountOff, FixedPrice, NForM, PercentOff, PromotionInvalid, Step, Terms, terms_of
from domain.promotions import (
    BasketLine,
    Occasion,
    Promotion,
    PromotionExhausted,
    PromotionExpired,
    PromotionNotApplicable,
    PromotionState,
    Scope,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HERE = Occasion("acme", "web", "ann", "CNY", NOW)


def a_line(number: int, price_minor: int, quantity: int = 1, category: str = "tickets") -> BasketLine:
    return BasketLine(number, f"sku{number}", f"prd{number}", frozenset({category, "all"}), quantity, price_minor)


def a_promotion(name: str, terms: Terms, **facts: object) -> Promotion:
    usual = Promotion(name, name, terms, "CNY", NOW - timedelta(days=1), stack_group=name)
    return replace(usual, **facts)  # type: ignore[arg-type]


def taken(discounts: Sequence[LineDiscount]) -> list[tuple[int, str, int]]:
    return [(each.line_no, each.promotion_id, each.amount_minor) for each in discounts]


# --- terms -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "left", "quantities", "off"),
    [
        (PercentOff(1500), [1000, 333], [1, 1], [150, 50]),
        (PercentOff(5000), [1, 0], [1, 1], [1, 0]),
        (PercentOff(1), [10, 10], [1, 1], [0, 0]),
        (AmountOff((Step(1000, 100), Step(2000, 300))), [999], [1], [0]),
        (AmountOff((Step(1000, 100), Step(2000, 300))), [1000], [1], [100]),
        (AmountOff((Step(1000, 100), Step(2000, 300))), [1000, 1000, 1000], [1, 1, 1], [100, 100, 100]),
        (AmountOff((Step(100, 100),)), [33, 33, 34], [1, 1, 1], [33, 33, 34]),
        (FixedPrice(900), [2000, 850], [2, 1], [200, 0]),
        (NForM(3, 2), [3000], [3], [1000]),
        (NForM(3, 2), [3000, 500], [3, 2], [0, 250]),
        (NForM(3, 1), [3000, 500], [4, 2], [1500, 500]),
        (NForM(2, 1), [300, 200, 100], [1, 1, 1], [0, 0, 100]),
        (NForM(3, 2), [2000], [2], [0]),
    ],
)
def test_each_kind_takes_off_what_it_says(terms: Terms, left: list[int], quantities: list[int], off: list[int]) -> None:
    assert terms.off(left, quantities) == off


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "percent_off", "percent_bp": 0},
        {"kind": "percent_off", "percent_bp": 10_001},
        {"kind": "amount_off", "steps": []},
        {"kind": "amount_off", "steps": [{"from_minor": 10, "off_minor": 11}]},
        {"kind": "amount_off", "steps": [{"from_minor": 10, "off_minor": 5}, {"from_minor": 20, "off_minor": 5}]},
        {"kind": "amount_off", "steps": [{"from_minor": 10, "off_minor": 5}, {"from_minor": 9, "off_minor": 6}]},
        {"kind": "fixed_price", "unit_price_minor": -1},
        {"kind": "n_for_m", "take": 2, "pay": 2},
        {"kind": "gift"},
    ],
)
def test_terms_that_nobody_can_have_meant_are_refused(document: dict[str, object]) -> None:
    with pytest.raises(PromotionInvalid):
        terms_of(document)


amounts = st.integers(0, 10**7)
step_lists = st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 500)), min_size=1, max_size=4).map(
    lambda gaps: tuple(
        Step(sum(gap for gap, _ in gaps[: n + 1]) + 5000, sum(off for _, off in gaps[: n + 1]))
        for n in range(len(gaps))
    )
)
all_terms: st.SearchStrategy[Terms] = st.one_of(
    st.builds(PercentOff, st.integers(1, 10_000)),
    st.builds(AmountOff, step_lists),
    st.builds(FixedPrice, st.integers(0, 3000)),
    st.integers(2, 5).flatmap(lambda take: st.builds(NForM, st.just(take), st.integers(0, take - 1))),
)


@given(all_terms, st.lists(st.tuples(amounts, st.integers(1, 20)), min_size=1, max_size=8))
def test_no_line_ever_costs_less_than_nothing(terms: Terms, lines: list[tuple[int, int]]) -> None:
    left, quantities = [left for left, _ in lines], [quantity for _, quantity in lines]
    assert all(0 <= off <= most for off, most in zip(terms.off(left, quantities), left, strict=True))


@given(all_terms, st.lists(st.tuples(amounts, amounts, st.integers(1, 20)), min_size=1, max_size=8))
def test_nothing_takes_off_less_where_more_is_left(terms: Terms, lines: list[tuple[int, int, int]]) -> None:
    """What the bound of the search rests on."""
    less = [min(one, two) for one, two, _ in lines]
    more = [max(one, two) for one, two, _ in lines]
    quantities = [quantity for _, _, quantity in lines]
    assert sum(terms.off(less, quantities)) <= sum(terms.off(more, quantities))


@given(st.integers(1, 10_000), st.lists(amounts, min_size=1, max_size=8))
def test_a_percentage_is_allotted_to_the_minor_unit(percent_bp: int, left: list[int]) -> None:
    off = PercentOff(percent_bp).off(left, [1] * len(left))
    assert sum(off) == (sum(left) * percent_bp + 5000) // 10_000
    assert all(abs(share - part * percent_bp / 10_000) < 2 for share, part in zip(off, left, strict=True))


# --- who may use it ----------------------------------------------------------------------------------------------

HALF = PercentOff(5000)


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"state": PromotionState.ENDED}, PromotionExpired),
        ({"valid_to": NOW}, PromotionExpired),
        ({"state": PromotionState.PAUSED}, PromotionNotApplicable),
        ({"valid_from": NOW + timedelta(seconds=1)}, PromotionNotApplicable),
        ({"currency": "USD"}, PromotionNotApplicable),
        ({"scope": Scope(channels=frozenset({"kiosk"}))}, PromotionNotApplicable),
        ({"scope": Scope(distributor_ids=frozenset({"other"}))}, PromotionNotApplicable),
        ({"scope": Scope(buyer_refs=frozenset({"bob"}))}, PromotionNotApplicable),
        ({"stock": 3, "spent": 3}, PromotionExhausted),
        ({"per_buyer_limit": 1, "taken": 1}, PromotionExhausted),
    ],
)
def test_why_a_promotion_may_not_be_used(facts: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        a_promotion("half", HALF, **facts).judge(HERE)


def test_at_its_limits_it_may_be_used() -> None:
    scope = Scope(channels=frozenset({"web"}), buyer_refs=frozenset({"ann", "bob"}))
    a_promotion(
        "half", HALF, valid_from=NOW, valid_to=NOW + timedelta(seconds=1), scope=scope, stock=3, spent=2,
        per_buyer_limit=2, taken=1,
    ).judge(HERE)  # fmt: skip


def test_a_limit_per_buyer_needs_a_buyer() -> None:
    with pytest.raises(PromotionNotApplicable, match="buyer_ref"):
        a_promotion("half", HALF, per_buyer_limit=1).judge(replace(HERE, buyer_ref=None))


def test_a_category_means_those_below_it() -> None:
    museum = a_line(1, 1000, category="museums")
    assert Scope(category_ids=frozenset({"all"})).reaches(museum)
    assert not Scope(category_ids=frozenset({"concerts"})).reaches(museum)
    assert Scope(category_ids=frozenset({"concerts"}), sku_ids=frozenset({"sku1"})).reaches(museum)


# --- the choice --------------------------------------------------------------------------------------------------


def test_of_one_group_the_better_is_taken() -> None:
    discounts = best_combination(
        [a_line(1, 1000)],
        [
            a_promotion("a", PercentOff(1000), stack_group="sale"),
            a_promotion("b", PercentOff(2000), stack_group="sale"),
        ],
    )
    assert taken(discounts) == [(1, "b", 200)]
    assert discounts[0].explanation == "b: 20.00 % off; 200 of 1000 taken off this line."


def test_of_two_groups_both_are_taken_one_after_the_other() -> None:
    first = a_promotion("late", PercentOff(5000), priority=1)
    second = a_promotion("early", AmountOff((Step(400, 100),)), priority=2)
    assert taken(best_combination([a_line(1, 1000)], [second, first])) == [(1, "late", 500), (1, "early", 100)]


def test_an_exclusive_one_stands_alone_where_it_reaches_and_nowhere_else() -> None:
    alone = a_promotion("alone", PercentOff(3000), stack_group=None, scope=Scope(sku_ids=frozenset({"sku1"})))
    wide = a_promotion("wide", PercentOff(1000), scope=Scope(sku_ids=frozenset({"sku2"})))
    lines = [a_line(1, 1000), a_line(2, 1000)]
    assert taken(best_combination(lines, [alone, wide])) == [(1, "alone", 300), (2, "wide", 100)]
    everywhere = replace(wide, scope=Scope())
    assert taken(best_combination(lines, [alone, everywhere])) == [(1, "alone", 300)]


def test_fewer_steps_of_the_threshold_may_be_the_better_way() -> None:
    """Taking the percentage first would miss the threshold: together they are worth less than the amount alone."""
    small = a_promotion("small", PercentOff(100), priority=1)
    big = a_promotion("big", AmountOff((Step(1000, 500),)), priority=2)
    assert taken(best_combination([a_line(1, 1000)], [small, big])) == [(1, "big", 500)]


def test_of_equals_the_fewer_then_the_first_by_priority_then_by_id() -> None:
    whole = a_promotion("whole", PercentOff(5000), stack_group=None)
    parts = [a_promotion(name, FixedPrice(750), priority=5) for name in "ab"]
    assert taken(best_combination([a_line(1, 1000)], [*parts, replace(whole, terms=FixedPrice(750))])) == [
        (1, "a", 250)
    ]
    assert taken(best_combination([a_line(1, 1000)], [parts[1], replace(parts[0], priority=6)])) == [(1, "b", 250)]


def test_a_required_one_is_used_even_where_another_would_be_better() -> None:
    named = a_promotion("named", PercentOff(500), stack_group="sale", needs_coupon=True)
    better = a_promotion("better", PercentOff(5000), stack_group="sale")
    assert taken(best_combination([a_line(1, 1000)], [named, better], {"named"})) == [(1, "named", 50)]


def test_a_required_one_with_nothing_to_take_off_is_refused() -> None:
    elsewhere = a_promotion("elsewhere", HALF, scope=Scope(sku_ids=frozenset({"sku9"})))
    with pytest.raises(PromotionNotApplicable, match="takes nothing off what is ordered"):
        best_combination([a_line(1, 1000)], [elsewhere], {"elsewhere"})


def test_two_required_ones_that_do_not_combine_are_refused() -> None:
    pair = [a_promotion(name, HALF, stack_group="coupons") for name in ("one", "two")]
    with pytest.raises(PromotionNotApplicable, match="does not combine"):
        best_combination([a_line(1, 1000)], pair, {"one", "two"})


def test_of_too_many_those_are_weighed_that_take_off_most_by_themselves() -> None:
    many = [a_promotion(f"p{n:02}", AmountOff((Step(100, n + 1),))) for n in range(MOST_AT_ONCE + 3)]
    used = {each.promotion_id for each in best_combination([a_line(1, 10_000)], many)}
    assert used == {f"p{n:02}" for n in range(3, MOST_AT_ONCE + 3)}


lines_strategy = st.lists(st.tuples(st.integers(0, 9999), st.integers(1, 5)), min_size=1, max_size=4).map(
    lambda facts: [a_line(n, price, quantity) for n, (price, quantity) in enumerate(facts, 1)]
)


@st.composite
def promotions_strategy(draw: st.DrawFn) -> list[Promotion]:
    count = draw(st.integers(0, 5))
    return [
        a_promotion(
            f"p{number}",
            draw(all_terms),
            scope=Scope(sku_ids=draw(st.frozensets(st.sampled_from(["sku1", "sku2", "sku3", "sku4"]), max_size=3))),
            stack_group=draw(st.sampled_from([None, "a", "b", "c"])),
            priority=draw(st.integers(1, 3)),
        )
        for number in range(count)
    ]


def by_brute_force(
    lines: Sequence[BasketLine], promotions: Sequence[Promotion], required: frozenset[str]
) -> tuple[int, list[tuple[int, str, int]]] | None:
    """Every set of promotions, judged by the definition's own words. None: no legal one."""
    ranked: list[tuple[tuple[int, int, list[tuple[int, str]]], list[tuple[int, str, int]]]] = []
    for size in range(len(promotions) + 1):
        for chosen in combinations(promotions, size):
            if not required <= {each.id for each in chosen} or not all(_legal(line, chosen) for line in lines):
                continue
            left = {line.line_no: line.unit_price_minor * line.quantity for line in lines}
            steps: list[tuple[int, str, int]] = []
            idle = False
            for promotion in sorted(chosen, key=lambda each: (each.priority, each.id)):
                reached = [line for line in lines if promotion.scope.reaches(line)]
                off = promotion.terms.off([left[line.line_no] for line in reached], [line.quantity for line in reached])
                idle = idle or not sum(off)
                for line, amount in zip(reached, off, strict=True):
                    left[line.line_no] -= amount
                    steps += [(line.line_no, promotion.id, amount)] if amount else []
            if not idle:
                order = sorted((each.priority, each.id) for each in chosen)
                ranked.append(((-sum(amount for *_, amount in steps), size, order), sorted(steps)))
    if not ranked:
        return None
    (total, _, _), steps = min(ranked)
    return -total, steps


def _legal(line: BasketLine, chosen: Sequence[Promotion]) -> bool:
    groups = [each.stack_group for each in chosen if each.scope.reaches(line)]
    if None in groups:
        return len(groups) == 1
    return len(groups) == len(set(groups))


@settings(max_examples=400)
@given(lines_strategy, promotions_strategy(), st.data())
def test_the_choice_is_the_best_of_all_legal_combinations(
    lines: list[BasketLine], promotions: list[Promotion], data: st.DataObject
) -> None:
    ids = [each.id for each in promotions]
    required = data.draw(st.frozensets(st.sampled_from(ids), max_size=2)) if ids else frozenset()
    expected = by_brute_force(lines, promotions, required)
    if expected is None:
        with pytest.raises(PromotionNotApplicable):
            best_combination(lines, promotions, required)
        return
    found = best_combination(lines, promotions, required)
    assert sum(each.amount_minor for each in found) == expected[0]
    assert sorted(taken(found)) == expected[1]


@given(lines_strategy, promotions_strategy(), st.randoms())
def test_the_choice_does_not_depend_on_the_order_of_what_is_asked(
    lines: list[BasketLine], promotions: list[Promotion], chance: object
) -> None:
    shuffled = list(promotions)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert best_combination(lines, shuffled) == best_combination(lines, promotions)


@given(lines_strategy, promotions_strategy())
def test_lines_add_up_to_the_order_and_none_is_negative(lines: list[BasketLine], promotions: list[Promotion]) -> None:
    found = best_combination(lines, promotions)
    for line in lines:
        off = sum(each.amount_minor for each in found if each.line_no == line.line_no)
        assert 0 <= off <= line.price_minor
    assert all(each.amount_minor > 0 for each in found)
