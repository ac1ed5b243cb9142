"""Full-text search over products: one row of words per product, and questions answered by its one GIN index.

The words follow from the product and its variants alone. `index_products` is the one place that writes them, called by
whatever makes or touches a product (catalog_writing.py); names of brands and categories are looked up when a question
is asked, so that renaming one costs one row. The row stands beside the product, not in it: a change of a price or a
state then writes nothing into the index of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlmodel
from psycopg.types.json import Jsonb
from sqlalchemy import Column, Index
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import SQLModel

from domain.catalog import DEFAULT_CHANNEL, ProductStatus
from domain.search import Field, Term, any_of, facet, facet_part, mentions, phrase, terms, vector
from storage.catalog_reading import GRANTED, VISIBLE, Row, Visibility, visibility_parameters
from storage.database import Connection

MAX_NAMED = 200
"""Brands, and categories, that one word of a question may stand for by their names."""

MAX_CANDIDATES = 2000
"""Names that are looked at for that: those that have the word's letters anywhere."""


class ProductSearchRow(SQLModel, table=True):
    """What a product is found by."""

    __tablename__ = "product_search"
    __table_args__ = (Index("product_search_words", "words", postgresql_using="gin"),)

    product_id: str = sqlmodel.Field(primary_key=True, foreign_key="products.id")
    words: str = sqlmodel.Field(sa_column=Column(TSVECTOR, nullable=False))


@dataclass(frozen=True, slots=True)
class Search:
    """A question. `attributes` are (name, value); prices are minor units of `currency`, in effect in `channel` at
    `now`; None: whatever."""

    now: datetime
    text: str = ""
    category_id: str | None = None
    brand_id: str | None = None
    kind: str | None = None
    status: ProductStatus | None = None
    attributes: tuple[tuple[str, str], ...] = field(default_factory=tuple)
    price_min_minor: int | None = None
    price_max_minor: int | None = None
    currency: str = ""
    channel: str = DEFAULT_CHANNEL

    @property
    def priced(self) -> bool:
        """Whether it narrows the price."""
        return self.price_min_minor is not None or self.price_max_minor is not None


@dataclass(frozen=True, slots=True)
class Found:
    """A product with how well it fits (more is better)."""

    product_id: str
    rank: float


_READ = """
    SELECT p.id, p.title, p.description, p.kind, p.category_id, p.brand_id, p.attributes,
        coalesce(jsonb_agg(jsonb_build_object('title', s.title, 'attributes', s.attributes) ORDER BY s.id)
            FILTER (WHERE s.id IS NOT NULL), '[]') AS skus
    FROM products p LEFT JOIN skus s ON s.product_id = p.id WHERE p.id = ANY(%s) GROUP BY p.id ORDER BY p.id
"""


async def index_products(cx: Connection, product_ids: Sequence[str]) -> None:
    """Write the words of these products as they are in this transaction. Their rows must be the caller's own (locked
    or just made). What is the same already is not written again."""
    rows = await (await cx.execute(_READ, (list(product_ids),))).fetchall()
    await cx.execute(
        """
        INSERT INTO product_search (product_id, words)
        SELECT id, words::tsvector FROM jsonb_to_recordset(%s) AS made (id text, words text)
        ON CONFLICT (product_id) DO UPDATE SET words = excluded.words
        WHERE product_search.words IS DISTINCT FROM excluded.words
        """,
        (Jsonb([{"id": row["id"], "words": words_of(row)} for row in rows]),),
    )


async def index_missing(cx: Connection, limit: int = 500) -> int:
    """Products that were made before there was a search, or by a version that knew none; how many were indexed."""
    cursor = await cx.execute(
        "SELECT p.id FROM products p WHERE NOT EXISTS (SELECT FROM product_search s WHERE s.product_id = p.id) "
        "ORDER BY p.id LIMIT %s FOR UPDATE OF p SKIP LOCKED",
        (limit,),
    )
    ids = [str(row["id"]) for row in await cursor.fetchall()]
    if ids:
        await index_products(cx, ids)
    return len(ids)


def words_of(row: Row) -> str:
    """The words of a product (a row of _READ) as the text of a `tsvector`."""
    attributes = [*_pairs(row["attributes"])]
    for sku in row["skus"]:
        attributes += _pairs(sku["attributes"])
    attributes = list(dict.fromkeys(attributes))
    fields = [
        Field(row["title"], "A"),
        *(Field(title, "B") for title in dict.fromkeys(sku["title"] for sku in row["skus"])),
        *(Field(value, "C") for value in dict.fromkeys(value for _, value in attributes)),
        Field(row["description"], "D"),
    ]
    facets = [facet("k", row["kind"]), _category(row["category_id"])]
    if row["brand_id"] is not None:
        facets.append(_brand(row["brand_id"]))
    return vector(fields, [*facets, *(facet("a", name, value) for name, value in attributes)])


def _pairs(attributes: object) -> list[tuple[str, str]]:
    """(name, value) of what is an attribute; people may have edited others into the document."""
    entries = attributes if isinstance(attributes, list) else []
    pairs = [(each.get("name"), each.get("value")) for each in entries if isinstance(each, Mapping)]
    return [(name, value) for name, value in pairs if isinstance(name, str) and isinstance(value, str)]


def _category(category_id: str) -> str:
    # ids are compared as they are: `facet` would fold capitals
    return f"c:{category_id}"


def _brand(brand_id: str) -> str:
    return f"b:{brand_id}"


async def search_products(
    cx: Connection, search: Search, visible: Visibility, *, after: tuple[float, str] | None, limit: int
) -> list[Found]:
    """The best first; of equals, by id. Needs a transaction: its statements are planned for the words at hand."""
    await cx.execute("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
    statement, values = await statement_of(cx, search, visible, after=after, limit=limit)
    rows = await (await cx.execute(statement.encode(), values)).fetchall()
    return [Found(row["product_id"], row["rank"]) for row in rows]


async def statement_of(
    cx: Connection, search: Search, visible: Visibility, *, after: tuple[float, str] | None, limit: int
) -> tuple[str, dict[str, Any]]:
    """The search as SQL with its values; only clauses that narrow stand in it."""
    asked = terms(search.text)
    query = await _query(cx, search, asked)
    values: dict[str, Any] = {**visibility_parameters(visible), "query": query, "limit": limit}
    clauses = [VISIBLE]
    if query:
        clauses.append("s.words @@ %(query)s::tsquery")
    if search.status is not None:
        clauses.append("p.status = %(status)s")
        values["status"] = search.status
    if search.priced:
        clauses.append(_PRICED)
        values |= {
            "low": search.price_min_minor or 0,
            "high": 2**62 if search.price_max_minor is None else search.price_max_minor,
            "currency": search.currency,
            "channel": search.channel,
            "default": DEFAULT_CHANNEL,
            "now": search.now,
        }
    rank = "ts_rank(s.words, %(query)s::tsquery)::float8" if asked else "0::float8"
    going_on = "true"
    if after is not None:
        going_on = "(rank < %(rank)s::float8 OR (rank = %(rank)s::float8 AND product_id > %(id)s::text))"
        values |= {"rank": after[0], "id": after[1]}
        if not asked:
            going_on = "product_id > %(id)s::text"
    statement = f"""{GRANTED}
        SELECT product_id, rank FROM (
            SELECT s.product_id, {rank} AS rank FROM product_search s JOIN products p ON p.id = s.product_id
            WHERE {" AND ".join(clauses)}) found
        WHERE {going_on} ORDER BY {"rank DESC, " if asked else ""}product_id LIMIT %(limit)s"""
    return statement, values


_PRICED = """
    EXISTS (
        SELECT FROM prices near JOIN skus v ON v.id = near.sku_id
        CROSS JOIN LATERAL (
            SELECT amount_minor FROM prices e
            WHERE e.sku_id = v.id AND e.currency = %(currency)s AND e.channel IN (%(channel)s, %(default)s)
              AND e.valid_from <= %(now)s AND (e.valid_to IS NULL OR e.valid_to > %(now)s)
            ORDER BY e.channel = %(channel)s DESC, e.valid_from DESC LIMIT 1) effective
        WHERE v.product_id = p.id AND near.currency = %(currency)s AND near.amount_minor BETWEEN %(low)s AND %(high)s
          AND effective.amount_minor BETWEEN %(low)s AND %(high)s)
"""
"""The price in effect as domain.catalog.price_at chooses it; `near` lets the index of amounts narrow first."""


async def _query(cx: Connection, search: Search, asked: Sequence[Term]) -> str:
    """The text of the `tsquery`: every term, or a brand or category named so; and every filter that is a facet."""
    names = await _names(cx, asked) if asked else {}
    parts = [any_of([phrase(term), *map(facet_part, names.get(term, ()))]) for term in asked]
    if search.kind is not None:
        parts.append(facet_part(facet("k", search.kind)))
    if search.brand_id is not None:
        parts.append(facet_part(_brand(search.brand_id)))
    parts += [facet_part(facet("a", name, value)) for name, value in search.attributes]
    if search.category_id is not None:
        below = await _below(cx, [search.category_id])
        parts.append(any_of([facet_part(_category(each)) for each in below]))
    return " & ".join(parts)


async def _names(cx: Connection, asked: Sequence[Term]) -> dict[Term, list[str]]:
    """For each term the facets of brands, and of categories with all below them, whose name has it."""
    found: dict[Term, list[str]] = {}
    for term in asked:
        like = {"like": f"%{_escaped(term.text)}%", "limit": MAX_CANDIDATES}
        brands = await _named(cx, "brands", like, term)
        categories = await _named(cx, "categories", like, term)
        found[term] = [_brand(each) for each in brands]
        if categories:
            found[term] += [_category(each) for each in await _below(cx, categories)]
    return found


async def _named(cx: Connection, table: str, like: Mapping[str, Any], term: Term) -> list[str]:
    cursor = await cx.execute(
        f"SELECT id, name FROM {table} WHERE lower(normalize(name, NFKC)) LIKE %(like)s ORDER BY id LIMIT %(limit)s",
        like,
    )
    named = [str(row["id"]) for row in await cursor.fetchall() if mentions(row["name"], term)]
    return named[:MAX_NAMED]


async def _below(cx: Connection, category_ids: Iterable[str]) -> list[str]:
    """These categories, which need not exist, and all below them."""
    cursor = await cx.execute(
        """
        WITH RECURSIVE below (id) AS (
            SELECT unnest(%s::text[])
            UNION SELECT c.id FROM below b JOIN categories c ON c.parent_id = b.id)
        SELECT id FROM below ORDER BY id
        """,
        (list(category_ids),),
    )
    return [str(row["id"]) for row in await cursor.fetchall()]


def _escaped(text: str) -> str:
    """For LIKE."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
