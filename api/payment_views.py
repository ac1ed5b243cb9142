"""Shapes of payments: what a shopper asks for, and how pay orders, their charges and refunds are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field

from api.balance_views import VoucherCode
from api.views import Id, Input, Instant, Minor, MoneyView, OrderNo, Text, View
from domain.pay_order import PartState, Verdict
from domain.payments import UNDECIDED, PayStatus, RefundState


def _distinct(given: list[Any]) -> list[Any]:
    if len(set(given)) != len(given):
        raise ValueError("names the same one twice")
    return given


class PaymentInput(Input):
    """What is to be paid, and by what: vouchers as far as they go, then the coins that are named, the rest in cash."""

    order_nos: Annotated[list[OrderNo], Field(min_length=1, max_length=20), AfterValidator(_distinct)]
    channel_id: Id | None = Field(None, description="One of /v1/payment-channels; needed where cash is left to pay.")
    coins_minor: Minor = 0
    voucher_ids: Annotated[list[Id], Field(max_length=10), AfterValidator(_distinct)] = Field(
        [], description="The shopper's own, as /v1/balances shows them; used before those that are named by code."
    )
    voucher_codes: Annotated[list[VoucherCode], Field(max_length=10), AfterValidator(_distinct)] = Field(
        [], description="In the order of use. Each is the shopper's from then on."
    )
    return_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s\x00]+$",
        max_length=2000,
        description="Where the payer's browser goes from the channel.",
        examples=["https://shop.example/orders"],
    )


class PaymentCancelInput(Input):
    """Why, in a few words."""

    reason: Text = "requested by the buyer"


class ActionView(View):
    """What the payer has to do: go to `url`, post `fields` there, hand `token` to the channel's widget, or nothing."""

    kind: Literal["redirect", "form", "token", "none"]
    url: str
    token: str
    fields: dict[str, str]


class PartView(View):
    """One order's share. `served`: paid for, or `successor_no` in its place; `returned`: its money goes back."""

    order_no: OrderNo
    state: PartState
    amount: MoneyView
    cash: MoneyView
    coins: MoneyView
    voucher: MoneyView
    refunding: MoneyView
    refunded: MoneyView
    successor_no: OrderNo | None
    reason: str


class RefundView(View):
    """Money on its way back, or back: by the channel, into coins, or by hand."""

    id: str = Field(examples=["rfd-1039000000000000001-1-1"])
    order_no: OrderNo | None
    line_no: int | None
    state: RefundState
    route: Literal["channel", "coins", "by_hand"]
    amount: MoneyView
    reason: str
    requested_at: Instant
    refunded_at: Instant | None
    failed_at: Instant | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        plain = {name: row[name] for name in cls.model_fields if name != "amount"}
        return cls(**plain, amount=MoneyView(amount_minor=row["amount_minor"], currency=row["currency"]))


class ChargeView(View):
    """Money that the channel says it took. `accepted`: it is the payment; `surplus`: another one was, it goes back;
    `wrong_amount`, `unknown`: a person decides."""

    channel_id: str
    payment_id: str
    verdict: Verdict
    amount: MoneyView
    refunding: MoneyView
    refunded: MoneyView
    settled_otherwise: bool
    paid_at: Instant
    recorded_at: Instant


class PaymentView(View):
    """A payment: its parts, what the payer has to do while it is open, and what went back."""

    id: str = Field(examples=["pay-1039000000000000001"])
    status: PayStatus
    reason: str
    buyer_id: str
    channel_id: str | None
    total: MoneyView
    cash: MoneyView
    coins: MoneyView
    voucher: MoneyView
    paid: MoneyView
    refunding: MoneyView
    refunded: MoneyView
    action: ActionView | None = Field(description="While it is `pending`.")
    parts: list[PartView]
    refunds: list[RefundView]
    charges: list[ChargeView] | None = Field(description="For operators; null for others.")
    fee: MoneyView | None = Field(description="What the channel keeps, which we bear; for operators.")
    created_at: Instant
    expires_at: Instant | None
    paid_at: Instant | None
    closed_at: Instant | None
    version: int
    links: dict[str, str]
    allowed_actions: list[str]

    @classmethod
    def of(cls, row: Mapping[str, Any], *, operator: bool, ui_url: str) -> Self:
        """From `pay_reading`; charges, fees and links to Temporal are for operators."""
        currency, status = row["currency"], PayStatus(row["status"])
        plain = (
            "id", "reason", "buyer_id", "channel_id", "created_at", "expires_at", "paid_at", "closed_at", "version",
        )  # fmt: skip
        return cls(
            **{name: row[name] for name in plain},
            **_amounts(row, currency, "total", "cash", "coins", "voucher", "paid", "refunding", "refunded"),
            status=status,
            action=ActionView(**row["action"]) if row["action"] and status is PayStatus.PENDING else None,
            parts=[_part(part, currency) for part in row["parts"]],
            refunds=[RefundView.of(refund) for refund in row["refunds"]],
            charges=[_charge(charge) for charge in row["charges"]] if operator else None,
            fee=MoneyView(amount_minor=row["fee_minor"], currency=currency) if operator else None,
            links=_links(row, operator, ui_url),
            allowed_actions=["cancel"] if status in UNDECIDED else [],
        )


def _amounts(row: Mapping[str, Any], currency: str, *names: str) -> dict[str, Any]:
    return {name: MoneyView(amount_minor=row[f"{name}_minor"], currency=currency) for name in names}


def _part(row: Mapping[str, Any], currency: str) -> PartView:
    return PartView(
        **{name: row[name] for name in ("order_no", "state", "successor_no", "reason")},
        **_amounts(row, currency, "amount", "cash", "coins", "voucher", "refunding", "refunded"),
    )


def _charge(row: Mapping[str, Any]) -> ChargeView:
    plain = ("channel_id", "payment_id", "verdict", "settled_otherwise", "paid_at", "recorded_at")
    return ChargeView(
        **{name: row[name] for name in plain},
        **_amounts(row, row["currency"], "amount", "refunding", "refunded"),
    )


def _links(row: Mapping[str, Any], operator: bool, ui_url: str) -> dict[str, str]:
    links = {"self": f"/v1/payments/{row['id']}"}
    if operator:
        host = row["host_workflow_id"].replace("/", "%2F")
        links["temporal"] = f"{ui_url.rstrip('/')}/namespaces/default/workflows/{host}"
    return links
