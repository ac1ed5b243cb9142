"""What becomes of something that is asked for: at once or late, as faults say, and who is called back about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from simulators.common.book import Clerk, E, Entry, shown
from simulators.common.callbacks import Callbacks
from simulators.common.faults import Strike
from simulators.common.parties import P, Parties, PartySettings


@dataclass(frozen=True, slots=True)
class Notice(Generic[E]):
    """A callback that the party owes; `status` says otherwise than the book where the party contradicts itself."""

    entry: E
    delay_ms: int = 0
    status: str | None = None
    before_reply: bool = False


@dataclass(frozen=True, slots=True)
class Outcome(Generic[E]):
    """What was done, the status to answer with where it is not the book's, and the callbacks that follow."""

    entry: E
    shown_status: str | None = None
    notices: tuple[Notice[E], ...] = ()


def decide(entry: E, party: PartySettings, strike: Strike[Any], now: float) -> Outcome[E]:
    """Give `entry` its new status: confirmed, rejected, or pending until it is due. It is not written yet."""
    params, calls_back = party.faults.params, party.callback is not None
    if strike.takes("confirm_late"):
        entry.due_at = now + params.confirm_late_ms / 1_000
        entry.due_status = "REJECTED" if strike.takes("reject") else "CONFIRMED"
        entry.become("PENDING", now)
        # The second call comes a moment after the one that every late confirmation makes.
        twice = calls_back and strike.takes("callback_twice")
        return Outcome(entry, notices=(Notice(entry, params.confirm_late_ms + 50),) if twice else ())
    if strike.takes("reject"):
        entry.become("REJECTED", now)
        return Outcome(entry)
    entry.become("CONFIRMED", now)
    if params.contradict_way == "rejected_then_confirmed" and strike.takes("contradict"):
        later = (Notice(entry, params.contradict_ms),) if calls_back else ()
        return Outcome(entry, "REJECTED", later)
    notices: list[Notice[E]] = []
    if calls_back and strike.takes("callback_early"):
        notices.append(Notice(entry, before_reply=True))
    if calls_back and strike.takes("callback_twice"):
        notices += [Notice(entry), Notice(entry)]
    if calls_back and strike.takes("contradict"):
        notices.append(Notice(entry, params.contradict_ms, "REJECTED"))
    return Outcome(entry, notices=tuple(notices))


def may_forget(entry: Entry, party: PartySettings, strike: Strike[Any], now: float) -> None:
    """Hide an entry that was just made or changed from reads, where a fault says so. It is not written yet."""
    if strike.takes("forget"):
        entry.forgotten_until = party.faults.params.forgotten_until(now)


def remembered(clerk: Clerk[E], party: PartySettings, reference: str, strike: Strike[Any]) -> E | None:
    """What a read by reference shows; a forgotten entry is as if it had never been."""
    now = clerk.clock()
    entry = shown(clerk.settled(party.name, reference, now))
    if entry is None:
        return None
    if strike.takes("forget"):
        entry.forgotten_until = party.faults.params.forgotten_until(now)
        clerk.write(entry)
    return None if entry.is_forgotten(now) else entry


class Messenger(Generic[E, P]):
    """Calls back what was decided. `view` is an entry as a callback's body, with another status where one is given."""

    def __init__(
        self,
        parties: Parties[P],
        clerk: Clerk[E],
        callbacks: Callbacks,
        view: Callable[[P, E, str | None], dict[str, Any]],
    ) -> None:
        self._parties = parties
        self._clerk = clerk
        self._callbacks = callbacks
        self._view = view

    def schedule(self, entry: E) -> None:
        """See to an entry when its time has come."""
        if entry.due_at is not None:
            self._callbacks.run(self._when_due(entry.supplier, entry.id, entry.due_at))

    async def follow(self, party: P, outcome: Outcome[E]) -> None:
        """Everything that an outcome owes; waits only for what has to arrive before the reply."""
        self.schedule(outcome.entry)
        for notice in outcome.notices:
            if not notice.before_reply:
                self._callbacks.run(self._notify(party.name, notice))
            elif party.callback is not None:
                await self._callbacks.send_once(party.callback, self.body(party, notice.entry, notice))

    def body(self, party: P, entry: E, notice: Notice[E] | None) -> dict[str, Any]:
        """What is called back about an entry as it is now; without a notice because a late result came due."""
        return self._view(party, entry, None if notice is None else notice.status)

    async def come_due(self, party: P, entry_id: str, due_at: float) -> None:
        """What happens when an entry's time has come: its late result is called back."""
        entry = self._clerk.complete(entry_id)
        if entry is not None:
            self._send(party, entry, None)

    async def _when_due(self, party_name: str, entry_id: str, due_at: float) -> None:
        await asyncio.sleep(max(0.0, due_at - self._clerk.clock()))
        party = self._parties.find(party_name)
        if party is not None:
            await self.come_due(party, entry_id, due_at)

    async def _notify(self, party_name: str, notice: Notice[E]) -> None:
        await asyncio.sleep(notice.delay_ms / 1_000)
        # Read again: a reset or a cancel may have come between.
        entry, party = self._clerk.current(notice.entry.id), self._parties.find(party_name)
        if entry is not None and party is not None:
            self._send(party, entry, notice)

    def _send(self, party: P, entry: E, notice: Notice[E] | None) -> None:
        if party.callback is not None:
            self._callbacks.send_later(party.callback, self.body(party, entry, notice))
