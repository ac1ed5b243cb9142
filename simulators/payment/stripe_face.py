"""A channel that is spoken to as Stripe is: PaymentIntents, refunds, balance transactions, and signed webhooks.

The idempotency key of a create is the merchant's reference, that of a refund its number. Of `metadata` it keeps these
two only, as `pay_id` and `refund_no`. Webhooks go where the account says, that is to the channel's callback target.
An intent is charged once.
"""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulators.common.answering import as_json, bounded_body
from simulators.common.callbacks import CallbackTarget, Letter, is_success
from simulators.common.faults import Strike
from simulators.payment.book import Charge, Payment, Refund
from simulators.payment.channels import ChannelSettings
from simulators.payment.dealings import Asked, BillLine, Notice, RefundAsked, Refusal
from simulators.payment.faces import Office
from simulators.payment.faults import Operation

NAME = "stripe"
PAGE_MAX = 100
CONFLICT = "idempotency_error"
LONGEST = timedelta(days=40)
"""Of a list of balance transactions."""

_SEARCHED = re.compile(r"metadata\['pay_id'\]:'([^']{1,200})'")
_STATUSES = {"waiting": "requires_payment_method", "failed": "requires_payment_method", "closed": "canceled"}
_REFUNDS = {"pending": "pending", "done": "succeeded", "refused": "failed"}
_MISSING = frozenset({"unknown_reference", "unknown_refund", "unknown_charge"})
_ERROR_TYPES = {429: "rate_limit_error", 500: "api_error"}
_CONFLICTS = frozenset({"reference_conflict", "refund_conflict"})

Work = Callable[[ChannelSettings, Strike[Any]], Response]


class StripeStationery:
    """Events with a `Stripe-Signature`; any 2xx acknowledges."""

    def letter(self, channel: ChannelSettings, target: CallbackTarget, payment: Payment, notice: Notice) -> Letter:
        body, now = json.dumps(_event(payment, notice)), int(time.time())
        signature = hmac.new(target.secret.encode(), f"{now}.{body}".encode(), sha256).hexdigest()
        headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature}"}
        return Letter(target.url, body, headers)

    def is_taken(self, answer: httpx2.Response) -> bool:
        return is_success(answer)


class StripeFace:
    """The endpoints that a merchant of one-off payments uses."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._cashier = office.cashier

    def routes(self) -> list[Route]:
        intents = "/{channel}/v1/payment_intents"
        return [
            Route(intents, self.create, methods=["POST"]),
            Route(f"{intents}/search", self.search, methods=["GET"]),
            Route(f"{intents}/{{intent}}", self.retrieve, methods=["GET"]),
            Route(f"{intents}/{{intent}}/cancel", self.cancel, methods=["POST"]),
            Route("/{channel}/v1/refunds", self.refund, methods=["POST"]),
            Route("/{channel}/v1/refunds", self.list_refunds, methods=["GET"]),
            Route("/{channel}/v1/balance_transactions", self.list_balance, methods=["GET"]),
        ]

    def error(self, status: int, code: str, message: str) -> Response:
        kind = code if code == CONFLICT else _ERROR_TYPES.get(status, "invalid_request_error")
        return as_json({"error": {"type": kind, "code": code.lower(), "message": message}}, status)

    def refusal(self, refusal: Refusal) -> Response:
        if refusal.code in _MISSING:
            return self._missing(str(refusal))
        return self.error(400, CONFLICT if refusal.code in _CONFLICTS else refusal.code, str(refusal))

    async def create(self, request: Request) -> Response:
        form, key = await _form(request), request.headers.get("idempotency-key", "")
        if form is None or not key or not (amount := _whole(form.get("amount"))):
            return self._invalid("An amount and an idempotency key are needed")

        def work(channel: ChannelSettings, struck: Strike[Any]) -> Response:
            asked = Asked(key, amount, form.get("currency", "").upper(), form.get("description", ""))
            return as_json(_intent(self._cashier.create(channel, asked)))

        return await self._answer(request, "create", key, work)

    async def retrieve(self, request: Request) -> Response:
        payment = self._intent(request)
        if payment is None:
            return self._missing("No such payment_intent")

        def work(channel: ChannelSettings, struck: Strike[Any]) -> Response:
            known = self._cashier.find(channel, payment.reference, struck)
            return as_json(_intent(known, expanded="latest_charge" in request.query_params.values()))

        return await self._answer(request, "query", payment.reference, work)

    async def search(self, request: Request) -> Response:
        asked = _SEARCHED.fullmatch(request.query_params.get("query", ""))
        if asked is None:
            return self._invalid("Only metadata['pay_id'] can be searched for")
        reference = asked[1]

        def work(channel: ChannelSettings, struck: Strike[Any]) -> Response:
            try:
                found = [_intent(self._cashier.find(channel, reference, struck))]
            except Refusal:
                found = []
            return as_json({"object": "search_result", "url": request.url.path, "has_more": False, "data": found})

        return await self._answer(request, "query", reference, work)

    async def cancel(self, request: Request) -> Response:
        payment = self._intent(request)
        if payment is None:
            return self._missing("No such payment_intent")

        def work(channel: ChannelSettings, struck: Strike[Any]) -> Response:
            before = self._cashier.payment(channel, payment.reference).status
            if before != "waiting":
                return self.error(400, "payment_intent_unexpected_state", f"It is {before} and can't be canceled")
            return as_json(_intent(self._cashier.close(channel, payment.reference)))

        return await self._answer(request, "close", payment.reference, work)

    async def refund(self, request: Request) -> Response:
        form, key = await _form(request), request.headers.get("idempotency-key", "")
        if form is None or not key or not (amount := _whole(form.get("amount"))):
            return self._invalid("An amount and an idempotency key are needed")

        def work(channel: ChannelSettings, struck: Strike[Any]) -> Response:
            payment = self._cashier.payment(channel, form.get("metadata[pay_id]", ""))
            asked = RefundAsked(key, payment.reference, amount, payment.currency, form.get("charge"))
            outcome = self._cashier.refund(channel, asked, struck)
            self._office.messenger.follow(outcome)
            return as_json(_refund(outcome.payment, _given(outcome.refund)))

        return await self._answer(request, "refund", key, work)

    async def list_refunds(self, request: Request) -> Response:
        payment = self._charged(request)
        if payment is None:
            return self._missing("No such charge")

        def work(channel: ChannelSettings, struck: Strike[Any]) -> Response:
            found = list(self._known_refunds(channel, payment, struck))
            return as_json({"object": "list", "url": request.url.path, "has_more": False, "data": found})

        return await self._answer(request, "query_refund", payment.reference, work)

    async def list_balance(self, request: Request) -> Response:
        begin, end = (_whole(request.query_params.get(f"created[{bound}]")) for bound in ("gte", "lt"))
        if not begin or not end or not 0 < end - begin <= LONGEST.total_seconds():
            return self._invalid("created[gte] and created[lt] are needed, at most 40 days apart")
        limit = min(_whole(request.query_params.get("limit")) or 10, PAGE_MAX)
        after = request.query_params.get("starting_after", "")

        def work(channel: ChannelSettings, struck: Strike[Any]) -> Response:
            rows = [_transaction(line) for line in self._lines(channel, begin, end)]
            first = next((index + 1 for index, row in enumerate(rows) if row["id"] == after), 0)
            page = rows[first : first + limit]
            more = first + limit < len(rows)
            return as_json({"object": "list", "url": "/v1/balance_transactions", "has_more": more, "data": page})

        return await self._answer(request, "bill", "", work)

    def _lines(self, channel: ChannelSettings, begin: int, end: int) -> list[BillLine]:
        """Newest first, as Stripe lists everything."""
        day, last = (datetime.fromtimestamp(at, UTC).date() for at in (begin, end))
        found: list[BillLine] = []
        while day <= last:
            found += (line for line in self._cashier.bill(channel, day) if begin <= line.at < end)
            day += timedelta(days=1)
        return sorted(found, key=lambda line: (line.at, line.id), reverse=True)

    def _known_refunds(
        self, channel: ChannelSettings, payment: Payment, struck: Strike[Any]
    ) -> Iterator[dict[str, Any]]:
        for refund in reversed(payment.refunds):
            try:
                outcome = self._cashier.find_refund(channel, refund.refund_no, struck)
            except Refusal:
                continue
            yield _refund(outcome.payment, _given(outcome.refund))

    def _intent(self, request: Request) -> Payment | None:
        return self._own(request, self._cashier.current(request.path_params["intent"]))

    def _charged(self, request: Request) -> Payment | None:
        """The payment of an intent, or of a charge, for which all are looked through."""
        asked = request.query_params
        if "payment_intent" in asked:
            return self._own(request, self._cashier.current(asked["payment_intent"]))
        everything = self._cashier.book.everything(request.path_params["channel"])
        charge_id = asked.get("charge")
        return next((each for each in everything if any(one.id == charge_id for one in each.charges)), None)

    def _missing(self, message: str) -> Response:
        return self.error(404, "resource_missing", message)

    def _invalid(self, message: str) -> Response:
        return self.error(400, "parameter_invalid", message)

    @staticmethod
    def _own(request: Request, payment: Payment | None) -> Payment | None:
        return payment if payment is not None and payment.supplier == request.path_params["channel"] else None

    async def _answer(self, request: Request, operation: Operation, reference: str, work: Work) -> Response:
        channel = self._office.channel(request, NAME)
        if channel is None or not channel.lets_in(request):
            return self.error(401, "api_key_invalid", "Invalid API key provided")
        return await self._office.attend(
            request, channel, operation, reference, lambda struck: work(channel, struck), self
        )


def _intent(payment: Payment, *, expanded: bool = False) -> dict[str, Any]:
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


def _refund(payment: Payment, refund: Refund) -> dict[str, Any]:
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
        kind, subject = "refund.failed" if notice.says == "refused" else "refund.updated", _refund(payment, refund)
    elif notice.says == "failed":
        error = {"code": "card_declined", "decline_code": notice.code}
        kind = "payment_intent.payment_failed"
        subject = _intent(payment) | {"status": "requires_payment_method", "last_payment_error": error}
    else:
        kind, subject = "payment_intent.succeeded", _intent(payment) | {"latest_charge": notice.charge_id}
    created = int(notice.at)
    return {"id": notice.id, "object": "event", "type": kind, "created": created, "data": {"object": subject}}


def _transaction(line: BillLine) -> dict[str, Any]:
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


def _given(refund: Refund | None) -> Refund:
    assert refund is not None, "a refund's outcome has it"
    return refund


async def _form(request: Request) -> dict[str, str] | None:
    body = await bounded_body(request)
    if body is None:
        return None
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}


def _whole(text: str | None) -> int:
    """A whole number, or 0."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 15 else 0
