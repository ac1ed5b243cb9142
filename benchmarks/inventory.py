"""A hot variant's stock, and refusals once it is sold out."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from itertools import count

from benchmarks.lives import NotAsExpected
from benchmarks.load import drive
from benchmarks.results import Result
from benchmarks.world import World
from storage import order_stock
from storage.order_stock import StockDemand

AT_ONCE = 64
HOLDS = 1500
REFUSALS = 150
HEALTH_CALLS = 3000
HOT_GOAL, SOLD_OUT_GOAL = 2.0, 0.5


async def hot_sku(world: World) -> list[Result]:
    """The inventory step of placements on one variant, each in its transaction, and one conditional UPDATE of its row.

    Both through our own pool. The goal is that of flash sales, where one transaction serves many placements.
    """
    numbers = count(1)
    sku_id, at = world.own_quota.sku_id, datetime.now(UTC)

    async def hold(_: int) -> None:
        demands = [StockDemand(1, sku_id, 1, "hold")]
        async with world.database.transaction() as cx:
            short = await order_stock.hold(cx, next(numbers), demands, expires_at=at + timedelta(hours=1), at=at)
        assert short is None

    async def update(_: int) -> None:
        async with world.database.reading() as cx:
            cursor = await cx.execute(
                "UPDATE stock SET held = held + 1 WHERE sku_id = %s AND warehouse_id = %s AND on_hand - held >= 1",
                (sku_id, order_stock.WAREHOUSE),
            )
        assert cursor.rowcount == 1

    await drive(HOLDS // 10, AT_ONCE, hold)
    await drive(HOLDS // 10, AT_ONCE, update)
    ours = await drive(HOLDS, AT_ONCE, hold)
    yardstick = await drive(HOLDS, AT_ONCE, update)
    return [Result("hot SKU", "inventory steps", "holds/s", ours.per_second, yardstick.per_second, HOT_GOAL)]


async def sold_out(world: World) -> list[Result]:
    """Placements that are refused for want of stock, and the API's cheapest answer."""
    body = world.sold_out.order()

    async def refused(_: int) -> None:
        reply = await world.api.post("/v1/orders", body, secrets.token_hex(16))
        if reply.status != 409 or reply.json()["code"] != "insufficient_stock":
            raise NotAsExpected("placing on nothing", reply)

    async def alive(_: int) -> None:
        reply = await world.api.get("/livez")
        if reply.status != 200:
            raise NotAsExpected("/livez", reply)

    ours = await drive(REFUSALS, AT_ONCE, refused)
    yardstick = await drive(HEALTH_CALLS, AT_ONCE, alive)
    return [Result("sold out", "refusals", "per s", ours.per_second, yardstick.per_second, SOLD_OUT_GOAL)]
