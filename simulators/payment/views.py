"""Payments, refunds and bills as the native protocol writes them: times are ISO 8601 in UTC."""

from __future__ import annotations

from typing import Any

from simulators.common.answering import utc
from simulators.payment.book import Payment, Refund
from simulators.payment.dealings import BillLine, Notice

Json = dict[str, Any]


def payment_view(payment: Payment, pay_url: str | None = None) -> Json:
    view: Json = {
        "id": payment.id, "reference": payment.reference, "status": payment.shown_status,
        "amount_minor": payment.amount_minor, "currency": payment.currency, "failure": payment.failure,
        "charges": [
            {"id": each.id, "amount_minor": each.amount_minor, "currency": payment.currency,
             "paid_at": utc(each.paid_at)} for each in payment.charges
        ],
    }  # fmt: skip
    return view if pay_url is None else view | {"pay_url": pay_url}


def refund_view(payment: Payment, refund: Refund) -> Json:
    return {
        "id": refund.id, "refund_no": refund.refund_no, "reference": payment.reference, "charge_id": refund.charge_id,
        "amount_minor": refund.amount_minor, "currency": payment.currency, "status": refund.status,
        "refusal": refund.refusal, "done_at": utc(refund.done_at),
    }  # fmt: skip


def notice_view(payment: Payment, notice: Notice) -> Json:
    """A callback's body. What it says may be otherwise than the book, and then it shows no charges."""
    refund = payment.refund(notice.refund_no)
    if refund is not None:
        return {"type": f"refund.{notice.says}", "at": utc(notice.at), "data": refund_view(payment, refund)}
    data = payment_view(payment)
    if notice.says == "failed":
        data |= {"status": "failed", "failure": notice.code, "charges": []}
    return {"type": f"payment.{notice.says}", "at": utc(notice.at), "data": data}


def bill_view(line: BillLine) -> Json:
    return {
        "kind": line.kind, "reference": line.reference, "id": line.id, "amount_minor": line.amount_minor,
        "fee_minor": line.fee_minor, "currency": line.currency, "at": utc(line.at),
    }  # fmt: skip
