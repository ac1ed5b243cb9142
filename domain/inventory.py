"""Counting what is there: what a stocktake finds, judged against what was on hand when each line was counted.

Sales go on while people count. A line's difference is therefore taken at its own count and applied to whatever is on
hand at closing: units that were sold or received in between move both sides alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import DomainError

MAX_STOCKTAKE_SKUS = 500
"""Lines of one stocktake: what one transaction closes."""


class StockBelowHeld(DomainError):
    """The change would leave less than orders hold already."""

    code = "stock_below_held"

    def __init__(self, sku_id: str, on_hand: int, held: int, quantity: int) -> None:
        super().__init__(
            f"{sku_id} has {on_hand} on hand of which {held} are held by orders: {quantity} cannot be taken away."
        )
        self.on_hand = on_hand
        self.held = held

    @property
    def facts(self) -> dict[str, object]:
        return {"on_hand": self.on_hand, "held": self.held}


class CountBelowHeld(DomainError):
    """Applying the counts would leave less than orders hold: those orders come first."""

    code = "stock_below_held"

    def __init__(self, missing: Mapping[str, int]) -> None:
        listed = ", ".join(f"{sku_id} ({units} too few)" for sku_id, units in sorted(missing.items()))
        super().__init__(
            f"Orders hold more than was counted of {listed}: count again, or cancel or issue those orders first."
        )
        self.missing = dict(missing)

    @property
    def facts(self) -> dict[str, object]:
        return {"missing": self.missing}


class StocktakeNotFound(DomainError):
    """No stocktake has this id."""

    code = "stocktake_not_found"

    def __init__(self, stocktake_id: str) -> None:
        super().__init__(f"There is no stocktake {stocktake_id}.")


class StocktakeNotOpen(DomainError):
    """It was closed or canceled: what it says is history."""

    code = "stocktake_not_open"

    def __init__(self, stocktake_id: str, state: str) -> None:
        super().__init__(f"{stocktake_id} is {state}: open another stocktake to count again.")
        self.state = state

    @property
    def facts(self) -> dict[str, object]:
        return {"state": self.state}


class StocktakeOverlaps(DomainError):
    """Another open stocktake counts the same variant in the same warehouse: both would apply one difference."""

    code = "stocktake_overlaps"

    def __init__(self, stocktake_id: str, sku_ids: Sequence[str]) -> None:
        super().__init__(
            f"{stocktake_id} is open and counts {', '.join(sku_ids)} there already: close or cancel it first."
        )
        self.stocktake_id = stocktake_id
        self.sku_ids = list(sku_ids)

    @property
    def facts(self) -> dict[str, object]:
        return {"stocktake_id": self.stocktake_id, "sku_ids": self.sku_ids}


class StocktakeIncomplete(DomainError):
    """Lines without a count are no zeros."""

    code = "stocktake_incomplete"

    def __init__(self, sku_ids: Sequence[str]) -> None:
        shown = ", ".join(sku_ids[:10]) + (f" and {len(sku_ids) - 10} more" if len(sku_ids) > 10 else "")
        super().__init__(f"Not counted yet: {shown}. Count them (0 is a count), or cancel the stocktake.")
        self.sku_ids = list(sku_ids)

    @property
    def facts(self) -> dict[str, object]:
        return {"sku_ids": self.sku_ids}


class NotInStocktake(DomainError):
    """The count is of a variant that this stocktake was not opened for."""

    code = "not_in_stocktake"

    def __init__(self, sku_ids: Sequence[str]) -> None:
        super().__init__(f"This stocktake does not count {', '.join(sku_ids)}: open one that does.")


@dataclass(frozen=True, slots=True)
class Count:
    """Units found of a variant, and units that were on hand by our books at that moment."""

    sku_id: str
    counted: int
    expected: int

    @property
    def difference(self) -> int:
        """Units too many, or, negative, missing."""
        return self.counted - self.expected


def differences(counts: Sequence[Count], levels: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """What closing changes, by variant, where it changes anything. Raises CountBelowHeld.

    `levels`: on hand and held of each variant now, at closing.
    """
    missing: dict[str, int] = {}
    for count in counts:
        on_hand, held = levels.get(count.sku_id, (0, 0))
        if (short := held - (on_hand + count.difference)) > 0:
            missing[count.sku_id] = short
    if missing:
        raise CountBelowHeld(missing)
    return {count.sku_id: count.difference for count in counts if count.difference}
