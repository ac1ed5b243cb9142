"""Which supplier misbehaves how: one is slow, one drops connections after doing the work and doesn't deduplicate, one
forgets, contradicts and rejects. Contracts are tightened for the demo's time, so that negotiations end within it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from demo.books import Control
from demo.caller import Caller

KINDS = (
    "slow", "drop_after", "error_after", "confirm_late", "callback_twice", "callback_early", "forget", "contradict",
    "reject", "rate_limit", "unreadable", "error_before",
)  # fmt: skip
"""Every one of them has to take effect in a run."""


@dataclass(frozen=True, slots=True)
class Character:
    """How one supplier behaves (`rates` per call) and how it is dealt with (`terms` of its contract, in seconds).

    `strikes`: on which operation a kind is forced where chance has not brought it about.
    """

    rates: Mapping[str, float]
    params: Mapping[str, Any]
    terms: Mapping[str, Any]
    strikes: Mapping[str, str]
    deduplicates: bool = True


_PATIENCE = {
    "growth": 1.5,
    "ceiling_s": 4.0,
    "consistency_window_s": 3.0,
    "lock_timeout_s": 4.0,
    "issue_timeout_s": 6.0,
}

CHARACTERS: Mapping[str, Character] = {
    "northgate": Character(
        rates={"slow": 0.25, "confirm_late": 0.15, "callback_twice": 0.1, "rate_limit": 0.02},
        params={"slow_ms": 1200, "confirm_late_ms": 2500, "retry_after_s": 1},
        terms={**_PATIENCE, "first_interval_s": 1.0, "deadline_s": 20.0, "deadline_policy": "cancel_and_refund"},
        strikes={
            "slow": "reserve", "confirm_late": "confirm", "callback_twice": "confirm", "rate_limit": "confirm",
        },
    ),
    "cineplex": Character(
        rates={
            "drop_after": 0.08, "error_after": 0.03, "unreadable": 0.02, "error_before": 0.02, "callback_early": 0.1,
        },
        params={},
        terms={**_PATIENCE, "first_interval_s": 0.5, "deadline_s": 8.0, "deadline_policy": "escalate"},
        strikes={
            "drop_after": "confirm", "error_after": "confirm", "unreadable": "confirm", "error_before": "confirm",
            "callback_early": "confirm",
        },
        deduplicates=False,
    ),
    "grandstand": Character(
        rates={"forget": 0.12, "contradict": 0.08, "reject": 0.05, "error_after": 0.04},
        params={"forget_ms": 2500, "contradict_ms": 600},
        terms={**_PATIENCE, "first_interval_s": 0.5, "deadline_s": 10.0, "deadline_policy": "escalate"},
        strikes={"forget": "confirm", "contradict": "confirm", "reject": "confirm", "error_after": "confirm"},
    ),
}  # fmt: skip


class Mischief:
    """`async with Mischief(...)`: inside the block the suppliers misbehave, after it all is as it was before."""

    def __init__(self, control: Control, operator: Caller, seed: int) -> None:
        self._control = control
        self._operator = operator
        self._seed = seed
        self._before: dict[str, Counter[str]] = {}
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._contracts: dict[str, Mapping[str, Any]] = {}

    async def __aenter__(self) -> Mischief:
        simulated = {each["name"]: each for each in await self._control.suppliers()}
        for name, character in CHARACTERS.items():
            self._settings[name] = simulated[name]
            self._before[name] = await self._control.hits(name)
            contract = (await self._operator.get(f"/v1/suppliers/{name}")).body
            self._contracts[name] = {term: contract[term] for term in character.terms}
            await self._operator.patch(f"/v1/suppliers/{name}", character.terms)
            await self._control.set_faults(
                name,
                {
                    "seed": self._seed,
                    "rates": character.rates,
                    "params": character.params,
                    "deduplicates": character.deduplicates,
                },
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        for name, contract in self._contracts.items():
            await self._operator.patch(f"/v1/suppliers/{name}", contract)
            settings = self._settings[name]
            faults = {key: settings["faults"][key] for key in ("seed", "rates", "params")}
            await self._control.set_faults(name, {**faults, "deduplicates": settings["deduplicates"]})
            await self._control.set_capacities(name, settings["capacities"])

    async def make_scarce(self, supplier_id: str, availability_id: str, places: int) -> None:
        """Of one session only so many places are left."""
        await self._control.set_capacities(
            supplier_id, {**self._settings[supplier_id]["capacities"], availability_id: places}
        )

    async def hits(self) -> Counter[str]:
        """Faults that took effect since the beginning, by kind, over all suppliers."""
        hits: Counter[str] = Counter()
        for name, before in self._before.items():
            hits += await self._control.hits(name) - before
        return hits

    async def heal(self) -> None:
        """No more faults; what has been forgotten or delayed by them goes on."""
        for name, character in CHARACTERS.items():
            await self._control.set_faults(
                name, {"params": character.params, "rates": {}, "deduplicates": character.deduplicates}
            )

    async def keep_striking(self, *, every_s: float = 0.4) -> None:
        """Force what chance has not brought about yet, one kind per supplier at a time, until every kind was hit."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self._strike()
            except httpx2.HTTPError:
                continue  # the simulator is being killed: the next round finds it again

    async def _strike(self) -> None:
        for name, character in CHARACTERS.items():
            hit = await self._control.hits(name) - self._before[name]
            settings = {each["name"]: each for each in await self._control.suppliers()}[name]
            missing = [kind for kind in character.strikes if not hit[kind]]
            if missing and not settings["faults"]["forced"]:
                await self._control.force(name, character.strikes[missing[0]], missing[0])
