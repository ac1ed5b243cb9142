"""Shapes of suppliers: contracts without their secrets, scorecards, breakers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from api.account_views import TimeZone
from api.views import Currency, Flag, Id, Input, Instant, Name, View
from domain.issuance import DeadlinePolicy
from domain.suppliers import Breaker, BreakerState
from storage.scorecard import Scorecard
from storage.supplier_contracts import SECRETS
from storage.suppliers import SupplierRow

Seconds = Annotated[float, Field(gt=0, le=86_400 * 30, allow_inf_nan=False, strict=True)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=500)]


class SupplierCreate(Input):
    """A supplier's contract. Times are seconds; the secrets are never shown again."""

    id: Id = Field(examples=["northgate"])
    name: Name = Field(examples=["Northgate Museums"])
    protocol: Literal["octo", "mapped", "parcel"] = "octo"
    protocol_settings: dict[str, Any] = Field(
        {},
        description="What the protocol leaves to be set: for `mapped` how the supplier is spoken to and what its "
        "answers mean (docs/adding-a-supplier.md), for the others nothing. No secrets: the secret is `api_token`.",
    )
    base_url: str = Field(pattern=r"^https?://[^\s]+$", max_length=2000, examples=["https://supplier.example/octo"])
    api_token: Secret
    callback_secret: Secret
    time_zone: TimeZone = "Asia/Shanghai"
    currency: Currency = "CNY"
    unique_references: Flag = Field(True, description="One reference never makes two bookings there.")
    consistency_window_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False, strict=True)] = 10.0
    first_interval_s: Seconds = 1.0
    growth: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False, strict=True)] = 2.0
    ceiling_s: Seconds = 300.0
    deadline_s: Seconds = 1800.0
    deadline_policy: DeadlinePolicy = DeadlinePolicy.ESCALATE
    lock_timeout_s: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False, strict=True)] = 3.0
    issue_timeout_s: Annotated[float, Field(gt=0, le=120, allow_inf_nan=False, strict=True)] = 10.0
    lock_s: Annotated[int, Field(ge=1, le=86_400, strict=True)] = 900
    max_per_second: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, strict=True)] = 50.0
    max_concurrent: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 20
    active: Flag = True

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first_interval_s > self.ceiling_s:
            raise ValueError("first_interval_s is above ceiling_s")
        return self

    def contract(self) -> dict[str, Any]:
        """The terms as the row has them."""
        terms = self.model_dump(exclude={"id"})
        return {
            **terms,
            **{name: terms[name].get_secret_value() for name in SECRETS},
            "deadline_policy": str(self.deadline_policy),
        }


class SupplierEdit(Input):
    """What is given is set, the rest stays. Protocol, currency and time zone are for good: bookings rest on them."""

    name: Name | None = None
    protocol_settings: dict[str, Any] | None = Field(None, description="Replaces them as a whole.")
    base_url: str | None = Field(None, pattern=r"^https?://[^\s]+$", max_length=2000)
    api_token: Secret | None = None
    callback_secret: Secret | None = None
    unique_references: Flag | None = None
    consistency_window_s: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False, strict=True)] | None = None
    first_interval_s: Seconds | None = None
    growth: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False, strict=True)] | None = None
    ceiling_s: Seconds | None = Field(None, examples=[60.0])
    deadline_s: Seconds | None = None
    deadline_policy: DeadlinePolicy | None = None
    lock_timeout_s: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False, strict=True)] | None = None
    issue_timeout_s: Annotated[float, Field(gt=0, le=120, allow_inf_nan=False, strict=True)] | None = None
    lock_s: Annotated[int, Field(ge=1, le=86_400, strict=True)] | None = None
    max_per_second: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False, strict=True)] | None = None
    max_concurrent: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    active: Flag | None = None

    def contract(self) -> dict[str, Any]:
        """The terms that are given, as the row has them."""
        given = self.model_dump(exclude_none=True)
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in given.items()
        }


class SupplierView(View):
    """A contract, without token and secret."""

    id: str
    name: str
    protocol: str
    protocol_settings: dict[str, Any]
    base_url: str
    time_zone: str
    currency: str
    unique_references: bool
    consistency_window_s: float
    first_interval_s: float
    growth: float
    ceiling_s: float
    deadline_s: float
    deadline_policy: DeadlinePolicy
    lock_timeout_s: float
    issue_timeout_s: float
    lock_s: int
    max_per_second: float
    max_concurrent: int
    active: bool
    created_at: Instant

    @classmethod
    def of(cls, row: SupplierRow) -> SupplierView:
        return cls(**{name: getattr(row, name) for name in cls.model_fields})


class SuppliersView(View):
    """All suppliers: there are tens of them."""

    data: list[SupplierView]


class ScorecardView(View):
    """How a supplier has answered since `since`; null where there is nothing to count."""

    supplier_id: str
    since: Instant
    calls: int
    answer_median_ms: int | None
    answer_p95_ms: int | None
    unknown: int
    unknown_share: float
    refusals: int
    refusal_share: float
    contradictions: int
    decided: int = Field(description="Bookings whose outcome became certain.")
    certainty_median_s: float | None = Field(description="From when an issue may have been sent until it was known.")
    certainty_p95_s: float | None

    @classmethod
    def of(cls, supplier_id: str, since: datetime, card: Scorecard) -> ScorecardView:
        counted = {name: getattr(card, name) for name in cls.model_fields if name not in ("supplier_id", "since")}
        return cls(supplier_id=supplier_id, since=since, **counted)


class BreakerInput(Input):
    """An operator's word: `forced_*` lasts until `closed` gives the breaker back to the scorecard."""

    state: Literal[BreakerState.CLOSED, BreakerState.FORCED_OPEN, BreakerState.FORCED_CLOSED]
    reason: Name = Field(examples=["supplier announced maintenance"])


class BreakerView(View):
    """The breaker as it stands."""

    supplier_id: str
    state: BreakerState
    opened_at: Instant | None
    probe_at: Instant | None
    changed_by: str

    @classmethod
    def of(cls, supplier_id: str, breaker: Breaker, changed_by: str) -> BreakerView:
        return cls(
            supplier_id=supplier_id,
            state=breaker.state,
            opened_at=breaker.opened_at,
            probe_at=breaker.probe_at,
            changed_by=changed_by,
        )


class SyncView(View):
    """A sync that runs, or how the latest one ended."""

    supplier_id: str
    workflow_id: str
    state: Literal["running", "completed", "failed"]
    report: dict[str, Any] | None = None
