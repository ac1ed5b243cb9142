"""What Alipay's gateway answers and what it notifies of, and what each proves.

Source: Alipay Open Platform, `alipay.trade.*` and "Asynchronous notices". Times are Beijing's without saying so;
amounts are yuan as decimal text. `TRADE_CLOSED` means two things: nobody paid in time, or all of it was refunded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from domain.channels import (
    ChannelEvent,
    Charge,
    Closed,
    NothingTold,
    NotKnown,
    Paid,
    PaymentTold,
    RefundAnswer,
    RefundDeclined,
    RefundDone,
    RefundPending,
    RefundTold,
    Unclear,
    Unpaid,
)

BEIJING = ZoneInfo("Asia/Shanghai")
CURRENCY = "CNY"
DONE = "10000"
REFUSED = frozenset({"40001", "40002", "40003", "40004"})
"""Something was missing, invalid or not allowed by the rules of the trade: definite, `sub_code` says which."""
TURNED_AWAY = frozenset({"20001", "40005", "40006"})
"""No authorisation, too many calls, no permission: the gateway did not pass it on."""
NOT_EXIST = "ACQ.TRADE_NOT_EXIST"

_YUAN = re.compile(r"-?\d{1,13}(\.\d{1,2})?")


def yuan(amount_minor: int) -> str:
    """Fen as Alipay writes them: 8 800 is "88.00"."""
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d}"


def fen(text: str) -> int:
    """Exactly what `text` says in yuan. Raises ValueError for anything but digits with two decimals at most."""
    if not _YUAN.fullmatch(text) or not text.isascii():
        raise ValueError(f"{text!r} is no amount of yuan")
    return int(Decimal(text) * 100)


def beijing_time(text: object) -> datetime:
    """`2026-11-25 10:00:00`, of Beijing. Raises ValueError."""
    if not isinstance(text, str) or len(text) > 30:
        raise ValueError("is no time")
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None:
        raise ValueError("has a time zone")
    return at.replace(tzinfo=BEIJING)


Name = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")]
Fen = Annotated[int, BeforeValidator(lambda text: fen(text) if isinstance(text, str) else text)]
Time = Annotated[datetime, BeforeValidator(beijing_time)]


class _Body(BaseModel):
    """Unknown fields are Alipay's business; known ones keep their type and a bounded length."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, str_max_length=5_000)


class Trade(_Body):
    """A trade in an answer (`send_pay_date`) or a notice (`gmt_payment`)."""

    trade_no: Name
    out_trade_no: Name
    trade_status: Name
    total_amount: Fen
    paid_at: datetime | None = None


class GatewayBody(_Body):
    """An answer of any method: what became of the call, and the fields of the methods that we use."""

    code: Name
    sub_code: Name | None = None
    sub_msg: str = ""
    trade_no: Name | None = None
    out_trade_no: Name | None = None
    trade_status: Name | None = None
    total_amount: str | None = None
    send_pay_date: str | None = None
    fund_change: Name | None = None
    out_request_no: Name | None = None
    refund_status: Name | None = None
    bill_download_url: Name | None = None

    @property
    def done(self) -> bool:
        return self.code == DONE

    @property
    def refusal(self) -> tuple[str, str]:
        """Code and sentence of a definite no."""
        return self.sub_code or self.code, self.sub_msg[:500]

    @property
    def unclear(self) -> bool:
        """Whether nobody knows what it did: it is neither done, nor refused for a reason."""
        return not self.done and (self.code not in REFUSED or (self.sub_code or "").endswith("SYSTEM_ERROR"))


class NoticeBody(_Body):
    """`out_biz_no` is the number of the refund that it is about, if any."""

    notify_id: Name
    notify_time: Time
    app_id: Name
    trade_no: Name
    out_trade_no: Name
    trade_status: Name
    total_amount: str
    gmt_payment: str | None = None
    gmt_refund: Time | None = None
    out_biz_no: Name | None = None


def judge_trade(body: GatewayBody, pay_id: str) -> Paid | Unpaid | Closed | Unclear:
    """What the answer of a query proves. Raises ValidationError where it is not a trade."""
    if body.out_trade_no != pay_id:
        return Unclear("the answer is about another trade")
    return _judged(_trade(body.model_dump(), body.send_pay_date))


def _trade(fields: Mapping[str, object], paid_at: str | None) -> Trade:
    return Trade.model_validate({**fields, "paid_at": beijing_time(paid_at) if paid_at else None})


def _judged(trade: Trade) -> Paid | Unpaid | Closed | Unclear:
    match trade.trade_status:
        case "TRADE_SUCCESS" | "TRADE_FINISHED":
            return _paid(trade)
        case "TRADE_CLOSED":
            return Closed() if trade.paid_at is None else _paid(trade)
        case "WAIT_BUYER_PAY":
            return Unpaid()
        case other:
            return Unclear(f"the trade is {other}")


def _paid(trade: Trade) -> Paid | Unclear:
    if trade.paid_at is None or trade.total_amount <= 0:
        return Unclear("paid, but without time or amount")
    return Paid((Charge(trade.trade_no, trade.total_amount, CURRENCY, trade.paid_at),))


def judge_refund(body: GatewayBody, refund_no: str) -> RefundAnswer:
    """What the answer to a refund proves. `fund_change` N: no money moved by this call, as when it is repeated."""
    if body.fund_change == "Y":
        return RefundDone(refund_no)
    return RefundPending(refund_no)


def judge_refund_query(body: GatewayBody, refund_no: str) -> RefundAnswer:
    """Without a `refund_status` the refund never arrived, or failed and may be sent again under its number."""
    match body.refund_status:
        case "REFUND_SUCCESS" if body.out_request_no == refund_no:
            return RefundDone(refund_no)
        case "REFUND_PROCESSING":
            return RefundPending(refund_no)
        case "REFUND_FAIL":
            return RefundDeclined("REFUND_FAIL")
        case None:
            return NotKnown()
        case other:
            return Unclear(f"the refund is {other}")


def read_notice(notice: NoticeBody) -> ChannelEvent:
    """What a notice says. Raises ValidationError or ValueError where it is not a trade."""
    if notice.out_biz_no is not None and notice.gmt_refund is not None:
        done = RefundDone(notice.out_biz_no)
        return RefundTold(notice.notify_id, notice.out_trade_no, notice.out_biz_no, done)
    judged = _judged(_trade(notice.model_dump(), notice.gmt_payment))
    if isinstance(judged, Unclear):
        return NothingTold(notice.notify_id)
    return PaymentTold(notice.notify_id, notice.out_trade_no, judged)
