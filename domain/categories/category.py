"""What a category answers about its lines: may they be ordered, how are they fulfilled, what will a buyer get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.operations import Operation


@dataclass(frozen=True, slots=True)
class LineTerms:
    """What decides how a line is fulfilled: where its variant's stock is, and whether anybody outside sells it."""

    stock_policy: str
    offered: bool


@dataclass(frozen=True, slots=True)
class OrderedLine:
    """What a category may look at when it validates a line. `bought` counts the buyer's other units of the event: of
    earlier orders, and of earlier lines of this one. `weight_g`: of one piece, in grams."""

    sku_id: str
    quantity: int
    terms: LineTerms
    starts_at: datetime | None = None
    session_required: bool = False
    session_known: bool = False
    availability_id: str | None = None
    visitors: int = 0
    visitors_required: bool = False
    buyer_limit: int = 0
    buyer_known: bool = False
    bought: int = 0
    account: str | None = None
    ship_to: Mapping[str, str] | None = None
    weight_g: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What the buyer will get, how, and when: shown with the product and before an order is paid."""

    what: str
    how: str
    when: str


class Category(Protocol):
    """One kind of thing that is sold: a file and a registration. Implementations are stateless.

    `gated`: its units are tickets that a gate reads. `carried`: they travel, so that the order has a delivery.
    """

    name: str
    gated: bool
    carried: bool

    def validate(self, line: OrderedLine, now: datetime) -> None:
        """Raises the DomainError that says why this line cannot be ordered."""
        ...

    def steps(self, terms: LineTerms) -> tuple[Operation, ...]:
        """The operations that fulfil a line on these terms. An order keeps the steps that it began with."""
        ...

    def preview(self, terms: LineTerms) -> Preview:
        """What a buyer is told of it before he pays."""
        ...


UNKNOWN_KIND = Preview("what the product says", "as the product says", "once confirmed")


EVERY_TERMS: tuple[LineTerms, ...] = tuple(
    LineTerms(policy, offered)
    for policy in ("hold", "at_place", "at_payment", "codes", "none")
    for offered in (True, False)
)
"""All terms that a variant may have: what a registration checks a kind's steps with."""
