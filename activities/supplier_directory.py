"""From a supplier's id to the adapter that speaks to it. Contracts are read again after a few seconds."""

from __future__ import annotations

import time

import httpx2
from temporalio.exceptions import ApplicationError

from adapters.suppliers import Supplier
from adapters.suppliers.registry import PROTOCOLS
from storage import supplier_calls
from storage.database import Database


class Directory:
    """One HTTP client for all suppliers, one adapter per contract as it stands."""

    def __init__(self, database: Database, client: httpx2.AsyncClient, *, fresh_s: float = 5.0) -> None:
        self._database = database
        self._client = client
        self._fresh_s = fresh_s
        self._known: dict[str, tuple[float, Supplier]] = {}

    async def supplier(self, supplier_id: str) -> Supplier:
        """The adapter of an active or inactive supplier: what was booked must stay reachable."""
        known = self._known.get(supplier_id)
        if known is not None and time.monotonic() - known[0] < self._fresh_s:
            return known[1]
        async with self._database.reading() as cx:
            row = await supplier_calls.read_contract(cx, supplier_id)
        if row is None:
            raise ApplicationError(f"no supplier {supplier_id}", type="SupplierMissing", non_retryable=True)
        supplier = PROTOCOLS[row["protocol"]].connect(self._client, row)
        self._known[supplier_id] = (time.monotonic(), supplier)
        return supplier
