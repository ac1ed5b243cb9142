"""Amounts as merchants write them (`19.99`) and as we keep them (1999): converted exactly or refused."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from domain.errors import DomainError

_NO_DECIMALS = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
)  # fmt: skip
_THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")

MINOR_DIGITS: Mapping[str, int] = {**dict.fromkeys(_NO_DECIMALS, 0), **dict.fromkeys(_THREE_DECIMALS, 3)}
"""ISO 4217's minor units where they are not 2."""

MAX_AMOUNT_MINOR = 10**15
"""Far above any price, far below 2^63: sums of many such amounts still fit a BIGINT."""


class TooManyDecimals(DomainError):
    """The amount names a fraction of the smallest coin there is. Nothing is ever rounded."""

    code = "too_many_decimals"

    def __init__(self, amount: Decimal, currency: str) -> None:
        digits = minor_digits(currency)
        super().__init__(f"{amount} has more than the {digits} decimals that {currency} has: nothing is rounded.")
        self.currency = currency

    @property
    def facts(self) -> dict[str, object]:
        return {"currency": self.currency, "decimals": minor_digits(self.currency)}


class AmountOutOfRange(DomainError):
    """Not an amount that anything could cost."""

    code = "amount_out_of_range"

    def __init__(self) -> None:
        super().__init__(f"An amount is a number from 0 to {MAX_AMOUNT_MINOR} minor units.")


def minor_digits(currency: str) -> int:
    """How many decimals the currency has (ISO 4217)."""
    return MINOR_DIGITS.get(currency, 2)


def to_minor(amount: Decimal, currency: str) -> int:
    """`amount` major units as minor units, exactly: 19.99 CNY are 1999 fen. Zeros at the end are no decimals.

    Worked on the digits themselves, since Decimal's arithmetic rounds to its context without saying so.
    """
    if not amount.is_finite() or amount < 0 or (amount and amount.adjusted() > 18):
        raise AmountOutOfRange
    _, digits, exponent = amount.as_tuple()
    if not isinstance(exponent, int):  # only of NaN and infinities, which are refused above
        raise AmountOutOfRange
    whole = int("".join(map(str, digits)))
    shift = exponent + minor_digits(currency)
    if whole and shift >= 0:
        whole *= 10**shift
    elif whole:
        # Digits beyond the number's own length cannot all be zeros: refused before a huge power is made.
        if -shift >= len(digits) or whole % 10**-shift:
            raise TooManyDecimals(amount, currency)
        whole //= 10**-shift
    if whole > MAX_AMOUNT_MINOR:
        raise AmountOutOfRange
    return whole
