"""The control API: what tests and demos use to make suppliers, order faults and read the book. Not part of OCTO."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.supplier import views
from simulators.supplier.book import Book, Booking
from simulators.supplier.catalogue import HOUSES
from simulators.supplier.desk import Desk
from simulators.supplier.faults import FaultParams, FaultSettings, ForcedFault, Kind, kinds_of
from simulators.supplier.houses import CallbackTarget, Suppliers, SupplierSettings, opened

PAGE_MAX = 1_000

Body = TypeVar("Body", bound=BaseModel)


class Unfit(Exception):
    """The request cannot be followed; answered 404 or 422 with this sentence."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


class SupplierBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    like: str | None = None
    title: str | None = Field(None, max_length=200)
    token: str | None = Field(None, min_length=1, max_length=200)
    deduplicates: bool | None = None
    hold_s: float | None = Field(None, gt=0, le=86_400)
    capacity: int | None = Field(None, ge=0, le=10_000_000)
    capacities: dict[str, int] | None = None


class FaultsBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    rates: dict[Kind, float] = Field(default_factory=dict)
    params: FaultParams = Field(default_factory=FaultParams)
    deduplicates: bool | None = None


class Control:
    def __init__(self, suppliers: Suppliers, desk: Desk, book: Book) -> None:
        self._suppliers = suppliers
        self._desk = desk
        self._book = book

    def routes(self) -> list[Route]:
        one = "/control/{supplier}"
        return [
            Route("/control", self.list_suppliers, methods=["GET"]),
            Route(one, self.read_supplier, methods=["GET"]),
            Route(one, self.put_supplier, methods=["PUT"]),
            Route(f"{one}/book", self.read_book, methods=["GET"]),
            Route(f"{one}/hits", self.read_hits, methods=["GET"]),
            Route(f"{one}/faults", self.put_faults, methods=["PUT"]),
            Route(f"{one}/next", self.force_next, methods=["POST"]),
            Route(f"{one}/callbacks", self.put_callbacks, methods=["PUT"]),
            Route(f"{one}/reset", self.reset, methods=["POST"]),
        ]

    async def list_suppliers(self, request: Request) -> Response:
        return JSONResponse({"suppliers": [_settings_view(supplier) for supplier in self._suppliers.all()]})

    async def read_supplier(self, request: Request) -> Response:
        return JSONResponse(_settings_view(self._named(request)))

    async def put_supplier(self, request: Request) -> Response:
        """Make a supplier, or change one; what is left out stays as it is."""
        body = await _read(request, SupplierBody)
        name = request.path_params["supplier"]
        if name in ("control", "octo") or not name.replace("-", "").replace("_", "").isalnum():
            raise Unfit("a supplier's name is letters, digits, - and _")
        if body.like is not None and body.like not in HOUSES:
            raise Unfit(f"there is no house {body.like!r} to be like")
        known = self._suppliers.find(name)
        if known is None or (body.like is not None and body.like != known.like):
            known = opened(name, body.like or "northgate")
        given = body.model_dump(exclude={"like"}, exclude_none=True)
        if "hold_s" in body.model_fields_set:
            given["hold_s"] = body.hold_s
        changed = known.model_copy(update=given)
        self._suppliers.put(changed)
        return JSONResponse(_settings_view(changed))

    async def read_book(self, request: Request) -> Response:
        """Every booking, oldest first, in bounded pages; `reference` or `order_no` narrow it to a few at once."""
        supplier, query = self._named(request), request.query_params
        try:
            cursor, limit = int(query.get("cursor", "0")), int(query.get("limit", str(PAGE_MAX)))
        except ValueError as invalid:
            raise Unfit("cursor and limit are numbers") from invalid
        limit = max(1, min(limit, PAGE_MAX))
        if "reference" in query:
            found = self._book.of_reference(supplier.name, query["reference"].lower())
        elif "order_no" in query:
            found = self._book.of_order(supplier.name, query["order_no"])
        else:
            found = self._desk.page(supplier, cursor, limit)
            next_cursor = found[-1].seq if len(found) == limit else None
            return JSONResponse({"bookings": [_entry(each) for each in found], "next_cursor": next_cursor})
        settled = [now for each in found if (now := self._desk.current(each.id)) is not None]
        return JSONResponse({"bookings": [_entry(each) for each in settled], "next_cursor": None})

    async def read_hits(self, request: Request) -> Response:
        """Faults that took effect, by kind, and by operation and kind; since the last reset."""
        by_operation: dict[str, dict[str, int]] = {}
        hits: Counter[str] = Counter()
        for operation, kind, count in self._book.hits(self._named(request).name):
            hits[kind] += count
            by_operation.setdefault(operation, {})[kind] = count
        return JSONResponse({"hits": dict(hits), "by_operation": by_operation})

    async def put_faults(self, request: Request) -> Response:
        """Replace seed, rates and params as a whole; faults forced by `next` stay."""
        supplier, body = self._named(request), await _read(request, FaultsBody)
        wrong = [kind for kind, rate in body.rates.items() if not 0 <= rate <= 1]
        if wrong:
            raise Unfit(f"rates are between 0 and 1: {', '.join(wrong)}")
        supplier.faults = FaultSettings(
            seed=body.seed, rates=body.rates, params=body.params, forced=supplier.faults.forced
        )
        if body.deduplicates is not None:
            supplier.deduplicates = body.deduplicates
        self._suppliers.put(supplier)
        return JSONResponse(_settings_view(supplier))

    async def force_next(self, request: Request) -> Response:
        supplier, forced = self._named(request), await _read(request, ForcedFault)
        if forced.kind not in kinds_of(forced.operation):
            raise Unfit(f"{forced.kind} cannot strike {forced.operation}")
        if forced.reference is not None:
            forced.reference = forced.reference.lower()
        supplier.faults.forced.append(forced)
        self._suppliers.put(supplier)
        return JSONResponse({"forced": [each.model_dump() for each in supplier.faults.forced]})

    async def put_callbacks(self, request: Request) -> Response:
        """Call back there from now on; a body of `null` or `{}` stops it."""
        supplier = self._named(request)
        if (await request.body()).strip() in (b"", b"null", b"{}"):
            supplier.callback = None
        else:
            supplier.callback = await _read(request, CallbackTarget)
        self._suppliers.put(supplier)
        return JSONResponse(_settings_view(supplier))

    async def reset(self, request: Request) -> Response:
        """An empty book, no faults, no hits; how the supplier is otherwise (token, callbacks, capacity) stays."""
        supplier = self._named(request)
        supplier.faults = FaultSettings()
        self._suppliers.put(supplier)
        self._desk.reset(supplier)
        return JSONResponse(_settings_view(supplier))

    def _named(self, request: Request) -> SupplierSettings:
        supplier = self._suppliers.find(request.path_params["supplier"])
        if supplier is None:
            raise Unfit("no such supplier", 404)
        return supplier


async def refuse(request: Request, unfit: Exception) -> Response:
    """The one place where the control API's refusals become HTTP."""
    status = unfit.status if isinstance(unfit, Unfit) else 422
    return JSONResponse({"error": str(unfit)}, status)


async def _read(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as invalid:
        raise Unfit(json.dumps(json.loads(invalid.json(include_url=False, include_input=False)))) from invalid


def _settings_view(supplier: SupplierSettings) -> dict[str, Any]:
    view = supplier.model_dump(exclude={"callback": {"secret"}})
    return view | {"character": supplier.house.character}


def _entry(booking: Booking) -> dict[str, Any]:
    """One booking as the outside world saw it; times are ISO 8601 in UTC."""
    issued = booking.confirmed_at is not None
    units = [
        {"uuid": unit.uuid, "unit_id": unit.unit_id, "code": views.ticket_code(booking, index) if issued else None}
        for index, unit in enumerate(booking.units)
    ]
    return {
        "seq": booking.seq, "id": booking.id, "supplier": booking.supplier, "reference": booking.reference,
        "order_no": booking.order_no, "product_id": booking.product_id, "option_id": booking.option_id,
        "availability_id": booking.availability_id, "status": booking.status, "units": units,
        "unit_references": [unit.uuid for unit in booking.units], "created_at": views.utc(booking.created_at),
        "expires_at": views.utc(booking.expires_at), "confirmed_at": views.utc(booking.confirmed_at),
        "cancelled_at": views.utc(booking.cancelled_at),
        "history": [{"status": status, "at": views.utc(at)} for status, at in booking.history],
    }  # fmt: skip
