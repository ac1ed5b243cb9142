"""How steps are carried out: our own database durably and cheaply, suppliers on their own queues."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from domain.channels import Unclear
from workflows.payment_ids import channel_queue
from workflows.policies import (
    CHANNEL_GRACE,
    CHANNEL_QUEUE,
    DATABASE,
    ONCE,
    ORDER_ANSWERS,
    OUR_DATABASE,
    SUPPLIER_GRACE,
    UNDO_AT_SUPPLIER,
)

M = TypeVar("M")
R = TypeVar("R")


class BrokenStep(Exception):
    """A step of ours can't succeed as it is, whatever is repeated. Its workflow stands still, visibly."""


def supplier_queue(supplier_id: str) -> str:
    """The task queue of one supplier: its rate limit and concurrency are set there, and its slowness stays there."""
    return f"supplier-{supplier_id}"


async def durably(step: Callable[[Any, M], Awaitable[R]], message: M) -> R:
    """One step on our own rows: as a local activity, and when that doesn't get through, patiently as a normal one."""
    try:
        return await workflow.execute_local_activity_method(step, message, **OUR_DATABASE)
    except FailureError as failure:
        if is_cancelled_exception(failure):
            raise
        # Live it is an ActivityError around its cause; replayed from a local activity's marker, the bare cause.
        cause = failure.cause if isinstance(failure, ActivityError) else failure
        if isinstance(cause, ApplicationError) and cause.non_retryable:
            # A bug, not weather: fail the workflow *task*, which is seen, and tried again when the bug is gone.
            raise BrokenStep(f"{cause.type}: {cause.message}") from failure
    return await workflow.execute_activity_method(step, message, **DATABASE)


async def at_supplier(
    step: Callable[[Any, M], Awaitable[R]],
    message: M,
    *,
    supplier_id: str,
    timeout_s: float,
    queue_for: timedelta,
    priority: int,
    summary: str,
) -> R:
    """One call on the supplier's queue, sent at most once. Raises ActivityError where its outcome is not known."""
    timeout = timedelta(seconds=timeout_s) + SUPPLIER_GRACE
    return await workflow.execute_activity_method(
        step,
        message,
        task_queue=supplier_queue(supplier_id),
        start_to_close_timeout=timeout,
        schedule_to_close_timeout=timeout + queue_for,
        retry_policy=ONCE,
        priority=Priority(priority_key=priority),
        summary=summary,
    )


async def at_channel(
    step: Callable[[Any, M], Awaitable[R]], message: M, *, channel_id: str, timeout_s: float, summary: str
) -> R | Unclear:
    """One call on the channel's queue, sent at most once; where it is lost itself, nobody knows what it did."""
    timeout = timedelta(seconds=timeout_s) + CHANNEL_GRACE
    try:
        return await workflow.execute_activity_method(
            step,
            message,
            task_queue=channel_queue(channel_id),
            start_to_close_timeout=timeout,
            schedule_to_close_timeout=timeout + CHANNEL_QUEUE,
            retry_policy=ONCE,
            summary=summary,
        )
    except ActivityError as failure:
        return Unclear(f"the call was lost: {type(failure.cause).__name__}")


async def tell_order(step: Callable[[Any, M], Awaitable[R]], message: M, *, summary: str) -> R:
    """Say something to an order's process until it has answered, for ever: what it is told is true already."""
    return await workflow.execute_activity_method(
        step,
        message,
        start_to_close_timeout=ORDER_ANSWERS["start_to_close_timeout"],
        retry_policy=ORDER_ANSWERS["retry_policy"],
        summary=summary,
    )


async def undo_at_supplier(step: Callable[[Any, M], Awaitable[R]], message: M, *, supplier_id: str, summary: str) -> R:
    """One compensation on the supplier's queue, tried for ever."""
    return await workflow.execute_activity_method(
        step,
        message,
        task_queue=supplier_queue(supplier_id),
        start_to_close_timeout=UNDO_AT_SUPPLIER["start_to_close_timeout"],
        retry_policy=UNDO_AT_SUPPLIER["retry_policy"],
        priority=Priority(priority_key=4),
        summary=summary,
    )
