"""Coming to rest: the orders that buyers were given are followed until nothing is under way any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.caller import Caller
from demo.operator import Operator
from inspecting import open_workflows
from settings import Settings

IN_MOTION = ("pending", "locked", "issuing", "refunding")
ARRIVED = ("delivered", "completed", "void")
"""States of a parcel with which nothing is to be done any more but wait for its week to pass."""
PROCESSES = ("order/", "resolution/", "payment/", "refund/")
"""Workflows that end when nothing is under way; deliveries may take weeks."""
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Rest:
    """Whether everything came to rest in time, and what did not."""

    orders: Sequence[str] = ()
    workflows: Sequence[str] = ()
    cases: int = 0

    @property
    def complete(self) -> bool:
        return not (self.orders or self.workflows or self.cases)

    def __str__(self) -> str:
        return f"orders {list(self.orders)[:20]}, workflows {list(self.workflows)[:20]}, open cases {self.cases}"


class Watch:
    """Follows the orders that buyers were given until all are at rest, and their parcels arrived or given up."""

    def __init__(self, caller: Caller, operator: Operator, settings: Settings) -> None:
        self._caller = caller
        self._operator = operator
        self._settings = settings
        self.at_rest: dict[str, Mapping[str, Any]] = {}

    async def until_rest(self, order_nos: Iterable[str], *, within_s: float = 240.0) -> Rest:
        """Every order at rest, no case open, no workflow open; or what is not after `within_s`."""
        deadline_s = time.monotonic() + within_s
        waiting = set(order_nos)
        rest = Rest(tuple(waiting))
        while time.monotonic() < deadline_s:
            for order_no in sorted(waiting - self.at_rest.keys()):
                await self._look(order_no)
            waiting -= self.at_rest.keys()
            rest = Rest(tuple(sorted(waiting)))
            if not waiting:
                opened = await open_workflows(self._settings) or ()
                ours = tuple(name for name in opened if name.startswith(PROCESSES))
                rest = Rest((), ours, self._operator.open_cases)
                if rest.complete and not await self._operator.clear_queue():
                    return rest
            await asyncio.sleep(POLL_S)
        return rest

    async def _look(self, order_no: str) -> None:
        reply = await self._caller.get(f"/v1/orders/{order_no}")
        if reply.ok and is_at_rest(reply.body):
            self.at_rest[order_no] = reply.body


def is_at_rest(order: Mapping[str, Any]) -> bool:
    """Nothing of it is decided, issued or carried any more."""
    return order["status"] not in IN_MOTION and all(parcel["state"] in ARRIVED for _, parcel in parcels_of(order))


def parcels_of(order: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The order's parcels, each with its line."""
    for line in order["lines"]:
        if line["kind"] == "physical":
            yield from ((line, unit) for unit in line["units"])
