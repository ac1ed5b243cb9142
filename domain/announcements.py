"""Which changes of an order its distributor is told of, and under which event name."""

from __future__ import annotations

from collections.abc import Iterable

from domain.order import Change, Order
from domain.orders import OrderStatus

_ORDER_EVENTS = {
    OrderStatus.LOCKED: "order.locked",
    OrderStatus.REJECTED: "order.rejected",
    OrderStatus.ISSUING: "order.issuing",
    OrderStatus.ISSUED: "order.issued",
    OrderStatus.CANCELED: "order.canceled",
    OrderStatus.REFUNDED: "order.refunded",
    OrderStatus.REFUND_FAILED: "order.refund_failed",
}
_LINE_EVENTS = {
    "fail": "order.issue_failed",
    "refund_done": "order.line_refunded",
    "refund_done_part": "order.line_refunded",
}


_DELIVERY_EVENTS = {"shipped": "order.shipped", "lost": "order.lost"}
"""That it was delivered is told by the kind's own step."""


def _kind_of(change: Change) -> str | None:
    if change.axis == "delivery_status":
        return _DELIVERY_EVENTS.get(change.to_state)
    if change.axis != "status":
        return None
    if change.line_no == 0:
        return _ORDER_EVENTS.get(OrderStatus(change.to_state))
    return _LINE_EVENTS.get(change.event)


def announcements(order: Order, changes: Iterable[Change]) -> list[tuple[str, dict[str, object]]]:
    """Event names with their bodies, in order. Called before the changes are written and cleared."""
    events: list[tuple[str, dict[str, object]]] = []
    for change in changes:
        kind = _kind_of(change)
        if kind is None:
            continue
        body: dict[str, object] = {"order_no": f"{order.order_no:019d}", "status": str(order.status)}
        if change.line_no:
            body["line_no"] = change.line_no
        if change.reason:
            body["reason"] = change.reason
        events.append((kind, body))
    return events
