"""The operations of a top-up gateway, and the faults that can strike each."""

from __future__ import annotations

from typing import Literal, get_args

from simulators.common.faults import ANYWHERE, AroundKind, Possible

Operation = Literal["recharge", "query", "cancel"]
Kind = AroundKind | Literal["confirm_late", "reject", "forget", "contradict", "callback_twice", "callback_early"]

_ONLY_ON: dict[Operation, frozenset[Kind]] = {
    "recharge": frozenset({"confirm_late", "reject", "forget", "contradict", "callback_twice", "callback_early"}),
    "query": frozenset({"forget"}),
}
POSSIBLE: Possible = {each: ANYWHERE | _ONLY_ON.get(each, frozenset()) for each in get_args(Operation)}
