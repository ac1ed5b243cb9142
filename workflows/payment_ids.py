"""The ids of payments' workflows, and what they are started with."""

from __future__ import annotations

from dataclasses import dataclass


def payment_workflow_id(pay_id: str) -> str:
    """One per pay order, also for those that channels speak of and we do not know."""
    return f"payment/{pay_id}"


def refund_workflow_id(refund_id: str) -> str:
    """One per refund."""
    return f"refund/{refund_id}"


def channel_queue(channel_id: str) -> str:
    """The task queue of one payment channel: its rate limit and concurrency are set there."""
    return f"channel-{channel_id}"


def refund_of(refund_no: str) -> str:
    """The refund's id from its number at a channel: later tries have `-r2`, `-r3`, … behind it."""
    head, mark, tail = refund_no.rpartition("-r")
    return head if mark and tail.isdigit() else refund_no


@dataclass(frozen=True, slots=True)
class HostPayment:
    """The pay order, by id: everything else is in the database. `look`: it was decided long ago, and its channel is
    asked for the last time."""

    pay_id: str
    look: bool = False


@dataclass(frozen=True, slots=True)
class HostRefund:
    """The refund, by id: everything else is in the database."""

    refund_id: str
