"""Orders of a run that are worth looking at, each with the address at which to look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.pay_stories import Story
from demo.rest import parcels_of
from settings import Settings
from workflows.deliveries import delivery_workflow_id
from workflows.order_ids import order_workflow_id
from workflows.payment_ids import payment_workflow_id, refund_workflow_id

Order = Mapping[str, Any]


def examples(orders: Sequence[Order], settings: Settings, data_dir: Path) -> dict[str, str]:
    """What there is of: an order that was negotiated, a parcel's way, discounts explained, and tickets as PDF."""
    found: dict[str, str] = {}
    if order := _first(orders, was_negotiated) or next(iter(orders), None):
        found["An order that was negotiated"] = _in_temporal(settings, order_workflow_id(int(order["order_no"])))
    if order := _first(orders, _has_parcel):
        line, unit = next(parcels_of(order))
        way = ", ".join(event["event"] for event in unit["events"])
        found[f"The way of a parcel ({way})"] = _in_temporal(
            settings, delivery_workflow_id(int(order["order_no"]), line["line_no"])
        )
    if order := max(filter(explanations_of, orders), key=lambda each: len(explanations_of(each)), default=None):
        told = "\n    ".join(dict.fromkeys(explanations_of(order)))
        found["An order with discounts"] = f"{_with_key(settings, order, data_dir)}\n    {told}"
    if order := _first(orders, _has_tickets):
        found["Tickets as PDF"] = f"{_with_key(settings, order, data_dir, '/tickets.pdf')} -o tickets.pdf"
    return found


def paid_examples(stories: Sequence[Story], settings: Settings, data_dir: Path) -> dict[str, str]:
    """An order and a payment of each of the shoppers' stories, and one refund; each title once."""
    found: dict[str, str] = {}
    for story in stories:
        if story.pay_id and not story.trouble and story.title not in found:
            found[story.title] = _in_temporal(settings, payment_workflow_id(story.pay_id))
            if story.order_no:
                found[story.title] += "\n    " + _with_key(settings, {"order_no": story.order_no}, data_dir)
    refunded = next((story for story in stories if story.refund_id), None)
    if refunded is not None:
        found["A refund at its channel"] = _in_temporal(settings, refund_workflow_id(refunded.refund_id))
    paid = next((story for story in stories if story.pay_id and story.title.startswith("paid at paybridge")), None)
    if paid is not None:
        found["The cashier's page of a payment"] = (
            f"{settings.simulator_url('payment')}/paybridge/cashier/{paid.pay_id}"
        )
    return found


def was_negotiated(order: Order) -> bool:
    """Whether somebody did not answer definitely at once."""
    return any(booking["negotiating_since"] for line in order["lines"] for booking in line["bookings"] or ())


def explanations_of(order: Order) -> list[str]:
    """Why the order costs less than its lines' prices."""
    return [discount["explanation"] for line in order["lines"] for discount in line["discounts"]]


def _has_parcel(order: Order) -> bool:
    return any(line["status"] == "issued" for line, _ in parcels_of(order))


def _has_tickets(order: Order) -> bool:
    return any(line["kind"] == "ticket" and line["status"] == "issued" for line in order["lines"])


def _first(orders: Sequence[Order], fits: Callable[[Order], bool]) -> Order | None:
    return next(filter(fits, orders), None)


def _in_temporal(settings: Settings, workflow_id: str) -> str:
    escaped = workflow_id.replace("/", "%2F")
    return f"{settings.temporal_ui_url}/namespaces/{settings.temporal_namespace}/workflows/{escaped}"


def _with_key(settings: Settings, order: Order, data_dir: Path, path: str = "") -> str:
    """A command line: the API wants to know who asks."""
    key = f"$(jq -r .operators.opr_support {data_dir / 'keys.json'})"
    return f'curl -H "Authorization: Bearer {key}" {settings.api_url}/v1/orders/{order["order_no"]}{path}'
