"""The native protocol's bodies as a stranger sends them: read only as far as we need, and judged without trust.

Whatever is not provably a definite answer is `Unclear`: a payment that contradicts itself, or that is another one than
we asked about, is evidence of nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from adapters.payments import BillUnreadable, CallbackRefused, RefundRequest
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

# What is stored or shown as somebody's name for something is printable and short; amounts fit their columns.
_Name = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
_AmountMinor = Annotated[int, Field(strict=True, ge=1, lt=1 << 53)]
_Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
_Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]

_FAILED = "payment_failed"
_REFUSED = "refund_refused"


class _Body(BaseModel):
    """Unknown fields are the channel's business; known ones keep their type and a bounded length."""

    model_config = ConfigDict(extra="ignore", str_max_length=4_000, frozen=True)


class ChargeBody(_Body):
    id: _Name
    amount_minor: _AmountMinor
    currency: _Currency
    paid_at: _Moment

    def as_charge(self) -> Charge:
        return Charge(self.id, self.amount_minor, self.currency, self.paid_at)


class PaymentBody(_Body):
    id: _Name
    reference: _Name
    status: Literal["waiting", "failed", "paid", "closed"]
    failure: _Name | None = None
    charges: list[ChargeBody] = Field(default_factory=list, max_length=1_000)
    pay_url: Annotated[str, StringConstraints(pattern=r"^https?://[\x21-\x7e]{1,2000}$")] | None = None


class RefundBody(_Body):
    id: _Name
    refund_no: _Name
    reference: _Name
    amount_minor: _AmountMinor
    currency: _Currency
    status: Literal["pending", "done", "refused"]
    refusal: _Name | None = None


class ErrorBody(_Body):
    """The channel's no; `reference` is what it is about."""

    error: _Name
    message: str = ""
    reference: str = ""


class _NoticeBody(_Body):
    type: str


class _PaymentNotice(_Body):
    """`at`: when it happened, which may be long before it is told."""

    at: _Moment | None = None
    data: PaymentBody


class _RefundNotice(_Body):
    data: RefundBody


class _BillBody(_Body):
    kind: Literal["payment", "refund"]
    reference: _Name
    id: _Name
    amount_minor: Annotated[int, Field(strict=True, gt=-(1 << 53), lt=1 << 53)]
    fee_minor: Annotated[int, Field(strict=True, ge=0, lt=1 << 53)]
    currency: _Currency
    at: _Moment


class _BillEnd(_Body):
    lines: Annotated[int, Field(strict=True, ge=0)]


B = TypeVar("B", bound=_Body)


def read(model: type[B], body: bytes) -> B | None:
    """The body, or None where it is no such thing."""
    try:
        return model.model_validate_json(body)
    except ValidationError:
        return None


def judge_payment(payment: PaymentBody) -> Paid | Unpaid | PaymentFailed | Closed | Unclear:
    """What a payment proves: it is paid if anything was charged, and only then."""
    if (payment.status == "paid") != bool(payment.charges):
        return Unclear(f"it is {payment.status} with {len(payment.charges)} charges")
    if len({charge.id for charge in payment.charges}) < len(payment.charges):
        return Unclear("a charge is told twice")
    match payment.status:
        case "paid":
            return Paid(tuple(charge.as_charge() for charge in payment.charges))
        case "failed":
            return PaymentFailed(payment.failure or _FAILED)
        case "closed":
            return Closed()
        case "waiting":
            return Unpaid()


def judge_refund(refund: RefundBody) -> RefundDone | RefundPending | RefundDeclined:
    match refund.status:
        case "done":
            return RefundDone(refund.id)
        case "pending":
            return RefundPending(refund.id)
        case "refused":
            return RefundDeclined(refund.refusal or _REFUSED)


def is_of(refund: RefundBody, request: RefundRequest) -> bool:
    """Whether the refund is the one that was asked for, to the last minor unit."""
    return (refund.refund_no, refund.reference, refund.amount_minor, refund.currency) == (
        request.refund_no,
        request.pay_id,
        request.amount_minor,
        request.currency,
    )


def read_notice(event_id: str, body: bytes) -> ChannelEvent:
    """What a callback tells, once it is proved. Raises CallbackRefused."""
    notice = read(_NoticeBody, body)
    if notice is None:
        raise CallbackRefused("the body is not a notice of this protocol")
    subject, _, _ = notice.type.partition(".")
    if subject == "payment":
        told = read(_PaymentNotice, body)
        answer = Unclear("unreadable") if told is None else judge_payment(told.data)
        if told is None or isinstance(answer, Unclear):
            raise CallbackRefused("the notice is of a payment that can't be read")
        if isinstance(answer, PaymentFailed):
            answer = replace(answer, at=told.at)
        return PaymentTold(event_id, told.data.reference, answer)
    if subject == "refund":
        given_back = read(_RefundNotice, body)
        if given_back is None:
            raise CallbackRefused("the notice is of a refund that can't be read")
        refund = given_back.data
        return RefundTold(event_id, refund.reference, refund.refund_no, judge_refund(refund))
    return NothingTold(event_id)


def read_bill_line(line: bytes) -> BillLine | int:
    """A line of a bill, or of its last one how many the others are. Raises BillUnreadable."""
    end = read(_BillEnd, line)
    if end is not None:
        return end.lines
    read_line = read(_BillBody, line)
    if read_line is None or (read_line.amount_minor > 0) != (read_line.kind == "payment"):
        raise BillUnreadable("a line of the bill can't be read")
    return BillLine(
        kind=read_line.kind,
        reference=read_line.reference,
        channel_reference=read_line.id,
        amount_minor=read_line.amount_minor,
        fee_minor=read_line.fee_minor,
        currency=read_line.currency,
        at=read_line.at,
    )
