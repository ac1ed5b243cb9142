"""Every protocol that we speak to payment channels, by the name that a channel's row carries.

A module of this package that has a `PROTOCOL` is found by itself; others are named as `package.module:NAME`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping

import adapters.payments
from adapters.payments import ChannelProtocol


class NoSuchProtocol(Exception):
    """A place of `TESSERA_CHANNELS` has no channel protocol."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place!r} is no channel protocol: name it as package.module:NAME")


class Protocols(Mapping[str, ChannelProtocol]):
    """By name. `load` adds those of other packages, once per process."""

    def __init__(self) -> None:
        self._by_name: dict[str, ChannelProtocol] = {}
        for module in pkgutil.iter_modules(adapters.payments.__path__, "adapters.payments."):
            found = getattr(importlib.import_module(module.name), "PROTOCOL", None)
            if isinstance(found, ChannelProtocol):
                self._add(found)

    def load(self, places: Iterable[str]) -> None:
        """Raises NoSuchProtocol."""
        for place in places:
            name, _, attribute = place.partition(":")
            try:
                found = getattr(importlib.import_module(name), attribute or "PROTOCOL", None)
            except ImportError as missing:
                raise NoSuchProtocol(place) from missing
            if not isinstance(found, ChannelProtocol):
                raise NoSuchProtocol(place)
            self._add(found)

    def _add(self, protocol: ChannelProtocol) -> None:
        self._by_name[protocol.name] = protocol

    def __getitem__(self, name: str) -> ChannelProtocol:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)


PROTOCOLS = Protocols()
