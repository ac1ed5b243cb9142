"""Who bears a discount: its promotion's campaign owes us what it took off, so that funds stay ahead of costs.

Source: spec "Settlement": discounts that we fund are receivable from `subsidy:{campaign}`. A line's subsidy begins with
its receivable, at the lock, and goes back with it, when the line is cancelled or refunded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain import ledger
from domain.ledger import MARGIN, Transfer
from domain.settlement import LineFacts


@dataclass(frozen=True, slots=True)
class GrantedDiscount:
    """What a promotion took off a line: > 0 minor units."""

    line_no: int
    promotion_id: str
    amount_minor: int


def subsidies_at_lock(
    lines: Iterable[LineFacts], discounts: Iterable[GrantedDiscount], locked_at: datetime
) -> list[Transfer]:
    """What each campaign owes us for these lines, once per line and promotion."""
    by_number = {line.line_no: line for line in lines}
    return [_subsidy(by_number[each.line_no], each, locked_at) for each in discounts if each.line_no in by_number]


def subsidies_back(lines: Iterable[LineFacts], discounts: Iterable[GrantedDiscount], at: datetime) -> list[Transfer]:
    """What no campaign owes any more, since these locked lines were cancelled or refunded whole."""
    owed = subsidies_at_lock(lines, discounts, at)
    return [each.reversed(f"{each.key}/back", at) for each in owed]


def _subsidy(line: LineFacts, discount: GrantedDiscount, at: datetime) -> Transfer:
    key = f"{line.subject}/subsidy/{discount.promotion_id}"
    return Transfer(key, ledger.subsidy(discount.promotion_id), MARGIN, discount.amount_minor, line.currency, at)
