"""Which promotions an order gets: the best legal combination, found exactly and explained line by line.

A *combination* is a set of promotions. Each is applied to every line that it reaches, in the order of priority (the
lower number first) and then of id, to what the ones before have left. It is *legal* when

1. on every line, at most one promotion of a stack group reaches it, and one without a group is the only one there;
2. each takes something off;
3. the required ones (those whose coupons the buyer named) are in it.

The *best* takes off most in all; of equals the one of fewest promotions; of these the first by priority, then id.

At most MOST_AT_ONCE promotions that are not required are weighed: of more, those that take off most by themselves
(of equals the first by priority, then id). Among these the choice is exact: every combination is tried but those that,
by the most that could still be taken off, can't be the best.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from domain.promotions import BasketLine, Promotion, PromotionNotApplicable

MOST_AT_ONCE = 12


@dataclass(frozen=True, slots=True)
class LineDiscount:
    """What one promotion takes off one line, and why: `explanation` is a sentence for the buyer."""

    line_no: int
    promotion_id: str
    name: str
    amount_minor: int
    explanation: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A promotion before this basket: the indices of the lines it reaches, and the most that it could take off."""

    promotion: Promotion
    reached: tuple[int, ...]
    most_minor: int

    @property
    def rank(self) -> tuple[int, str]:
        """The order of application."""
        return self.promotion.priority, self.promotion.id

    def off(self, lines: Sequence[BasketLine], left_minor: Sequence[int]) -> list[int]:
        """What it takes off each line that it reaches."""
        left = [left_minor[index] for index in self.reached]
        return self.promotion.terms.off(left, [lines[index].quantity for index in self.reached])

    def bears(self, other: Candidate) -> bool:
        """Whether both may be in one combination."""
        return self.promotion.combines_with(other.promotion) or set(self.reached).isdisjoint(other.reached)


def best_combination(
    lines: Sequence[BasketLine], promotions: Sequence[Promotion], required: Collection[str] = ()
) -> list[LineDiscount]:
    """The discounts of the best legal combination, by line and in the order of application; empty for none.

    `promotions` may be used by this buyer now; `required`: ids of those that have to be. Raises PromotionNotApplicable
    where they can't.
    """
    candidates = _candidates(lines, promotions, required)
    search = _Search(lines, candidates, frozenset(required))
    search.visit(0, [line.price_minor for line in lines], (), 0)
    if search.best is None:
        raise _unusable(candidates, promotions, required)
    return _explained(lines, [candidates[index] for index in search.best])


def _candidates(
    lines: Sequence[BasketLine], promotions: Sequence[Promotion], required: Collection[str]
) -> list[Candidate]:
    full = [line.price_minor for line in lines]
    able: list[Candidate] = []
    for promotion in promotions:
        reached = tuple(index for index, line in enumerate(lines) if promotion.scope.reaches(line))
        most = sum(Candidate(promotion, reached, 0).off(lines, full)) if reached else 0
        if most:  # who takes nothing off the full prices takes nothing off what is left of them
            able.append(Candidate(promotion, reached, most))
    must = [each for each in able if each.promotion.id in required]
    may = sorted(
        (each for each in able if each.promotion.id not in required), key=lambda each: (-each.most_minor, each.rank)
    )
    return sorted(must + may[:MOST_AT_ONCE], key=lambda each: each.rank)


class _Search:
    """Depth first in the order of application, each promotion taken before it is left out.

    `most_after[i]`: the most that the candidates from `i` on could still take off.
    """

    def __init__(self, lines: Sequence[BasketLine], candidates: Sequence[Candidate], required: frozenset[str]) -> None:
        self._lines = lines
        self._candidates = candidates
        self._required = required
        self._most_after = [0]
        for candidate in reversed(candidates):
            self._most_after.insert(0, self._most_after[0] + candidate.most_minor)
        known = {candidate.promotion.id for candidate in candidates}
        self._possible = required <= known
        self._best_minor = 0
        self.best: tuple[int, ...] | None = None

    def visit(self, index: int, left_minor: list[int], taken: tuple[int, ...], total_minor: int) -> None:
        if not self._possible or total_minor + self._most_after[index] < self._best_minor:
            return
        if index == len(self._candidates):
            self._weigh(taken, total_minor)
            return
        candidate = self._candidates[index]
        if all(candidate.bears(self._candidates[other]) for other in taken):
            off = candidate.off(self._lines, left_minor)
            if any(off):
                after = list(left_minor)
                for line, amount in zip(candidate.reached, off, strict=True):
                    after[line] -= amount
                self.visit(index + 1, after, (*taken, index), total_minor + sum(off))
        if candidate.promotion.id not in self._required:
            self.visit(index + 1, left_minor, taken, total_minor)

    def _weigh(self, taken: tuple[int, ...], total_minor: int) -> None:
        if self.best is None or (-total_minor, len(taken), taken) < (-self._best_minor, len(self.best), self.best):
            self.best, self._best_minor = taken, total_minor


def _explained(lines: Sequence[BasketLine], chosen: Sequence[Candidate]) -> list[LineDiscount]:
    left = [line.price_minor for line in lines]
    discounts: list[LineDiscount] = []
    for candidate in chosen:
        promotion = candidate.promotion
        for index, amount in zip(candidate.reached, candidate.off(lines, left), strict=True):
            if amount:
                says = promotion.terms.says(promotion.currency)
                explanation = f"{promotion.name}: {says}; {amount} of {left[index]} taken off this line."
                discounts.append(LineDiscount(lines[index].line_no, promotion.id, promotion.name, amount, explanation))
                left[index] -= amount
    return sorted(discounts, key=lambda discount: discount.line_no)  # stable: within a line as applied


def _unusable(
    candidates: Sequence[Candidate], promotions: Sequence[Promotion], required: Collection[str]
) -> PromotionNotApplicable:
    """Which of the named ones is in the way: one that has nothing to take off, or one that does not bear another."""
    able = {candidate.promotion.id for candidate in candidates}
    named = sorted((each for each in promotions if each.id in required), key=lambda each: (each.priority, each.id))
    for promotion in named:
        if promotion.id not in able:
            why = "it takes nothing off what is ordered"
            return PromotionNotApplicable(f"Promotion {promotion.name!r}", why, promotion.id)
    last = named[-1]
    why = "it takes nothing off beside the other coupons that are named, or does not combine with them"
    return PromotionNotApplicable(f"Promotion {last.name!r}", why, last.id)
