"""What the catalogue's workflow and its activities say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CatalogSync:
    """Which supplier's catalogue to take in, and how many days of sessions from today."""

    supplier_id: str
    days: int = 30


@dataclass(frozen=True, slots=True)
class ListedOptions:
    """A product that needs sessions, by the supplier's ids; days are those of `time_zone`."""

    product_id: str
    time_zone: str
    option_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProductsRead:
    """What a whole read of the catalogue came to. `seen` has every product listed, also those that were refused."""

    seen: tuple[str, ...]
    created: int
    changed: int
    unchanged: int
    refused: tuple[str, ...]
    sessions_of: tuple[ListedOptions, ...]


@dataclass(frozen=True, slots=True)
class RetireVanished:
    """`seen` is everything that the supplier lists now."""

    supplier_id: str
    seen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadSessions:
    """Sessions of some products, `days` from today."""

    supplier_id: str
    products: tuple[ListedOptions, ...]
    days: int


@dataclass(frozen=True, slots=True)
class SessionsRead:
    """`unreadable` names `product/option` of which nothing could be read: their sessions stay as they were."""

    sessions: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CatalogSyncReport:
    """What a sync has done. `complete`: the whole catalogue was read, and only then anything could vanish."""

    supplier_id: str
    complete: bool
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()
    sessions: int = 0
    unreadable: tuple[str, ...] = field(default_factory=tuple)
