"""Somebody else's kind: flowers, bound in our shop and carried to the door by whoever delivers there."""

from __future__ import annotations

from datetime import datetime

from domain.categories.category import LineTerms, OrderedLine, Preview
from domain.operations import ISSUED, Call, Notify, Operation, Record, Reserve, WaitForCallback
from domain.placing import AddressRequired


class Flowers:
    """An address to bring them to."""

    name = "flowers"
    gated = False
    carried = True

    def validate(self, line: OrderedLine, now: datetime) -> None:
        """Raises AddressRequired."""
        if line.ship_to is None:
            raise AddressRequired(line.sku_id)

    def steps(self, terms: LineTerms) -> tuple[Operation, ...]:
        """They are asked for every hour, and somebody looks after two days: flowers do not wait."""
        return (
            Reserve(), Record("bound"), Call(apart=True), ISSUED,
            WaitForCallback("delivered", poll_s=3600, deadline_s=2 * 86_400), Notify("flowers.delivered"),
            Record("photographed"), Record("completed"),
        )  # fmt: skip

    def preview(self, terms: LineTerms) -> Preview:
        return Preview("a bunch of flowers", "bound by us, brought to the door", "within two days")
