"""Somebody else's kind: a place in a car park, from our own quota, shown at the barrier and over when it has begun."""

from __future__ import annotations

from datetime import datetime

from domain.categories.category import LineTerms, OrderedLine, Preview
from domain.errors import DomainError
from domain.operations import ISSUED, HandOut, Notify, Operation, Record, Reserve, Schedule


class PlateRequired(DomainError):
    """The barrier reads number plates."""

    code = "plate_required"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"{sku_id} is a parking place: send the number plate as the line's `account`.")


class Parking:
    """The line's account is the number plate."""

    name = "parking"
    gated = True
    carried = False

    def validate(self, line: OrderedLine, now: datetime) -> None:
        """Raises PlateRequired."""
        if not line.account:
            raise PlateRequired(line.sku_id)

    def steps(self, terms: LineTerms) -> tuple[Operation, ...]:
        """A ticket of our own for the barrier; whoever sold it hears when the parking begins."""
        return (
            Reserve(), HandOut("gate"), ISSUED,
            Schedule(at_start=True), Notify("parking.begun"), Record("completed"),
        )  # fmt: skip

    def preview(self, terms: LineTerms) -> Preview:
        return Preview("a parking place", "opens the barrier by its code", "once confirmed")
