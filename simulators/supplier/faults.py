"""The operations of an OCTO supplier, and the faults that can strike each."""

from __future__ import annotations

from typing import Literal, get_args

from simulators.common.faults import ANYWHERE, AroundKind, Possible

Operation = Literal[
    "supplier", "products", "availability", "calendar", "capabilities", "reserve", "confirm", "cancel", "extend",
    "query", "list",
]  # fmt: skip
Kind = AroundKind | Literal["confirm_late", "reject", "forget", "contradict", "callback_twice", "callback_early"]

_ONLY_ON: dict[Operation, frozenset[Kind]] = {
    "reserve": frozenset({"reject", "forget"}),
    "confirm": frozenset({"confirm_late", "reject", "forget", "contradict", "callback_twice", "callback_early"}),
    "query": frozenset({"forget"}),
}
POSSIBLE: Possible = {each: ANYWHERE | _ONLY_ON.get(each, frozenset()) for each in get_args(Operation)}
