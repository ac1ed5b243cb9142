"""What a promotion is: whom and what it reaches, its uses, and why it may not be used now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from domain.errors import DomainError
from domain.machines import Machine
from domain.promotion_terms import Terms


class PromotionState(StrEnum):
    """`ended` is for good."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class PromotionEvent(StrEnum):
    """What an operator does with a promotion."""

    PAUSE = "pause"
    RESUME = "resume"
    END = "end"


_S, _E = PromotionState, PromotionEvent

LIFECYCLE: Machine[PromotionState, PromotionEvent] = Machine(
    "promotion",
    _S.ACTIVE,
    {
        (_S.ACTIVE, _E.PAUSE): _S.PAUSED,
        (_S.PAUSED, _E.RESUME): _S.ACTIVE,
        (_S.ACTIVE, _E.END): _S.ENDED,
        (_S.PAUSED, _E.END): _S.ENDED,
    },
)


class PromotionNotApplicable(DomainError):
    """What was named can't be used for this order."""

    code = "promotion_not_applicable"

    def __init__(self, what: str, why: str, promotion_id: str | None = None) -> None:
        super().__init__(f"{what} cannot be used for this order: {why}.")
        self.promotion_id = promotion_id

    @property
    def facts(self) -> dict[str, object]:
        return {"promotion_id": self.promotion_id} if self.promotion_id else {}


class PromotionExpired(DomainError):
    """Its window, or its coupon's, has closed."""

    code = "promotion_expired"

    def __init__(self, what: str, promotion_id: str) -> None:
        super().__init__(f"{what} has expired: order without it, or ask for another.")
        self.promotion_id = promotion_id

    @property
    def facts(self) -> dict[str, object]:
        return {"promotion_id": self.promotion_id}


class PromotionExhausted(DomainError):
    """All its uses are taken, of all buyers or of this one, or its coupon's are."""

    code = "promotion_exhausted"

    def __init__(self, what: str, promotion_id: str, why: str = "all its uses are taken") -> None:
        super().__init__(f"{what} is exhausted: {why}. Ask for the price again, or order without it.")
        self.promotion_id = promotion_id

    @property
    def facts(self) -> dict[str, object]:
        return {"promotion_id": self.promotion_id}


@dataclass(frozen=True, slots=True)
class BasketLine:
    """A line before any discount. `category_ids`: its product's category and all above it."""

    line_no: int
    sku_id: str
    product_id: str
    category_ids: frozenset[str]
    quantity: int
    unit_price_minor: int

    @property
    def price_minor(self) -> int:
        """The whole line."""
        return self.unit_price_minor * self.quantity


@dataclass(frozen=True, slots=True)
class Occasion:
    """Who buys, where, in which currency, and when."""

    distributor_id: str
    channel: str
    buyer_ref: str | None
    currency: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """What a promotion is for. An empty set limits nothing; products, variants and categories add up to each other.

    `buyer_refs` are the names that distributors have for their buyers: name the distributor, too, to mean one person.
    """

    product_ids: frozenset[str] = frozenset()
    sku_ids: frozenset[str] = frozenset()
    category_ids: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    distributor_ids: frozenset[str] = frozenset()
    buyer_refs: frozenset[str] = frozenset()

    @classmethod
    def of(cls, document: Mapping[str, Sequence[str]]) -> Scope:
        """As it is kept: a list by each name."""
        return cls(**{name: frozenset(values) for name, values in document.items()})

    def reaches(self, line: BasketLine) -> bool:
        """Whether the line's product is meant; a category means those below it too."""
        if not (self.product_ids or self.sku_ids or self.category_ids):
            return True
        return (
            line.product_id in self.product_ids
            or line.sku_id in self.sku_ids
            or not self.category_ids.isdisjoint(line.category_ids)
        )

    def admits(self, occasion: Occasion) -> bool:
        """Whether the promotion is for this buyer, in this channel."""
        wanted = (
            (self.channels, occasion.channel),
            (self.distributor_ids, occasion.distributor_id),
            (self.buyer_refs, occasion.buyer_ref),
        )
        return all(not allowed or value in allowed for allowed, value in wanted)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion as an order meets it. `taken`: uses of it that this buyer has or is getting.

    `stack_group`: at most one promotion of a group reaches a line; None: where it reaches, no other does.
    `priority`: the lower number is applied first. `stock`, `per_buyer_limit`: None for no limit.
    """

    id: str
    name: str
    terms: Terms
    currency: str
    valid_from: datetime
    valid_to: datetime | None = None
    state: PromotionState = PromotionState.ACTIVE
    scope: Scope = field(default_factory=Scope)
    stack_group: str | None = None
    priority: int = 100
    needs_coupon: bool = False
    stock: int | None = None
    spent: int = 0
    per_buyer_limit: int | None = None
    taken: int = 0

    def combines_with(self, other: Promotion) -> bool:
        """Whether both may reach the same line."""
        return None not in (self.stack_group, other.stack_group) and self.stack_group != other.stack_group

    def judge(self, occasion: Occasion) -> None:
        """Whether it may be used now, by this buyer, whatever is bought.

        Raises PromotionExpired, PromotionNotApplicable, PromotionExhausted.
        """
        what = f"Promotion {self.name!r}"
        self.judge_window(occasion.now)
        if self.currency != occasion.currency:
            raise PromotionNotApplicable(what, f"it is in {self.currency}", self.id)
        if not self.scope.admits(occasion):
            raise PromotionNotApplicable(what, "it is for other buyers or channels", self.id)
        if self.per_buyer_limit is not None and occasion.buyer_ref is None:
            raise PromotionNotApplicable(what, "it is limited per buyer, so name yours by buyer_ref", self.id)
        self.judge_uses()

    def judge_window(self, now: datetime) -> None:
        """Raises PromotionExpired, PromotionNotApplicable."""
        what = f"Promotion {self.name!r}"
        if self.state is PromotionState.ENDED or (self.valid_to is not None and self.valid_to <= now):
            raise PromotionExpired(what, self.id)
        if self.state is PromotionState.PAUSED:
            raise PromotionNotApplicable(what, "it is paused", self.id)
        if now < self.valid_from:
            raise PromotionNotApplicable(what, f"it begins at {self.valid_from.isoformat()}", self.id)

    def judge_uses(self) -> None:
        """Raises PromotionExhausted."""
        what = f"Promotion {self.name!r}"
        if self.stock is not None and self.spent >= self.stock:
            raise PromotionExhausted(what, self.id)
        if self.per_buyer_limit is not None and self.taken >= self.per_buyer_limit:
            raise PromotionExhausted(
                what, self.id, f"a buyer may use it {self.per_buyer_limit} times, and this one has"
            )


class PromotionNotFound(DomainError):
    """No such promotion, or none of this caller's."""

    code = "promotion_not_found"

    def __init__(self, promotion_id: str) -> None:
        super().__init__(f"There is no promotion {promotion_id}.")


class PromotionStale(DomainError):
    """The promotion has changed since the caller read it (`If-Match`)."""

    code = "precondition_failed"

    def __init__(self, promotion_id: str, version: int) -> None:
        super().__init__(f"{promotion_id} is at version {version} by now: read it again, then decide again.")
        self.version = version

    @property
    def facts(self) -> dict[str, object]:
        return {"version": self.version}


class PromotionInUse(DomainError):
    """Orders were priced with it: what it takes off, and where, stays as they were told."""

    code = "promotion_in_use"

    def __init__(self, promotion_id: str, names: Sequence[str]) -> None:
        super().__init__(
            f"Orders were priced with {promotion_id}, so {', '.join(names)} can't be changed: end it and make another."
        )


class StockBelowUses(DomainError):
    """More uses are taken already than would be allowed."""

    code = "promotion_stock_below_uses"

    def __init__(self, stock: int, spent: int) -> None:
        super().__init__(f"{spent} uses are held or used already: the stock can't be {stock}.")
