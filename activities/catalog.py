"""Taking a supplier's catalogue in: read whole, each product written in a transaction of its own, then its sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from temporalio import activity

from activities.catalog_messages import (
    CatalogSync,
    ListedOptions,
    ProductsRead,
    ReadSessions,
    RetireVanished,
    SessionsRead,
)
from activities.supplier_directory import Directory
from adapters.suppliers import NotSent, Supplier, SupplierProduct, SupplierUnreadable
from domain.supplier_catalog import ListedSession, ListedUnit, Listing, ListingRefused
from storage import catalog_sync
from storage.catalog_sync import Outcome
from storage.database import Database

READ_TIMEOUT_S = 30.0

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    return datetime.now(UTC)


class CatalogActivities:
    """`directory` gives the adapter for a supplier's id, as its contract says now: a new supplier needs no restart."""

    def __init__(self, database: Database, directory: Directory, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock

    @activity.defn
    async def read_products(self, sync: CatalogSync) -> ProductsRead:
        """The supplier's catalogue into ours; nothing is ended here. Once-only by the supplier's product id.

        Read and written in one activity, since a whole catalogue is too much for a workflow's history.
        """
        supplier = await self._directory.supplier(sync.supplier_id)
        products = await supplier.read_products(timeout_s=READ_TIMEOUT_S)
        counts: Counter[Outcome] = Counter()
        refused: list[str] = []
        for product, reference in zip(products, _references(sync.supplier_id, products), strict=True):
            activity.heartbeat(product.product_id)
            try:
                listing = _listing(sync.supplier_id, product, reference)
            except ListingRefused as error:
                log.warning("listing.refused", supplier_id=sync.supplier_id, why=str(error))
                refused.append(product.product_id)
                continue
            async with self._database.transaction() as cx:
                counts[await catalog_sync.write_listing(cx, listing, self._clock())] += 1
        return ProductsRead(
            tuple(product.product_id for product in products),
            counts[Outcome.CREATED],
            counts[Outcome.CHANGED],
            counts[Outcome.UNCHANGED],
            tuple(refused),
            tuple(_options(product) for product in products if product.availability_required),
        )

    @activity.defn
    async def retire_vanished(self, message: RetireVanished) -> tuple[str, ...]:
        """Ends what the complete catalogue no longer lists; returns our products' ids. Repeating it finds nothing."""
        async with self._database.transaction() as cx:
            return tuple(await catalog_sync.retire_vanished(cx, message.supplier_id, message.seen, self._clock()))

    @activity.defn
    async def read_sessions(self, message: ReadSessions) -> SessionsRead:
        """Sessions of some products. An option that cannot be read keeps what it had. Once-only by availability id."""
        supplier = await self._directory.supplier(message.supplier_id)
        count, unreadable = 0, list[str]()
        for product in message.products:
            for option_id in product.option_ids:
                activity.heartbeat(product.product_id)
                try:
                    count += await self._option(supplier, message, product, option_id)
                except (SupplierUnreadable, NotSent) as error:
                    log.warning("sessions.unreadable", supplier_id=message.supplier_id, why=str(error))
                    unreadable.append(f"{product.product_id}/{option_id}")
        return SessionsRead(count, tuple(unreadable))

    async def _option(self, supplier: Supplier, message: ReadSessions, product: ListedOptions, option_id: str) -> int:
        zone, now = ZoneInfo(product.time_zone), self._clock()
        first = now.astimezone(zone).date()
        last = first + timedelta(days=message.days)
        read = await supplier.read_sessions(
            product.product_id,
            option_id,
            first_day=first.isoformat(),
            last_day=last.isoformat(),
            timeout_s=READ_TIMEOUT_S,
        )
        sessions = [
            ListedSession(each.availability_id, each.starts_at, each.ends_at, each.available, each.vacancies)
            for each in {each.availability_id: each for each in read}.values()
        ]
        async with self._database.transaction() as cx:
            await catalog_sync.write_sessions(
                cx,
                message.supplier_id,
                product.product_id,
                option_id,
                sessions,
                first_at=datetime.combine(first, datetime.min.time(), zone),
                last_at=datetime.combine(last, datetime.max.time(), zone),
                now=now,
            )
        return len(sessions)


def _references(supplier_id: str, products: Sequence[SupplierProduct]) -> list[str]:
    """The name under which each product is ours. A reference that its supplier uses twice joins nothing."""
    used = Counter(product.reference for product in products)
    return [
        product.reference
        if product.reference and used[product.reference] == 1
        else f"{supplier_id}:{product.product_id}"
        for product in products
    ]


def _listing(supplier_id: str, product: SupplierProduct, reference: str) -> Listing:
    """The adapter's value as the domain's. Raises ListingRefused."""
    units = [(option, unit) for option in product.options for unit in option.units]
    currencies = sorted({unit.currency for _, unit in units})
    if len(currencies) > 1:
        raise ListingRefused(supplier_id, product.product_id, f"its prices mix currencies ({', '.join(currencies)})")
    try:
        ZoneInfo(product.time_zone)
    except (ValueError, OSError, KeyError):
        raise ListingRefused(supplier_id, product.product_id, f"{product.time_zone!r} is no time zone") from None
    many = len(product.options) > 1
    return Listing(
        supplier_id,
        product.product_id,
        reference,
        product.title,
        product.description,
        product.time_zone,
        currencies[0] if currencies else "",
        product.availability_required,
        tuple(
            ListedUnit(
                option.option_id,
                unit.unit_id,
                f"{option.title}, {unit.title}" if many else unit.title,
                unit.retail_minor,
                unit.net_minor,
            )
            for option, unit in units
        ),
    )


def _options(product: SupplierProduct) -> ListedOptions:
    return ListedOptions(product.product_id, product.time_zone, tuple(option.option_id for option in product.options))
