"""A merchant's document becomes a draft: product, variants, first prices and first stock, in one transaction."""

from __future__ import annotations

from datetime import datetime

from domain.catalog import ProductStatus
from domain.imports import IMPORT_CURRENCY, ImportedProduct
from domain.supplier_catalog import derived_id
from storage.catalog_log import log_operation
from storage.catalog_writing import NewProduct, NewSku, ensure_brand, ensure_category, insert_product, insert_sku
from storage.database import Connection
from storage.stock import Movement, apply_movement

IMPORT_TIME_ZONE = "Asia/Shanghai"
"""Where the merchants who write these documents are."""


async def create_imported(
    cx: Connection, product: ImportedProduct, *, product_id: str, actor: str, now: datetime
) -> str:
    """The draft's id: `product_id`, under which a second import writes nothing."""
    family = product.family
    await ensure_category(cx, family.id, None, family.name, family.kind)
    await ensure_category(cx, product.category_id, family.id, f"{family.name} {product.category_id}", family.kind)
    if product.brand_id is not None:
        await ensure_brand(cx, product.brand_id, _brand_name(product) or product.brand_id)
    draft = NewProduct(
        product_id,
        product.category_id,
        family.kind,
        product.title,
        product.description,
        IMPORT_TIME_ZONE,
        ProductStatus.DRAFT,
        brand_id=product.brand_id,
        attributes=[attribute.as_json() for attribute in product.attributes],
    )
    if not await insert_product(cx, draft, now):
        return product_id
    await _create_skus(cx, product, product_id, actor, now)
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action="product.import",
        subject=("product", product_id),
        before=None,
        after={"title": product.title, "category_id": product.category_id, "skus": len(product.skus)},
    )
    return product_id


async def _create_skus(cx: Connection, product: ImportedProduct, product_id: str, actor: str, now: datetime) -> None:
    for index, sku in enumerate(product.skus):
        sku_id = derived_id("sku", product_id, str(index))
        new = NewSku(
            sku_id,
            sku.title,
            sku.price_minor,
            IMPORT_CURRENCY,
            attributes=[attribute.as_json() for attribute in sku.attributes],
            weight_g=product.family.weight_g,
            size_mm=None if product.family.size_mm is None else list(product.family.size_mm),
        )
        await insert_sku(cx, product_id, new, now)
        if sku.stock > 0:
            received = Movement(f"import/{sku_id}", sku_id, "received", sku.stock, reason="import")
            await apply_movement(cx, received, actor=actor, now=now)


def _brand_name(product: ImportedProduct) -> str | None:
    """Documents name the brand, if at all, among the basic attributes."""
    return next((each.value for each in product.attributes if each.name in ("品牌", "brand")), None)
