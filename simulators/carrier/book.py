"""The carriers' book: shipments, what is planned for them, and what happened to them on their way."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from simulators.common import book

Event = Literal[
    "accepted", "picked_up", "in_transit", "out_for_delivery", "delivered", "lost", "found", "exception",
    "waybill_corrected",
]  # fmt: skip
JOURNEY: tuple[Event, ...] = ("accepted", "picked_up", "in_transit", "out_for_delivery", "delivered")
"""What happens to a parcel to which nothing happens."""

Due = Literal["decide", "move", "find", "correct"]


@dataclass(slots=True)
class Happened:
    """One event of a shipment's way, at seconds since 1970. A corrected waybill comes with its version."""

    event: Event
    at: float
    detail: str = ""
    waybill: str | None = None
    version: int = 0


@dataclass(slots=True)
class Plan:
    """What will happen by itself, and when."""

    due: Due
    at: float


@dataclass(slots=True, kw_only=True)
class Shipment(book.Entry):
    """One parcel as its carrier has it.

    `waybill` is the number that the carrier tells; where it is wrong, `right_waybill` is what it will be corrected to.
    `reached` is how far on the journey it came, whatever else happened meanwhile.
    """

    warehouse: str
    to: dict[str, Any]
    goods: list[dict[str, Any]]
    unit_references: list[str]
    weight_g: int
    waybill: str
    right_waybill: str | None = None
    waybill_version: int = 1
    rejection: str | None = None
    reached: Event | None = None
    events: list[Happened] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    cancel_reason: str | None = None

    def plan(self, due: Due, at: float) -> None:
        self.plans.append(Plan(due, at))
        self._note_due()

    def drop(self, *due: Due) -> None:
        """Plan these no more; without any, nothing is planned."""
        self.plans = [plan for plan in self.plans if due and plan.due not in due]
        self._note_due()

    def take_due(self, now: float) -> list[Plan]:
        """What is due by `now`, oldest first; it is planned no more."""
        due = sorted((plan for plan in self.plans if plan.at <= now), key=lambda plan: plan.at)
        self.plans = [plan for plan in self.plans if plan.at > now]
        self._note_due()
        return due

    def happen(self, event: Event, at: float, detail: str = "") -> Happened:
        """Write an event down; the journey goes as far as it says."""
        happened = Happened(event, at, detail)
        if event == "waybill_corrected":
            self.waybill = self.right_waybill or waybill_of(f"{self.id}/{self.waybill_version}", self.supplier)
            self.right_waybill = None
            self.drop("correct")
            self.waybill_version += 1
            happened.waybill, happened.version = self.waybill, self.waybill_version
        self.events.append(happened)
        if event in JOURNEY:
            self.reached = event
        self.updated_at = at
        return happened

    def settle(self, now: float) -> bool:
        """Let time do its work: a late decision arrives. The plan stays, so that it is called back, too."""
        decision = next((plan for plan in self.plans if plan.due == "decide" and plan.at <= now), None)
        if self.status != "PENDING" or decision is None:
            return False
        self.decide(self.due_status or "CONFIRMED", decision.at)
        return True

    def decide(self, status: str, at: float) -> None:
        self.become(status, at)
        if status == "CONFIRMED":
            self.happen("accepted", at)
        else:
            self.rejection = self.rejection or "no_capacity"

    def _note_due(self) -> None:
        self.due_at = min((plan.at for plan in self.plans), default=None)


class Book(book.Book[Shipment]):
    """All carriers' shipments in one file of a directory."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir / "carriers.sqlite3", _shipment)


def waybill_of(shipment_id: str, carrier: str) -> str:
    """A number as carriers print it: two letters of theirs and twelve digits."""
    digest = int.from_bytes(blake2b(shipment_id.encode(), digest_size=8).digest())
    return f"{carrier[:2].upper():X<2}{digest % 10**12:012d}"


def _shipment(document: dict[str, Any]) -> Shipment:
    events = [Happened(**event) for event in document.pop("events")]
    plans = [Plan(**plan) for plan in document.pop("plans")]
    return Shipment(**document, events=events, plans=plans)
