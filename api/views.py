"""Shapes that all capabilities share: money, times, order numbers, bounded texts, and the models they stand in."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from domain.money import Money

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}", re.ASCII)

MAX_MINOR = 10**15
"""More than any price, limit or sum of one request; far inside 64 bits, so that sums of them are too."""


def _printable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("may not contain the character U+0000")
    return text


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside the calendar") from error


def _rfc3339(value: object) -> object:
    """Numbers, and texts of numbers, would be taken for seconds since 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC3339.match(value)):
        return value
    raise ValueError("is no time as in RFC 3339, such as 2026-05-01T08:00:00Z")


def _order_no(value: object) -> object:
    """19 digits or fewer as a string: JSON's numbers lose the last ones in many clients."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and 0 < int(value[:20]) < 2**63:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("is no order number")


Text = Annotated[str, StringConstraints(min_length=1, max_length=2000), AfterValidator(_printable)]
"""A bounded text that PostgreSQL can hold."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
"""A short text, such as a name or a title."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:\-]{0,63}$")]
"""An opaque id."""

CouponCode = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9\-]{4,40}$"), AfterValidator(str.upper), Field(examples=["SUMMER-2026"])
]
"""A coupon's code; small letters mean the capital ones."""

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["CNY"])]
"""ISO 4217."""

Flag = Annotated[bool, Field(strict=True)]
"""A truth value of a body: neither 0 nor "yes"."""

Minor = Annotated[int, Field(ge=0, le=MAX_MINOR, strict=True, examples=[12345])]
"""An amount of minor units, not negative."""

Instant = Annotated[
    AwareDatetime, BeforeValidator(_rfc3339), AfterValidator(_utc), Field(examples=["2026-05-01T08:00:00Z"])
]
"""RFC 3339; any offset comes in, UTC goes out."""

OrderNo = Annotated[
    int,
    BeforeValidator(_order_no),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,19}$", "examples": ["1234567890123456789"]}),
]
"""An order number: a 63-bit integer inside, a string of digits in JSON."""


class Input(BaseModel):
    """What comes in: unknown fields are refused, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class View(BaseModel):
    """What goes out."""

    model_config = ConfigDict(frozen=True)


class MoneyView(BaseModel):
    """An amount in minor units (cents, fen) with its currency. In answers it may be negative."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount_minor: int = Field(ge=-(2**63), lt=2**63, strict=True, examples=[12345])
    currency: Currency

    @classmethod
    def of(cls, money: Money) -> MoneyView:
        """The domain's value as it is shown."""
        return cls(amount_minor=money.amount_minor, currency=money.currency)

    def money(self) -> Money:
        """The domain's value."""
        return Money(self.amount_minor, self.currency)


class MoneyInput(MoneyView):
    """An amount that a caller names: not negative, and bounded."""

    amount_minor: int = Field(ge=0, le=MAX_MINOR, strict=True, examples=[12345])
