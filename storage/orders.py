"""Orders: the claim that makes placing once-only, the order, its lines, bookings, tickets and event log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from domain.gate import TicketStatus
from domain.orders import DeliveryStatus, FulfillmentStatus, OrderStatus, PaymentStatus, RefundStatus
from domain.payments import Pays
from storage.columns import at, big, document, one_of


class OrderClaimRow(SQLModel, table=True):
    """One wish to place an order: unique per caller and key, for ever. `answer` is the first answer's facts.

    `sent_until`: until then the process that sent it is taken to be waiting for the answer (409 to others).
    A refused order frees its `client_order_no`.
    """

    __tablename__ = "order_claims"
    __table_args__ = (
        UniqueConstraint("distributor_id", "idempotency_key"),
        Index(
            "order_claims_client_order_no",
            "distributor_id",
            "client_order_no",
            unique=True,
            postgresql_where=text("client_order_no IS NOT NULL AND NOT refused"),
        ),
        Index("order_claims_unanswered", "created_at", postgresql_where=text("answer IS NULL")),
    )

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    distributor_id: str = Field(foreign_key="distributors.id")
    idempotency_key: str
    body_hash: str
    client_order_no: str | None = None
    request: dict[str, Any] = document()
    answer: dict[str, Any] | None = document(default=None, nullable=True)
    refused: bool = False
    sent_until: datetime = at()
    created_at: datetime = at()


class OrderRow(SQLModel, table=True):
    """An order. Amounts in minor units of `currency`; `host_workflow_id` names the workflow that is its writer.

    `pays`: by its distributor's credit line, or by its buyer; `revives`: the order in whose place it was put, since
    that one's money had come too late.
    """

    __tablename__ = "orders"
    __table_args__ = (
        one_of("status", OrderStatus),
        one_of("payment_status", PaymentStatus),
        one_of("fulfillment_status", FulfillmentStatus),
        one_of("delivery_status", DeliveryStatus),
        one_of("refund_status", RefundStatus),
        one_of("pays", Pays),
        CheckConstraint("total_minor >= 0", name="total_not_negative"),
        CheckConstraint("refunded_minor BETWEEN 0 AND total_minor", name="refund_within_total"),
        Index("orders_distributor", "distributor_id", "order_no"),
        Index("orders_status", "status", "order_no"),
        Index("orders_distributor_status", "distributor_id", "status", "order_no"),
        Index(
            "orders_buyer",
            "distributor_id",
            "buyer_ref",
            "order_no",
            postgresql_where=text("buyer_ref IS NOT NULL"),
        ),
        Index("orders_revives", "revives", unique=True, postgresql_where=text("revives IS NOT NULL")),
        Index("orders_device", "device_ref", "order_no", postgresql_where=text("device_ref IS NOT NULL")),
        Index("orders_address", "address_ref", "order_no", postgresql_where=text("address_ref IS NOT NULL")),
        Index(
            "orders_open",
            "order_no",
            postgresql_where=text("status IN ('pending', 'locked', 'issuing', 'refunding')"),
        ),
    )

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    distributor_id: str = Field(foreign_key="distributors.id")
    client_order_no: str | None = None
    buyer_ref: str | None = None
    device_ref: str | None = None
    address_ref: str | None = None
    host_workflow_id: str
    status: str
    payment_status: str = "unpaid"
    fulfillment_status: str = "unfulfilled"
    delivery_status: str = "not_required"
    refund_status: str = "none"
    currency: str
    total_minor: int = big()
    refunded_minor: int = big(default=0)
    all_or_nothing: bool = False
    in_review: bool = False
    refusal: dict[str, Any] | None = document(default=None, nullable=True)
    cancel_reason: str | None = None
    contact: dict[str, Any] | None = document(default=None, nullable=True)
    ship_to: dict[str, Any] | None = document(default=None, nullable=True)
    created_at: datetime = at()
    locked_at: datetime | None = at(default=None, nullable=True)
    hold_expires_at: datetime | None = at(default=None, nullable=True)
    price_guaranteed_until: datetime | None = at(default=None, nullable=True)
    confirmed_at: datetime | None = at(default=None, nullable=True)
    issued_at: datetime | None = at(default=None, nullable=True)
    canceled_at: datetime | None = at(default=None, nullable=True)
    rested_at: datetime | None = at(default=None, nullable=True)
    pays: str = "on_account"
    revives: int | None = big(default=None, nullable=True)
    updated_at: datetime = at()
    version: int = 1


class OrderLineRow(SQLModel, table=True):
    """A line with its own status and times. `cost_minor` is what we owe the supplier for the whole line once issued."""

    __tablename__ = "order_lines"
    __table_args__ = (
        one_of("status", OrderStatus),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("total_minor = unit_price_minor * quantity - discount_minor", name="total_adds_up"),
        CheckConstraint("refunded_minor BETWEEN 0 AND total_minor", name="refund_within_total"),
        Index("order_lines_supplier", "supplier_id", "order_no"),
        Index("order_lines_sku", "sku_id", "order_no"),
        Index("order_lines_event", "product_id", "starts_at", postgresql_where=text("starts_at IS NOT NULL")),
    )

    order_no: int = big(primary_key=True, foreign_key="orders.order_no")
    line_no: int = Field(primary_key=True)
    status: str
    sku_id: str = Field(foreign_key="skus.id")
    product_id: str = Field(foreign_key="products.id")
    kind: str
    title: str
    quantity: int
    unit_price_minor: int = big()
    discount_minor: int = big(default=0)
    total_minor: int = big()
    refunded_minor: int = big(default=0)
    cost_minor: int | None = big(default=None, nullable=True)
    supplier_id: str | None = Field(default=None, foreign_key="suppliers.id")
    snapshot_id: str = Field(foreign_key="snapshots.id")
    availability_id: str | None = None
    starts_at: datetime | None = at(default=None, nullable=True)
    visitors: list[Any] | None = document(default=None, nullable=True)
    account: str | None = None
    failure: dict[str, Any] | None = document(default=None, nullable=True)
    locked_at: datetime | None = at(default=None, nullable=True)
    issued_at: datetime | None = at(default=None, nullable=True)
    canceled_at: datetime | None = at(default=None, nullable=True)
    refunded_at: datetime | None = at(default=None, nullable=True)
    supplier_refunded_at: datetime | None = at(default=None, nullable=True)
    supplier_refunded_minor: int = big(default=0)


class BookingRow(SQLModel, table=True):
    """One attempt at one supplier for one line: the intent, stored before anything is sent.

    `reference` is ours and stable. `intended`: stored, perhaps sent; `held`: reserved there; `issuing`: issue may
    have been sent; the rest are definite. `released` counts as nothing held or issued. `quantity`: of the line, where
    the booking is of a part that one warehouse sends; null: all of it.
    """

    __tablename__ = "bookings"
    __table_args__ = (
        one_of("state", ("intended", "held", "issuing", "confirmed", "rejected", "releasing", "released", "lost")),
        UniqueConstraint("reference"),
        Index("bookings_supplier", "supplier_id", "state"),
    )

    order_no: int = big(primary_key=True, foreign_key="orders.order_no")
    line_no: int = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    offer_id: str = Field(foreign_key="offers.id")
    supplier_id: str = Field(foreign_key="suppliers.id")
    reference: str
    supplier_reference: str | None = None
    state: str
    cost_minor: int = big()
    intended_at: datetime = at()
    hold_expires_at: datetime | None = at(default=None, nullable=True)
    issuing_at: datetime | None = at(default=None, nullable=True)
    negotiating_since: datetime | None = at(default=None, nullable=True)
    quantity: int | None = None
    warehouse_id: str | None = None
    asked: int = 0
    escalated_at: datetime | None = at(default=None, nullable=True)
    decided_at: datetime | None = at(default=None, nullable=True)
    answer: dict[str, Any] | None = document(default=None, nullable=True)


class TicketRow(SQLModel, table=True):
    """One unit's credential: the supplier's own code, or none where we issue it ourselves (`code_format` TESSERA).

    `position` is kept by the database: the transaction that changed the ticket last, which offline lists go by. The
    same trigger notes `voided_at` where nobody did, and keeps void what an operator has voided (`voided_by`).
    """

    __tablename__ = "tickets"
    __table_args__ = (
        one_of("status", TicketStatus),
        CheckConstraint(
            "status <> 'redeemed' OR (redeemed_at IS NOT NULL AND redeemed_gate IS NOT NULL)",
            name="redeemed_when_and_where",
        ),
        Index("tickets_code", "code", postgresql_using="hash", postgresql_where=text("code <> ''")),
    )

    order_no: int = big(primary_key=True, foreign_key="orders.order_no")
    line_no: int = Field(primary_key=True)
    unit: int = Field(primary_key=True)
    supplier_ticket_id: str
    code: str
    code_format: str
    status: str = "valid"
    issued_at: datetime = at()
    redeemed_at: datetime | None = at(default=None, nullable=True)
    redeemed_gate: str | None = None
    voided_at: datetime | None = at(default=None, nullable=True)
    voided_by: str | None = None
    void_reason: str | None = None
    position: int = big(default=0)


class OrderEventRow(SQLModel, table=True):
    """One change of one axis: who, when, event, from, to, reason. Append-only. `line_no` 0 is the order itself."""

    __tablename__ = "order_events"

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    seq: int = Field(primary_key=True)
    line_no: int = 0
    axis: str
    event: str
    from_state: str
    to_state: str
    actor: str
    reason: str = ""
    at: datetime = at()


class OrderExceptionRow(SQLModel, table=True):
    """Something that a person has to decide: an operator's queue entry with its evidence. About an order, a payment, or
    money that is nobody's yet."""

    __tablename__ = "order_exceptions"
    __table_args__ = (
        one_of("state", ("open", "resolved")),
        Index("order_exceptions_open", "state", "id"),
        Index("order_exceptions_order", "order_no"),
        Index("order_exceptions_payment", "pay_id", postgresql_where=text("pay_id IS NOT NULL")),
    )

    id: str = Field(primary_key=True)
    kind: str
    order_no: int | None = big(default=None, nullable=True)
    line_no: int = 0
    pay_id: str | None = None
    refund_id: str | None = None
    supplier_id: str | None = None
    evidence: dict[str, Any] = document(default_factory=dict)
    state: str = "open"
    opened_at: datetime = at()
    resolved_at: datetime | None = at(default=None, nullable=True)
    resolved_by: str | None = None
    resolution: dict[str, Any] | None = document(default=None, nullable=True)
