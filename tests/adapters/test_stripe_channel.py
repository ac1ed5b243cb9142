"""Stripe's webhooks and objects: what they prove, and that whatever is not Stripe's is one refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stripe import WebhookSignature

from adapters.payments import CallbackRefused, PaymentRequest, RefundRequest
from adapters.payments.registry import PROTOCOLS
from adapters.payments.stripe_bodies import BalanceBody, IntentBody, RefundBody, bill_line, judge_intent, judge_refund
from adapters.payments.stripe_channel import PROTOCOL, StripeChannel
from domain.channels import (
    Charge,
    Closed,
    Created,
    Declined,
    NothingTold,
    NotReachable,
    Paid,
    PayAction,
    PaymentFailed,
    PaymentTold,
    RefundDeclined,
    RefundDone,
    RefundPending,
    RefundTold,
    Unclear,
    Unpaid,
)

SECRETS = {"secret_key": "sk_test_0123456789", "webhook_secret": "whsec_0123456789abcdef"}
NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
CONTRACT = {"base_url": "https://stripe.invalid", "credentials": SECRETS, "time_zone": "Asia/Shanghai"}
CHANNEL = StripeChannel.of(httpx2.AsyncClient(), CONTRACT)
REQUEST = PaymentRequest(
    "pay-1", 8_800, "CNY", "Two tickets", "https://us.invalid/told", "https://us.invalid/back", NOW + timedelta(hours=1)
)


def an_intent(**changes: Any) -> dict[str, Any]:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "amount_received": 8_800,
        "currency": "cny",
        "latest_charge": "ch_1",
        "client_secret": "pi_1_secret_2",
        "metadata": {"pay_id": "pay-1"},
        **changes,
    }


def an_event(kind: str, subject: dict[str, Any], **changes: Any) -> bytes:
    event = {"id": "evt_1", "object": "event", "type": kind, "created": SECONDS, "data": {"object": subject}, **changes}
    return json.dumps(event).encode()


def signed(body: bytes, at: datetime = NOW, secret: str = SECRETS["webhook_secret"]) -> dict[str, str]:
    text = WebhookSignature.generate_signature_header(body.decode(), secret, int(at.timestamp()))
    return {"Stripe-Signature": text}


def told(kind: str, subject: dict[str, Any]) -> object:
    body = an_event(kind, subject)
    return CHANNEL.verify_callback(body, signed(body), NOW)


def test_the_protocol_is_found_by_its_name() -> None:
    assert PROTOCOLS["stripe"] is PROTOCOL


def test_a_success_names_its_charge_with_the_amount_that_was_received() -> None:
    paid = Paid((Charge("ch_1", 8_799, "CNY", NOW),))
    assert told("payment_intent.succeeded", an_intent(amount_received=8_799)) == PaymentTold("evt_1", "pay-1", paid)


def test_a_declined_card_tells_the_bank_s_reason_and_a_canceled_intent_is_closed() -> None:
    failed = an_intent(
        status="requires_payment_method", last_payment_error={"code": "card_declined", "decline_code": "lost_card"}
    )
    lost = PaymentTold("evt_1", "pay-1", PaymentFailed("lost_card", NOW))
    assert told("payment_intent.payment_failed", failed) == lost
    assert told("payment_intent.canceled", an_intent(status="canceled")) == PaymentTold("evt_1", "pay-1", Closed())


@pytest.mark.parametrize(
    ("kind", "status", "answer"),
    [
        ("refund.created", "pending", RefundPending("re_1")),
        ("refund.updated", "succeeded", RefundDone("re_1")),
        ("refund.failed", "failed", RefundDeclined("expired_or_canceled_card")),
    ],
)
def test_a_refund_s_event_tells_our_number_and_how_it_stands(kind: str, status: str, answer: Any) -> None:
    refund = {
        "id": "re_1",
        "status": status,
        "failure_reason": "expired_or_canceled_card" if status == "failed" else None,
        "metadata": {"pay_id": "pay-1", "refund_no": "rfd-1"},
    }
    assert told(kind, refund) == RefundTold("evt_1", "pay-1", "rfd-1", answer)
    charge = {"id": "ch_1", "refunds": {"data": [refund]}}
    assert told("charge.refunded", charge) == RefundTold("evt_1", "pay-1", "rfd-1", answer)


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("payout.paid", {"id": "po_1"}),
        ("payment_intent.created", an_intent()),
        ("payment_intent.succeeded", an_intent(metadata={})),
        ("payment_intent.succeeded", an_intent(latest_charge=None)),
        ("refund.updated", {"id": "re_1", "status": "succeeded", "metadata": {"pay_id": "pay-1"}}),
        ("charge.refunded", {"id": "ch_1"}),
    ],
)
def test_what_is_genuine_and_about_no_money_of_ours_tells_nothing(kind: str, subject: dict[str, Any]) -> None:
    assert told(kind, subject) == NothingTold("evt_1")


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_webhook_signed_long_ago_or_in_the_future_is_refused(minutes: int) -> None:
    body = an_event("payment_intent.succeeded", an_intent())
    with pytest.raises(CallbackRefused, match="300 s"):
        CHANNEL.verify_callback(body, signed(body, NOW + timedelta(minutes=minutes)), NOW)
    assert CHANNEL.verify_callback(body, signed(body, NOW + timedelta(minutes=minutes / 2)), NOW)


def test_a_webhook_signed_with_another_secret_or_changed_afterwards_is_refused() -> None:
    body = an_event("payment_intent.succeeded", an_intent())
    for changed, headers in (
        (body, signed(body, secret="whsec_somebody_else")),
        (body.replace(b"8800", b"1"), signed(body)),
        (body, {}),
    ):
        with pytest.raises(CallbackRefused):
            CHANNEL.verify_callback(changed, headers, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"5",
        b'{"id": "evt_1"}',
        an_event("payment_intent.succeeded", an_intent(amount_received="8800")),
        an_event("payment_intent.succeeded", an_intent(latest_charge="ch\u0000")),
        an_event("payment_intent.succeeded", an_intent(), created=-1),
        an_event("payment_intent.succeeded", an_intent(), id=""),
        an_event("payment_intent.succeeded", an_intent(metadata={"pay_id": "pay\u0000"})),
        an_event("payment_intent.succeeded", an_intent(metadata={"pay_id": "\ud800"})),
    ],
)
def test_a_body_that_is_signed_and_not_what_stripe_sends_is_refused(body: bytes) -> None:
    with pytest.raises(CallbackRefused):
        CHANNEL.verify_callback(body, signed(body), NOW)


@given(
    body=st.binary(max_size=300),
    header=st.text(max_size=200) | st.binary(max_size=50).map(lambda b: b.decode("latin-1")),
)
@example(body=b"{}", header="t=1,v1=\u00e9")
@example(body=b"{}", header="t=" + "9" * 6_000 + ",v1=00")
@example(body=b"\xff", header="t=1,v1=00")
@example(body=b"{}", header="v1")
def test_garbage_is_refused_and_nothing_else(body: bytes, header: str) -> None:
    with pytest.raises(CallbackRefused):
        CHANNEL.verify_callback(body, {"stripe-signature": header}, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "data", "object", "type"]), inner)
    ),
    max_leaves=12,
)


@given(document=JSON)
def test_whatever_is_signed_is_read_or_refused(document: object) -> None:
    body = json.dumps(document).encode()
    try:
        CHANNEL.verify_callback(body, signed(body), NOW)
    except CallbackRefused:
        return
    assert isinstance(document, dict)


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"latest_charge": {"id": "ch_1", "created": SECONDS}}, Paid((Charge("ch_1", 8_800, "CNY", NOW),))),
        ({"status": "canceled"}, Closed()),
        ({"status": "processing"}, Unpaid()),
        ({"status": "requires_payment_method"}, Unpaid()),
        (
            {"status": "requires_payment_method", "last_payment_error": {"code": "card_declined"}},
            PaymentFailed("card_declined"),
        ),
        ({"latest_charge": None}, Unclear("succeeded, but without its charge")),
        ({"status": "something_new"}, Unclear("the intent is something_new")),
    ],
)
def test_what_an_intent_proves(changes: dict[str, Any], answer: object) -> None:
    assert judge_intent(IntentBody.model_validate(an_intent(**changes))) == answer


def test_a_canceled_refund_is_a_no_and_an_unknown_state_is_not() -> None:
    assert judge_refund(RefundBody(id="re_1", status="canceled")) == RefundDeclined("canceled")
    assert isinstance(judge_refund(RefundBody(id="re_1", status="reversed")), Unclear)


def test_a_bill_has_payments_and_refunds_and_no_payouts() -> None:
    source = {"id": "re_1", "metadata": {"pay_id": "pay-1", "refund_no": "rfd-1"}}
    row = {"type": "refund", "amount": -300, "fee": 0, "currency": "cny", "created": SECONDS, "source": source}
    line = bill_line(BalanceBody.model_validate(row))
    assert line is not None
    assert (line.kind, line.reference, line.amount_minor, line.currency) == ("refund", "rfd-1", -300, "CNY")
    assert bill_line(BalanceBody.model_validate({**row, "type": "payout"})) is None


def answering(status: int, document: object, headers: dict[str, str] | None = None) -> StripeChannel:
    """A channel whose Stripe answers only this."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status, content=content, headers=headers))
    return StripeChannel.of(httpx2.AsyncClient(transport=transport), CONTRACT)


async def test_an_intent_is_created_once_per_pay_order_with_its_reference_in_key_and_metadata() -> None:
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200, json=an_intent(status="requires_payment_method"))

    channel = StripeChannel.of(httpx2.AsyncClient(transport=httpx2.MockTransport(answer)), CONTRACT)
    assert await channel.create(REQUEST, timeout_s=5) == Created(PayAction("token", token="pi_1_secret_2"), "pi_1")
    (request,) = sent
    assert (request.method, str(request.url)) == ("POST", "https://stripe.invalid/v1/payment_intents")
    assert request.headers["idempotency-key"] == "pay-1"
    assert b"amount=8800" in request.content
    assert b"metadata[pay_id]=pay-1" in request.content


@pytest.mark.parametrize(
    ("status", "kind", "answer"),
    [
        (402, "card_error", Declined),
        (400, "invalid_request_error", Declined),
        (400, "idempotency_error", Unclear),
        (401, "invalid_request_error", NotReachable),
        (403, "invalid_request_error", NotReachable),
        (409, "idempotency_error", Unclear),
        (429, "rate_limit_error", NotReachable),
        (500, "api_error", Unclear),
        (302, "api_error", Unclear),
    ],
)
async def test_an_error_is_a_no_only_where_stripe_says_so(status: int, kind: str, answer: type) -> None:
    channel = answering(status, {"error": {"type": kind, "code": "some_code", "message": "Sorry"}})
    assert isinstance(await channel.create(REQUEST, timeout_s=5), answer)


async def test_a_refund_that_the_charge_has_already_is_not_made_again_however_long_ago_its_key_was_used() -> None:
    asked: list[str] = []
    known = {
        "id": "re_1",
        "object": "refund",
        "status": "succeeded",
        "metadata": {"pay_id": "pay-1", "refund_no": "rfd-1"},
    }

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.method)
        if request.method == "GET":
            found = {"object": "list", "url": "/v1/refunds", "has_more": False, "data": [known]}
            return httpx2.Response(200, json=found)
        return httpx2.Response(200, json=known | {"id": "re_2", "metadata": {"pay_id": "pay-1", "refund_no": "rfd-2"}})

    channel = StripeChannel.of(httpx2.AsyncClient(transport=httpx2.MockTransport(answer)), CONTRACT)
    refund = RefundRequest("rfd-1", "pay-1", "ch_1", "pi_1", 300, 8_800, "CNY", "one ticket fewer", "")
    assert await channel.refund(refund, timeout_s=5) == RefundDone("re_1")
    assert asked == ["GET"]
    assert await channel.refund(replace(refund, refund_no="rfd-2"), timeout_s=5) == RefundDone("re_2")
    assert asked == ["GET", "GET", "POST"]


async def test_a_limit_of_our_rate_says_how_long_to_stay_away() -> None:
    answer = await answering(429, {}, {"Retry-After": "7"}).query("pay-1", "pi_1", timeout_s=5)
    assert isinstance(answer, NotReachable)
    assert answer.retry_after_s == 7


@pytest.mark.parametrize(
    "document",
    [b"", b"<html>", b"[]", b"5", b'{"error": 5}', b'{"error": []}', {}, {"id": "pi_1"}, an_intent(metadata={})],
)
@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_that_is_not_stripe_s_is_unclear(status: int, document: object) -> None:
    assert isinstance(await answering(status, document).query("pay-1", "pi_1", timeout_s=5), Unclear)
    assert isinstance(await answering(status, document).create(REQUEST, timeout_s=5), Unclear)


@given(document=JSON, status=st.sampled_from([200, 400, 402, 404]))
async def test_no_answer_makes_the_library_raise_what_we_do_not_know(document: object, status: int) -> None:
    assert not isinstance(await answering(status, document).query("pay-1", "pi_1", timeout_s=5), Paid)
