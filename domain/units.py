"""Fulfilment units: what an order line owes its buyer, one by one, and what happened to each of them.

A unit is one ticket, one code, one top-up, or one parcel (which holds several pieces of its line).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from domain.errors import DomainError
from domain.machines import Machine
from domain.orders import DELIVERY, DeliveryEvent, DeliveryStatus

Happening = Literal["shipped", "delivered", "lost", "found", "corrected"]
"""What whoever carries a unit may tell of it after it was handed over."""


@dataclass(frozen=True, slots=True)
class TrackedEvent:
    """One thing that happened to a unit on its way, as its carrier tells it. `detail` is for people: place, reason.

    `corrected`: the carrier had told a wrong number; `tracking_no` is the right one. The highest `version` holds,
    in whatever order corrections arrive; the number of the first answer is version 1.
    """

    happening: Happening
    at: datetime
    detail: str = ""
    tracking_no: str | None = None
    version: int = 0


class UnitState(StrEnum):
    """Where a unit stands."""

    OWED = "owed"
    ISSUED = "issued"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    COMPLETED = "completed"
    LOST = "lost"
    VOID = "void"


class UnitEvent(StrEnum):
    """What moves a unit."""

    ISSUE = "issued"
    SHIP = "shipped"
    DELIVER = "delivered"
    COMPLETE = "completed"
    LOSE = "lost"
    FIND = "found"
    VOID = "voided"
    RESTORE = "restored"


_S, _E = UnitState, UnitEvent

UNIT: Machine[UnitState, UnitEvent] = Machine(
    "unit",
    _S.OWED,
    {
        (_S.OWED, _E.ISSUE): _S.ISSUED,
        (_S.OWED, _E.VOID): _S.VOID,
        (_S.ISSUED, _E.SHIP): _S.SHIPPED,
        (_S.ISSUED, _E.DELIVER): _S.DELIVERED,
        (_S.ISSUED, _E.COMPLETE): _S.COMPLETED,
        (_S.ISSUED, _E.LOSE): _S.LOST,
        (_S.ISSUED, _E.VOID): _S.VOID,
        (_S.SHIPPED, _E.DELIVER): _S.DELIVERED,
        (_S.SHIPPED, _E.LOSE): _S.LOST,
        (_S.SHIPPED, _E.VOID): _S.VOID,
        (_S.DELIVERED, _E.COMPLETE): _S.COMPLETED,
        (_S.DELIVERED, _E.VOID): _S.VOID,
        (_S.LOST, _E.FIND): _S.SHIPPED,
        (_S.LOST, _E.DELIVER): _S.DELIVERED,
        (_S.LOST, _E.VOID): _S.VOID,
        (_S.VOID, _E.RESTORE): _S.ISSUED,
    },
)

ON_ITS_WAY: frozenset[UnitState] = frozenset({_S.ISSUED, _S.SHIPPED, _S.LOST})
"""States of a unit that somebody carries and has not delivered."""

TRACKED: frozenset[UnitState] = ON_ITS_WAY | {_S.DELIVERED}
"""States in which what the carrier tells says where the unit stands."""


class CredentialStale(DomainError):
    """Somebody has corrected the waybill since the caller read it."""

    code = "precondition_failed"

    def __init__(self, version: int, code: str) -> None:
        super().__init__(f"The waybill is {code} at version {version} by now: read it again, then decide again.")
        self.version = version

    @property
    def facts(self) -> dict[str, object]:
        return {"version": self.version}


class UnitNotFound(DomainError):
    code = "unit_not_found"

    def __init__(self, line_no: int, unit: int) -> None:
        super().__init__(f"Line {line_no} has no unit {unit} that is carried: read the order for those it has.")


def follow(state: UnitState, event: TrackedEvent) -> UnitState:
    """Where the unit stands after what its carrier told. What comes late or twice moves nothing: carriers repeat
    themselves and their messages overtake each other, so this never refuses."""
    if event.happening == "corrected":
        return state
    moved = UnitEvent(event.happening)
    return UNIT.after(state, moved) if UNIT.allows(state, moved) else state


def stands_by(told: Iterable[TrackedEvent]) -> UnitState:
    """Where an issued unit stands by all that its carrier has told of it so far, in whatever order it was told."""
    state = UnitState.ISSUED
    for event in sorted(told, key=lambda each: each.at):
        state = follow(state, event)
    return state


@dataclass(frozen=True, slots=True)
class Piece:
    """A unit about to be recorded: how many pieces of the line it holds, and what opens, names or proves it."""

    quantity: int
    code: str = ""
    code_format: str = ""
    reference: str = ""


def pieces_of(quantity: int, credentials: Sequence[tuple[str, str, str]]) -> tuple[Piece, ...]:
    """The units of one booking of `quantity` pieces with these credentials (code, format, the party's own name).

    One credential per piece makes one unit each; fewer of them stand for all pieces together, the last for the rest.
    """
    if not credentials:
        return (Piece(quantity),)
    shown = list(credentials)[:quantity]
    ones = [Piece(1, *credential) for credential in shown[:-1]]
    return (*ones, Piece(quantity - len(ones), *shown[-1]))


def delivery_of(units: Iterable[UnitState]) -> DeliveryStatus | None:
    """The order's delivery status, derived from its carried units; None where nothing is carried any more.

    Any unit that is lost shows; delivered is the order only when all its units are.
    """
    states = [state for state in units if state is not _S.VOID]
    if not states:
        return None
    if _S.LOST in states:
        return DeliveryStatus.LOST
    if all(state in (_S.DELIVERED, _S.COMPLETED) for state in states):
        return DeliveryStatus.DELIVERED
    if any(state in (_S.SHIPPED, _S.DELIVERED, _S.COMPLETED) for state in states):
        return DeliveryStatus.SHIPPED
    return DeliveryStatus.PENDING


def delivery_path(start: DeliveryStatus, target: DeliveryStatus) -> tuple[DeliveryEvent, ...]:
    """The legal events that lead from one delivery status to another; empty where none do, or none is needed."""
    reached: dict[DeliveryStatus, tuple[DeliveryEvent, ...]] = {start: ()}
    waiting = [start]
    for state in waiting:
        for (source, event), after in DELIVERY.table.items():
            if source is state and after not in reached and event not in _RETURNS:
                reached[after] = (*reached[state], event)
                waiting.append(after)
    return reached.get(target, ())


_RETURNS = frozenset({DeliveryEvent.SEND_BACK, DeliveryEvent.RECEIVE_BACK})
"""What a carrier's news of the way out never means."""


def share_of(total_minor: int, line_quantity: int, before: int, quantity: int) -> int:
    """What `quantity` pieces of a line cost its buyer, `before` pieces of it having been settled so: minor units.

    Shares of successive pieces add up to the line's total exactly, whatever the order of refunds.
    """
    if not 0 <= before <= before + quantity <= line_quantity:
        raise ValueError(f"{before} + {quantity} pieces of {line_quantity}")
    return total_minor * (before + quantity) // line_quantity - total_minor * before // line_quantity
