"""Every protocol that we speak to suppliers, by the name that a supplier's row carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from pydantic import BaseModel

from adapters.carriers import parcel_bodies
from adapters.carriers.parcel_http import ParcelCarrier
from adapters.suppliers import Supplier, Told
from adapters.suppliers.mapped import MappedSupplier
from adapters.suppliers.mapped import read_callback as read_mapped_callback
from adapters.suppliers.mapped_mapping import NoSettings, SupplierMapping
from adapters.suppliers.octo import OctoSupplier
from adapters.suppliers.octo_bodies import read_told

Contract = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpokenProtocol:
    """`contract` is the supplier's row. `connect`: (client, contract) -> supplier. `read_callback`: (contract, JSON
    body, our unit references) -> what it tells; raises CallbackUnreadable. `settings` is the shape of the row's
    `protocol_settings`, validated before they are stored."""

    connect: Callable[[httpx2.AsyncClient, Contract], Supplier]
    read_callback: Callable[[Contract, Mapping[str, Any], Sequence[str]], Told]
    settings: type[BaseModel] = NoSettings


PROTOCOLS: dict[str, SpokenProtocol] = {
    "octo": SpokenProtocol(
        lambda client, contract: OctoSupplier(client, contract["base_url"], contract["api_token"]),
        lambda _, body, references: read_told(body, references),
    ),
    "mapped": SpokenProtocol(MappedSupplier.of, read_mapped_callback, SupplierMapping),
    "parcel": SpokenProtocol(
        lambda client, contract: ParcelCarrier(client, contract["base_url"], contract["api_token"]),
        lambda _, body, references: parcel_bodies.read_told(body, references),
    ),
}
