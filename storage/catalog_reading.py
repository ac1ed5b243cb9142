"""The catalogue as it is read: lists by change, a product with all that belongs to it, its sessions, its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.catalog import Price, ProductNotFound, ProductStatus
from storage.catalog import OfferRow
from storage.database import Connection

MAX_SESSIONS = 2000
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Visibility:
    """What a caller may see of the catalogue: everything, or what one of its grants names, in certain states."""

    everything: bool = True
    statuses: tuple[ProductStatus, ...] = tuple(ProductStatus)
    product_ids: tuple[str, ...] = ()
    category_ids: tuple[str, ...] = ()
    supplier_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProductQuery:
    """Filters of a list; None: whatever. Times are in UTC."""

    status: ProductStatus | None = None
    kind: str | None = None
    category_id: str | None = None
    supplier_id: str | None = None
    updated_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class SkuDetail:
    """A variant with its prices of all channels and its offers by rank; `available` is None: the supplier's stock."""

    row: Row
    prices: tuple[Price, ...]
    offers: tuple[OfferRow, ...]
    available: int | None


@dataclass(frozen=True, slots=True)
class ProductDetail:
    """A product with its variants; `category_path` is from the product's category up to the root."""

    row: Row
    category_path: tuple[str, ...]
    skus: tuple[SkuDetail, ...] = field(default_factory=tuple)


VISIBLE = """
    p.status = ANY(%(statuses)s) AND (%(everything)s OR p.id = ANY(%(product_ids)s)
        OR p.category_id IN (SELECT id FROM granted)
        OR EXISTS (SELECT FROM offers o JOIN skus s ON s.id = o.sku_id
                   WHERE s.product_id = p.id AND o.active AND o.supplier_id = ANY(%(supplier_ids)s)))
"""
GRANTED = """
    WITH RECURSIVE granted (id) AS (
        SELECT unnest(%(category_ids)s::text[])
        UNION SELECT c.id FROM granted g JOIN categories c ON c.parent_id = g.id),
    chosen (id) AS (
        SELECT %(category)s::text
        UNION SELECT c.id FROM chosen g JOIN categories c ON c.parent_id = g.id)
"""


def visibility_parameters(visible: Visibility) -> dict[str, Any]:
    """What VISIBLE and GRANTED name."""
    return {
        "everything": visible.everything,
        "statuses": [str(status) for status in visible.statuses],
        "product_ids": list(visible.product_ids),
        "category_ids": list(visible.category_ids),
        "supplier_ids": list(visible.supplier_ids),
        "category": None,
    }


async def list_products(
    cx: Connection, query: ProductQuery, visible: Visibility, *, after: tuple[datetime, str] | None, limit: int
) -> list[ProductDetail]:
    """Products in the order of their last change, so that a reader who goes on from the end misses nothing."""
    cursor = await cx.execute(
        f"""{GRANTED} SELECT p.id FROM products p
        WHERE {VISIBLE}
          AND (%(status)s::text IS NULL OR p.status = %(status)s) AND (%(kind)s::text IS NULL OR p.kind = %(kind)s)
          AND (%(category)s::text IS NULL OR p.category_id IN (SELECT id FROM chosen))
          AND (%(supplier)s::text IS NULL OR EXISTS (SELECT FROM offers o JOIN skus s ON s.id = o.sku_id
               WHERE s.product_id = p.id AND o.active AND o.supplier_id = %(supplier)s))
          AND (%(since)s::timestamptz IS NULL OR p.updated_at >= %(since)s)
          AND (%(after_at)s::timestamptz IS NULL OR (p.updated_at, p.id) > (%(after_at)s, %(after_id)s::text))
        ORDER BY p.updated_at, p.id LIMIT %(limit)s""",
        {
            **visibility_parameters(visible),
            "status": query.status,
            "kind": query.kind,
            "category": query.category_id,
            "supplier": query.supplier_id,
            "since": query.updated_since,
            "after_at": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
        },
    )
    return await load_products(cx, [str(row["id"]) for row in await cursor.fetchall()])


async def get_product(cx: Connection, product_id: str, visible: Visibility) -> ProductDetail:
    """Raises ProductNotFound: what a caller may not see does not exist for it."""
    cursor = await cx.execute(
        f"{GRANTED} SELECT p.id FROM products p WHERE p.id = %(id)s AND {VISIBLE}",
        {**visibility_parameters(visible), "id": product_id},
    )
    if await cursor.fetchone() is None:
        raise ProductNotFound(product_id)
    return (await load_products(cx, [product_id]))[0]


async def load_products(cx: Connection, product_ids: Sequence[str]) -> list[ProductDetail]:
    """These products in this order, each with all that belongs to it: four reads, however many products."""
    ids = list(product_ids)
    cursor = await cx.execute(
        """
        WITH RECURSIVE up (product_id, id, parent_id, depth) AS (
            SELECT p.id, c.id, c.parent_id, 0 FROM products p JOIN categories c ON c.id = p.category_id
            WHERE p.id = ANY(%(ids)s)
            UNION ALL SELECT u.product_id, c.id, c.parent_id, depth + 1
                FROM up u JOIN categories c ON c.id = u.parent_id)
        SELECT p.*, b.name AS brand_name,
            (SELECT array_agg(u.id ORDER BY depth) FROM up u WHERE u.product_id = p.id) AS category_path
        FROM products p LEFT JOIN brands b ON b.id = p.brand_id WHERE p.id = ANY(%(ids)s)
        """,
        {"ids": ids},
    )
    products = {row["id"]: row for row in await cursor.fetchall()}
    skus = await _skus(cx, ids)
    return [
        ProductDetail(products[each], tuple(products[each]["category_path"] or ()), tuple(skus.get(each, [])))
        for each in ids
        if each in products
    ]


async def _skus(cx: Connection, product_ids: list[str]) -> dict[str, list[SkuDetail]]:
    cursor = await cx.execute(
        """
        SELECT s.*, CASE WHEN s.stock_policy = 'codes'
                THEN (SELECT count(*) FROM codes c WHERE c.sku_id = s.id AND c.state = 'available'
                      AND (c.valid_to IS NULL OR c.valid_to > now()))
                ELSE coalesce(sum(k.on_hand - k.held), 0)::bigint END AS available
        FROM skus s LEFT JOIN stock k ON k.sku_id = s.id WHERE s.product_id = ANY(%s) GROUP BY s.id ORDER BY s.id
        """,
        (product_ids,),
    )
    rows = await cursor.fetchall()
    ids = [row["id"] for row in rows]
    cursor = await cx.execute(
        "SELECT sku_id, channel, currency, amount_minor, valid_from, valid_to FROM prices WHERE sku_id = ANY(%s) "
        "ORDER BY sku_id, channel, currency, valid_from",
        (ids,),
    )
    prices: dict[str, list[Price]] = {}
    for price in await cursor.fetchall():
        prices.setdefault(price.pop("sku_id"), []).append(Price(**price))
    cursor = await cx.execute("SELECT * FROM offers WHERE sku_id = ANY(%s) ORDER BY sku_id, rank, id", (ids,))
    offers: dict[str, list[OfferRow]] = {}
    for offer in await cursor.fetchall():
        offers.setdefault(offer["sku_id"], []).append(OfferRow(**offer))
    found: dict[str, list[SkuDetail]] = {}
    for row in rows:
        available = None if row["stock_policy"] == "none" else row["available"]
        detail = SkuDetail(row, tuple(prices.get(row["id"], ())), tuple(offers.get(row["id"], ())), available)
        found.setdefault(row["product_id"], []).append(detail)
    return found


async def list_sessions(cx: Connection, product_id: str, first_at: datetime, last_at: datetime) -> list[Row]:
    """Sessions that begin in [first_at, last_at), by start: one row per option and start, over all its suppliers.

    `vacancies` is the best supplier's, since an order is filled by one; None where none of them counts.
    """
    cursor = await cx.execute(
        """
        SELECT e.availability_id, e.option_id, min(e.starts_at) AS starts_at, max(e.ends_at) AS ends_at,
            bool_or(e.available) AS available, max(e.vacancies) FILTER (WHERE e.available) AS vacancies,
            max(e.read_at) AS read_at, array_agg(DISTINCT o.sku_id ORDER BY o.sku_id) AS sku_ids
        FROM sessions e JOIN offers o ON o.supplier_id = e.supplier_id
            AND o.supplier_product_id = e.supplier_product_id AND o.option_id = e.option_id AND o.active
        JOIN skus s ON s.id = o.sku_id
        WHERE s.product_id = %s AND e.starts_at >= %s AND e.starts_at < %s
        GROUP BY e.availability_id, e.option_id ORDER BY starts_at, e.option_id LIMIT %s
        """,
        (product_id, first_at, last_at, MAX_SESSIONS),
    )
    return list(await cursor.fetchall())


async def read_log(cx: Connection, subjects: Sequence[str], *, before: int | None, limit: int) -> list[Row]:
    """The operation log of these subjects, newest first."""
    cursor = await cx.execute(
        """
        SELECT id, at, actor, action, subject_kind, subject_id, before, after FROM operation_log
        WHERE subject_id = ANY(%s) AND (%s::bigint IS NULL OR id < %s) ORDER BY id DESC LIMIT %s
        """,
        (list(subjects), before, before, limit),
    )
    return list(await cursor.fetchall())
