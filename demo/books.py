"""The simulator's control side: what the suppliers' own books say, and which faults they were told to have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx2

from domain.supplier_books import BookEntry

PAGE = 1000


class Control:
    """The control API of the simulated suppliers. Not part of what a supplier offers: only tests and demos use it."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def suppliers(self) -> list[Mapping[str, Any]]:
        """All that are simulated, with their present settings. Raises httpx2.HTTPError where nothing answers."""
        found: list[Mapping[str, Any]] = (await self._get("/control"))["suppliers"]
        return found

    async def entries(self, supplier_id: str) -> list[BookEntry]:
        """The whole book of one supplier."""
        entries: list[BookEntry] = []
        cursor = 0
        while True:
            page = await self._get(f"/control/{supplier_id}/book?cursor={cursor}&limit={PAGE}")
            entries += [BookEntry.of(document) for document in page["bookings"]]
            if page["next_cursor"] is None:
                return entries
            cursor = page["next_cursor"]

    async def bookings(self, supplier_id: str, reference: str) -> list[Mapping[str, Any]]:
        """What a person who calls the supplier is told about one reference."""
        found: list[Mapping[str, Any]] = (await self._get(f"/control/{supplier_id}/book?reference={reference}"))[
            "bookings"
        ]
        return found

    async def hits(self, supplier_id: str) -> Counter[str]:
        """Faults that took effect, by kind, since the book was last emptied."""
        return Counter((await self._get(f"/control/{supplier_id}/hits"))["hits"])

    async def set_faults(self, supplier_id: str, faults: Mapping[str, Any]) -> None:
        await self._send("PUT", f"/control/{supplier_id}/faults", faults)

    async def force(self, supplier_id: str, operation: str, kind: str) -> None:
        """The next such call meets the fault."""
        await self._send("POST", f"/control/{supplier_id}/next", {"operation": operation, "kind": kind})

    async def set_capacities(self, supplier_id: str, capacities: Mapping[str, int]) -> None:
        """Places by session; sessions that are not named have the usual capacity."""
        await self._send("PUT", f"/control/{supplier_id}", {"capacities": dict(capacities)})

    async def _get(self, path: str) -> Any:
        response = await self._http.get(f"{self._url}{path}", timeout=10)
        response.raise_for_status()
        return response.json()

    async def _send(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        response = await self._http.request(method, f"{self._url}{path}", json=body, timeout=10)
        response.raise_for_status()
