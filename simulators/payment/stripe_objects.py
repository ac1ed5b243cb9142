"""Stripe's objects as a channel of its kind writes them, and its signed events."""

from __future__ import annotations

import hmac
import json
import time
from hashlib import sha256
from typing import Any

import httpx2

from simulators.common.callbacks import CallbackTarget, Letter, is_success
from simulators.payment.book import Charge, Payment, Refund
from simulators.payment.channels import ChannelSettings
from simulators.payment.dealings import BillLine, Notice

_STATUSES = {"waiting": "requires_payment_method", "failed": "requires_payment_method", "closed": "canceled"}
_REFUNDS = {"pending": "pending", "done": "succeeded", "refused": "failed"}


class StripeStationery:
    """Events with a `Stripe-Signature`; any 2xx acknowledges."""

    def letter(self, channel: ChannelSettings, target: CallbackTarget, payment: Payment, notice: Notice) -> Letter:
        body, now = json.dumps(_event(payment, notice)), int(time.time())
        signature = hmac.new(target.secret.encode(), f"{now}.{body}".encode(), sha256).hexdigest()
        headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature}"}
        return Letter(target.url, body, headers)

    def is_taken(self, answer: httpx2.Response) -> bool:
        return is_success(answer)


def intent_object(payment: Payment, *, expanded: bool = False) -> dict[str, Any]:
    """`expanded`: with the charge itself instead of its id."""
    charge = payment.charges[-1] if payment.charges else None
    error = {"code": "card_declined", "decline_code": payment.failure} if payment.failure else None
    return {
        "id": payment.id,
        "object": "payment_intent",
        "amount": payment.amount_minor,
        "amount_received": charge.amount_minor if charge else 0,
        "currency": payment.currency.lower(),
        "status": _STATUSES.get(payment.shown_status, "succeeded"),
        "client_secret": f"{payment.id}_secret_{payment.reference}",
        "created": int(payment.created_at),
        "last_payment_error": error,
        "latest_charge": charge and (_charge(charge) if expanded else charge.id),
        "metadata": {"pay_id": payment.reference},
    }


def _charge(charge: Charge) -> dict[str, Any]:
    return {"id": charge.id, "object": "charge", "amount": charge.amount_minor, "created": int(charge.paid_at)}


def refund_object(payment: Payment, refund: Refund) -> dict[str, Any]:
    return {
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount_minor,
        "currency": payment.currency.lower(),
        "charge": refund.charge_id,
        "payment_intent": payment.id,
        "status": _REFUNDS[refund.status],
        "failure_reason": refund.refusal,
        "metadata": {"pay_id": payment.reference, "refund_no": refund.refund_no},
    }


def _event(payment: Payment, notice: Notice) -> dict[str, Any]:
    """What it says may be otherwise than the book. Objects in events are not expanded."""
    refund = payment.refund(notice.refund_no)
    if refund is not None:
        kind, subject = (
            "refund.failed" if notice.says == "refused" else "refund.updated",
            refund_object(payment, refund),
        )
    elif notice.says == "failed":
        error = {"code": "card_declined", "decline_code": notice.code}
        kind = "payment_intent.payment_failed"
        subject = intent_object(payment) | {"status": "requires_payment_method", "last_payment_error": error}
    else:
        kind, subject = "payment_intent.succeeded", intent_object(payment) | {"latest_charge": notice.charge_id}
    created = int(notice.at)
    return {"id": notice.id, "object": "event", "type": kind, "created": created, "data": {"object": subject}}


def transaction_object(line: BillLine) -> dict[str, Any]:
    kind, name = ("charge", "pay_id") if line.kind == "payment" else ("refund", "refund_no")
    return {
        "id": f"txn_{line.id}",
        "object": "balance_transaction",
        "type": kind,
        "amount": line.amount_minor,
        "fee": line.fee_minor,
        "currency": line.currency.lower(),
        "created": int(line.at),
        "source": {"id": line.id, "object": kind, "metadata": {name: line.reference}},
    }
