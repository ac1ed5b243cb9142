"""From rows to plans: what the order's process needs to begin, or to go on after its history was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from activities.order_messages import BookingState, LinePlan, OfferTerms, OrderPlan, Part
from domain.categories import CATEGORIES, LineTerms
from domain.operations import ISSUED, Call, Operation, delivering, issuing
from domain.order import Order
from domain.orders import OrderStatus, allowed_actions
from domain.payments import RefundState
from storage import bookings, order_admission, order_promotions, order_reading, order_stock, refunds
from storage.database import Connection


@dataclass(frozen=True, slots=True)
class OrderTimings:
    """Durations in seconds: how long a lock lasts, how far it may be extended, how long a review may take."""

    lock_s: int
    lock_ceiling_s: int
    review_s: int


def offers_of(row: Mapping[str, Any], currency: str) -> tuple[OfferTerms, ...]:
    """The variant's active offers in the order's currency, the first to be asked first."""
    return tuple(
        OfferTerms(
            offer_id=offer["offer_id"],
            supplier_id=offer["supplier_id"],
            cost_minor=offer["cost_minor"],
            lock=offer["lock"],
            lock_timeout_s=offer["lock_timeout_s"],
            issue_timeout_s=offer["issue_timeout_s"],
            lock_s=offer["lock_s"],
            consistency_window_s=offer["consistency_window_s"],
        )
        for offer in row["offers"]
        if offer["currency"] == currency
    )


def terms_of(row: Mapping[str, Any]) -> LineTerms:
    """What of a variant's row decides how its lines are fulfilled."""
    return LineTerms(row["stock_policy"], row["offered"])


def steps_of(kind: str, terms: LineTerms) -> tuple[Operation, ...]:
    """The kind's steps up to issued; empty for what most orders do, so that their histories don't carry it."""
    steps = issuing(CATEGORIES.of(kind).steps(terms))
    return () if steps == USUAL_STEPS else steps


def delivers(kind: str, terms: LineTerms) -> bool:
    """Whether the kind goes on after its lines are issued."""
    return bool(delivering(CATEGORIES.of(kind).steps(terms)))


USUAL_STEPS: tuple[Operation, ...] = (Call(), ISSUED)
"""Bought whole at a supplier."""


def lock_s_of(lines: Sequence[LinePlan], timings: OrderTimings) -> int:
    """The shortest lock that any first supplier of the lines grants, within ours."""
    return min([timings.lock_s, *(line.offers[0].lock_s for line in lines if line.offers)])


async def read_plan(cx: Connection, order_no: int, timings: OrderTimings) -> OrderPlan | None:
    """The plan of an order that exists, with the bookings that were made for it; None where there is no order."""
    row, line_rows = await order_reading.read_core(cx, order_no)
    if row is None:
        return None
    offered = await order_admission.read_offered(
        cx,
        sorted({line["sku_id"] for line in line_rows}),
        channel=row["channel"],
        now=row["created_at"],
        place=row["ship_to"],
        withdrawn=True,
    )
    parts = await order_stock.parts_of(cx, order_no)
    due = {each["line_no"] for each in await refunds.of_order(cx, order_no) if each["state"] != RefundState.REFUNDED}
    attempts: dict[int, list[BookingState]] = {}
    for booking in await bookings.of_order(cx, order_no):
        attempts.setdefault(booking["line_no"], []).append(
            BookingState(
                attempt=booking["attempt"],
                offer_id=booking["offer_id"],
                supplier_id=booking["supplier_id"],
                reference=booking["reference"],
                state=booking["state"],
                cost_minor=booking["cost_minor"],
                hold_expires_at=booking["hold_expires_at"],
                negotiating_since=booking["negotiating_since"],
                asked=booking["asked"],
                escalated=booking["escalated_at"] is not None,
                quantity=booking["quantity"],
                warehouse_id=booking["warehouse_id"],
            )
        )
    lines = tuple(
        LinePlan(
            line_no=line["line_no"],
            sku_id=line["sku_id"],
            kind=line["kind"],
            quantity=line["quantity"],
            stock_policy=offered[line["sku_id"]]["stock_policy"],
            status=OrderStatus(line["status"]),
            offers=offers_of(offered[line["sku_id"]], row["currency"]),
            bookings=tuple(attempts.get(line["line_no"], ())),
            steps=steps_of(line["kind"], terms_of(offered[line["sku_id"]])),
            delivers=delivers(line["kind"], terms_of(offered[line["sku_id"]])),
            parts=tuple(Part(*part) for part in parts.get(line["line_no"], ())),
            money_due=line["status"] == OrderStatus.REFUNDING and line["line_no"] in due,
        )
        for line in line_rows
    )
    return OrderPlan(
        order_no=order_no,
        distributor_id=row["distributor_id"],
        status=OrderStatus(row["status"]),
        in_review=row["in_review"],
        currency=row["currency"],
        all_or_nothing=row["all_or_nothing"],
        lock_s=lock_s_of(lines, timings),
        lock_ceiling_s=timings.lock_ceiling_s,
        review_s=timings.review_s,
        locked_at=row["locked_at"],
        hold_expires_at=row["hold_expires_at"],
        lines=lines,
        promotions=await order_promotions.is_priced_with_some(cx, order_no),
        pays=row["pays"],
        free=not row["total_minor"],
    )


def answer_facts(order: Order) -> dict[str, Any]:
    """What placing answers, and answers again for ever: plain JSON, no personal data."""
    actions = allowed_actions(order.status, review=order.in_review, operator=False, escalated=False, pays=order.pays)
    return {
        "order_no": order.order_no,
        "status": str(order.status),
        "in_review": order.in_review,
        "currency": order.currency,
        "total_minor": order.total_minor,
        "version": order.version,
        "hold_expires_at": order.hold_expires_at.isoformat() if order.hold_expires_at else None,
        "allowed_actions": actions,
        "lines": [
            {
                "line_no": line.line_no,
                "sku_id": line.sku_id,
                "quantity": line.quantity,
                "unit_price_minor": line.unit_price_minor,
                "total_minor": line.total_minor,
            }
            for line in order.lines
        ],
    }
