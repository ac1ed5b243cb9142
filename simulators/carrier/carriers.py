"""The carriers being simulated: where they go, what they lift, and whether their parcels move by themselves."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import Field

from simulators.carrier.faults import POSSIBLE, FaultSettings
from simulators.common.book import Tally
from simulators.common.parties import Parties, PartySettings


class CarrierSettings(PartySettings):
    """One carrier. `regions` of None are all of its `countries`; `moves`: a parcel takes a step every `step_s`."""

    countries: tuple[str, ...] = ("CN",)
    regions: tuple[str, ...] | None = None
    max_weight_g: int = 30_000
    moves: bool = False
    step_s: float = 2.0
    faults: FaultSettings = Field(default_factory=FaultSettings)

    def serves(self, country: str, region: str) -> bool:
        if country.upper() not in self.countries:
            return False
        return self.regions is None or region.casefold() in {each.casefold() for each in self.regions}


Carriers: TypeAlias = Parties[CarrierSettings]

HOUSES: dict[str, CarrierSettings] = {
    "swift": CarrierSettings(
        name="swift", like="swift", title="Swift Express", token="swift-token", deduplicates=True, max_weight_g=30_000
    ),
    "local": CarrierSettings(
        name="local", like="local", title="Local Riders", token="local-token", deduplicates=True,
        regions=("Shanghai", "Jiangsu", "Zhejiang"), max_weight_g=20_000,
    ),
}  # fmt: skip


def opened(name: str, like: str) -> CarrierSettings:
    """A healthy carrier modelled on a house; its bearer token is its name and `-token`."""
    house = HOUSES[like]
    title = house.title if name == like else f"{house.title} ({name})"
    return house.model_copy(update={"name": name, "title": title, "token": f"{name}-token"}, deep=True)


def open_houses(tally: Tally) -> Carriers:
    """All carriers by name; the houses are open from the start."""
    return Parties(tally, CarrierSettings, (opened(name, name) for name in HOUSES), POSSIBLE)
