"""Faults on demand: which of them strike a call, decided by seed and rate or forced, and counted when they took effect.

A draw depends only on (seed, supplier, operation, reference, nth such call, kind), so a run with the same seed and the
same calls meets the same faults, whatever else happens in between.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from simulators.supplier.book import Book

Operation = Literal[
    "supplier", "products", "availability", "calendar", "capabilities", "reserve", "confirm", "cancel", "extend",
    "query", "list",
]  # fmt: skip
Kind = Literal[
    "slow", "rate_limit", "error_before", "hang", "drop_after", "error_after", "unreadable", "confirm_late", "reject",
    "forget", "contradict", "callback_twice", "callback_early",
]  # fmt: skip

ANYWHERE: frozenset[Kind] = frozenset(
    {"slow", "rate_limit", "error_before", "hang", "drop_after", "error_after", "unreadable"}
)
# What else can strike an operation; a kind that cannot is neither drawn nor accepted there.
ONLY_ON: dict[Operation, frozenset[Kind]] = {
    "reserve": frozenset({"reject", "forget"}),
    "confirm": frozenset({"confirm_late", "reject", "forget", "contradict", "callback_twice", "callback_early"}),
    "query": frozenset({"forget"}),
}


def kinds_of(operation: Operation) -> frozenset[Kind]:
    return ANYWHERE | ONLY_ON.get(operation, frozenset())


class FaultParams(BaseModel):
    """How the faults look. `forget_ms` of -1 forgets for ever; `hang_works` says whether a hanging call is done.

    `contradict_way` is what is answered first and what the callback says after; the book has it confirmed either way.
    """

    model_config = ConfigDict(extra="forbid")

    slow_ms: int = Field(800, ge=0, le=120_000)
    confirm_late_ms: int = Field(1_500, ge=0, le=86_400_000)
    forget_ms: int = Field(3_000, ge=-1, le=86_400_000)
    hang_ms: int = Field(30_000, ge=0, le=120_000)
    hang_works: bool = True
    retry_after_s: int = Field(1, ge=0, le=3_600)
    contradict_ms: int = Field(500, ge=0, le=86_400_000)
    contradict_way: Literal["confirmed_then_rejected", "rejected_then_confirmed"] = "confirmed_then_rejected"


class ForcedFault(BaseModel):
    """Strike the next `count` matching calls, whatever the rates say."""

    model_config = ConfigDict(extra="forbid")

    operation: Operation
    kind: Kind
    count: int = Field(1, ge=1, le=100_000)
    reference: str | None = None


class FaultSettings(BaseModel):
    """A supplier's faults; `rates` are probabilities per call of an operation on which the kind can strike."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    rates: dict[Kind, float] = Field(default_factory=dict)
    params: FaultParams = Field(default_factory=FaultParams)
    forced: list[ForcedFault] = Field(default_factory=list)


def draw(seed: int, supplier: str, operation: str, reference: str, nth: int, kind: str) -> float:
    """A number in [0, 1) that is the same for the same arguments, on every machine."""
    text = "\x1f".join((str(seed), supplier, operation, reference, str(nth), kind))
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest()) / float(1 << 56)


class Strike:
    """The faults of one call. `takes` asks for a kind and counts it: ask only where it is about to take effect."""

    def __init__(self, book: Book, supplier: str, operation: Operation, kinds: frozenset[Kind]) -> None:
        self._book = book
        self._supplier = supplier
        self._operation = operation
        self._kinds = kinds

    def takes(self, kind: Kind) -> bool:
        if kind not in self._kinds:
            return False
        self._book.count_hit(self._supplier, self._operation, kind)
        return True


def strike(
    book: Book, supplier: str, settings: FaultSettings, operation: Operation, reference: str
) -> tuple[Strike, bool]:
    """The faults that strike this call, and whether `settings.forced` was used up by it and must be stored.

    Calls are counted only while some rate is above zero: a healthy supplier pays nothing for its faults.
    """
    kinds: set[Kind] = set()
    changed = False
    for forced in settings.forced:
        if forced.operation == operation and forced.count > 0 and forced.reference in (None, reference):
            kinds.add(forced.kind)
            forced.count -= 1
            changed = True
    if changed:
        settings.forced = [forced for forced in settings.forced if forced.count > 0]
    rates = {kind: rate for kind, rate in settings.rates.items() if rate > 0 and kind in kinds_of(operation)}
    if rates:
        nth = book.count_call(supplier, operation, reference)
        kinds |= {k for k, rate in rates.items() if draw(settings.seed, supplier, operation, reference, nth, k) < rate}
    return Strike(book, supplier, operation, frozenset(kinds)), changed
