"""Orders per second, what each of them costs, and how long placing takes, beside a workflow that does nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from benchmarks import lives
from benchmarks.costs import History, Meter, history_of
from benchmarks.load import Timed, drive, percentile
from benchmarks.results import Result
from benchmarks.world import NOOP_WORKER, Variant, World

AT_ONCE = 64
ROUNDS = 2
ORDERS = 200
"""Per round and side."""
WARM_UP = 40
HISTORIES = 10
LATENCY_CALLS = {1: 60, 16: 240}
"""Placements measured, by how many are placed at once."""

ORDER_GOAL = 0.8
P50_GOAL, P95_GOAL = 1.5, 2.0
WORKFLOW_TASKS_GOAL = 5.0


@dataclass(slots=True)
class Side:
    """What one side has done in all rounds: ours, or the yardstick."""

    life: Callable[[], Awaitable[str]]
    timed: list[Timed] = field(default_factory=list)
    costs: list[dict[str, float]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Over all rounds."""
        return sum(len(timed.each_s) for timed in self.timed) / sum(timed.wall_s for timed in self.timed)

    def cost(self, name: str) -> float:
        """Mean of the rounds, per order."""
        return sum(cost[name] for cost in self.costs) / len(self.costs)


async def throughput(world: World) -> list[Result]:
    """Whole lives at 64 at once: of one unit from our own quota, and of one that its supplier locks first."""
    own = await _alternate(world, world.own_quota, locked=False)
    held = await _alternate(world, world.held_by_supplier, locked=True)
    return [
        *_rates("order throughput", "own quota", *own),
        *_rates("order throughput", "supplier lock", *held),
        *await _durable_cost(world, "durable cost, own quota", *own),
        *await _durable_cost(world, "durable cost, supplier lock", *held),
    ]


async def _alternate(world: World, variant: Variant, *, locked: bool) -> tuple[Side, Side]:
    """Ours and the yardstick in turn, so that a busy moment of the machine falls on both."""
    ours = Side(lambda: lives.order(world, variant))
    noop = Side(lambda: lives.noop(world, locked=locked))
    for side in (ours, noop):
        await _round(world, side, WARM_UP)
        side.timed.clear()
        side.costs.clear()
    for _ in range(ROUNDS):
        await _round(world, ours, ORDERS)
        await _round(world, noop, ORDERS)
    return ours, noop


async def _round(world: World, side: Side, orders: int) -> None:
    async def call(_: int) -> None:
        side.ids.append(await side.life())

    before = await Meter.read(world)
    side.timed.append(await drive(orders, AT_ONCE, call))
    side.costs.append((await Meter.read(world)).since(before, orders))


def _rates(benchmark: str, figure: str, ours: Side, noop: Side) -> list[Result]:
    latencies = [[time for timed in side.timed for time in timed.each_s] for side in (ours, noop)]
    p50, noop_p50 = (1000 * percentile(times, 50) for times in latencies)
    return [
        Result(benchmark, figure, "orders/s", ours.per_second, noop.per_second, ORDER_GOAL),
        Result(benchmark, f"{figure}, whole life p50", "ms", p50, noop_p50),
    ]


async def _durable_cost(world: World, benchmark: str, ours: Side, noop: Side) -> list[Result]:
    """Per order. The yardstick has no API, no SQL and no supplier: there its own worker stands for ours."""
    mine: History = await history_of(world.client, ours.ids[-HISTORIES:])
    theirs: History = await history_of(world.client, noop.ids[-HISTORIES:])
    results = [Result(benchmark, "workflow tasks", "", mine.workflow_tasks, None, WORKFLOW_TASKS_GOAL, "at most")]
    their_figures = theirs.named()
    results += [Result(benchmark, name, "", value, their_figures[name]) for name, value in mine.named().items()]
    for name in ours.costs[0]:
        if name.startswith(NOOP_WORKER):
            continue
        counterpart = noop.cost(f"{NOOP_WORKER} CPU ms") if name.startswith("worker-") else noop.cost(name)
        results.append(Result(benchmark, name, "", ours.cost(name), counterpart))
    return results


async def placing(world: World) -> list[Result]:
    """The answer of `POST /v1/orders` beside the update-with-start of the workflow that does nothing."""
    results: list[Result] = []
    for at_once, calls in LATENCY_CALLS.items():
        ours, noop = await _placing_times(world, at_once, calls)
        for percent, goal in ((50, P50_GOAL), (95, P95_GOAL)):
            figure = f"p{percent} at {at_once}"
            results.append(
                Result(
                    "placing latency", figure, "ms", 1000 * percentile(ours, percent), 1000 * percentile(noop, percent),
                    goal, "at most",
                )
            )  # fmt: skip
    return results


async def _placing_times(world: World, at_once: int, calls: int) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    noop: list[float] = []

    async def place(_: int) -> None:
        await lives.place(world, world.own_quota)

    async def place_noop(_: int) -> None:
        await lives.place_noop(world, locked=False)

    for _ in range(ROUNDS):
        ours += (await drive(calls // ROUNDS, at_once, place)).each_s
        noop += (await drive(calls // ROUNDS, at_once, place_noop)).each_s
    return ours, noop
