"""What came out: rows with ours, the yardstick's, their ratio and the goal; as a table, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

FILE = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `goal` bounds the ratio ours / yardstick, or `ours` itself where there is no yardstick."""

    benchmark: str
    figure: str
    unit: str
    ours: float
    yardstick: float | None = None
    goal: float | None = None
    goal_is: Literal["at least", "at most"] = "at least"

    @property
    def ratio(self) -> float | None:
        return self.ours / self.yardstick if self.yardstick else None

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        if self.goal is None:
            return None
        judged = self.ours if self.ratio is None else self.ratio
        return judged >= self.goal if self.goal_is == "at least" else judged <= self.goal

    def plain(self) -> dict[str, Any]:
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return rounded | {"ratio": self.ratio and round(self.ratio, 4), "met": self.met}


def show(results: Sequence[Result], console: Console) -> None:
    """The table."""
    table = Table(title="Benchmarks: ours beside the yardstick of the same run", title_justify="left")
    for title in ("benchmark", "figure"):
        table.add_column(title)
    for title in ("ours", "yardstick", "ratio", "goal", "met"):
        table.add_column(title, justify="right")
    before = ""
    for result in results:
        if before and result.benchmark != before:
            table.add_section()
        table.add_row(
            result.benchmark if result.benchmark != before else "",
            f"{result.figure} ({result.unit})" if result.unit else result.figure,
            _number(result.ours),
            _number(result.yardstick),
            _number(result.ratio),
            "" if result.goal is None else f"{'≥' if result.goal_is == 'at least' else '≤'} {result.goal:g}",
            {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[result.met],
        )
        before = result.benchmark
    console.print(table)


def write(results: Sequence[Result], failed: Sequence[str], took_s: float) -> Path:
    """The JSON file, replaced as a whole. `failed`: benchmarks that came to no end."""
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "took_s": round(took_s, 1),
        "goals_met": sum(result.met is True for result in results),
        "goals_missed": sum(result.met is False for result in results),
        "failed": list(failed),
        "results": [result.plain() for result in results],
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return FILE


def _commit() -> str:
    """The commit of the checkout, with a plus where files differ from it; empty outside of one."""
    here = Path(__file__).parent
    try:
        revision = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+"], cwd=here, capture_output=True, text=True
        )
    except OSError:
        return ""
    return revision.stdout.strip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
