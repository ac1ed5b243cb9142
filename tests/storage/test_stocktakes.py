"""Transfers, stocktakes and alerts on a real database: once each, never below what is held, and told once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain.catalog import ProductNotFound
from domain.inventory import (
    CountBelowHeld,
    NotInStocktake,
    StockBelowHeld,
    StocktakeIncomplete,
    StocktakeNotOpen,
    StocktakeOverlaps,
)
from domain.warehouses import WarehouseNotFound
from storage import stock, stock_alerts, stocktakes
from storage.stock import MovementReused, Transfer
from storage.stocktakes import Stocktake
from tests.storage.shelves import ACTOR, NOW, Shop


async def move(
    shop: Shop, reference: str, sku: str, quantity: int, *, source: str = "main", target: str = "east"
) -> None:
    async with shop.api.transaction() as cx:
        await stock.transfer(cx, Transfer(f"transfer/{reference}", sku, source, target, quantity), actor=ACTOR, now=NOW)


async def test_one_transfer_sent_many_times_at_once_moves_once(shop: Shop) -> None:
    await shop.warehouse("east")
    sku = await shop.sku(main=5)
    await asyncio.gather(*(move(shop, "t1", sku, 3) for _ in range(6)))
    assert await shop.levels(sku) == {"main": (2, 0, 0), "east": (3, 0, 0)}
    with pytest.raises(MovementReused):
        await move(shop, "t1", sku, 2)


async def test_a_transfer_leaves_what_orders_hold(shop: Shop) -> None:
    await shop.warehouse("east")
    sku = await shop.sku(main=5)
    await shop.hold(await shop.order((sku, 3)))
    with pytest.raises(StockBelowHeld):
        await move(shop, "t2", sku, 3)
    await move(shop, "t3", sku, 2)
    assert await shop.levels(sku) == {"main": (3, 3, 0), "east": (2, 0, 0)}


async def test_nothing_moves_to_a_place_that_does_not_exist(shop: Shop) -> None:
    sku = await shop.sku(main=5)
    with pytest.raises(WarehouseNotFound):
        await move(shop, "t4", sku, 1, target="nowhere")
    assert await shop.levels(sku) == {"main": (5, 0, 0)}


async def begin(shop: Shop, name: str, *skus: str, warehouse: str = "main") -> Stocktake:
    async with shop.api.transaction() as cx:
        return await stocktakes.open_stocktake(cx, name, warehouse, skus, note="", actor=ACTOR, now=NOW)


async def count(shop: Shop, name: str, **counted: int) -> Stocktake:
    async with shop.api.transaction() as cx:
        return await stocktakes.count_lines(cx, name, counted, actor=ACTOR, now=NOW)


async def close(shop: Shop, name: str) -> Stocktake:
    async with shop.api.transaction() as cx:
        return await stocktakes.close_stocktake(cx, name, actor=ACTOR, now=NOW)


async def test_sales_between_opening_counting_and_closing_do_not_distort_the_difference(shop: Shop) -> None:
    sku = await shop.sku(main=10)
    await begin(shop, "s1", sku)
    before, after = await shop.order((sku, 2)), await shop.order((sku, 3))
    for order_no in (before, after):
        await shop.hold(order_no)
    await shop.confirm(before)
    found = await count(shop, "s1", **{sku: 7})
    assert (found.lines[0]["expected"], found.lines[0]["counted"]) == (8, 7)
    await shop.confirm(after)
    await shop.receive(sku, "main", 20)
    await asyncio.gather(*(close(shop, "s1") for _ in range(4)))
    assert await shop.levels(sku) == {"main": (24, 0, 5)}
    rows = await shop.rows("SELECT quantity, reason FROM stock_movements WHERE key = %s", f"stocktake/s1/{sku}")
    assert rows == [{"quantity": -1, "reason": "stocktake/s1"}]


async def test_a_later_count_replaces_the_earlier_one(shop: Shop) -> None:
    sku = await shop.sku(main=10)
    await begin(shop, "s2", sku)
    await count(shop, "s2", **{sku: 3})
    await count(shop, "s2", **{sku: 12})
    await close(shop, "s2")
    assert await shop.levels(sku) == {"main": (12, 0, 0)}


async def test_a_count_below_what_is_held_is_refused_and_changes_nothing(shop: Shop) -> None:
    short, fine = await shop.sku(main=10), await shop.sku(main=10)
    await shop.hold(await shop.order((short, 6)))
    await begin(shop, "s3", short, fine)
    await count(shop, "s3", **{short: 5, fine: 1})
    with pytest.raises(CountBelowHeld) as refused:
        await close(shop, "s3")
    assert refused.value.missing == {short: 1}
    assert await shop.levels(fine) == {"main": (10, 0, 0)}
    await count(shop, "s3", **{short: 6})
    await close(shop, "s3")
    assert await shop.levels(short) == {"main": (6, 6, 0)}


async def test_what_was_not_counted_is_no_zero(shop: Shop) -> None:
    one, two = await shop.sku(main=10), await shop.sku(main=10)
    await begin(shop, "s4", one, two)
    await count(shop, "s4", **{one: 9})
    with pytest.raises(StocktakeIncomplete) as refused:
        await close(shop, "s4")
    assert refused.value.sku_ids == [two]


async def test_two_open_stocktakes_never_count_the_same_variant_in_one_place(shop: Shop) -> None:
    await shop.warehouse("east")
    sku, other = await shop.sku(main=10), await shop.sku(main=1)
    await begin(shop, "s5", sku)
    with pytest.raises(StocktakeOverlaps) as refused:
        await begin(shop, "s6", sku, other)
    assert (refused.value.stocktake_id, refused.value.sku_ids) == ("s5", [sku])
    await begin(shop, "s7", sku, warehouse="east")
    async with shop.api.transaction() as cx:
        await stocktakes.cancel_stocktake(cx, "s5", actor=ACTOR, now=NOW)
    await begin(shop, "s6", sku, other)


async def test_an_ended_stocktake_takes_no_more_counts(shop: Shop) -> None:
    sku, other = await shop.sku(main=1), await shop.sku(main=1)
    await begin(shop, "s8", sku)
    with pytest.raises(NotInStocktake):
        await count(shop, "s8", **{other: 1})
    await count(shop, "s8", **{sku: 1})
    await close(shop, "s8")
    with pytest.raises(StocktakeNotOpen):
        await count(shop, "s8", **{sku: 0})
    with pytest.raises(StocktakeNotOpen):
        async with shop.api.transaction() as cx:
            await stocktakes.cancel_stocktake(cx, "s8", actor=ACTOR, now=NOW)
    with pytest.raises(ProductNotFound):
        await begin(shop, "s9", "sku_none")


async def set_alert(shop: Shop, sku: str, below: int | None, warehouse: str = "main") -> None:
    async with shop.api.transaction() as cx:
        await stock_alerts.set_alert(cx, sku, warehouse, below, actor=ACTOR, now=NOW)


async def alerts(shop: Shop, sku: str, state: str | None = None) -> list[dict[str, Any]]:
    async with shop.api.reading() as cx:
        return await stock_alerts.list_alerts(cx, after=None, limit=10, sku_id=sku, state=state)


async def told(shop: Shop, sku: str) -> list[int]:
    """What was available at each `stock.low` of the variant."""
    rows = await shop.rows(
        "SELECT body, distributor_id FROM outbox_events WHERE kind = 'stock.low' AND subject_id = %s ORDER BY id",
        f"{sku}:main",
    )
    assert all(row["distributor_id"] is None for row in rows)
    return [row["body"]["available"] for row in rows]


async def test_falling_below_the_limit_is_told_once_per_crossing(shop: Shop) -> None:
    sku = await shop.sku(main=5)
    await set_alert(shop, sku, 4)
    orders = [await shop.order((sku, 1)) for _ in range(4)]
    for order_no in orders:
        await shop.hold(order_no)
    assert await told(shop, sku) == [3]
    (alert,) = await alerts(shop, sku, "open")
    assert (alert["available"], alert["available_now"], alert["alert_below"]) == (3, 1, 4)
    await shop.confirm(orders[0])
    assert await told(shop, sku) == [3]
    await shop.receive(sku, "main", 3)
    assert await alerts(shop, sku, "open") == []
    await shop.hold(await shop.order((sku, 1)))
    assert await told(shop, sku) == [3, 3]
    assert [row["cleared_at"] is None for row in await alerts(shop, sku)] == [True, False]


async def test_buyers_at_once_cross_the_limit_once(shop: Shop) -> None:
    sku = await shop.sku(main=30)
    await set_alert(shop, sku, 15)
    orders = [await shop.order((sku, 1)) for _ in range(30)]
    await asyncio.gather(*(shop.hold(order_no) for order_no in orders))
    assert await told(shop, sku) == [14]


async def hold_and_crash(shop: Shop, sku: str) -> None:
    async with shop.worker.transaction() as cx:
        await cx.execute("UPDATE stock SET held = 1 WHERE sku_id = %s", (sku,))
        raise RuntimeError("crash")


async def test_a_hold_that_is_rolled_back_tells_nothing(shop: Shop) -> None:
    sku = await shop.sku(main=5)
    await set_alert(shop, sku, 5)
    with pytest.raises(RuntimeError, match="crash"):
        await hold_and_crash(shop, sku)
    assert await told(shop, sku) == []


async def test_a_limit_set_above_what_is_there_is_told_at_once_and_taken_away_clears(shop: Shop) -> None:
    sku = await shop.sku(main=2)
    await set_alert(shop, sku, 3)
    assert await told(shop, sku) == [2]
    await set_alert(shop, sku, None)
    assert await alerts(shop, sku, "open") == []
    await set_alert(shop, sku, 1, "main")
    assert await told(shop, sku) == [2]
