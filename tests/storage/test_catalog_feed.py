"""The feed of products on the real database: random overlapping edits, and whoever reads on ends with the truth."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

from domain.catalog import ProductEvent, ProductStatus
from storage import catalog_writing
from storage.catalog_feed import list_changes, scope_of
from storage.catalog_reading import Visibility
from storage.catalog_writing import NewProduct, ensure_category, insert_product
from storage.database import Connection, Database

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ON_SHELF = (ProductStatus.ON_SHELF,)


async def a_product(cx: Connection, product_id: str, status: ProductStatus = ProductStatus.APPROVED) -> None:
    await ensure_category(cx, "cat", None, "Tickets", "ticket")
    await insert_product(cx, NewProduct(product_id, "cat", "ticket", product_id, "", "UTC", status), NOW)


class Reader:
    """Keeps a copy by the feed, a few at a time."""

    def __init__(self, database: Database, visible: Visibility) -> None:
        self._database, self._visible = database, visible
        self._after: tuple[int, str] | None = None
        self.copy: dict[str, int] = {}

    async def read(self) -> None:
        while True:
            async with self._database.reading() as cx:
                page = await list_changes(cx, self._visible, since=None, after=self._after, limit=3)
            if not page:
                return
            for change in page:
                assert self._after is None or (change.position, change.product_id) > self._after
                self._after = change.position, change.product_id
                if change.detail is None:
                    self.copy.pop(change.product_id, None)
                else:
                    self.copy[change.product_id] = change.version


async def test_whoever_reads_on_while_edits_overlap_ends_with_the_truth(database: Database) -> None:
    ids = [f"p{number}" for number in range(8)]
    async with database.transaction() as cx:
        for product_id in ids:
            await a_product(cx, product_id)
    dice = random.Random(7)
    reader = Reader(database, Visibility(statuses=ON_SHELF))
    busy = True

    async def edit() -> None:
        for _ in range(25):
            async with database.transaction() as cx:
                await cx.execute("SELECT pg_current_xact_id()")
                await asyncio.sleep(dice.random() / 100)
                product_id = dice.choice(ids)
                row = await catalog_writing.lock_product(cx, product_id)
                shelved = row["status"] == ProductStatus.ON_SHELF
                event = ProductEvent.TAKE_OFF_SHELF if shelved else ProductEvent.PUT_ON_SHELF
                await catalog_writing.move_product(cx, product_id, event, actor="t", now=NOW)
                await asyncio.sleep(dice.random() / 100)

    async def follow() -> None:
        while busy:
            await reader.read()
            await asyncio.sleep(0.002)

    following = asyncio.create_task(follow())
    await asyncio.gather(*(edit() for _ in range(4)))
    busy = False
    await following
    await reader.read()
    async with database.reading() as cx:
        cursor = await cx.execute("SELECT id, version FROM products WHERE status = 'on_shelf'")
        assert reader.copy == {row["id"]: row["version"] for row in await cursor.fetchall()}


async def test_what_was_never_on_the_shelf_is_not_told_as_gone(database: Database) -> None:
    async with database.transaction() as cx:
        await a_product(cx, "never")
        await a_product(cx, "once", ProductStatus.ON_SHELF)
        await a_product(cx, "theirs", ProductStatus.ON_SHELF)
    async with database.transaction() as cx:
        for product_id in ("once", "theirs"):
            await catalog_writing.move_product(cx, product_id, ProductEvent.TAKE_OFF_SHELF, actor="t", now=NOW)
    visible = Visibility(False, ON_SHELF, product_ids=("never", "once"))
    async with database.reading() as cx:
        found = await list_changes(cx, visible, since=None, after=None, limit=10)
        assert [(change.product_id, change.detail) for change in found] == [("once", None)]
        everything = await list_changes(cx, Visibility(), since=None, after=None, limit=10)
    assert {change.product_id for change in everything if change.detail} == {"never", "once", "theirs"}


async def test_the_scope_names_permissions_and_the_tree_under_them(database: Database) -> None:
    async with database.transaction() as cx:
        await ensure_category(cx, "cat", None, "Tickets", "ticket")
        wide, by_tree = Visibility(statuses=ON_SHELF), Visibility(False, ON_SHELF, category_ids=("cat",))
        before = [await scope_of(cx, each) for each in (wide, by_tree)]
        await ensure_category(cx, "cat-1", "cat", "Museums", "ticket")
        after = [await scope_of(cx, each) for each in (wide, by_tree)]
    assert before[0] == after[0] != before[1] != after[1]
