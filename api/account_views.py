"""Shapes of accounts: what comes in becomes a row, what a row shows goes out."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from api.keys import MintedKey
from api.views import Currency, Id, Input, Instant, Minor, MoneyInput, MoneyView, Name, View
from domain.access import (
    DISTRIBUTOR_DEFAULTS,
    GRANTABLE,
    Action,
    CreditLineStale,
    NotGrantable,
    PrincipalKind,
    ResourceKind,
    Role,
)
from domain.money import CurrencyMismatch
from storage.accounts import ApiKeyRow, DistributorRow, GrantRow, OperatorRow, Row

_TAG = re.compile(r'"limit-(\d{1,18})"', re.ASCII)


@cache
def _zones() -> frozenset[str]:
    """Read from disk once: the set changes with the machine's time zone package, not while we run."""
    return frozenset(available_timezones())


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("is no IANA time zone, such as Asia/Shanghai")
    return name


TimeZone = Annotated[str, Field(max_length=64, examples=["Asia/Shanghai"]), AfterValidator(_known_zone)]


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(8)}"


def tag_of(row: Row) -> str:
    """The ETag of a credit line: its limit, which is what people edit."""
    return f'"limit-{row["limit_minor"]}"'


def limit_of(if_match: str | None) -> int | None:
    """The limit that an `If-Match` expects; None for any. Raises CreditLineStale for a tag that is none of ours."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = _TAG.fullmatch(if_match.strip())
    if match is None:
        raise CreditLineStale
    return int(match.group(1))


class CreditLineView(View):
    """available = limit + prepaid - outstanding - held."""

    limit: MoneyView
    prepaid: MoneyView
    outstanding: MoneyView
    held: MoneyView
    available: MoneyView

    @classmethod
    def of(cls, row: Row) -> CreditLineView:
        """From a row of storage.accounts.distributor."""

        def money(amount_minor: int) -> MoneyView:
            return MoneyView(amount_minor=amount_minor, currency=row["currency"])

        limit, prepaid = row["limit_minor"], row["prepaid_minor"]
        outstanding, held = row["outstanding_minor"], row["held_minor"]
        return cls(
            limit=money(limit),
            prepaid=money(prepaid),
            outstanding=money(outstanding),
            held=money(held),
            available=money(limit + prepaid - outstanding - held),
        )


class CreditLineChange(Input):
    """The new limit, in the distributor's currency."""

    limit: MoneyInput

    def check(self, currency: str) -> None:
        """Raises CurrencyMismatch."""
        if self.limit.currency != currency:
            raise CurrencyMismatch(currency, self.limit.currency)


class DistributorCreate(Input):
    """A new reseller. Without an `id` one is made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "Acme Tickets", "currency": "CNY", "time_zone": "Asia/Shanghai", "credit_limit_minor": 5000000}
            ]
        }
    )

    id: Id | None = None
    name: Name
    currency: Currency
    time_zone: TimeZone
    channel: Id = "default"
    credit_limit_minor: Minor = 0
    prepaid_minor: Minor = 0

    def row(self, now: datetime) -> DistributorRow:
        """The row to be stored."""
        return DistributorRow(
            id=self.id or _new_id("dst"),
            name=self.name,
            channel=self.channel,
            currency=self.currency,
            time_zone=self.time_zone,
            created_at=now,
        )


class DistributorView(View):
    """A reseller with its credit line."""

    id: str
    name: str
    status: str
    channel: str
    currency: str
    time_zone: str
    created_at: Instant
    credit_line: CreditLineView

    @classmethod
    def of(cls, row: Row) -> DistributorView:
        """From a row of storage.accounts.distributor."""
        own = {name: row[name] for name in cls.model_fields if name != "credit_line"}
        return cls(**own, credit_line=CreditLineView.of(row))


class OperatorCreate(Input):
    """A new operator. Without an `id` one is made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ada", "role": "operations"}]})

    id: Id | None = None
    name: Name
    role: Role

    def row(self, now: datetime) -> OperatorRow:
        """The row to be stored."""
        return OperatorRow(id=self.id or _new_id("opr"), name=self.name, role=self.role, created_at=now)


class OperatorView(View):
    """A person who steers."""

    id: str
    name: str
    role: Role
    status: str
    created_at: Instant

    @classmethod
    def of(cls, row: dict[str, Any]) -> OperatorView:
        """From the row's columns."""
        return cls(**row)


class KeyCreate(Input):
    """How long the key lives."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"days": 90}]})

    days: Annotated[int, Field(ge=1, le=366, strict=True, examples=[90])] = 90

    def row(self, owner: tuple[PrincipalKind, str], minted: MintedKey, now: datetime) -> ApiKeyRow:
        """The row to be stored, which does not know the secret."""
        return ApiKeyRow(
            id=minted.id,
            principal_kind=owner[0],
            principal_id=owner[1],
            secret_hmac=minted.secret_hmac,
            created_at=now,
            expires_at=now + timedelta(days=self.days),
        )


class KeyView(View):
    """A key without its secret."""

    id: str
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None

    @classmethod
    def of(cls, row: Row) -> KeyView:
        """From a row of storage.accounts.keys_of."""
        return cls(**row)


class NewKeyView(KeyView):
    """A key as it is shown once. `key` is null in every later answer: revoke it and make another if it is lost."""

    key: str | None = Field(examples=["tsr_live_0f3a9c1d2b4e5f60_..."])


class KeysView(View):
    """A principal's keys: two active ones, and those before them."""

    data: list[KeyView]


class GrantCreate(Input):
    """From when (now, if not said), until when (for good, if not said)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"action": "order:create", "resource_kind": "supplier", "resource_id": "sup_rail"}]
        }
    )

    action: Action
    resource_kind: ResourceKind = ResourceKind.ALL
    resource_id: Id | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None

    @model_validator(mode="after")
    def _coherent(self) -> GrantCreate:
        if (self.resource_id is None) is not (self.resource_kind is ResourceKind.ALL):
            raise ValueError("resource_id names the one resource, and is left out for all")
        if self.valid_from and self.valid_to and self.valid_to <= self.valid_from:
            raise ValueError("valid_to has to be after valid_from")
        return self

    def row(self, distributor_id: str, now: datetime) -> GrantRow:
        """The row to be stored. Raises NotGrantable."""
        if self.action not in GRANTABLE:
            raise NotGrantable(self.action)
        return GrantRow(
            id=_new_id("grt"),
            principal_id=distributor_id,
            action=self.action,
            resource_kind=self.resource_kind,
            resource_id=self.resource_id or "",
            valid_from=self.valid_from or now,
            valid_to=self.valid_to,
        )


class GrantView(View):
    """Leave to do one action."""

    id: str
    action: str
    resource_kind: ResourceKind
    resource_id: str
    valid_from: Instant
    valid_to: Instant | None

    @classmethod
    def of(cls, row: Row) -> GrantView:
        """From the row's columns."""
        return cls(**{name: row[name] for name in cls.model_fields})


class MeView(View):
    """The caller."""

    kind: PrincipalKind
    id: str
    role: Role | None
    actions: list[Action]
    credit_line: CreditLineView | None


def first_grants(distributor_id: str, now: datetime) -> list[GrantRow]:
    """What a new distributor may do over everything."""
    return [
        GrantRow(id=_new_id("grt"), principal_id=distributor_id, action=action, valid_from=now)
        for action in sorted(DISTRIBUTOR_DEFAULTS)
    ]
