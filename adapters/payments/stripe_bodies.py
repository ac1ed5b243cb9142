"""Stripe's objects as far as we read them, and what each proves. Whatever is not provably definite is `Unclear`.

Source: Stripe's API reference, "PaymentIntent", "Refund", "Events" and "Balance transactions". The library gives types
for the editor, not for what arrives: what arrives is validated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from domain.channels import (
    BillLine,
    ChannelEvent,
    Charge,
    Closed,
    NothingTold,
    Paid,
    PaymentFailed,
    PaymentTold,
    RefundDeclined,
    RefundDone,
    RefundPending,
    RefundTold,
    Unclear,
    Unpaid,
)

Name = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")]
Seconds = Annotated[int, Field(ge=0, lt=1 << 33)]
Amount = Annotated[int, Field(ge=0, lt=1 << 53)]
Currency = Annotated[str, Field(pattern=r"^[A-Za-z]{3}$")]


class _Body(BaseModel):
    """Unknown fields are Stripe's business; known ones keep their type and a bounded length."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, str_max_length=5_000)


class Metadata(_Body):
    """Our references on what we make there; others' objects have none."""

    pay_id: Name | None = None
    refund_no: Name | None = None


class LastError(_Body):
    code: Name | None = None
    decline_code: Name | None = None


class ChargeBody(_Body):
    id: Name
    created: Seconds


class IntentBody(_Body):
    """`latest_charge` is the charge itself where it was asked for (`expand`), else its id."""

    id: Name
    status: Name
    amount_received: Amount = 0
    currency: Currency
    client_secret: Name | None = None
    latest_charge: ChargeBody | Name | None = None
    last_payment_error: LastError | None = None
    metadata: Metadata = Metadata()

    def failure_code(self) -> str:
        error = self.last_payment_error or LastError()
        return error.decline_code or error.code or "payment_failed"


class RefundBody(_Body):
    id: Name
    status: Name | None = None
    failure_reason: Name | None = None
    metadata: Metadata = Metadata()


class _Refunds(_Body):
    data: list[RefundBody] = Field([], max_length=100)


class RefundedCharge(_Body):
    """`refunds`, newest first, is there in old versions of the API only."""

    refunds: _Refunds | None = None


class _Object(_Body):
    object: dict[str, Any]


class EventBody(_Body):
    id: Name
    type: Name
    created: Seconds
    data: _Object


class SourceBody(_Body):
    """The charge or refund that a balance transaction is about."""

    id: Name
    metadata: Metadata = Metadata()


class BalanceBody(_Body):
    """`source` is expanded where there is one. Amounts are in the account's currency, refunds below zero."""

    type: Name
    amount: int
    fee: int
    currency: Currency
    created: Seconds
    source: SourceBody | Name | None = None


def judge_intent(intent: IntentBody) -> Paid | PaymentFailed | Closed | Unpaid | Unclear:
    """What an intent proves that was asked for with its charge."""
    match intent.status:
        case "succeeded":
            return _paid(intent)
        case "canceled":
            return Closed()
        case "requires_payment_method" if intent.last_payment_error is not None:
            return PaymentFailed(intent.failure_code())
        case "requires_payment_method" | "requires_confirmation" | "requires_action" | "processing":
            return Unpaid()
        case other:
            return Unclear(f"the intent is {other}")


def _paid(intent: IntentBody, told_at: datetime | None = None) -> Paid | Unclear:
    """`told_at` is the time of the charge where an event names only its id."""
    charge = intent.latest_charge
    if isinstance(charge, ChargeBody):
        payment_id, paid_at = charge.id, _at(charge.created)
    elif charge is not None and told_at is not None:
        payment_id, paid_at = charge, told_at
    else:
        return Unclear("succeeded, but without its charge")
    if not intent.amount_received:
        return Unclear("succeeded, but nothing was received")
    return Paid((Charge(payment_id, intent.amount_received, intent.currency.upper(), paid_at),))


def judge_refund(refund: RefundBody) -> RefundDone | RefundPending | RefundDeclined | Unclear:
    """What a refund proves. One that failed or was canceled never comes back to life: another is another number."""
    match refund.status:
        case "succeeded":
            return RefundDone(refund.id)
        case "pending" | "requires_action":
            return RefundPending(refund.id)
        case "failed" | "canceled":
            return RefundDeclined(refund.failure_reason or refund.status)
        case other:
            return Unclear(f"the refund is {other}")


def read_event(document: Mapping[str, Any]) -> ChannelEvent:
    """What an event says about money of ours. Raises ValidationError where it is not what Stripe sends."""
    event = EventBody.model_validate(document)
    match event.type:
        case "payment_intent.succeeded" | "payment_intent.payment_failed" | "payment_intent.canceled":
            return _payment_told(event)
        case "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated":
            return _refund_told(event, RefundBody.model_validate(event.data.object))
        case "charge.refunded":
            refunds = RefundedCharge.model_validate(event.data.object).refunds
            return _refund_told(event, refunds.data[0]) if refunds and refunds.data else NothingTold(event.id)
        case _:
            return NothingTold(event.id)


def _payment_told(event: EventBody) -> ChannelEvent:
    """By the event's type, not by the intent's status: a repeated event shows the intent as it was then."""
    intent = IntentBody.model_validate(event.data.object)
    pay_id = intent.metadata.pay_id
    if pay_id is None:
        return NothingTold(event.id)
    if event.type == "payment_intent.canceled":
        return PaymentTold(event.id, pay_id, Closed())
    if event.type == "payment_intent.payment_failed":
        return PaymentTold(event.id, pay_id, PaymentFailed(intent.failure_code(), _at(event.created)))
    paid = _paid(intent, _at(event.created))
    return NothingTold(event.id) if isinstance(paid, Unclear) else PaymentTold(event.id, pay_id, paid)


def _refund_told(event: EventBody, refund: RefundBody) -> ChannelEvent:
    answer = judge_refund(refund)
    pay_id, refund_no = refund.metadata.pay_id, refund.metadata.refund_no
    if pay_id is None or refund_no is None or isinstance(answer, Unclear):
        return NothingTold(event.id)
    return RefundTold(event.id, pay_id, refund_no, answer)


def bill_line(transaction: BalanceBody) -> BillLine | None:
    """A payment or a refund; None for what concerns no pay order: payouts, Stripe's own fees, disputes."""
    source = transaction.source
    if not isinstance(source, SourceBody):
        return None
    kind = {"charge": "payment", "payment": "payment", "refund": "refund", "payment_refund": "refund"}.get(
        transaction.type
    )
    if kind is None:
        return None
    reference = source.metadata.pay_id if kind == "payment" else source.metadata.refund_no
    return BillLine(
        kind="payment" if kind == "payment" else "refund",
        reference=reference or "",
        channel_reference=source.id,
        amount_minor=transaction.amount,
        fee_minor=transaction.fee,
        currency=transaction.currency.upper(),
        at=_at(transaction.created),
    )


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
