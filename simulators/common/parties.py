"""The parties being simulated: each one's settings, kept in the book's file so that a restart changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field
from starlette.requests import Request

from simulators.common.book import Tally
from simulators.common.callbacks import CallbackTarget
from simulators.common.faults import FaultSettings, Possible, Strike, strike


class PartySettings(BaseModel):
    """One party: what every kind of outside party has. Kinds add their own."""

    name: str
    like: str
    title: str
    token: str
    deduplicates: bool
    faults: FaultSettings = Field(default_factory=FaultSettings)
    callback: CallbackTarget | None = None

    def lets_in(self, request: Request) -> bool:
        """Whether the request has this party's bearer token."""
        return compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {self.token}".encode())


P = TypeVar("P", bound=PartySettings)


class Parties(Generic[P]):
    """All parties of one simulator by name; `houses` are open from the start."""

    def __init__(self, tally: Tally, model: type[P], houses: Iterable[P], possible: Possible) -> None:
        self._tally = tally
        self.possible = possible
        self._by_name = {house.name: house for house in houses}
        for name, text in tally.settings().items():
            self._by_name[name] = model.model_validate_json(text)

    def find(self, name: str) -> P | None:
        return self._by_name.get(name)

    def all(self) -> list[P]:
        return list(self._by_name.values())

    def put(self, settings: P) -> None:
        self._by_name[settings.name] = settings
        self._tally.put_settings(settings.name, settings.model_dump_json())

    def strike(self, party: P, operation: str, reference: str) -> Strike[Any]:
        """The faults of this call; forced ones are used up by it."""
        kinds, used_up = strike(self._tally, party.name, party.faults, self.possible, operation, reference)
        if used_up:
            self.put(party)
        return Strike(self._tally, party.name, operation, kinds)
