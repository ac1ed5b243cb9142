"""Channels are found by their protocol's name: ours by themselves, others' by the setting `TESSERA_CHANNELS`."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from hashlib import sha256

import httpx2
import pytest

from adapters.payments import CallbackRefused, PaymentRequest
from adapters.payments.registry import NoSuchProtocol, Protocols
from domain.channels import Charge, Created, NotKnown, Paid, PaymentTold, Unclear
from settings import Settings

OUTSIDE = "tests.outside.bank_slips:PROTOCOL"
NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)
COUNTED = {"slip": "pay-1", "state": "counted", "receipt": "R7", "fen": 8_800, "at": int(NOW.timestamp())}


def test_our_own_protocols_are_there_without_being_named() -> None:
    assert {"stripe", "alipay"} <= set(Protocols())
    assert "bank-slips" not in Protocols()


def test_the_setting_names_the_places_of_others() -> None:
    settings = Settings(channels=f" {OUTSIDE}, ,somebody.else:CHANNEL")
    assert settings.channel_places == (OUTSIDE, "somebody.else:CHANNEL")
    assert Settings().channel_places == ()


@pytest.mark.parametrize("place", ["tests.outside.nowhere:PROTOCOL", "tests.outside.bank_slips:BankSlips"])
def test_a_place_without_a_protocol_is_refused_by_its_name(place: str) -> None:
    with pytest.raises(NoSuchProtocol, match="is no channel protocol"):
        Protocols().load((place,))


async def test_a_channel_of_another_package_serves_the_one_interface_from_its_one_file() -> None:
    protocols = Protocols()
    protocols.load((OUTSIDE,))
    transport = httpx2.MockTransport(
        lambda asked: httpx2.Response(200, json=COUNTED) if asked.url.path == "/slips/pay-1" else httpx2.Response(404)
    )
    contract = {"base_url": "https://bank.invalid", "credentials": {"shared_key": "k"}}
    channel = protocols["bank-slips"].connect(httpx2.AsyncClient(transport=transport), contract)

    request = PaymentRequest("pay-1", 8_800, "CNY", "Two tickets", "https://us.invalid/told", "", NOW)
    created = await channel.create(request, timeout_s=5)
    assert isinstance(created, Created)
    assert created.action.fields == {"slip": "pay-1"}
    paid = Paid((Charge("R7", 8_800, "CNY", NOW),))
    assert await channel.query("pay-1", "", timeout_s=5) == paid
    assert await channel.query("pay-2", "", timeout_s=5) == NotKnown()
    assert await channel.close("pay-1", "", timeout_s=5) == paid

    body = json.dumps(COUNTED).encode()
    signature = {"x-bank-signature": hmac.new(b"k", body, sha256).hexdigest()}
    assert channel.verify_callback(body, signature, NOW) == PaymentTold("slip-pay-1", "pay-1", paid)
    with pytest.raises(CallbackRefused):
        channel.verify_callback(body.replace(b"8800", b"1"), signature, NOW)


async def test_such_a_channel_that_answers_something_else_is_unclear() -> None:
    protocols = Protocols()
    protocols.load((OUTSIDE,))
    odd = httpx2.MockTransport(lambda asked: httpx2.Response(200, json={"state": "burnt"}))
    contract = {"base_url": "https://bank.invalid", "credentials": {"shared_key": "k"}}
    channel = protocols["bank-slips"].connect(httpx2.AsyncClient(transport=odd), contract)
    assert isinstance(await channel.query("pay-1", "", timeout_s=5), Unclear)
