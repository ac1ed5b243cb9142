"""Buyers: what they do goes through the public API with their distributor's key, and each keeps what he was told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from demo.caller import Caller, Reply, Unanswered
from demo.wishes import Wish


@dataclass
class Purchase:
    """What became of a wish, as its buyer saw it."""

    wish: Wish
    placed: Reply | None = None
    acted: Reply | None = None
    order_nos: set[str] = field(default_factory=set)
    trouble: str | None = None


class Buyers:
    """All wishes, `at_once` of them at a time. `purchases` grows as they are carried out."""

    def __init__(self, callers: Mapping[str, Caller], run: str, *, at_once: int = 12) -> None:
        self._callers = callers
        self._run = run
        self._turns = asyncio.Semaphore(at_once)
        self.purchases: list[Purchase] = []

    async def buy(self, wishes: Sequence[Wish]) -> list[Purchase]:
        """Carry all of them out; each one's trouble stays its own."""
        await asyncio.gather(*(self._in_turn(wish) for wish in wishes))
        return self.purchases

    async def _in_turn(self, wish: Wish) -> None:
        async with self._turns:
            purchase = Purchase(wish)
            try:
                await self._carry_out(purchase)
            except Unanswered as trouble:
                purchase.trouble = str(trouble)
            self.purchases.append(purchase)

    async def _carry_out(self, purchase: Purchase) -> None:
        wish = purchase.wish
        caller, key = self._callers[wish.distributor], f"{self._run}-{wish.number}"
        sendings = [caller.post("/v1/orders", wish.body, key) for _ in range(2 if wish.twice else 1)]
        replies = await asyncio.gather(*sendings)
        purchase.placed = replies[0]
        purchase.order_nos = {reply.body["order_no"] for reply in replies if reply.ok}
        if len({reply.status for reply in replies}) > 1 or len(purchase.order_nos) > 1:
            purchase.trouble = f"the same key was answered differently: {[reply.status for reply in replies]}"
        if not purchase.placed.ok:
            return
        await asyncio.sleep(wish.hurry_s)
        order = f"/v1/orders/{purchase.placed.body['order_no']}"
        if wish.manner == "cancels":
            purchase.acted = await caller.post(f"{order}/cancel", {"reason": "changed my mind"}, f"{key}-cancel")
        else:
            purchase.acted = await caller.post(f"{order}/confirm", {}, f"{key}-confirm")
