"""Edits of the catalogue: a product with its variants and prices, its lifecycle; each leaves a row in the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.catalog import (
    DEFAULT_CHANNEL,
    LIFECYCLE,
    PriceInThePast,
    ProductEvent,
    ProductNotFound,
    ProductStatus,
)
from domain.errors import DomainError
from storage.catalog_log import log_operation
from storage.catalog_search import index_products
from storage.database import Connection

EDITABLE = (
    "title", "description", "attributes", "terms", "images", "buyer_limit", "visitors_required", "late_payment",
)  # fmt: skip
_DOCUMENTS = frozenset({"attributes", "terms", "images"})


class ProductStale(DomainError):
    """The product has changed since the caller read it (`If-Match`)."""

    code = "precondition_failed"

    def __init__(self, product_id: str, version: int) -> None:
        super().__init__(f"{product_id} is at version {version} by now: read it again, then decide again.")
        self.version = version

    @property
    def facts(self) -> dict[str, object]:
        return {"version": self.version}


class PriceExists(DomainError):
    """Another price of the same variant, channel and currency begins at the same moment."""

    code = "price_exists"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"{sku_id} has a price that begins at that moment already: prices are ended, never edited.")


@dataclass(frozen=True, slots=True)
class NewSku:
    """`price_minor` in `currency`, for the default channel."""

    id: str
    title: str
    price_minor: int
    currency: str
    attributes: list[Any] = field(default_factory=list)
    stock_policy: str = "hold"
    weight_g: int | None = None
    size_mm: list[int] | None = None


@dataclass(frozen=True, slots=True)
class NewProduct:
    id: str
    category_id: str
    kind: str
    title: str
    description: str
    time_zone: str
    status: ProductStatus
    brand_id: str | None = None
    supplier_key: str | None = None
    session_required: bool = False
    attributes: list[Any] = field(default_factory=list)


async def ensure_category(cx: Connection, category_id: str, parent_id: str | None, name: str, kind: str) -> None:
    """The node of the tree, made if it is missing; an existing one keeps its name."""
    await cx.execute(
        "INSERT INTO categories (id, parent_id, name, kind) VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
        (category_id, parent_id, name, kind),
    )


async def insert_product(cx: Connection, product: NewProduct, now: datetime) -> bool:
    """Whether the row is new: an id, or a reference of suppliers, that exists already stays as it is."""
    cursor = await cx.execute(
        """
        INSERT INTO products (id, category_id, brand_id, kind, title, description, status, time_zone, supplier_key,
            session_required, visitors_required, buyer_limit, attributes, terms, images, created_at, updated_at,
            version)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, false, 0, %s, '{}', '[]', %s, %s, 1)
        ON CONFLICT DO NOTHING
        """,
        (
            product.id,
            product.category_id,
            product.brand_id,
            product.kind,
            product.title,
            product.description,
            product.status,
            product.time_zone,
            product.supplier_key,
            product.session_required,
            Jsonb(product.attributes),
            now,
            now,
        ),
    )
    return cursor.rowcount == 1


async def insert_sku(cx: Connection, product_id: str, sku: NewSku, now: datetime) -> bool:
    """Whether the variant is new; it comes with its first price, in effect at once."""
    cursor = await cx.execute(
        """
        INSERT INTO skus (id, product_id, title, stock_policy, attributes, weight_g, size_mm, updated_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        (
            sku.id,
            product_id,
            sku.title,
            sku.stock_policy,
            Jsonb(sku.attributes),
            sku.weight_g,
            None if sku.size_mm is None else Jsonb(sku.size_mm),
            now,
        ),
    )
    if cursor.rowcount == 0:
        return False
    await insert_price(cx, sku.id, DEFAULT_CHANNEL, sku.currency, sku.price_minor, now)
    return True


async def insert_price(
    cx: Connection, sku_id: str, channel: str, currency: str, amount_minor: int, valid_from: datetime
) -> str:
    """A price that begins at `valid_from`: the one then in effect ends there, and it ends where a later one begins.

    The variant's row must be ours (locked or just made), so that two prices are never put in at once. Its id follows
    from what is unique about it. Raises PriceExists.
    """
    price_id = f"prc_{sku_id}_{channel}_{currency}_{int(valid_from.timestamp() * 1_000_000)}"
    scope = (sku_id, channel, currency)
    await cx.execute(
        "UPDATE prices SET valid_to = %s WHERE sku_id = %s AND channel = %s AND currency = %s "
        "AND valid_from < %s AND (valid_to IS NULL OR valid_to > %s)",
        (valid_from, *scope, valid_from, valid_from),
    )
    cursor = await cx.execute(
        """
        INSERT INTO prices (id, sku_id, channel, currency, amount_minor, valid_from, valid_to)
        SELECT %s, %s, %s, %s, %s, %s, min(later.valid_from) FROM prices later
        WHERE later.sku_id = %s AND later.channel = %s AND later.currency = %s AND later.valid_from > %s
        ON CONFLICT DO NOTHING
        """,
        (price_id, *scope, amount_minor, valid_from, *scope, valid_from),
    )
    if cursor.rowcount == 0:
        raise PriceExists(sku_id)
    return price_id


async def set_price(
    cx: Connection,
    sku_id: str,
    *,
    channel: str,
    currency: str,
    amount_minor: int,
    valid_from: datetime | None,
    actor: str,
    now: datetime,
) -> str:
    """A person's new price, from `valid_from` or at once; its product counts as changed. Returns the price's id."""
    begins = now if valid_from is None else valid_from
    if begins < now:
        raise PriceInThePast(begins, now)
    product_id = await product_of_sku(cx, sku_id)
    await lock_product(cx, product_id)
    price_id = await insert_price(cx, sku_id, channel, currency, amount_minor, begins)
    await touch_product(cx, product_id, now)
    after = {
        "price_id": price_id,
        "channel": channel,
        "currency": currency,
        "amount_minor": amount_minor,
        "valid_from": begins.isoformat(),
    }
    await log_operation(cx, at=now, actor=actor, action="price.set", subject=("sku", sku_id), before=None, after=after)
    return price_id


async def lock_product(cx: Connection, product_id: str, if_version: int | None = None) -> dict[str, Any]:
    """The product's row, ours until the transaction ends. Raises ProductNotFound, ProductStale."""
    cursor = await cx.execute("SELECT * FROM products WHERE id = %s FOR UPDATE", (product_id,))
    row = await cursor.fetchone()
    if row is None:
        raise ProductNotFound(product_id)
    if if_version is not None and if_version != row["version"]:
        raise ProductStale(product_id, row["version"])
    return row


async def product_of_sku(cx: Connection, sku_id: str) -> str:
    """Raises ProductNotFound."""
    cursor = await cx.execute("SELECT product_id FROM skus WHERE id = %s", (sku_id,))
    row = await cursor.fetchone()
    if row is None:
        raise ProductNotFound(sku_id)
    return str(row["product_id"])


async def touch_product(cx: Connection, product_id: str, now: datetime) -> None:
    """The product, which is locked, counts as changed: the feed shows it again, and search finds it as it is now.

    Whatever edits a product or its variants calls this, after the edit.
    """
    await cx.execute("UPDATE products SET version = version + 1, updated_at = %s WHERE id = %s", (now, product_id))
    await index_products(cx, [product_id])


async def edit_product(
    cx: Connection, product_id: str, changes: Mapping[str, Any], *, if_version: int | None, actor: str, now: datetime
) -> None:
    """Set some of EDITABLE. What is equal already is no change: without one there is no version and no log row."""
    row = await lock_product(cx, product_id, if_version)
    changed = {name: value for name, value in changes.items() if name in EDITABLE and row[name] != value}
    if not changed:
        return
    for name, value in changed.items():
        # The names come from EDITABLE, never from a caller.
        await cx.execute(
            f"UPDATE products SET {name} = %s WHERE id = %s",
            (Jsonb(value) if name in _DOCUMENTS else value, product_id),
        )
    await touch_product(cx, product_id, now)
    before = {name: row[name] for name in changed}
    subject = ("product", product_id)
    await log_operation(cx, at=now, actor=actor, action="product.edit", subject=subject, before=before, after=changed)


async def move_product(
    cx: Connection,
    product_id: str,
    event: ProductEvent,
    *,
    actor: str,
    now: datetime,
    reason: str = "",
    if_version: int | None = None,
) -> ProductStatus:
    """One event of the lifecycle. Raises IllegalTransition, ProductNotFound, ProductStale."""
    row = await lock_product(cx, product_id, if_version)
    after = LIFECYCLE.after(ProductStatus(row["status"]), event)
    await cx.execute("UPDATE products SET status = %s WHERE id = %s", (after, product_id))
    await touch_product(cx, product_id, now)
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action=f"product.{event}",
        subject=("product", product_id),
        before={"status": row["status"]},
        after={"status": str(after), **({"reason": reason} if reason else {})},
    )
    return after
