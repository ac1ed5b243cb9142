"""Suppliers: their contracts, how they answer (calls, breaker), what they told us unasked (callbacks)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from domain.issuance import DeadlinePolicy
from domain.suppliers import BreakerState
from storage.columns import at, big, document, one_of

EMPTY = {"server_default": text("'{}'")}


class SupplierRow(SQLModel, table=True):
    """A supplier's contract: protocol and address, limits, and the terms of negotiation (seconds)."""

    __tablename__ = "suppliers"
    __table_args__ = (
        one_of("deadline_policy", DeadlinePolicy),
        CheckConstraint("growth >= 1", name="growth_at_least_one"),
        CheckConstraint("first_interval_s > 0 AND ceiling_s > 0 AND deadline_s > 0", name="times_positive"),
    )

    id: str = Field(primary_key=True)
    name: str
    protocol: str = "octo"
    protocol_settings: dict[str, Any] = document(default_factory=dict, sa_column_kwargs=EMPTY)
    base_url: str
    api_token: str
    callback_secret: str
    time_zone: str = "Asia/Shanghai"
    currency: str = "CNY"
    unique_references: bool = True
    consistency_window_s: float = 10.0
    first_interval_s: float = 1.0
    growth: float = 2.0
    ceiling_s: float = 300.0
    deadline_s: float = 1800.0
    deadline_policy: str = "escalate"
    lock_timeout_s: float = 3.0
    issue_timeout_s: float = 10.0
    lock_s: int = 900
    max_per_second: float = 50.0
    max_concurrent: int = 20
    active: bool = True
    created_at: datetime = at()


class SupplierCallRow(SQLModel, table=True):
    """One call and how it was answered: the raw material of the scorecard."""

    __tablename__ = "supplier_calls"
    __table_args__ = (Index("supplier_calls_latest", "supplier_id", "id"),)

    id: int = big(primary_key=True, default=None)
    supplier_id: str = Field(foreign_key="suppliers.id")
    operation: str
    reference: str
    answer: str
    detail: str = ""
    elapsed_ms: int
    at: datetime = at()


class SupplierBreakerRow(SQLModel, table=True):
    __tablename__ = "supplier_breakers"
    __table_args__ = (one_of("state", BreakerState),)

    supplier_id: str = Field(primary_key=True, foreign_key="suppliers.id")
    state: str = "closed"
    opened_at: datetime | None = at(default=None, nullable=True)
    probe_at: datetime | None = at(default=None, nullable=True)
    changed_by: str = "system"


class SupplierCallbackRow(SQLModel, table=True):
    """The inbox: written and acknowledged before anything is done with it, then handed over until that has worked."""

    __tablename__ = "supplier_callbacks"
    __table_args__ = (
        one_of("state", ("waiting", "handed_over", "unmatched")),
        Index("supplier_callbacks_waiting", "state", "received_at"),
    )

    supplier_id: str = Field(primary_key=True, foreign_key="suppliers.id")
    message_id: str = Field(primary_key=True)
    reference: str = Field(index=True)
    body: dict[str, Any] = document()
    state: str = "waiting"
    attempts: int = 0
    received_at: datetime = at()
    handed_over_at: datetime | None = at(default=None, nullable=True)
