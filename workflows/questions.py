"""Asking a supplier what it knows under our reference. Not knowing is an answer too."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.order_messages import BookingRef
from activities.supplier_messages import CallSupplier, NotReached
from activities.suppliers import SupplierActivities
from domain.issuance import QueryAnswer, Unknown
from workflows.execution import at_supplier
from workflows.policies import QUERY_TIMEOUT_S, SUPPLIER_QUEUE


async def ask(
    booking: BookingRef, *, timeout_s: float = QUERY_TIMEOUT_S, queue_for: timedelta = SUPPLIER_QUEUE
) -> QueryAnswer:
    """One question. A call that failed, timed out or was not sent tells nothing: Unknown."""
    try:
        answer = await at_supplier(
            SupplierActivities.query_supplier,
            CallSupplier(booking, timeout_s),
            supplier_id=booking.supplier_id,
            timeout_s=timeout_s,
            queue_for=queue_for,
            priority=4,
            summary=f"ask {booking.supplier_id} about line {booking.line_no}",
        )
    except ActivityError as failure:
        workflow.logger.warning("supplier question failed: %s", failure.cause)
        return Unknown("question_failed")
    return Unknown(answer.reason) if isinstance(answer, NotReached) else answer
