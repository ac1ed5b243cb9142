"""A supplier's catalogue through the real workflow, a real Temporal and the simulator over HTTP; the sample data."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import migrations
import seeding
from activities.catalog import CatalogActivities
from activities.catalog_messages import CatalogSync, CatalogSyncReport
from activities.supplier_directory import Directory
from domain.catalog import ProductEvent
from domain.supplier_catalog import ListedUnit, Listing, derived_id
from embedded.postgres import PostgresServer
from settings import Settings
from simulators.supplier.serving import serving
from storage import catalog_reading, catalog_sync, catalog_writing
from storage.catalog_reading import ProductDetail, ProductQuery, Visibility
from storage.database import Database
from workflows.catalog import CATALOG_TASK_QUEUE, CatalogSyncWorkflow, catalog_workflow_id
from workflows.policies import SUPPLIER_READ

NAME = "catalog_sync_tests"
LANTERN = derived_id("prd", "LANTERN-NIGHT")


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("simulator")) as url:
        yield url


@dataclass
class Shop:
    """The parts of these tests: a database of their own, and the simulator's control."""

    database: Database
    settings: Settings
    env: WorkflowEnvironment
    client: httpx2.AsyncClient
    simulator: str

    async def sync(self, supplier_id: str) -> CatalogSyncReport:
        return await self.env.client.execute_workflow(
            CatalogSyncWorkflow.run,
            CatalogSync(supplier_id),
            id=catalog_workflow_id(supplier_id),
            task_queue=CATALOG_TASK_QUEUE,
        )

    async def faults(self, supplier_id: str, operation: str, kind: str, count: int) -> None:
        """The next `count` such calls meet the fault."""
        forced = {"operation": operation, "kind": kind, "count": count}
        answer = await self.client.post(f"{self.simulator}/control/{supplier_id}/next", json=forced)
        assert answer.is_success, answer.text

    async def product(self, product_id: str) -> ProductDetail:
        async with self.database.reading() as cx:
            return await catalog_reading.get_product(cx, product_id, Visibility())

    async def everything(self) -> list[Any]:
        """All that a sync could change, but for the time at which sessions were read."""
        async with self.database.reading() as cx:
            rows = []
            for query in (
                "SELECT id, version, updated_at, status, title FROM products ORDER BY id",
                "SELECT * FROM skus ORDER BY id",
                "SELECT * FROM offers ORDER BY id",
                "SELECT * FROM prices ORDER BY id",
                "SELECT count(*) FROM operation_log",
            ):
                rows += await (await cx.execute(query.encode())).fetchall()
            return rows


@pytest.fixture(scope="module")
async def shop(
    postgres: PostgresServer,
    temporal_env: WorkflowEnvironment,
    simulator: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Shop]:
    """With a worker that syncs, and the sample data in, which has synced all three suppliers."""
    postgres.ensure_roles(NAME)
    migrations.upgrade(postgres.url("tessera_owner", NAME))
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        api_database_url=postgres.url("tessera_api", NAME),
        temporal_address=temporal_env.client.service_client.config.target_host,
        simulator_port=int(simulator.rpartition(":")[2]),
    )
    async with (
        Database(postgres.url("tessera_worker", NAME), pool_max=8) as database,
        httpx2.AsyncClient(trust_env=False) as http,
    ):
        activities = CatalogActivities(database, Directory(database, http, fresh_s=0))
        worker = Worker(
            temporal_env.client,
            task_queue=CATALOG_TASK_QUEUE,
            workflows=[CatalogSyncWorkflow],
            activities=[activities.read_products, activities.retire_vanished, activities.read_sessions],
        )
        async with worker:
            await seeding.run(settings)
            yield Shop(database, settings, temporal_env, http, simulator)


async def test_a_sync_brings_products_variants_costs_and_sessions(shop: Shop) -> None:
    product = await shop.product(derived_id("prd", "NG-SILK"))
    assert (product.row["kind"], product.row["session_required"]) == ("ticket", True)
    adult = next(sku for sku in product.skus if sku.row["id"] == derived_id("sku", "NG-SILK", "GUIDED", "adult"))
    assert [price.amount_minor for price in adult.prices] == [22000]
    assert [(offer.cost_minor, offer.lock_at_supplier) for offer in adult.offers] == [(18700, True)]
    now = datetime.now(UTC)
    async with shop.database.reading() as cx:
        found = await catalog_reading.list_sessions(cx, product.row["id"], now, now + timedelta(days=29))
    assert len(found) > 100
    assert {row["available"] for row in found} == {True}


async def test_one_product_of_two_suppliers_has_two_offers_by_cost(shop: Shop) -> None:
    product = await shop.product(LANTERN)
    for sku in product.skus:
        assert sorted(offer.supplier_id for offer in sku.offers) == ["grandstand", "northgate"]
        assert [offer.rank for offer in sku.offers] == [0, 1]
        assert sku.offers[0].cost_minor <= sku.offers[1].cost_minor
        assert len(sku.prices) == 1


async def test_a_second_sync_changes_nothing(shop: Shop) -> None:
    before = await shop.everything()
    for supplier_id in ("northgate", "grandstand", "cineplex"):
        report = await shop.sync(supplier_id)
        assert report.complete
        assert (report.created, report.changed) == (0, 0)
        assert report.unchanged > 0
    assert await shop.everything() == before


async def test_what_cannot_be_read_takes_nothing_off_the_shelf(shop: Shop) -> None:
    before = await shop.everything()
    policy = SUPPLIER_READ["retry_policy"]
    assert policy is not None
    tries = policy.maximum_attempts
    await shop.faults("northgate", "products", "unreadable", tries)
    assert not (await shop.sync("northgate")).complete
    assert await shop.everything() == before


async def test_sessions_that_cannot_be_read_stay_as_they_were(shop: Shop) -> None:
    await shop.faults("cineplex", "availability", "error_after", 1)
    report = await shop.sync("cineplex")
    assert report.complete
    assert len(report.unreadable) == 1
    assert report.sessions > 0
    async with shop.database.reading() as cx:
        cursor = await cx.execute(
            "SELECT 1 FROM sessions WHERE supplier_id = 'cineplex' AND NOT available AND starts_at > now() LIMIT 1"
        )
        assert await cursor.fetchone() is None


def a_listing(product_id: str, price_minor: int = 100, title: str = "Boat") -> Listing:
    unit = ListedUnit("DEFAULT", "adult", "Adult", price_minor, price_minor - 20)
    return Listing("cineplex", product_id, f"REF-{product_id}", title, "", "UTC", "CNY", False, (unit,))


async def test_a_changed_price_ends_the_old_one_and_keeps_a_persons_edit(shop: Shop) -> None:
    listing, now = a_listing("boat-1"), datetime.now(UTC)
    async with shop.database.transaction() as cx:
        await catalog_sync.write_listing(cx, listing, now)
        await catalog_writing.edit_product(
            cx, listing.own_product_id, {"title": "Our boat"}, if_version=None, actor="operator/a", now=now
        )
    async with shop.database.transaction() as cx:
        later = now + timedelta(hours=1)
        assert await catalog_sync.write_listing(cx, a_listing("boat-1", 120), later) is catalog_sync.Outcome.CHANGED
    product = await shop.product(listing.own_product_id)
    assert [(p.amount_minor, p.valid_to) for p in product.skus[0].prices] == [(100, later), (120, None)]
    assert (product.row["title"], product.skus[0].offers[0].cost_minor) == ("Our boat", 100)


async def test_what_a_complete_catalogue_no_longer_has_leaves_the_shelf_and_can_come_back(shop: Shop) -> None:
    """The boats of these tests are not in the simulator's catalogue, so a whole read of it makes them vanish."""
    listing, now = a_listing("boat-2"), datetime.now(UTC)
    async with shop.database.transaction() as cx:
        await catalog_sync.write_listing(cx, listing, now)
        await catalog_writing.move_product(
            cx, listing.own_product_id, ProductEvent.PUT_ON_SHELF, actor="operator/a", now=now
        )
    report = await shop.sync("cineplex")
    assert listing.own_product_id in report.vanished
    gone = await shop.product(listing.own_product_id)
    assert (gone.row["status"], gone.skus[0].offers[0].active) == ("off_shelf", False)
    async with shop.database.transaction() as cx:
        await catalog_sync.write_listing(cx, listing, now + timedelta(minutes=1))
    back = await shop.product(listing.own_product_id)
    assert (back.row["status"], back.skus[0].offers[0].active) == ("off_shelf", True)
    await shop.sync("cineplex")


async def test_the_sample_data_is_there_once(shop: Shop) -> None:
    before = await shop.everything()
    report = await seeding.run(shop.settings)
    assert await shop.everything() == before
    keys = json.loads(report.keys_file.read_text())
    assert sorted(keys["distributors"]) == ["harbour", "meridian", "summit"]
    assert len(keys["operators"]) == 6
    assert stat.S_IMODE(os.stat(report.keys_file).st_mode) == 0o600
    assert LANTERN in report.tickets_on_shelf
    assert len(report.goods) == 5
    assert len(report.own_quota) == 3
    async with shop.database.reading() as cx:
        tickets = await catalog_reading.list_products(
            cx, ProductQuery(kind="ticket", supplier_id="grandstand"), Visibility(), after=None, limit=50
        )
    assert len(tickets) == 3
