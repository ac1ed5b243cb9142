"""What happens to parcels by itself, and calling back each event of their way."""

from __future__ import annotations

from typing import Any

from simulators.carrier.book import Shipment
from simulators.carrier.carriers import Carriers, CarrierSettings
from simulators.carrier.depot import Depot, EventNotice
from simulators.carrier.views import callback_view
from simulators.common.callbacks import Callbacks
from simulators.common.results import Messenger, Notice


class Courier(Messenger[Shipment, CarrierSettings]):
    def __init__(self, carriers: Carriers, depot: Depot, callbacks: Callbacks) -> None:
        super().__init__(carriers, depot, callbacks, lambda _, shipment, status: callback_view(shipment, None, status))
        self._depot = depot

    def body(self, party: CarrierSettings, entry: Shipment, notice: Notice[Shipment] | None) -> dict[str, Any]:
        if isinstance(notice, EventNotice):
            return callback_view(entry, notice.happened, notice.status)
        return super().body(party, entry, notice)

    async def come_due(self, party: CarrierSettings, entry_id: str, due_at: float) -> None:
        outcome = self._depot.carry_out(party, entry_id, due_at)
        if outcome is not None:
            await self.follow(party, outcome)
