"""What is sold: categories, products (SPU), variants (SKU), dated prices, suppliers' offers, sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from domain.catalog import ProductStatus
from domain.payments import LatePayment
from storage.columns import at, big, document, one_of


class CategoryRow(SQLModel, table=True):
    """A node of the category tree. `kind` names the registered category (`ticket`, ...) that its products belong to."""

    __tablename__ = "categories"

    id: str = Field(primary_key=True)
    parent_id: str | None = Field(default=None, foreign_key="categories.id", index=True)
    name: str
    kind: str
    version: int = 1


class BrandRow(SQLModel, table=True):
    __tablename__ = "brands"

    id: str = Field(primary_key=True)
    name: str
    version: int = 1


class ProductRow(SQLModel, table=True):
    """An SPU. `attributes` are the basic ones, as imported; `buyer_limit` is units per buyer and event (0: none);
    `late_payment`: what money buys that comes when its order is gone.

    `supplier_key` joins the same product over suppliers (their `reference`); `time_zone` (IANA) decides event days.
    `position` and `was_on_shelf` are kept by the database alone: the place in the feed of changes (catalog_feed.py),
    and whether buyers may ever have seen the product.
    """

    __tablename__ = "products"
    __table_args__ = (
        one_of("status", ProductStatus),
        one_of("late_payment", LatePayment),
        Index("products_updated", "updated_at", "id"),
        Index("products_feed", "position", "id"),
        CheckConstraint("buyer_limit >= 0", name="buyer_limit_not_negative"),
    )

    id: str = Field(primary_key=True)
    category_id: str = Field(foreign_key="categories.id", index=True)
    brand_id: str | None = Field(default=None, foreign_key="brands.id")
    kind: str
    title: str
    description: str = ""
    status: str
    time_zone: str
    supplier_key: str | None = Field(default=None, unique=True)
    session_required: bool = False
    visitors_required: bool = False
    buyer_limit: int = 0
    late_payment: str = "revive_expired"
    attributes: list[Any] = document(default_factory=list)
    terms: dict[str, Any] = document(default_factory=dict)
    images: list[Any] = document(default_factory=list)
    created_at: datetime = at()
    updated_at: datetime = at()
    version: int = 1
    position: int = big(default=None, sa_column_kwargs={"server_default": text("0")})
    was_on_shelf: bool = False


class SkuRow(SQLModel, table=True):
    """A variant. `stock_policy` says when stock is taken: `hold`, `at_place`, `at_payment`; `codes`: its stock is its
    pool of codes; `none`: the supplier's.

    `event_at` is set where the variant is for one event; `attributes` are the sales attributes.
    """

    __tablename__ = "skus"
    __table_args__ = (one_of("stock_policy", ("hold", "at_place", "at_payment", "codes", "none")),)

    id: str = Field(primary_key=True)
    product_id: str = Field(foreign_key="products.id", index=True)
    title: str
    stock_policy: str = "hold"
    event_at: datetime | None = at(default=None, nullable=True)
    attributes: list[Any] = document(default_factory=list)
    weight_g: int | None = None
    size_mm: list[Any] | None = document(default=None, nullable=True)
    updated_at: datetime = at()


class PriceRow(SQLModel, table=True):
    """The net price of a variant in a channel and currency, from when until when; never edited, only ended."""

    __tablename__ = "prices"
    __table_args__ = (
        CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
        CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="window_not_empty"),
        UniqueConstraint("sku_id", "channel", "currency", "valid_from"),
        Index("prices_amount", "currency", "amount_minor"),
    )

    id: str = Field(primary_key=True)
    sku_id: str = Field(foreign_key="skus.id")
    channel: str = "default"
    currency: str
    amount_minor: int = big()
    valid_from: datetime = at()
    valid_to: datetime | None = at(default=None, nullable=True)


class OfferRow(SQLModel, table=True):
    """That a supplier sells us a variant, under its own ids, at a cost per piece. `rank` 0 is asked first.

    With `kind` instead of a variant it stands for all variants of that kind: a carrier's. `regions` says where it
    serves ("CN", "CN/上海"; null: everywhere).

    `lock_at_supplier`: the seat or slot is held there while the order is locked.
    """

    __tablename__ = "offers"
    __table_args__ = (
        CheckConstraint("cost_minor >= 0", name="cost_not_negative"),
        CheckConstraint("(sku_id IS NULL) <> (kind IS NULL)", name="of_a_variant_or_a_kind"),
        UniqueConstraint("sku_id", "supplier_id", "supplier_product_id", "option_id", "unit_id"),
        Index("offers_kind", "kind", postgresql_where=text("kind IS NOT NULL")),
    )

    id: str = Field(primary_key=True)
    sku_id: str | None = Field(default=None, foreign_key="skus.id", index=True)
    kind: str | None = None
    regions: list[Any] | None = document(default=None, nullable=True)
    supplier_id: str = Field(foreign_key="suppliers.id", index=True)
    supplier_product_id: str
    option_id: str
    unit_id: str
    cost_minor: int = big()
    currency: str
    rank: int = 0
    lock_at_supplier: bool = False
    active: bool = True


class SessionRow(SQLModel, table=True):
    """A bookable date or start time of an offer's product option, as last read from its supplier."""

    __tablename__ = "sessions"
    __table_args__ = (Index("sessions_start", "supplier_id", "supplier_product_id", "starts_at"),)

    supplier_id: str = Field(primary_key=True, foreign_key="suppliers.id")
    supplier_product_id: str = Field(primary_key=True)
    option_id: str = Field(primary_key=True)
    availability_id: str = Field(primary_key=True)
    starts_at: datetime = at()
    ends_at: datetime = at()
    available: bool
    vacancies: int | None = None
    read_at: datetime = at()


class SnapshotRow(SQLModel, table=True):
    """What a buyer saw, once per distinct content: the id is the SHA-256 of its canonical form."""

    __tablename__ = "snapshots"

    id: str = Field(primary_key=True)
    body: dict[str, Any] = document()
    created_at: datetime = at()


class OperationRow(SQLModel, table=True):
    """One edit by a person or an import: who, what, before, after. Append-only."""

    __tablename__ = "operation_log"
    __table_args__ = (Index("operation_log_subject", "subject_kind", "subject_id", "id"),)

    id: int = big(primary_key=True, default=None)
    at: datetime = at()
    actor: str
    action: str
    subject_kind: str
    subject_id: str
    before: dict[str, Any] | None = document(default=None, nullable=True)
    after: dict[str, Any] | None = document(default=None, nullable=True)
