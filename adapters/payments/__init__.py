"""What every payment channel looks like from inside: the one interface that each channel's adapter serves.

A new channel is one file: a module of `adapters/payments/` with a `PROTOCOL`, found by `registry.py`; or one anywhere
else, named by the setting `TESSERA_CHANNELS`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

import httpx2
from pydantic import BaseModel

from domain.channels import BillLine, ChannelEvent, CreateAnswer, PaymentAnswer, RefundAnswer


class CallbackRefused(Exception):
    """The callback is not provably the channel's, is too old, or is not what its protocol sends. Answered 401."""


class BillUnreadable(Exception):
    """The bill could not be read to its end: nothing may be concluded from what is missing."""


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What is to be paid, in minor units. `pay_id` is our reference and the idempotency key; `notify_url` is where the
    channel tells us, `return_url` where the payer goes afterwards; it may be paid until `expires_at`."""

    pay_id: str
    amount_minor: int
    currency: str
    subject: str
    notify_url: str
    return_url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """What is to be given back, in minor units of the payment's currency. `refund_no` is the idempotency key.

    `payment_id`: the channel's name of the charge that it comes from; `paid_minor`: all of that charge;
    `channel_reference`: what the channel called the pay order when it was created.
    """

    refund_no: str
    pay_id: str
    payment_id: str
    channel_reference: str
    amount_minor: int
    paid_minor: int
    currency: str
    reason: str
    notify_url: str


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The channel's success word: what makes it stop repeating a callback."""

    status: int
    text: str
    media_type: str = "text/plain"


class PaymentChannel(Protocol):
    """One channel, spoken to in its own protocol. Every method maps all answers; none raises but as it says here.

    Time-outs are seconds for the whole call. `channel_reference`: what `create` answered ("" where that was lost).
    """

    acknowledgement: Acknowledgement

    async def create(self, request: PaymentRequest, *, timeout_s: float) -> CreateAnswer:
        """Let the payer pay. Repeated with the same `pay_id` it makes no second pay order."""
        ...

    async def query(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        """What became of it. Changes nothing."""
        ...

    async def close(self, pay_id: str, channel_reference: str, *, timeout_s: float) -> PaymentAnswer:
        """Let nobody pay it any more. `Paid`: too late, somebody has. `NotKnown`: there was nothing to close."""
        ...

    async def refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        """Give money back. Repeated with the same `refund_no` it gives nothing back twice."""
        ...

    async def query_refund(self, request: RefundRequest, *, timeout_s: float) -> RefundAnswer:
        """What became of a refund. Changes nothing."""
        ...

    def verify_callback(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ChannelEvent:
        """What a callback says, once the signature over its raw bytes is proved. Raises CallbackRefused, only that."""
        ...

    def download_bill(self, day: date, *, timeout_s: float) -> AsyncIterator[BillLine]:
        """The channel's own account of a day (in its contract's time zone), streamed. Raises BillUnreadable."""
        ...


Contract = Mapping[str, Any]
"""A row of `payment_channels`: `id`, `base_url`, `credentials` (as the protocol's own model says), `currency`, …"""


@dataclass(frozen=True, slots=True)
class ChannelProtocol:
    """How one kind of channel is spoken to. `connect`: (client, contract) -> channel. `credentials`: the shape of the
    contract's secrets, validated before they are stored."""

    name: str
    connect: Callable[[httpx2.AsyncClient, Contract], PaymentChannel]
    credentials: type[BaseModel]
