"""Pricing an order with promotions: which run for its buyer, what its coupons open, and the best of them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from activities.line_admission import Admitted
from domain.coupons import Coupon
from domain.errors import DomainError
from domain.promotion_choice import LineDiscount, best_combination
from domain.promotions import BasketLine, Occasion, Promotion, PromotionNotApplicable
from storage import promotions
from storage.database import Connection
from storage.order_admission import NewLine, Wish


@dataclass(frozen=True, slots=True)
class Priced:
    """The lines with their discounts. `coupon_ids`: by promotion, the coupon that opened it."""

    lines: list[Admitted]
    occasion: Occasion
    discounts: Sequence[LineDiscount] = ()
    coupon_ids: Mapping[str, str] | None = None

    @property
    def total_minor(self) -> int:
        """What the order costs."""
        return sum(line.new.total_minor for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Line:
    """What pricing needs of a line, whether it is new or recorded."""

    line_no: int
    sku_id: str
    product_id: str
    quantity: int
    unit_price_minor: int

    @classmethod
    def of(cls, line: NewLine) -> _Line:
        return cls(line.line_no, line.sku_id, line.product_id, line.quantity, line.unit_price_minor)


async def price(cx: Connection, wish: Wish, lines: list[Admitted], now: datetime) -> Priced:
    """The best legal combination for the wish. Nothing is read where nothing runs and no coupon is named.

    Raises PromotionNotApplicable, PromotionExpired, PromotionExhausted for a coupon that can't be used; automatic
    promotions that don't fit are left out.
    """
    occasion = occasion_of(wish, now)
    discounts, coupon_ids = await _choose(cx, wish, occasion, [_Line.of(line.new) for line in lines])
    off: dict[int, int] = {}
    for discount in discounts:
        off[discount.line_no] = off.get(discount.line_no, 0) + discount.amount_minor
    priced = [replace(line, new=replace(line.new, discount_minor=off.get(line.new.line_no, 0))) for line in lines]
    return Priced(priced if off else lines, occasion, discounts, coupon_ids)


async def price_again(cx: Connection, wish: Wish, recorded: Sequence[Mapping[str, Any]], now: datetime) -> int:
    """What an order that could not hold its promotions would cost now: with its coupons if they can still be used."""
    lines = [_Line(**{name: line[name] for name in _Line.__slots__}) for line in recorded]
    occasion = occasion_of(wish, now)
    try:
        discounts, _ = await _choose(cx, wish, occasion, lines)
    except DomainError:
        without = replace(wish, request={**wish.request, "coupon_codes": []})
        discounts, _ = await _choose(cx, without, occasion, lines)
    full_minor = sum(line.unit_price_minor * line.quantity for line in lines)
    return full_minor - sum(discount.amount_minor for discount in discounts)


def occasion_of(wish: Wish, now: datetime) -> Occasion:
    """Who buys, where, in which currency, and when."""
    request = wish.request
    return Occasion(wish.distributor_id, wish.channel, request.get("buyer_ref"), request["currency"], now)


async def _choose(
    cx: Connection, wish: Wish, occasion: Occasion, lines: Sequence[_Line]
) -> tuple[Sequence[LineDiscount], dict[str, str]]:
    codes = list(dict.fromkeys(wish.request.get("coupon_codes") or ()))
    automatic = wish.promoting and wish.request.get("promotions", "auto") == "auto"
    if not codes and not automatic:
        return (), {}
    product_ids = sorted({line.product_id for line in lines})
    running = await promotions.read_running(cx, occasion, product_ids, codes, automatic=automatic)
    opened = _open(running, codes, occasion)
    usable = [each for each in running.promotions if each.id in opened or _fits(each, occasion)]
    if not usable:
        return (), {}
    basket = [
        BasketLine(
            line.line_no,
            line.sku_id,
            line.product_id,
            running.category_ids.get(line.product_id, frozenset()),
            line.quantity,
            line.unit_price_minor,
        )
        for line in lines
    ]
    return best_combination(basket, usable, opened.keys()), opened


def _open(running: promotions.Running, codes: Sequence[str], occasion: Occasion) -> dict[str, str]:
    """Coupon by promotion that the named codes open; every one can be used, or its *no* is raised."""
    known: dict[str, Coupon] = {coupon.code: coupon for coupon in running.coupons}
    by_id = {promotion.id: promotion for promotion in running.promotions}
    opened: dict[str, str] = {}
    for code in codes:
        coupon = known.get(code)
        if coupon is None:
            raise PromotionNotApplicable(f"Coupon {code}", "there is none with this code")
        coupon.judge(occasion)
        by_id[coupon.promotion_id].judge(occasion)
        if coupon.promotion_id in opened:
            why = "another coupon of the same promotion is named, and an order uses one"
            raise PromotionNotApplicable(f"Coupon {code}", why, coupon.promotion_id)
        opened[coupon.promotion_id] = coupon.id
    return opened


def _fits(promotion: Promotion, occasion: Occasion) -> bool:
    if promotion.needs_coupon:
        return False
    try:
        promotion.judge(occasion)
    except DomainError:
        return False
    return True
