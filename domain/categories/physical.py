"""Physical goods: picked and packed in the warehouses that have them, sent in parcels, carried to the buyer's door."""

from __future__ import annotations

from datetime import datetime

from domain.categories.category import LineTerms, OrderedLine, Preview
from domain.operations import ISSUED, Call, Notify, Operation, Record, Reserve, Schedule, WaitForCallback
from domain.placing import AddressRequired, ParcelTooHeavy

HOUR_S, DAY_S = 3600, 86_400
MAX_WEIGHT_G = 30_000
"""What one piece may weigh and still go as a parcel; heavier goods are freight, which nobody here carries."""


class Physical:
    """An address that parcels can be sent to. Whether a carrier serves it is in its offers' regions."""

    name = "physical"
    gated = False
    carried = True

    def validate(self, line: OrderedLine, now: datetime) -> None:
        """Raises AddressRequired or ParcelTooHeavy."""
        if line.ship_to is None:
            raise AddressRequired(line.sku_id)
        if line.weight_g is not None and line.weight_g > MAX_WEIGHT_G:
            raise ParcelTooHeavy(line.sku_id, line.weight_g, MAX_WEIGHT_G)

    def steps(self, terms: LineTerms) -> tuple[Operation, ...]:
        """A parcel for each warehouse; issued when the carrier has them all; complete a week after delivery."""
        return (
            Reserve(),
            Record("picked"),
            Record("packed"),
            Call(apart=True),
            ISSUED,
            WaitForCallback("delivered", poll_s=6 * HOUR_S, deadline_s=30 * DAY_S),
            Notify("order.delivered"),
            Schedule(after_s=7 * DAY_S),
            Record("completed"),
        )

    def preview(self, terms: LineTerms) -> Preview:
        return Preview("the goods, in one parcel or several", "picked in a warehouse, sent by a carrier", "within days")
