"""So many calls at once, and what their times were."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timed:
    """Calls that were made: how long all took together, and each of them, in seconds."""

    wall_s: float
    each_s: tuple[float, ...]

    @property
    def per_second(self) -> float:
        return len(self.each_s) / self.wall_s

    def percentile_ms(self, percent: float) -> float:
        return 1000 * percentile(self.each_s, percent)


async def drive(calls: int, at_once: int, call: Callable[[int], Awaitable[None]]) -> Timed:
    """Make `calls` calls, numbered from 0, with `at_once` of them under way at any time. The first failure ends it."""
    numbers = iter(range(calls))
    times: list[float] = []

    async def one_after_another() -> None:
        for number in numbers:
            began = time.perf_counter()
            await call(number)
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, calls)):
            group.create_task(one_after_another())
    return Timed(time.perf_counter() - began, tuple(times))


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest value that at least `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
