"""The operators being simulated: what each sells to which phones, and its settings, which survive a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from pydantic import Field

from simulators.common.book import Tally
from simulators.common.parties import Parties, PartySettings
from simulators.topup.faults import POSSIBLE


@dataclass(frozen=True, slots=True)
class House:
    """An operator out of the box. `packs`: product code to price in fen; `prefixes`: the phones it serves."""

    title: str
    packs: Mapping[str, int]
    prefixes: tuple[str, ...]
    deduplicates: bool


HOUSES: Mapping[str, House] = MappingProxyType(
    {
        "mobilink": House(
            "Mobilink",
            MappingProxyType({"CM-1GB-7D": 900, "CM-3GB-30D": 2_400, "CM-10GB-30D": 4_900}),
            ("134", "135", "136", "137", "138", "139", "150", "188"),
            deduplicates=True,
        ),
        # Its gateway books again under a reference that it already has.
        "unitel": House(
            "Unitel",
            MappingProxyType({"CU-1GB-7D": 1_000, "CU-5GB-30D": 3_500}),
            ("130", "131", "132", "155", "186"),
            deduplicates=False,
        ),
    }
)


class OperatorSettings(PartySettings):
    """One operator. It sells what the house `like` sells, but for the products that are `out_of_stock`.

    `token` is the secret that requests are signed with.
    """

    out_of_stock: list[str] = Field(default_factory=list)

    @property
    def house(self) -> House:
        return HOUSES[self.like]


Operators: TypeAlias = Parties[OperatorSettings]


def opened(name: str, like: str) -> OperatorSettings:
    """A healthy operator modelled on a house; its secret is its name and `-token`."""
    house = HOUSES[like]
    title = house.title if name == like else f"{house.title} ({name})"
    return OperatorSettings(name=name, like=like, title=title, token=f"{name}-token", deduplicates=house.deduplicates)


def open_houses(tally: Tally) -> Operators:
    """All operators by name; the houses are open from the start."""
    return Parties(tally, OperatorSettings, (opened(name, name) for name in HOUSES), POSSIBLE)
