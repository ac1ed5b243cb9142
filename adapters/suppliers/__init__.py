"""What every supplier looks like from inside: the one interface that each protocol's adapter serves.

A new protocol is one file here and one line in `adapters/suppliers/registry.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from domain.issuance import Answer, CancelAnswer, QueryAnswer
from domain.units import TrackedEvent


class NotSent(Exception):
    """The supplier is known to have done nothing with the request: safe to retry, with the same reference.

    Either it never arrived (name not resolved, connection refused), or it was turned away unread (429), and then
    `retry_after_s` is how long the supplier asks us to stay away (None: our own schedule).
    """

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class ShipTo:
    """Where a parcel goes: country as ISO 3166-1 alpha-2, region as the country names it."""

    receiver: str
    phone: str
    country: str
    region: str
    city: str
    street: str
    postcode: str | None = None


@dataclass(frozen=True, slots=True)
class Goods:
    """What is in a parcel: one variant, how many pieces, and the weight of one in grams (None: not known)."""

    sku_id: str
    title: str
    quantity: int
    weight_g: int | None


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """What one line asks of a supplier. `reference` is ours, stable over all retries, and stored before the first send.

    `unit_references` has one reference per unit, in order. Personal data is only what the supplier requires.
    `account`: what is to be topped up; `ship_to`, `ship_from` (a warehouse's id) and `goods`: of a parcel.
    """

    reference: str
    product_id: str
    option_id: str
    unit_id: str
    availability_id: str | None
    unit_references: tuple[str, ...]
    order_no: str
    currency: str
    hold_minutes: int | None = None
    contact_name: str | None = None
    contact_email: str | None = None
    account: str | None = None
    ship_to: ShipTo | None = None
    ship_from: str | None = None
    goods: tuple[Goods, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What a callback says about the booking under `reference` (ours, lower case): an answer, what happened, or both.

    `tracked`: what happened to the thing on its way since, oldest first.
    """

    reference: str
    answer: QueryAnswer | None = None
    tracked: tuple[TrackedEvent, ...] = ()


class CallbackUnreadable(Exception):
    """The body of a callback is not what this protocol sends."""


@dataclass(frozen=True, slots=True)
class SupplierUnit:
    """A priced unit type (adult, child, seat class); amounts in minor units of `currency`."""

    unit_id: str
    title: str
    retail_minor: int
    net_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class SupplierOption:
    option_id: str
    title: str
    units: tuple[SupplierUnit, ...]


@dataclass(frozen=True, slots=True)
class SupplierProduct:
    """A supplier's product as it offers it: `availability_required` means that a buyer must choose a session.

    `reference` is a name that other suppliers may use for the same thing (None: the supplier gives none).
    """

    product_id: str
    title: str
    description: str
    time_zone: str
    availability_required: bool
    options: tuple[SupplierOption, ...]
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class SupplierSession:
    """A bookable date or start time of an option. `vacancies` is None where the supplier does not count."""

    availability_id: str
    product_id: str
    option_id: str
    starts_at: datetime
    ends_at: datetime
    available: bool
    vacancies: int | None


class Supplier(Protocol):
    """One supplier, spoken to in its own protocol. Every method maps all answers; none raises but NotSent.

    Time-outs are seconds for the whole call. Only `read_products` and `read_sessions` may raise `SupplierUnreadable`.
    """

    async def reserve(self, request: BookingRequest, *, timeout_s: float) -> Answer:
        """Hold without issuing, for a limited time. Confirmed.expires_at is the supplier's own expiry."""
        ...

    async def issue(self, request: BookingRequest, *, reserved: bool, timeout_s: float) -> Answer:
        """Obtain the final thing. `reserved`: a hold under the same reference exists and is only to be confirmed."""
        ...

    async def query(self, reference: str, *, timeout_s: float, unit_references: Sequence[str] = ()) -> QueryAnswer:
        """What the supplier knows under our reference. Changes nothing. `unit_references` put the tickets in order."""
        ...

    async def cancel(self, reference: str, *, reason: str, timeout_s: float) -> CancelAnswer:
        """Give back a hold or an issued booking; repeatable. NotFound counts as nothing held."""
        ...

    async def extend(self, reference: str, *, minutes: int, timeout_s: float) -> Answer:
        """Prolong a hold; Confirmed.expires_at is the new expiry."""
        ...

    async def read_products(self, *, timeout_s: float) -> list[SupplierProduct]:
        """The supplier's whole catalogue."""
        ...

    async def read_sessions(
        self, product_id: str, option_id: str, *, first_day: str, last_day: str, timeout_s: float
    ) -> list[SupplierSession]:
        """Bookable sessions between two local dates (ISO 8601, inclusive)."""
        ...


@runtime_checkable
class Tracker(Protocol):
    """A supplier that also tells what happens to the thing after it was issued: a carrier."""

    async def track(self, reference: str, *, timeout_s: float) -> Tracked:
        """Everything that happened so far under our reference, oldest first. Changes nothing. Raises only NotSent."""
        ...


@dataclass(frozen=True, slots=True)
class Tracked:
    """The answer of a tracking question; `known`: False where nothing can be concluded (time-out, 5xx)."""

    events: tuple[TrackedEvent, ...] = ()
    known: bool = True


class SupplierUnreadable(Exception):
    """The supplier's catalogue could not be read, whole or in part: nothing may be concluded from what is missing."""
