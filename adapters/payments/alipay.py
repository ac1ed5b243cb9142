"""Alipay's gateway: forms signed with RSA2 to `gateway.do`, answers and notices signed by Alipay.

- `create` needs no call: the payment page is an address that we sign ourselves, valid until the pay order expires. The
  trade begins when somebody opens it, so `NotKnown` of a query means that nobody has by now; what follows from that is
  the caller's. A `close` that answers `NotKnown` closed nothing: the address can still be opened until it expires.
- One trade is paid once at most. Refunds are told apart by our number (`out_request_no`).
- An answer counts only with its signature: without one it is `Unclear`, whatever it says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import parse_qsl, urlencode

import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from adapters.payments import (
    Acknowledgement,
    BillUnreadable,
    CallbackRefused,
    ChannelProtocol,
    Contract,
    PaymentRequest,
    RefundRequest,
)
from adapters.payments.alipay_bill import read_bill
from adapters.payments.alipay_bodies import (
    BEIJING,
    CURRENCY,
    NOT_EXIST,
    TURNED_AWAY,
    GatewayBody,
    NoticeBody,
    judge_refund,
    judge_refund_query,
    judge_trade,
    read_notice,
    yuan,
)
from adapters.payments.alipay_signing import (
    Unproved,
    private_key,
    prove_notice,
    proved_answer,
    public_key,
    sign_request,
)
from adapters.suppliers import NotSent
from adapters.suppliers.exchange import Reply, exchange
from domain.channels import (
    BillLine,
    ChannelEvent,
    Closed,
    CreateAnswer,
    Created,
    Declined,
    NotKnown,
    NotReachable,
    PayAction,
    PaymentAnswer,
    RefundAnswer,
    RefundDeclined,
    Unclear,
    Unpaid,
)

ANSWER_MAX_BYTES = 1 << 20
CALLBACK_MAX_BYTES = 1 << 16
BILL_MAX_BYTES = 1 << 29
NOTICE_MAX_AGE = timedelta(hours=26)
"""Alipay repeats an unacknowledged notice for 25 hours with its first time. A repeat is known by its `notify_id`."""
NOTICE_MAX_AHEAD = timedelta(minutes=5)
LINES_AT_ONCE = 500

_NOT_IN_A_SUBJECT = str.maketrans("/=&", "   ")


class AlipayCredentials(BaseModel):
    """Keys as PEM: ours signs what we send, the channel's proves what it says."""

    model_config = ConfigDict(extra="forbid", str_max_length=10_000)

    app_id: str
    private_key: str
    channel_public_key: str

    @field_validator("private_key")
    @classmethod
    def _signs(cls, pem: str) -> str:
        private_key(pem)
        return pem

    @field_validator("channel_public_key")
    @classmethod
    def _proves(cls, pem: str) -> str:
        public_key(pem)
        return pem


class AlipayChannel:
    """`client` is shared and follows no redirects; `clock` dates our requests."""

    acknowledgement = Acknowledgement(200, "success")

    def __init__(
        self,
        client: httpx2.AsyncClient,
        base_url: str,
        secrets: AlipayCredentials,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._app_id = secrets.app_id
        self._key = private_key(secrets.private_key)
        self._channel_key = public_key(secrets.channel_public_key)
        self._clock = clock

    @classmethod
    def of(cls, client: httpx2.AsyncClient, contract: Contract) -> AlipayChannel:
        """From the channel's row."""
        return cls(client, contract["base_url"], AlipayCredentials.model_validate(contract["credentials"]))

    async def create(self, request: PaymentRequest, *, timeout_s: float) -> CreateAnswer:
        """The signed address of the payment page. Nothing is sent: the payer's browser does."""
        if request.currency != CURRENCY:
            return Declined("currency_not_supported", f"it takes {CURRENCY} only")
        content = {
            "out_trade_no": request.pay_id,
            "product_code": "FAST_INSTANT_TRADE_PAY",
            "total_amount": yuan(request.amount_minor),
            "subject": request.subject.translate(_NOT_IN_A_SUBJECT)[:256],
            "time_expire": _written(request.expires_at),
        }
        signed = self._signed(
            "alipay.trade.page.pay", content, notify_url=request.notify_url, return_url=request.return_url
        )
        return Created(PayAction("redirect", url=f"{self._base_url}/gateway.do?{urlencode(signed)}"))

    async def query(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        """By our reference, which is all that Alipay needs."""
        body = await self._ask("alipay.trade.query", {"out_trade_no": pay_id}, timeout_s)
        if not isinstance(body, GatewayBody):
            return body
        if not body.done:
            return NotKnown() if body.sub_code == NOT_EXIST else Unclear(f"the query was refused: {body.refusal[0]}")
        try:
            return judge_trade(body, pay_id)
        except ValueError:
            return Unclear("the answer is not a trade")

    async def close(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        """Alipay closes only what is unpaid; what it refuses to close is asked about."""
        body = await self._ask("alipay.trade.close", {"out_trade_no": pay_id}, timeout_s)
        if not isinstance(body, GatewayBody):
            return body
        if body.done:
            return Closed()
        if body.sub_code == NOT_EXIST:
            return NotKnown()
        answer = await self.query(pay_id, channel_reference, timeout_s=timeout_s)
        return Unclear(f"it can't be closed now: {body.refusal[0]}") if isinstance(answer, Unpaid) else answer

    async def refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        """Of the one payment that a trade has. Repeated under its number it answers that no more money moved."""
        content = {
            "out_trade_no": request.pay_id,
            "refund_amount": yuan(request.amount_minor),
            "out_request_no": request.refund_no,
            "refund_reason": request.reason[:256],
        }
        body = await self._ask("alipay.trade.refund", content, timeout_s, notify_url=request.notify_url)
        if not isinstance(body, GatewayBody):
            return body
        if not body.done:
            return RefundDeclined(*body.refusal)
        if body.out_trade_no != request.pay_id:
            return Unclear("the answer is about another trade")
        return judge_refund(body, request.refund_no)

    async def query_refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        """By trade and number."""
        content = {"out_trade_no": request.pay_id, "out_request_no": request.refund_no}
        body = await self._ask("alipay.trade.fastpay.refund.query", content, timeout_s)
        if not isinstance(body, GatewayBody):
            return body
        if not body.done:
            return NotKnown() if body.sub_code == NOT_EXIST else Unclear(f"the query was refused: {body.refusal[0]}")
        return judge_refund_query(body, request.refund_no)

    def verify_callback(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ChannelEvent:
        """A notice: a form, signed over its fields, for our app, and not older than Alipay repeats one."""
        if len(body) > CALLBACK_MAX_BYTES:
            raise CallbackRefused(f"the callback is larger than {CALLBACK_MAX_BYTES} bytes")
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=100)
            fields = dict(pairs)
            if len(fields) != len(pairs):
                raise Unproved("a field stands twice")
            prove_notice(fields, self._channel_key)
            notice = NoticeBody.model_validate({name: value for name, value in fields.items() if value})
            told = read_notice(notice)
        except (ValueError, Unproved) as unproved:
            raise CallbackRefused(f"it is no notice of Alipay's: {type(unproved).__name__}") from unproved
        if notice.app_id != self._app_id:
            raise CallbackRefused("the notice is for another app")
        if not now - NOTICE_MAX_AGE <= notice.notify_time <= now + NOTICE_MAX_AHEAD:
            raise CallbackRefused("the notice is too old, or of the future")
        return told

    async def download_bill(self, day: date, *, timeout_s: float) -> AsyncIterator[BillLine]:
        """The day's bill in Beijing's time. It is there from the next morning on; before, it is unreadable."""
        content = {"bill_type": "trade", "bill_date": day.isoformat()}
        body = await self._ask("alipay.data.dataservice.bill.downloadurl.query", content, timeout_s)
        if not isinstance(body, GatewayBody) or not body.done or body.bill_download_url is None:
            why = body.refusal[0] if isinstance(body, GatewayBody) else body.reason
            raise BillUnreadable(f"there is no bill of {day}: {why}")
        with TemporaryFile() as file:
            await self._fetch(body.bill_download_url, file, timeout_s)
            for count, line in enumerate(read_bill(file), start=1):
                yield line
                if count % LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _fetch(self, url: str, file: IO[bytes], timeout_s: float) -> None:
        """The whole file, with `timeout_s` of patience for each piece. Raises BillUnreadable."""
        try:
            async with self._client.stream("GET", url, timeout=timeout_s) as response:
                if response.status_code != 200:
                    raise BillUnreadable(f"the bill's file answered {response.status_code}")
                async for chunk in response.aiter_bytes():
                    file.write(chunk)
                    if file.tell() > BILL_MAX_BYTES:
                        raise BillUnreadable(f"the bill is larger than {BILL_MAX_BYTES} bytes")
        except (httpx2.HTTPError, httpx2.InvalidURL) as lost:
            raise BillUnreadable(f"the bill's file broke off: {type(lost).__name__}") from lost
        file.seek(0)

    async def _ask(
        self, method: str, content: Mapping[str, str], timeout_s: float, *, notify_url: str = ""
    ) -> GatewayBody | Unclear | NotReachable:
        """One call: a signed body that is done or refused for a reason, or why there is none."""
        try:
            reply = await exchange(
                self._client,
                "POST",
                f"{self._base_url}/gateway.do",
                headers={"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"},
                content=urlencode(self._signed(method, content, notify_url=notify_url)).encode(),
                timeout_s=timeout_s,
                max_bytes=ANSWER_MAX_BYTES,
            )
        except NotSent as unsent:
            return NotReachable(str(unsent), unsent.retry_after_s)
        if not isinstance(reply, Reply):
            return Unclear(reply.reason)
        try:
            name = method.replace(".", "_") + "_response"
            body = GatewayBody.model_validate(proved_answer(reply.body.decode(), name, self._channel_key))
        except (Unproved, UnicodeDecodeError, ValidationError) as unproved:
            return Unclear(f"the answer (HTTP {reply.status}) is not provably Alipay's: {type(unproved).__name__}")
        if body.code in TURNED_AWAY:
            return NotReachable(f"turned away: {body.refusal[0]}")
        return Unclear(f"{method} answered {body.refusal[0]}") if body.unclear else body

    def _signed(
        self, method: str, content: Mapping[str, str], *, notify_url: str = "", return_url: str = ""
    ) -> dict[str, str]:
        parameters = {
            "app_id": self._app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": _written(self._clock()),
            "version": "1.0",
            "notify_url": notify_url,
            "return_url": return_url,
            "biz_content": json.dumps(content, ensure_ascii=False),
        }
        return sign_request({name: value for name, value in parameters.items() if value}, self._key)


def _written(at: datetime) -> str:
    return at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


PROTOCOL = ChannelProtocol("alipay", AlipayChannel.of, AlipayCredentials)
