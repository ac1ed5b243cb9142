"""Offers made by people: that a supplier sells us a variant, or that it serves every variant of a kind somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from domain.errors import DomainError
from storage.catalog_log import log_operation
from storage.catalog_writing import product_of_sku, touch_product
from storage.database import Connection


class OfferNotFound(DomainError):
    code = "offer_not_found"

    def __init__(self, offer_id: str) -> None:
        super().__init__(f"There is no offer {offer_id}: list /v1/offers for those there are.")


class OfferMade(DomainError):
    """The supplier offers just that already."""

    code = "offer_exists"

    def __init__(self) -> None:
        super().__init__("The supplier offers that already, under the same ids: change its offer instead.")


class SupplierMissing(DomainError):
    code = "supplier_not_found"

    def __init__(self, supplier_id: str) -> None:
        super().__init__(f"There is no supplier {supplier_id!r}: read /v1/suppliers for those there are.")


@dataclass(frozen=True, slots=True)
class NewOffer:
    """`cost_minor` per piece, in the supplier's currency. Either `sku_id` or `kind` is given."""

    id: str
    supplier_id: str
    supplier_product_id: str
    option_id: str
    unit_id: str
    cost_minor: int
    rank: int
    sku_id: str | None = None
    kind: str | None = None
    regions: Sequence[str] | None = None
    lock_at_supplier: bool = False


async def insert_offer(cx: Connection, offer: NewOffer, *, actor: str, now: datetime) -> dict[str, Any]:
    """The new offer's row. Raises SupplierMissing, ProductNotFound, OfferMade."""
    cursor = await cx.execute("SELECT currency FROM suppliers WHERE id = %s", (offer.supplier_id,))
    supplier = await cursor.fetchone()
    if supplier is None:
        raise SupplierMissing(offer.supplier_id)
    product_id = None if offer.sku_id is None else await product_of_sku(cx, offer.sku_id)
    cursor = await cx.execute(
        """
        INSERT INTO offers (id, sku_id, kind, regions, supplier_id, supplier_product_id, option_id, unit_id, cost_minor,
                            currency, rank, lock_at_supplier, active)
        SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, true
        WHERE NOT EXISTS (SELECT FROM offers WHERE kind = %s AND supplier_id = %s AND supplier_product_id = %s
                          AND option_id = %s AND unit_id = %s)
        ON CONFLICT DO NOTHING RETURNING *
        """,
        (
            offer.id, offer.sku_id, offer.kind, None if offer.regions is None else Jsonb(list(offer.regions)),
            offer.supplier_id, offer.supplier_product_id, offer.option_id, offer.unit_id, offer.cost_minor,
            supplier["currency"], offer.rank, offer.lock_at_supplier, offer.kind, offer.supplier_id,
            offer.supplier_product_id, offer.option_id, offer.unit_id,
        ),
    )  # fmt: skip
    row = await cursor.fetchone()
    if row is None:
        raise OfferMade
    if product_id is not None:
        await touch_product(cx, product_id, now)
    after = {name: row[name] for name in ("supplier_id", "sku_id", "kind", "regions", "cost_minor", "rank")}
    subject = ("offer", offer.id)
    await log_operation(cx, at=now, actor=actor, action="offer.make", subject=subject, before=None, after=after)
    return row


async def change_offer(
    cx: Connection,
    offer_id: str,
    *,
    cost_minor: int | None,
    rank: int | None,
    active: bool | None,
    actor: str,
    now: datetime,
) -> dict[str, Any]:
    """What is given is set. Orders that are placed keep the cost that they were planned with. Raises OfferNotFound."""
    cursor = await cx.execute("SELECT * FROM offers WHERE id = %s FOR UPDATE", (offer_id,))
    before = await cursor.fetchone()
    if before is None:
        raise OfferNotFound(offer_id)
    given = {"cost_minor": cost_minor, "rank": rank, "active": active}
    changed = {name: value for name, value in given.items() if value is not None and value != before[name]}
    if not changed:
        return before
    cursor = await cx.execute(
        "UPDATE offers SET cost_minor = coalesce(%s, cost_minor), rank = coalesce(%s, rank), "
        "active = coalesce(%s, active) WHERE id = %s RETURNING *",
        (cost_minor, rank, active, offer_id),
    )
    row = await cursor.fetchone()
    assert row is not None, "its row is locked"
    if row["sku_id"] is not None:
        await touch_product(cx, await product_of_sku(cx, row["sku_id"]), now)
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action="offer.change",
        subject=("offer", offer_id),
        before={name: before[name] for name in changed},
        after=changed,
    )
    return row


async def list_offers(
    cx: Connection, *, sku_id: str | None, supplier_id: str | None, kind: str | None, after: str | None, limit: int
) -> list[dict[str, Any]]:
    """Offers in the order of their ids."""
    cursor = await cx.execute(
        """
        SELECT * FROM offers WHERE (%(sku)s::text IS NULL OR sku_id = %(sku)s)
          AND (%(supplier)s::text IS NULL OR supplier_id = %(supplier)s)
          AND (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(after)s::text IS NULL OR id > %(after)s)
        ORDER BY id LIMIT %(limit)s
        """,
        {"sku": sku_id, "supplier": supplier_id, "kind": kind, "after": after, "limit": limit},
    )
    return await cursor.fetchall()
