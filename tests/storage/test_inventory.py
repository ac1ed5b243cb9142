"""Stock on a real database: movements count once, never go below what is held, and add up; prices never overlap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

import migrations
from domain.catalog import Price, PriceInThePast, ProductStatus, price_at
from domain.inventory import StockBelowHeld
from embedded.postgres import PostgresServer
from storage import catalog_reading, catalog_writing, scorecard, stock, supplier_contracts
from storage.catalog_reading import Visibility
from storage.catalog_writing import NewProduct, NewSku
from storage.database import Database
from storage.stock import Movement, MovementReused

NAME = "inventory_tests"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_numbers = count(1)


@pytest.fixture(scope="module")
async def shop(postgres: PostgresServer) -> AsyncIterator[Database]:
    """As the API's role has it."""
    postgres.ensure_roles(NAME)
    migrations.upgrade(postgres.url("tessera_owner", NAME))
    async with Database(postgres.url("tessera_api", NAME), pool_max=8) as database:
        yield database


async def a_sku(shop: Database) -> str:
    product_id = f"prd_{next(_numbers)}"
    sku_id = product_id.replace("prd", "sku")
    async with shop.transaction() as cx:
        await catalog_writing.ensure_category(cx, "1003", None, "Physical goods", "physical")
        draft = NewProduct(product_id, "1003", "physical", "T", "", "Asia/Shanghai", ProductStatus.DRAFT)
        await catalog_writing.insert_product(cx, draft, NOW)
        await catalog_writing.insert_sku(cx, product_id, NewSku(sku_id, "L", 100, "CNY"), NOW)
    return sku_id


async def apply(shop: Database, movement: Movement) -> int:
    async with shop.transaction() as cx:
        return (await stock.apply_movement(cx, movement, actor="operator/a", now=NOW)).on_hand


async def unproven(shop: Database, sku_id: str) -> list[str]:
    async with shop.reading() as cx:
        return [row["sku_id"] for row in await stock.unproven_stock(cx) if row["sku_id"] == sku_id]


async def test_one_receipt_sent_many_times_at_once_counts_once(shop: Database) -> None:
    sku_id = await a_sku(shop)
    receipt = Movement(f"receipt/{sku_id}", sku_id, "received", 7)
    assert await asyncio.gather(*(apply(shop, receipt) for _ in range(6))) == [7] * 6
    assert await unproven(shop, sku_id) == []


async def test_a_key_belongs_to_one_movement(shop: Database) -> None:
    sku_id = await a_sku(shop)
    await apply(shop, Movement(f"r/{sku_id}", sku_id, "received", 7))
    with pytest.raises(MovementReused):
        await apply(shop, Movement(f"r/{sku_id}", sku_id, "received", 8))


async def test_an_adjustment_never_takes_what_is_held(shop: Database) -> None:
    sku_id = await a_sku(shop)
    await apply(shop, Movement(f"r/{sku_id}", sku_id, "received", 10))
    async with shop.transaction() as cx:
        await cx.execute("UPDATE stock SET held = 4 WHERE sku_id = %s", (sku_id,))
        assert await stock.available_of(cx, [sku_id]) == {sku_id: 6}
    with pytest.raises(StockBelowHeld):
        await apply(shop, Movement(f"a1/{sku_id}", sku_id, "adjusted", -7, reason="lost"))
    assert await apply(shop, Movement(f"a2/{sku_id}", sku_id, "adjusted", -6, reason="lost")) == 4


async def test_the_proof_finds_stock_that_no_movement_explains(shop: Database) -> None:
    sku_id = await a_sku(shop)
    await apply(shop, Movement(f"r/{sku_id}", sku_id, "received", 10))
    async with shop.transaction() as cx:
        await cx.execute("UPDATE stock SET on_hand = 11 WHERE sku_id = %s", (sku_id,))
    assert await unproven(shop, sku_id) == [sku_id]


async def prices_of(shop: Database, sku_id: str) -> tuple[Price, ...]:
    async with shop.reading() as cx:
        found = await catalog_reading.get_product(cx, sku_id.replace("sku", "prd"), Visibility())
    return found.skus[0].prices


async def test_prices_put_in_out_of_order_never_overlap(shop: Database) -> None:
    sku_id = await a_sku(shop)
    for hours, amount_minor in ((10, 300), (5, 200)):
        async with shop.transaction() as cx:
            begins = NOW + timedelta(hours=hours)
            await catalog_writing.set_price(
                cx, sku_id, channel="default", currency="CNY", amount_minor=amount_minor, valid_from=begins,
                actor="operator/a", now=NOW,
            )  # fmt: skip
    prices = await prices_of(shop, sku_id)
    assert [price.valid_to for price in prices] == [prices[1].valid_from, prices[2].valid_from, None]
    in_effect = [price_at(prices, "default", "CNY", NOW + timedelta(hours=later)) for later in (0, 5, 9, 10)]
    assert [price.amount_minor for price in in_effect if price] == [100, 200, 200, 300]


async def test_no_price_begins_in_the_past(shop: Database) -> None:
    sku_id = await a_sku(shop)
    with pytest.raises(PriceInThePast):
        async with shop.transaction() as cx:
            await catalog_writing.set_price(
                cx, sku_id, channel="default", currency="CNY", amount_minor=1, valid_from=NOW - timedelta(days=1),
                actor="operator/a", now=NOW,
            )  # fmt: skip


async def test_a_scorecard_counts_answers_and_the_log_has_no_secrets(shop: Database, postgres: PostgresServer) -> None:
    terms = {"name": "N", "base_url": "http://n.example", "api_token": "tok-1", "callback_secret": "whsec_1"}
    async with shop.transaction() as cx:
        assert await supplier_contracts.put_supplier(cx, "north", terms, actor="operator/a", now=NOW)
        assert not await supplier_contracts.put_supplier(cx, "north", terms, actor="operator/a", now=NOW)
    async with Database(postgres.url("tessera_worker", NAME), pool_max=2) as worker, worker.transaction() as cx:
        for elapsed_ms, answer in ((10, "confirmed"), (20, "unknown"), (30, "rejected"), (1000, "confirmed")):
            await cx.execute(
                "INSERT INTO supplier_calls (supplier_id, operation, reference, answer, elapsed_ms, at) "
                "VALUES ('north', 'issue', 'r', %s, %s, %s)",
                (answer, elapsed_ms, NOW),
            )
    async with shop.reading() as cx:
        card = await scorecard.read_scorecard(cx, "north", NOW - timedelta(hours=1))
        log = await catalog_reading.read_log(cx, ["north"], before=None, limit=10)
    assert (card.calls, card.answer_median_ms, card.answer_p95_ms) == (4, 20, 1000)
    assert (card.unknown_share, card.refusal_share, card.contradictions) == (0.25, 0.25, 0)
    assert len(log) == 1
    assert "tok-1" not in str(log)
    assert "whsec_1" not in str(log)
