"""The operations of a carrier, and the faults that can strike each. `move` is no request: a parcel's next step."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from simulators.common import faults
from simulators.common.faults import ANYWHERE, AroundKind, Possible

Request = Literal["ship", "query", "cancel", "track"]
Operation = Request | Literal["move"]
Kind = (
    AroundKind
    | Literal["confirm_late", "reject", "forget", "contradict", "wrong_waybill"]
    | Literal["callback_twice", "callback_early", "callback_late", "lose", "find", "exception"]
)

_ONLY_ON: dict[Request, frozenset[Kind]] = {
    "ship": frozenset({"confirm_late", "reject", "forget", "contradict", "wrong_waybill", "callback_early"}),
    "query": frozenset({"forget"}),
}
_ON_MOVE: frozenset[Kind] = frozenset({"callback_twice", "callback_late", "lose", "find", "exception"})
POSSIBLE: Possible = {each: ANYWHERE | _ONLY_ON.get(each, frozenset()) for each in get_args(Request)} | {
    "move": _ON_MOVE
}


class FaultParams(faults.FaultParams):
    """`found_ms`: after which a lost parcel that is found turns up; `correct_ms`: after which a wrong waybill is put
    right; `callback_late_ms`: by how much a late callback is overtaken by those of later events."""

    found_ms: int = Field(1_000, ge=0, le=86_400_000)
    correct_ms: int = Field(1_000, ge=0, le=86_400_000)
    callback_late_ms: int = Field(1_000, ge=0, le=86_400_000)


class FaultSettings(faults.FaultSettings):
    params: FaultParams = Field(default_factory=FaultParams)
