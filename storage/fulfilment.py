"""What is owed and what became of it: fulfilment units with their events, breaches, and the pools of codes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from domain.units import UnitState
from storage.columns import at, big, document, one_of

EMPTY = {"server_default": text("'{}'")}


class FulfilmentUnitRow(SQLModel, table=True):
    """One thing that a line owes its buyer; `quantity` pieces of the line are in it. Units count from 0 within a line.

    `code` with its `code_format` is the credential: a code, a receipt, a waybill; a ticket's own are in `tickets`.
    `version` rises when the credential is corrected. `attempt` names the booking it came from, `warehouse_id` where
    it left from. Times are those of the unit's states.
    """

    __tablename__ = "fulfilment_units"
    __table_args__ = (
        one_of("state", UnitState),
        ForeignKeyConstraint(["order_no", "line_no"], ["order_lines.order_no", "order_lines.line_no"]),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        Index(
            "fulfilment_units_on_their_way",
            "order_no",
            "line_no",
            postgresql_where=text("state IN ('issued', 'shipped', 'delivered', 'lost') AND carried"),
        ),
    )

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    line_no: int = Field(primary_key=True)
    unit: int = Field(primary_key=True)
    quantity: int
    state: str
    carried: bool = False
    code: str = ""
    code_format: str = ""
    reference: str = ""
    version: int = 1
    attempt: int = 0
    warehouse_id: str | None = None
    issued_at: datetime | None = at(default=None, nullable=True)
    delivered_at: datetime | None = at(default=None, nullable=True)


class UnitEventRow(SQLModel, table=True):
    """One thing that happened to a unit. `key` makes it once-only within the unit. Append-only."""

    __tablename__ = "unit_events"
    __table_args__ = (UniqueConstraint("order_no", "line_no", "unit", "key"),)

    id: int = big(primary_key=True, default=None)
    order_no: int = big()
    line_no: int
    unit: int
    key: str
    event: str
    detail: str = ""
    actor: str = "system"
    at: datetime = at()


class BreachRow(SQLModel, table=True):
    """What was promised and not delivered: what, why, what it cost (minor units), and who bears it. Append-only."""

    __tablename__ = "breach_records"
    __table_args__ = (CheckConstraint("cost_minor >= 0", name="cost_not_negative"),)

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    line_no: int = Field(primary_key=True)
    unit: int = Field(primary_key=True)
    what: str
    why: str
    cost_minor: int = big()
    currency: str
    borne_by: str
    evidence: dict[str, Any] = document(default_factory=dict, sa_column_kwargs=EMPTY)
    at: datetime = at()


class CodeRow(SQLModel, table=True):
    """A code of a variant's pool. `held` for a line until it is handed out or given back; `burned`: handed out to an
    order that was refunded, and never to be given to anybody else."""

    __tablename__ = "codes"
    __table_args__ = (
        one_of("state", ("available", "held", "handed_out", "burned", "withdrawn")),
        CheckConstraint("(state IN ('available', 'withdrawn')) = (order_no IS NULL)", name="held_for_a_line"),
        UniqueConstraint("sku_id", "code"),
        Index("codes_available", "sku_id", "id", postgresql_where=text("state = 'available'")),
        Index("codes_order", "order_no", "line_no", postgresql_where=text("order_no IS NOT NULL")),
    )

    id: int = big(primary_key=True, default=None)
    sku_id: str = Field(foreign_key="skus.id")
    code: str
    state: str = "available"
    order_no: int | None = big(default=None, nullable=True)
    line_no: int | None = None
    valid_to: datetime | None = at(default=None, nullable=True)
    loaded_at: datetime = at()
    handed_out_at: datetime | None = at(default=None, nullable=True)
