"""A supplier's catalogue as we take it in: what its products become here, under ids that every sync finds again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from domain.errors import DomainError

TICKETS = "ticket"
"""The category, and the kind, of everything that comes in as bookable admission."""


class ListingRefused(DomainError):
    """A supplier lists a product in a way that we cannot sell; the rest of its catalogue is taken in without it."""

    code = "listing_refused"

    def __init__(self, supplier_id: str, product_id: str, why: str) -> None:
        super().__init__(f"{supplier_id}'s product {product_id!r} cannot be sold: {why}.")


@dataclass(frozen=True, slots=True)
class ListedUnit:
    """One option and unit type of a supplier's product; amounts are minor units, `cost_minor` is what we pay."""

    option_id: str
    unit_id: str
    title: str
    price_minor: int
    cost_minor: int


@dataclass(frozen=True, slots=True)
class Listing:
    """One supplier's product. `reference` is the name under which several suppliers may sell the same thing."""

    supplier_id: str
    product_id: str
    reference: str
    title: str
    description: str
    time_zone: str
    currency: str
    session_required: bool
    units: tuple[ListedUnit, ...]

    def __post_init__(self) -> None:
        """Refuses what could not be sold, so that a Listing that exists can be written."""
        why = None
        if not self.units:
            why = "it has no unit to buy"
        elif len({(unit.option_id, unit.unit_id) for unit in self.units}) < len(self.units):
            why = "it names a unit of an option twice"
        elif any(unit.price_minor < 0 or unit.cost_minor < 0 for unit in self.units):
            why = "an amount is below zero"
        elif not self.title.strip():
            why = "it has no title"
        if why is not None:
            raise ListingRefused(self.supplier_id, self.product_id, why)

    @property
    def own_product_id(self) -> str:
        """Our product's id: the same for every supplier that sells the same reference."""
        return derived_id("prd", self.reference)

    def sku_id(self, unit: ListedUnit) -> str:
        """Our variant's id: the same for every supplier of the same unit."""
        return derived_id("sku", self.reference, unit.option_id, unit.unit_id)

    def offer_id(self, unit: ListedUnit) -> str:
        """The id of this supplier's offer of the unit."""
        return derived_id("off", self.supplier_id, self.product_id, unit.option_id, unit.unit_id)


@dataclass(frozen=True, slots=True)
class ListedSession:
    """A bookable date or start time. `vacancies` is None where the supplier does not count."""

    availability_id: str
    starts_at: datetime
    ends_at: datetime
    available: bool
    vacancies: int | None


def derived_id(prefix: str, *names: str) -> str:
    """An id that follows from names given elsewhere: syncing again, or from two processes, finds the same row."""
    return f"{prefix}_{sha256(chr(31).join(names).encode()).hexdigest()[:20]}"
