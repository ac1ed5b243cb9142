"""Variants that were refused for want of stock a moment ago: only for these is asked before an order is started."""

from __future__ import annotations

import time
from collections.abc import Iterable

REMEMBER_S = 10.0
MAX_REMEMBERED = 10_000


class SoldOut:
    """One process's memory, good for speed alone: what it suspects is looked up, what it forgets is refused later."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, sku_ids: Iterable[str]) -> None:
        """These were short just now."""
        if len(self._until) > MAX_REMEMBERED:
            self._until.clear()
        until = time.monotonic() + REMEMBER_S
        self._until.update(dict.fromkeys(sku_ids, until))

    def suspects(self, sku_ids: Iterable[str]) -> bool:
        """Whether any of them was short within the last seconds."""
        now = time.monotonic()
        return any(self._until.get(sku_id, 0.0) > now for sku_id in sku_ids)
