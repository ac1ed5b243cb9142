"""Deciding cases about money: charges that no machine may use, and refunds that their channels will not give.

The pay order's own process, or the refund's, carries a decision out and closes the case with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fastapi.exceptions import RequestValidationError
from temporalio.service import RPCError, RPCStatusCode

from activities.payment_messages import DecideCharge, DecideRefund
from api import payment_host
from api.deps import Parts
from api.order_host import Undecided
from api.order_inputs import DecisionInput
from domain.access import Principal

CHARGE_KINDS = frozenset({"payment_wrong_amount", "payment_unknown"})

CHOICES: Mapping[str, tuple[str, ...]] = {
    "payment_wrong_amount": ("refund", "settle"),
    "payment_unknown": ("refund", "settle"),
    "payment_undecided": (),
    "refund_undecided": (),
    "refund_failed": ("retry", "to_coins", "paid_by_hand"),
}
"""What may be decided; the undecided ones close by themselves, when the channel has answered."""

NEEDS_EVIDENCE = frozenset({"settle", "paid_by_hand"})
"""Done outside our sight: without something to look at later nobody could ever check it."""


def offered(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What may be decided about this case; None where it is not about money. Coins need a buyer who is known."""
    choices = CHOICES.get(row["kind"])
    if choices is None or row["pay_id"] is not None:
        return choices
    return tuple(choice for choice in choices if choice != "to_coins")


def check_evidence(body: DecisionInput) -> None:
    """Raises RequestValidationError where the decision needs evidence and has none."""
    if body.decision in NEEDS_EVIDENCE and not body.evidence:
        msg = f"{body.decision} needs evidence: such as a bank's reference, a date, who confirmed it"
        raise RequestValidationError([{"type": "missing", "loc": ("body", "evidence"), "msg": msg}])


def is_about(row: Mapping[str, Any]) -> bool:
    """Whether the case is decided here."""
    return bool(CHOICES.get(row["kind"]))


async def decide(parts: Parts, caller: Principal, row: Mapping[str, Any], body: DecisionInput, key: str) -> None:
    """Hand the decision to the process that carries it out, once per key. Raises Refused."""
    if parts.temporal is None:
        raise RPCError("no Temporal is configured", RPCStatusCode.UNAVAILABLE, b"")
    update_id = f"decide/{caller.ref}/{key}"
    try:
        if row["kind"] in CHARGE_KINDS:
            charge: Literal["refund", "settle"] = "settle" if body.decision == "settle" else "refund"
            await payment_host.decide_charge(
                parts.temporal,
                row["evidence"]["reference"],
                DecideCharge(row["id"], charge, caller.ref, body.reason, body.evidence),
                update_id=update_id,
            )
        else:
            await payment_host.decide_refund(
                parts.temporal,
                row["refund_id"],
                DecideRefund(_refund_choice(body.decision), caller.ref, body.reason, body.evidence),
                update_id=update_id,
            )
    except Undecided as late:
        raise RPCError("the process has not answered in time", RPCStatusCode.UNAVAILABLE, b"") from late


def _refund_choice(decision: str) -> Literal["retry", "to_coins", "paid_by_hand"]:
    if decision == "to_coins":
        return "to_coins"
    return "paid_by_hand" if decision == "paid_by_hand" else "retry"
