"""Correcting waybills over HTTP: by version, so that the later correction wins and a late repetition undoes nothing."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from activities.fulfilment_messages import CorrectWaybill
from api import delivery_host
from api.deps import DatabaseDep, NowDep, TemporalDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.orders import OrderNumber
from api.views import Input, OrderNo, View
from domain.access import Action, Principal
from domain.units import UnitNotFound
from storage import units

router = capability("Orders")

Corrector = Annotated[Principal, require(Action.ORDER_DECIDE)]
Small = Annotated[int, Path(ge=0, le=100_000)]


class WaybillInput(Input):
    """The right waybill, and the unit's `version` that was read."""

    waybill: Annotated[str, Field(pattern=r"^[A-Za-z0-9\-]{4,64}$", examples=["SW1234567890"])]
    version: Annotated[int, Field(ge=1, le=10**9, strict=True)]


class WaybillView(View):
    """The unit's waybill as it is now."""

    order_no: OrderNo
    line_no: int
    unit: int
    waybill: str
    version: int


@router.post(
    "/v1/orders/{order_no}/lines/{line_no}/units/{unit}/waybill",
    response_model=WaybillView,
    responses=problems(401, 403, 404, 409, 412, 413, 415, codes=["unit_not_found"]),
    summary="Correct a wrong waybill",
)
async def correct_waybill(
    order_no: OrderNumber,
    line_no: Small,
    unit: Small,
    body: WaybillInput,
    caller: Corrector,
    keeper: KeeperDep,
    database: DatabaseDep,
    temporal: TemporalDep,
    now: NowDep,
) -> Response:
    """For a parcel whose carrier gave a wrong number. 412 where somebody has corrected it since it was read."""

    async def correct() -> Answer:
        number = int(order_no)
        async with database.reading() as connection:
            rows = await units.of_line(connection, number, line_no)
        if not any(row["unit"] == unit and row["carried"] for row in rows):
            raise UnitNotFound(line_no, unit)
        message = CorrectWaybill(number, line_no, unit, body.waybill, body.version, caller.ref, now)
        version = await delivery_host.correct(temporal, message, update_id=f"correct/{caller.ref}/{keeper.key}")
        view = WaybillView(order_no=number, line_no=line_no, unit=unit, waybill=body.waybill, version=version)
        return Answer(200, view)

    return await keeper.elsewhere(caller, correct)
