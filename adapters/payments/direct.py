"""A channel that speaks plainly: JSON over HTTP with a bearer token, callbacks signed by Standard Webhooks.

Our `pay_id` and `refund_no` are its idempotency keys. A definite no is only an error about our own reference that says
what is wrong with the request, one that says it could not be read, or, before there is anything to pay, a door that
stays shut (401, 403). A refund that meets a shut door is `Unclear`: an earlier try under its number may have got in.
So is a conflict of references, and so is *not found* where something is to be changed: whoever forgets may remember.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import date, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from standardwebhooks import Webhook

from adapters.http_exchange import Reply, Unanswered, Unsent, exchange, timeouts
from adapters.payments import (
    Acknowledgement,
    BillUnreadable,
    CallbackRefused,
    ChannelProtocol,
    Contract,
    PaymentRequest,
    RefundRequest,
)
from adapters.payments.direct_bodies import (
    ErrorBody,
    PaymentBody,
    RefundBody,
    is_of,
    judge_payment,
    judge_refund,
    read,
    read_bill_line,
    read_notice,
)
from adapters.signed_webhooks import WebhookRefused, verify
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
    PaymentFailed,
    RefundAnswer,
    RefundDeclined,
    Unclear,
    Unpaid,
)

ANSWER_MAX_BYTES = 1 << 20
LINE_MAX_BYTES = 1 << 16
LINES_MAX = 10_000_000
DETAIL_MAX = 200

_NOTHING_THERE = frozenset({"unknown_reference", "unknown_refund"})

B = TypeVar("B", PaymentBody, RefundBody)


def _usable_secret(secret: str) -> str:
    try:
        Webhook(secret)
    except Exception as unusable:
        raise ValueError("not a Standard Webhooks secret: `whsec_` and base64") from unusable
    return secret


class DirectCredentials(BaseModel):
    """The bearer token that we show, and the secret that the channel's callbacks are signed with."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,500}$")]
    callback_secret: Annotated[str, StringConstraints(max_length=500), AfterValidator(_usable_secret)]


class DirectChannel:
    """`client` is shared by all channels of a process (one pool) and must not follow redirects; `base_url` ends before
    `/payments`. Serves `PaymentChannel`."""

    acknowledgement = Acknowledgement(200, "ok")

    def __init__(self, client: httpx2.AsyncClient, base_url: str, credentials: DirectCredentials) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._callback_secret = credentials.callback_secret
        self._headers = {"Authorization": f"Bearer {credentials.token}", "Accept": "application/json"}

    async def create(self, request: PaymentRequest, *, timeout_s: float) -> CreateAnswer:
        """POST /payments: the payer pays on the channel's own page."""
        asked = {
            "reference": request.pay_id,
            "amount_minor": request.amount_minor,
            "currency": request.currency,
            "subject": request.subject,
            "notify_url": request.notify_url,
            "return_url": request.return_url,
            "expires_at": request.expires_at.isoformat(),
        }
        reply = await self._call("POST", "/payments", timeout_s, asked)
        if not isinstance(reply, Reply):
            return reply
        if reply.status in (401, 403):
            return Declined("forbidden")
        refused = _refusal(reply, request.pay_id)
        if refused is not None:
            return Declined(refused.error, _detail(refused))
        payment = _body(PaymentBody, reply)
        if payment is None or payment.reference != request.pay_id:
            return _unclear(reply)
        return _created(payment)

    async def query(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        """GET /payments/{reference}."""
        return await self._payment("GET", "", pay_id, channel_reference, timeout_s)

    async def close(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        """POST /payments/{reference}/close. One that is still open afterwards proves nothing."""
        answer = await self._payment("POST", "/close", pay_id, channel_reference, timeout_s)
        if isinstance(answer, Paid | Closed | NotKnown | Unclear | NotReachable):
            return answer
        return Unclear(f"close answered {answer.kind}")

    async def refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        """POST /refunds: part or all of one charge."""
        asked = {
            "refund_no": request.refund_no,
            "reference": request.pay_id,
            "charge_id": request.payment_id,
            "amount_minor": request.amount_minor,
            "currency": request.currency,
            "reason": request.reason,
            "notify_url": request.notify_url,
        }
        reply = await self._call("POST", "/refunds", timeout_s, asked)
        if not isinstance(reply, Reply):
            return reply
        refused = _refusal(reply, request.refund_no)
        if refused is not None:
            return RefundDeclined(refused.error, _detail(refused))
        return _judged_refund(reply, request)

    async def query_refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        """GET /refunds/{refund_no}."""
        reply = await self._call("GET", _path("refunds", request.refund_no), timeout_s)
        if not isinstance(reply, Reply):
            return reply
        return NotKnown() if _is_missing(reply, request.refund_no) else _judged_refund(reply, request)

    def verify_callback(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ChannelEvent:
        """What a callback says; `webhook-id` is the event's id."""
        try:
            event_id = verify(self._callback_secret, body, headers, now)
        except WebhookRefused as refused:
            raise CallbackRefused(str(refused)) from refused
        return read_notice(event_id, body)

    async def download_bill(self, day: date, *, timeout_s: float) -> AsyncIterator[BillLine]:
        """GET /bills/{day}: a line each, the last one says how many the others are, so that a part is not the whole."""
        count, end = 0, None
        async with aclosing(self._bill_lines(day, timeout_s)) as lines:
            async for text in lines:
                line = read_bill_line(text)
                if end is not None or count == LINES_MAX:
                    raise BillUnreadable("the bill goes on after its end")
                if isinstance(line, int):
                    end = line
                else:
                    count += 1
                    yield line
        if end != count:
            raise BillUnreadable(f"the bill says that it has {end} lines, and has {count}")

    async def _bill_lines(self, day: date, timeout_s: float) -> AsyncGenerator[bytes]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        url = f"{self._base_url}/bills/{day.isoformat()}"
        try:
            async with self._client.stream("GET", url, headers=self._headers, timeout=timeouts(timeout_s)) as response:
                if not response.is_success:
                    raise BillUnreadable(f"the channel answered {response.status_code}")
                chunks, rest = response.aiter_bytes(), b""
                while True:
                    async with asyncio.timeout_at(deadline):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield line
                    if len(rest) > LINE_MAX_BYTES:
                        raise BillUnreadable(f"a line of the bill is longer than {LINE_MAX_BYTES} bytes")
        except (TimeoutError, httpx2.HTTPError) as lost:
            raise BillUnreadable(f"the bill was cut off: {type(lost).__name__}") from lost
        if rest:
            raise BillUnreadable("the bill ends in the middle of a line")

    async def _payment(
        self, method: str, action: str, pay_id: str, channel_reference: str, timeout_s: float
    ) -> PaymentAnswer:
        reply = await self._call(method, f"{_path('payments', pay_id)}{action}", timeout_s)
        if not isinstance(reply, Reply):
            return reply
        if _is_missing(reply, pay_id):
            return NotKnown()
        payment = _body(PaymentBody, reply)
        if payment is None or payment.reference != pay_id:
            return _unclear(reply)
        if channel_reference not in ("", payment.id):
            return Unclear(f"it answered of its payment {payment.id}, and {channel_reference} is ours")
        return judge_payment(payment)

    async def _call(
        self, method: str, path: str, timeout_s: float, asked: dict[str, Any] | None = None
    ) -> Reply | NotReachable | Unclear:
        answer = await exchange(
            self._client,
            method,
            f"{self._base_url}{path}",
            headers=self._headers,
            timeout_s=timeout_s,
            max_bytes=ANSWER_MAX_BYTES,
            json=asked,
        )
        match answer:
            case Unsent(reason, retry_after_s):
                return NotReachable(reason, retry_after_s)
            case Unanswered(reason):
                return Unclear(reason)
            case Reply():
                return answer


def _created(payment: PaymentBody) -> CreateAnswer:
    """What the payer has to do. A payment that was paid before is created all the same: a query tells of its money."""
    match judge_payment(payment):
        case Unclear() as unclear:
            return unclear
        case Closed():
            return Declined("closed")
        case Paid():
            return Created(PayAction("none"), payment.id)
        case Unpaid() | PaymentFailed():
            if payment.pay_url is None:
                return Unclear("the payment has no page to pay on")
            return Created(PayAction("redirect", url=payment.pay_url), payment.id)


def _judged_refund(reply: Reply, request: RefundRequest) -> RefundAnswer:
    refund = _body(RefundBody, reply)
    return _unclear(reply) if refund is None or not is_of(refund, request) else judge_refund(refund)


def _body(model: type[B], reply: Reply) -> B | None:
    return read(model, reply.body) if reply.is_success else None


def _refusal(reply: Reply, reference: str) -> ErrorBody | None:
    """The channel's definite no to a request that changes something."""
    error = read(ErrorBody, reply.body) if reply.status in (400, 422) else None
    if error is None or (reply.status == 422 and error.reference != reference):
        return None
    return error if reply.status == 422 or error.error == "invalid_request" else None


def _is_missing(reply: Reply, reference: str) -> bool:
    """The channel itself says that it has nothing under this reference: any other 404 may be a wrong address."""
    error = read(ErrorBody, reply.body) if reply.status == 404 else None
    return error is not None and error.error in _NOTHING_THERE and error.reference == reference


def _unclear(reply: Reply) -> Unclear:
    error = read(ErrorBody, reply.body)
    return Unclear(f"answered {reply.status} {error.error if error is not None else 'without what was asked for'}")


def _detail(error: ErrorBody) -> str:
    """The channel's sentence as it can be stored and shown."""
    return "".join(each for each in error.message[:DETAIL_MAX] if each.isprintable())


def _path(what: str, name: str) -> str:
    return f"/{what}/{quote(name, safe='')}"


def connect(client: httpx2.AsyncClient, contract: Contract) -> DirectChannel:
    return DirectChannel(client, contract["base_url"], DirectCredentials.model_validate(contract["credentials"]))


PROTOCOL = ChannelProtocol("direct", connect, DirectCredentials)
