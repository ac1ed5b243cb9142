"""The carrier's JSON: how shipments and what happened to them look on the wire."""

from __future__ import annotations

from typing import Any

from simulators.carrier.book import Happened, Shipment
from simulators.carrier.depot import REJECTIONS
from simulators.common.answering import utc

Json = dict[str, Any]

STATUSES = {"PENDING": "pending", "CONFIRMED": "accepted", "REJECTED": "rejected", "CANCELLED": "cancelled"}


def shipment_view(shipment: Shipment, status: str | None = None) -> Json:
    """A shipment; `status` overrides the book's where the carrier says otherwise."""
    status = status or shipment.status
    is_accepted = status == "CONFIRMED"
    rejection = None
    if status == "REJECTED":
        code = shipment.rejection or "no_capacity"
        rejection = {"code": code, "message": REJECTIONS[code]}
    return {
        "id": shipment.id, "reference": shipment.reference, "order_no": shipment.order_no, "carrier": shipment.supplier,
        "status": STATUSES[status], "waybill": shipment.waybill if is_accepted else None,
        "waybill_version": shipment.waybill_version if is_accepted else None, "rejection": rejection,
        "stage": shipment.events[-1].event if is_accepted and shipment.events else None,
        "pieces": len(shipment.unit_references), "weight_g": shipment.weight_g,
        "created_at": utc(shipment.created_at), "updated_at": utc(shipment.updated_at),
    }  # fmt: skip


def event_view(happened: Happened) -> Json:
    view: Json = {"event": happened.event, "at": utc(happened.at), "detail": happened.detail}
    if happened.waybill is not None:
        view |= {"waybill": happened.waybill, "version": happened.version}
    return view


def events_view(shipment: Shipment) -> Json:
    return {
        "shipment_id": shipment.id, "reference": shipment.reference,
        "events": [event_view(happened) for happened in shipment.events],
    }  # fmt: skip


def callback_view(shipment: Shipment, happened: Happened | None, status: str | None) -> Json:
    """What is called back: the shipment as it is now, and the event that is told."""
    return {
        "type": "shipment" if happened is None else "event",
        "shipment": shipment_view(shipment, status),
        "event": None if happened is None else event_view(happened),
    }
