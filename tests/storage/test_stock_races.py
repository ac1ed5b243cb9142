"""Many buyers at once over several warehouses: exactly as many winners as units, and nobody waits in a ring."""

from __future__ import annotations

import asyncio
import random

import pytest

from storage import stock
from storage.stock import Transfer
from tests.storage.shelves import ACTOR, CHENGDU, NOW, SHANGHAI, Shop


@pytest.fixture
async def two(shop: Shop) -> Shop:
    """A shop with a warehouse in Shanghai and one in Chengdu."""
    await shop.warehouse("east", SHANGHAI)
    await shop.warehouse("west", CHENGDU)
    return shop


@pytest.mark.parametrize("units", [{"west": 1}, {"east": 1}, {"main": 1, "east": 3, "west": 2}])
async def test_fifty_buyers_have_as_many_winners_as_there_are_units(two: Shop, units: dict[str, int]) -> None:
    sku = await two.sku("hold", **units)
    orders = [await two.order((sku, 1), to=SHANGHAI if n % 2 else CHENGDU) for n in range(50)]
    answers = await asyncio.gather(*(two.hold(order_no) for order_no in orders))
    assert answers.count(None) == sum(units.values())
    assert all(left in (None, {sku: 0}) for left in answers)
    assert {place: (on_hand, held) for place, (on_hand, held, _) in (await two.levels(sku)).items()} == {
        place: (count, count) for place, count in units.items()
    }


async def test_buyers_of_several_units_leave_no_unit_that_somebody_could_have_had(two: Shop) -> None:
    """Seven units in three places and buyers of two: three win by splitting where they must, one unit is left."""
    sku = await two.sku(main=1, east=3, west=3)
    orders = [await two.order((sku, 2)) for _ in range(20)]
    answers = await asyncio.gather(*(two.hold(order_no) for order_no in orders))
    assert answers.count(None) == 3
    assert all(left == {sku: 1} for left in answers if left is not None)


async def test_two_lines_of_one_variant_are_one_demand_over_all_places(two: Shop) -> None:
    sku = await two.sku(east=2, west=2)
    orders = [await two.order((sku, 1), (sku, 2)) for _ in range(12)]
    answers = await asyncio.gather(*(two.hold(order_no) for order_no in orders))
    assert answers.count(None) == 1
    assert sum(held for _, held, _ in (await two.levels(sku)).values()) == 3


@pytest.mark.parametrize("policy", ["hold", "at_place", "at_payment"])
async def test_orders_that_cross_in_variants_and_places_do_not_block_each_other(two: Shop, policy: str) -> None:
    """Confirmed, released and moved about at once: any ring would be a deadlock, and PostgreSQL says so."""
    chance = random.Random(7)
    skus = [await two.sku(policy, east=30, west=30) for _ in range(3)]
    orders = [
        await two.order(*((sku, 2) for sku in chance.sample(skus, 2)), to=chance.choice([SHANGHAI, CHENGDU, None]))
        for _ in range(30)
    ]
    assert await asyncio.gather(*(two.hold(order_no) for order_no in orders)) == [None] * 30

    async def move(number: int) -> None:
        source, target = ("east", "west") if number % 2 else ("west", "east")
        moved = Transfer(f"transfer/{policy}-{number}", chance.choice(skus), source, target, 1)
        async with two.api.transaction() as cx:
            await stock.transfer(cx, moved, actor=ACTOR, now=NOW)

    ends = [two.confirm(order_no) if n % 2 else two.release(order_no) for n, order_no in enumerate(orders)]
    await asyncio.gather(*ends, *(move(number) for number in range(10)))
    sold = [level for sku in skus for level in (await two.levels(sku)).values()]
    assert sum(on_hand for on_hand, _, _ in sold) == 180 - 15 * 4
    assert (sum(held for _, held, _ in sold), sum(units for _, _, units in sold)) == (0, 15 * 4)


async def test_confirmed_and_given_back_at_once_ends_in_one_of_both(two: Shop) -> None:
    sku = await two.sku(east=2, west=2)
    order_no = await two.order((sku, 3))
    await two.hold(order_no)
    await two.confirm(order_no)
    await asyncio.gather(
        *(two.give_back(order_no, 1, restock=n % 2 == 0) for n in range(10)),
        two.confirm(order_no),
        two.release(order_no),
    )
    (state,) = set((await two.states(order_no)).values())
    on_hand = sum(level[0] for level in (await two.levels(sku)).values())
    assert (state, on_hand) in (("returned", 4), ("lost", 1))
