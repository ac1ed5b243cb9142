"""A channel that is spoken to as Alipay is: one gateway for forms signed with RSA2, notices, and bills as CSV.

The app's id is the channel's token. A trade begins when the payer opens the signed address of the payment page, which
leads on to the channel's own. A trade is paid once. Failed attempts are not told: a notice shows the trade as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

import httpx2
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from simulators.common.answering import bounded_body
from simulators.common.callbacks import CallbackTarget, Letter
from simulators.common.faults import Strike
from simulators.payment.alipay_signing import is_app_s, joined, sign
from simulators.payment.book import Payment
from simulators.payment.channels import ChannelSettings
from simulators.payment.dealings import Asked, BillLine, Notice, RefundAsked, Refusal
from simulators.payment.faces import Office
from simulators.payment.faults import Operation
from simulators.payment.page import pay_url

NAME = "alipay"
BEIJING = ZoneInfo("Asia/Shanghai")
COLUMNS = "支付宝交易号,商户订单号,业务类型,完成时间,订单金额（元）,退款批次号/请求号,服务费（元）"
END_OF_BILL = "#-----------------------------------------业务明细列表结束------------------------------------"

_SUB_CODES = {
    "unknown_reference": "ACQ.TRADE_NOT_EXIST",
    "unknown_charge": "ACQ.TRADE_STATUS_ERROR",
    "exceeds_charge": "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
    "refund_conflict": "ACQ.DISCORDANT_REPEAT_REQUEST",
    "account_closed": "ACQ.BUYER_NOT_EXIST",
    "already_paid": "ACQ.TRADE_STATUS_ERROR",
}
_REFUNDS = {"pending": "REFUND_PROCESSING", "done": "REFUND_SUCCESS", "refused": "REFUND_FAIL"}

Fields = dict[str, str]


class Content(BaseModel):
    """`biz_content` of all methods; amounts are yuan."""

    out_trade_no: str = Field("", max_length=64)
    total_amount: str = Field("0", pattern=r"^\d{1,11}(\.\d{1,2})?$")
    refund_amount: str = Field("0", pattern=r"^\d{1,11}(\.\d{1,2})?$")
    subject: str = Field("", max_length=256)
    time_expire: datetime | None = None
    out_request_no: str = Field("", max_length=64)
    refund_reason: str = Field("", max_length=256)
    bill_date: date | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One genuine request to the gateway."""

    request: Request
    channel: ChannelSettings
    parameters: Mapping[str, str]
    content: Content


class AlipayStationery:
    """Signed forms; only the word `success` acknowledges."""

    def letter(self, channel: ChannelSettings, target: CallbackTarget, payment: Payment, notice: Notice) -> Letter:
        fields = _notice(channel, payment, notice)
        form = {**fields, "sign_type": "RSA2", "sign": sign(joined(fields))}
        return Letter(target.url, urlencode(form), {"content-type": "application/x-www-form-urlencoded; charset=utf-8"})

    def is_taken(self, answer: httpx2.Response) -> bool:
        return answer.status_code == 200 and answer.text.strip() == "success"


class AlipayFace:
    """The gateway, the payment page's address, and the files of bills."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._cashier = office.cashier
        self._methods: Mapping[str, tuple[Operation, Callable[[Call, Strike[Any]], Response]]] = {
            "alipay.trade.page.pay": ("create", self._open),
            "alipay.trade.query": ("query", self._query),
            "alipay.trade.close": ("close", self._close),
            "alipay.trade.refund": ("refund", self._refund),
            "alipay.trade.fastpay.refund.query": ("query_refund", self._query_refund),
            "alipay.data.dataservice.bill.downloadurl.query": ("bill", self._bill_url),
        }

    def routes(self) -> list[Route]:
        return [
            Route("/{channel}/gateway.do", self.answer, methods=["GET", "POST"]),
            Route("/{channel}/bill_files/{day}", self.bill_file, methods=["GET"]),
        ]

    def error(self, status: int, code: str, message: str) -> Response:
        """Not in the protocol: what stands before the gateway answers so."""
        return PlainTextResponse(f"{code}: {message}", status)

    def refusal(self, refusal: Refusal) -> Response:
        """Of the payment page only; the gateway's own methods answer in their words."""
        return self.error(409, refusal.code, str(refusal))

    async def answer(self, request: Request) -> Response:
        written = request.url.query.encode() if request.method == "GET" else await bounded_body(request)
        parameters = dict(parse_qsl((written or b"").decode(errors="replace")))
        channel, method = self._office.channel(request, NAME), parameters.get("method", "")
        if channel is None:
            return self.error(404, "unknown_channel", "No such channel")
        if parameters.get("app_id") != channel.token or not is_app_s(parameters):
            return _unsigned({"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature"})
        if method not in self._methods:
            return _unsigned({"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-method"})
        try:
            call = Call(request, channel, parameters, Content.model_validate_json(parameters.get("biz_content", "")))
        except ValidationError:
            return _signed(method, {"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-parameter"})
        operation, work = self._methods[method]
        reference = call.content.out_request_no or call.content.out_trade_no
        return await self._office.attend(
            request, channel, operation, reference, lambda struck: self._done(method, work, call, struck), self
        )

    def _done(
        self, method: str, work: Callable[[Call, Strike[Any]], Response], call: Call, struck: Strike[Any]
    ) -> Response:
        if method == "alipay.trade.page.pay":
            return work(call, struck)
        try:
            return work(call, struck)
        except Refusal as refusal:
            return _refused(method, refusal.code, str(refusal))

    def _open(self, call: Call, struck: Strike[Any]) -> Response:
        """The payer comes with the signed address: the trade begins, and goes on at the channel's own page."""
        content, parameters = call.content, call.parameters
        until = content.time_expire
        payment = self._cashier.create(
            call.channel,
            Asked(
                content.out_trade_no,
                _fen(content.total_amount),
                "CNY",
                content.subject,
                parameters.get("notify_url", ""),
                parameters.get("return_url", ""),
                None if until is None else until.replace(tzinfo=BEIJING).timestamp(),
            ),
        )
        return RedirectResponse(pay_url(call.request, payment), 302)

    def _query(self, call: Call, struck: Strike[Any]) -> Response:
        payment = self._cashier.find(call.channel, call.content.out_trade_no, struck)
        return _signed("alipay.trade.query", _trade(payment))

    def _close(self, call: Call, struck: Strike[Any]) -> Response:
        payment = self._cashier.close(call.channel, call.content.out_trade_no)
        if payment.status == "paid":
            return _refused("alipay.trade.close", "already_paid", "The trade is paid")
        return _signed("alipay.trade.close", {"trade_no": payment.id, "out_trade_no": payment.reference})

    def _refund(self, call: Call, struck: Strike[Any]) -> Response:
        """`fund_change`: whether money went back by this call; a repeat moves none."""
        content = call.content
        before = self._cashier.book.with_refund(call.channel.name, content.out_request_no)
        asked = RefundAsked(
            content.out_request_no,
            content.out_trade_no,
            _fen(content.refund_amount),
            "CNY",
            reason=content.refund_reason,
            notify_url=call.parameters.get("notify_url", ""),
        )
        outcome = self._cashier.refund(call.channel, asked, struck)
        self._office.messenger.follow(outcome)
        payment, refund = outcome.payment, outcome.refund
        if refund is not None and refund.refusal is not None:
            return _refused("alipay.trade.refund", refund.refusal, "The account that paid is closed")
        moved = before is None and refund is not None and refund.status == "done"
        given_back = sum(each.amount_minor for each in payment.refunds if each.status == "done")
        names = {"trade_no": payment.id, "out_trade_no": payment.reference}
        body = names | {"fund_change": "Y" if moved else "N", "refund_fee": _yuan(given_back)}
        return _signed("alipay.trade.refund", body)

    def _query_refund(self, call: Call, struck: Strike[Any]) -> Response:
        method = "alipay.trade.fastpay.refund.query"
        payment = self._cashier.payment(call.channel, call.content.out_trade_no)
        names = {"trade_no": payment.id, "out_trade_no": payment.reference}
        try:
            refund = self._cashier.find_refund(call.channel, call.content.out_request_no, struck).refund
        except Refusal:
            return _signed(method, names)
        if refund is None:
            return _signed(method, names)
        status = {"out_request_no": refund.refund_no, "refund_status": _REFUNDS[refund.status]}
        return _signed(method, names | status | {"refund_amount": _yuan(refund.amount_minor)})

    def _bill_url(self, call: Call, struck: Strike[Any]) -> Response:
        method, day = "alipay.data.dataservice.bill.downloadurl.query", call.content.bill_date
        if day is None:
            return _signed(method, {"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-parameter"})
        url = f"{call.request.base_url}{call.channel.name}/bill_files/{day.isoformat()}"
        return _signed(method, {"bill_download_url": url})

    async def bill_file(self, request: Request) -> Response:
        channel = self._office.channel(request, NAME)
        try:
            day = date.fromisoformat(request.path_params["day"])
        except ValueError:
            channel = None
        if channel is None:
            return self.error(404, "unknown_bill", "No such bill")
        rows = _rows(self._lines(channel, day))
        return StreamingResponse((f"{row}\n".encode("gb18030") for row in rows), media_type="text/csv; charset=gb18030")

    def _lines(self, channel: ChannelSettings, day: date) -> Iterator[tuple[BillLine, Payment]]:
        """What falls on a day of Beijing's, which has hours of two days of UTC; each with its trade."""
        for utc_day in (day - timedelta(days=1), day):
            for line in self._cashier.bill(channel, utc_day):
                payment: Payment | None
                if line.kind == "payment":
                    payment = self._cashier.payment(channel, line.reference)
                else:
                    payment = self._cashier.book.with_refund(channel.name, line.reference)
                if payment is not None and datetime.fromtimestamp(line.at, BEIJING).date() == day:
                    yield line, payment


def _trade(payment: Payment) -> Fields:
    """A trade that was given back whole is shown as closed, like one that nobody paid."""
    fields = {
        "trade_no": payment.id,
        "out_trade_no": payment.reference,
        "trade_status": _trade_status(payment),
        "total_amount": _yuan(payment.charges[-1].amount_minor if payment.charges else payment.amount_minor),
    }
    return fields | {"send_pay_date": _written(payment.charges[-1].paid_at)} if payment.charges else fields


def _trade_status(payment: Payment) -> str:
    if payment.charges:
        given_back = sum(each.amount_minor for each in payment.refunds if each.status == "done")
        charged = sum(each.amount_minor for each in payment.charges)
        return "TRADE_CLOSED" if given_back >= charged else "TRADE_SUCCESS"
    return "TRADE_CLOSED" if payment.status == "closed" else "WAIT_BUYER_PAY"


def _notice(channel: ChannelSettings, payment: Payment, notice: Notice) -> Fields:
    """What it says may be otherwise than the book: a failure that is newer than the success closes the trade."""
    trade = _trade(payment)
    paid_at = trade.pop("send_pay_date", "")
    if notice.says == "failed":
        is_newer = bool(payment.charges) and notice.at > payment.charges[-1].paid_at
        trade["trade_status"], paid_at = "TRADE_CLOSED" if is_newer else "WAIT_BUYER_PAY", ""
    fields = {
        "notify_id": notice.id,
        "notify_type": "trade_status_sync",
        "notify_time": _written(datetime.now(UTC).timestamp()),
        "app_id": channel.token,
        "charset": "utf-8",
        "version": "1.0",
        **trade,
    }
    refund = payment.refund(notice.refund_no)
    if refund is not None and notice.says == "done":
        fields |= {"out_biz_no": refund.refund_no, "refund_fee": _yuan(refund.amount_minor)}
        fields |= {"gmt_refund": _written(notice.at)}
    return fields | {"gmt_payment": paid_at} if paid_at else fields


def _rows(lines: Iterator[tuple[BillLine, Payment]]) -> Iterator[str]:
    yield "#支付宝业务明细查询"
    yield COLUMNS
    for line, payment in lines:
        kind, number = ("交易", "") if line.kind == "payment" else ("退款", line.reference)
        names = (f"{payment.id}\t", f"{payment.reference}\t", kind, _written(line.at))
        yield ",".join((*names, _yuan(line.amount_minor), f"{number}\t", _yuan(-line.fee_minor)))
    yield END_OF_BILL


def _signed(method: str, body: Fields) -> Response:
    """The answer's text is signed as it stands."""
    written = json.dumps({"code": "10000", "msg": "Success", **body}, ensure_ascii=False)
    name = method.replace(".", "_") + "_response"
    return Response(f'{{"{name}":{written},"sign":"{sign(written)}"}}', media_type="application/json")


def _refused(method: str, code: str, message: str) -> Response:
    sub_code = _SUB_CODES.get(code, f"ACQ.{code.upper()}")
    return _signed(method, {"code": "40004", "msg": "Business Failed", "sub_code": sub_code, "sub_msg": message})


def _unsigned(body: Fields) -> Response:
    """To somebody of whom nothing is proved."""
    return Response(json.dumps({"error_response": body}), media_type="application/json")


def _yuan(amount_minor: int) -> str:
    sign_of = "-" if amount_minor < 0 else ""
    return f"{sign_of}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d}"


def _fen(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 100 + int(part.ljust(2, "0"))


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, BEIJING).strftime("%Y-%m-%d %H:%M:%S")
