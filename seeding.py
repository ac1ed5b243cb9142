"""Sample data for a new installation: people, keys, suppliers, payment channels, catalogues, some stock. Running it
again adds nothing.

What exists is left as people have changed it, but for the addresses of simulated parties: they follow their ports.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    WorkflowFailureError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.catalog_messages import CatalogSync
from api.account_views import first_grants
from api.promotion_views import PercentOffInput, PromotionInput
from domain.access import AccountExists, Role
from domain.catalog import ProductEvent, ProductStatus
from domain.supplier_catalog import TICKETS, derived_id
from seed_channels import ensure_channels
from seed_goods import ensure_goods
from seed_keys import ensure_keys, ensure_passwords
from seed_shoppers import SHOPPERS, ensure_shoppers
from seed_suppliers import TICKET_SUPPLIERS, ensure_suppliers
from settings import Settings
from storage import (
    accounts,
    catalog_reading,
    catalog_writing,
    coupons,
    promotion_writing,
    stock,
    stock_policies,
    warehouses,
)
from storage.accounts import DistributorRow, OperatorRow
from storage.catalog_reading import ProductQuery, Visibility
from storage.coupons import NewCoupon
from storage.database import Connection, Database
from storage.stock import Movement
from workflows.catalog import CATALOG_TASK_QUEUE, CatalogSyncWorkflow, catalog_workflow_id

ACTOR = "service/seed"
CURRENCY, TIME_ZONE = "CNY", "Asia/Shanghai"
SYNC_TIMEOUT = timedelta(seconds=120)
SYNC_EVERY = timedelta(hours=1)

DISTRIBUTORS: Mapping[str, tuple[str, int]] = {
    "summit": ("Summit Travel", 500_000_000),
    "meridian": ("Meridian Travel", 100_000_000),
    "harbour": ("Harbour Tickets", 20_000_000),
}
"""Name and credit limit in fen."""

OWN_QUOTA: Mapping[tuple[str, str, str], int] = {
    ("NG-BRONZE", "DEFAULT", "adult"): 5_000,
    ("NG-BRONZE", "DEFAULT", "child"): 2_000,
    ("CX-OPERA", "DEFAULT", "hall1-stalls"): 400,
}
"""(reference, option, unit) and units bought in advance: sold from our stock, without a hold at the supplier."""

CAMPAIGN, CAMPAIGN_CODE = "prm_summer", "SUMMER-2026"
"""A promotion of a tenth off everything, and the coupon that opens it for whoever claims it first."""

WAREHOUSES: Mapping[str, dict[str, Any]] = {
    "west": {"name": "Chengdu depot", "country": "CN", "region": "四川", "city": "成都", "rank": 10},
}
"""Beside `main`, which every installation has."""

RISK_RULES: tuple[tuple[str, str, str, int, int, str], ...] = (
    ("rsk_amount_ceiling", "amount", "order", 5_000_000, 3600, "review"),
    ("rsk_buyer_velocity", "velocity", "buyer", 200, 3600, "deny"),
)
"""id, kind, subject, threshold (fen, or orders per window), window in seconds, outcome."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What is there now. `synced` has each supplier's report, or why there is none; ids are ours."""

    keys_file: Path
    operators: tuple[str, ...]
    distributors: tuple[str, ...]
    suppliers: tuple[str, ...]
    synced: dict[str, Any] = field(default_factory=dict)
    tickets_on_shelf: tuple[str, ...] = ()
    goods: tuple[str, ...] = ()
    own_quota: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    shoppers: tuple[str, ...] = ()


async def run(settings: Settings) -> SeedReport:
    """Make what is missing. Needs the schema and the API's address of the database; catalogues need a worker."""
    url = settings.api_database_url or settings.database_url
    if url is None:
        raise RuntimeError("no address of PostgreSQL is known: set TESSERA_API_DATABASE_URL")
    async with Database(url, pool_max=4) as database:
        operators, distributors = await _accounts(database)
        keys_file = await ensure_keys(database, settings, operators, distributors)
        await _risk_rules(database)
        await _campaign(database)
        shoppers = await ensure_shoppers(
            database, settings, await ensure_passwords(settings, SHOPPERS), actor=ACTOR, now=_now()
        )
        channels = await ensure_channels(database, settings, actor=ACTOR)
        suppliers = await ensure_suppliers(database, settings, actor=ACTOR)
        synced = await _catalogues(settings)
        await _warehouses(database)
        goods = await ensure_goods(database, actor=ACTOR, now=_now())
        quota = await _own_quota(database)
        on_shelf = await _put_tickets_on_shelf(database)
    report = SeedReport(
        keys_file, operators, distributors, suppliers, synced, on_shelf, goods, quota, channels, shoppers
    )
    log.info("seed.finished", tickets=len(on_shelf), goods=len(goods), suppliers=len(suppliers))
    return report


def _now() -> datetime:
    return datetime.now(UTC)


async def _accounts(database: Database) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """One operator per role, and the distributors with their credit lines."""
    operators = {f"opr_{role}": role for role in Role}
    for operator_id, role in operators.items():
        row = OperatorRow(id=operator_id, name=role.title(), role=role, created_at=_now())
        try:
            async with database.transaction() as cx:
                await accounts.add_operator(cx, row)
        except AccountExists:
            pass
    for distributor_id, (name, limit_minor) in DISTRIBUTORS.items():
        distributor = DistributorRow(
            id=distributor_id, name=name, currency=CURRENCY, time_zone=TIME_ZONE, created_at=_now()
        )
        try:
            async with database.transaction() as cx:
                await accounts.add_distributor(
                    cx,
                    distributor,
                    limit_minor=limit_minor,
                    prepaid_minor=0,
                    grants=first_grants(distributor_id, _now()),
                )
        except AccountExists:
            pass
    return tuple(operators), tuple(DISTRIBUTORS)


async def _risk_rules(database: Database) -> None:
    async with database.transaction() as cx:
        for rule in RISK_RULES:
            await cx.execute(
                "INSERT INTO risk_rules (id, kind, subject, threshold, window_s, outcome) "
                "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
                rule,
            )


async def _campaign(database: Database) -> None:
    """A promotion that needs a coupon: nobody's price changes by itself."""
    campaign = PromotionInput(
        name="Summer in the museums",
        terms=PercentOffInput(kind="percent_off", percent_bp=1000),
        currency=CURRENCY,
        needs_coupon=True,
    )
    async with database.transaction() as cx:
        if await _exists(cx, "SELECT 1 FROM promotions WHERE id = %s", CAMPAIGN):
            return
        await promotion_writing.create_promotion(cx, {**campaign.row(_now()), "id": CAMPAIGN}, actor=ACTOR, now=_now())
        coupon = NewCoupon("cpn_summer", CAMPAIGN_CODE)
        await coupons.issue(cx, CAMPAIGN, [coupon], most_uses=1, valid_to=None, actor=ACTOR, now=_now())


async def _catalogues(settings: Settings) -> dict[str, Any]:
    """Each supplier's catalogue by its workflow, as in life; what did not finish in time goes on by itself."""
    if settings.temporal_address is None:
        return dict.fromkeys(TICKET_SUPPLIERS, "no Temporal")
    client = await Client.connect(
        settings.temporal_address, namespace=settings.temporal_namespace, data_converter=pydantic_data_converter
    )
    reports: dict[str, Any] = {}
    # One after another: suppliers that sell the same product find each other's.
    for supplier_id in TICKET_SUPPLIERS:
        handle = await client.start_workflow(
            CatalogSyncWorkflow.run,
            CatalogSync(supplier_id),
            id=catalog_workflow_id(supplier_id),
            task_queue=CATALOG_TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Catalogue of {supplier_id}",
        )
        try:
            async with asyncio.timeout(SYNC_TIMEOUT.total_seconds()):
                reports[supplier_id] = asdict(await handle.result())
        except (TimeoutError, WorkflowFailureError) as error:
            log.warning("seed.catalogue_not_synced", supplier_id=supplier_id, reason=str(error))
            reports[supplier_id] = "not finished: does a worker run?"
        await _schedule(client, supplier_id)
    return reports


async def _schedule(client: Client, supplier_id: str) -> None:
    """From now on by itself; a schedule that exists stays as people have set it. A sync beside another is harmless."""
    sync = ScheduleActionStartWorkflow(
        CatalogSyncWorkflow.run,
        CatalogSync(supplier_id),
        id=catalog_workflow_id(supplier_id),
        task_queue=CATALOG_TASK_QUEUE,
        static_summary=f"Catalogue of {supplier_id}",
    )
    schedule = Schedule(
        action=sync,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=SYNC_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    with contextlib.suppress(ScheduleAlreadyRunningError):
        await client.create_schedule(catalog_workflow_id(supplier_id), schedule)


async def _warehouses(database: Database) -> None:
    async with database.transaction() as cx:
        for warehouse_id, facts in WAREHOUSES.items():
            if not await _exists(cx, "SELECT 1 FROM warehouses WHERE id = %s", warehouse_id):
                await warehouses.add_warehouse(cx, warehouse_id, facts, actor=ACTOR, now=_now())


async def _own_quota(database: Database) -> tuple[str, ...]:
    """Variants sold from our own stock. The receipt's key says whether this was done before."""
    done = []
    for names, units in OWN_QUOTA.items():
        sku_id = derived_id("sku", *names)
        async with database.transaction() as cx:
            if await _exists(cx, "SELECT 1 FROM skus WHERE id = %s", sku_id):
                done.append(sku_id)
                if not await _exists(cx, "SELECT 1 FROM stock_movements WHERE key = %s", f"seed/{sku_id}"):
                    await stock_policies.set_stock_policy(
                        cx, sku_id, "hold", lock_at_supplier=False, actor=ACTOR, now=_now()
                    )
                    movement = Movement(f"seed/{sku_id}", sku_id, "received", units, reason="bought in advance")
                    await stock.apply_movement(cx, movement, actor=ACTOR, now=_now())
    return tuple(done)


async def _exists(cx: Connection, query: str, value: str) -> bool:
    cursor = await cx.execute(query.encode(), (value,))
    return await cursor.fetchone() is not None


async def _put_tickets_on_shelf(database: Database) -> tuple[str, ...]:
    """Approved tickets with an offer go on the shelf; what a person took off stays off. Returns what is there."""
    everything = Visibility()
    async with database.transaction() as cx:
        approved = ProductQuery(status=ProductStatus.APPROVED, kind=TICKETS)
        for product in await catalog_reading.list_products(cx, approved, everything, after=None, limit=1000):
            if any(offer.active for sku in product.skus for offer in sku.offers):
                await catalog_writing.move_product(
                    cx, product.row["id"], ProductEvent.PUT_ON_SHELF, actor=ACTOR, now=_now(), reason="sample data"
                )
        on_shelf = ProductQuery(status=ProductStatus.ON_SHELF, kind=TICKETS)
        found = await catalog_reading.list_products(cx, on_shelf, everything, after=None, limit=1000)
    return tuple(product.row["id"] for product in found)
