"""Faults on demand: which of them strike a call, decided by seed and rate or forced, and counted when they took effect.

A draw depends only on (seed, party, operation, reference, nth such call, kind), so a run with the same seed and the
same calls meets the same faults, whatever else happens in between. Each simulator has a table of its operations and the
kinds that can strike each: a kind that cannot is neither drawn nor accepted there.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from simulators.common.book import Tally

AroundKind = Literal["slow", "rate_limit", "error_before", "hang", "drop_after", "error_after", "unreadable"]
"""What can strike any request: before the work, after it, or instead of its answer."""
ANYWHERE: frozenset[AroundKind] = frozenset(
    {"slow", "rate_limit", "error_before", "hang", "drop_after", "error_after", "unreadable"}
)

Possible = Mapping[str, frozenset[str]]
"""The kinds that can strike, by operation."""

K = TypeVar("K", bound=str)


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

    def forgotten_until(self, now: float) -> float:
        """Until when a booking that is forgotten now stays so, in seconds since 1970; -1 for ever."""
        return -1.0 if self.forget_ms < 0 else now + self.forget_ms / 1_000


class ForcedFault(BaseModel):
    """Strike the next `count` matching calls, whatever the rates say."""

    model_config = ConfigDict(extra="forbid")

    operation: str
    kind: str
    count: int = Field(1, ge=1, le=100_000)
    reference: str | None = None


class FaultSettings(BaseModel):
    """A party's faults; `rates` are probabilities per call of an operation on which the kind can strike."""

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    rates: dict[str, float] = Field(default_factory=dict)
    params: FaultParams = Field(default_factory=FaultParams)
    forced: list[ForcedFault] = Field(default_factory=list)


def draw(seed: int, party: str, operation: str, reference: str, nth: int, kind: str) -> float:
    """A number in [0, 1) that is the same for the same arguments, on every machine."""
    text = "\x1f".join((str(seed), party, operation, reference, str(nth), kind))
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest()) / float(1 << 56)


class Strike(Generic[K]):
    """The faults of one call. `takes` asks for a kind and counts it: ask only where it is about to take effect."""

    def __init__(self, tally: Tally, party: str, operation: str, kinds: frozenset[str]) -> None:
        self._tally = tally
        self._party = party
        self._operation = operation
        self.kinds = kinds

    def takes(self, kind: K) -> bool:
        if kind not in self.kinds:
            return False
        self._tally.count_hit(self._party, self._operation, kind)
        return True


def strike(
    tally: Tally, party: str, settings: FaultSettings, possible: Possible, operation: str, reference: str
) -> tuple[frozenset[str], bool]:
    """The kinds that strike this call, and whether `settings.forced` was used up by it and must be stored.

    Calls are counted only while some rate is above zero: a healthy party pays nothing for its faults.
    """
    kinds: set[str] = set()
    changed = False
    for forced in settings.forced:
        if forced.operation == operation and forced.count > 0 and forced.reference in (None, reference):
            kinds.add(forced.kind)
            forced.count -= 1
            changed = True
    if changed:
        settings.forced = [forced for forced in settings.forced if forced.count > 0]
    rates = {kind: rate for kind, rate in settings.rates.items() if rate > 0 and kind in possible[operation]}
    if rates:
        nth = tally.count_call(party, operation, reference)
        kinds |= {k for k, rate in rates.items() if draw(settings.seed, party, operation, reference, nth, k) < rate}
    return frozenset(kinds), changed
