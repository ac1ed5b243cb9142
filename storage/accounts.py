"""Who may come in: distributors with their credit line, operators, bearer keys, roles and grants."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from storage.columns import at, big, one_of


class DistributorRow(SQLModel, table=True):
    """A downstream reseller. `channel` chooses its prices; `time_zone` (IANA) is its contract's."""

    __tablename__ = "distributors"
    __table_args__ = (one_of("status", ("active", "blocked")),)

    id: str = Field(primary_key=True)
    name: str
    status: str = "active"
    channel: str = "default"
    currency: str
    time_zone: str
    created_at: datetime = at()


class CreditLineRow(SQLModel, table=True):
    """available = limit + prepaid - outstanding - held. The placing statement carries the condition."""

    __tablename__ = "credit_lines"
    __table_args__ = (
        CheckConstraint("held_minor >= 0", name="held_not_negative"),
        CheckConstraint("limit_minor >= 0 AND prepaid_minor >= 0", name="limits_not_negative"),
    )

    distributor_id: str = Field(primary_key=True, foreign_key="distributors.id")
    currency: str
    limit_minor: int = big()
    prepaid_minor: int = big(default=0)
    outstanding_minor: int = big(default=0)
    held_minor: int = big(default=0)


class CreditHoldRow(SQLModel, table=True):
    """Credit that one order holds until it is locked (`used`) or refused (`released`): exactly once."""

    __tablename__ = "credit_holds"
    __table_args__ = (
        one_of("state", ("held", "used", "released")),
        CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    )

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    distributor_id: str = Field(foreign_key="distributors.id", index=True)
    amount_minor: int = big()
    state: str = "held"


class OperatorRow(SQLModel, table=True):
    """A person who steers; the role gives the permissions (domain/access.py)."""

    __tablename__ = "operators"
    __table_args__ = (one_of("status", ("active", "blocked")),)

    id: str = Field(primary_key=True)
    name: str
    role: str
    status: str = "active"
    created_at: datetime = at()


class ApiKeyRow(SQLModel, table=True):
    """A bearer key `tsr_live_<id>_<secret>`: shown once, kept as an HMAC; at most two are active per principal."""

    __tablename__ = "api_keys"
    __table_args__ = (
        one_of("principal_kind", ("distributor", "operator")),
        Index("api_keys_principal", "principal_kind", "principal_id"),
    )

    id: str = Field(primary_key=True)
    principal_kind: str
    principal_id: str
    secret_hmac: bytes
    created_at: datetime = at()
    expires_at: datetime = at()
    revoked_at: datetime | None = at(default=None, nullable=True)


class GrantRow(SQLModel, table=True):
    """Who may do which action over which resources, from when until when."""

    __tablename__ = "grants"
    __table_args__ = (
        one_of("resource_kind", ("all", "category", "supplier", "product")),
        UniqueConstraint("principal_id", "action", "resource_kind", "resource_id", "valid_from"),
    )

    id: str = Field(primary_key=True)
    principal_id: str = Field(index=True)
    action: str
    resource_kind: str = "all"
    resource_id: str = ""
    valid_from: datetime = at()
    valid_to: datetime | None = at(default=None, nullable=True)


class BlockedBuyerRow(SQLModel, table=True):
    """A distributor's buyer that an operator has blocked; `buyer_ref` is the distributor's own name for it."""

    __tablename__ = "blocked_buyers"

    distributor_id: str = Field(primary_key=True, foreign_key="distributors.id")
    buyer_ref: str = Field(primary_key=True)
    reason: str
    blocked_at: datetime = at()
