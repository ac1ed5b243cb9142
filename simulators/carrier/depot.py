"""The depot: takes parcels by the carrier's rules, moves them, loses them, and misbehaves where a fault says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, Field, StringConstraints

from simulators.carrier.book import JOURNEY, Book, Event, Happened, Shipment, waybill_of
from simulators.carrier.carriers import Carriers, CarrierSettings
from simulators.carrier.faults import Kind
from simulators.common.book import Clerk, shown
from simulators.common.faults import Strike
from simulators.common.results import Notice, Outcome, may_forget, remembered

Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$", to_lower=True)]

REJECTIONS = {
    "area_not_served": "We do not deliver there",
    "overweight": "The parcel is heavier than we carry",
    "no_capacity": "We cannot take it now",
}


class Refusal(Exception):
    """An error as the carrier puts it: a status, a code, a sentence and the reference it is about."""

    def __init__(self, status: int, code: str, message: str, reference: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.reference = reference


class AddressBody(BaseModel):
    receiver: str = Field(min_length=1, max_length=200)
    phone: str = Field(min_length=1, max_length=50)
    country: str = Field(pattern="^[A-Za-z]{2}$")
    region: str = Field(max_length=200)
    city: str = Field(max_length=200)
    street: str = Field(min_length=1, max_length=500)
    postcode: str | None = Field(None, max_length=20)


class GoodsBody(BaseModel):
    sku: str = Field(max_length=200)
    title: str = Field(max_length=500)
    quantity: int = Field(ge=1, le=100_000)
    weight_g: int | None = Field(None, ge=0, le=1_000_000_000)


class FromBody(BaseModel):
    warehouse: str = Field(min_length=1, max_length=200)


class MetadataBody(BaseModel):
    order_no: str | None = Field(None, max_length=200)
    unit_references: list[str] = Field(default_factory=list, max_length=1_000)


class ShipBody(BaseModel):
    reference: Reference
    sender: FromBody = Field(alias="from")
    to: AddressBody
    goods: list[GoodsBody] = Field(min_length=1, max_length=1_000)
    metadata: MetadataBody = Field(default_factory=MetadataBody)

    def weight_g(self) -> int:
        """Of all goods; those of unknown weight weigh nothing until they are on the scales."""
        return sum(each.quantity * (each.weight_g or 0) for each in self.goods)


class CancelBody(BaseModel):
    reason: str | None = Field(None, max_length=2_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNotice(Notice[Shipment]):
    """A callback about an event of a parcel's way."""

    happened: Happened


class Depot(Clerk[Shipment]):
    """All carriers' depots over one book. `clock` is seconds since 1970."""

    def __init__(self, carriers: Carriers, book: Book, clock: Callable[[], float] = time.time) -> None:
        super().__init__(book, clock)
        self._carriers = carriers

    def ship(self, carrier: CarrierSettings, body: ShipBody, strike: Strike[Kind]) -> Outcome[Shipment]:
        """A parcel. The reference is the idempotency key, for carriers that heed it."""
        now = self.clock()
        if carrier.deduplicates:
            known = self.settled(carrier.name, body.reference, now)
            if known:
                if known[-1].to != body.to.model_dump() or known[-1].goods != [g.model_dump() for g in body.goods]:
                    message = "The reference was already used for another parcel"
                    raise Refusal(409, "reference_conflict", message, body.reference)
                return Outcome(known[-1])
        shipment = _shipment(carrier, body, now)
        outcome = self._decide(carrier, shipment, strike, now)
        may_forget(shipment, carrier, strike, now)
        self.write(shipment)
        return outcome

    def cancel(self, carrier: CarrierSettings, reference: str, body: CancelBody) -> Outcome[Shipment]:
        """Call a parcel back, until it was picked up. A repeat is harmless."""
        now = self.clock()
        shipment = shown(self.settled(carrier.name, reference, now))
        if shipment is None:
            raise _unknown(reference)
        if shipment.status in ("CANCELLED", "REJECTED"):
            return Outcome(shipment)
        if shipment.reached not in (None, "accepted"):
            raise Refusal(409, "already_picked_up", "The parcel is on its way", reference)
        shipment.cancel_reason = body.reason
        shipment.drop()
        shipment.become("CANCELLED", now)
        self.write(shipment)
        return Outcome(shipment)

    def find(self, carrier: CarrierSettings, reference: str, strike: Strike[Kind]) -> Shipment:
        """What a read shows; a forgotten shipment is as if it had never been."""
        shipment = remembered(self, carrier, reference, strike)
        if shipment is None:
            raise _unknown(reference)
        return shipment

    def tell(self, carrier: CarrierSettings, reference: str, event: Event, detail: str) -> Outcome[Shipment] | None:
        """Let an event happen now, because a test says so. None where no parcel is under way."""
        shipment = shown(self.settled(carrier.name, reference, self.clock()))
        if shipment is None or shipment.status != "CONFIRMED":
            return None
        happened = shipment.happen(event, self.clock(), detail)
        if event != "waybill_corrected":
            shipment.drop("find")
            _plan_move(carrier, shipment, self.clock())
        strike = self._carriers.strike(carrier, "move", shipment.reference)
        self.write(shipment)
        return Outcome(shipment, notices=_told(carrier, shipment, happened, strike))

    def carry_out(self, carrier: CarrierSettings, shipment_id: str, due_at: float) -> Outcome[Shipment] | None:
        """Do what is due by itself. None where nothing is: it was done before, or cancelled."""
        shipment, now = self.book.with_id(shipment_id), max(self.clock(), due_at)
        if shipment is None:
            return None
        shipment.settle(now)
        notices: list[Notice[Shipment]] = []
        due = shipment.take_due(now)
        for plan in due:
            strike = self._carriers.strike(carrier, "move", shipment.reference)
            if plan.due == "decide":
                happened = shipment.events[0] if shipment.status == "CONFIRMED" else None
            else:
                event = _next_event(carrier, shipment, strike, now) if plan.due == "move" else _EVENTS[plan.due]
                happened = shipment.happen(event, plan.at)
            if plan.due != "correct":
                _plan_move(carrier, shipment, plan.at)
            notices += _told(carrier, shipment, happened, strike)
        self.write(shipment)
        return Outcome(shipment, notices=tuple(notices)) if due else None

    def reset(self, carrier: CarrierSettings) -> None:
        self.book.erase(carrier.name)

    def _decide(
        self, carrier: CarrierSettings, shipment: Shipment, strike: Strike[Kind], now: float
    ) -> Outcome[Shipment]:
        """What becomes of a parcel that is handed in: its status, what is said of it, and to whom."""
        params = carrier.faults.params
        shipment.rejection = _rejection(carrier, shipment)
        if shipment.rejection is not None:
            shipment.decide("REJECTED", now)
            return Outcome(shipment)
        if strike.takes("confirm_late"):
            shipment.due_status = "REJECTED" if strike.takes("reject") else "CONFIRMED"
            shipment.become("PENDING", now)
            shipment.plan("decide", now + params.confirm_late_ms / 1_000)
            return Outcome(shipment)
        if strike.takes("reject"):
            shipment.decide("REJECTED", now)
            return Outcome(shipment)
        if strike.takes("wrong_waybill"):
            shipment.right_waybill, shipment.waybill = shipment.waybill, waybill_of(f"{shipment.id}/no", carrier.name)
            shipment.plan("correct", now + params.correct_ms / 1_000)
        shipment.decide("CONFIRMED", now)
        _plan_move(carrier, shipment, now)
        return self._accepted(carrier, shipment, strike)

    def _accepted(self, carrier: CarrierSettings, shipment: Shipment, strike: Strike[Kind]) -> Outcome[Shipment]:
        params, happened = carrier.faults.params, shipment.events[0]
        if params.contradict_way == "rejected_then_confirmed" and strike.takes("contradict"):
            later = EventNotice(entry=shipment, delay_ms=params.contradict_ms, happened=happened)
            return Outcome(shipment, "REJECTED", (later,) if carrier.callback is not None else ())
        if carrier.callback is None:
            return Outcome(shipment)
        if strike.takes("callback_early"):
            return Outcome(shipment, notices=(EventNotice(entry=shipment, before_reply=True, happened=happened),))
        notices = _told(carrier, shipment, happened, self._carriers.strike(carrier, "move", shipment.reference))
        if strike.takes("contradict"):
            notices += (Notice(shipment, params.contradict_ms, "REJECTED"),)
        return Outcome(shipment, notices=notices)


_EVENTS: dict[str, Event] = {"find": "found", "correct": "waybill_corrected"}


def _unknown(reference: str) -> Refusal:
    return Refusal(404, "unknown_reference", "We have no parcel under this reference", reference)


def _shipment(carrier: CarrierSettings, body: ShipBody, now: float) -> Shipment:
    shipment_id = str(uuid4())
    return Shipment(
        id=shipment_id, supplier=carrier.name, reference=body.reference, order_no=body.metadata.order_no,
        created_at=now, status="PENDING", warehouse=body.sender.warehouse, to=body.to.model_dump(),
        goods=[each.model_dump() for each in body.goods], unit_references=body.metadata.unit_references,
        weight_g=body.weight_g(), waybill=waybill_of(shipment_id, carrier.name),
    )  # fmt: skip


def _rejection(carrier: CarrierSettings, shipment: Shipment) -> str | None:
    """Why the carrier's own rules refuse the parcel, or None."""
    if not carrier.serves(shipment.to["country"], shipment.to["region"]):
        return "area_not_served"
    return "overweight" if shipment.weight_g > carrier.max_weight_g else None


def _next_event(carrier: CarrierSettings, shipment: Shipment, strike: Strike[Kind], now: float) -> Event:
    """The next step of the journey, unless something comes between."""
    reached = JOURNEY.index(shipment.reached or "accepted")
    if reached > 0 and strike.takes("lose"):
        if strike.takes("find"):
            shipment.plan("find", now + carrier.faults.params.found_ms / 1_000)
        return "lost"
    return "exception" if strike.takes("exception") else JOURNEY[reached + 1]


def _plan_move(carrier: CarrierSettings, shipment: Shipment, at: float) -> None:
    """The one next step, for carriers whose parcels move by themselves: not of one that has arrived or is lost."""
    shipment.drop("move")
    is_lost = bool(shipment.events) and shipment.events[-1].event == "lost"
    if carrier.moves and shipment.status == "CONFIRMED" and shipment.reached != JOURNEY[-1] and not is_lost:
        shipment.plan("move", at + carrier.step_s)


def _told(
    carrier: CarrierSettings, shipment: Shipment, happened: Happened | None, strike: Strike[Kind]
) -> tuple[Notice[Shipment], ...]:
    """The callbacks of one event, or of a decision that is none."""
    if carrier.callback is None:
        return ()
    delay_ms = carrier.faults.params.callback_late_ms if strike.takes("callback_late") else 0
    notice: Notice[Shipment] = Notice(shipment, delay_ms)
    if happened is not None:
        notice = EventNotice(entry=shipment, delay_ms=delay_ms, happened=happened)
    return (notice, notice) if strike.takes("callback_twice") else (notice,)
