"""The torment: the demo's load while each part of the stack is killed with SIGKILL at seeded moments and started again.

Everything that a client was told, or was not told, is followed to its end; the suppliers' books have the last word.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2

from demo.buyers import Buyers
from demo.outcome import Outcome, quantiles
from demo.rest import Rest
from demo.run import Scene, finish, until_rest, working
from demo.wishes import Wish
from embedded.stack import Stack
from reconcile import Reconciled, reconcile

VICTIMS = ("worker-1", "api-1", "temporal", "postgres", "simulator-topup")
PATIENCE_S = 240.0
DEAD_S = (0.3, 3.0)
"""A killed part stays dead between so many seconds."""
PAUSE_S = (1.0, 4.0)
"""Between two kills."""
AT_ONCE = 12
PROBE_S = 0.25

Tell = Callable[[str], None]


@dataclass
class Kills:
    """What was done to the stack, and how long it took until an order could be placed or read again, in seconds."""

    by_part: Counter[str] = field(default_factory=Counter)
    recovered_s: dict[str, list[float]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        return {
            "kills": dict(self.by_part),
            "recovery_s": {part: quantiles(values) for part, values in self.recovered_s.items()},
        }


class Tormentor:
    """Kills in a seeded order, each part of `victims` `kills` times, one at a time."""

    def __init__(self, stack: Stack, seed: int, kills: int, tell: Tell, *, victims: Sequence[str] = VICTIMS) -> None:
        self._stack = stack
        self._random = Random(f"torment/{seed}")
        self._plan = [part for part in victims for _ in range(kills)]
        self._random.shuffle(self._plan)
        self._tell = tell
        self.kills = Kills()
        self.killed = asyncio.Event()

    @property
    def planned(self) -> int:
        return len(self._plan)

    async def torment(self) -> None:
        """All planned kills, with seeded pauses; returns when every part runs again."""
        async with httpx2.AsyncClient(trust_env=False, timeout=2) as http:
            for number, part in enumerate(self._plan, start=1):
                await asyncio.sleep(self._random.uniform(*PAUSE_S))
                await self._kill(http, part, number)

    async def _kill(self, http: httpx2.AsyncClient, part: str, number: int) -> None:
        killed_s = time.monotonic()
        self._stack.kill(part)
        await asyncio.sleep(self._random.uniform(*DEAD_S))
        begun_s = time.monotonic()
        await self._stack.start_part(part)
        await self._until_ready(http)
        now_s = time.monotonic()
        self.kills.by_part[part] += 1
        self.killed.set()
        self.kills.recovered_s.setdefault(part, []).append(now_s - begun_s)
        self._tell(
            f"kill {number} of {self.planned}: {part}, dead for {begun_s - killed_s:.1f} s, "
            f"all ready {now_s - begun_s:.1f} s after its start"
        )

    async def _until_ready(self, http: httpx2.AsyncClient) -> None:
        """The API answers that it reaches the database and Temporal."""
        while True:
            try:
                if (await http.get(f"{self._stack.settings.api_url}/readyz")).is_success:
                    return
            except httpx2.HTTPError:
                pass
            await asyncio.sleep(PROBE_S)


@dataclass
class Torment:
    """A run's figures."""

    seed: int
    outcome: Outcome
    kills: Kills
    reconciled: Reconciled
    client: Mapping[str, Any]
    cases_decided: Mapping[str, int]
    healed_to_rest_s: float

    @property
    def failures(self) -> list[str]:
        """Why the run has failed. Which faults chance brought about does not matter here: the kills do."""
        return [failure for failure in self.outcome.failures if not failure.startswith("the fault ")]

    def report(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            **self.outcome.report(),
            **self.kills.report(),
            "reconciled": self.reconciled.report(),
            "client": self.client,
            "cases_decided": self.cases_decided,
            "healed_to_rest_s": round(self.healed_to_rest_s, 1),
            "failures": self.failures,
        }


async def torment(stack: Stack, seed: int, orders: int, kills: int, tell: Tell) -> Torment:
    """Load and kills side by side, then heal and wait. `stack` runs, and restarts nothing by itself."""
    started_s = time.monotonic()
    tormentor = Tormentor(stack, seed, kills, tell)
    async with Scene(stack.settings, seed, orders, patience_s=PATIENCE_S) as scene, scene.acting():
        buyers = Buyers(scene.buyers, scene.run, at_once=AT_ONCE)
        wishes = await scene.wishes()
        async with working(scene.operator.work(), scene.storekeeper.work(), _telling(buyers, scene, orders, tell)):
            await _under_load(buyers, wishes, tormentor)
            tell("all kills are done and all orders answered: healing")
            await scene.mischief.heal()
            healed_s = time.monotonic()
            reconciled = await reconcile(stack.settings, tell)
            rest: Rest = await until_rest(scene, buyers)
            rested_s = time.monotonic() - healed_s
        outcome = await finish(scene, buyers, rest)
    outcome.seconds = time.monotonic() - started_s
    return Torment(seed, outcome, tormentor.kills, reconciled, scene.log.report(), scene.operator.report(), rested_s)


async def _under_load(buyers: Buyers, wishes: list[Wish], tormentor: Tormentor) -> None:
    """Buyers come for as long as parts are killed: their arrivals are spread, and stragglers follow."""
    killing = asyncio.create_task(tormentor.torment())
    share = -(-len(wishes) // max(1, tormentor.planned))
    buying = []
    for begin in range(0, len(wishes), share):
        buying.append(asyncio.create_task(buyers.buy(wishes[begin : begin + share])))
        killed = asyncio.create_task(tormentor.killed.wait())
        await asyncio.wait({killed, killing}, return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        tormentor.killed.clear()
    await asyncio.gather(killing, *buying)


async def _telling(buyers: Buyers, scene: Scene, orders: int, tell: Tell) -> None:
    while True:
        await asyncio.sleep(5)
        unknown = sum(scene.log.unknown.values())
        tell(
            f"{len(buyers.purchases)}/{orders} orders answered, {unknown} unknown answers, "
            f"{len(scene.watch.at_rest)} seen at rest"
        )
