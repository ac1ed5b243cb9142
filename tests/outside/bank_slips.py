"""Somebody else's payment channel: a bank that prints slips. The payer hands one in at the counter and pays in cash."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime
from hashlib import sha256

import httpx2
from pydantic import BaseModel

from adapters.payments import (
    Acknowledgement,
    BillUnreadable,
    CallbackRefused,
    ChannelProtocol,
    Contract,
    PaymentRequest,
    RefundRequest,
)
from domain.channels import (
    BillLine,
    ChannelEvent,
    Charge,
    CreateAnswer,
    Created,
    NothingTold,
    NotKnown,
    NotReachable,
    Paid,
    PayAction,
    PaymentAnswer,
    PaymentTold,
    RefundAnswer,
    RefundDeclined,
    Unclear,
    Unpaid,
)


class BankCredentials(BaseModel):
    """`shared_key` signs what the bank tells us."""

    shared_key: str


class BankSlips:
    """A slip is a number that we make; the bank knows of it once somebody has paid. Cash is not given back."""

    acknowledgement = Acknowledgement(204, "")

    def __init__(self, client: httpx2.AsyncClient, contract: Contract) -> None:
        self._client = client
        self._base_url = contract["base_url"]
        self._key = BankCredentials.model_validate(contract["credentials"]).shared_key.encode()

    async def create(self, request: PaymentRequest, *, timeout_s: float) -> CreateAnswer:
        return Created(PayAction("none", fields={"slip": request.pay_id}))

    async def query(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        try:
            answer = await self._client.get(f"{self._base_url}/slips/{pay_id}", timeout=timeout_s)
            if answer.status_code == 404:
                return NotKnown()
            return _judged(answer.json()) if answer.status_code == 200 else Unclear(f"HTTP {answer.status_code}")
        except httpx2.ConnectError as unsent:
            return NotReachable(str(unsent))
        except (httpx2.HTTPError, ValueError, KeyError) as lost:
            return Unclear(type(lost).__name__)

    async def close(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        answer = await self.query(pay_id, channel_reference, timeout_s=timeout_s)
        return Unclear("the slip is being counted") if isinstance(answer, Unpaid) else answer

    async def refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        return RefundDeclined("cash_is_final")

    async def query_refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        return RefundDeclined("cash_is_final")

    def verify_callback(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ChannelEvent:
        signature = headers.get("x-bank-signature", "").encode()
        if not hmac.compare_digest(hmac.new(self._key, body, sha256).hexdigest().encode(), signature):
            raise CallbackRefused("it is not the bank's")
        try:
            document = json.loads(body)
            told, slip = _judged(document), str(document["slip"])
        except (ValueError, KeyError, TypeError) as unreadable:
            raise CallbackRefused("it is no slip") from unreadable
        if isinstance(told, Unclear):
            return NothingTold(slip)
        return PaymentTold(f"slip-{slip}", slip, told)

    async def download_bill(self, day: date, *, timeout_s: float) -> AsyncIterator[BillLine]:
        printed: tuple[BillLine, ...] = ()
        for line in printed:
            yield line
        raise BillUnreadable("the bank sends its bill by post")


def _judged(document: Mapping[str, object]) -> Paid | Unpaid | Unclear:
    match document:
        case {"state": "counting"}:
            return Unpaid()
        case {"state": "counted", "receipt": str(receipt), "fen": int(fen), "at": int(at)}:
            return Paid((Charge(receipt, fen, "CNY", datetime.fromtimestamp(at, UTC)),))
        case _:
            return Unclear("a slip in a state that we do not know")


PROTOCOL = ChannelProtocol("bank-slips", BankSlips, BankCredentials)
