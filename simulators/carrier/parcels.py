"""The carriers' protocol over HTTP: hand in, ask, call back and track parcels; around it the token and the faults."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from simulators.carrier import views
from simulators.carrier.book import Shipment
from simulators.carrier.carriers import Carriers, CarrierSettings
from simulators.carrier.courier import Courier
from simulators.carrier.depot import CancelBody, Depot, Refusal, ShipBody
from simulators.carrier.faults import Kind, Operation
from simulators.common.answering import as_json, bounded_body, with_faults
from simulators.common.faults import Strike
from simulators.common.results import Outcome

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and let in."""

    carrier: CarrierSettings
    operation: Operation
    reference: str
    body: bytes
    strike: Strike[Kind]

    def read(self, model: type[Body]) -> Body:
        try:
            return model.model_validate_json(self.body or b"{}")
        except ValidationError as invalid:
            wrong = ", ".join(".".join(map(str, each["loc"])) for each in invalid.errors(include_url=False)[:5])
            message = f"Missing or invalid: {wrong}"
            raise Refusal(400, "invalid_request", message, self.reference) from invalid


_ROUTES: dict[tuple[str, int, str], Operation] = {
    ("POST", 1, ""): "ship",
    ("GET", 2, ""): "query",
    ("POST", 3, "cancel"): "cancel",
    ("GET", 3, "events"): "track",
}
"""(method, number of words, third word) -> operation"""


def _route(method: str, path: str) -> tuple[Operation, str] | None:
    words = path.strip("/").split("/")
    operation = _ROUTES.get((method, len(words), words[2] if len(words) > 2 else ""))
    if operation is None or words[0] != "shipments":
        return None
    return operation, words[1].lower() if len(words) > 1 else ""


class Parcels:
    """The endpoints of every carrier."""

    def __init__(self, carriers: Carriers, depot: Depot, courier: Courier) -> None:
        self._carriers = carriers
        self._depot = depot
        self._courier = courier

    async def answer(self, request: Request) -> Response:
        carrier = self._carriers.find(request.path_params["carrier"])
        routed = _route(request.method, request.path_params["path"])
        if carrier is None or routed is None:
            return _error(404, "not_found", "No such carrier or operation")
        if not carrier.lets_in(request):
            return _error(403, "forbidden", "The token is missing or not ours")
        body = await bounded_body(request)
        if body is None:
            return _error(400, "too_large", "The body is too large")
        operation, reference = routed
        reference = reference or _reference_in(body)
        call = Call(carrier, operation, reference, body, self._carriers.strike(carrier, operation, reference))
        return await with_faults(request, call.strike, carrier.faults.params, lambda: self._work(call), _error)

    async def _work(self, call: Call) -> Response:
        try:
            match call.operation:
                case "ship":
                    return await self._changed(call, self._depot.ship(call.carrier, call.read(ShipBody), call.strike))
                case "cancel":
                    cancelled = self._depot.cancel(call.carrier, call.reference, call.read(CancelBody))
                    return await self._changed(call, cancelled)
                case "track":
                    return as_json(views.events_view(self._depot.find(call.carrier, call.reference, call.strike)))
                case _:
                    return as_json(views.shipment_view(self._depot.find(call.carrier, call.reference, call.strike)))
        except Refusal as refusal:
            return _error(refusal.status, refusal.code, str(refusal), refusal.reference)

    async def _changed(self, call: Call, outcome: Outcome[Shipment]) -> Response:
        await self._courier.follow(call.carrier, outcome)
        return as_json(views.shipment_view(outcome.entry, outcome.shown_status))


def _error(status: int, code: str, message: str, reference: str = "") -> Response:
    return as_json({"error": code.lower(), "message": message, "reference": reference or None}, status)


def _reference_in(body: bytes) -> str:
    """What faults of a new shipment are counted by."""
    try:
        return str(json.loads(body)["reference"]).lower()
    except (ValueError, KeyError, TypeError):
        return ""
