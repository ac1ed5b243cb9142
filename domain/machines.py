"""State machines as tables: `(state, event) -> state`. An event with no row is refused, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from domain.errors import DomainError

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class IllegalTransition(DomainError):
    """The machine has no row for this event in this state."""

    code = "illegal_transition"

    def __init__(self, machine: str, state: str, event: str, allowed_from: tuple[str, ...]) -> None:
        legal = ", ".join(allowed_from) or "no state"
        super().__init__(f"`{event}` is not possible while {machine} is `{state}`; it is possible in: {legal}.")
        self.machine = machine
        self.state = state
        self.event = event
        self.allowed_from = allowed_from

    @property
    def facts(self) -> dict[str, object]:
        return {"state": self.state, "event": self.event, "allowed_from": list(self.allowed_from)}


@dataclass(frozen=True, slots=True)
class Machine(Generic[S, E]):
    """One axis of an order. `table` is the whole truth: docs/states.md is generated from it."""

    name: str
    initial: S
    table: Mapping[tuple[S, E], S]

    def after(self, state: S, event: E) -> S:
        """The state that `event` leads to. Raises IllegalTransition where the table has no row."""
        try:
            return self.table[state, event]
        except KeyError:
            raise IllegalTransition(self.name, state, event, self.sources(event)) from None

    def allows(self, state: S, event: E) -> bool:
        """Whether the table has a row for `event` in `state`."""
        return (state, event) in self.table

    def sources(self, event: E) -> tuple[str, ...]:
        """The states in which `event` is legal."""
        return tuple(sorted({str(source) for source, name in self.table if name == event}))
