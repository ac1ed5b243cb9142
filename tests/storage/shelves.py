"""A shop with several warehouses, for tests of stock: its three roles' connections, variants, and pending orders."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from domain.warehouses import Place
from storage import order_stock, stock, warehouses
from storage.database import Database
from storage.inspection_checks import CHECKS
from storage.stock import Movement
from tests.storage.world import make_world

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(minutes=15)
ACTOR = "operator/ada"

SHANGHAI, HANGZHOU, CHENGDU = Place("CN", "上海", "上海"), Place("CN", "浙江", "杭州"), Place("CN", "四川", "成都")
NOWHERE, PARIS = Place(), Place("FR", "Île-de-France", "Paris")

STOCK_CHECKS = (
    "stock_not_negative", "stock_as_moved", "stock_held_as_holds", "stock_hold_whole", "stock_transfer_balanced",
    "stock_alert_as_level",
)  # fmt: skip
_TERMS = {"promise_s": 10**9, "waiting_s": 10**9, "grace_s": 10**9, "limit": 100}
_numbers = itertools.count(1)

Levels = dict[str, tuple[int, int, int]]
"""On hand, held, sold, by warehouse."""


@dataclass(frozen=True, slots=True)
class Shop:
    """`owner` arranges, `worker` moves orders, `api` is what operators come through."""

    owner: Database
    worker: Database
    api: Database

    async def warehouse(self, warehouse_id: str, place: Place = NOWHERE, rank: int = 0, *, active: bool = True) -> str:
        facts = {"name": warehouse_id, **asdict(place), "rank": rank, "active": active}
        async with self.api.transaction() as cx:
            await warehouses.add_warehouse(cx, warehouse_id, facts, actor=ACTOR, now=NOW)
        return warehouse_id

    async def close(self, warehouse_id: str) -> None:
        """Nothing more is promised from there."""
        async with self.api.transaction() as cx:
            await warehouses.edit_warehouse(cx, warehouse_id, {"active": False}, if_version=None, actor=ACTOR, now=NOW)

    async def sku(self, policy: str = "hold", **units: int) -> str:
        """A variant with so many units in these warehouses."""
        sku_id = f"sku_{next(_numbers):05d}"
        async with self.owner.reading() as cx:
            await cx.execute(
                "INSERT INTO skus (id, product_id, title, attributes, stock_policy, updated_at) "
                "VALUES (%s, 'prd', 'L', '[]', %s, now())",
                (sku_id, policy),
            )
        for warehouse_id, quantity in units.items():
            await self.receive(sku_id, warehouse_id, quantity)
        return sku_id

    async def receive(self, sku_id: str, warehouse_id: str, quantity: int) -> None:
        movement = Movement(f"receipt/{next(_numbers)}", sku_id, "received", quantity, warehouse_id)
        async with self.api.transaction() as cx:
            await stock.apply_movement(cx, movement, actor=ACTOR, now=NOW)

    async def order(self, *lines: tuple[str, int], to: Place | None = None) -> int:
        """The number of a pending order of these variants and quantities."""
        order_no = next(_numbers)
        async with self.owner.transaction() as cx:
            await cx.execute(
                "INSERT INTO orders (order_no, distributor_id, host_workflow_id, status, currency, total_minor, "
                "ship_to, created_at, updated_at) VALUES (%s, 'north', %s, 'pending', 'CNY', 0, %s, %s, %s)",
                (order_no, f"order/{order_no}", Jsonb(asdict(to)) if to else None, NOW, NOW),
            )
            for line_no, (sku_id, quantity) in enumerate(lines, 1):
                await cx.execute(
                    "INSERT INTO order_lines (order_no, line_no, status, sku_id, product_id, kind, title, quantity, "
                    "unit_price_minor, total_minor, snapshot_id) "
                    "VALUES (%s, %s, 'pending', %s, 'prd', 'physical', 'L', %s, 0, 0, 'snap')",
                    (order_no, line_no, sku_id, quantity),
                )
        return order_no

    async def hold(self, order_no: int) -> dict[str, int] | None:
        """As the activity does it: the fast way first, then the patient one. None, or what is left."""
        async with self.worker.reading() as cx:
            if await order_stock.hold_one(cx, order_no, expires_at=UNTIL):
                return None
        return await self.hold_patiently(order_no)

    async def hold_patiently(self, order_no: int) -> dict[str, int] | None:
        async with self.worker.transaction() as cx:
            await cx.execute("SELECT 1 FROM orders WHERE order_no = %s FOR UPDATE", (order_no,))
            demands = await order_stock.demands(cx, order_no)
            left = await order_stock.hold(cx, order_no, demands, expires_at=UNTIL, at=NOW)
            return None if left is None else dict(left)

    async def confirm(self, order_no: int) -> list[int]:
        async with self.worker.transaction() as cx:
            return await order_stock.confirm(cx, order_no, at=NOW)

    async def release(self, order_no: int) -> None:
        async with self.worker.transaction() as cx:
            await order_stock.release(cx, order_no, at=NOW)

    async def give_back(self, order_no: int, line_no: int, *, restock: bool = True, gone: Sequence[str] = ()) -> None:
        """Without `restock` every warehouse's part is lost; `gone` names single ones."""
        lost = gone if restock else [place for place, _ in (await self.parts(order_no)).get(line_no, ())]
        async with self.worker.transaction() as cx:
            await order_stock.give_back(cx, order_no, line_no, at=NOW, gone=lost)

    async def parts(self, order_no: int) -> dict[int, list[tuple[str, int]]]:
        async with self.worker.reading() as cx:
            return await order_stock.parts_of(cx, order_no)

    async def levels(self, sku_id: str) -> Levels:
        rows = await self.rows("SELECT * FROM stock WHERE sku_id = %s", sku_id)
        return {row["warehouse_id"]: (row["on_hand"], row["held"], row["sold"]) for row in rows}

    async def states(self, order_no: int) -> dict[tuple[int, str], str]:
        """Of the order's holds, by line and warehouse."""
        rows = await self.rows("SELECT * FROM stock_holds WHERE order_no = %s", order_no)
        return {(row["line_no"], row["warehouse_id"]): row["state"] for row in rows}

    async def keys(self, order_no: int) -> list[str]:
        """Of the order's movements."""
        rows = await self.rows("SELECT key FROM stock_movements WHERE key LIKE %s", f"{order_no}/%")
        return sorted(row["key"] for row in rows)

    async def unproven(self) -> list[str]:
        """What the inspection finds wrong with stock."""
        found: list[str] = []
        async with self.worker.reading() as cx:
            for name in STOCK_CHECKS:
                cursor = await cx.execute(f"SELECT * FROM ({CHECKS[name]}) AS found LIMIT %(limit)s", _TERMS)
                found += [f"{name}: {row['subject']}: {row['detail']}" async for row in cursor]
            found += [f"unproven: {row}" for row in await stock.unproven_stock(cx)]
        return found

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        async with self.owner.reading() as cx:
            cursor = await cx.execute(query.encode(), values)
            return await cursor.fetchall()


@asynccontextmanager
async def a_shop(owner_url: str, worker_url: str, api_url: str, *, pool_max: int = 4) -> AsyncIterator[Shop]:
    """With warehouse `main`, which has no known place."""
    async with (
        Database(owner_url, pool_max=2) as owner,
        Database(worker_url, pool_max=pool_max) as worker,
        Database(api_url, pool_max=pool_max) as api,
    ):
        async with owner.reading() as cx:
            await make_world(cx)
        yield Shop(owner, worker, api)
