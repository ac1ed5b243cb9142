"""What a promotion is: its terms, whom and what it reaches, and why it may not be used now.

Four kinds of terms, each a function of what is left of its lines' prices (minor units of the promotion's currency):

| kind | takes off |
|---|---|
| `percent_off` | basis points of what its lines leave together, half a minor unit rounded up |
| `amount_off` | the amount of the highest step that its lines reach together |
| `fixed_price` | from each of its lines what is above the price per unit |
| `n_for_m` | of every `take` units together the cheapest `take - pay`; a unit is its line by quantity, rounded down |

An amount that is taken off several lines is allotted to them by the largest remainder, so that lines add up exactly.
None takes off less when there is more left of a line: the choice of the best combination (domain/promotion_choice.py)
relies on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from domain.errors import DomainError
from domain.machines import Machine
from domain.money import allot

WHOLE_BP = 10_000
"""All of it, in basis points."""

MAX_STEPS = 20
MAX_TAKE = 1000


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


class PromotionInvalid(DomainError):
    """Terms that nobody can have meant."""

    code = "promotion_invalid"


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


class Terms(Protocol):
    """What a promotion takes off. `kind` is its name in data and in the API."""

    kind: ClassVar[str]

    def off(self, left_minor: Sequence[int], quantities: Sequence[int]) -> list[int]:
        """What is taken off each of its lines, of which `left_minor` is left: between 0 and that."""
        ...

    def says(self, currency: str) -> str:
        """The terms in words, for the buyer."""
        ...


@dataclass(frozen=True, slots=True)
class PercentOff:
    """`percent_bp` basis points: 1500 is 15 %."""

    kind: ClassVar[str] = "percent_off"
    percent_bp: int

    def __post_init__(self) -> None:
        if not 0 < self.percent_bp <= WHOLE_BP:
            raise PromotionInvalid(f"A percentage is between 1 and {WHOLE_BP} basis points, not {self.percent_bp}.")

    def off(self, left_minor: Sequence[int], quantities: Sequence[int]) -> list[int]:
        return _shared((sum(left_minor) * self.percent_bp + WHOLE_BP // 2) // WHOLE_BP, left_minor)

    def says(self, currency: str) -> str:
        return f"{self.percent_bp // 100}.{self.percent_bp % 100:02d} % off"


@dataclass(frozen=True, slots=True)
class Step:
    """From `from_minor` on, `off_minor` is taken off."""

    from_minor: int
    off_minor: int


@dataclass(frozen=True, slots=True)
class AmountOff:
    """Steps from the lowest to the highest; a higher one takes off more, and none more than it asks for."""

    kind: ClassVar[str] = "amount_off"
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.steps) <= MAX_STEPS:
            raise PromotionInvalid(f"Name 1 to {MAX_STEPS} steps.")
        if any(not 0 < step.off_minor <= step.from_minor for step in self.steps):
            raise PromotionInvalid("A step takes off more than nothing and at most what it asks for.")
        for lower, higher in zip(self.steps, self.steps[1:], strict=False):
            if not (lower.from_minor < higher.from_minor and lower.off_minor < higher.off_minor):
                raise PromotionInvalid("Steps rise: each asks for more than the one before and takes off more.")

    def off(self, left_minor: Sequence[int], quantities: Sequence[int]) -> list[int]:
        base = sum(left_minor)
        reached = [step.off_minor for step in self.steps if step.from_minor <= base]
        return _shared(reached[-1] if reached else 0, left_minor)

    def says(self, currency: str) -> str:
        told = [f"{step.off_minor} off from {step.from_minor}" for step in self.steps]
        return f"{', '.join(told)} (minor units of {currency})"


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """Each unit for `unit_price_minor`, where it would cost more."""

    kind: ClassVar[str] = "fixed_price"
    unit_price_minor: int

    def __post_init__(self) -> None:
        if self.unit_price_minor < 0:
            raise PromotionInvalid("A price is not negative.")

    def off(self, left_minor: Sequence[int], quantities: Sequence[int]) -> list[int]:
        return [
            max(0, left - self.unit_price_minor * quantity)
            for left, quantity in zip(left_minor, quantities, strict=True)
        ]

    def says(self, currency: str) -> str:
        return f"each for {self.unit_price_minor} (minor units of {currency})"


@dataclass(frozen=True, slots=True)
class NForM:
    """`take` units for the price of `pay`, over all its lines: the cheapest are free."""

    kind: ClassVar[str] = "n_for_m"
    take: int
    pay: int

    def __post_init__(self) -> None:
        if not 0 <= self.pay < self.take <= MAX_TAKE:
            raise PromotionInvalid(f"Take more than is paid for, and at most {MAX_TAKE}.")

    def off(self, left_minor: Sequence[int], quantities: Sequence[int]) -> list[int]:
        free = sum(quantities) // self.take * (self.take - self.pay)
        units = [left // quantity for left, quantity in zip(left_minor, quantities, strict=True)]
        taken = [0] * len(units)
        for index in sorted(range(len(units)), key=lambda i: (units[i], i)):
            count = min(free, quantities[index])
            taken[index] = count * units[index]
            free -= count
        return taken

    def says(self, currency: str) -> str:
        return f"{self.take} for the price of {self.pay}, the cheapest free"


def _shared(amount_minor: int, left_minor: Sequence[int]) -> list[int]:
    """An amount that all lines bear by what is left of each; never more than there is."""
    amount_minor = min(amount_minor, sum(left_minor))
    return allot(amount_minor, left_minor) if amount_minor else [0] * len(left_minor)


def terms_of(document: Mapping[str, Any]) -> Terms:
    """The terms as they are kept: `{"kind": ..., ...}`. Raises PromotionInvalid."""
    match document["kind"]:
        case PercentOff.kind:
            return PercentOff(document["percent_bp"])
        case AmountOff.kind:
            return AmountOff(tuple(Step(step["from_minor"], step["off_minor"]) for step in document["steps"]))
        case FixedPrice.kind:
            return FixedPrice(document["unit_price_minor"])
        case NForM.kind:
            return NForM(document["take"], document["pay"])
        case other:
            raise PromotionInvalid(f"There is no kind of promotion {other!r}.")


KINDS = (PercentOff.kind, AmountOff.kind, FixedPrice.kind, NForM.kind)
"""Every kind there is."""


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
    """What a promotion is for. An empty set limits nothing; products, variants and categories add up to each other."""

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
