"""Stock per variant and warehouse, holds that end exactly once, the log of movements that proves the sums, counts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from domain.warehouses import MAIN_WAREHOUSE
from storage.columns import at, big, one_of


class WarehouseRow(SQLModel, table=True):
    """A place with stock. Of one that is not active nothing more is promised; what orders hold there goes its way."""

    __tablename__ = "warehouses"

    id: str = Field(primary_key=True)
    name: str
    country: str = ""
    region: str = ""
    city: str = ""
    rank: int = 0
    active: bool = True
    version: int = 1
    created_at: datetime = at()


class StockRow(SQLModel, table=True):
    """on_hand = available + held at every instant; nothing below zero. Alerts follow `alert_below` by a trigger."""

    __tablename__ = "stock"
    __table_args__ = (
        CheckConstraint("held >= 0", name="held_not_negative"),
        CheckConstraint("held <= on_hand", name="held_within_on_hand"),
        CheckConstraint("sold >= 0", name="sold_not_negative"),
        CheckConstraint("alert_below > 0", name="alert_below_positive"),
    )

    sku_id: str = Field(primary_key=True, foreign_key="skus.id")
    warehouse_id: str = Field(primary_key=True, default=MAIN_WAREHOUSE, foreign_key="warehouses.id")
    on_hand: int = big(default=0)
    held: int = big(default=0)
    sold: int = big(default=0)
    alert_below: int | None = big(default=None, nullable=True)


class StockHoldRow(SQLModel, table=True):
    """A line's hold in one warehouse. `checked` ones take nothing (policy at_payment) and are one per line, wherever it
    is served from in the end; `taken` ones already left (policy at_place); `lost` ones left for good."""

    __tablename__ = "stock_holds"
    __table_args__ = (
        one_of("state", ("held", "taken", "checked", "confirmed", "released", "returned", "failed", "lost")),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        Index("stock_holds_sku", "sku_id", "warehouse_id", "state"),
    )

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    line_no: int = Field(primary_key=True)
    sku_id: str = Field(foreign_key="skus.id")
    warehouse_id: str = Field(primary_key=True, default=MAIN_WAREHOUSE)
    quantity: int
    state: str
    expires_at: datetime | None = at(default=None, nullable=True)


class StockMovementRow(SQLModel, table=True):
    """received - sold + returned + adjusted - transferred_out + transferred_in = on_hand. Append-only.

    `key` makes a movement once-only.
    """

    __tablename__ = "stock_movements"
    __table_args__ = (
        one_of("kind", ("received", "sold", "returned", "adjusted", "transferred_out", "transferred_in")),
        CheckConstraint("quantity <> 0", name="quantity_not_zero"),
        CheckConstraint("kind = 'adjusted' OR quantity > 0", name="only_adjustments_are_signed"),
        Index("stock_movements_sku", "sku_id", "warehouse_id"),
    )

    key: str = Field(primary_key=True)
    sku_id: str = Field(foreign_key="skus.id")
    warehouse_id: str = MAIN_WAREHOUSE
    kind: str
    quantity: int = big()
    reason: str = ""
    at: datetime = at()


class StocktakeRow(SQLModel, table=True):
    """A count of some variants in one warehouse, by people, while it works."""

    __tablename__ = "stocktakes"
    __table_args__ = (
        one_of("state", ("open", "closed", "canceled")),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ended_when_not_open"),
        Index("stocktakes_latest", "opened_at", "id"),
    )

    id: str = Field(primary_key=True)
    warehouse_id: str = Field(foreign_key="warehouses.id")
    note: str = ""
    state: str = "open"
    opened_by: str
    opened_at: datetime = at()
    ended_by: str | None = None
    ended_at: datetime | None = at(default=None, nullable=True)


class StocktakeLineRow(SQLModel, table=True):
    """A variant to count. `expected` is what was on hand when `counted` was written; `open` as its stocktake is."""

    __tablename__ = "stocktake_lines"
    __table_args__ = (
        CheckConstraint("counted >= 0", name="counted_not_negative"),
        CheckConstraint("(counted IS NULL) = (expected IS NULL)", name="expected_when_counted"),
        Index("stocktake_lines_open", "warehouse_id", "sku_id", unique=True, postgresql_where=text("open")),
    )

    stocktake_id: str = Field(primary_key=True, foreign_key="stocktakes.id")
    sku_id: str = Field(primary_key=True, foreign_key="skus.id")
    warehouse_id: str
    open: bool = True
    counted: int | None = big(default=None, nullable=True)
    expected: int | None = big(default=None, nullable=True)
    counted_by: str | None = None
    counted_at: datetime | None = at(default=None, nullable=True)


class StockAlertRow(SQLModel, table=True):
    """That a level fell below its limit, until it was there again. Written by the database alone, once per crossing."""

    __tablename__ = "stock_alerts"
    __table_args__ = (
        Index("stock_alerts_open", "sku_id", "warehouse_id", unique=True, postgresql_where=text("cleared_at IS NULL")),
    )

    id: int = big(primary_key=True, default=None)
    sku_id: str = Field(foreign_key="skus.id")
    warehouse_id: str
    alert_below: int = big()
    available: int = big()
    opened_at: datetime = at()
    cleared_at: datetime | None = at(default=None, nullable=True)
