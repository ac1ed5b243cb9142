"""The operations of a payment channel, and the faults that can strike each. `pay` is what payers do."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from simulators.common import faults
from simulators.common.faults import ANYWHERE, AroundKind, Possible

Operation = Literal["create", "query", "close", "refund", "query_refund", "bill", "pay"]
Kind = (
    AroundKind
    | Literal["callback_lost", "callback_late", "callback_twice", "callback_reordered", "callback_contradict"]
    | Literal["wrong_amount", "double_charge", "unknown_reference", "pay_late"]
    | Literal["refund_pending", "refund_refused", "refund_callback_twice", "forget"]
)

_ONLY_ON: dict[Operation, frozenset[Kind]] = {
    "query": frozenset({"forget"}),
    "query_refund": frozenset({"forget"}),
    "refund": frozenset({"refund_pending", "refund_refused", "refund_callback_twice"}),
    "pay": frozenset(
        {
            "callback_lost", "callback_late", "callback_twice", "callback_reordered", "callback_contradict",
            "wrong_amount", "double_charge", "unknown_reference", "pay_late",
        }
    ),
}  # fmt: skip
POSSIBLE: Possible = {each: ANYWHERE | _ONLY_ON.get(each, frozenset()) for each in get_args(Operation)}


class FaultParams(faults.FaultParams):
    """By how much each comes late: `callback_late_ms` a callback, `pay_late_ms` the money, `refund_late_ms` a refund;
    `reorder_ms` is how long after the success the failure of an earlier attempt is told."""

    callback_late_ms: int = Field(1_500, ge=0, le=86_400_000)
    pay_late_ms: int = Field(1_500, ge=0, le=86_400_000)
    refund_late_ms: int = Field(1_500, ge=0, le=86_400_000)
    reorder_ms: int = Field(500, ge=0, le=86_400_000)


class FaultSettings(faults.FaultSettings):
    params: FaultParams = Field(default_factory=FaultParams)
