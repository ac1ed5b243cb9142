"""Extending a hold: at the suppliers that hold something first, then here, never past the ceiling."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.order_messages import ExtendOrder, OrderPlan
from activities.orders import OrderActivities
from activities.supplier_messages import ExtendAtSupplier
from activities.suppliers import SupplierActivities
from domain.issuance import Confirmed
from domain.placing import HoldNotExtended
from workflows.attempts import Attempt
from workflows.execution import at_supplier, durably
from workflows.fulfilments import LineFulfilment
from workflows.policies import QUERY_TIMEOUT_S, SUPPLIER_GRACE


async def extend_locks(
    plan: OrderPlan, lines: list[LineFulfilment], locked_at: datetime, expires_at: datetime, by_s: int, actor: str
) -> datetime:
    """The new expiry, or the old one where the ceiling is reached. Raises HoldNotExtended where a supplier won't."""
    now = workflow.now()
    wanted = min(now + timedelta(seconds=by_s), locked_at + timedelta(seconds=plan.lock_ceiling_s))
    if wanted <= expires_at:
        return expires_at
    held = [line.held for line in lines if line.held is not None]
    answers = await asyncio.gather(*(_extend(attempt, wanted - now) for attempt in held))
    if any(answer is None for answer in answers):
        raise HoldNotExtended(expires_at)
    wanted = min([wanted, *(answer for answer in answers if answer is not None)])
    await durably(OrderActivities.extend_order, ExtendOrder(plan.order_no, now, wanted, actor))
    return wanted


async def _extend(attempt: Attempt, by: timedelta) -> datetime | None:
    """When the supplier's hold ends now; None where it did not agree, or we can't tell."""
    minutes = -(-int(by.total_seconds()) // 60)
    try:
        answer = await at_supplier(
            SupplierActivities.extend_at_supplier,
            ExtendAtSupplier(attempt.booking, attempt.reference, minutes, QUERY_TIMEOUT_S),
            supplier_id=attempt.offer.supplier_id,
            timeout_s=QUERY_TIMEOUT_S,
            queue_for=SUPPLIER_GRACE,
            priority=3,
            summary=f"extend the hold of line {attempt.line_no} at {attempt.offer.supplier_id}",
        )
    except ActivityError:
        return None
    if not isinstance(answer, Confirmed):
        return None
    return answer.expires_at or workflow.now() + by
