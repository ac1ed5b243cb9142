"""Pools of codes: each code to one line only, whoever comes at once, and none to anybody after somebody has seen it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from storage import codes
from storage.database import Database
from tests.storage.shelves import NOW, Shop

FIFTY = 50


async def a_pool(shop: Shop, *loaded: str) -> str:
    sku_id = await shop.sku("codes")
    await load(shop, sku_id, *loaded)
    return sku_id


async def load(shop: Shop, sku_id: str, *loaded: str) -> int:
    async with shop.api.transaction() as cx:
        return await codes.load(cx, sku_id, loaded, valid_to=None, now=NOW)


async def counts(shop: Shop, sku_id: str) -> dict[str, int]:
    async with shop.worker.reading() as cx:
        return {state: n for state, n in (await codes.counts(cx, sku_id)).items() if n}


async def hold(database: Database, order_no: int) -> dict[str, int] | None:
    async with database.transaction() as cx:
        return await codes.hold(cx, order_no, at=NOW)


async def hand_out(shop: Shop, order_no: int, quantity: int = 1, line_no: int = 1) -> list[str]:
    async with shop.worker.transaction() as cx:
        return await codes.hand_out(cx, order_no, line_no, quantity=quantity, at=NOW)


async def release(shop: Shop, order_no: int) -> None:
    async with shop.worker.transaction() as cx:
        await codes.release(cx, order_no)


async def test_a_code_that_is_loaded_twice_is_there_once(shop: Shop) -> None:
    sku_id = await shop.sku("codes")
    assert [await load(shop, sku_id, "A", "B"), await load(shop, sku_id, "B", "C", "C")] == [2, 1]
    assert await counts(shop, sku_id) == {"available": 3}


async def test_a_code_that_was_handed_out_is_not_loaded_again(shop: Shop) -> None:
    sku_id = await a_pool(shop, "A")
    order_no = await shop.order((sku_id, 1))
    await hold(shop.worker, order_no)
    await hand_out(shop, order_no)
    assert await load(shop, sku_id, "A") == 0
    assert await counts(shop, sku_id) == {"handed_out": 1}


async def test_holding_and_handing_out_twice_take_no_second_code(shop: Shop) -> None:
    sku_id = await a_pool(shop, "A", "B", "C")
    order_no = await shop.order((sku_id, 2))
    assert [await hold(shop.worker, order_no) for _ in range(2)] == [None, None]
    assert await counts(shop, sku_id) == {"available": 1, "held": 2}
    assert await hand_out(shop, order_no, 2) == ["A", "B"]
    assert await hand_out(shop, order_no, 2) == []
    assert await hold(shop.worker, order_no) is None
    assert await counts(shop, sku_id) == {"available": 1, "handed_out": 2}


async def test_an_order_holds_all_its_codes_or_none(shop: Shop) -> None:
    plenty, short = await a_pool(shop, "A", "B"), await a_pool(shop, "C")
    order_no = await shop.order((plenty, 2), (short, 3))
    assert await hold(shop.worker, order_no) == {short: 1}
    assert (await counts(shop, plenty), await counts(shop, short)) == ({"available": 2}, {"available": 1})


async def test_nothing_is_handed_out_where_some_are_missing(shop: Shop) -> None:
    order_no = await shop.order((await a_pool(shop, "A"), 2))
    await hold(shop.worker, order_no)
    assert await hand_out(shop, order_no, 2) == []


async def test_what_is_held_comes_back_and_what_was_seen_does_not(shop: Shop) -> None:
    sku_id = await a_pool(shop, "A", "B")
    held, seen = await shop.order((sku_id, 1)), await shop.order((sku_id, 1))
    await hold(shop.worker, held)
    await hold(shop.worker, seen)
    await hand_out(shop, seen)
    for order_no in (held, held, seen):
        await release(shop, order_no)
    assert await counts(shop, sku_id) == {"available": 1, "handed_out": 1}
    for _ in range(2):
        async with shop.worker.transaction() as cx:
            await codes.burn(cx, seen, 1)
            await codes.burn(cx, held, 1)
    assert await counts(shop, sku_id) == {"available": 1, "burned": 1}


async def test_codes_past_their_date_are_left_where_they_are(shop: Shop) -> None:
    sku_id = await a_pool(shop, "NEW")
    async with shop.api.transaction() as cx:
        await codes.load(cx, sku_id, ["OLD"], valid_to=NOW - timedelta(seconds=1), now=NOW)
    assert await hold(shop.worker, await shop.order((sku_id, 2))) == {sku_id: 1}
    async with shop.worker.reading() as cx:
        assert await codes.left(cx, {sku_id: 2}, at=NOW) == {sku_id: 1}
        assert await codes.left(cx, {sku_id: 1}, at=NOW) == {}


async def test_what_is_withdrawn_is_sold_to_nobody(shop: Shop) -> None:
    sku_id = await a_pool(shop, "A", "B")
    await hold(shop.worker, await shop.order((sku_id, 1)))
    async with shop.api.transaction() as cx:
        assert [await codes.withdraw(cx, sku_id) for _ in range(2)] == [1, 0]
    assert await hold(shop.worker, await shop.order((sku_id, 1))) == {sku_id: 0}


async def test_forty_nine_codes_go_to_forty_nine_of_fifty_connections(shop: Shop, worker_url: str) -> None:
    sku_id = await a_pool(shop, *(f"C-{number:02d}" for number in range(FIFTY - 1)))
    orders = [await shop.order((sku_id, 1)) for _ in range(FIFTY)]
    async with Database(worker_url, pool_max=FIFTY) as crowd:
        answers = await asyncio.gather(*(hold(crowd, order_no) for order_no in orders))
    assert answers.count(None) == FIFTY - 1
    assert [left for left in answers if left is not None] == [{sku_id: 0}]
    won = [order_no for order_no, left in zip(orders, answers, strict=True) if left is None]
    given = [code for order_no in won for code in await hand_out(shop, order_no)]
    assert len(set(given)) == FIFTY - 1
    assert await counts(shop, sku_id) == {"handed_out": FIFTY - 1}
