"""Stock under orders over several warehouses: the nearest serves, a split is one hold per place, each ends once."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.warehouses import Place, distance
from storage.database import Database
from storage.order_stock import _DISTANCE, shortage, sold_out
from tests.storage.shelves import CHENGDU, HANGZHOU, PARIS, SHANGHAI, Shop


async def test_the_nearest_warehouse_that_has_all_of_it_serves_the_order(shop: Shop) -> None:
    await shop.warehouse("east", SHANGHAI, rank=5)
    await shop.warehouse("west", CHENGDU)
    sku = await shop.sku(main=9, east=3, west=9)
    near, more = await shop.order((sku, 3), to=SHANGHAI), await shop.order((sku, 3), to=SHANGHAI)
    assert (await shop.hold(near), await shop.hold(more)) == (None, None)
    assert await shop.parts(near) == {1: [("east", 3)]}
    assert await shop.parts(more) == {1: [("west", 3)]}


async def test_without_an_address_the_rank_decides(shop: Shop) -> None:
    await shop.warehouse("east", SHANGHAI, rank=-1)
    sku = await shop.sku(main=9, east=9)
    order_no = await shop.order((sku, 1))
    await shop.hold(order_no)
    assert await shop.parts(order_no) == {1: [("east", 1)]}


async def test_the_fast_way_and_the_patient_way_choose_the_same(shop: Shop) -> None:
    for rank, (name, place) in enumerate({"a": PARIS, "b": CHENGDU, "c": HANGZHOU, "d": SHANGHAI}.items()):
        await shop.warehouse(name, place, rank)
    sku = await shop.sku(main=50, a=50, b=50, c=50, d=50)
    for to in (
        None,
        PARIS,
        CHENGDU,
        HANGZHOU,
        SHANGHAI,
        Place("US", "NY", "NYC"),
        Place("fr", "île-de-FRANCE", "PARIS"),
    ):
        fast, patient = await shop.order((sku, 1), to=to), await shop.order((sku, 1), to=to)
        await shop.hold(fast)
        await shop.hold_patiently(patient)
        assert await shop.parts(fast) == await shop.parts(patient), to


_NAMES = st.sampled_from(["", "CN", "cn", "Île", "île", "ÎLE", "Straße", "上海"])
_PLACES = st.builds(Place, _NAMES, _NAMES, _NAMES)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(here=_PLACES, there=st.none() | _PLACES)
async def test_the_statement_measures_as_the_rule_does(database: Database, here: Place, there: Place | None) -> None:
    async with database.reading() as cx:
        cursor = await cx.execute(
            f"SELECT {_DISTANCE} AS apart FROM (SELECT %s AS country, %s AS region, %s AS city) w, "
            "(SELECT %s::jsonb AS ship_to) o",
            (here.country, here.region, here.city, None if there is None else _document(there)),
        )
        row = await cursor.fetchone()
    assert row is not None
    assert row["apart"] == distance(here, there)


def _document(place: Place) -> str:
    return f'{{"country": "{place.country}", "region": "{place.region}", "city": "{place.city}"}}'


async def test_a_line_that_no_place_has_whole_is_held_in_several_and_sold_by_one_movement_each(shop: Shop) -> None:
    await shop.warehouse("east", SHANGHAI)
    await shop.warehouse("west", CHENGDU)
    sku = await shop.sku(main=2, east=2, west=2)
    order_no = await shop.order((sku, 5), to=SHANGHAI)
    assert await shop.hold(order_no) is None
    assert await shop.parts(order_no) == {1: [("east", 2), ("main", 1), ("west", 2)]}
    assert await shop.confirm(order_no) == []
    assert await shop.confirm(order_no) == []
    assert await shop.keys(order_no) == [f"{order_no}/1/main/sold", f"{order_no}/1/sold", f"{order_no}/1/west/sold"]
    assert await shop.levels(sku) == {"east": (0, 0, 2), "main": (1, 0, 1), "west": (0, 0, 2)}


async def test_what_is_given_back_returns_to_where_it_came_from_once(shop: Shop) -> None:
    await shop.warehouse("east")
    sku = await shop.sku(main=2, east=2)
    order_no = await shop.order((sku, 3), (sku, 1))
    await shop.hold(order_no)
    await shop.confirm(order_no)
    for _ in range(2):
        await shop.give_back(order_no, 1)
    assert await shop.levels(sku) == {"east": (2, 0, 0), "main": (1, 0, 1)}
    assert await shop.parts(order_no) == {2: [("main", 1)]}
    await shop.give_back(order_no, 2)
    assert await shop.levels(sku) == {"east": (2, 0, 0), "main": (2, 0, 0)}


async def test_goods_lost_on_the_way_end_the_hold_and_bring_nothing_back(shop: Shop) -> None:
    sku = await shop.sku(main=5)
    order_no = await shop.order((sku, 2))
    await shop.hold(order_no)
    await shop.confirm(order_no)
    await shop.give_back(order_no, 1, restock=False)
    await shop.give_back(order_no, 1)
    assert await shop.states(order_no) == {(1, "main"): "lost"}
    assert await shop.levels(sku) == {"main": (3, 0, 2)}
    assert await shop.parts(order_no) == {}


async def test_of_a_line_in_parts_only_what_has_not_left_for_good_comes_back(shop: Shop) -> None:
    await shop.warehouse("east")
    sku = await shop.sku(main=2, east=2)
    order_no = await shop.order((sku, 3))
    await shop.hold(order_no)
    await shop.confirm(order_no)
    before = dict((await shop.parts(order_no))[1])
    await shop.give_back(order_no, 1, gone=["east"])
    assert await shop.states(order_no) == {(1, "east"): "lost", (1, "main"): "returned"}
    after = await shop.levels(sku)
    assert (after["east"][0], after["main"][0]) == (2 - before["east"], 2)


@pytest.mark.parametrize("policy", ["hold", "at_place", "at_payment"])
async def test_a_release_gives_everything_back_whatever_the_policy(shop: Shop, policy: str) -> None:
    await shop.warehouse("east")
    sku = await shop.sku(policy, main=2, east=2)
    order_no = await shop.order((sku, 3), (sku, 1))
    assert await shop.hold(order_no) is None
    for _ in range(2):
        await shop.release(order_no)
    assert await shop.levels(sku) == {"east": (2, 0, 0), "main": (2, 0, 0)}
    assert await shop.parts(order_no) == {}
    assert await shop.confirm(order_no) == []
    assert await shop.levels(sku) == {"east": (2, 0, 0), "main": (2, 0, 0)}


async def test_at_place_takes_units_from_several_places_at_placing(shop: Shop) -> None:
    await shop.warehouse("east")
    sku = await shop.sku("at_place", main=2, east=2)
    order_no = await shop.order((sku, 3))
    assert await shop.hold(order_no) is None
    assert await shop.levels(sku) == {"east": (0, 0, 2), "main": (1, 0, 1)}
    assert await shop.confirm(order_no) == []
    assert set((await shop.states(order_no)).values()) == {"confirmed"}
    assert await shop.levels(sku) == {"east": (0, 0, 2), "main": (1, 0, 1)}


async def test_at_payment_is_served_from_wherever_there_is_stock_by_then(shop: Shop) -> None:
    await shop.warehouse("east", SHANGHAI)
    sku = await shop.sku("at_payment", main=1, east=4)
    order_no, other = await shop.order((sku, 4), to=SHANGHAI), await shop.order((sku, 2), to=SHANGHAI)
    await shop.hold(order_no)
    await shop.hold(other)
    assert await shop.parts(order_no) == {1: [("east", 4)]}
    assert await shop.levels(sku) == {"east": (4, 0, 0), "main": (1, 0, 0)}
    assert await shop.confirm(other) == []
    await shop.receive(sku, "main", 1)
    assert await shop.confirm(order_no) == []
    assert await shop.parts(order_no) == {1: [("east", 2), ("main", 2)]}
    assert await shop.levels(sku) == {"east": (0, 0, 4), "main": (0, 0, 2)}
    await shop.give_back(order_no, 1)
    assert await shop.levels(sku) == {"east": (2, 0, 2), "main": (2, 0, 0)}


async def test_at_payment_is_gone_only_where_all_places_together_lack_it(shop: Shop) -> None:
    await shop.warehouse("east")
    sku = await shop.sku("at_payment", main=2, east=2)
    first = await shop.order((sku, 2))
    second = await shop.order((sku, 3), (sku, 1))
    await shop.hold(first)
    await shop.hold(second)
    assert await shop.confirm(first) == []
    assert await shop.confirm(second) == [1]
    assert await shop.states(second) == {(1, "east"): "failed", (2, "main"): "confirmed"}
    assert sum(on_hand for on_hand, _, _ in (await shop.levels(sku)).values()) == 1


async def test_what_is_short_in_all_places_is_refused_with_what_is_left_and_nothing_is_held(shop: Shop) -> None:
    await shop.warehouse("east")
    scarce, plenty = await shop.sku(main=1, east=2), await shop.sku(main=50)
    order_no = await shop.order((plenty, 1), (scarce, 2), (scarce, 2))
    assert await shop.hold(order_no) == {scarce: 3}
    assert await shop.levels(plenty) == {"main": (50, 0, 0)}
    async with shop.worker.reading() as cx:
        assert await shortage(cx, {scarce: 4, plenty: 1, "sku_none": 1}) == {scarce: 3, "sku_none": 0}
        assert await sold_out(cx, {scarce: 4, plenty: 1}) == {scarce: 3}
        assert await sold_out(cx, {scarce: 3}) == {}


async def test_a_closed_warehouse_promises_nothing_more_and_keeps_what_it_promised(shop: Shop) -> None:
    await shop.warehouse("east")
    sku = await shop.sku(east=5)
    held, sold = await shop.order((sku, 1)), await shop.order((sku, 1))
    for order_no in (held, sold):
        assert await shop.hold(order_no) is None
    await shop.close("east")
    assert await shop.hold(await shop.order((sku, 1))) == {sku: 0}
    async with shop.worker.reading() as cx:
        assert await sold_out(cx, {sku: 1}) == {sku: 0}
    await shop.release(held)
    assert await shop.confirm(sold) == []
    assert await shop.levels(sku) == {"east": (4, 0, 1)}


async def test_repeating_a_hold_holds_once(shop: Shop) -> None:
    await shop.warehouse("east")
    sku = await shop.sku(main=2, east=2)
    order_no = await shop.order((sku, 3))
    assert [await shop.hold(order_no) for _ in range(3)] == [None] * 3
    assert sum(held for _, held, _ in (await shop.levels(sku)).values()) == 3
