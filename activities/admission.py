"""Opening an order: the checks of creation that need only our own rows, in their order, up to the pending record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from activities.line_admission import Admitted, judge_lines
from activities.order_messages import LinePlan, Opened, OpenOrder, OrderPlan, PlannedDiscount, PlannedLine, PlannedOrder
from activities.order_plans import OrderTimings, answer_facts, lock_s_of, read_plan
from activities.order_writes import save
from activities.promotion_pricing import Priced, price
from domain.errors import DomainError, Refusal
from domain.money import Money
from domain.orders import OrderStatus
from domain.placing import (
    CreditExceeded,
    InsufficientStock,
    RiskDenied,
    RiskFacts,
    RiskRule,
    TotalChanged,
    demand_per_sku,
    judge_risk,
)
from storage import codes, order_admission, order_claims, order_credit, order_promotions, order_stock, order_writing
from storage.database import Connection
from storage.order_admission import Wish


async def admit(cx: Connection, message: OpenOrder, timings: OrderTimings) -> Opened:
    """Open the claim's order, or refuse it, in the caller's transaction. Once per order number."""
    wish = await order_admission.read_wish(cx, message.order_no)
    if wish is None:
        refusal = Refusal("claim_missing", "Nobody has asked for this order: place it through the API.")
        return Opened(refusal=refusal)
    if wish.placed:
        return await _as_it_stands(cx, wish, timings)
    try:
        priced = await _price(cx, wish, message.at)
        verdict = await _judge_risk(cx, wish, priced.total_minor, message.at)
        await _record(cx, wish, priced, message)
    except DomainError as error:
        return await _refuse(cx, wish, message, Refusal.of(error))
    if verdict == "review":
        await _park(cx, wish, message.at)
    return Opened(plan=_new_plan(wish, priced, timings, in_review=verdict == "review"))


async def plan_wish(
    cx: Connection, distributor_id: str, request: dict[str, Any], now: datetime, timings: OrderTimings
) -> PlannedOrder:
    """The same checks for a wish that nobody has claimed; raises the DomainError that placing would refuse with.

    Reads only: what is free now may be gone when the order is placed.
    """
    wish = await order_admission.imagine_wish(cx, distributor_id, request)
    priced = await _price(cx, wish, now)
    lines, currency, total = priced.lines, request["currency"], priced.total_minor
    verdict = await _judge_risk(cx, wish, total, now)
    free = await order_credit.free(cx, distributor_id) if wish.on_account else None
    if free is not None and total > free:
        raise CreditExceeded(Money(total, currency), Money(free, currency))
    own = [each for each in lines if each.plan.stock_policy not in ("none", "codes")]
    pooled = [each for each in lines if each.plan.stock_policy == "codes"]
    short = await order_stock.shortage(cx, _demand(own)) | await codes.left(cx, _demand(pooled), at=now)
    if short:
        raise InsufficientStock(short)
    planned = tuple(
        PlannedLine(
            line_no=each.new.line_no,
            sku_id=each.new.sku_id,
            kind=each.new.kind,
            quantity=each.new.quantity,
            unit_price_minor=each.new.unit_price_minor,
            total_minor=each.new.total_minor,
            discounts=_planned_discounts(priced, each.new.line_no),
            holds_stock=each.plan.stock_policy in ("hold", "at_place", "codes"),
            holds_at_supplier=bool(each.plan.offers) and each.plan.offers[0].lock,
        )
        for each in lines
    )
    lock_s = lock_s_of([each.plan for each in lines], timings)
    return PlannedOrder(currency, total, free, lock_s, verdict == "review", planned)


def _demand(lines: Sequence[Admitted]) -> dict[str, int]:
    return demand_per_sku([(line.new.sku_id, line.new.quantity) for line in lines])


async def _as_it_stands(cx: Connection, wish: Wish, timings: OrderTimings) -> Opened:
    plan = await read_plan(cx, wish.order_no, timings)
    answer = await order_claims.answer_of(cx, wish.order_no)
    if plan is not None and plan.status is OrderStatus.REJECTED and answer and "refusal" in answer:
        return Opened(refusal=Refusal(**answer["refusal"]))
    return Opened(plan=plan)


def _planned_discounts(priced: Priced, line_no: int) -> tuple[PlannedDiscount, ...]:
    return tuple(
        PlannedDiscount(each.promotion_id, each.name, each.amount_minor, each.explanation)
        for each in priced.discounts
        if each.line_no == line_no
    )


async def _price(cx: Connection, wish: Wish, now: datetime) -> Priced:
    """Every line judged, then the best promotions for all of them. Raises the DomainError of the first no."""
    priced = await price(cx, wish, await judge_lines(cx, wish, now), now)
    expected = wish.request.get("expected_total")
    total = Money(priced.total_minor, wish.request["currency"])
    if expected is not None and Money(**expected) != total:
        raise TotalChanged(Money(**expected), total)
    return priced


async def _judge_risk(cx: Connection, wish: Wish, total_minor: int, now: datetime) -> str:
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
    verdict = judge_risk(rules, RiskFacts(total_minor, wish.denied, recent))
    if verdict == "deny":
        raise RiskDenied
    return verdict


async def _record(cx: Connection, wish: Wish, priced: Priced, message: OpenOrder) -> None:
    """Raises CreditExceeded, with nothing recorded."""
    new, currency = [line.new for line in priced.lines], wish.request["currency"]
    if not await order_admission.insert_order(cx, wish, new, host_workflow_id=message.host_workflow_id, at=message.at):
        free = await order_credit.free(cx, wish.distributor_id)
        raise CreditExceeded(Money(priced.total_minor, currency), Money(free, currency))
    if priced.discounts:
        coupon_ids = priced.coupon_ids or {}
        await order_promotions.record(cx, wish.order_no, priced.occasion, priced.discounts, coupon_ids)


async def _refuse(cx: Connection, wish: Wish, message: OpenOrder, refusal: Refusal) -> Opened:
    """Recorded without lines: what was asked for may not even exist. The claim keeps the request."""
    await order_admission.insert_unopened(cx, wish, host_workflow_id=message.host_workflow_id, at=message.at)
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
    await order_claims.record_answer(cx, wish.order_no, {"facts": answer_facts(order)}, refused=False)


def _new_plan(wish: Wish, priced: Priced, timings: OrderTimings, *, in_review: bool) -> OrderPlan:
    lines: tuple[LinePlan, ...] = tuple(line.plan for line in priced.lines)
    return OrderPlan(
        order_no=wish.order_no,
        distributor_id=wish.distributor_id,
        status=OrderStatus.PENDING,
        in_review=in_review,
        currency=wish.request["currency"],
        all_or_nothing=bool(wish.request.get("all_or_nothing")),
        lock_s=lock_s_of(lines, timings),
        lock_ceiling_s=timings.lock_ceiling_s,
        review_s=timings.review_s,
        locked_at=None,
        hold_expires_at=None,
        lines=lines,
        promotions=bool(priced.discounts),
        pays=wish.pays,
        free=not priced.total_minor,
    )
