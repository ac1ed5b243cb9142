"""Every protocol that we speak to suppliers, by the name that a supplier's row carries."""

from __future__ import annotations

from collections.abc import Callable

import httpx2

from adapters.suppliers import Supplier
from adapters.suppliers.octo import OctoSupplier

# (client, base URL, token) -> supplier
PROTOCOLS: dict[str, Callable[[httpx2.AsyncClient, str, str], Supplier]] = {
    "octo": OctoSupplier,
}
