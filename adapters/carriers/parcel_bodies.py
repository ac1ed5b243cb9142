"""A carrier's bodies as a stranger sends them: read only as far as we need, and judged without trust.

Whatever is not provably a definite answer is `Unknown`: a parcel that contradicts itself, that is another one than we
asked about, or that is accepted without its waybill, is evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from adapters.suppliers import CallbackUnreadable, Told, Tracked
from domain.issuance import Canceled, Confirmed, IssuedTicket, Pending, QueryAnswer, Rejected, Unknown
from domain.units import Happening, TrackedEvent

CODE_FORMAT = "WAYBILL"
EVENTS_MAX = 1_000
DETAIL_MAX = 200

CORRECTED = "waybill_corrected"
HAPPENINGS: Mapping[str, Happening] = {
    "picked_up": "shipped",
    "delivered": "delivered",
    "lost": "lost",
    "found": "found",
    CORRECTED: "corrected",
}
"""The carrier's events that mean something to us; all others are its own business."""

# What is stored or shown as somebody's name for something is printable and short.
_Name = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
_Waybill = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{3,49}$")]
_Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]


class _Body(BaseModel):
    """Unknown fields are the carrier's business; known ones keep their type and a bounded length."""

    model_config = ConfigDict(extra="ignore", str_max_length=4_000, frozen=True)


class RejectionBody(_Body):
    code: _Name
    message: str = ""


class ShipmentBody(_Body):
    """A parcel as its carrier tells it. `pieces`: how many of our units it believes to be inside."""

    id: _Name
    reference: _Name
    status: str
    waybill: _Waybill | None = None
    rejection: RejectionBody | None = None
    stage: str | None = None
    pieces: int | None = None


class EventBody(_Body):
    event: str
    at: _Moment
    detail: str = ""
    waybill: _Waybill | None = None
    version: int | None = Field(None, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _corrects_something(self) -> Self:
        if self.event == CORRECTED and (self.waybill is None or self.version is None):
            raise ValueError("a correction has a waybill and its version")
        return self


class EventsBody(_Body):
    reference: _Name
    events: list[EventBody] = Field(max_length=EVENTS_MAX)


class CallbackBody(_Body):
    shipment: ShipmentBody
    event: EventBody | None = None


class ErrorBody(_Body):
    error: _Name
    message: str = ""
    reference: str | None = None


def read_error(body: bytes, reference: str) -> ErrorBody | None:
    """The carrier's error about our parcel; None for a body that is not one, or is about something else."""
    try:
        error = ErrorBody.model_validate_json(body)
    except ValidationError:
        return None
    is_ours = error.reference is not None and error.reference.lower() == reference.lower()
    return error if is_ours else None


def judge_shipment(body: bytes, reference: str, pieces: int | None) -> QueryAnswer:
    """What a body proves about the parcel under `reference` with so many pieces (None: not to be compared)."""
    try:
        shipment = ShipmentBody.model_validate_json(body)
    except ValidationError:
        return Unknown("the answer is not a parcel")
    if shipment.reference.lower() != reference.lower():
        return Unknown("the answer is about another parcel")
    return _judge(shipment, pieces)


def read_events(body: bytes, reference: str) -> Tracked:
    """What happened so far, oldest first and each once; one unreadable event makes the whole unreadable."""
    try:
        told = EventsBody.model_validate_json(body)
    except ValidationError:
        return Tracked(known=False)
    if told.reference.lower() != reference.lower():
        return Tracked(known=False)
    events = dict.fromkeys(tracked for each in told.events if (tracked := _tracked(each)) is not None)
    return Tracked(tuple(sorted(events, key=lambda event: event.at)))


def read_told(body: Mapping[str, object], unit_references: Sequence[str] = ()) -> Told:
    """What a callback about a parcel tells. Raises CallbackUnreadable."""
    try:
        told = CallbackBody.model_validate(body)
    except ValidationError as unreadable:
        raise CallbackUnreadable("the body is not a parcel") from unreadable
    tracked = None if told.event is None else _tracked(told.event)
    answer = _judge(told.shipment, len(unit_references) or None)
    return Told(told.shipment.reference.lower(), answer, () if tracked is None else (tracked,))


def shown(text: str) -> str:
    """A stranger's text for people and for the database: printable and short."""
    return "".join(character for character in text if character.isprintable())[:DETAIL_MAX]


def _judge(shipment: ShipmentBody, pieces: int | None) -> QueryAnswer:
    if pieces is not None and shipment.pieces not in (None, pieces):
        return Unknown(f"the parcel has {shipment.pieces} pieces, ours {pieces}")
    contradiction = _contradiction(shipment)
    if contradiction is not None:
        return Unknown(contradiction)
    if shipment.status == "accepted" and shipment.waybill is not None:
        return Confirmed(shipment.id, (IssuedTicket(0, shipment.id, shipment.waybill, CODE_FORMAT),))
    if shipment.status == "pending":
        return Pending(shipment.id)
    if shipment.status == "rejected" and shipment.rejection is not None:
        return Rejected(shipment.rejection.code, retry_elsewhere=True, detail=shown(shipment.rejection.message))
    if shipment.status == "cancelled":
        return Canceled()
    return Unknown(f"status {shipment.status[:40]!r} is not one of the carrier's")


def _contradiction(shipment: ShipmentBody) -> str | None:
    """Why the body cannot be believed, or None."""
    if shipment.status == "accepted":
        if shipment.rejection is not None:
            return "accepted with a rejection"
        return "accepted without a waybill" if shipment.waybill is None else None
    if shipment.status == "rejected" and shipment.rejection is None:
        return "rejected without a reason"
    if shipment.status != "rejected" and shipment.rejection is not None:
        return f"{shipment.status[:40]} with a rejection"
    # What was called back may well have had a waybill; nothing but an accepted parcel is under way.
    if shipment.status != "cancelled" and shipment.waybill is not None:
        return f"{shipment.status[:40]} with a waybill"
    if shipment.stage not in (None, "accepted" if shipment.status == "cancelled" else None):
        return f"{shipment.status[:40]}, yet {shipment.stage!r:.40}"
    return None


def _tracked(body: EventBody) -> TrackedEvent | None:
    happening = HAPPENINGS.get(body.event)
    if happening is None:
        return None
    if happening == "corrected":
        return TrackedEvent(happening, body.at, shown(body.detail), body.waybill, body.version or 0)
    return TrackedEvent(happening, body.at, shown(body.detail))
