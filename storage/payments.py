"""Money in and back: payment channels and what they told us, pay orders with their parts, charges and refunds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from domain.payments import PayStatus, RefundState
from storage.columns import at, big, document, one_of

EMPTY_OBJECT = {"server_default": text("'{}'")}
EMPTY_LIST = {"server_default": text("'[]'")}


class PaymentChannelRow(SQLModel, table=True):
    """A contract with a payment channel: protocol, address and secrets, what it takes, how patiently it is asked.

    `kinds`: of goods that it may pay for (empty: all); `fee_bp`: hundredths of a percent that it keeps; times in
    seconds; `alarm_s`: how long an answer may be unknown before a person is told.
    """

    __tablename__ = "payment_channels"
    __table_args__ = (
        CheckConstraint("growth >= 1", name="growth_at_least_one"),
        CheckConstraint("first_interval_s > 0 AND ceiling_s > 0 AND pay_s > 0 AND alarm_s > 0", name="times_positive"),
        CheckConstraint("min_minor > 0 AND max_minor >= min_minor", name="amounts_in_order"),
        CheckConstraint("fee_bp BETWEEN 0 AND 10000", name="fee_is_a_share"),
    )

    id: str = Field(primary_key=True)
    name: str
    protocol: str
    base_url: str
    credentials: dict[str, Any] = document(default_factory=dict, sa_column_kwargs=EMPTY_OBJECT)
    currency: str = "CNY"
    time_zone: str = "Asia/Shanghai"
    kinds: list[str] = document(default_factory=list, sa_column_kwargs=EMPTY_LIST)
    min_minor: int = big(default=1)
    max_minor: int = big(default=100_000_000)
    fee_bp: int = 0
    first_interval_s: float = 2.0
    growth: float = 1.7
    ceiling_s: float = 300.0
    pay_s: int = 900
    alarm_s: int = 300
    call_timeout_s: float = 8.0
    max_per_second: float = 50.0
    max_concurrent: int = 20
    active: bool = True
    created_at: datetime = at()


class ChannelCallbackRow(SQLModel, table=True):
    """The journal of callbacks: written before they are acknowledged, handed over until that worked.

    `event` is what it says, read after its signature was proved (domain/channels.py); `body` is what came. `unknown`:
    of a pay order that is not ours, which a person was told.
    """

    __tablename__ = "channel_callbacks"
    __table_args__ = (
        one_of("state", ("waiting", "handed_over", "unknown")),
        Index("channel_callbacks_waiting", "received_at", postgresql_where=text("state = 'waiting'")),
        Index("channel_callbacks_pay_order", "pay_id"),
    )

    channel_id: str = Field(primary_key=True, foreign_key="payment_channels.id")
    event_id: str = Field(primary_key=True)
    pay_id: str = ""
    event: dict[str, Any] = document()
    body: str
    state: str = "waiting"
    attempts: int = 0
    received_at: datetime = at()
    handed_over_at: datetime | None = at(default=None, nullable=True)


class PayOrderRow(SQLModel, table=True):
    """One payment of one buyer for one or many orders; amounts in minor units of `currency`.

    `paid_minor` is what was accepted as its payment; `refunding_minor` is on its way back, `refunded_minor` has gone
    back. `idempotency_key` is its buyer's: one wish makes one pay order, for ever. `looked_at`: when its channel was
    asked for the last time, long after it was decided.
    """

    __tablename__ = "pay_orders"
    __table_args__ = (
        one_of("status", PayStatus),
        UniqueConstraint("buyer_id", "idempotency_key"),
        CheckConstraint(
            "total_minor > 0 AND cash_minor >= 0 AND coins_minor >= 0 AND voucher_minor >= 0", name="parts_not_negative"
        ),
        CheckConstraint("total_minor = cash_minor + coins_minor + voucher_minor", name="parts_add_up"),
        CheckConstraint("cash_minor = 0 OR channel_id IS NOT NULL", name="cash_has_channel"),
        CheckConstraint("paid_minor IN (0, total_minor)", name="paid_whole"),
        CheckConstraint(
            "refunded_minor >= 0 AND refunding_minor >= 0 AND refunded_minor + refunding_minor <= paid_minor",
            name="refunds_within_paid",
        ),
        Index("pay_orders_buyer", "buyer_id", "id"),
        Index(
            "pay_orders_to_look_at",
            "id",
            postgresql_where=text("looked_at IS NULL AND at_rest AND channel_id IS NOT NULL"),
        ),
        Index("pay_orders_open", "id", postgresql_where=text("status IN ('created', 'pending')")),
        Index("pay_orders_in_motion", "id", postgresql_where=text("NOT at_rest")),
    )  # fmt: skip

    id: str = Field(primary_key=True)
    buyer_id: str
    distributor_id: str = Field(foreign_key="distributors.id")
    idempotency_key: str
    body_hash: str
    channel_id: str | None = Field(default=None, foreign_key="payment_channels.id")
    host_workflow_id: str
    status: str = "created"
    reason: str = ""
    currency: str
    total_minor: int = big()
    cash_minor: int = big()
    coins_minor: int = big(default=0)
    voucher_minor: int = big(default=0)
    voucher_ids: list[str] = document(default_factory=list, sa_column_kwargs=EMPTY_LIST)
    paid_minor: int = big(default=0)
    refunding_minor: int = big(default=0)
    refunded_minor: int = big(default=0)
    fee_minor: int = big(default=0)
    return_url: str = ""
    channel_reference: str = ""
    action: dict[str, Any] | None = document(default=None, nullable=True)
    at_rest: bool = False
    looked_at: datetime | None = at(default=None, nullable=True)
    created_at: datetime = at()
    expires_at: datetime | None = at(default=None, nullable=True)
    pending_at: datetime | None = at(default=None, nullable=True)
    paid_at: datetime | None = at(default=None, nullable=True)
    closed_at: datetime | None = at(default=None, nullable=True)
    updated_at: datetime = at()
    version: int = 1


class PayOrderPartRow(SQLModel, table=True):
    """One order of a pay order with its share. At most one open pay order per order.

    `open`: its order waits; `served`: it was paid for (`successor_no`: another order in its place was); `returned`: the
    money could not be used for it and goes back; `released`: no money came.
    """

    __tablename__ = "pay_order_parts"
    __table_args__ = (
        one_of("state", ("open", "served", "returned", "released")),
        CheckConstraint("amount_minor = cash_minor + coins_minor + voucher_minor", name="shares_add_up"),
        CheckConstraint("cash_minor >= 0 AND coins_minor >= 0 AND voucher_minor >= 0", name="shares_not_negative"),
        CheckConstraint(
            "refunded_minor >= 0 AND refunding_minor >= 0 AND refunded_minor + refunding_minor <= amount_minor",
            name="refunds_within_share",
        ),
        Index("pay_order_parts_open", "order_no", unique=True, postgresql_where=text("state = 'open'")),
        Index("pay_order_parts_order", "order_no"),
        Index("pay_order_parts_successor", "successor_no", unique=True),
    )

    pay_id: str = Field(primary_key=True, foreign_key="pay_orders.id")
    order_no: int = big(primary_key=True, foreign_key="orders.order_no")
    rank: int
    state: str = "open"
    amount_minor: int = big()
    cash_minor: int = big()
    coins_minor: int = big()
    voucher_minor: int = big()
    refunding_minor: int = big(default=0)
    refunded_minor: int = big(default=0)
    successor_no: int | None = big(default=None, nullable=True)
    reason: str = ""


class ChargeRow(SQLModel, table=True):
    """Money that a channel says it took, once per its own name for it; `pay_id` is null where no pay order is ours.

    `accepted`: it is the payment; `surplus`: another one was; `wrong_amount`, `unknown`: a person decides. What went
    back of it, and is on its way, never exceeds it; `settled_otherwise`: a person dealt with it outside the channel.
    """

    __tablename__ = "charges"
    __table_args__ = (
        one_of("verdict", ("accepted", "surplus", "wrong_amount", "unknown")),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint(
            "refunded_minor >= 0 AND refunding_minor >= 0 AND refunded_minor + refunding_minor <= amount_minor",
            name="refunds_within_charge",
        ),
        Index("charges_pay_order", "pay_id"),
        Index(
            "charges_accepted", "pay_id", unique=True, postgresql_where=text("verdict = 'accepted'")
        ),
    )  # fmt: skip

    channel_id: str = Field(primary_key=True, foreign_key="payment_channels.id")
    payment_id: str = Field(primary_key=True)
    pay_id: str | None = Field(default=None, foreign_key="pay_orders.id")
    reference: str
    verdict: str
    amount_minor: int = big()
    currency: str
    refunding_minor: int = big(default=0)
    refunded_minor: int = big(default=0)
    settled_otherwise: bool = False
    paid_at: datetime = at()
    recorded_at: datetime = at()


class RefundRow(SQLModel, table=True):
    """Money on its way back to a buyer, minor units. Of an order's line, of an order that got nothing, or of a charge.

    `tries`: the number at the channel is the id, from the second try on with `-{tries}` behind it. `evidence`: how a
    person settled it outside the channel.
    """

    __tablename__ = "refunds"
    __table_args__ = (
        one_of("state", RefundState),
        one_of("route", ("channel", "coins", "by_hand")),
        CheckConstraint("amount_minor = cash_minor + coins_minor + voucher_minor", name="parts_add_up"),
        CheckConstraint(
            "cash_minor >= 0 AND coins_minor >= 0 AND voucher_minor >= 0 AND amount_minor > 0",
            name="parts_not_negative",
        ),
        ForeignKeyConstraint(["channel_id", "payment_id"], ["charges.channel_id", "charges.payment_id"]),
        Index("refunds_pay_order", "pay_id"),
        Index("refunds_order", "order_no"),
        Index("refunds_open", "id", postgresql_where=text("state = 'refunding'")),
    )  # fmt: skip

    id: str = Field(primary_key=True)
    pay_id: str | None = Field(default=None, foreign_key="pay_orders.id")
    order_no: int | None = big(default=None, nullable=True)
    line_no: int | None = None
    channel_id: str | None = None
    payment_id: str | None = None
    reason: str
    route: str = "channel"
    state: str = "refunding"
    currency: str
    amount_minor: int = big()
    cash_minor: int = big()
    coins_minor: int = big(default=0)
    voucher_minor: int = big(default=0)
    tries: int = 1
    channel_reference: str = ""
    failure: str = ""
    evidence: dict[str, Any] | None = document(default=None, nullable=True)
    requested_at: datetime = at()
    refunded_at: datetime | None = at(default=None, nullable=True)
    failed_at: datetime | None = at(default=None, nullable=True)
    actor: str = "system"
