"""Opening an order: the checks of creation that need only our own rows, in their order, up to the pending record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from activities.order_messages import LinePlan, Opened, OpenOrder, OrderPlan, PlannedLine, PlannedOrder
from activities.order_plans import OrderTimings, answer_facts, lock_s_of, offers_of, read_plan
from activities.order_writes import save
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
from domain.categories import CATEGORIES, OrderedLine
from domain.errors import DomainError, Refusal
from domain.money import CurrencyMismatch, Money
from domain.orders import OrderStatus
from domain.placing import (
    BuyerBlocked,
    CreditExceeded,
    DistributorBlocked,
    InsufficientStock,
    NoSupplier,
    NotPermitted,
    PriceChanged,
    RiskDenied,
    RiskFacts,
    RiskRule,
    demand_per_sku,
    judge_risk,
)
from storage import order_admission, order_claims, order_credit, order_stock, order_writing
from storage.database import Connection
from storage.order_admission import NewLine, Wish


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A line that passed: what is recorded, and what its process needs."""

    new: NewLine
    plan: LinePlan


async def admit(cx: Connection, message: OpenOrder, timings: OrderTimings) -> Opened:
    """Open the claim's order, or refuse it, in the caller's transaction. Once per order number."""
    wish = await order_admission.read_wish(cx, message.order_no)
    if wish is None:
        refusal = Refusal("claim_missing", "Nobody has asked for this order: place it through the API.")
        return Opened(refusal=refusal)
    if wish.placed:
        return await _as_it_stands(cx, wish, timings)
    try:
        lines = await _judge_lines(cx, wish, message.at)
        verdict = await _judge_risk(cx, wish, lines, message.at)
        await _hold_credit(cx, wish, lines)
    except DomainError as error:
        return await _refuse(cx, wish, message, Refusal.of(error))
    await order_admission.insert_order(
        cx, wish, [line.new for line in lines], host_workflow_id=message.host_workflow_id, at=message.at
    )
    if verdict == "review":
        await _park(cx, wish, message.at)
    plans = tuple(line.plan for line in lines)
    return Opened(plan=_new_plan(wish, plans, timings, in_review=verdict == "review"))


async def plan_wish(cx: Connection, distributor_id: str, request: dict[str, Any], now: datetime) -> PlannedOrder:
    """The same checks for a wish that nobody has claimed; raises the DomainError that placing would refuse with.

    Reads only: what is free now may be gone when the order is placed.
    """
    wish = await order_admission.imagine_wish(cx, distributor_id, request)
    lines = await _judge_lines(cx, wish, now)
    verdict = await _judge_risk(cx, wish, lines, now)
    currency, total = request["currency"], _total(lines)
    free = await order_credit.free(cx, distributor_id)
    if total > free:
        raise CreditExceeded(Money(total, currency), Money(free, currency))
    wanted = demand_per_sku([(e.new.sku_id, e.new.quantity) for e in lines if e.plan.stock_policy != "none"])
    short = await order_stock.shortage(cx, wanted)
    if short:
        raise InsufficientStock(short)
    planned = tuple(
        PlannedLine(
            line_no=each.new.line_no,
            sku_id=each.new.sku_id,
            quantity=each.new.quantity,
            unit_price_minor=each.new.unit_price_minor,
            holds_stock=each.plan.stock_policy in ("hold", "at_place"),
            holds_at_supplier=each.plan.offers[0].lock,
        )
        for each in lines
    )
    lock_s = min(offer.lock_s for each in lines for offer in each.plan.offers[:1])
    return PlannedOrder(currency, total, free, lock_s, verdict == "review", planned)


async def _as_it_stands(cx: Connection, wish: Wish, timings: OrderTimings) -> Opened:
    plan = await read_plan(cx, wish.order_no, timings)
    answer = await order_claims.answer_of(cx, wish.order_no)
    if plan is not None and plan.status is OrderStatus.REJECTED and answer and "refusal" in answer:
        return Opened(refusal=Refusal(**answer["refusal"]))
    return Opened(plan=plan)


async def _judge_lines(cx: Connection, wish: Wish, now: datetime) -> list[_Admitted]:
    if wish.distributor_status != "active":
        raise DistributorBlocked
    if wish.buyer_blocked:
        raise BuyerBlocked(str(wish.request.get("buyer_ref")))
    asked = wish.request["lines"]
    offered = await order_admission.read_offered(
        cx, sorted({line["sku_id"] for line in asked}), channel=wish.channel, now=now
    )
    await _judge_grants(cx, wish, offered, now)
    return [await _judge_line(cx, wish, number, line, offered, now) for number, line in enumerate(asked, start=1)]


async def _judge_grants(
    cx: Connection, wish: Wish, offered: Mapping[str, dict[str, Any]], now: datetime
) -> None:
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
        suppliers = [offer["supplier_id"] for offer in row["offers"]] or [None]
        resources = [
            Resource(row["product_id"], supplier, ancestors.get(row["category_id"], (row["category_id"],)))
            for supplier in suppliers
        ]
        if not any(permits(grants, Action.ORDER_CREATE, resource, now) for resource in resources):
            raise NotPermitted(sku_id)


async def _judge_line(
    cx: Connection, wish: Wish, number: int, asked: dict[str, Any], offered: Mapping[str, dict[str, Any]], now: datetime
) -> _Admitted:
    sku_id, currency = asked["sku_id"], wish.request["currency"]
    row = offered.get(sku_id)
    if row is None:
        raise ProductNotFound(sku_id)
    category = CATEGORIES.of(row["kind"])
    if row["product_status"] != ProductStatus.ON_SHELF:
        raise NotOnSale(sku_id)
    seen = Money(asked["unit_price"]["amount_minor"], asked["unit_price"]["currency"])
    price = _price_now(row, wish, seen, now)
    offers = offers_of(row, currency)
    if not offers:
        raise NoSupplier(sku_id)
    starts_at = await _starts_at(cx, row, asked)
    category.validate(await _ordered_line(cx, wish, row, asked, starts_at), now)
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
    )
    plan = LinePlan(number, sku_id, row["kind"], asked["quantity"], row["stock_policy"], OrderStatus.PENDING, offers)
    return _Admitted(new, plan)


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
    cx: Connection, wish: Wish, row: Mapping[str, Any], asked: dict[str, Any], starts_at: datetime | None
) -> OrderedLine:
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
        starts_at=starts_at,
        session_required=row["session_required"] or availability_id is not None,
        session_known=availability_id is not None and starts_at is not None,
        availability_id=availability_id,
        visitors=len(asked.get("visitors") or ()),
        visitors_required=row["visitors_required"],
        buyer_limit=row["buyer_limit"],
        bought=bought,
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


async def _judge_risk(cx: Connection, wish: Wish, lines: list[_Admitted], now: datetime) -> str:
    rules = [RiskRule(**rule) for rule in wish.rules]
    recent: dict[tuple[str, int], int] = {}
    for rule in rules:
        value = wish.request.get(f"{rule.subject}_ref")
        if rule.kind == "velocity" and value:
            recent[rule.subject, rule.window_s] = await order_admission.count_recent(
                cx,
                distributor_id=wish.distributor_id,
                subject=rule.subject,
                value=value,
                since=now - timedelta(seconds=rule.window_s),
            )
    verdict = judge_risk(rules, RiskFacts(_total(lines), wish.denied, recent))
    if verdict == "deny":
        raise RiskDenied
    return verdict


async def _hold_credit(cx: Connection, wish: Wish, lines: list[_Admitted]) -> None:
    total = _total(lines)
    free = await order_credit.hold(cx, wish.order_no, wish.distributor_id, total)
    if free is not None:
        currency = wish.request["currency"]
        raise CreditExceeded(Money(total, currency), Money(free, currency))


def _total(lines: list[_Admitted]) -> int:
    return sum(line.new.unit_price_minor * line.new.quantity for line in lines)


async def _refuse(cx: Connection, wish: Wish, message: OpenOrder, refusal: Refusal) -> Opened:
    """Recorded without lines: what was asked for may not even exist. The claim keeps the request."""
    await order_admission.insert_order(cx, wish, [], host_workflow_id=message.host_workflow_id, at=message.at)
    order = await order_writing.load_order(cx, wish.order_no)
    assert order is not None
    order.refuse_unopened(refusal, message.at)
    await save(cx, order, actor="system", at=message.at)
    plain = {"code": refusal.code, "detail": refusal.detail, "facts": refusal.facts}
    await order_claims.record_answer(cx, wish.order_no, {"refusal": plain}, refused=True)
    return Opened(refusal=refusal)


async def _park(cx: Connection, wish: Wish, at: datetime) -> None:
    order = await order_writing.load_order(cx, wish.order_no)
    assert order is not None
    order.park("risk_review")
    await save(cx, order, actor="system", at=at)
    await order_claims.record_answer(cx, wish.order_no, {"facts": await answer_facts(cx, order)}, refused=False)


def _new_plan(wish: Wish, lines: tuple[LinePlan, ...], timings: OrderTimings, *, in_review: bool) -> OrderPlan:
    return OrderPlan(
        order_no=wish.order_no,
        distributor_id=wish.distributor_id,
        status=OrderStatus.PENDING,
        in_review=in_review,
        currency=wish.request["currency"],
        total_minor=0,
        all_or_nothing=bool(wish.request.get("all_or_nothing")),
        lock_s=lock_s_of(lines, timings),
        lock_ceiling_s=timings.lock_ceiling_s,
        review_s=timings.review_s,
        locked_at=None,
        hold_expires_at=None,
        lines=lines,
    )
