"""Shapes of promotions and coupons: what people write, and what they and distributors see."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from api.views import CouponCode, Currency, Flag, Id, Input, Instant, Minor, Name, View
from domain.coupons import CouponState, standing
from domain.promotion_terms import MAX_STEPS, MAX_TAKE, WHOLE_BP, terms_of
from domain.promotions import PromotionEvent, PromotionState
from storage.coupons import NewCoupon

MAX_BATCH = 1000
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_CODE_LENGTH = 16
"""80 bits: nobody finds one by trying."""

Count = Annotated[int, Field(ge=1, le=10**9, strict=True, examples=[500])]
Ids = Annotated[list[Id], Field(max_length=200)]


class PercentOffInput(Input):
    """Basis points of what its lines cost together, half a minor unit rounded up."""

    kind: Literal["percent_off"]
    percent_bp: Annotated[int, Field(ge=1, le=WHOLE_BP, strict=True, examples=[1500])]


class StepInput(Input):
    """From this sum of its lines on, this much is taken off."""

    from_minor: Minor
    off_minor: Annotated[int, Field(ge=1, le=10**15, strict=True)]


class AmountOffInput(Input):
    """Steps from the lowest to the highest; the highest that is reached counts."""

    kind: Literal["amount_off"]
    steps: Annotated[list[StepInput], Field(min_length=1, max_length=MAX_STEPS)]


class FixedPriceInput(Input):
    """Each unit for this price, where it would cost more."""

    kind: Literal["fixed_price"]
    unit_price_minor: Minor


class NForMInput(Input):
    """`take` units for the price of `pay`, over all its lines: the cheapest are free."""

    kind: Literal["n_for_m"]
    take: Annotated[int, Field(ge=1, le=MAX_TAKE, strict=True, examples=[3])]
    pay: Annotated[int, Field(ge=0, le=MAX_TAKE, strict=True, examples=[2])]


TermsInput = Annotated[PercentOffInput | AmountOffInput | FixedPriceInput | NForMInput, Field(discriminator="kind")]


class ScopeInput(Input):
    """An empty list limits nothing. Products, variants and categories (with those below) add up to each other."""

    product_ids: Ids = Field(default_factory=list)
    sku_ids: Ids = Field(default_factory=list)
    category_ids: Ids = Field(default_factory=list)
    channels: Ids = Field(default_factory=list)
    distributor_ids: Ids = Field(default_factory=list)
    buyer_refs: Ids = Field(default_factory=list)


StackGroup = Annotated[
    Id | None, Field(description="At most one of a group reaches a line; null: where it reaches, no other does.")
]
Priority = Annotated[int, Field(ge=0, le=10**6, strict=True, description="The lower number is applied first.")]
Stock = Annotated[Count | None, Field(description="Uses in all; null for no limit.")]
PerBuyer = Annotated[Count | None, Field(description="Uses per buyer, by buyer_ref; null for no limit.")]


class PromotionInput(Input):
    """A promotion. Without `valid_from` it begins now."""

    name: Name = Field(examples=["Spring sale"])
    terms: TermsInput
    currency: Currency
    scope: ScopeInput = Field(default_factory=ScopeInput)
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    stack_group: StackGroup = None
    priority: Priority = 100
    stock: Stock = None
    per_buyer_limit: PerBuyer = None
    needs_coupon: Flag = Field(False, description="Only with one of its coupons.")
    returns_on_refund: Flag = Field(False, description="Whether a use comes back when its order is refunded whole.")

    def row(self, now: datetime) -> dict[str, Any]:
        """Its columns. Raises PromotionInvalid."""
        terms = self.terms.model_dump()
        terms_of(terms)
        columns = {**self.model_dump(), "terms": terms, "valid_from": self.valid_from or now}
        return {"id": f"prm_{secrets.token_hex(10)}", **columns}


class PromotionEdit(Input):
    """The fields that are given. What a promotion takes off, and where, is fixed once an order was priced with it."""

    name: Name | None = None
    terms: TermsInput | None = None
    scope: ScopeInput | None = None
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    stack_group: StackGroup = None
    priority: Priority | None = None
    stock: Stock = None
    per_buyer_limit: PerBuyer = None
    needs_coupon: Flag | None = None
    returns_on_refund: Flag | None = None

    def changes(self) -> dict[str, Any]:
        """What is given; null unsets an end, a limit or a group, and is nothing elsewhere. Raises PromotionInvalid."""
        unsettable = {"valid_to", "stack_group", "stock", "per_buyer_limit"}
        # Whole, also inside: what a scope leaves out is no limit, and not left as it was.
        given = {name: value for name, value in self.model_dump().items() if name in self.model_fields_set}
        changes = {name: value for name, value in given.items() if value is not None or name in unsettable}
        if "terms" in changes:
            terms_of(changes["terms"])
        return changes


class PromotionMove(Input):
    """Pause, resume, or end for good."""

    event: PromotionEvent
    reason: Name


class ScopeView(View):
    """What the promotion is for. Whose it is, is for operators and null for others."""

    product_ids: list[str]
    sku_ids: list[str]
    category_ids: list[str]
    channels: list[str]
    distributor_ids: list[str] | None
    buyer_refs: list[str] | None


class PromotionView(View):
    """A promotion. `says`: its terms in words. Counters and version are for operators; null for others."""

    id: str
    name: str
    state: PromotionState
    terms: dict[str, Any]
    says: str
    currency: str
    scope: ScopeView
    valid_from: Instant
    valid_to: Instant | None
    stack_group: str | None
    priority: int
    per_buyer_limit: int | None
    needs_coupon: bool
    returns_on_refund: bool
    stock: int | None
    held: int | None
    used: int | None
    version: int | None

    @classmethod
    def of(cls, row: Mapping[str, Any], *, operator: bool) -> PromotionView:
        hidden = () if operator else ("stock", "held", "used", "version")
        plain = {name: row[name] for name in cls.model_fields if name not in ("says", "scope")}
        scope = row["scope"] if operator else {**row["scope"], "distributor_ids": None, "buyer_refs": None}
        return cls(
            **{**plain, **dict.fromkeys(hidden)},
            says=terms_of(row["terms"]).says(row["currency"]),
            scope=ScopeView(**scope),
        )


class CouponBatch(Input):
    """How many codes; or one that is named, such as a slogan, for as many uses as it may have."""

    count: Annotated[int, Field(ge=1, le=MAX_BATCH, strict=True)] = 1
    code: CouponCode | None = None
    most_uses: Count = 1
    valid_to: Instant | None = None

    @model_validator(mode="after")
    def _one_name_one_coupon(self) -> CouponBatch:
        if self.code is not None and self.count != 1:
            raise ValueError("a code that is named is one coupon: leave `count` out")
        return self

    def coupons(self) -> list[NewCoupon]:
        """New codes, or the named one."""
        codes = [self.code] if self.code else [_new_code() for _ in range(self.count)]
        return [NewCoupon(f"cpn_{secrets.token_hex(10)}", code) for code in codes]


def _new_code() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))


class IssuedCoupon(View):
    """A coupon with its code."""

    id: str
    code: str


class IssuedView(View):
    """The codes, shown this once."""

    promotion_id: str
    most_uses: int
    valid_to: Instant | None
    coupons: list[IssuedCoupon]


class ClaimInput(Input):
    """Whose the coupon shall be: the distributor's own name for its buyer."""

    code: CouponCode
    buyer_ref: Id


class CouponView(View):
    """A coupon. Of its code only the last letters are shown."""

    id: str
    code_ends: str
    promotion_id: str
    state: CouponState
    distributor_id: str | None
    buyer_ref: str | None
    most_uses: int
    held: int
    used: int
    valid_to: Instant | None
    issued_at: Instant
    claimed_at: Instant | None

    @classmethod
    def of(cls, row: Mapping[str, Any], now: datetime) -> CouponView:
        plain = {name: row[name] for name in cls.model_fields if name not in ("code_ends", "state")}
        state = standing(CouponState(row["state"]), row["valid_to"], now)
        return cls(**plain, code_ends=row["code"][-3:], state=state)
