"""Promotions: the tables of promotions, coupons and of what orders hold and were given, and what pricing reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, text
from sqlmodel import Field, SQLModel

from domain.coupons import Coupon, CouponState
from domain.promotion_terms import KINDS, terms_of
from domain.promotions import Occasion, Promotion, PromotionState, Scope
from storage.columns import at, big, document, one_of
from storage.database import Connection

MOST_RUNNING = 200
"""Active promotions without coupons that one order is priced with, the first by priority."""


class PromotionRow(SQLModel, table=True):
    """A promotion with its counters: `held` by orders in motion, `used` by confirmed ones; `stock` NULL: no limit."""

    __tablename__ = "promotions"
    __table_args__ = (
        one_of("kind", KINDS),
        one_of("state", PromotionState),
        CheckConstraint("held >= 0 AND used >= 0", name="uses_not_negative"),
        CheckConstraint("stock IS NULL OR held + used <= stock", name="uses_within_stock"),
        CheckConstraint("per_buyer_limit IS NULL OR per_buyer_limit > 0", name="per_buyer_limit_positive"),
        CheckConstraint("valid_to IS NULL OR valid_to > valid_from", name="window_not_empty"),
        Index("promotions_running", "currency", postgresql_where=text("state = 'active' AND NOT needs_coupon")),
    )

    id: str = Field(primary_key=True)
    name: str
    kind: str
    terms: dict[str, Any] = document()
    scope: dict[str, Any] = document()
    currency: str
    state: str = "active"
    valid_from: datetime = at()
    valid_to: datetime | None = at(default=None, nullable=True)
    stock: int | None = big(default=None, nullable=True)
    per_buyer_limit: int | None = big(default=None, nullable=True)
    stack_group: str | None = None
    priority: int = big(default=100)
    needs_coupon: bool = False
    returns_on_refund: bool = False
    held: int = big(default=0)
    used: int = big(default=0)
    created_at: datetime = at()
    updated_at: datetime = at()
    version: int = 1


class CouponRow(SQLModel, table=True):
    """A code of `most_uses` uses. `distributor_id` and `buyer_ref`: whose it is, once it is claimed."""

    __tablename__ = "coupons"
    __table_args__ = (
        one_of("state", CouponState),
        CheckConstraint("held >= 0 AND used >= 0 AND held + used <= most_uses", name="uses_within_most"),
        CheckConstraint("(distributor_id IS NULL) = (buyer_ref IS NULL)", name="owner_whole"),
        Index("coupons_promotion", "promotion_id", "id"),
        Index("coupons_owner", "distributor_id", "buyer_ref", "id"),
    )

    id: str = Field(primary_key=True)
    code: str = Field(unique=True)
    promotion_id: str = Field(foreign_key="promotions.id")
    state: str = "issued"
    distributor_id: str | None = Field(default=None, foreign_key="distributors.id")
    buyer_ref: str | None = None
    most_uses: int = big(default=1)
    held: int = big(default=0)
    used: int = big(default=0)
    valid_to: datetime | None = at(default=None, nullable=True)
    issued_at: datetime = at()
    claimed_at: datetime | None = at(default=None, nullable=True)


class PromotionBuyerRow(SQLModel, table=True):
    """How many uses of a promotion one buyer has or is getting."""

    __tablename__ = "promotion_buyers"
    __table_args__ = (CheckConstraint("taken >= 0", name="taken_not_negative"),)

    promotion_id: str = Field(primary_key=True, foreign_key="promotions.id")
    distributor_id: str = Field(primary_key=True, foreign_key="distributors.id")
    buyer_ref: str = Field(primary_key=True)
    taken: int = big(default=0)


class PromotionUseRow(SQLModel, table=True):
    """One order's use of a promotion. `wanted`: priced with, not held yet; `returned`: given back after its payment."""

    __tablename__ = "promotion_uses"
    __table_args__ = (
        one_of("state", ("wanted", "held", "confirmed", "released", "returned")),
        Index("promotion_uses_promotion", "promotion_id", "state"),
        Index("promotion_uses_coupon", "coupon_id", postgresql_where=text("coupon_id IS NOT NULL")),
    )

    order_no: int = big(primary_key=True, foreign_key="orders.order_no")
    promotion_id: str = Field(primary_key=True, foreign_key="promotions.id")
    distributor_id: str = Field(foreign_key="distributors.id")
    buyer_ref: str | None = None
    coupon_id: str | None = Field(default=None, foreign_key="coupons.id")
    discount_minor: int = big()
    state: str = "wanted"
    updated_at: datetime = at()


class OrderDiscountRow(SQLModel, table=True):
    """What one promotion took off one line, in the order of application, with the sentence that the buyer was told."""

    __tablename__ = "order_discounts"
    __table_args__ = (
        ForeignKeyConstraint(["order_no", "line_no"], ["order_lines.order_no", "order_lines.line_no"]),
        ForeignKeyConstraint(["order_no", "promotion_id"], ["promotion_uses.order_no", "promotion_uses.promotion_id"]),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
    )

    order_no: int = big(primary_key=True)
    line_no: int = Field(primary_key=True)
    promotion_id: str = Field(primary_key=True)
    rank: int
    name: str
    amount_minor: int = big()
    explanation: str


@dataclass(frozen=True, slots=True)
class Running:
    """What an order may be priced with. `category_ids`: by product, its category and all above it."""

    promotions: tuple[Promotion, ...]
    coupons: tuple[Coupon, ...]
    category_ids: dict[str, frozenset[str]]


_PRICING = """
WITH RECURSIVE named AS (SELECT * FROM coupons WHERE code = ANY(%(codes)s)),
running AS (
    SELECT id FROM promotions
    WHERE %(automatic)s AND state = 'active' AND NOT needs_coupon AND currency = %(currency)s
      AND valid_from <= %(now)s AND (valid_to IS NULL OR valid_to > %(now)s)
      AND (scope->'channels' = '[]' OR scope->'channels' ? %(channel)s)
      AND (scope->'distributor_ids' = '[]' OR scope->'distributor_ids' ? %(distributor)s)
    ORDER BY priority, id LIMIT %(most)s),
chosen AS (SELECT promotion_id AS id FROM named UNION SELECT id FROM running),
up (product_id, id, parent_id) AS (
    SELECT p.id, c.id, c.parent_id FROM products p JOIN categories c ON c.id = p.category_id
    WHERE p.id = ANY(%(products)s) AND EXISTS (SELECT 1 FROM chosen)
    UNION ALL SELECT up.product_id, c.id, c.parent_id FROM up JOIN categories c ON c.id = up.parent_id)
SELECT
    (SELECT jsonb_object_agg(product_id, ids)
     FROM (SELECT product_id, array_agg(id) AS ids FROM up GROUP BY 1) AS above) AS category_ids,
    (SELECT jsonb_agg(to_jsonb(n)) FROM named n) AS coupons,
    (SELECT jsonb_agg(to_jsonb(p) || jsonb_build_object('taken', coalesce(b.taken, 0)) ORDER BY p.priority, p.id)
     FROM chosen JOIN promotions p USING (id)
     LEFT JOIN promotion_buyers b ON b.promotion_id = p.id AND b.distributor_id = %(distributor)s
                                 AND b.buyer_ref = %(buyer)s) AS promotions
"""


async def read_running(
    cx: Connection, occasion: Occasion, product_ids: Sequence[str], codes: Sequence[str], *, automatic: bool
) -> Running:
    """In one statement: the promotions that run for this occasion (`automatic`), and those of the named codes."""
    cursor = await cx.execute(
        _PRICING,
        {
            "codes": list(codes),
            "automatic": automatic,
            "currency": occasion.currency,
            "now": occasion.now,
            "channel": occasion.channel,
            "distributor": occasion.distributor_id,
            "buyer": occasion.buyer_ref,
            "products": list(product_ids),
            "most": MOST_RUNNING,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "a row of aggregates"
    return Running(
        promotions=tuple(promotion_of(each) for each in row["promotions"] or ()),
        coupons=tuple(coupon_of(each) for each in row["coupons"] or ()),
        category_ids={product: frozenset(ids) for product, ids in (row["category_ids"] or {}).items()},
    )


def promotion_of(row: dict[str, Any]) -> Promotion:
    """The rule's view of a row, whose times may be text (from JSON)."""
    return Promotion(
        id=row["id"],
        name=row["name"],
        terms=terms_of(row["terms"]),
        currency=row["currency"],
        valid_from=_moment(row["valid_from"]),
        valid_to=_moment(row["valid_to"]) if row["valid_to"] else None,
        state=PromotionState(row["state"]),
        scope=Scope.of(row["scope"]),
        stack_group=row["stack_group"],
        priority=row["priority"],
        needs_coupon=row["needs_coupon"],
        stock=row["stock"],
        spent=row["held"] + row["used"],
        per_buyer_limit=row["per_buyer_limit"],
        taken=row["taken"],
    )


def coupon_of(row: dict[str, Any]) -> Coupon:
    """The rule's view of a row, whose times may be text (from JSON)."""
    return Coupon(
        id=row["id"],
        code=row["code"],
        promotion_id=row["promotion_id"],
        state=CouponState(row["state"]),
        valid_to=_moment(row["valid_to"]) if row["valid_to"] else None,
        owner=(row["distributor_id"], row["buyer_ref"]) if row["distributor_id"] else None,
    )


def _moment(value: datetime | str) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
