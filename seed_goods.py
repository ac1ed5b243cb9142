"""Sample goods beside the suppliers' tickets: parcels, data packs, codes, and tickets of our own gate."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from domain.catalog import ProductEvent, ProductStatus
from domain.imports import parse_product
from domain.payments import LatePayment
from domain.supplier_catalog import derived_id
from seed_suppliers import CARRIERS, DATA_PACKS, PACK_OPTION, PACK_UNIT, PARCEL_OPTION, PARCEL_PRODUCT, PARCEL_UNIT
from storage import catalog_reading, catalog_writing, codes, offers, stock, stock_policies
from storage.catalog_imports import create_imported
from storage.catalog_reading import ProductDetail, Visibility
from storage.database import Connection, Database
from storage.offers import NewOffer, OfferMade
from storage.stock import Movement

DOCUMENTS = Path(__file__).with_name("seeds")

OWN_TICKETS = ("1001", "Tickets of our own"), ("1001001", "Evenings")
"""The branch of the category tree whose tickets nobody outside issues: (id, name) of the root and of its child."""

CODES_PER_SKU = 400
"""How many audio guides are in each variant's pool."""

WEST = "west"
WEST_PIECES = 36
"""What of each physical variant is in the second warehouse, as in the first: larger orders go in two parcels."""

UNFINISHED = "paper-lantern"
"""The document that stays a draft: something to try the lifecycle on."""

LATE_PAYMENT: Mapping[str, LatePayment] = {
    "garden-evening": LatePayment.REVIVE,
    "audio-guide": LatePayment.REFUND,
}
"""What money does that comes when its order is gone, where it is not the usual: an evening in the garden is bought
again even when its order was canceled, a code never is."""

ON_SHELF_BY: tuple[ProductEvent, ...] = (ProductEvent.SUBMIT, ProductEvent.APPROVE, ProductEvent.PUT_ON_SHELF)


async def ensure_goods(database: Database, *, actor: str, now: datetime) -> tuple[str, ...]:
    """Every document of `seeds/` as a product on the shelf with all that selling it needs. Returns their ids.

    What people have done to a product since is left as it is: only a fresh draft is prepared.
    """
    await _categories(database)
    await _carriers_offers(database, actor, now)
    products = []
    for path in sorted(DOCUMENTS.glob("*.json")):
        document = parse_product(await asyncio.to_thread(path.read_bytes))
        product_id = derived_id("prd", "seed", path.stem)
        async with database.transaction() as cx:
            await create_imported(cx, document, product_id=product_id, actor=actor, now=now)
            product = await catalog_reading.get_product(cx, product_id, Visibility())
            if product.row["status"] == ProductStatus.DRAFT and path.stem != UNFINISHED:
                await _prepare(cx, path.stem, product, actor, now)
        products.append(product_id)
    return tuple(products)


async def _categories(database: Database) -> None:
    (root, root_name), (child, child_name) = OWN_TICKETS
    async with database.transaction() as cx:
        await catalog_writing.ensure_category(cx, root, None, root_name, "ticket")
        await catalog_writing.ensure_category(cx, child, root, child_name, "ticket")


async def _carriers_offers(database: Database, actor: str, now: datetime) -> None:
    """Each carrier carries all physical goods, where it goes; the cheap one near by is asked first."""
    ranked = sorted(CARRIERS.items(), key=lambda each: each[1].cost_minor)
    for rank, (carrier_id, carrier) in enumerate(ranked):
        regions = None if carrier.regions is None else [f"CN/{region}" for region in carrier.regions]
        offer = NewOffer(
            derived_id("off", "parcel", carrier_id), carrier_id, PARCEL_PRODUCT, PARCEL_OPTION, PARCEL_UNIT,
            carrier.cost_minor, rank, kind="physical", regions=regions,
        )  # fmt: skip
        try:
            async with database.transaction() as cx:
                await offers.insert_offer(cx, offer, actor=actor, now=now)
        except OfferMade:
            continue


async def _prepare(cx: Connection, name: str, product: ProductDetail, actor: str, now: datetime) -> None:
    for number, sku in enumerate(product.skus):
        sku_id = sku.row["id"]
        if name == "audio-guide":
            await stock_policies.set_stock_policy(cx, sku_id, "codes", lock_at_supplier=False, actor=actor, now=now)
            pool = [f"AG{number + 1}-{secrets.token_hex(6).upper()}" for _ in range(CODES_PER_SKU)]
            await codes.load(cx, sku_id, pool, valid_to=None, now=now)
        elif name == "data-pack":
            await _pack_offer(cx, sku_id, sku.row["attributes"], actor, now)
        elif product.row["kind"] == "physical":
            movement = Movement(f"seed/{WEST}/{sku_id}", sku_id, "received", WEST_PIECES, WEST, "sample data")
            await stock.apply_movement(cx, movement, actor=actor, now=now)
    if name in LATE_PAYMENT:
        changes = {"late_payment": str(LATE_PAYMENT[name])}
        await catalog_writing.edit_product(cx, product.row["id"], changes, if_version=None, actor=actor, now=now)
    for event in ON_SHELF_BY:
        await catalog_writing.move_product(cx, product.row["id"], event, actor=actor, now=now, reason="sample data")


async def _pack_offer(
    cx: Connection, sku_id: str, attributes: list[Mapping[str, object]], actor: str, now: datetime
) -> None:
    """What the operator calls the pack is the variant's own sales attribute."""
    code = next(str(each["value"]) for each in attributes if str(each["value"]) in DATA_PACKS)
    offer = NewOffer(
        derived_id("off", "mobilink", sku_id), "mobilink", code, PACK_OPTION, PACK_UNIT, DATA_PACKS[code], 0,
        sku_id=sku_id,
    )  # fmt: skip
    await offers.insert_offer(cx, offer, actor=actor, now=now)
