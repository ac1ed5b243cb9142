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
    await _log(
        cx,
        "product.import",
        "product",
        [
            (each.product_id, None, {"title": p.title, "category_id": p.category_id, "skus": len(p.skus)})
            for each in made
            for p in (each.product,)
        ],
        actor,
        now,
    )
    await index_products(cx, [draft.product_id for draft in made])


async def _ensure_categories(cx: Connection, drafts: Sequence[Draft]) -> None:
    """Categories of the merchants' families are made when they are first met, in one order, so that none deadlock."""
    asked = sorted({draft.product.category_id for draft in drafts})
    cursor = await cx.execute("SELECT id FROM categories WHERE id = ANY(%s)", (asked,))
    known = {str(row["id"]) for row in await cursor.fetchall()}
    roots: dict[str, tuple[str, str | None, str, str]] = {}
    nodes: dict[str, tuple[str, str | None, str, str]] = {}
    for draft in drafts:
        category_id, family = draft.product.category_id, draft.product.family
        if family is not None and category_id not in known:
            roots[family.id] = (family.id, None, family.name, draft.kind)
            nodes[category_id] = (category_id, family.id, f"{family.name} {category_id}", draft.kind)
    rows = [*(roots[each] for each in sorted(roots)), *(nodes[each] for each in sorted(nodes))]
    await cx.execute(
        """
        INSERT INTO categories (id, parent_id, name, kind)
        SELECT n.id, n.parent_id, n.name, n.kind
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS n (id, parent_id, name, kind)
        WHERE NOT EXISTS (SELECT FROM categories c WHERE c.id = n.id)
        ON CONFLICT (id) DO NOTHING
        """,
        _columns(rows, 4),
    )


async def _ensure_brands(cx: Connection, drafts: Sequence[Draft]) -> None:
    brands: dict[str, str] = {}
    for draft in drafts:
        brand_id = draft.product.brand_id
        if brand_id is not None:
            brands.setdefault(brand_id, _brand_name(draft.product) or brand_id)
    await cx.execute(
        "INSERT INTO brands (id, name) SELECT n.id, n.name FROM unnest(%s::text[], %s::text[]) AS n (id, name) "
        "WHERE NOT EXISTS (SELECT FROM brands b WHERE b.id = n.id) ON CONFLICT (id) DO NOTHING",
        _columns(sorted(brands.items()), 2),
    )


async def _insert_products(cx: Connection, drafts: Sequence[Draft], now: datetime) -> set[str]:
    """The ids that are new."""
    rows = [
        (
            draft.product_id,
            product.category_id,
            product.brand_id,
            draft.kind,
            product.title,
            product.description,
            Jsonb([attribute.as_json() for attribute in product.attributes]),
        )
        for draft in drafts
        for product in (draft.product,)
    ]
    cursor = await cx.execute(
        """
        INSERT INTO products (id, category_id, brand_id, kind, title, description, attributes, status, time_zone,
            session_required, visitors_required, buyer_limit, terms, images, created_at, updated_at, version)
        SELECT n.*, %s, %s, false, false, 0, '{}', '[]', %s, %s, 1
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[]) AS n
        ON CONFLICT DO NOTHING RETURNING id
        """,
        (ProductStatus.DRAFT, IMPORT_TIME_ZONE, now, now, *_columns(rows, 7)),
    )
    return {str(row["id"]) for row in await cursor.fetchall()}


async def _insert_skus(cx: Connection, drafts: Sequence[Draft], now: datetime) -> None:
    """Variants, each with its first price, in effect at once."""
    rows: list[tuple[Any, ...]] = []
    for draft in drafts:
        family = draft.product.family if draft.kind == PHYSICAL else None
        weight_g = None if family is None else family.weight_g
        size_mm = None if family is None or family.size_mm is None else Jsonb(list(family.size_mm))
        for sku_id, sku in draft.skus():
            attributes = Jsonb([attribute.as_json() for attribute in sku.attributes])
            rows.append((sku_id, draft.product_id, sku.title, attributes, weight_g, size_mm))
    await cx.execute(
        """
        INSERT INTO skus (id, product_id, title, attributes, weight_g, size_mm, stock_policy, updated_at)
        SELECT n.*, 'hold', %s
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[], %s::int[], %s::jsonb[]) AS n
        """,
        (now, *_columns(rows, 6)),
    )
    prices = [(sku_id, sku.price_minor) for draft in drafts for sku_id, sku in draft.skus()]
    # as catalog_writing.insert_price names them
    tail = f"_{DEFAULT_CHANNEL}_{IMPORT_CURRENCY}_{int(now.timestamp() * 1_000_000)}"
    await cx.execute(
        """
        INSERT INTO prices (id, sku_id, channel, currency, amount_minor, valid_from)
        SELECT 'prc_' || n.sku_id || %s, n.sku_id, %s, %s, n.amount_minor, %s
        FROM unnest(%s::text[], %s::bigint[]) AS n (sku_id, amount_minor)
        """,
        (tail, DEFAULT_CHANNEL, IMPORT_CURRENCY, now, *_columns(prices, 2)),
    )


async def _insert_first_stock(cx: Connection, drafts: Sequence[Draft], actor: str, now: datetime) -> None:
    """What the documents say is there, as the first movement of new variants, in the default warehouse."""
    stocked = [(sku_id, sku.stock) for draft in drafts for sku_id, sku in draft.skus() if sku.stock > 0]
    columns = _columns(stocked, 2)
    await cx.execute(
        "INSERT INTO stock (sku_id, on_hand) SELECT * FROM unnest(%s::text[], %s::bigint[])",
        columns,
    )
    await cx.execute(
        """
        INSERT INTO stock_movements (key, sku_id, kind, quantity, reason, at)
        SELECT 'import/' || n.sku_id, n.sku_id, 'received', n.quantity, 'import', %s
        FROM unnest(%s::text[], %s::bigint[]) AS n (sku_id, quantity)
        """,
        (now, *columns),
    )
    logged = [(sku_id, {"on_hand": 0}, {"on_hand": count, "reason": "import"}) for sku_id, count in stocked]
    await _log(cx, "stock.received", "sku", logged, actor, now)


Logged = tuple[str, dict[str, Any] | None, dict[str, Any]]


async def _log(cx: Connection, action: str, kind: str, edits: Sequence[Logged], actor: str, now: datetime) -> None:
    """Rows of the operation log: subject, before, after."""
    rows = [(subject, None if before is None else Jsonb(before), Jsonb(after)) for subject, before, after in edits]
    await cx.execute(
        """
        INSERT INTO operation_log (at, actor, action, subject_kind, subject_id, before, after)
        SELECT %s, %s, %s, %s, n.* FROM unnest(%s::text[], %s::jsonb[], %s::jsonb[]) AS n
        """,
        (now, actor, action, kind, *_columns(rows, 3)),
    )


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> tuple[list[Any], ...]:
    """Rows turned into the arrays that `unnest` takes."""
    return tuple([row[index] for row in rows] for index in range(width))


def _brand_name(product: ImportedProduct) -> str | None:
    """Documents name the brand, if at all, among the basic attributes."""
    return next((each.value for each in product.attributes if each.name in ("品牌", "brand")), None)
