"""What a promotion takes off, and how it is shared among the lines.

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
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from domain.errors import DomainError
from domain.money import allot

WHOLE_BP = 10_000
"""All of it, in basis points."""

MAX_STEPS = 20
MAX_TAKE = 1000


class PromotionInvalid(DomainError):
    """Terms that nobody can have meant."""

    code = "promotion_invalid"


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
