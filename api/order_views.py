"""How orders are shown: after placing, where they stand, in lists, and in full."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from activities.order_messages import OrderStanding
from adapters.gate.tokens import TicketKeys
from api.catalog_views import PreviewView
from api.payment_views import RefundView
from api.ticket_views import TicketView
from api.unit_views import UnitView, units_of
from api.views import Instant, MoneyView, OrderNo, View
from domain.categories import LineTerms
from domain.orders import OrderStatus, allowed_actions
from domain.pay_order import PartState
from domain.payments import Pays, PayStatus


class PlacedLineView(View):
    """`total` is what the line costs after its `discount`."""

    line_no: int = Field(examples=[1])
    sku_id: str
    quantity: int
    unit_price: MoneyView
    discount: MoneyView
    total: MoneyView


class PlacedView(View):
    """The answer to placing. `in_review`: a risk rule has parked the order for an operator; poll it."""

    order_no: OrderNo
    status: OrderStatus
    in_review: bool
    total: MoneyView
    hold_expires_at: Instant | None
    lines: list[PlacedLineView]
    allowed_actions: list[str]
    version: int

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> PlacedView:
        """From the facts that were kept with the claim: the same for ever."""
        currency = facts["currency"]
        return cls(
            order_no=facts["order_no"],
            status=OrderStatus(facts["status"]),
            in_review=facts["in_review"],
            total=MoneyView(amount_minor=facts["total_minor"], currency=currency),
            hold_expires_at=_moment(facts["hold_expires_at"]),
            lines=[
                PlacedLineView(
                    line_no=line["line_no"],
                    sku_id=line["sku_id"],
                    quantity=line["quantity"],
                    unit_price=MoneyView(amount_minor=line["unit_price_minor"], currency=currency),
                    discount=MoneyView(
                        amount_minor=line["unit_price_minor"] * line["quantity"] - line["total_minor"],
                        currency=currency,
                    ),
                    total=MoneyView(amount_minor=line["total_minor"], currency=currency),
                )
                for line in facts["lines"]
            ],
            allowed_actions=facts["allowed_actions"],
            version=facts["version"],
        )


class AcceptedView(View):
    """Placing takes longer than its caller was let wait: poll `location`."""

    order_no: OrderNo
    status: str = Field("accepted", examples=["accepted"])
    location: str


class LineStandingView(View):
    line_no: int
    status: OrderStatus
    negotiating: bool = Field(description="The supplier has not answered definitely; it is asked until it has.")


class StandingView(View):
    """Where an order stands after an action."""

    order_no: OrderNo
    status: OrderStatus
    negotiating: bool
    hold_expires_at: Instant | None
    lines: list[LineStandingView]
    allowed_actions: list[str]

    @classmethod
    def of(cls, standing: OrderStanding, *, operator: bool, pays: str) -> StandingView:
        """From the process's own word. `pays`: how the order is paid."""
        return cls(
            order_no=standing.order_no,
            status=standing.status,
            negotiating=bool(standing.negotiating),
            hold_expires_at=standing.hold_expires_at,
            lines=[
                LineStandingView(line_no=number, status=status, negotiating=number in standing.negotiating)
                for number, status in sorted(standing.lines.items())
            ],
            allowed_actions=allowed_actions(
                standing.status, review=False, operator=operator, escalated=False, pays=pays
            ),
        )


class OrderSummaryView(View):
    """A row of a list."""

    order_no: OrderNo
    client_order_no: str | None
    distributor_id: str
    status: OrderStatus
    pays: Pays = Field(description="By its distributor's credit line, or by its buyer before anything is issued.")
    payment_status: str
    fulfillment_status: str
    delivery_status: str
    refund_status: str
    in_review: bool
    total: MoneyView
    refunded: MoneyView
    created_at: Instant
    updated_at: Instant
    version: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> OrderSummaryView:
        return cls(**_summary(row))


class BookingView(View):
    """One attempt at one supplier; for operators."""

    attempt: int
    supplier_id: str
    reference: str
    supplier_reference: str | None
    state: str
    cost: MoneyView
    hold_expires_at: Instant | None
    negotiating_since: Instant | None
    asked: int
    escalated_at: Instant | None
    decided_at: Instant | None


class DiscountView(View):
    """What one promotion takes off a line, and why, in the order of application."""

    promotion_id: str = Field(examples=["prm_0f3a9c1d2b4e5f60a1b2"])
    name: str = Field(examples=["Spring sale"])
    amount: MoneyView
    explanation: str = Field(examples=["Spring sale: 15.00 % off; 300 of 2000 taken off this line."])


class OrderLineView(View):
    """A line with what was bought (the snapshot), what its buyer will get (the preview), where it stands, its units."""

    line_no: int
    status: OrderStatus
    sku_id: str
    product_id: str
    kind: str
    title: str
    quantity: int
    unit_price: MoneyView
    discount: MoneyView
    total: MoneyView
    refunded: MoneyView
    discounts: list[DiscountView]
    availability_id: str | None
    starts_at: Instant | None
    negotiating: bool
    negotiating_since: Instant | None
    asked: int
    failure: dict[str, Any] | None
    account: str | None
    snapshot: dict[str, Any]
    preview: PreviewView
    units: list[UnitView]
    tickets: list[TicketView]
    bookings: list[BookingView] | None = Field(description="For operators; null for others.")


class EventView(View):
    """One change on one axis."""

    at: Instant
    line_no: int
    axis: str
    event: str
    from_state: str
    to_state: str
    actor: str
    reason: str


class FlowView(View):
    """A signed amount: what the distributor owes us, or (for operators) what we owe a supplier."""

    side: str = Field(examples=["receivable"])
    party: str
    line_no: int
    kind: str
    amount: MoneyView
    business_at: Instant


class OrderPaymentView(View):
    """The order's share of a payment. `part_state`: as in the payment's own view; `order_no`: the one that was to be
    paid, and `successor_no` the one that was put in its place."""

    payment_id: str = Field(examples=["pay-1039000000000000001"])
    status: PayStatus
    part_state: PartState
    order_no: OrderNo
    successor_no: OrderNo | None
    amount: MoneyView

    @classmethod
    def of(cls, part: Mapping[str, Any], currency: str) -> OrderPaymentView:
        return cls(
            payment_id=part["pay_id"],
            status=part["status"],
            part_state=part["state"],
            order_no=part["order_no"],
            successor_no=part["successor_no"],
            amount=MoneyView(amount_minor=part["amount_minor"], currency=currency),
        )


class OrderView(OrderSummaryView):
    """Everything about one order."""

    revives: OrderNo | None = Field(description="The order in whose place this one was put: its money came too late.")
    revived_by: OrderNo | None = Field(description="The order that was put in this one's place.")
    buyer_ref: str | None
    contact: dict[str, Any] | None
    ship_to: dict[str, Any] | None
    all_or_nothing: bool
    refusal: dict[str, Any] | None
    cancel_reason: str | None
    negotiating: bool
    locked_at: Instant | None
    hold_expires_at: Instant | None
    price_guaranteed_until: Instant | None
    confirmed_at: Instant | None
    issued_at: Instant | None
    canceled_at: Instant | None
    lines: list[OrderLineView]
    flows: list[FlowView]
    payments: list[OrderPaymentView]
    refunds: list[RefundView]
    timeline: list[EventView]
    exceptions: list[str] | None = Field(description="Ids of cases about it; for operators.")
    links: dict[str, str]
    allowed_actions: list[str]

    @classmethod
    def full(cls, row: Mapping[str, Any], *, operator: bool, ui_url: str, keys: TicketKeys) -> OrderView:
        """From `read_detail`; costs, suppliers' references and links to Temporal are for operators."""
        currency = row["currency"]
        bookings = row["bookings"] or []
        undecided = [booking for booking in bookings if booking["decided_at"] is None]
        escalated = any(booking["escalated_at"] for booking in undecided)
        status = OrderStatus(row["status"])
        return cls(
            **_summary(row),
            **{name: row[name] for name in _PLAIN},
            negotiating=any(booking["negotiating_since"] for booking in undecided),
            lines=[_line(line, row, currency, operator, keys) for line in row["lines"] or []],
            flows=_flows(row, operator),
            payments=[OrderPaymentView.of(part, currency) for part in row["payments"] or []],
            refunds=[RefundView.of(refund) for refund in row["refunds"] or []],
            timeline=[
                EventView(**{name: event[name] for name in EventView.model_fields}) for event in row["timeline"] or []
            ],
            exceptions=[case["id"] for case in row["exceptions"] or []] if operator else None,
            links=_links(row, operator, ui_url),
            allowed_actions=allowed_actions(
                status, review=row["in_review"], operator=operator, escalated=escalated, pays=row["pays"]
            ),
        )


_PLAIN = (
    "revives", "revived_by", "buyer_ref", "contact", "ship_to", "all_or_nothing", "refusal", "cancel_reason",
    "locked_at", "hold_expires_at", "price_guaranteed_until", "confirmed_at", "issued_at", "canceled_at",
)  # fmt: skip


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = (
        "order_no", "client_order_no", "distributor_id", "status", "pays", "payment_status", "fulfillment_status",
        "delivery_status", "refund_status", "in_review", "created_at", "updated_at", "version",
    )  # fmt: skip
    return {name: row[name] for name in plain} | {
        "total": MoneyView(amount_minor=row["total_minor"], currency=row["currency"]),
        "refunded": MoneyView(amount_minor=row["refunded_minor"], currency=row["currency"]),
    }


def _line(
    line: Mapping[str, Any], row: Mapping[str, Any], currency: str, operator: bool, keys: TicketKeys
) -> OrderLineView:
    number = line["line_no"]
    bookings = [booking for booking in row["bookings"] or [] if booking["line_no"] == number]
    latest = bookings[-1] if bookings else None
    negotiating = latest is not None and latest["negotiating_since"] is not None and latest["decided_at"] is None
    plain = (
        "line_no", "status", "sku_id", "product_id", "kind", "title", "quantity", "availability_id", "starts_at",
        "account", "failure", "snapshot",
    )  # fmt: skip
    amounts: dict[str, Any] = {
        name: MoneyView(amount_minor=line[f"{name}_minor"], currency=currency)
        for name in ("unit_price", "discount", "total", "refunded")
    }
    return OrderLineView(
        **{name: line[name] for name in plain},
        **amounts,
        discounts=[
            DiscountView(
                promotion_id=each["promotion_id"],
                name=each["name"],
                amount=MoneyView(amount_minor=each["amount_minor"], currency=currency),
                explanation=each["explanation"],
            )
            for each in row["discounts"] or []
            if each["line_no"] == number
        ],
        negotiating=negotiating,
        negotiating_since=latest["negotiating_since"] if latest and negotiating else None,
        asked=latest["asked"] if latest else 0,
        preview=PreviewView.of(line["kind"], LineTerms(*row["terms"][str(number)])),
        units=units_of(row, number, operator=operator),
        tickets=[TicketView.of(ticket, line, keys) for ticket in row["tickets"] or [] if ticket["line_no"] == number],
        bookings=[_booking(booking, currency) for booking in bookings] if operator else None,
    )


def _booking(booking: Mapping[str, Any], currency: str) -> BookingView:
    plain = {name: booking[name] for name in BookingView.model_fields if name != "cost"}
    return BookingView(**plain, cost=MoneyView(amount_minor=booking["cost_minor"], currency=currency))


def _flows(row: Mapping[str, Any], operator: bool) -> list[FlowView]:
    sides = [("receivable", "distributor_id", row["receivables"])]
    if operator:
        sides.append(("payable", "supplier_id", row["payables"]))
    return [
        FlowView(
            side=side,
            party=flow[party],
            line_no=flow["line_no"],
            kind=flow["kind"],
            amount=MoneyView(amount_minor=flow["amount_minor"], currency=flow["currency"]),
            business_at=flow["business_at"],
        )
        for side, party, flows in sides
        for flow in flows or []
    ]


def _links(row: Mapping[str, Any], operator: bool, ui_url: str) -> dict[str, str]:
    links = {"self": f"/v1/orders/{row['order_no']:019d}"}
    if row["tickets"]:
        links["tickets_pdf"] = f"{links['self']}/tickets.pdf"
    if operator:
        host = row["host_workflow_id"].replace("/", "%2F")
        links["temporal"] = f"{ui_url.rstrip('/')}/namespaces/default/workflows/{host}"
    return links


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
