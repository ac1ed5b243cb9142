"""Merchants' documents become drafts: products, variants, first prices and first stock, many in a few statements.

The caller's transaction holds all of it. An id that exists already writes nothing, so that repeating is harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.attributes import check_attributes
from domain.catalog import DEFAULT_CHANNEL, ProductStatus, UnknownCategory
from domain.imports import IMPORT_CURRENCY, DocumentRefused, Fault, ImportedProduct, ImportedSku, unknown_category
from domain.supplier_catalog import derived_id
from storage.catalog_search import index_products
from storage.category_attributes import definitions_of
from storage.database import Connection

IMPORT_TIME_ZONE = "Asia/Shanghai"
"""Where the merchants who write these documents are."""

PHYSICAL = "physical"

Values = dict[str, Any]
"""A row that is to be written. Many go as one JSON document, which is several times cheaper than arrays of texts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the catalogue says of a document: its `kind`, or the faults for which it cannot be taken."""

    kind: str
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that was found good, and the id under which it becomes a product of that kind."""

    product_id: str
    product: ImportedProduct
    kind: str

    def skus(self) -> list[tuple[str, ImportedSku]]:
        """The variants with their ids."""
        return [(derived_id("sku", self.product_id, str(index)), sku) for index, sku in enumerate(self.product.skus)]


async def create_imported(
    cx: Connection, product: ImportedProduct, *, product_id: str, actor: str, now: datetime
) -> str:
    """One draft's id: `product_id`, under which a second import writes nothing. Raises UnknownCategory,
    DocumentRefused."""
    verdict = (await judge(cx, [product]))[0]
    if not verdict.kind:
        raise unknown_category(product.category_id)
    if verdict.faults:
        raise DocumentRefused(verdict.faults)
    await create_drafts(cx, [Draft(product_id, product, verdict.kind)], actor=actor, now=now)
    return product_id


async def judge(cx: Connection, products: Sequence[ImportedProduct]) -> list[Verdict]:
    """For each document what its category says. A category of the tree wins; the merchants' families come after it."""
    asked = {each.category_id for each in products} | {each.family.id for each in products if each.family}
    cursor = await cx.execute("SELECT id, kind FROM categories WHERE id = ANY(%s)", (sorted(asked),))
    kinds = {str(row["id"]): str(row["kind"]) for row in await cursor.fetchall()}
    defined = await definitions_of(cx, sorted(kinds))
    verdicts = []
    for product in products:
        family = product.family
        node = product.category_id if product.category_id in kinds or family is None else family.id
        kind = kinds.get(node) or (family.kind if family else "")
        if kind:
            verdicts.append(Verdict(kind, tuple(check_attributes(product, defined.get(node, {})))))
        else:
            error: UnknownCategory = unknown_category(product.category_id)
            verdicts.append(Verdict("", (Fault("/categoryId", error.code, str(error)),)))
    return verdicts


async def create_drafts(cx: Connection, drafts: Sequence[Draft], *, actor: str, now: datetime) -> None:
    """Products with all that belongs to them, each logged. Those whose id exists stay as they are."""
    await _ensure_categories(cx, drafts)
    await _ensure_brands(cx, drafts)
    created = await _insert_products(cx, drafts, now)
    made = [draft for draft in drafts if draft.product_id in created]
    if not made:
        return
    await _insert_skus(cx, made, now)
    await _insert_first_stock(cx, made, actor, now)
    edits: list[Values] = [
        {
            "subject": draft.product_id,
            "after": {
                "title": draft.product.title,
                "category_id": draft.product.category_id,
                "skus": len(draft.product.skus),
            },
        }
        for draft in made
    ]
    await _log(cx, "product.import", "product", edits, actor, now)
    await index_products(cx, [draft.product_id for draft in made])


async def _ensure_categories(cx: Connection, drafts: Sequence[Draft]) -> None:
    """Categories of the merchants' families are made when they are first met, in one order, so that none deadlock."""
    asked = sorted({draft.product.category_id for draft in drafts})
    cursor = await cx.execute("SELECT id FROM categories WHERE id = ANY(%s)", (asked,))
    known = {str(row["id"]) for row in await cursor.fetchall()}
    roots: dict[str, Values] = {}
    nodes: dict[str, Values] = {}
    for draft in drafts:
        category_id, family = draft.product.category_id, draft.product.family
        if family is not None and category_id not in known:
            roots[family.id] = {"id": family.id, "parent_id": None, "name": family.name, "kind": draft.kind}
            name = f"{family.name} {category_id}"
            nodes[category_id] = {"id": category_id, "parent_id": family.id, "name": name, "kind": draft.kind}
    rows = [*(roots[each] for each in sorted(roots)), *(nodes[each] for each in sorted(nodes))]
    await cx.execute(
        """
        INSERT INTO categories (id, parent_id, name, kind)
        SELECT n.id, n.parent_id, n.name, n.kind
        FROM jsonb_to_recordset(%s) AS n (id text, parent_id text, name text, kind text)
        WHERE NOT EXISTS (SELECT FROM categories c WHERE c.id = n.id)
        ON CONFLICT (id) DO NOTHING
        """,
        (Jsonb(rows),),
    )


async def _ensure_brands(cx: Connection, drafts: Sequence[Draft]) -> None:
    brands: dict[str, str] = {}
    for draft in drafts:
        brand_id = draft.product.brand_id
        if brand_id is not None:
            name = _brand_name(draft.product) or brand_id
            brands[brand_id] = name if brands.get(brand_id, brand_id) == brand_id else brands[brand_id]
    rows = [{"id": brand_id, "name": name} for brand_id, name in sorted(brands.items())]
    await cx.execute(
        """
        INSERT INTO brands (id, name) SELECT n.id, n.name FROM jsonb_to_recordset(%s) AS n (id text, name text)
        WHERE NOT EXISTS (SELECT FROM brands b WHERE b.id = n.id AND (b.name <> b.id OR n.name = n.id))
        ON CONFLICT (id) DO UPDATE SET name = excluded.name
           WHERE brands.name = brands.id AND excluded.name <> excluded.id
        """,
        (Jsonb(rows),),
    )


async def _insert_products(cx: Connection, drafts: Sequence[Draft], now: datetime) -> set[str]:
    """The ids that are new."""
    rows = [
        {
            "id": draft.product_id,
            "category_id": draft.product.category_id,
            "brand_id": draft.product.brand_id,
            "kind": draft.kind,
            "title": draft.product.title,
            "description": draft.product.description,
            "attributes": [attribute.as_json() for attribute in draft.product.attributes],
        }
        for draft in drafts
    ]
    cursor = await cx.execute(
        """
        INSERT INTO products (id, category_id, brand_id, kind, title, description, attributes, status, time_zone,
            session_required, visitors_required, buyer_limit, terms, images, created_at, updated_at, version)
        SELECT n.*, %s, %s, false, false, 0, '{}', '[]', %s, %s, 1
        FROM jsonb_to_recordset(%s) AS n (id text, category_id text, brand_id text, kind text, title text,
            description text, attributes jsonb)
        ON CONFLICT DO NOTHING RETURNING id
        """,
        (ProductStatus.DRAFT, IMPORT_TIME_ZONE, now, now, Jsonb(rows)),
    )
    return {str(row["id"]) for row in await cursor.fetchall()}


async def _insert_skus(cx: Connection, drafts: Sequence[Draft], now: datetime) -> None:
    """Variants, each with its first price, in effect at once."""
    rows: list[Values] = []
    for draft in drafts:
        family = draft.product.family if draft.kind == PHYSICAL else None
        for sku_id, sku in draft.skus():
            rows.append(
                {
                    "id": sku_id,
                    "product_id": draft.product_id,
                    "title": sku.title,
                    "attributes": [attribute.as_json() for attribute in sku.attributes],
                    "weight_g": family and family.weight_g,
                    "size_mm": family and family.size_mm,
                    "amount_minor": sku.price_minor,
                }
            )
    # prices are named as catalog_writing.insert_price names them
    tail = f"_{DEFAULT_CHANNEL}_{IMPORT_CURRENCY}_{int(now.timestamp() * 1_000_000)}"
    await cx.execute(
        """
        WITH made AS (
            SELECT * FROM jsonb_to_recordset(%(rows)s) AS n (id text, product_id text, title text, attributes jsonb,
                weight_g int, size_mm jsonb, amount_minor bigint)),
        variants AS (
            INSERT INTO skus (id, product_id, title, attributes, weight_g, size_mm, stock_policy, updated_at)
            SELECT id, product_id, title, attributes, weight_g, size_mm, 'hold', %(now)s FROM made)
        INSERT INTO prices (id, sku_id, channel, currency, amount_minor, valid_from)
        SELECT 'prc_' || id || %(tail)s, id, %(channel)s, %(currency)s, amount_minor, %(now)s FROM made
        """,
        {
            "rows": Jsonb(rows),
            "now": now,
            "tail": tail,
            "channel": DEFAULT_CHANNEL,
            "currency": IMPORT_CURRENCY,
        },
    )


async def _insert_first_stock(cx: Connection, drafts: Sequence[Draft], actor: str, now: datetime) -> None:
    """What the documents say is there, as the first movement of new variants, in the default warehouse."""
    stocked = [(sku_id, sku.stock) for draft in drafts for sku_id, sku in draft.skus() if sku.stock > 0]
    await cx.execute(
        """
        WITH made AS (SELECT * FROM jsonb_to_recordset(%s) AS n (sku_id text, quantity bigint)),
        levels AS (INSERT INTO stock (sku_id, on_hand) SELECT sku_id, quantity FROM made)
        INSERT INTO stock_movements (key, sku_id, kind, quantity, reason, at)
        SELECT 'import/' || sku_id, sku_id, 'received', quantity, 'import', %s FROM made
        """,
        (Jsonb([{"sku_id": sku_id, "quantity": count} for sku_id, count in stocked]), now),
    )
    edits: list[Values] = [
        {"subject": sku_id, "before": {"on_hand": 0}, "after": {"on_hand": count, "reason": "import"}}
        for sku_id, count in stocked
    ]
    await _log(cx, "stock.received", "sku", edits, actor, now)


async def _log(cx: Connection, action: str, kind: str, edits: Sequence[Values], actor: str, now: datetime) -> None:
    """Rows of the operation log: `subject`, and what was `before` and `after`."""
    await cx.execute(
        """
        INSERT INTO operation_log (at, actor, action, subject_kind, subject_id, before, after)
        SELECT %s, %s, %s, %s, n.* FROM jsonb_to_recordset(%s) AS n (subject text, before jsonb, after jsonb)
        """,
        (now, actor, action, kind, Jsonb(list(edits))),
    )


def _brand_name(product: ImportedProduct) -> str | None:
    """Documents name the brand, if at all, among the basic attributes."""
    return next((each.value for each in product.attributes if each.name in ("品牌", "brand")), None)
