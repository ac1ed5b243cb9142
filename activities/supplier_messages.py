"""What the order's process says to suppliers' activities, and the one answer that is not a supplier's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from activities.order_messages import BookingRef


@dataclass(frozen=True, slots=True)
class ReserveAtSupplier:
    booking: BookingRef
    hold_minutes: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class CallSupplier:
    """`reserved`: a hold under the same reference exists and is only to be confirmed."""

    booking: BookingRef
    timeout_s: float
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class CancelAtSupplier:
    booking: BookingRef
    reference: str
    reason: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ExtendAtSupplier:
    booking: BookingRef
    reference: str
    minutes: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class TrackAtSupplier:
    """A question about a unit on its way, by our reference at its carrier."""

    supplier_id: str
    reference: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class NotReached:
    """The request is known not to have reached the supplier, or to have been turned away unread: safe to send again.

    `reason` is `breaker_open` where we did not even try.
    """

    reason: str
    retry_after_s: float | None = None
    kind: Literal["not_sent"] = "not_sent"
