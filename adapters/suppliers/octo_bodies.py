"""OCTO's bodies as a stranger sends them: read only as far as we need, and judged without trust.

The rule of the house: whatever is not provably a definite answer is `Unknown`. A booking that contradicts itself, that
is about another uuid, or that says CONFIRMED without its tickets, is evidence of nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from adapters.suppliers import (
    CallbackUnreadable,
    SupplierOption,
    SupplierProduct,
    SupplierSession,
    SupplierUnit,
    SupplierUnreadable,
    Told,
)
from domain.issuance import Canceled, Confirmed, Held, IssuedTicket, Pending, QueryAnswer, Rejected, Unknown

ISSUED = frozenset({"CONFIRMED", "REDEEMED"})
ENDED = frozenset({"CANCELLED", "EXPIRED"})
# What a gate can read; a link to a PDF or a wallet pass is taken only where there is nothing better.
GATE_READS = ("QRCODE", "AZTECCODE", "CODE128")

_UNIT_LABEL = re.compile(r" ([1-9]\d{0,3})/([1-9]\d{0,3})$")


class _Body(BaseModel):
    """Unknown fields are OCTO's business (it has many); known ones keep their type and a bounded length."""

    model_config = ConfigDict(extra="ignore", str_max_length=4_000, frozen=True)


class DeliveryOption(_Body):
    deliveryFormat: str
    deliveryValue: str


class Ticket(_Body):
    deliveryOptions: list[DeliveryOption] = Field(default_factory=list, max_length=20)


class UnitItem(_Body):
    uuid: str
    resellerReference: str | None = None
    supplierReference: str | None = None
    status: str | None = None
    ticket: Ticket | None = None


class BookingBody(_Body):
    id: str | None = None
    uuid: str
    status: str
    supplierReference: str | None = None
    utcExpiresAt: AwareDatetime | None = None
    utcConfirmedAt: AwareDatetime | None = None
    cancellation: dict[str, object] | None = None
    voucher: Ticket | None = None
    unitItems: list[UnitItem] = Field(default_factory=list, max_length=1_000)


class ErrorBody(_Body):
    error: str
    errorMessage: str = ""
    uuid: str | None = None


class _PriceBody(_Body):
    retail: int
    net: int | None = None
    currency: str = Field(pattern="^[A-Z]{3}$")


class _UnitBody(_Body):
    id: str
    internalName: str
    title: str | None = None
    pricing: list[_PriceBody] = Field(default_factory=list)
    pricingFrom: list[_PriceBody] = Field(default_factory=list)


class _OptionBody(_Body):
    id: str
    internalName: str
    title: str | None = None
    units: list[_UnitBody] = Field(max_length=200)


class _ProductBody(BaseModel):
    model_config = ConfigDict(extra="ignore", str_max_length=100_000, frozen=True)

    id: str
    internalName: str
    title: str | None = None
    description: str | None = None
    reference: str | None = None
    timeZone: str = "UTC"
    availabilityRequired: bool
    defaultCurrency: str | None = None
    options: list[_OptionBody] = Field(max_length=500)


class _SessionBody(_Body):
    id: str
    localDateTimeStart: AwareDatetime
    localDateTimeEnd: AwareDatetime
    available: bool
    vacancies: int | None = None


_PRODUCTS = TypeAdapter(list[_ProductBody])
_SESSIONS = TypeAdapter(list[_SessionBody])


def unit_label(order_no: str, index: int, count: int) -> str:
    """Our name for one unit, sent as its resellerReference, so that an echo alone tells which of how many it is."""
    return f"{order_no} {index + 1}/{count}"


def read_error(body: bytes) -> ErrorBody | None:
    """OCTO's error, or None for a body that is not one."""
    try:
        return ErrorBody.model_validate_json(body)
    except ValidationError:
        return None


def read_booking(body: bytes) -> BookingBody | None:
    """A booking, or None for a body that is not one."""
    try:
        return BookingBody.model_validate_json(body)
    except ValidationError:
        return None


def judge_booking(booking: BookingBody, unit_references: Sequence[str] = ()) -> QueryAnswer:
    """What a booking's body proves. `unit_references`: ours, in order; without them the echoed labels must do."""
    contradiction = _contradiction(booking)
    if contradiction is not None:
        return Unknown(contradiction)
    name = supplier_reference(booking)
    if booking.status in ISSUED:
        tickets = _tickets(booking, unit_references)
        return tickets if isinstance(tickets, Unknown) else Confirmed(name, tickets)
    if booking.status == "ON_HOLD":
        return Held(name, booking.utcExpiresAt)
    if booking.status == "PENDING":
        return Pending(name)
    if booking.status == "REJECTED":
        return Rejected("REJECTED", retry_elsewhere=True)
    if booking.status in ENDED:
        return Canceled()
    return Unknown(f"status {booking.status[:40]!r} is not one of OCTO's")


def read_told(body: Mapping[str, object], unit_references: Sequence[str] = ()) -> Told:
    """What a callback with a booking tells. Raises CallbackUnreadable."""
    try:
        booking = BookingBody.model_validate(body)
    except ValidationError as unreadable:
        raise CallbackUnreadable("the body is not a booking") from unreadable
    return Told(booking.uuid.lower(), judge_booking(booking, unit_references))


def supplier_reference(booking: BookingBody) -> str:
    return booking.supplierReference or booking.id or booking.uuid


def _contradiction(booking: BookingBody) -> str | None:
    """Why the body cannot be believed, or None."""
    units = {item.status for item in booking.unitItems if item.status is not None}
    if booking.status in ISSUED:
        if booking.cancellation is not None:
            return f"{booking.status} with a cancellation"
        if units - ISSUED:
            return f"{booking.status} with units {sorted(units - ISSUED)}"
        return None
    if units & ISSUED:
        return f"{booking.status} with units {sorted(units & ISSUED)}"
    # A cancelled booking may well have been confirmed before; none of the others can.
    if booking.status != "CANCELLED" and booking.utcConfirmedAt is not None:
        return f"{booking.status} with a time of confirmation"
    return None


def _tickets(booking: BookingBody, unit_references: Sequence[str]) -> tuple[IssuedTicket, ...] | Unknown:
    """One ticket per unit in our order, or why they are not to be had."""
    order = _by_reference(booking, unit_references) if unit_references else _by_label(booking)
    if order is None:
        return Unknown("confirmed, but its units are not the ones we asked for")
    tickets = []
    for unit, item in enumerate(order):
        # Where delivery is by voucher alone, the one voucher admits every unit.
        delivered = _best_delivery(item.ticket) or _best_delivery(booking.voucher)
        if delivered is None:
            return Unknown("confirmed, but without all tickets")
        name = item.supplierReference or item.uuid
        tickets.append(IssuedTicket(unit, name, delivered.deliveryValue, delivered.deliveryFormat))
    return tuple(tickets)


def _by_reference(booking: BookingBody, unit_references: Sequence[str]) -> list[UnitItem] | None:
    items = {item.uuid.lower(): item for item in booking.unitItems}
    wanted = [reference.lower() for reference in unit_references]
    if len(booking.unitItems) != len(wanted) or set(items) != set(wanted):
        return None
    return [items[reference] for reference in wanted]


def _by_label(booking: BookingBody) -> list[UnitItem] | None:
    """Units in the order of the labels we gave them. A single unlabelled unit needs no order."""
    if len(booking.unitItems) == 1 and booking.unitItems[0].resellerReference is None:
        return list(booking.unitItems)
    count, by_place = len(booking.unitItems), dict[int, UnitItem]()
    for item in booking.unitItems:
        label = _UNIT_LABEL.search(item.resellerReference or "")
        if label is None or int(label[2]) != count:
            return None
        by_place[int(label[1])] = item
    if not count or set(by_place) != set(range(1, count + 1)):
        return None
    return [by_place[place] for place in range(1, count + 1)]


def _best_delivery(ticket: Ticket | None) -> DeliveryOption | None:
    usable = [each for each in ticket.deliveryOptions if each.deliveryValue] if ticket is not None else []
    return next((each for each in usable if each.deliveryFormat in GATE_READS), usable[0] if usable else None)


def read_products(body: bytes) -> list[SupplierProduct]:
    """The catalogue. One unreadable product makes the whole unreadable: what is missing must not look withdrawn."""
    try:
        return [_product(each) for each in _PRODUCTS.validate_json(body)]
    except ValidationError as invalid:
        raise SupplierUnreadable(f"the catalogue has {invalid.error_count()} unreadable fields") from invalid


def _product(body: _ProductBody) -> SupplierProduct:
    options = tuple(
        SupplierOption(
            option.id,
            option.title or option.internalName,
            tuple(_unit(unit, body) for unit in option.units),
        )
        for option in body.options
    )
    title = body.title or body.internalName
    return SupplierProduct(
        body.id, title, body.description or "", body.timeZone, body.availabilityRequired, options, body.reference
    )


def _unit(unit: _UnitBody, product: _ProductBody) -> SupplierUnit:
    """The price in the product's default currency; a supplier that keeps `net` to itself is paid retail."""
    prices = unit.pricing or unit.pricingFrom
    if not prices:
        raise SupplierUnreadable(f"unit {unit.id} of product {product.id} has no price: is octo/pricing missing?")
    price = next((each for each in prices if each.currency == product.defaultCurrency), prices[0])
    net_minor = price.retail if price.net is None else price.net
    return SupplierUnit(unit.id, unit.title or unit.internalName, price.retail, net_minor, price.currency)


def read_sessions(body: bytes, product_id: str, option_id: str) -> list[SupplierSession]:
    try:
        found = _SESSIONS.validate_json(body)
    except ValidationError as invalid:
        raise SupplierUnreadable(f"the sessions have {invalid.error_count()} unreadable fields") from invalid
    return [
        SupplierSession(
            each.id, product_id, option_id, each.localDateTimeStart, each.localDateTimeEnd, each.available,
            each.vacancies,
        )
        for each in found
    ]  # fmt: skip
