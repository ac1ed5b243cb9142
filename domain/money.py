"""Amounts of money: integers of minor units with a currency, and their exact division among parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.errors import DomainError


class CurrencyMismatch(DomainError):
    """Two currencies met in one sum. Nothing is ever converted."""

    code = "currency_mismatch"

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"The amount is in {found} where {expected} is required: order in one currency, nothing is converted."
        )
        self.expected = expected
        self.found = found

    @property
    def facts(self) -> dict[str, object]:
        return {"expected": self.expected, "found": self.found}


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """`amount_minor` minor units (cents, fen) of `currency` (ISO 4217). Signed; floats appear nowhere."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount_minor, int) or isinstance(self.amount_minor, bool):
            raise TypeError(f"an amount is an integer of minor units, not {self.amount_minor!r}")
        if len(self.currency) != 3 or not (self.currency.isascii() and self.currency.isupper()):
            raise ValueError(f"{self.currency!r} is not an ISO 4217 code, such as CNY")

    def __add__(self, other: Money) -> Money:
        return Money(self.amount_minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.amount_minor - self._same(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.amount_minor, self.currency)

    def __mul__(self, quantity: int) -> Money:
        return Money(self.amount_minor * quantity, self.currency)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return other.amount_minor


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum in `currency`; zero for none. Raises CurrencyMismatch for a foreign amount."""
    result = Money(0, currency)
    for amount in amounts:
        result += amount
    return result


def allot(amount_minor: int, weights: Sequence[int]) -> list[int]:
    """Divide `amount_minor` in proportion to `weights` by the largest remainder, so that the parts add up exactly.

    Equal remainders go to the earlier part. Weights are non-negative and not all zero.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights must be non-negative and not all zero")
    sign = -1 if amount_minor < 0 else 1
    parts = [abs(amount_minor) * weight // whole for weight in weights]
    remainders = [abs(amount_minor) * weight % whole for weight in weights]
    short = abs(amount_minor) - sum(parts)
    for index in sorted(range(len(weights)), key=lambda i: (-remainders[i], i))[:short]:
        parts[index] += 1
    return [sign * part for part in parts]
