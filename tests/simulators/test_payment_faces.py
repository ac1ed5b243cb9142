"""The simulator's Stripe and Alipay: what they refuse as the real ones do, and when they stop calling back."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import simulators.payment
from simulators.payment.serving import serving
from tests.simulators.outside import Controlled


@dataclass(frozen=True)
class Stripe(Controlled):
    async def call(self, method: str, path: str, key: str = "k1", token: str = "", **form: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token or self.name + '-token'}", "Idempotency-Key": key}
        given: dict[str, Any] = {"params": form} if method == "GET" else {"data": form}
        return await self.client.request(method, f"{self.url}/{self.name}/v1/{path}", headers=headers, **given)


@dataclass(frozen=True)
class Alipay(Controlled):
    async def call(self, method: str, http: str = "POST", app_id: str = "", **content: Any) -> httpx2.Response:
        fields = {
            "app_id": app_id or f"{self.name}-token",
            "method": method,
            "sign_type": "RSA2",
            "biz_content": json.dumps(content),
        }
        signed = fields | {"sign": _signature("&".join(f"{name}={fields[name]}" for name in sorted(fields)))}
        return await self.send(signed, http)

    async def send(self, fields: dict[str, str], http: str = "POST") -> httpx2.Response:
        address = f"{self.url}/{self.name}/gateway.do"
        if http == "GET":
            return await self.client.get(f"{address}?{urlencode(fields)}")
        return await self.client.post(address, data=fields)


def _signature(text: str) -> str:
    pem = Path(simulators.payment.__file__).parent / "alipay_development_app_private.pem"
    key = load_pem_private_key(pem.read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("faces")) as base_url:
        yield base_url


@pytest.fixture
async def stripe(url: str) -> AsyncIterator[Stripe]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        name = f"s{uuid4().hex[:12]}"
        await client.put(f"{url}/control/{name}", json={"like": "stripe"})
        yield Stripe(client, url, name)


@pytest.fixture
async def alipay(url: str) -> AsyncIterator[Alipay]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        name = f"a{uuid4().hex[:12]}"
        await client.put(f"{url}/control/{name}", json={"like": "alipay"})
        yield Alipay(client, url, name)


async def test_both_are_open_from_the_start(url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{url}/stripe/v1/payment_intents/none")).status_code == 404
        assert (await client.post(f"{url}/alipay/gateway.do")).is_success


async def test_stripe_lets_nobody_in_without_its_key(stripe: Stripe) -> None:
    answer = await stripe.call("POST", "payment_intents", token="other", amount=100, currency="cny")
    assert answer.status_code == 401
    assert (await stripe.control("GET", "/truth"))["payments"] == []


async def test_stripe_s_key_is_for_one_intent_and_not_for_another_amount(stripe: Stripe) -> None:
    first = await stripe.call("POST", "payment_intents", amount=100, currency="cny")
    again = await stripe.call("POST", "payment_intents", amount=100, currency="cny")
    other = await stripe.call("POST", "payment_intents", amount=101, currency="cny")
    assert again.json() == first.json()
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")


@pytest.mark.parametrize("form", [{}, {"amount": "-1"}, {"amount": "1.5"}, {"amount": "\u0661"}, {"amount": "9" * 40}])
async def test_stripe_wants_a_whole_amount(stripe: Stripe, form: dict[str, str]) -> None:
    assert (await stripe.call("POST", "payment_intents", currency="cny", **form)).status_code == 400
    assert (await stripe.call("POST", "refunds", charge="ch_1", **form)).status_code == 400


async def test_stripe_cancels_once_and_shows_charges_only_where_they_are_asked_for(stripe: Stripe) -> None:
    intent = (await stripe.call("POST", "payment_intents", amount=100, currency="cny")).json()["id"]
    await stripe.control("POST", "/pay/k1", {})
    plain = (await stripe.call("GET", f"payment_intents/{intent}")).json()
    full = (await stripe.call("GET", f"payment_intents/{intent}", **{"expand[0]": "latest_charge"})).json()
    assert full["latest_charge"]["id"] == plain["latest_charge"]
    late = await stripe.call("POST", f"payment_intents/{intent}/cancel")
    assert (late.status_code, late.json()["error"]["code"]) == (400, "payment_intent_unexpected_state")


async def test_stripe_knows_nothing_of_another_account_s_objects(stripe: Stripe, url: str) -> None:
    intent = (await stripe.call("POST", "payment_intents", amount=100, currency="cny")).json()["id"]
    other = Stripe(stripe.client, url, "stripe")
    assert (await other.call("GET", f"payment_intents/{intent}")).status_code == 404
    assert (await stripe.call("GET", "refunds", charge="chg_none")).status_code == 404
    assert (await stripe.call("GET", "payment_intents/search", query="amount>5")).status_code == 400
    assert (await stripe.call("GET", "balance_transactions")).status_code == 400


async def test_alipay_signs_nothing_for_whom_it_does_not_know(alipay: Alipay) -> None:
    for answer in (
        await alipay.call("alipay.trade.query", app_id="another", out_trade_no="pay-1"),
        await alipay.call("alipay.trade.destroy", out_trade_no="pay-1"),
        await alipay.send({"app_id": f"{alipay.name}-token", "method": "alipay.trade.query", "sign": "AAAA"}),
    ):
        assert list(answer.json()) == ["error_response"]


async def test_alipay_s_page_begins_a_trade_for_one_amount_and_not_after_its_time(alipay: Alipay) -> None:
    asked: dict[str, Any] = {"out_trade_no": "pay-1", "total_amount": "88.05", "subject": "Tickets"}
    opened = await alipay.call("alipay.trade.page.pay", "GET", **asked)
    assert opened.status_code == 302
    page = await alipay.client.get(opened.headers["location"])
    assert "8,805 CNY" in page.text
    assert (await alipay.call("alipay.trade.page.pay", "GET", **asked | {"total_amount": "1"})).status_code == 409
    past = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d %H:%M:%S")
    late = asked | {"out_trade_no": "pay-2", "time_expire": past}
    assert (await alipay.call("alipay.trade.page.pay", "GET", **late)).status_code == 409


@pytest.mark.parametrize("wrong", [{"refund_amount": "1.005"}, {"refund_amount": "-1"}, {"bill_date": "yesterday"}])
async def test_alipay_signs_that_a_parameter_is_invalid(alipay: Alipay, wrong: dict[str, str]) -> None:
    answer = (await alipay.call("alipay.trade.refund", **wrong)).json()
    assert answer["alipay_trade_refund_response"]["sub_code"] == "isv.invalid-parameter"
    assert answer["sign"]


@pytest.mark.parametrize(("word", "times"), [(b"ok", 2), (b"success", 1)])
async def test_alipay_calls_back_until_it_reads_its_word(alipay: Alipay, word: bytes, times: int) -> None:
    await alipay.call("alipay.trade.page.pay", "GET", out_trade_no="pay-1", total_amount="1.00", subject="Tickets")
    async with alipay.calling_back(word=word) as receiver:
        await alipay.control("POST", "/pay/pay-1", {})
        await receiver.wait_for(times)
        await asyncio.sleep(0.5)
        assert (len(receiver.taken) > 1) == (times > 1)
    told = {dict(parse_qsl(body.decode()))["notify_id"] for body, _ in receiver.taken}
    assert len(told) == 1


async def test_what_can_be_charged_once_is_never_charged_twice(stripe: Stripe, alipay: Alipay) -> None:
    await stripe.call("POST", "payment_intents", amount=100, currency="cny")
    await alipay.call("alipay.trade.page.pay", "GET", out_trade_no="k1", total_amount="1.00", subject="Tickets")
    for channel in (stripe, alipay):
        address = f"{channel.url}/control/{channel.name}/pay/k1"
        assert (await channel.client.post(address, json={"times": 2})).status_code == 422
        assert (await channel.client.post(address, json={})).is_success
        assert (await channel.client.post(address, json={"anyway": True})).status_code == 422
        assert (await channel.control("GET", "/truth"))["totals"]["CNY"]["charges"] == 1


async def test_money_on_its_way_counts_as_charged_where_it_is_charged_once(stripe: Stripe) -> None:
    await stripe.call("POST", "payment_intents", amount=100, currency="cny")
    await stripe.control("POST", "/next", {"operation": "pay", "kind": "pay_late", "reference": "k1"})
    address = f"{stripe.url}/control/{stripe.name}/pay/k1"
    assert (await stripe.client.post(address, json={})).is_success
    assert (await stripe.client.post(address, json={})).status_code == 422
    async with asyncio.timeout(5):
        while not (totals := (await stripe.control("GET", "/truth"))["totals"]):
            await asyncio.sleep(0.05)
    assert totals["CNY"]["charges"] == 1
