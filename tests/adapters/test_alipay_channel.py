"""Alipay's signatures, notices, answers and bills: what they prove, and that a doubt is never taken for a no."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

import simulators.payment
from adapters.payments import BillUnreadable, CallbackRefused, PaymentRequest, RefundRequest
from adapters.payments.alipay import PROTOCOL, AlipayChannel, AlipayCredentials
from adapters.payments.alipay_bill import read_bill
from adapters.payments.alipay_bodies import fen, yuan
from adapters.payments.alipay_signing import Unproved, private_key, proved_answer, public_key
from adapters.payments.registry import PROTOCOLS
from domain.channels import (
    BillLine,
    Charge,
    Closed,
    Created,
    Declined,
    NotKnown,
    NotReachable,
    Paid,
    PaymentTold,
    RefundDeclined,
    RefundDone,
    RefundPending,
    RefundTold,
    Unclear,
    Unpaid,
)

KEYS = Path(simulators.payment.__file__).parent
APP_KEY = (KEYS / "alipay_development_app_private.pem").read_text()
CHANNEL_KEY = private_key((KEYS / "alipay_development_channel_private.pem").read_text())
CHANNEL_PUBLIC_KEY = (KEYS / "alipay_development_channel_public.pem").read_text()
NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
BEIJING_NOON = "2026-11-25 12:00:00"
CONTRACT = {
    "base_url": "https://alipay.invalid",
    "credentials": {"app_id": "2026000001", "private_key": APP_KEY, "channel_public_key": CHANNEL_PUBLIC_KEY},
}
CHANNEL = AlipayChannel.of(httpx2.AsyncClient(), CONTRACT)
PAID = Paid((Charge("2026112522001", 8_800, "CNY", NOW),))
REFUND = RefundRequest(
    "rfd-1", "pay-1", "2026112522001", "", 300, 8_800, "CNY", "one ticket fewer", "https://us.invalid/told"
)


def signature(text: str) -> str:
    return base64.b64encode(CHANNEL_KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def a_notice(**changes: str) -> dict[str, str]:
    return {
        "notify_id": "n-1",
        "notify_time": BEIJING_NOON,
        "app_id": "2026000001",
        "trade_no": "2026112522001",
        "out_trade_no": "pay-1",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "88.00",
        "gmt_payment": BEIJING_NOON,
        "empty": "",
        "charset": "utf-8",
        **changes,
    }


def signed(fields: dict[str, str]) -> bytes:
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if fields[name])
    return urlencode({**fields, "sign_type": "RSA2", "sign": signature(text)}).encode()


def told(**changes: str) -> object:
    return CHANNEL.verify_callback(signed(a_notice(**changes)), {}, NOW)


def test_the_protocol_is_found_by_its_name() -> None:
    assert PROTOCOLS["alipay"] is PROTOCOL


@given(st.integers(-(10**14), 10**14))
def test_amounts_go_there_and_back_exactly(amount_minor: int) -> None:
    assert fen(yuan(amount_minor)) == amount_minor
    assert Decimal(yuan(amount_minor)) * 100 == amount_minor


@pytest.mark.parametrize("text", ["", "1.005", "1e3", "NaN", "1,00", " 1", "+1", ".5", "\u0661", "9" * 40])
def test_what_is_no_amount_of_yuan_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no amount"):
        fen(text)


def test_credentials_are_refused_where_a_key_is_none() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    other_kind = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for wrong in ({"private_key": "secret"}, {"channel_public_key": APP_KEY}, {"private_key": other_kind}):
        with pytest.raises(ValidationError):
            AlipayCredentials.model_validate({**CONTRACT["credentials"], **wrong})  # type: ignore[dict-item]


async def test_the_payment_page_is_an_address_that_we_signed_and_nothing_is_sent() -> None:
    request = PaymentRequest(
        "pay-1",
        8_805,
        "CNY",
        "A=B&C/票",
        "https://us.invalid/told",
        "https://us.invalid/back",
        NOW + timedelta(hours=1),
    )
    answer = await CHANNEL.create(request, timeout_s=5)
    assert isinstance(answer, Created)
    assert answer.action.kind == "redirect"
    fields = {name: value for name, (value,) in parse_qs(urlsplit(answer.action.url).query).items()}
    signed_by_us = base64.b64decode(fields.pop("sign"))
    text = "&".join(f"{name}={fields[name]}" for name in sorted(fields))
    public_key((KEYS / "alipay_development_app_public.pem").read_text()).verify(
        signed_by_us, text.encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    content = json.loads(fields["biz_content"])
    assert (content["out_trade_no"], content["total_amount"]) == ("pay-1", "88.05")
    assert (content["time_expire"], content["subject"]) == ("2026-11-25 13:00:00", "A B C 票")
    assert fields["notify_url"] == "https://us.invalid/told"


async def test_another_currency_is_declined() -> None:
    request = PaymentRequest("pay-1", 8_800, "EUR", "Tickets", "", "", NOW)
    assert isinstance(await CHANNEL.create(request, timeout_s=5), Declined)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, PAID),
        ({"trade_status": "TRADE_FINISHED"}, PAID),
        ({"total_amount": "87.99"}, Paid((Charge("2026112522001", 8_799, "CNY", NOW),))),
        ({"trade_status": "WAIT_BUYER_PAY", "gmt_payment": ""}, Unpaid()),
        ({"trade_status": "TRADE_CLOSED", "gmt_payment": ""}, Closed()),
        ({"trade_status": "TRADE_CLOSED"}, PAID),
    ],
)
def test_a_notice_tells_how_the_trade_stands(changes: dict[str, str], answer: Any) -> None:
    assert told(**changes) == PaymentTold("n-1", "pay-1", answer)


@pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_CLOSED"])
def test_a_notice_with_a_refund_s_number_is_about_that_refund_even_where_it_closes_the_trade(status: str) -> None:
    refunded = {"out_biz_no": "rfd-1", "refund_fee": "3.00", "gmt_refund": "2026-11-25 11:59:59.123"}
    assert told(trade_status=status, **refunded) == RefundTold("n-1", "pay-1", "rfd-1", RefundDone("rfd-1"))


@pytest.mark.parametrize(
    "changes",
    [
        {"app_id": "2026999999"},
        {"notify_time": "2026-11-24 09:00:00"},
        {"notify_time": "2026-11-25 12:06:00"},
        {"notify_time": "yesterday"},
        {"notify_id": ""},
        {"total_amount": "88.005"},
        {"gmt_payment": "9" * 29},
        {"out_trade_no": "pay 1"},
    ],
)
def test_a_notice_for_others_or_of_another_time_or_shape_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(CallbackRefused):
        told(**changes)


def test_a_notice_that_was_changed_or_has_a_field_twice_or_no_signature_is_refused() -> None:
    body = signed(a_notice())
    for forged in (
        body.replace(b"88.00", b"880.0"),
        body + b"&trade_status=TRADE_CLOSED",
        body + b"&more=1",
        urlencode(a_notice()).encode(),
        body.replace(b"sign_type=RSA2", b"sign_type=RSA"),
        body.replace(b"&sign=", b"&sign=%20"),
    ):
        with pytest.raises(CallbackRefused):
            CHANNEL.verify_callback(forged, {}, NOW)


@given(
    st.binary(max_size=300)
    | st.dictionaries(st.text(max_size=8), st.text(max_size=8)).map(lambda f: urlencode(f).encode())
)
@example(b"sign_type=RSA2&sign=%C3%A9")
@example(b"sign_type=RSA2&sign=AAAA")
@example(b"a=1&" * 200)
def test_garbage_is_refused_and_nothing_else(body: bytes) -> None:
    with pytest.raises(CallbackRefused):
        CHANNEL.verify_callback(body, {}, NOW)


@given(st.dictionaries(st.sampled_from(sorted(a_notice())), st.text(max_size=30)))
def test_whatever_is_signed_is_read_or_refused(changes: dict[str, str]) -> None:
    try:
        CHANNEL.verify_callback(signed(a_notice(**changes)), {}, NOW)
    except CallbackRefused:
        return


def an_answer(method: str, written: str) -> bytes:
    name = method.replace(".", "_") + "_response"
    return f'{{"{name}": {written}, "sign":"{signature(written)}"}}'.encode()


def answering(method: str, body: dict[str, Any] | bytes, status: int = 200) -> AlipayChannel:
    content = body if isinstance(body, bytes) else an_answer(method, json.dumps(body))
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status, content=content))
    return AlipayChannel.of(httpx2.AsyncClient(transport=transport), CONTRACT)


def a_trade(**changes: Any) -> dict[str, Any]:
    return {
        "code": "10000",
        "msg": "Success",
        "trade_no": "2026112522001",
        "out_trade_no": "pay-1",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "88.00",
        "send_pay_date": BEIJING_NOON,
        **changes,
    }


NO_TRADE = {"code": "40004", "msg": "Business Failed", "sub_code": "ACQ.TRADE_NOT_EXIST"}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (a_trade(), PAID),
        (a_trade(trade_status="WAIT_BUYER_PAY", send_pay_date=None), Unpaid()),
        (a_trade(trade_status="TRADE_CLOSED", send_pay_date=None), Closed()),
        (a_trade(trade_status="TRADE_CLOSED"), PAID),
        (NO_TRADE, NotKnown()),
    ],
)
async def test_a_query_says_how_the_trade_stands(body: dict[str, Any], answer: object) -> None:
    assert await answering("alipay.trade.query", body).query("pay-1", "", timeout_s=5) == answer


@pytest.mark.parametrize(
    "body",
    [
        {"code": "20000", "sub_code": "aop.unknow-error"},
        {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"},
        {"code": "40004", "sub_code": "ACQ.INVALID_PARAMETER"},
        a_trade(out_trade_no="pay-2"),
        a_trade(trade_status="SOMETHING"),
        a_trade(send_pay_date=None),
        a_trade(total_amount="88.001"),
        json.dumps({"alipay_trade_query_response": a_trade(), "sign": "AAAA"}).encode(),
        json.dumps({"alipay_trade_query_response": NO_TRADE}).encode(),
        an_answer("alipay.trade.query", json.dumps(NO_TRADE)).replace(b"TRADE_NOT", b"TRADE_NIX"),
        an_answer("alipay.trade.close", json.dumps(NO_TRADE)),
        b"[]",
        b"\xff",
        b'{"a": ' + b"[" * 5_000,
    ],
)
async def test_an_answer_that_is_not_provably_definite_is_unclear(body: dict[str, Any] | bytes) -> None:
    assert isinstance(await answering("alipay.trade.query", body).query("pay-1", "", timeout_s=5), Unclear)


async def test_what_the_gateway_did_not_pass_on_may_be_repeated() -> None:
    refund = answering("alipay.trade.refund", {"code": "40005", "sub_code": "isv.call-limited"})
    assert isinstance(await refund.refund(REFUND, timeout_s=5), NotReachable)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (a_trade(fund_change="Y"), RefundDone("rfd-1")),
        (a_trade(fund_change="N"), RefundPending("rfd-1")),
        (
            {"code": "40004", "sub_code": "ACQ.SELLER_BALANCE_NOT_ENOUGH", "sub_msg": "no"},
            RefundDeclined("ACQ.SELLER_BALANCE_NOT_ENOUGH", "no"),
        ),
    ],
)
async def test_a_refund_is_done_where_money_moved_and_refused_only_for_a_reason(body: Any, answer: object) -> None:
    assert await answering("alipay.trade.refund", body).refund(REFUND, timeout_s=5) == answer


async def test_a_refund_that_the_system_failed_at_is_unclear() -> None:
    refund = answering("alipay.trade.refund", {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"})
    assert isinstance(await refund.refund(REFUND, timeout_s=5), Unclear)


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"refund_status": "REFUND_SUCCESS", "out_request_no": "rfd-1"}, RefundDone("rfd-1")),
        ({"refund_status": "REFUND_PROCESSING"}, RefundPending("rfd-1")),
        ({"refund_status": "REFUND_FAIL"}, RefundDeclined("REFUND_FAIL")),
        ({}, NotKnown()),
    ],
)
async def test_a_refund_is_asked_for_by_its_number(fields: dict[str, str], answer: object) -> None:
    channel = answering("alipay.trade.fastpay.refund.query", {"code": "10000", **fields})
    assert await channel.query_refund(REFUND, timeout_s=5) == answer


def test_the_signature_covers_the_answer_as_it_was_written() -> None:
    key = public_key(CHANNEL_PUBLIC_KEY)
    written = '{ "code" : "10000",\n "msg":"}\\"" }'
    proved = proved_answer(f' {{"sign" : "{signature(written)}" , "r" :{written}}}\n', "r", key)
    assert proved == {"code": "10000", "msg": '}"'}
    for forged in (
        f'{{"r":{written},"sign":"{signature(written)}","r":{written}}}',
        f'{{"r":{written},"sign":"{signature(written)}"}} more',
        f'{{"r":{written},"sign":5}}',
        f'{{"r":{written} "sign":"{signature(written)}"}}',
    ):
        with pytest.raises(Unproved):
            proved_answer(forged, "r", key)


BILL = (
    "#支付宝业务明细查询\n"
    "#账号：[20260000010156]\n"
    "支付宝交易号,商户订单号,业务类型,完成时间,订单金额（元）,退款批次号/请求号,服务费（元）\n"
    "2026112522001\t,pay-1\t,交易,2026-11-25 12:00:00,88.00,\t,-0.53\n"
    "2026112522001\t,pay-1\t,退款,2026-11-25 12:00:00,-3.00,rfd-1\t,0.02\n"
    "2026112522001\t,pay-1\t,转账,2026-11-25 12:00:00,-3.00,\t,0.00\n"
    "#-----------------------------------------业务明细列表结束------------------------------------\n"
)


def zipped(text: str, names: tuple[str, ...] = ("1_业务明细.csv", "1_业务明细(汇总).csv")) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, text.encode("gb18030"))
    return io.BytesIO(file.getvalue())


@pytest.mark.parametrize("file", [io.BytesIO(BILL.encode("gb18030")), zipped(BILL)], ids=["plain", "zipped"])
def test_a_bill_has_payments_and_refunds_with_the_fee_that_was_kept(file: io.BytesIO) -> None:
    assert list(read_bill(file)) == [
        BillLine("payment", "pay-1", "2026112522001", 8_800, 53, "CNY", NOW),
        BillLine("refund", "rfd-1", "2026112522001", -300, -2, "CNY", NOW),
    ]


@pytest.mark.parametrize(
    "file",
    [
        io.BytesIO(BILL.rpartition("#")[0].encode("gb18030")),
        io.BytesIO(BILL.replace("服务费", "费").encode("gb18030")),
        io.BytesIO(BILL.replace("88.00", "88.001").encode("gb18030")),
        io.BytesIO(BILL.replace(",-0.53", "").encode("gb18030")),
        io.BytesIO(b"\xff\xff\xff"),
        io.BytesIO(b""),
        io.BytesIO(b"PK\x03\x04"),
        zipped(BILL, ("1.csv", "2.csv")),
    ],
    ids=["no end", "no column", "no amount", "short line", "no text", "empty", "no archive", "two tables"],
)
def test_a_bill_that_is_not_whole_is_unreadable(file: io.BytesIO) -> None:
    with pytest.raises(BillUnreadable):
        list(read_bill(file))


async def test_a_bill_that_is_not_there_yet_is_unreadable() -> None:
    missing = answering(
        "alipay.data.dataservice.bill.downloadurl.query", {"code": "40004", "sub_code": "isp.bill_not_exist"}
    )
    with pytest.raises(BillUnreadable, match="bill_not_exist"):
        _ = [line async for line in missing.download_bill(NOW.date(), timeout_s=5)]
