"""OCTO's JSON: how products, sessions and bookings look on the wire. Pricing only where the caller asked for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any

from simulators.common.answering import utc
from simulators.supplier.book import Booking
from simulators.supplier.catalogue import Option, Product, Session, Unit, find_session
from simulators.supplier.desk import Desk
from simulators.supplier.houses import SupplierSettings

Json = dict[str, Any]

CURRENCY = "CNY"
CONTACT_FIELDS = (
    "fullName", "firstName", "lastName", "emailAddress", "phoneNumber", "postalCode", "country", "notes",
)  # fmt: skip


def pricing(units: Iterable[Unit]) -> Json:
    """The sum over units, in fen."""
    original = retail = net = 0
    for unit in units:
        original += unit.original_minor
        retail += unit.retail_minor
        net += unit.net_minor
    return {
        "original": original, "retail": retail, "net": net, "currency": CURRENCY, "currencyPrecision": 2,
        "includedTaxes": [],
    }  # fmt: skip


def supplier_view(supplier: SupplierSettings, endpoint: str) -> Json:
    contact = {"website": None, "email": f"desk@{supplier.like}.example", "telephone": None, "address": None}
    return {"id": supplier.name, "name": supplier.title, "endpoint": endpoint, "contact": contact}


def capabilities_view() -> list[Json]:
    docs = "Amounts on units, sessions and bookings."
    return [{"id": "octo/pricing", "revision": 1, "required": False, "dependencies": [], "docs": docs}]


def product_view(product: Product, priced: bool) -> Json:
    view: Json = {
        "id": product.id, "internalName": product.title, "reference": product.reference, "locale": "en",
        "timeZone": product.time_zone, "allowFreesale": not product.dated, "instantConfirmation": True,
        "instantDelivery": True, "availabilityRequired": product.dated,
        "availabilityType": "OPENING_HOURS" if product.all_day else "START_TIME",
        "deliveryFormats": list(product.delivery_formats), "deliveryMethods": ["TICKET"],
        "redemptionMethod": "DIGITAL", "title": product.title, "description": product.description,
        "options": [_option(option, option is product.options[0], priced) for option in product.options],
    }  # fmt: skip
    if priced:
        view |= {"defaultCurrency": CURRENCY, "availableCurrencies": [CURRENCY], "pricingPer": "UNIT"}
    return view


def _option(option: Option, default: bool, priced: bool) -> Json:
    view: Json = {
        "id": option.id, "default": default, "internalName": option.title, "title": option.title, "reference": None,
        "availabilityLocalStartTimes": list(option.start_times), "cancellationCutoff": "0 hours",
        "cancellationCutoffAmount": 0, "cancellationCutoffUnit": "hour", "requiredContactFields": [],
        "restrictions": {"minUnits": 1, "maxUnits": 100},
        "units": [_unit(unit, priced) for unit in option.units],
    }  # fmt: skip
    if priced:
        view["pricingFrom"] = [pricing([min(option.units, key=lambda unit: unit.retail_minor)])]
    return view


def _unit(unit: Unit, priced: bool) -> Json:
    restrictions: Json = {
        "minAge": 0, "maxAge": 120, "idRequired": False, "minQuantity": None, "maxQuantity": None, "paxCount": 1,
        "accompaniedBy": [],
    }  # fmt: skip
    view: Json = {
        "id": unit.id, "internalName": unit.title, "title": unit.title, "reference": None, "type": unit.type,
        "restrictions": restrictions, "requiredContactFields": [],
    }  # fmt: skip
    if priced:
        view |= {"pricing": [pricing([unit])], "pricingFrom": [pricing([unit])]}
    return view


def _status(vacancies: int, capacity: int, open_for_sale: bool) -> str:
    if not open_for_sale:
        return "CLOSED"
    if vacancies <= 0:
        return "SOLD_OUT"
    return "LIMITED" if vacancies * 2 < capacity else "AVAILABLE"


def availability_view(
    desk: Desk, supplier: SupplierSettings, product: Product, option: Option, session: Session, priced: bool
) -> Json:
    vacancies = desk.vacancies(supplier, product.id, option.id, session.id)
    open_for_sale = session.cutoff_at.timestamp() > desk.clock()
    capacity = supplier.capacity_of(session.id)
    view: Json = {
        "id": session.id, "localDateTimeStart": session.starts_at.isoformat(),
        "localDateTimeEnd": session.ends_at.isoformat(), "utcCutoffAt": utc(session.cutoff_at.timestamp()),
        "allDay": product.all_day, "available": open_for_sale and vacancies > 0,
        "status": _status(vacancies, capacity, open_for_sale), "vacancies": vacancies, "capacity": capacity,
        "maxUnits": None,
        "openingHours": [{"from": f"{session.starts_at:%H:%M}", "to": f"{session.ends_at:%H:%M}"}],
    }  # fmt: skip
    if priced:
        view["unitPricing"] = [{"unitId": unit.id} | pricing([unit]) for unit in option.units]
    return view


def calendar_view(day: date, of_day: list[Json]) -> Json:
    """One day of the calendar from that day's sessions: the best of them."""
    best = max(of_day, key=lambda each: (each["available"], each["vacancies"]))
    view = {key: best[key] for key in ("available", "status", "vacancies", "capacity")}
    view |= {"localDate": day.isoformat(), "openingHours": [each["openingHours"][0] for each in of_day]}
    if "unitPricing" in best:
        view["unitPricingFrom"] = best["unitPricing"]
    return view


def booking_view(
    desk: Desk, supplier: SupplierSettings, booking: Booking, priced: bool, status: str | None = None
) -> Json:
    """A booking; `status` overrides the book's where the supplier says otherwise. `product` and `option` are left out:
    OCTO does not require them and callers know them."""
    status = status or booking.status
    issued = status in ("CONFIRMED", "REDEEMED")
    product, option = _offer(supplier, booking)
    now = desk.clock()
    session = None
    if booking.availability_id is not None:
        session = find_session(product, option, booking.availability_id, datetime.fromtimestamp(now, UTC))
    cancellation = None
    if status == "CANCELLED":
        refund = "FULL" if booking.confirmed_at is not None else "NONE"
        reason, at = booking.cancel_reason, utc(booking.cancelled_at)
        cancellation = {"refund": refund, "reason": reason, "utcCancelledAt": at}
    view: Json = {
        "id": booking.id, "uuid": booking.reference, "testMode": False, "resellerReference": booking.order_no,
        "supplierReference": reference_of(booking), "status": status, "utcCreatedAt": utc(booking.created_at),
        "utcUpdatedAt": utc(booking.updated_at), "utcExpiresAt": utc(booking.expires_at), "utcRedeemedAt": None,
        "utcConfirmedAt": utc(booking.confirmed_at) if issued or status == "CANCELLED" else None,
        "productId": booking.product_id, "optionId": booking.option_id,
        "cancellable": status in ("ON_HOLD", "PENDING", "CONFIRMED")
        and desk.is_cancellable(supplier, booking, now),
        "cancellation": cancellation, "freesale": booking.availability_id is None,
        "availabilityId": booking.availability_id,
        "availability": session and availability_view(desk, supplier, product, option, session, priced),
        "contact": _contact(booking.contact), "notes": booking.notes, "deliveryMethods": ["TICKET"], "voucher": None,
        "unitItems": [_unit_item(booking, i, status, product, option, priced) for i in range(len(booking.units))],
    }  # fmt: skip
    if priced:
        view["pricing"] = pricing(unit for each in booking.units if (unit := option.unit(each.unit_id)) is not None)
    return view


def _unit_item(booking: Booking, index: int, status: str, product: Product, option: Option, priced: bool) -> Json:
    booked = booking.units[index]
    ticket = None
    if status in ("CONFIRMED", "REDEEMED"):
        code, formats = ticket_code(booking, index), product.delivery_formats
        options = [{"deliveryFormat": each, "deliveryValue": _delivered(each, code)} for each in formats]
        ticket = {"redemptionMethod": "DIGITAL", "utcRedeemedAt": None, "deliveryOptions": options}
    view: Json = {
        "uuid": booked.uuid, "resellerReference": booked.reseller_reference,
        "supplierReference": f"{reference_of(booking)}-{index + 1}", "unitId": booked.unit_id, "status": status,
        "utcRedeemedAt": None, "contact": _contact({}), "ticket": ticket,
    }  # fmt: skip
    unit = option.unit(booked.unit_id)
    if priced and unit is not None:
        view["pricing"] = pricing([unit])
    return view


def reference_of(booking: Booking) -> str:
    """The short name by which the supplier's own staff would call it."""
    return booking.id.replace("-", "")[:8].upper()


def ticket_code(booking: Booking, index: int) -> str:
    """What the gate reads: the same on every read of the same booking, different for every other."""
    digest = blake2b(f"{booking.id}/{index}".encode(), digest_size=10).hexdigest().upper()
    return f"{booking.supplier[:2].upper()}{digest}"


def _delivered(delivery_format: str, code: str) -> str:
    return f"https://tickets.example/{code}.pdf" if delivery_format == "PDF_URL" else code


def _offer(supplier: SupplierSettings, booking: Booking) -> tuple[Product, Option]:
    product = supplier.house.product(booking.product_id)
    option = product.option(booking.option_id) if product is not None else None
    if product is None or option is None:
        raise LookupError(f"the book has a booking of an offer that is not in the catalogue: {booking.product_id}")
    return product, option


def _contact(given: Json) -> Json:
    return {name: given.get(name) for name in CONTACT_FIELDS} | {"locales": given.get("locales") or []}
