"""The mischief of a run: parties take on their characters, what chance leaves out is forced, all is put right later."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx2

from demo.books import Control
from demo.caller import Caller
from demo.characters import CHARACTERS, COMPANIONS, Character


class Mischief:
    """`async with Mischief(...)`: inside the block the parties misbehave, after it all is as it was before.

    `controls`: the control side of each party, by its id.
    """

    def __init__(self, controls: Mapping[str, Control], operator: Caller, seed: int) -> None:
        self._controls = controls
        self._operator = operator
        self._seed = seed
        self._before: dict[str, Counter[str]] = {}
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._contracts: dict[str, Mapping[str, Any]] = {}

    async def __aenter__(self) -> Mischief:
        for name, character in CHARACTERS.items():
            control = self._controls[name]
            self._settings[name] = await control.settings(name)
            self._before[name] = await control.hits(name)
            contract = (await self._operator.get(f"/v1/suppliers/{name}")).body
            self._contracts[name] = {term: contract[term] for term in character.terms}
            await self._operator.patch(f"/v1/suppliers/{name}", character.terms)
            faults = {"seed": self._seed, "rates": character.rates, "params": character.params}
            await control.set_faults(name, {**faults, "deduplicates": character.deduplicates})
            await control.change(name, character.moving)
        return self

    async def __aexit__(self, *_: object) -> None:
        for name, contract in self._contracts.items():
            await self._operator.patch(f"/v1/suppliers/{name}", contract)
            settings, control = self._settings[name], self._controls[name]
            faults = {key: settings["faults"][key] for key in ("seed", "rates", "params")}
            await control.set_faults(name, {**faults, "deduplicates": settings["deduplicates"]})
            changed = ("capacities", *CHARACTERS[name].moving)
            await control.change(name, {key: settings[key] for key in changed if key in settings})

    async def make_scarce(self, supplier_id: str, availability_id: str, places: int) -> None:
        """Of one session only so many places are left."""
        capacities = {**self._settings[supplier_id]["capacities"], availability_id: places}
        await self._controls[supplier_id].change(supplier_id, {"capacities": capacities})

    async def hits(self) -> Counter[str]:
        """Faults that took effect since the beginning, by simulator and kind as in `KINDS`."""
        hits: Counter[str] = Counter()
        for name, before in self._before.items():
            simulator = CHARACTERS[name].simulator
            since = await self._controls[name].hits(name) - before
            hits += Counter({f"{simulator}/{kind}": count for kind, count in since.items()})
        return hits

    async def heal(self) -> None:
        """No more faults; what has been forgotten or delayed by them goes on."""
        for name, character in CHARACTERS.items():
            await self._controls[name].set_faults(
                name, {"params": character.params, "rates": {}, "deduplicates": character.deduplicates}
            )

    async def keep_striking(self, *, every_s: float = 0.4) -> None:
        """Force what chance has not brought about yet, until every kind was hit."""
        while True:
            await asyncio.sleep(every_s)
            for name, character in CHARACTERS.items():
                try:
                    await self._strike(name, character)
                except httpx2.HTTPError:
                    continue  # the simulator is being killed: the next round finds it again

    async def _strike(self, name: str, character: Character) -> None:
        """One kind at a time on each of the party's operations."""
        control = self._controls[name]
        hit = await control.hits(name) - self._before[name]
        taken = {forced["operation"] for forced in (await control.settings(name))["faults"]["forced"]}
        for kind, operation in character.strikes.items():
            if hit[kind] or operation in taken:
                continue
            taken.add(operation)
            await control.force(name, operation, kind)
            if kind in COMPANIONS:
                await control.force(name, operation, COMPANIONS[kind])
