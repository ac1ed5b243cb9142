"""The control API of the carrier simulator: how carriers are made, what happens to parcels, and the book's entries."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.carrier import views
from simulators.carrier.book import Event, Shipment
from simulators.carrier.carriers import HOUSES, Carriers, CarrierSettings, opened
from simulators.carrier.courier import Courier
from simulators.carrier.depot import Depot
from simulators.common.control import Control, Json, Unfit, entry_view, read


class CarrierBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    like: str | None = None
    title: str | None = Field(None, max_length=200)
    token: str | None = Field(None, min_length=1, max_length=200)
    deduplicates: bool | None = None
    countries: tuple[str, ...] | None = None
    regions: tuple[str, ...] | None = None
    max_weight_g: int | None = Field(None, ge=0)
    moves: bool | None = None
    step_s: float | None = Field(None, gt=0, le=86_400)


class EventBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    event: Event
    detail: str = Field("", max_length=500)


class CarrierControl(Control[CarrierSettings]):
    def __init__(self, carriers: Carriers, depot: Depot, courier: Courier) -> None:
        super().__init__(carriers, depot.book)
        self._depot = depot
        self._courier = courier

    def routes(self) -> list[Route]:
        happens = Route("/control/{party}/shipments/{reference}/events", self.post_event, methods=["POST"])
        return [*super().routes(), happens]

    async def post_event(self, request: Request) -> Response:
        """Let something happen to a parcel now, with its callback."""
        carrier, body = self.named(request), await read(request, EventBody)
        reference = request.path_params["reference"].lower()
        outcome = self._depot.tell(carrier, reference, body.event, body.detail)
        if outcome is None:
            raise Unfit("no parcel is under way under this reference", 404)
        await self._courier.follow(carrier, outcome)
        return JSONResponse(views.events_view(outcome.entry))

    async def changed_party(self, request: Request, name: str, known: CarrierSettings | None) -> CarrierSettings:
        body = await read(request, CarrierBody)
        if body.like is not None and body.like not in HOUSES:
            raise Unfit(f"there is no house {body.like!r} to be like")
        if known is None or (body.like is not None and body.like != known.like):
            known = opened(name, body.like or "swift")
        given = body.model_dump(exclude={"like"}, exclude_none=True)
        if "regions" in body.model_fields_set:
            given["regions"] = body.regions
        return known.model_copy(update=given)

    def entries(
        self, party: CarrierSettings, reference: str | None, order_no: str | None, after: int, limit: int
    ) -> list[Json]:
        return [_entry(each) for each in self._depot.listed(party.name, reference, order_no, after, limit)]

    def erase(self, party: CarrierSettings) -> None:
        self._depot.reset(party)


def _entry(shipment: Shipment) -> Json:
    """One parcel as the outside world saw it: the pieces in it are its units."""
    return entry_view(shipment) | {
        "unit_references": shipment.unit_references, "warehouse": shipment.warehouse, "to": shipment.to,
        "goods": shipment.goods, "weight_g": shipment.weight_g, "waybill": shipment.waybill,
        "waybill_version": shipment.waybill_version, "rejection": shipment.rejection,
        "events": [views.event_view(happened) for happened in shipment.events],
    }  # fmt: skip
