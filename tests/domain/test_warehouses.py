"""Allocation: all that was wanted, nothing that is not there, whole where one place has it, and always the same."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.placing import InsufficientStock
from domain.warehouses import (
    Demand,
    Part,
    Place,
    Warehouse,
    allocate,
    distance,
    first_parts,
    nearest_first,
    servable,
    shortage,
)

Levels = dict[tuple[str, str], int]

SHANGHAI = Place("CN", "上海", "上海")
NEAR = Warehouse("near", SHANGHAI)
FAR = Warehouse("far", Place("FR", "Île-de-France", "Paris"))

PLACES = st.builds(Place, st.sampled_from(["", "CN", "FR"]), st.sampled_from(["", "A", "B"]), st.sampled_from("AB"))
WAREHOUSES = st.lists(
    st.builds(Warehouse, st.sampled_from(["w1", "w2", "w3", "w4"]), PLACES, st.integers(0, 2)),
    min_size=1, unique_by=lambda each: each.id,
)  # fmt: skip
LEVELS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["w1", "w2", "w3", "w4"])), st.integers(0, 6)
)
DEMANDS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 5)), min_size=1, max_size=5
).map(lambda wanted: [Demand(n, sku, quantity) for n, (sku, quantity) in enumerate(wanted, 1)])  # fmt: skip
TO = st.none() | PLACES


def there(levels: Levels, warehouses: list[Warehouse]) -> Levels:
    """What listed warehouses have."""
    known = {each.id for each in warehouses}
    return {key: units for key, units in levels.items() if key[1] in known}


@given(DEMANDS, LEVELS, WAREHOUSES, TO)
def test_all_is_served_from_what_is_there_or_nothing_and_what_is_left_is_named(
    demands: list[Demand], levels: Levels, warehouses: list[Warehouse], to: Place | None
) -> None:
    available = there(levels, warehouses)
    wanted = Counter({sku: sum(d.quantity for d in demands if d.sku_id == sku) for sku in {d.sku_id for d in demands}})
    total = Counter({sku: sum(units for (s, _), units in available.items() if s == sku) for sku in wanted})
    if short := {sku: total[sku] for sku in wanted if total[sku] < wanted[sku]}:
        with pytest.raises(InsufficientStock) as refused:
            allocate(demands, levels, warehouses, to)
        assert refused.value.left == short
        return
    parts = allocate(demands, levels, warehouses, to)
    assert {d.line_no: d.quantity for d in demands} == {
        line_no: sum(part.quantity for part in parts if part.line_no == line_no)
        for line_no in {p.line_no for p in parts}
    }
    taken: Counter[tuple[str, str]] = Counter()
    for part in parts:
        assert part.quantity > 0
        taken[part.sku_id, part.warehouse_id] += part.quantity
    assert all(units <= available[key] for key, units in taken.items())
    assert len({(part.line_no, part.warehouse_id) for part in parts}) == len(parts)


@given(DEMANDS, LEVELS, WAREHOUSES, TO)
def test_a_line_is_split_only_where_no_one_place_could_serve_it_whole(
    demands: list[Demand], levels: Levels, warehouses: list[Warehouse], to: Place | None
) -> None:
    try:
        parts = allocate(demands, levels, warehouses, to)
    except InsufficientStock:
        return
    available = there(levels, warehouses)
    split = [n for n, count in Counter(part.line_no for part in parts).items() if count > 1]
    for line_no in split:
        demand = next(each for each in demands if each.line_no == line_no)
        others = Counter[str]()
        for part in parts:
            if part.sku_id == demand.sku_id and part.line_no != line_no:
                others[part.warehouse_id] += part.quantity
        left = [available.get((demand.sku_id, each.id), 0) - others[each.id] for each in warehouses]
        assert max(left) < demand.quantity


@given(DEMANDS, LEVELS, WAREHOUSES, TO)
def test_one_place_that_has_the_whole_order_serves_it_and_the_nearest_of_those(
    demands: list[Demand], levels: Levels, warehouses: list[Warehouse], to: Place | None
) -> None:
    def has_all(warehouse_id: str) -> bool:
        alone = {key: units for key, units in levels.items() if key[1] == warehouse_id}
        return not shortage(demands, alone)

    able = [warehouse_id for warehouse_id in nearest_first(warehouses, to) if has_all(warehouse_id)]
    if able:
        assert {part.warehouse_id for part in allocate(demands, levels, warehouses, to)} == {able[0]}


@given(DEMANDS, LEVELS, WAREHOUSES, TO, st.randoms())
def test_the_order_in_which_things_are_listed_does_not_matter(
    demands: list[Demand], levels: Levels, warehouses: list[Warehouse], to: Place | None, chance: Random
) -> None:
    def told(demands: list[Demand], levels: Levels, warehouses: list[Warehouse]) -> object:
        try:
            return allocate(demands, levels, warehouses, to)
        except InsufficientStock as error:
            return error.left

    expected = told(demands, levels, warehouses)
    pairs = list(levels.items())
    for each in (demands, warehouses, pairs):
        chance.shuffle(each)
    assert told(demands, dict(pairs), warehouses) == expected


@given(DEMANDS, LEVELS)
def test_as_many_lines_as_can_be_are_served_in_their_order(demands: list[Demand], levels: Levels) -> None:
    served = servable(demands, levels)
    assert shortage(served, levels) == {}
    for demand in demands:
        if demand not in served:
            before = [each for each in served if each.line_no < demand.line_no]
            assert demand.sku_id in shortage([*before, demand], levels)


@pytest.mark.parametrize(
    ("there", "apart"),
    [
        (Place("CN", "上海", "上海"), 0),
        (Place("cn", "上海", "上海"), 0),
        (Place("CN", "上海", "浦东"), 1),
        (Place("CN", "四川", "上海"), 2),
        (Place("CN"), 2),
        (Place("FR", "上海", "上海"), 3),
        (Place(), 3),
        (None, 3),
    ],
)
def test_names_count_inside_each_other_without_regard_to_case(there: Place | None, apart: int) -> None:
    assert distance(SHANGHAI, there) == apart


def test_two_unknown_places_are_not_the_same_place() -> None:
    assert distance(Place(), Place()) == 3


def test_the_nearest_serves_though_another_ranks_before_it() -> None:
    preferred = Warehouse("preferred", FAR.place, rank=0)
    near = Warehouse("near", SHANGHAI, rank=9)
    levels = {("a", "preferred"): 5, ("a", "near"): 5}
    assert allocate([Demand(1, "a", 5)], levels, [preferred, near], SHANGHAI) == [Part(1, "a", "near", 5)]
    assert allocate([Demand(1, "a", 5)], levels, [preferred, near]) == [Part(1, "a", "preferred", 5)]


def test_a_far_place_that_has_the_line_is_better_than_two_parcels() -> None:
    levels = {("a", "near"): 4, ("a", "far"): 5}
    assert allocate([Demand(1, "a", 5)], levels, [NEAR, FAR], SHANGHAI) == [Part(1, "a", "far", 5)]


def test_a_line_that_no_place_has_whole_is_split_nearest_first() -> None:
    levels = {("a", "near"): 2, ("a", "far"): 4}
    parts = allocate([Demand(1, "a", 5)], levels, [NEAR, FAR], SHANGHAI)
    assert parts == [Part(1, "a", "far", 3), Part(1, "a", "near", 2)]
    assert first_parts(parts) == [Part(1, "a", "far", 3)]


def test_two_lines_of_one_variant_do_not_share_a_unit() -> None:
    levels = {("a", "near"): 3}
    with pytest.raises(InsufficientStock) as refused:
        allocate([Demand(1, "a", 2), Demand(2, "a", 2)], levels, [NEAR])
    assert refused.value.left == {"a": 3}


def test_stock_in_a_place_that_is_not_listed_is_not_there() -> None:
    with pytest.raises(InsufficientStock):
        allocate([Demand(1, "a", 1)], {("a", "closed"): 9}, [NEAR])
