"""The control API of the supplier simulator: how suppliers are made, and what their book's entries look like."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from simulators.common.answering import utc
from simulators.common.control import Control, Json, Unfit, entry_view, read
from simulators.supplier import views
from simulators.supplier.book import Booking
from simulators.supplier.catalogue import HOUSES
from simulators.supplier.desk import Desk
from simulators.supplier.houses import Suppliers, SupplierSettings, opened


class SupplierBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    like: str | None = None
    title: str | None = Field(None, max_length=200)
    token: str | None = Field(None, min_length=1, max_length=200)
    deduplicates: bool | None = None
    hold_s: float | None = Field(None, gt=0, le=86_400)
    capacity: int | None = Field(None, ge=0, le=10_000_000)
    capacities: dict[str, int] | None = None


class SupplierControl(Control[SupplierSettings]):
    def __init__(self, suppliers: Suppliers, desk: Desk) -> None:
        super().__init__(suppliers, desk.book)
        self._desk = desk

    async def changed_party(self, request: Request, name: str, known: SupplierSettings | None) -> SupplierSettings:
        body = await read(request, SupplierBody)
        if name == "octo":
            raise Unfit("no supplier may be called `octo`")
        if body.like is not None and body.like not in HOUSES:
            raise Unfit(f"there is no house {body.like!r} to be like")
        if known is None or (body.like is not None and body.like != known.like):
            known = opened(name, body.like or "northgate")
        given = body.model_dump(exclude={"like"}, exclude_none=True)
        if "hold_s" in body.model_fields_set:
            given["hold_s"] = body.hold_s
        return known.model_copy(update=given)

    def entries(
        self, party: SupplierSettings, reference: str | None, order_no: str | None, after: int, limit: int
    ) -> list[Json]:
        return [_entry(each) for each in self._desk.listed(party.name, reference, order_no, after, limit)]

    def erase(self, party: SupplierSettings) -> None:
        self._desk.reset(party)

    def view(self, party: SupplierSettings) -> Json:
        return super().view(party) | {"character": party.house.character}


def _entry(booking: Booking) -> Json:
    """One booking as the outside world saw it; times are ISO 8601 in UTC."""
    issued = booking.confirmed_at is not None
    units = [
        {"uuid": unit.uuid, "unit_id": unit.unit_id, "code": views.ticket_code(booking, index) if issued else None}
        for index, unit in enumerate(booking.units)
    ]
    return entry_view(booking) | {
        "product_id": booking.product_id, "option_id": booking.option_id, "availability_id": booking.availability_id,
        "units": units, "unit_references": [unit.uuid for unit in booking.units],
        "expires_at": utc(booking.expires_at),
    }  # fmt: skip
