"""`tessera demo` and `tessera torment`: a stack, the run on it, what it shows; the exit code says how it went."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

import seeding
from demo.examples import examples, paid_examples
from demo.outcome import Outcome
from demo.payment_torment import ENVIRONMENT, PaymentTorment, torment_payments
from demo.payment_torment import VICTIMS as PAYMENT_VICTIMS
from demo.report import Screen, money_told, print_links, print_outcome, print_table, write_json
from demo.run import Scene, run_demo
from demo.torment import VICTIMS, Tell, Torment, torment
from embedded.stack import Stack, StackOptions, settings_of_running
from embedded.supervisor import StackRunsAlready, read_state
from settings import Settings


@asynccontextmanager
async def running_stack(settings: Settings, console: Console, options: StackOptions) -> AsyncIterator[Settings]:
    """Settings with every address. A stack that runs already is used and left running."""

    async def seed(full: Settings) -> None:
        await seeding.run(full)

    stack = Stack(settings, options, report=lambda line: console.print(line, markup=False), seed=seed)
    try:
        await stack.start()
    except StackRunsAlready:
        console.print(f"using the stack that runs on {stack.data_dir}")
        yield settings_of_running(settings)
        return
    try:
        yield stack.settings
    finally:
        await stack.stop()


async def demo(settings: Settings, seed: int, orders: int, *, options: StackOptions | None = None) -> int:
    """Run, show, write `demo.json`. 0: nothing lost, nothing twice, every kind of fault met."""
    console = Console()
    data_dir = settings.data_dir.resolve()
    async with running_stack(settings, console, options or StackOptions()) as full:
        console.print(f"seed {seed}: {orders} orders; suppliers, carriers and the operator of top-ups misbehave")
        with Screen(console) as screen:
            outcome, scene = await run_demo(full, seed, orders, screen.show)
        report = report_of(seed, outcome, scene)
        write_json(data_dir / "demo.json", report)
        print_outcome(
            console, outcome, {"cases decided": scene.operator.report(), "client": _client(scene)}, outcome.failures
        )
        shown = {**examples(outcome.orders, full, data_dir), **paid_examples(outcome.stories, full, data_dir)}
        print_links(console, {**urls_of(data_dir, full), **shown})
        console.print(f"  The same as JSON: {data_dir / 'demo.json'}", soft_wrap=True)
    if outcome.failures:
        console.print(f"seed {seed} FAILED", style="red")
        return 1
    return 0


def report_of(seed: int, outcome: Outcome, scene: Scene) -> dict[str, Any]:
    """The run as JSON."""
    return {
        "seed": seed,
        **outcome.report(),
        "cases_decided": scene.operator.report(),
        "client": scene.log.report(),
    }


def urls_of(data_dir: Path, settings: Settings) -> Mapping[str, str]:
    """What the stack shows to people; without one, the addresses that are known."""
    known = {"API documentation": f"{settings.api_url}/docs", "Temporal UI": settings.temporal_ui_url}
    return {**known, **read_state(data_dir).urls}


def _client(scene: Scene) -> str:
    log = scene.log
    return f"{log.ok} ok, {sum(log.failed.values())} refused, {sum(log.unknown.values())} unknown and asked again"


@asynccontextmanager
async def _own_stack(settings: Settings, tell: Tell, environment: Mapping[str, str]) -> AsyncIterator[Stack]:
    """A fresh stack below the data directory, which restarts nothing by itself."""
    own_dir = settings.data_dir.resolve() / "torment"
    await asyncio.to_thread(shutil.rmtree, own_dir, ignore_errors=True)

    async def sample_data(full: Settings) -> None:
        await seeding.run(full)

    options = StackOptions(restart=False, usual_ports=False, extra_environment=environment)
    async with Stack(Settings(data_dir=own_dir), options, report=tell, seed=sample_data) as stack:
        yield stack
    tell(f"the stack's logs and data: {own_dir}")


async def torment_stack(settings: Settings, seed: int, orders: int, kills: int) -> int:
    """The torment on a fresh stack below the data directory; `torment.json` there has the figures."""
    console = Console()

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    async with _own_stack(settings, tell, {}) as stack:
        tell(f"seed {seed}: {orders} orders while each of {', '.join(VICTIMS)} is killed {kills} times")
        result = await torment(stack, seed, orders, kills, tell)
    path = settings.data_dir.resolve() / "torment.json"
    write_json(path, result.report())
    extra = {
        "kills": result.kills.by_part,
        "recovery": _recovery_told(result),
        "unknown": result.client["unknown"],
        "and how they ended": result.client["unknown_requests_resolved"],
        "reconciled": result.reconciled.report(),
        "cases decided": result.cases_decided,
    }
    print_outcome(console, result.outcome, extra, result.failures)
    tell(f"The same as JSON: {path}")
    return 1 if result.failures else 0


async def torment_stack_by_payments(settings: Settings, seed: int, payments: int, kills: int) -> int:
    """The torment of payments, on a stack as above; `torment-payments.json` has the figures."""
    console = Console()

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    async with _own_stack(settings, tell, ENVIRONMENT) as stack:
        tell(f"seed {seed}: {payments} payments while each of {', '.join(PAYMENT_VICTIMS)} is killed {kills} times")
        result = await torment_payments(stack, seed, payments, kills, tell)
    path = settings.data_dir.resolve() / "torment-payments.json"
    write_json(path, result.report())
    print_torment_of_payments(console, result)
    tell(f"The same as JSON: {path}")
    return 1 if result.failures else 0


def _recovery_told(result: Torment | PaymentTorment) -> Mapping[str, str]:
    found: Mapping[str, Mapping[str, float]] = result.kills.report()["recovery_s"]
    return {part: f"{values['p50']} s (max {values['max']})" for part, values in found.items()}


def print_torment_of_payments(console: Console, result: PaymentTorment) -> None:
    """The figures, and why the run has failed."""
    rows = {
        "payers": dict(result.ends.most_common()),
        **dict(money_told(result.money)),
        "in the queue": dict(result.money.cases),
        "planted there": dict(result.money.planted),
        "callbacks acknowledged": result.acknowledged,
        "kills": result.kills.by_part,
        "recovery": _recovery_told(result),
        "unknown": result.client["unknown"],
        "reconciled": result.reconciled.report(),
        "cases decided": result.cases_decided,
        "violations": len(result.violations),
        "from healed to rest": f"{result.healed_to_rest_s:.1f} s",
        "seconds": f"{result.seconds:.1f}",
    }
    print_table(console, rows, result.failures)
