"""The case of an order that a risk rule has parked: what the operators' queue shows of it."""

from __future__ import annotations

from datetime import datetime

from activities.issuance_messages import OpenException, ResolveException
from activities.order_messages import ReviewDecision


def _case_id(order_no: int) -> str:
    return f"xcp-{order_no:019d}-0-review"


def review_case(order_no: int, at: datetime) -> OpenException:
    """The order waits for a person."""
    return OpenException(
        exception_id=_case_id(order_no),
        kind="risk_review",
        order_no=order_no,
        line_no=0,
        supplier_id=None,
        at=at,
        evidence={},
    )


def review_outcome(order_no: int, at: datetime, decision: ReviewDecision | None, actor: str) -> ResolveException:
    """What became of it; without a decision the buyer has cancelled."""
    if decision is None:
        return ResolveException(_case_id(order_no), at, actor, {"decision": "canceled"})
    word = "approve" if decision.approve else "deny"
    return ResolveException(_case_id(order_no), at, decision.actor, {"decision": word, "reason": decision.reason})
