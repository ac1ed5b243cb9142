"""A run on the screen: progress while it lasts, the table at its end, and where to look."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from demo.characters import KINDS
from demo.kinds import ENDS, Kinds
from demo.money import Money
from demo.outcome import OUTCOMES, Outcome, quantiles
from demo.run import Progress

LINE_EVERY_S = 5.0
CURRENCY = "CNY"


class Screen:
    """`with Screen() as screen: screen.show(progress)`: bars on a terminal, a line every few seconds elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._bars = Bars(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
        )
        self._answered = self._bars.add_task("orders answered", total=None, note="")
        self._kinds = self._bars.add_task("kinds of fault", total=len(KINDS), note="")
        self._told_s = 0.0

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, at: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._bars.stop()

    def show(self, now: Progress) -> None:
        """The latest figures."""
        note = f"{now.phase}; {now.decided} cases decided, {now.unknown} unknown answers"
        hit, struck = sum(now.faults_hit[kind] > 0 for kind in KINDS), sum(now.faults_hit.values())
        if self.console.is_terminal:
            self._bars.update(self._answered, total=now.asked, completed=now.answered, note=note)
            self._bars.update(self._kinds, completed=hit, note=f"{struck} faults have struck")
        elif time.monotonic() - self._told_s > LINE_EVERY_S:
            self._told_s = time.monotonic()
            self.console.print(f"{now.answered}/{now.asked} orders answered, {struck} faults of {hit} kinds; {note}")


def print_outcome(console: Console, outcome: Outcome, extra: Mapping[str, Any], failures: Sequence[str]) -> None:
    """The table at the end, and why the run has failed."""
    certainty = quantiles(outcome.certainty_s)
    refusals = ", ".join(f"{code} {count}" for code, count in outcome.refusals.most_common())
    faults = ", ".join(f"{kind} {outcome.faults_hit[kind]}" for kind in KINDS)
    rows = [
        ("placed", f"{outcome.placed} = {' + '.join(f'{outcome.outcomes[name]} {name}' for name in OUTCOMES)}"),
        ("refused, why", refusals or "-"),
        *_kinds_told(outcome.kinds),
        *money_told(outcome.money),
        ("negotiated", f"{outcome.negotiated} orders had a supplier that did not answer definitely"),
        ("time to certainty", f"median {certainty['p50']} s, 95 % {certainty['p95']} s, longest {certainty['max']} s"),
        ("faults hit", faults),
        *extra.items(),
        ("doubles", str(outcome.doubles)),
        ("dropped", str(outcome.dropped)),
        ("violations", str(len(outcome.violations))),
        ("receivable", _money(outcome.receivable_minor)),
        ("payable", _money(outcome.payable_minor)),
        ("margin", _money(outcome.receivable_minor - outcome.payable_minor)),
        ("flows", "equal the settlement table to the cent" if outcome.flows_as_table else "DIFFER from the table"),
        ("seconds", f"{outcome.seconds:.1f}"),
    ]
    print_table(console, dict(rows), failures)


def print_table(console: Console, rows: Mapping[str, Any], failures: Sequence[str]) -> None:
    """Figures by name, and under them what is wrong with them."""
    table = Table(title="What came of it", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, _told(value))
    console.print(table)
    for failure in failures[:50]:
        console.print(f"FAILED: {failure}", style="red", markup=False, highlight=False)


def print_links(console: Console, links: Mapping[str, str]) -> None:
    """Where to look now."""
    console.print("\nTo look at:")
    for title, url in links.items():
        console.print(f"  {title}: {url}", soft_wrap=True, markup=False)


def _kinds_told(kinds: Kinds) -> Iterator[tuple[str, str]]:
    """A row per kind of goods, and what else is to be known of parcels, codes and promotions."""
    for family, ends in sorted(kinds.lines.items()):
        yield f"lines of {family}", f"{ends.total()} = {' + '.join(f'{ends[end]} {end}' for end in ENDS if ends[end])}"
    parcels = kinds.parcels
    yield (
        "parcels",
        f"{parcels['sent']} = {parcels['delivered']} delivered + {parcels['written off']} written off; "
        f"{parcels['lost']} were lost, {parcels['found']} of them found; {parcels['waybill corrected']} waybills "
        f"corrected; {parcels['lines split']} lines sent from two warehouses",
    )
    yield "codes", f"{kinds.codes.total()} handed out, {kinds.codes_twice} of them twice"
    if kinds.coupon is not None:
        yield "promotions", f"{kinds.discounted} orders with a discount, {_money(kinds.discount_minor)} in all"
        taken, limit = kinds.coupon.taken, kinds.coupon.most_uses
        yield "coupon", f"{taken} of {limit} uses taken, {kinds.coupon_refused} orders refused when all were"


def money_told(money: Money) -> Iterator[tuple[str, str]]:
    """Payments, and where their money is."""
    if not money.payments:
        return
    yield "payments", f"{money.payments.total()} = {_told(dict(money.payments.most_common()))}"
    others = {
        "settled otherwise": money.settled,
        "of nobody, and not told": money.unheard,
    }
    yield (
        "charged at channels",
        f"{_money(money.charged)} = {_money(money.served)} served + {_money(money.refunded)} given back + "
        f"{_money(money.queued)} with operators"
        + "".join(f" + {_money(minor)} {name}" for name, minor in others.items() if minor),
    )
    yield "faults of channels", _told(dict(money.hits.most_common()))


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(report, indent=2, sort_keys=False) + "\n")


def _money(amount_minor: int) -> str:
    return f"{amount_minor / 100:,.2f} {CURRENCY}"


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items()) or "-"
    return str(value)
