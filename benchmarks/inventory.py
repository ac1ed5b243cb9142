"""A hot variant's stock, and refusals once it is sold out."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from benchmarks.lives import NotAsExpected, place
from benchmarks.load import drive
from benchmarks.results import Result
from benchmarks.world import World
from domain.warehouses import MAIN_WAREHOUSE
from storage import order_stock

AT_ONCE = 64
HOLDS = 1500
WARM_UP = 200
REFUSALS = 2000
HEALTH_CALLS = 3000
HOT_GOAL, SOLD_OUT_GOAL = 2.0, 0.5


async def hot_sku(world: World) -> list[Result]:
    """The inventory step of placements on one variant, and one conditional UPDATE of its row; both through our pool.

    The goal is that of flash sales, where one transaction serves many placements.
    """
    waiting = iter(await _pending_orders(world, HOLDS + WARM_UP))
    expires_at = datetime.now(UTC) + timedelta(hours=1)

    async def hold(_: int) -> None:
        async with world.database.reading() as cx:
            assert await order_stock.hold_one(cx, next(waiting), expires_at=expires_at)

    async def update(_: int) -> None:
        async with world.database.reading() as cx:
            cursor = await cx.execute(
                "UPDATE stock SET held = held + 1 WHERE sku_id = %s AND warehouse_id = %s AND on_hand - held >= 1",
                (world.own_quota.sku_id, MAIN_WAREHOUSE),
            )
        assert cursor.rowcount == 1

    await drive(WARM_UP, AT_ONCE, hold)
    await drive(WARM_UP, AT_ONCE, update)
    ours = await drive(HOLDS, AT_ONCE, hold)
    yardstick = await drive(HOLDS, AT_ONCE, update)
    return [Result("hot SKU", "inventory steps", "holds/s", ours.per_second, yardstick.per_second, HOT_GOAL)]


async def _pending_orders(world: World, orders: int) -> range:
    """As many orders as that, recorded and without a hold: copies of one that was placed. Their numbers."""
    placed = int(await place(world, world.own_quota))
    numbers = range(1, orders + 1)
    async with world.database.transaction() as cx:
        for table, change in (("orders", "'status', 'pending', "), ("order_lines", "")):
            await cx.execute(
                f"INSERT INTO {table} SELECT (jsonb_populate_record(one, jsonb_build_object({change}'order_no', n))).* "
                f"FROM {table} AS one, generate_series(1, %s) AS n WHERE one.order_no = %s",
                (orders, placed),
            )
    return numbers


async def sold_out(world: World) -> list[Result]:
    """Placements that are refused for want of stock, and the API's cheapest answer."""
    body = world.sold_out.order()

    async def refused(_: int) -> None:
        key = secrets.token_hex(16)
        for _ in range(30):
            reply = await world.api.post("/v1/orders", body, key)
            if reply.status not in (202, 503):  # late, or more at once than are taken: the same request again
                break
        if reply.status != 409 or reply.json()["code"] != "insufficient_stock":
            raise NotAsExpected("placing on nothing", reply)

    async def alive(_: int) -> None:
        reply = await world.api.get("/livez")
        if reply.status != 200:
            raise NotAsExpected("/livez", reply)

    await refused(0)  # the first refusal is what makes it known as sold out
    ours = await drive(REFUSALS, AT_ONCE, refused)
    yardstick = await drive(HEALTH_CALLS, AT_ONCE, alive)
    return [Result("sold out", "refusals", "per s", ours.per_second, yardstick.per_second, SOLD_OUT_GOAL)]
