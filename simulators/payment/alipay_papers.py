"""What a channel of Alipay's kind writes: trades, notices and bills. Amounts are yuan as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import httpx2

from simulators.common.callbacks import CallbackTarget, Letter
from simulators.payment.alipay_signing import joined, sign
from simulators.payment.book import Payment
from simulators.payment.channels import ChannelSettings
from simulators.payment.dealings import BillLine, Notice

BEIJING = ZoneInfo("Asia/Shanghai")
COLUMNS = "支付宝交易号,商户订单号,业务类型,完成时间,订单金额（元）,退款批次号/请求号,服务费（元）"
END_OF_BILL = "#-----------------------------------------业务明细列表结束------------------------------------"

Fields = dict[str, str]


class AlipayStationery:
    """Signed forms; only the word `success` acknowledges."""

    def letter(self, channel: ChannelSettings, target: CallbackTarget, payment: Payment, notice: Notice) -> Letter:
        fields = _notice(channel, payment, notice)
        form = {**fields, "sign_type": "RSA2", "sign": sign(joined(fields))}
        return Letter(target.url, urlencode(form), {"content-type": "application/x-www-form-urlencoded; charset=utf-8"})

    def is_taken(self, answer: httpx2.Response) -> bool:
        return answer.status_code == 200 and answer.text.strip() == "success"


def trade(payment: Payment) -> Fields:
    """A trade that was given back whole is shown as closed, like one that nobody paid."""
    fields = {
        "trade_no": payment.id,
        "out_trade_no": payment.reference,
        "trade_status": _status(payment),
        "total_amount": yuan(payment.charges[-1].amount_minor if payment.charges else payment.amount_minor),
    }
    return fields | {"send_pay_date": _written(payment.charges[-1].paid_at)} if payment.charges else fields


def _status(payment: Payment) -> str:
    if payment.charges:
        given_back = sum(each.amount_minor for each in payment.refunds if each.status == "done")
        charged = sum(each.amount_minor for each in payment.charges)
        return "TRADE_CLOSED" if given_back >= charged else "TRADE_SUCCESS"
    return "TRADE_CLOSED" if payment.status == "closed" else "WAIT_BUYER_PAY"


def _notice(channel: ChannelSettings, payment: Payment, notice: Notice) -> Fields:
    """What it says may be otherwise than the book: a failure that is newer than the success closes the trade."""
    shown = trade(payment)
    paid_at = shown.pop("send_pay_date", "")
    if notice.says == "failed":
        is_newer = bool(payment.charges) and notice.at > payment.charges[-1].paid_at
        shown["trade_status"], paid_at = "TRADE_CLOSED" if is_newer else "WAIT_BUYER_PAY", ""
    fields = {
        "notify_id": notice.id,
        "notify_type": "trade_status_sync",
        "notify_time": _written(datetime.now(UTC).timestamp()),
        "app_id": channel.token,
        "charset": "utf-8",
        "version": "1.0",
        **shown,
    }
    refund = payment.refund(notice.refund_no)
    if refund is not None and notice.says == "done":
        fields |= {"out_biz_no": refund.refund_no, "refund_fee": yuan(refund.amount_minor)}
        fields |= {"gmt_refund": _written(notice.at)}
    return fields | {"gmt_payment": paid_at} if paid_at else fields


def rows(lines: Iterator[tuple[BillLine, Payment]]) -> Iterator[str]:
    """A bill as CSV, line by line: remarks around the table, fees below zero, refunds with their numbers."""
    yield "#支付宝业务明细查询"
    yield COLUMNS
    for line, payment in lines:
        kind, number = ("交易", "") if line.kind == "payment" else ("退款", line.reference)
        names = (f"{payment.id}\t", f"{payment.reference}\t", kind, _written(line.at))
        yield ",".join((*names, yuan(line.amount_minor), f"{number}\t", yuan(-line.fee_minor)))
    yield END_OF_BILL


def yuan(amount_minor: int) -> str:
    """Fen as yuan with two decimals."""
    sign_of = "-" if amount_minor < 0 else ""
    return f"{sign_of}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d}"


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, BEIJING).strftime("%Y-%m-%d %H:%M:%S")
