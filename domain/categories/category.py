"""What a category answers about its lines: extra validation, and how a line is fulfilled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Fulfilment(StrEnum):
    """How a line comes to be issued; the order's process has one way of each."""

    AT_SUPPLIER = "at_supplier"


@dataclass(frozen=True, slots=True)
class OrderedLine:
    """What a category may look at when it validates a line. `bought` counts the buyer's other units
    of the event: of earlier orders, and of earlier lines of this one."""

    sku_id: str
    quantity: int
    starts_at: datetime | None
    session_required: bool
    session_known: bool
    availability_id: str | None
    visitors: int
    visitors_required: bool
    buyer_limit: int
    buyer_known: bool
    bought: int


class Category(Protocol):
    """One kind of thing that is sold. Implementations are stateless."""

    name: str
    fulfilment: Fulfilment

    def validate(self, line: OrderedLine, now: datetime) -> None:
        """Raises the DomainError that says why this line cannot be ordered."""
        ...
