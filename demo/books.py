"""A simulator's control side: what its parties' own books say, and which faults they were told to have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import httpx2

from domain.supplier_books import BookEntry

PAGE = 1000


class Control:
    """The control API of one simulator. Not part of what an outside party offers: only tests and demos use it."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def suppliers(self) -> list[Mapping[str, Any]]:
        """All that are simulated, with their present settings. Raises httpx2.HTTPError where nothing answers."""
        found: list[Mapping[str, Any]] = (await self._get("/control"))["suppliers"]
        return found

    async def settings(self, supplier_id: str) -> Mapping[str, Any]:
        """How one party is set now."""
        found: Mapping[str, Any] = await self._get(f"/control/{supplier_id}")
        return found

    async def entries(self, supplier_id: str) -> list[BookEntry]:
        """The whole book of one party, to be compared with our lines."""
        return [BookEntry.of(document) for document in await self.documents(supplier_id)]

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

    async def force(self, supplier_id: str, operation: str, kind: str, reference: str | None = None) -> None:
        """The next such call, where one is given with this reference of ours, meets the fault."""
        forced = {"operation": operation, "kind": kind, "reference": reference}
        await self._send("POST", f"/control/{supplier_id}/next", forced)

    async def change(self, supplier_id: str, settings: Mapping[str, Any]) -> None:
        """Set what is given, such as the `capacities` of a supplier's sessions, or how a carrier's parcels move."""
        if settings:
            await self._send("PUT", f"/control/{supplier_id}", settings)

    async def documents(self, supplier_id: str) -> list[Mapping[str, Any]]:
        """The whole book of one party as its simulator has it."""
        return await self._pages(f"/control/{supplier_id}/book", "bookings")

    async def _pages(self, path: str, name: str) -> list[Mapping[str, Any]]:
        documents: list[Mapping[str, Any]] = []
        cursor = 0
        while True:
            page = await self._get(f"{path}?cursor={cursor}&limit={PAGE}")
            documents += page[name]
            if page["next_cursor"] is None:
                return documents
            cursor = page["next_cursor"]

    async def _get(self, path: str) -> Any:
        response = await self._http.get(f"{self._url}{path}", timeout=10)
        response.raise_for_status()
        return response.json()

    async def _send(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        response = await self._http.request(method, f"{self._url}{path}", json=body, timeout=10)
        response.raise_for_status()


async def controls_of(http: httpx2.AsyncClient, urls: Iterable[str]) -> dict[str, Control]:
    """The control side of each simulated party, by its id. Raises httpx2.HTTPError where a simulator doesn't answer."""
    found: dict[str, Control] = {}
    for url in urls:
        control = Control(http, url)
        found |= {each["name"]: control for each in await control.suppliers()}
    return found
