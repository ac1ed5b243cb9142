"""Stock per variant and warehouse, holds that end exactly once, and the log of movements that proves the sums."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from storage.columns import at, big, one_of


class StockRow(SQLModel, table=True):
    """on_hand = available + held at every instant; nothing below zero."""

    __tablename__ = "stock"
    __table_args__ = (
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint("held <= on_hand", name="held_within_on_hand"),
        CheckConstraint("sold >= 0", name="sold_not_negative"),
    )

    sku_id: str = Field(primary_key=True, foreign_key="skus.id")
    warehouse_id: str = Field(primary_key=True, default="main")
    on_hand: int = big(default=0)
    held: int = big(default=0)
    sold: int = big(default=0)


class StockHoldRow(SQLModel, table=True):
    """A line's hold. `checked` holds take nothing (policy at_payment); `taken` ones already left (policy at_place)."""

    __tablename__ = "stock_holds"
    __table_args__ = (
        one_of("state", ("held", "taken", "checked", "confirmed", "released", "returned", "failed")),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        Index("stock_holds_sku", "sku_id", "warehouse_id", "state"),
    )

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    line_no: int = Field(primary_key=True)
    sku_id: str = Field(foreign_key="skus.id")
    warehouse_id: str = "main"
    quantity: int
    state: str
    expires_at: datetime | None = at(default=None, nullable=True)


class StockMovementRow(SQLModel, table=True):
    """received - sold + returned + adjusted = on_hand. `key` makes a movement once-only. Append-only."""

    __tablename__ = "stock_movements"
    __table_args__ = (
        one_of("kind", ("received", "sold", "returned", "adjusted")),
        CheckConstraint("quantity <> 0", name="quantity_not_zero"),
        CheckConstraint("kind = 'adjusted' OR quantity > 0", name="only_adjustments_are_signed"),
        Index("stock_movements_sku", "sku_id", "warehouse_id"),
    )

    key: str = Field(primary_key=True)
    sku_id: str = Field(foreign_key="skus.id")
    warehouse_id: str = "main"
    kind: str
    quantity: int = big()
    reason: str = ""
    at: datetime = at()
