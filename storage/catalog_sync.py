"""A supplier's catalogue written into ours: each listing in one transaction, and nothing where nothing has changed.

What a supplier said last is the `after` of its latest row in the operation log. Only a difference to that is applied,
so that a sync never takes back what a person has edited here meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from domain.catalog import DEFAULT_CHANNEL, ProductEvent, ProductStatus
from domain.supplier_catalog import TICKETS, ListedSession, ListedUnit, Listing
from storage.catalog_log import last_logged, log_operation
from storage.catalog_search import index_products
from storage.catalog_writing import (
    NewProduct,
    NewSku,
    ensure_category,
    insert_price,
    insert_product,
    insert_sku,
    lock_product,
    move_product,
    touch_product,
)
from storage.database import Connection

_TEXTS = ("title", "description", "time_zone", "session_required")
SESSIONS_KEPT = timedelta(days=2)


class Outcome(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


async def write_listing(cx: Connection, listing: Listing, now: datetime) -> Outcome:
    """One supplier's product. Two suppliers' listings of one reference become one product with two offers per unit."""
    await ensure_category(cx, TICKETS, None, "Tickets", TICKETS)
    created = await insert_product(
        cx,
        NewProduct(
            listing.own_product_id,
            TICKETS,
            TICKETS,
            listing.title,
            listing.description,
            listing.time_zone,
            ProductStatus.APPROVED,
            supplier_key=listing.reference,
            session_required=listing.session_required,
        ),
        now,
    )
    await lock_product(cx, listing.own_product_id)
    subject, actor, facts = ("product", listing.own_product_id), _actor(listing.supplier_id), _facts(listing)
    said_last = await last_logged(cx, actor, subject)
    if said_last == facts:
        return Outcome.UNCHANGED
    if said_last and not created:
        await _apply_texts(cx, listing, said_last)
    for unit in listing.units:
        await _write_unit(cx, listing, unit, now)
    await _end_missing_offers(cx, listing)
    await _rank_offers(cx, listing.own_product_id)
    for unit in listing.units:
        await _write_price(cx, listing, unit, said_last, now)
    if created:
        await index_products(cx, [listing.own_product_id])
    else:
        await touch_product(cx, listing.own_product_id, now)
    await log_operation(cx, at=now, actor=actor, action="listing.read", subject=subject, before=said_last, after=facts)
    return Outcome.CREATED if created else Outcome.CHANGED


def _actor(supplier_id: str) -> str:
    return f"supplier/{supplier_id}"


def _facts(listing: Listing) -> dict[str, Any]:
    return {
        **{name: getattr(listing, name) for name in _TEXTS},
        "supplier_product_id": listing.product_id,
        "currency": listing.currency,
        "units": {
            listing.sku_id(unit): {"title": unit.title, "price_minor": unit.price_minor, "cost_minor": unit.cost_minor}
            for unit in listing.units
        },
    }


async def _apply_texts(cx: Connection, listing: Listing, said_last: dict[str, Any]) -> None:
    """What the supplier itself has changed since; `said_last` of a vanished listing knows no texts: nothing then."""
    changed = {n: getattr(listing, n) for n in _TEXTS if n in said_last and said_last[n] != getattr(listing, n)}
    for name, value in changed.items():
        await cx.execute(
            f"UPDATE products SET {name} = %s WHERE id = %s",  # a fixed list of names
            (value, listing.own_product_id),
        )


async def _write_unit(cx: Connection, listing: Listing, unit: ListedUnit, now: datetime) -> None:
    """The variant, if it is new, and this supplier's offer of it at its present cost."""
    sku_id = listing.sku_id(unit)
    sku = NewSku(sku_id, unit.title, unit.price_minor, listing.currency, stock_policy="none")
    await insert_sku(cx, listing.own_product_id, sku, now)
    await cx.execute(
        """
        INSERT INTO offers (id, sku_id, supplier_id, supplier_product_id, option_id, unit_id, cost_minor, currency,
            rank, lock_at_supplier, active)
        SELECT %s, id, %s, %s, %s, %s, %s, %s, 0, stock_policy = 'none', true FROM skus WHERE id = %s
        ON CONFLICT (id) DO UPDATE SET sku_id = excluded.sku_id, cost_minor = excluded.cost_minor,
            currency = excluded.currency, active = true
        """,
        (
            listing.offer_id(unit),
            listing.supplier_id,
            listing.product_id,
            unit.option_id,
            unit.unit_id,
            unit.cost_minor,
            listing.currency,
            sku_id,
        ),
    )


async def _end_missing_offers(cx: Connection, listing: Listing) -> None:
    """Units that the supplier has taken out of a product which it still lists, or moved to another of ours."""
    await cx.execute(
        "UPDATE offers SET active = false WHERE supplier_id = %s AND supplier_product_id = %s AND active "
        "AND id <> ALL(%s)",
        (listing.supplier_id, listing.product_id, [listing.offer_id(unit) for unit in listing.units]),
    )


async def _rank_offers(cx: Connection, product_id: str) -> None:
    """The cheapest is asked first; of equals, by name, so that every sync ranks alike."""
    await cx.execute(
        """
        UPDATE offers o SET rank = r.rank FROM (
            SELECT f.id,
                row_number() OVER (PARTITION BY f.sku_id ORDER BY f.cost_minor, f.supplier_id, f.id) - 1 AS rank
            FROM offers f JOIN skus s ON s.id = f.sku_id WHERE s.product_id = %s AND f.active) r
        WHERE r.id = o.id AND r.rank <> o.rank
        """,
        (product_id,),
    )


async def _write_price(
    cx: Connection, listing: Listing, unit: ListedUnit, said_last: dict[str, Any] | None, now: datetime
) -> None:
    """The supplier's retail price becomes ours where it has changed and the supplier is the one asked first."""
    sku_id = listing.sku_id(unit)
    known = (said_last or {}).get("units", {}).get(sku_id)
    cursor = await cx.execute(
        """
        SELECT coalesce((SELECT rank = 0 FROM offers WHERE id = %(offer)s), false) AS leads,
            EXISTS (SELECT FROM prices WHERE sku_id = %(sku)s AND channel = %(channel)s AND currency = %(currency)s)
                AS priced,
            (SELECT amount_minor FROM prices WHERE sku_id = %(sku)s AND channel = %(channel)s
                AND currency = %(currency)s AND valid_from <= %(now)s AND (valid_to IS NULL OR valid_to > %(now)s))
                AS amount_minor
        """,
        {
            "offer": listing.offer_id(unit),
            "sku": sku_id,
            "channel": DEFAULT_CHANNEL,
            "currency": listing.currency,
            "now": now,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    changed = known is not None and known["price_minor"] != unit.price_minor and row["leads"]
    if (changed or not row["priced"]) and row["amount_minor"] != unit.price_minor:
        await insert_price(cx, sku_id, DEFAULT_CHANNEL, listing.currency, unit.price_minor, now)


async def retire_vanished(cx: Connection, supplier_id: str, seen: Sequence[str], now: datetime) -> list[str]:
    """End the offers of products that the supplier's complete catalogue no longer has; returns our products' ids.

    A product that nobody offers any more leaves the shelf. Only for a read that was whole: `seen` must be everything.
    """
    cursor = await cx.execute(
        "SELECT DISTINCT s.product_id FROM offers o JOIN skus s ON s.id = o.sku_id "
        "WHERE o.supplier_id = %s AND o.active AND o.supplier_product_id <> ALL(%s) ORDER BY s.product_id",
        (supplier_id, list(seen)),
    )
    product_ids = [str(row["product_id"]) for row in await cursor.fetchall()]
    for product_id in product_ids:
        product = await lock_product(cx, product_id)
        subject, actor = ("product", product_id), _actor(supplier_id)
        await cx.execute(
            "UPDATE offers o SET active = false FROM skus s WHERE s.id = o.sku_id AND s.product_id = %s "
            "AND o.supplier_id = %s AND o.supplier_product_id <> ALL(%s)",
            (product_id, supplier_id, list(seen)),
        )
        await _rank_offers(cx, product_id)
        cursor = await cx.execute(
            "SELECT 1 FROM offers o JOIN skus s ON s.id = o.sku_id WHERE s.product_id = %s AND o.active LIMIT 1",
            (product_id,),
        )
        if await cursor.fetchone() is None and product["status"] == ProductStatus.ON_SHELF:
            await move_product(cx, product_id, ProductEvent.TAKE_OFF_SHELF, actor=actor, now=now, reason="vanished")
        else:
            await touch_product(cx, product_id, now)
        await log_operation(
            cx, at=now, actor=actor, action="listing.vanished", subject=subject, before=None, after={"vanished": True}
        )
    return product_ids


async def write_sessions(
    cx: Connection,
    supplier_id: str,
    product_id: str,
    option_id: str,
    sessions: Sequence[ListedSession],
    *,
    first_at: datetime,
    last_at: datetime,
    now: datetime,
) -> None:
    """The option's sessions that begin in [first_at, last_at], as read in full: what is missing is not bookable."""
    scope = (supplier_id, product_id, option_id)
    await cx.execute(
        """
        INSERT INTO sessions (supplier_id, supplier_product_id, option_id, availability_id, starts_at, ends_at,
            available, vacancies, read_at)
        SELECT %s, %s, %s, a, s, e, v, n, %s
        FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[], %s::bool[], %s::int[]) AS t (a, s, e, v, n)
        ON CONFLICT (supplier_id, supplier_product_id, option_id, availability_id) DO UPDATE SET
            starts_at = excluded.starts_at, ends_at = excluded.ends_at, available = excluded.available,
            vacancies = excluded.vacancies, read_at = excluded.read_at
        """,
        (
            *scope,
            now,
            [session.availability_id for session in sessions],
            [session.starts_at for session in sessions],
            [session.ends_at for session in sessions],
            [session.available for session in sessions],
            [session.vacancies for session in sessions],
        ),
    )
    await cx.execute(
        "UPDATE sessions SET available = false WHERE supplier_id = %s AND supplier_product_id = %s AND option_id = %s "
        "AND starts_at BETWEEN %s AND %s AND available AND availability_id <> ALL(%s)",
        (*scope, first_at, last_at, [session.availability_id for session in sessions]),
    )
    await cx.execute(
        "DELETE FROM sessions WHERE supplier_id = %s AND supplier_product_id = %s AND option_id = %s AND ends_at < %s",
        (*scope, now - SESSIONS_KEPT),
    )
