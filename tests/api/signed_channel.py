"""A payment channel for tests of the API: JSON callbacks signed by HMAC-SHA256, and no calls at all."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Any

import httpx2
from pydantic import BaseModel, ConfigDict

from adapters.payments import (
    Acknowledgement,
    CallbackRefused,
    ChannelProtocol,
    Contract,
    PaymentRequest,
    RefundRequest,
)
from api.payment_handover import EVENTS
from domain.channels import BillLine, ChannelEvent, CreateAnswer, PaymentAnswer, RefundAnswer

SIGNATURE = "x-signature"


class Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid")

    secret: str


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The headers of a genuine callback."""
    return {SIGNATURE: hmac.digest(secret.encode(), body, hashlib.sha256).hex()}


class SignedChannel:
    """Its callbacks are events of ours in JSON. The API calls no channel, only workers do: whoever calls this one is
    wrong, and its calls say so by NotImplementedError."""

    acknowledgement = Acknowledgement(200, "got it")

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def verify_callback(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ChannelEvent:
        if not hmac.compare_digest(headers.get(SIGNATURE, "").encode(), signed(body, self._secret)[SIGNATURE].encode()):
            raise CallbackRefused("the signature does not verify")
        try:
            return EVENTS.validate_python(json.loads(body))
        except (ValueError, RecursionError) as unreadable:
            raise CallbackRefused("unreadable") from unreadable

    async def create(self, request: PaymentRequest, *, timeout_s: float) -> CreateAnswer:
        raise NotImplementedError

    async def query(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        raise NotImplementedError

    async def close(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        raise NotImplementedError

    async def refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        raise NotImplementedError

    async def query_refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        raise NotImplementedError

    def download_bill(self, day: date, *, timeout_s: float) -> AsyncIterator[BillLine]:
        raise NotImplementedError


def connect(client: httpx2.AsyncClient, contract: Contract) -> SignedChannel:
    credentials: Mapping[str, Any] = contract["credentials"]
    return SignedChannel(credentials["secret"])


PROTOCOL = ChannelProtocol("signed", connect, Credentials)
