"""All benchmarks, one after another, on one stack."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from rich.console import Console

from benchmarks import catalog, inventory, orders, results
from benchmarks.lives import NotAsExpected
from benchmarks.results import Result
from benchmarks.world import World, world

BENCHMARKS: Mapping[str, Callable[[World], Awaitable[list[Result]]]] = {
    "orders": orders.throughput,
    "placing": orders.placing,
    "hot-sku": inventory.hot_sku,
    "sold-out": inventory.sold_out,
    "bulk-import": catalog.bulk_import,
    "search": catalog.search,
}


async def run(only: str | None = None) -> None:
    """Measure, show the table and write the JSON. A benchmark named in `only` runs alone and writes nothing.

    One that fails is named, and its figures are missing; the others' stand.
    """
    console = Console()
    began = time.monotonic()
    found: list[Result] = []
    failed: list[str] = []
    chosen = {name: benchmark for name, benchmark in BENCHMARKS.items() if only in (None, name)}
    with console.status("starting the stack that is measured") as status:
        async with world(status.update) as measured:
            for number, (name, benchmark) in enumerate(chosen.items(), start=1):
                status.update(f"{number} of {len(chosen)}: {name}")
                try:
                    found += await benchmark(measured)
                except (NotAsExpected, TimeoutError, ExceptionGroup) as failure:
                    failed.append(name)
                    first = failure.exceptions[0] if isinstance(failure, ExceptionGroup) else failure
                    console.print(f"[red]{name} failed:[/red] {first}")
            status.update("stopping the stack")
    results.show(found, console)
    if only is None:
        path = results.write(found, failed, time.monotonic() - began)
        console.print(f"Written to {path}, after {time.monotonic() - began:.0f} s.")
