"""Search on the real database: words in every script, filters, prices of a channel, and words that follow each edit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.catalog import ProductEvent, ProductStatus
from domain.imports import parse_product
from domain.supplier_catalog import ListedUnit, Listing
from storage import catalog_search, catalog_sync, catalog_writing
from storage.catalog_imports import create_imported
from storage.catalog_reading import Visibility
from storage.catalog_search import Search
from storage.category_tree import create_category, edit_category, rename_brand
from storage.database import Connection, Database

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
EVERYTHING = Visibility()


async def a_product(
    database: Database,
    product_id: str,
    title: str,
    *,
    description: str = "",
    brand: tuple[int, str] | None = None,
    category_id: int = 1003001,
    colours: Sequence[str] = ("黑色",),
    price: float = 10,
) -> str:
    """Imported from a document, as a merchant would."""
    spu: dict[str, Any] = {"name": title, "description": description}
    basic = [{"attributeId": 102, "attributeName": "材质", "value": "棉"}]
    if brand is not None:
        spu["brandId"] = brand[0]
        basic.append({"attributeId": 101, "attributeName": "品牌", "value": brand[1]})
    skus = [
        {
            "skuName": f"{colour} L", "price": price, "stock": 5,
            "salesAttributes": [{"attributeId": 201, "attributeName": "颜色", "value": colour}],
        }
        for colour in colours
    ]  # fmt: skip
    document = {"categoryId": category_id, "spu": spu, "basicAttributes": basic, "skus": skus}
    product = parse_product(json.dumps(document).encode())
    async with database.transaction() as cx:
        return await create_imported(cx, product, product_id=product_id, actor="test", now=NOW)


async def found(database: Database, text: str = "", visible: Visibility = EVERYTHING, **narrowed: Any) -> list[str]:
    async with database.transaction() as cx:
        asked = Search(narrowed.pop("now", LATER), text, **narrowed)
        return [
            each.product_id for each in await catalog_search.search_products(cx, asked, visible, after=None, limit=50)
        ]


@pytest.fixture
async def shop(database: Database) -> Database:
    await a_product(database, "tee", "圆领T恤", description="100%纯棉 summer shirt", brand=(2001, "NIKE"), price=19.99)
    await a_product(database, "bag", "Museum tote bag", description="博物馆文创", colours=("白色", "红色"), price=79)
    await a_product(database, "pack", "流量包", description="1GB 博物馆地区可用", category_id=1005002, price=5)
    return database


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("圆领", {"tee"}),
        ("t恤", {"tee"}),
        ("纯棉 SUMMER", {"tee"}),
        ("博物馆", {"bag", "pack"}),
        ("物博", set()),
        ("museum bag", {"bag"}),
        ("muse", set()),
        ("红色", {"bag"}),
        ("nike", {"tee"}),
        ("流", {"pack"}),
        ("' & | !:* \\", {"tee", "bag", "pack"}),
    ],
)
async def test_words_in_every_script(shop: Database, text: str, ids: set[str]) -> None:
    assert set(await found(shop, text)) == ids


@pytest.mark.parametrize(
    ("narrowed", "ids"),
    [
        ({"category_id": "1003"}, {"tee", "bag"}),
        ({"category_id": "1003001"}, {"tee", "bag"}),
        ({"category_id": "nothing"}, set()),
        ({"brand_id": "2001"}, {"tee"}),
        ({"kind": "virtual"}, {"pack"}),
        ({"attributes": (("颜色", "白色"),)}, {"bag"}),
        ({"attributes": (("颜色", "白色"), ("颜色", "红色"))}, {"bag"}),
        ({"attributes": (("颜色", "白"),)}, set()),
        ({"attributes": (("材质", "棉"),), "kind": "physical"}, {"tee", "bag"}),
        ({"price_min_minor": 1999, "price_max_minor": 1999, "currency": "CNY"}, {"tee"}),
        ({"price_min_minor": 2000, "currency": "CNY"}, {"bag"}),
        ({"price_max_minor": 9999, "currency": "EUR"}, set()),
        ({"status": ProductStatus.ON_SHELF}, set()),
    ],
)
async def test_filters(shop: Database, narrowed: dict[str, Any], ids: set[str]) -> None:
    assert set(await found(shop, **narrowed)) == ids


async def test_a_word_of_the_title_is_worth_more_than_one_of_the_description(database: Database) -> None:
    await a_product(database, "a", "书签", description="铜车马")
    await a_product(database, "b", "铜车马")
    assert await found(database, "铜车马") == ["b", "a"]


async def test_pages_go_on_where_they_ended(shop: Database) -> None:
    for text in ("", "博物馆"):
        met: list[str] = []
        after: tuple[float, str] | None = None
        for _ in range(5):
            async with shop.transaction() as cx:
                page = await catalog_search.search_products(cx, Search(NOW, text), EVERYTHING, after=after, limit=1)
            if not page:
                break
            met.append(page[0].product_id)
            after = page[0].rank, page[0].product_id
        assert met == await found(shop, text)


async def test_the_price_is_that_of_the_channel_at_the_moment(shop: Database) -> None:
    async with shop.transaction() as cx:
        cursor = await cx.execute("SELECT id FROM skus WHERE product_id = 'tee'")
        sku = await cursor.fetchone()
        assert sku is not None
        for channel, amount, begins in (("partner", 100, NOW), ("default", 5000, LATER)):
            await catalog_writing.set_price(
                cx,
                sku["id"],
                channel=channel,
                currency="CNY",
                amount_minor=amount,
                valid_from=begins,
                actor="t",
                now=NOW,
            )
    cheap: dict[str, Any] = {"price_max_minor": 100, "currency": "CNY"}
    assert await found(shop, **cheap) == []
    assert await found(shop, channel="partner", **cheap) == ["tee"]
    dear: dict[str, Any] = {"price_min_minor": 5000, "price_max_minor": 5000, "currency": "CNY"}
    assert await found(shop, now=LATER - timedelta(seconds=1), **dear) == []
    assert await found(shop, now=LATER, **dear) == ["tee"]


async def test_a_distributor_finds_only_what_it_may_see(shop: Database) -> None:
    async with shop.transaction() as cx:
        for event in (ProductEvent.SUBMIT, ProductEvent.APPROVE, ProductEvent.PUT_ON_SHELF):
            await catalog_writing.move_product(cx, "bag", event, actor="t", now=NOW)
    on_shelf = (ProductStatus.ON_SHELF,)
    assert await found(shop, "博物馆", Visibility(statuses=on_shelf)) == ["bag"]
    assert await found(shop, "博物馆", Visibility(False, on_shelf, category_ids=("1003",))) == ["bag"]
    assert await found(shop, "博物馆", Visibility(False, on_shelf, product_ids=("pack",))) == []


async def test_renaming_and_moving_categories_and_brands_is_found_at_once(shop: Database) -> None:
    async with shop.transaction() as cx:
        await rename_brand(cx, "2001", "耐克", if_version=None, actor="t", now=NOW)
        await create_category(
            cx, "gifts", parent_id=None, name="礼品 gifts", kind="physical", kinds=["physical"], actor="t", now=NOW
        )
        await edit_category(cx, "1003001", name="Shirts", parent_id="gifts", if_version=None, actor="t", now=NOW)
    assert await found(shop, "耐克") == ["tee"]
    # the attribute that says NIKE is the product's own text
    assert await found(shop, "nike") == ["tee"]
    assert set(await found(shop, "礼品")) == {"bag", "tee"}
    assert set(await found(shop, category_id="gifts")) == {"bag", "tee"}
    assert await found(shop, category_id="1003") == []


async def stored(cx: Connection) -> dict[str, str]:
    cursor = await cx.execute("SELECT product_id, words::text AS words FROM product_search")
    return {row["product_id"]: row["words"] for row in await cursor.fetchall()}


async def made_anew(cx: Connection) -> dict[str, str]:
    """What the words of all products should be, from the products as they are."""
    cursor = await cx.execute("SELECT id FROM products")
    ids = [row["id"] for row in await cursor.fetchall()]
    rows = await (await cx.execute(catalog_search._READ.encode(), (ids,))).fetchall()
    words = [catalog_search.words_of(row) for row in rows]
    cursor = await cx.execute(
        "SELECT id, (words::tsvector)::text AS words FROM unnest(%s::text[], %s::text[]) AS n (id, words)",
        ([row["id"] for row in rows], words),
    )
    return {row["id"]: row["words"] for row in await cursor.fetchall()}


async def test_the_words_follow_every_path_that_changes_a_product(shop: Database, owner_url: str) -> None:
    unit = ListedUnit("DEFAULT", "adult", "Adult", 100, 80)
    listing = Listing("north", "p1", "REF", "Lanterns", "", "UTC", "CNY", False, (unit,))
    changed = Listing("north", "p1", "REF", "Lantern night", "河灯", "UTC", "CNY", False, (unit,))
    async with Database(owner_url) as owner, owner.transaction() as cx:
        await cx.execute(
            "INSERT INTO suppliers (id, name, base_url, api_token, callback_secret, created_at) "
            "VALUES ('north', 'N', 'http://n.example', 't', 's', now())"
        )
    steps = (
        lambda cx: catalog_writing.edit_product(
            cx, "tee", {"title": "V-neck", "attributes": [{"name": "n", "value": "v"}, "odd"]}, if_version=None,
            actor="t", now=NOW,
        ),
        lambda cx: catalog_sync.write_listing(cx, listing, NOW),
        lambda cx: catalog_sync.write_listing(cx, changed, LATER),
        lambda cx: catalog_sync.retire_vanished(cx, "north", ["other"], LATER),
        lambda cx: catalog_writing.move_product(cx, "bag", ProductEvent.SUBMIT, actor="t", now=NOW),
    )  # fmt: skip
    for step in steps:
        async with shop.transaction() as cx:
            await step(cx)
            assert await stored(cx) == await made_anew(cx)
    assert await found(shop, "v neck") == ["tee"]
    assert await found(shop, "圆领") == []
    assert await found(shop, "河灯 night") == [listing.own_product_id]


async def test_products_from_before_there_was_a_search_are_indexed_in_batches(shop: Database, owner_url: str) -> None:
    async with Database(owner_url) as owner, owner.transaction() as cx:
        await cx.execute("DELETE FROM product_search")
    counts = []
    for _ in range(3):
        async with shop.transaction() as cx:
            counts.append(await catalog_search.index_missing(cx, limit=2))
    assert counts == [2, 1, 0]
    assert await found(shop, "圆领") == ["tee"]


async def test_the_plan_uses_the_index_of_words(database: Database, owner_url: str) -> None:
    async with Database(owner_url) as owner, owner.transaction() as cx:
        await cx.execute("INSERT INTO categories (id, name, kind) VALUES ('c', 'c', 'ticket')")
        await cx.execute(
            "INSERT INTO products (id, category_id, kind, title, status, time_zone, attributes, terms, images, "
            "created_at, updated_at) SELECT 'p' || n, 'c', 'ticket', 'Tower ' || n, 'on_shelf', 'UTC', '[]', '{}', "
            "'[]', now(), now() FROM generate_series(1, 3000) AS n"
        )
        while await catalog_search.index_missing(cx, limit=1000):
            pass
        await cx.execute("ANALYZE products")
        await cx.execute("ANALYZE product_search")
        asked = Search(NOW, "tower 77", kind="ticket")
        statement, values = await catalog_search.statement_of(cx, asked, EVERYTHING, after=None, limit=20)
        await cx.execute("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
        rows = await (await cx.execute(f"EXPLAIN {statement}".encode(), values)).fetchall()
    plan = "\n".join(str(row["QUERY PLAN"]) for row in rows)
    assert "product_search_words" in plan, plan
