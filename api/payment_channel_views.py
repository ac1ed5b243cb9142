"""Shapes of payment channels: contracts without their secrets, and what a shopper sees of one."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from api.account_views import TimeZone
from api.supplier_views import Seconds
from api.views import MAX_MINOR, Currency, Flag, Id, Input, Instant, Name, View
from storage.payments import PaymentChannelRow

Bound = Annotated[int, Field(ge=1, le=MAX_MINOR, strict=True)]


class ChannelInput(Input):
    """A contract with a payment channel, whole. Times are seconds, amounts minor units; secrets are never shown again.

    `credentials`: as the protocol says; left out, those of before stay. `alarm_s`: how long an answer may be unknown
    before a person is told.
    """

    name: Name = Field(examples=["Meridian Pay"])
    protocol: Annotated[str, Field(pattern=r"^[a-z0-9_\-]{1,40}$", examples=["direct"])]
    base_url: str = Field(pattern=r"^https?://[^\s]+$", max_length=2000, examples=["https://pay.example/v1"])
    credentials: dict[str, Any] | None = None
    currency: Currency = "CNY"
    time_zone: TimeZone = "Asia/Shanghai"
    kinds: Annotated[list[Id], Field(max_length=100)] = Field([], description="What it may pay for; empty: everything.")
    min_minor: Bound = 1
    max_minor: Bound = 100_000_000
    fee_bp: Annotated[int, Field(ge=0, le=10_000, strict=True)] = Field(0, description="Hundredths of a percent.")
    first_interval_s: Seconds = 2.0
    growth: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False, strict=True)] = 1.7
    ceiling_s: Seconds = 300.0
    pay_s: Annotated[int, Field(ge=10, le=86_400, strict=True)] = Field(900, description="How long a buyer may pay.")
    alarm_s: Annotated[int, Field(ge=1, le=86_400, strict=True)] = 300
    call_timeout_s: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False, strict=True)] = 8.0
    max_per_second: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, strict=True)] = 50.0
    max_concurrent: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 20
    active: Flag = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first_interval_s > self.ceiling_s:
            raise ValueError("first_interval_s is above ceiling_s")
        if self.min_minor > self.max_minor:
            raise ValueError("min_minor is above max_minor")
        return self


class ChannelView(View):
    """A payment channel as a buyer chooses it: it takes amounts within bounds, for these kinds (empty: all)."""

    id: str
    name: str
    currency: str
    kinds: list[str]
    min_minor: int
    max_minor: int

    @classmethod
    def of(cls, row: PaymentChannelRow) -> Self:
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class ChannelContractView(ChannelView):
    """The whole contract, without its secrets; for operators."""

    protocol: str
    base_url: str
    time_zone: str
    fee_bp: int
    first_interval_s: float
    growth: float
    ceiling_s: float
    pay_s: int
    alarm_s: int
    call_timeout_s: float
    max_per_second: float
    max_concurrent: int
    active: bool
    created_at: Instant


class ChannelsView(View):
    """All that the caller may see: there are a few."""

    data: list[ChannelContractView | ChannelView]


def tag_of(row: PaymentChannelRow, secret: str) -> str:
    """The contract's `ETag`. It changes with its secrets too, and tells nothing of them."""
    text = json.dumps(row.model_dump(mode="json"), sort_keys=True)
    return f'"{hmac.digest(secret.encode(), text.encode(), hashlib.sha256).hex()[:32]}"'
