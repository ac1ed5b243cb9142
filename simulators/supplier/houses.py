"""The suppliers being simulated: each one's settings, kept in the book's file so that a restart changes nothing."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import Field

from simulators.common.book import Tally
from simulators.common.parties import Parties, PartySettings
from simulators.supplier.catalogue import HOUSES, House
from simulators.supplier.faults import POSSIBLE

CAPACITY = 100_000


class SupplierSettings(PartySettings):
    """One supplier. It sells what the house `like` sells; `capacities` overrides `capacity` by availability id.

    `hold_s` is the supplier's own opinion on how long a hold lasts, whatever was asked for.
    """

    hold_s: float | None = None
    capacity: int = CAPACITY
    capacities: dict[str, int] = Field(default_factory=dict)

    @property
    def house(self) -> House:
        return HOUSES[self.like]

    def capacity_of(self, availability_id: str) -> int:
        return self.capacities.get(availability_id, self.capacity)


Suppliers: TypeAlias = Parties[SupplierSettings]


def opened(name: str, like: str) -> SupplierSettings:
    """A healthy supplier modelled on a house; its bearer token is its name and `-token`."""
    house = HOUSES[like]
    title = house.title if name == like else f"{house.title} ({name})"
    return SupplierSettings(name=name, like=like, title=title, token=f"{name}-token", deduplicates=house.deduplicates)


def open_houses(tally: Tally) -> Suppliers:
    """All suppliers by name; the houses are open from the start."""
    return Parties(tally, SupplierSettings, (opened(name, name) for name in HOUSES), POSSIBLE)
