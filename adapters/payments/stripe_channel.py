"""Stripe through its own library: one PaymentIntent per pay order, confirmed by the payer with Stripe's own widget.

- What we make carries our reference twice: as idempotency key (one effect, for as long as Stripe keeps keys, a day at
  least) and in its metadata, by which it is found when the answer was lost. A key also keeps a 500 that it was answered
  with, so an `Unclear` is resolved by `query`, not by repeating for ever.
- An intent is charged once at most; a refund that failed stays failed.
- The library repeats nothing (`max_network_retries=0`): when to ask again is decided above.
- Without its answer to `create` nobody can pay an intent, for the payer needs the secret in it. `NotKnown` is safe.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from datetime import date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import httpx2
import stripe
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from stripe import StripeClient, StripeObject, WebhookSignature

from adapters.payments import (
    Acknowledgement,
    BillUnreadable,
    CallbackRefused,
    ChannelProtocol,
    Contract,
    PaymentRequest,
    RefundRequest,
)
from adapters.payments.stripe_bodies import (
    BalanceBody,
    IntentBody,
    RefundBody,
    bill_line,
    judge_intent,
    judge_refund,
    read_event,
)
from adapters.payments.stripe_transport import Transport
from adapters.suppliers import NotSent
from domain.channels import (
    BillLine,
    ChannelEvent,
    Closed,
    CreateAnswer,
    Created,
    Declined,
    NotKnown,
    NotReachable,
    Paid,
    PayAction,
    PaymentAnswer,
    RefundAnswer,
    RefundDeclined,
    Unclear,
)

CALLBACK_MAX_BYTES = 1 << 20
TOLERANCE_S = 300
"""How far a callback's time may be from ours, either way. The library looks at the past only."""
PAGE = 100
MISSING = "resource_missing"

A = TypeVar("A")


class StripeCredentials(BaseModel):
    """`secret_key` (or a restricted one) speaks for the account; `webhook_secret` signs what it tells us."""

    model_config = ConfigDict(extra="forbid")

    secret_key: str = Field(pattern=r"^[\x21-\x7e]{8,250}$")
    webhook_secret: str = Field(pattern=r"^whsec_[A-Za-z0-9+/=_\-]{8,250}$")


class StripeChannel:
    """`client` is shared and follows no redirects; days of bills are those of `zone`."""

    acknowledgement = Acknowledgement(200, "ok")

    def __init__(self, client: httpx2.AsyncClient, base_url: str, secrets: StripeCredentials, zone: ZoneInfo) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._secrets = secrets
        self._zone = zone

    @classmethod
    def of(cls, client: httpx2.AsyncClient, contract: Contract) -> StripeChannel:
        """From the channel's row."""
        # The library's only switch for it is this one: it would send our platform along, and write into our home.
        stripe.enable_telemetry = False
        secrets = StripeCredentials.model_validate(contract["credentials"])
        return cls(client, contract["base_url"], secrets, ZoneInfo(contract["time_zone"]))

    async def create(self, request: PaymentRequest, *, timeout_s: float) -> CreateAnswer:
        """An intent to be paid with the secret in the action's token. Where to tell us is set in the account; there
        is no expiry but `close`."""
        return await _settled(self._create(request, timeout_s), timeout_s)

    async def _create(self, request: PaymentRequest, timeout_s: float) -> CreateAnswer:
        try:
            made = await self._stripe(timeout_s).v1.payment_intents.create_async(
                {
                    "amount": request.amount_minor,
                    "currency": request.currency.lower(),
                    "description": request.subject,
                    "metadata": {"pay_id": request.pay_id},
                    "automatic_payment_methods": {"enabled": True},
                },
                {"idempotency_key": request.pay_id},
            )
        except (stripe.CardError, stripe.InvalidRequestError) as no:
            return Declined(*_refusal(no))
        intent = IntentBody.model_validate(made.to_dict())
        if intent.metadata.pay_id != request.pay_id or intent.client_secret is None:
            return Unclear("the answer is not the intent that was asked for")
        return Created(PayAction("token", token=intent.client_secret), intent.id)

    async def query(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        """By the intent's id, or where that was lost by our reference: Stripe's search finds it within a minute."""
        return await _settled(self._query(pay_id, channel_reference, timeout_s), timeout_s)

    async def _query(self, pay_id: str, channel_reference: str, timeout_s: float) -> PaymentAnswer:
        if not channel_reference:
            found = await self._search(pay_id, timeout_s)
            return await self._query(pay_id, found, timeout_s) if found else NotKnown()
        try:
            known = await self._stripe(timeout_s).v1.payment_intents.retrieve_async(
                channel_reference, {"expand": ["latest_charge"]}
            )
        except stripe.InvalidRequestError as no:
            if no.code == MISSING:
                return NotKnown()
            raise
        return _judged(known, pay_id)

    async def _search(self, pay_id: str, timeout_s: float) -> str:
        """The id of the intent that was made for `pay_id`; empty for none (yet)."""
        found = await self._stripe(timeout_s).v1.payment_intents.search_async(
            {"query": f"metadata['pay_id']:'{pay_id}'", "limit": 2}
        )
        intents = [IntentBody.model_validate(each.to_dict()) for each in found.data]
        if len(intents) > 1:
            raise stripe.APIError(f"there are several intents for {pay_id}")
        return intents[0].id if intents else ""

    async def close(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        """Cancel the intent. One that can't be canceled has succeeded or was canceled before: it is asked."""
        return await _settled(self._close(pay_id, channel_reference, timeout_s), timeout_s)

    async def _close(self, pay_id: str, channel_reference: str, timeout_s: float) -> PaymentAnswer:
        intent_id = channel_reference or await self._search(pay_id, timeout_s)
        if not intent_id:
            return NotKnown()
        try:
            # Without a key of ours: canceling twice is harmless, and a kept refusal would stand in the next one's way.
            answer = _judged(await self._stripe(timeout_s).v1.payment_intents.cancel_async(intent_id), pay_id)
        except stripe.InvalidRequestError:
            answer = await self._query(pay_id, intent_id, timeout_s)
        return answer if isinstance(answer, Closed | Paid | NotKnown | Unclear) else Unclear("it can't be canceled now")

    async def refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        """Of the one charge that is named. Stripe refuses what is more than the charge has left."""
        return await _settled(self._refund(request, timeout_s), timeout_s)

    async def _refund(self, request: RefundRequest, timeout_s: float) -> RefundAnswer:
        try:
            made = await self._stripe(timeout_s).v1.refunds.create_async(
                {
                    "charge": request.payment_id,
                    "amount": request.amount_minor,
                    "metadata": {
                        "pay_id": request.pay_id,
                        "refund_no": request.refund_no,
                        "reason": request.reason[:500],
                    },
                },
                {"idempotency_key": request.refund_no},
            )
        except (stripe.CardError, stripe.InvalidRequestError) as no:
            return RefundDeclined(*_refusal(no))
        refund = RefundBody.model_validate(made.to_dict())
        if refund.metadata.refund_no != request.refund_no:
            return Unclear("the answer is not the refund that was asked for")
        return judge_refund(refund)

    async def query_refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        """Among the charge's refunds, the one with our number."""
        return await _settled(self._query_refund(request, timeout_s), timeout_s)

    async def _query_refund(self, request: RefundRequest, timeout_s: float) -> RefundAnswer:
        refunds = self._stripe(timeout_s).v1.refunds
        try:
            if request.channel_reference:
                page = await refunds.list_async({"payment_intent": request.channel_reference, "limit": PAGE})
            else:
                page = await refunds.list_async({"charge": request.payment_id, "limit": PAGE})
        except stripe.InvalidRequestError as no:
            if no.code == MISSING:
                return NotKnown()
            raise
        async for each in page.auto_paging_iter():
            refund = RefundBody.model_validate(each.to_dict())
            if refund.metadata.refund_no == request.refund_no:
                return judge_refund(refund)
        return NotKnown()

    def verify_callback(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ChannelEvent:
        """An event with a `Stripe-Signature` over its bytes, at most five minutes from `now`."""
        if len(body) > CALLBACK_MAX_BYTES:
            raise CallbackRefused(f"the callback is larger than {CALLBACK_MAX_BYTES} bytes")
        given = {name.lower(): value for name, value in headers.items()}.get("stripe-signature", "")
        try:
            WebhookSignature.verify_header(body, given, self._secrets.webhook_secret)
            signed_at = next(int(item[2:]) for item in given.split(",") if item.startswith("t="))
            document = json.loads(body)
        except Exception as unproved:
            # The library lets malformed headers and bodies escape as TypeError and others: to us all are one refusal.
            raise CallbackRefused(f"the signature does not verify: {type(unproved).__name__}") from unproved
        if abs(now.timestamp() - signed_at) > TOLERANCE_S:
            raise CallbackRefused(f"it was signed more than {TOLERANCE_S} s from now")
        try:
            return read_event(document)
        except ValidationError as unreadable:
            raise CallbackRefused("the body is not an event of Stripe's") from unreadable

    async def download_bill(self, day: date, *, timeout_s: float) -> AsyncIterator[BillLine]:
        """The account's balance transactions of the day, newest first; each page may take `timeout_s`.

        Payments and refunds only: payouts, disputes and refunds that came back concern no pay order by themselves.
        """
        begin = datetime.combine(day, time(), self._zone)
        end = datetime.combine(day + timedelta(days=1), time(), self._zone)
        try:
            page = await self._stripe(timeout_s).v1.balance_transactions.list_async(
                {
                    "created": {"gte": int(begin.timestamp()), "lt": int(end.timestamp())},
                    "expand": ["data.source"],
                    "limit": PAGE,
                }
            )
            async for each in page.auto_paging_iter():
                line = bill_line(BalanceBody.model_validate(each.to_dict()))
                if line is not None:
                    yield line
        except Exception as unreadable:
            # What the library raises while it turns unreadable pages is not listed anywhere.
            raise BillUnreadable(f"the bill of {day} broke off: {type(unreadable).__name__}") from unreadable

    def _stripe(self, timeout_s: float) -> StripeClient:
        """The library with this call's time-out: a few microseconds, and no state that calls would share."""
        return StripeClient(
            self._secrets.secret_key,
            base_addresses={"api": self._base_url},
            max_network_retries=0,
            http_client=Transport(self._client, timeout_s),
        )


async def _settled(work: Awaitable[A], timeout_s: float) -> A | Unclear | NotReachable:
    """The answer of `work`, within the time; what it refused before doing anything, and what nobody knows."""
    try:
        async with asyncio.timeout(timeout_s):
            return await work
    except NotSent as unsent:
        return NotReachable(str(unsent), unsent.retry_after_s)
    except (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError) as shut:
        return NotReachable(f"turned away: {type(shut).__name__}")
    except TimeoutError:
        return Unclear(f"no answer within {timeout_s:g} s")
    except stripe.StripeError as unclear:
        return Unclear(f"{type(unclear).__name__}: {unclear.user_message or ''}"[:300])
    except ValidationError:
        return Unclear("the answer is not what Stripe sends")


def _judged(known: StripeObject, pay_id: str) -> PaymentAnswer:
    intent = IntentBody.model_validate(known.to_dict())
    if intent.metadata.pay_id != pay_id:
        return Unclear("the answer is about another payment")
    return judge_intent(intent)


def _refusal(no: stripe.CardError | stripe.InvalidRequestError) -> tuple[str, str]:
    """Code and sentence of a definite no."""
    code = no.code if isinstance(no.code, str) and no.code else "invalid_request"
    return code[:100], str(no.user_message or "")[:500]


PROTOCOL = ChannelProtocol("stripe", StripeChannel.of, StripeCredentials)
