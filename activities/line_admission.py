"""Judging the lines of a wish: permitted, on sale, at the price that was seen, and what the category asks besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities.order_messages import LinePlan
from activities.order_plans import delivers, offers_of, steps_of, terms_of
from domain.access import Action, Grant, Resource, ResourceKind, permits
from domain.catalog import (
    NotOnSale,
    Price,
    ProductFacts,
    ProductNotFound,
    ProductStatus,
    SkuFacts,
    price_at,
    snapshot_of,
)
from domain.categories import CATEGORIES, Category, OrderedLine
from domain.money import CurrencyMismatch, Money
from domain.operations import Call, effect_of
from domain.orders import OrderStatus
from domain.placing import BuyerBlocked, DistributorBlocked, NoSupplier, NotDeliverable, NotPermitted, PriceChanged
from storage import order_admission
from storage.database import Connection
from storage.order_admission import NewLine, Wish


@dataclass(frozen=True, slots=True)
class Admitted:
    """A line that passed: what is recorded, and what its process needs."""

    new: NewLine
    plan: LinePlan


async def judge_lines(cx: Connection, wish: Wish, now: datetime) -> list[Admitted]:
    """Every line of the wish, judged in the order's sequence of steps. Raises the DomainError of the first no."""
    if wish.distributor_status != "active":
        raise DistributorBlocked
    if wish.buyer_blocked:
        raise BuyerBlocked(str(wish.request.get("buyer_ref")))
    if wish.request["currency"] != wish.currency:
        raise CurrencyMismatch(wish.currency, wish.request["currency"])
    asked = wish.request["lines"]
    offered = await order_admission.read_offered(
        cx, sorted({line["sku_id"] for line in asked}), channel=wish.channel, now=now, place=wish.request.get("ship_to")
    )
    await _judge_grants(cx, wish, offered, now)
    event_units: dict[tuple[str, datetime | None], int] = {}
    admitted = []
    for number, line in enumerate(asked, start=1):
        admitted.append(await _judge_line(cx, wish, number, line, offered, event_units, now))
    return admitted


async def _judge_grants(cx: Connection, wish: Wish, offered: Mapping[str, dict[str, Any]], now: datetime) -> None:
    """Leaves each variant the offers of those suppliers that the distributor may sell. Raises NotPermitted."""
    grants = [
        Grant(
            Action.ORDER_CREATE,
            datetime.fromisoformat(grant["valid_from"]),
            datetime.fromisoformat(grant["valid_to"]) if grant["valid_to"] else None,
            ResourceKind(grant["resource_kind"]),
            grant["resource_id"],
        )
        for grant in wish.grants
    ]
    ancestors: dict[str, tuple[str, ...]] = {}
    if any(grant.resource_kind is ResourceKind.CATEGORY for grant in grants):
        ancestors = await order_admission.category_ancestors(
            cx, sorted({row["category_id"] for row in offered.values()})
        )
    for sku_id, row in offered.items():
        category_ids = ancestors.get(row["category_id"], (row["category_id"],))

        def permitted(supplier_id: str | None, row: dict[str, Any] = row, ids: tuple[str, ...] = category_ids) -> bool:
            return permits(grants, Action.ORDER_CREATE, Resource(row["product_id"], supplier_id, ids), now)

        if not row["offers"] and not permitted(None):
            raise NotPermitted(sku_id)
        allowed = [offer for offer in row["offers"] if permitted(offer["supplier_id"])]
        if row["offers"] and not allowed:
            raise NotPermitted(sku_id)
        row["offers"] = allowed


async def _judge_line(
    cx: Connection,
    wish: Wish,
    number: int,
    asked: dict[str, Any],
    offered: Mapping[str, dict[str, Any]],
    event_units: dict[tuple[str, datetime | None], int],
    now: datetime,
) -> Admitted:
    sku_id, currency = asked["sku_id"], wish.request["currency"]
    row = offered.get(sku_id)
    if row is None:
        raise ProductNotFound(sku_id)
    category = CATEGORIES.of(row["kind"])
    if row["product_status"] != ProductStatus.ON_SHELF:
        raise NotOnSale(sku_id)
    seen = Money(asked["unit_price"]["amount_minor"], asked["unit_price"]["currency"])
    price = _price_now(row, wish, seen, now)
    offers, terms = offers_of(row, currency), terms_of(row)
    starts_at = await _starts_at(cx, row, asked)
    event = (row["product_id"], starts_at)
    line = await _ordered_line(cx, wish, row, asked, starts_at, earlier=event_units.get(event, 0))
    category.validate(line, now)
    if not offers and isinstance(effect_of(category.steps(terms)), Call):
        raise _nobody_sells(sku_id, category, wish)
    event_units[event] = event_units.get(event, 0) + asked["quantity"]
    sku = SkuFacts(sku_id, row["sku_title"], row["sku_attributes"], row["event_at"])
    shot = snapshot_of(_product_facts(row), sku, price)
    new = NewLine(
        line_no=number,
        sku_id=sku_id,
        product_id=row["product_id"],
        kind=row["kind"],
        title=f"{row['title']} - {row['sku_title']}",
        quantity=asked["quantity"],
        unit_price_minor=price.amount_minor,
        snapshot_id=shot.id,
        snapshot=shot.body,
        availability_id=asked.get("availability_id"),
        starts_at=starts_at,
        visitors=asked.get("visitors"),
        account=asked.get("account"),
    )
    plan = LinePlan(
        number,
        sku_id,
        row["kind"],
        asked["quantity"],
        row["stock_policy"],
        OrderStatus.PENDING,
        offers,
        steps=steps_of(row["kind"], terms),
        delivers=delivers(row["kind"], terms),
    )
    return Admitted(new, plan)


def _nobody_sells(sku_id: str, category: Category, wish: Wish) -> NoSupplier | NotDeliverable:
    """Why there is no offer: nobody sells the variant, or nobody carries it to where the buyer is."""
    to = wish.request.get("ship_to")
    if category.carried and to:
        return NotDeliverable(sku_id, f"{to['city']}, {to['region']}, {to['country']}")
    return NoSupplier(sku_id)


def _price_now(row: Mapping[str, Any], wish: Wish, seen: Money, now: datetime) -> Price:
    currency = wish.request["currency"]
    if seen.currency != currency:
        raise CurrencyMismatch(currency, seen.currency)
    prices = [
        Price(
            channel=price["channel"],
            currency=price["currency"],
            amount_minor=price["amount_minor"],
            valid_from=datetime.fromisoformat(price["valid_from"]),
            valid_to=datetime.fromisoformat(price["valid_to"]) if price["valid_to"] else None,
        )
        for price in row["prices"]
    ]
    price = price_at(prices, wish.channel, currency, now)
    if price is None and prices:
        raise CurrencyMismatch(prices[0].currency, currency)
    if price is None:
        raise NotOnSale(row["sku_id"])
    if price.amount_minor != seen.amount_minor:
        raise PriceChanged(row["sku_id"], seen, Money(price.amount_minor, price.currency))
    return price


async def _starts_at(cx: Connection, row: Mapping[str, Any], asked: dict[str, Any]) -> datetime | None:
    availability_id = asked.get("availability_id")
    if availability_id is None:
        event_at: datetime | None = row["event_at"]
        return event_at
    return await order_admission.session_start(
        cx,
        supplier_ids=[offer["supplier_id"] for offer in row["offers"]],
        product_ids=[offer["supplier_product_id"] for offer in row["offers"]],
        availability_id=availability_id,
    )


async def _ordered_line(
    cx: Connection,
    wish: Wish,
    row: Mapping[str, Any],
    asked: dict[str, Any],
    starts_at: datetime | None,
    *,
    earlier: int,
) -> OrderedLine:
    """`earlier`: units of the same event in earlier lines of this order, which nobody has counted yet."""
    buyer_ref, bought = wish.request.get("buyer_ref"), 0
    if row["buyer_limit"] and buyer_ref:
        bought = await order_admission.count_bought(
            cx,
            distributor_id=wish.distributor_id,
            buyer_ref=buyer_ref,
            product_id=row["product_id"],
            starts_at=starts_at,
        )
    availability_id = asked.get("availability_id")
    return OrderedLine(
        sku_id=row["sku_id"],
        quantity=asked["quantity"],
        terms=terms_of(row),
        account=asked.get("account"),
        ship_to=wish.request.get("ship_to"),
        weight_g=row["weight_g"],
        starts_at=starts_at,
        session_required=row["session_required"] or availability_id is not None,
        session_known=availability_id is not None and starts_at is not None,
        availability_id=availability_id,
        visitors=len(asked.get("visitors") or ()),
        visitors_required=row["visitors_required"],
        buyer_limit=row["buyer_limit"],
        buyer_known=buyer_ref is not None,
        bought=bought + earlier,
    )


def _product_facts(row: Mapping[str, Any]) -> ProductFacts:
    return ProductFacts(
        product_id=row["product_id"],
        title=row["title"],
        description=row["description"],
        kind=row["kind"],
        category_id=row["category_id"],
        brand_id=row["brand_id"],
        time_zone=row["time_zone"],
        attributes=row["attributes"],
        terms=row["terms"],
        images=row["images"],
    )
