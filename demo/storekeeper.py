"""The storekeeper: what was there at the beginning of a run is there again after every sale, so that runs are alike."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from demo.caller import Caller, Unanswered
from demo.wishes import Article

POLL_S = 1.0
POOL = 200
"""So many codes are kept in each pool."""

Place = tuple[str, str]
"""Variant and warehouse."""


class Storekeeper:
    """Receives what was sold, until cancelled. `handed_out`: codes that had left each pool before the run."""

    def __init__(self, caller: Caller, run: str, articles: Sequence[Article]) -> None:
        self._caller = caller
        self._run = run
        self._kept = [each.sku_id for each in articles if each.family in ("goods", "own tickets")]
        self.pools = [each.sku_id for each in articles if each.family == "codes"]
        self._wanted: dict[Place, int] = {}
        self._receipts = 0
        self.handed_out: Counter[str] = Counter()

    async def open(self) -> None:
        """Look at the shelves: this is how they shall be."""
        self._wanted = await self._levels()
        self.handed_out = await self.codes_gone()

    def largest(self, article: Article) -> Article:
        """The article with the largest number of pieces that one of its several warehouses has."""
        levels = [units for (sku_id, _), units in self._wanted.items() if sku_id == article.sku_id and units]
        splits = article.family == "goods" and len(levels) > 1
        return replace(article, most_in_one_place=max(levels)) if splits else article

    async def work(self) -> None:
        """Fill up, again and again. When the API is down, the shelves wait."""
        while True:
            with suppress(Unanswered):
                await self.fill_up()
            await asyncio.sleep(POLL_S)

    async def fill_up(self) -> None:
        """Receive what is missing of every article in its warehouse, and load what is missing of every pool."""
        levels = await self._levels()
        for (sku_id, warehouse_id), wanted in self._wanted.items():
            missing = wanted - levels[sku_id, warehouse_id]
            if missing > 0:
                reference = self._reference()
                body = {"reference": reference, "quantity": missing, "warehouse_id": warehouse_id}
                await self._caller.post(f"/v1/skus/{sku_id}/receipts", body, reference)
        for sku_id in self.pools:
            missing = POOL - (await self._pool(sku_id))["available"]
            if missing > 0:
                reference = self._reference()
                codes = [f"{reference}-{number:03d}" for number in range(missing)]
                await self._caller.post(f"/v1/skus/{sku_id}/codes", {"codes": codes}, reference)

    async def codes_gone(self) -> Counter[str]:
        """How many codes of each pool are with buyers now."""
        return Counter({sku_id: (await self._pool(sku_id))["handed_out"] for sku_id in self.pools})

    async def _pool(self, sku_id: str) -> Mapping[str, Any]:
        return (await self._caller.get(f"/v1/skus/{sku_id}/codes")).body

    async def _levels(self) -> dict[Place, int]:
        found: dict[Place, int] = {}
        for sku_id in self._kept:
            for level in await self._caller.pages(f"/v1/stock?sku_id={sku_id}"):
                found[sku_id, level["warehouse_id"]] = level["available"]
        return found

    def _reference(self) -> str:
        self._receipts += 1
        return f"{self._run}-receipt-{self._receipts}"
