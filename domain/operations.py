"""The elementary operations of which every kind's fulfilment is made, and the rules by which they may be put together.

A kind declares its steps as a list of these; the order's process and the delivery's process interpret them and know no
kind by name. `ISSUED` is the pivot: what stands before it brings the line to *issued*, what stands after it goes on for
days or weeks when the order is at rest already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from domain.units import Happening


@dataclass(frozen=True, slots=True)
class Reserve:
    """Before payment: own stock or codes by the variant's policy, and the supplier's hold where its offer has one."""

    op: Literal["reserve"] = "reserve"


@dataclass(frozen=True, slots=True)
class Call:
    """Obtain the thing from an outside party, by the four answers. `apart`: one booking for each warehouse that sends
    a part of the line; otherwise one for the whole line."""

    apart: bool = False
    op: Literal["call"] = "call"


@dataclass(frozen=True, slots=True)
class HandOut:
    """Give out a credential of our own: a code of the variant's pool, or a ticket that our own gates read."""

    source: Literal["pool", "gate"]
    op: Literal["hand_out"] = "hand_out"


@dataclass(frozen=True, slots=True)
class WaitForCallback:
    """Wait until each unit's carrier has told that this happened: by callback, and by asking every `poll_s` seconds.

    After `deadline_s` seconds a person is asked to look, and the waiting goes on.
    """

    until: Happening
    poll_s: int
    deadline_s: int
    op: Literal["wait_for_callback"] = "wait_for_callback"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Wait for a date: `after_s` seconds after the last unit was issued or, where it is carried, delivered; or the
    start of the session or event that was bought."""

    after_s: int = 0
    at_start: bool = False
    op: Literal["schedule"] = "schedule"


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the distributor, by an event of this kind: `noun.past_tense`."""

    event: str
    op: Literal["notify"] = "notify"


@dataclass(frozen=True, slots=True)
class Record:
    """Write into each unit's history that this happened. `issued` and `completed` move the unit; others don't."""

    event: str
    op: Literal["record"] = "record"


Operation = Reserve | Call | HandOut | WaitForCallback | Schedule | Notify | Record

ISSUED = Record("issued")
"""The pivot: from here on the buyer has what was promised, or it is on its way to him."""

COMPLETED = Record("completed")
"""The end of what follows the pivot: nothing more is expected of the units."""

MAX_STEPS = 20

TOLD_BY_OTHERS = frozenset({*get_args(Happening), "voided", "restored"})
"""Words of a unit's history that carriers and refunds write, and that a kind's own steps may not."""

_NOTICE = re.compile(r"[a-z_]{1,30}\.[a-z_]{1,30}")
_WORD = re.compile(r"[a-z_]{1,30}")


class StepsUnfit(ValueError):
    """A kind's list of operations that the processes could not carry out: a mistake of its author."""


def issuing(steps: Sequence[Operation]) -> tuple[Operation, ...]:
    """What brings the line to issued, the pivot included; without what is reserved before payment."""
    end = list(steps).index(ISSUED)
    return tuple(step for step in steps[: end + 1] if not isinstance(step, Reserve))


def delivering(steps: Sequence[Operation]) -> tuple[Operation, ...]:
    """What follows when the line is issued; empty where nothing does."""
    return tuple(steps[list(steps).index(ISSUED) + 1 :])


def effect_of(steps: Sequence[Operation]) -> Call | HandOut:
    """The one operation that obtains the thing."""
    return next(step for step in steps if isinstance(step, Call | HandOut))


def checked(steps: Sequence[Operation], *, gated: bool = False, carried: bool = False) -> tuple[Operation, ...]:
    """The steps, if they can be carried out for a kind that is `gated` or `carried`. Raises StepsUnfit, which says what
    is wrong with them."""
    steps = tuple(steps)
    if len(steps) > MAX_STEPS:
        raise StepsUnfit(f"a kind has at most {MAX_STEPS} steps, not {len(steps)}")
    if steps.count(ISSUED) != 1:
        raise StepsUnfit(
            "exactly one step has to be ISSUED: what comes before it issues the line, what follows delivers"
        )
    before, after = steps[: steps.index(ISSUED)], steps[steps.index(ISSUED) + 1 :]
    _check_issuing(before)
    _check_delivering(after)
    _check_figures(steps)
    _check_traits(effect_of(before), after, gated=gated, carried=carried)
    return steps


def _check_issuing(before: tuple[Operation, ...]) -> None:
    effects = [number for number, step in enumerate(before) if isinstance(step, Call | HandOut)]
    if len(effects) != 1 or effects[0] != len(before) - 1:
        raise StepsUnfit("one Call or HandOut has to stand right before ISSUED: a line is obtained once, then issued")
    if any(isinstance(step, Reserve) for step in before[1:]):
        raise StepsUnfit("Reserve may only be the first step: it is done before anybody has paid")
    if any(isinstance(step, WaitForCallback) for step in before):
        raise StepsUnfit("WaitForCallback follows ISSUED: before it, Call itself waits for the answer")
    if any(isinstance(step, Schedule) and step.at_start for step in before):
        raise StepsUnfit("Schedule(at_start) follows ISSUED: an order is not kept in motion until an event begins")
    if COMPLETED in before:
        raise StepsUnfit("Record('completed') is the last step of all: what is not issued is not complete")


def _check_delivering(after: tuple[Operation, ...]) -> None:
    if any(isinstance(step, Reserve) for step in after):
        raise StepsUnfit("Reserve may only be the first step: it is done before anybody has paid")
    if any(isinstance(step, Call | HandOut) for step in after):
        raise StepsUnfit("nothing is obtained after ISSUED: Call and HandOut stand before it")
    if after and (after[-1] != COMPLETED or after.count(COMPLETED) != 1):
        raise StepsUnfit("what follows ISSUED ends with the only Record('completed'): so its rows show what is done")


def _check_figures(steps: tuple[Operation, ...]) -> None:
    for step in steps:
        if isinstance(step, WaitForCallback) and (step.poll_s <= 0 or step.deadline_s <= 0):
            raise StepsUnfit("WaitForCallback asks every poll_s seconds up to deadline_s: both are above 0")
        if isinstance(step, Schedule) and step.after_s < 0:
            raise StepsUnfit("Schedule waits after_s seconds: 0 or more")
        if isinstance(step, Notify) and not _NOTICE.fullmatch(step.event):
            raise StepsUnfit(f"Notify({step.event!r}) has to name its event noun.past_tense, in small letters")
        if isinstance(step, Record) and (not _WORD.fullmatch(step.event) or step.event in TOLD_BY_OTHERS):
            raise StepsUnfit(f"Record({step.event!r}) has to be one small word, and none that moves a unit otherwise")


def _check_traits(effect: Call | HandOut, after: tuple[Operation, ...], *, gated: bool, carried: bool) -> None:
    waits = [step for step in after if isinstance(step, WaitForCallback)]
    if waits and not (carried and isinstance(effect, Call)):
        raise StepsUnfit("WaitForCallback is of a kind that is carried and obtained by Call: nobody else would tell")
    if carried and not any(step.until == "delivered" for step in waits):
        raise StepsUnfit("a kind that is carried waits until it is delivered, or its orders' delivery never ends")
    if isinstance(effect, HandOut) and (effect.source == "gate") != gated:
        raise StepsUnfit("HandOut('gate') is of a kind that is gated, and a gated kind hands out nothing else")
