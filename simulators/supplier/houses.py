"""The suppliers being simulated: each one's settings, kept in the book's file so that a restart changes nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from standardwebhooks import Webhook

from simulators.supplier.book import Book
from simulators.supplier.catalogue import HOUSES, House
from simulators.supplier.faults import FaultSettings

CAPACITY = 100_000


def _usable_secret(secret: str) -> str:
    """Refused when it is set, rather than found out when the first callback is due."""
    try:
        Webhook(secret)
    except Exception as unusable:
        raise ValueError("not a Standard Webhooks secret") from unusable
    return secret


class CallbackTarget(BaseModel):
    """Where results are called back to, and the Standard Webhooks secret (`whsec_` and base64) they are signed with."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(pattern=r"^https?://", max_length=2_000)
    secret: Annotated[str, Field(max_length=500), AfterValidator(_usable_secret)]


class SupplierSettings(BaseModel):
    """One supplier. It sells what the house `like` sells; `capacities` overrides `capacity` by availability id.

    `hold_s` is the supplier's own opinion on how long a hold lasts, whatever was asked for.
    """

    name: str
    like: str
    title: str
    token: str
    deduplicates: bool
    hold_s: float | None = None
    capacity: int = CAPACITY
    capacities: dict[str, int] = Field(default_factory=dict)
    faults: FaultSettings = Field(default_factory=FaultSettings)
    callback: CallbackTarget | None = None

    @property
    def house(self) -> House:
        return HOUSES[self.like]

    def capacity_of(self, availability_id: str) -> int:
        return self.capacities.get(availability_id, self.capacity)


def opened(name: str, like: str) -> SupplierSettings:
    """A healthy supplier modelled on a house; its bearer token is its name and `-token`."""
    house = HOUSES[like]
    title = house.title if name == like else f"{house.title} ({name})"
    return SupplierSettings(name=name, like=like, title=title, token=f"{name}-token", deduplicates=house.deduplicates)


class Suppliers:
    """All suppliers by name; the houses are open from the start."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._by_name = {name: opened(name, name) for name in HOUSES}
        for name, text in book.settings().items():
            self._by_name[name] = SupplierSettings.model_validate_json(text)

    def find(self, name: str) -> SupplierSettings | None:
        return self._by_name.get(name)

    def all(self) -> list[SupplierSettings]:
        return list(self._by_name.values())

    def put(self, settings: SupplierSettings) -> None:
        self._by_name[settings.name] = settings
        self._book.put_settings(settings.name, settings.model_dump_json())
