"""OCTO over HTTP: one function per operation, and around them the token, the headers, the errors and the faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from simulators.common.answering import as_json, bounded_body, with_faults
from simulators.common.faults import Strike
from simulators.common.results import Messenger, Outcome
from simulators.supplier import views
from simulators.supplier.book import Booking
from simulators.supplier.catalogue import DAYS_ON_SALE, Option, Product, find_session, sessions
from simulators.supplier.desk import CancelBody, ConfirmBody, Desk, ExtendBody, Refusal, ReserveBody
from simulators.supplier.faults import Kind, Operation
from simulators.supplier.houses import Suppliers, SupplierSettings

PRICING = "octo/pricing"

Body = TypeVar("Body", bound=BaseModel)


class AvailabilityBody(BaseModel):
    productId: str
    optionId: str
    localDateStart: date | None = None
    localDateEnd: date | None = None
    availabilityIds: list[str] = Field(default_factory=list, max_length=500)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and let in."""

    supplier: SupplierSettings
    operation: Operation
    reference: str
    body: bytes
    query: dict[str, str]
    endpoint: str
    priced: bool
    strike: Strike[Kind]

    def read(self, model: type[Body]) -> Body:
        try:
            return model.model_validate_json(self.body or b"{}")
        except ValidationError as invalid:
            raise Refusal("BAD_REQUEST", f"{invalid.error_count()} fields are missing or invalid") from invalid


# (method, first word, number of words, last word where there are three or a fixed second) -> operation
_ROUTES: dict[tuple[str, str, int, str], Operation] = {
    ("GET", "supplier", 1, ""): "supplier",
    ("GET", "capabilities", 1, ""): "capabilities",
    ("GET", "products", 1, ""): "products",
    ("GET", "products", 2, ""): "products",
    ("POST", "availability", 1, ""): "availability",
    ("POST", "availability", 2, "calendar"): "calendar",
    ("POST", "bookings", 1, ""): "reserve",
    ("GET", "bookings", 1, ""): "list",
    ("GET", "bookings", 2, ""): "query",
    ("POST", "bookings", 3, "confirm"): "confirm",
    ("POST", "bookings", 3, "cancel"): "cancel",
    ("POST", "bookings", 3, "extend"): "extend",
}


def _route(method: str, path: str) -> tuple[Operation, str] | None:
    """The operation and the id it is about; paths come with and without a trailing slash."""
    words = path.strip("/").split("/")
    tail = words[-1] if len(words) == 3 or words == ["availability", "calendar"] else ""
    operation = _ROUTES.get((method, words[0], len(words), tail))
    if operation is None:
        return None
    return operation, words[1] if len(words) > 1 and operation != "calendar" else ""


class Octo:
    """The standard's endpoints of every supplier."""

    def __init__(self, suppliers: Suppliers, desk: Desk, messenger: Messenger[Booking, SupplierSettings]) -> None:
        self._suppliers = suppliers
        self._desk = desk
        self._messenger = messenger
        self._handlers: dict[Operation, Callable[[Call], Any]] = {
            "supplier": lambda call: views.supplier_view(call.supplier, call.endpoint),
            "capabilities": lambda call: views.capabilities_view(),
            "products": self._products,
            "availability": self._availability,
            "calendar": self._calendar,
            "query": lambda call: self._view(call, self._desk.find(call.supplier, call.reference, call.strike)),
            "list": self._list,
        }
        self._changes: dict[Operation, Callable[[Call], Outcome[Booking]]] = {
            "reserve": lambda call: desk.reserve(call.supplier, call.read(ReserveBody), call.strike),
            "confirm": lambda call: desk.confirm(call.supplier, call.reference, call.read(ConfirmBody), call.strike),
            "cancel": lambda call: desk.cancel(call.supplier, call.reference, call.read(CancelBody)),
            "extend": lambda call: desk.extend(call.supplier, call.reference, call.read(ExtendBody)),
        }

    async def answer(self, request: Request) -> Response:
        supplier = self._suppliers.find(request.path_params["supplier"])
        if supplier is None:
            return _error(404, "NOT_FOUND", "No such supplier")
        routed = _route(request.method, request.path_params["path"])
        if routed is None:
            return _error(404, "NOT_FOUND", "No such operation")
        if not supplier.lets_in(request):
            return _error(403, "FORBIDDEN", "The token is missing or not ours")
        body = await bounded_body(request)
        if body is None:
            return _error(400, "BAD_REQUEST", "The body is too large")
        operation, reference = routed
        asked = request.headers.get("octo-capabilities", "")
        priced = PRICING in asked
        call = Call(
            supplier, operation, reference, body, dict(request.query_params),
            f"{request.base_url}{supplier.name}/octo" if operation == "supplier" else "", priced,
            self._suppliers.strike(supplier, operation, _subject(operation, reference, body)),
        )  # fmt: skip
        response = await with_faults(request, call.strike, supplier.faults.params, lambda: self._work(call), _error)
        response.headers["Octo-Capabilities"] = PRICING if priced else ""
        return response

    async def _work(self, call: Call) -> Response:
        try:
            return await self._done(call)
        except Refusal as refusal:
            return _error(400, refusal.code, str(refusal), **refusal.fields)

    async def _done(self, call: Call) -> Response:
        change = self._changes.get(call.operation)
        if change is None:
            return as_json(self._handlers[call.operation](call))
        outcome = change(call)
        await self._messenger.follow(call.supplier, outcome)
        return as_json(self._view(call, outcome.entry, outcome.shown_status))

    def _view(self, call: Call, booking: Booking, status: str | None = None) -> views.Json:
        return views.booking_view(self._desk, call.supplier, booking, call.priced, status)

    def _list(self, call: Call) -> list[views.Json]:
        order_no = call.query.get("resellerReference")
        if order_no is None:
            raise Refusal("BAD_REQUEST", "Ask by resellerReference")
        return [self._view(call, booking) for booking in self._desk.find_by_order(call.supplier, order_no)]

    def _products(self, call: Call) -> Any:
        if not call.reference:
            return [views.product_view(product, call.priced) for product in call.supplier.house.products]
        product = call.supplier.house.product(call.reference)
        if product is None:
            message = "The productId was missing or invalid"
            raise Refusal("INVALID_PRODUCT_ID", message, productId=call.reference)
        return views.product_view(product, call.priced)

    def _availability(self, call: Call) -> list[views.Json]:
        body = call.read(AvailabilityBody)
        product, option = _offer(call.supplier, body)
        now = datetime.fromtimestamp(self._desk.clock(), UTC)
        if body.availabilityIds:
            found = [s for each in body.availabilityIds if (s := find_session(product, option, each, now)) is not None]
        else:
            found = sessions(product, option, *_days(body), now)
        view = views.availability_view
        return [view(self._desk, call.supplier, product, option, session, call.priced) for session in found]

    def _calendar(self, call: Call) -> list[views.Json]:
        body = call.read(AvailabilityBody)
        product, option = _offer(call.supplier, body)
        by_day: dict[date, list[views.Json]] = {}
        for session in sessions(product, option, *_days(body), datetime.fromtimestamp(self._desk.clock(), UTC)):
            view = views.availability_view(self._desk, call.supplier, product, option, session, call.priced)
            by_day.setdefault(session.starts_at.date(), []).append(view)
        return [views.calendar_view(day, of_day) for day, of_day in by_day.items()]


def _error(status: int, code: str, message: str, **fields: str) -> Response:
    return as_json({"error": code, "errorMessage": message} | fields, status)


def _subject(operation: Operation, reference: str, body: bytes) -> str:
    """What faults are counted by: the booking's uuid, which a reservation has in its body."""
    if operation != "reserve":
        return reference.lower()
    try:
        return str(json.loads(body)["uuid"]).lower()
    except (ValueError, KeyError, TypeError):
        return ""


def _offer(supplier: SupplierSettings, body: AvailabilityBody) -> tuple[Product, Option]:
    product = supplier.house.product(body.productId)
    if product is None:
        raise Refusal("INVALID_PRODUCT_ID", "The productId was missing or invalid", productId=body.productId)
    option = product.option(body.optionId)
    if option is None:
        raise Refusal("INVALID_OPTION_ID", "The optionId was missing or invalid", optionId=body.optionId)
    return product, option


def _days(body: AvailabilityBody) -> tuple[date, date]:
    if body.localDateStart is None or body.localDateEnd is None:
        raise Refusal("BAD_REQUEST", "Ask by localDateStart and localDateEnd, or by availabilityIds")
    return body.localDateStart, min(body.localDateEnd, body.localDateStart + timedelta(days=DAYS_ON_SALE * 2))
