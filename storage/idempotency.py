"""Answers kept by Idempotency-Key, and the leases of node numbers: what makes once mean once over all processes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from storage.columns import at, big, document


class IdempotencyKeyRow(SQLModel, table=True):
    """Scope: caller, method and route. Without an answer it is in flight until `sent_until`, then may be sent again."""

    __tablename__ = "idempotency_keys"

    caller: str = Field(primary_key=True)
    route: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_hash: str
    status: int | None = None
    body: dict[str, Any] | None = document(default=None, nullable=True)
    sent_until: datetime = at()
    created_at: datetime = at(index=True)


class NodeLeaseRow(SQLModel, table=True):
    """A node number of the id generator, leased to one process at a time."""

    __tablename__ = "node_leases"

    node: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    holder: str
    leased_until: datetime = at()
    last_ms: int = big(default=0)
