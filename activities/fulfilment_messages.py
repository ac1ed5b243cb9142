"""What the processes that fulfil lines say to their activities. Credentials and addresses stay in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from activities.order_messages import Part
from domain.errors import Refusal
from domain.operations import Operation
from domain.orders import OrderStatus
from domain.units import TrackedEvent, UnitState

UnitCaseKind = Literal["unit_lost", "delivery_overdue"]
"""What a person may have to decide about a unit on its way."""


@dataclass(frozen=True, slots=True)
class RecordUnits:
    """Something happened to all units of a line. `parts`: what they are, where they are not recorded yet."""

    order_no: int
    line_no: int
    event: str
    at: datetime
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class HandOutUnits:
    """Give the line its credentials from what is ours, and issue it."""

    order_no: int
    line_no: int
    source: Literal["pool", "gate"]
    at: datetime


@dataclass(frozen=True, slots=True)
class HandedOut:
    """Whether the line is issued now; else why it can't be."""

    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class NotifyLine:
    """An event for the distributor about one line; the kind's own name for it makes it once-only."""

    order_no: int
    line_no: int
    event: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LineRef:
    order_no: int
    line_no: int


@dataclass(frozen=True, slots=True)
class CarriedUnit:
    """A unit as its delivery needs it: who carries it, and under which reference of ours. `losses`: how often its
    carrier has told that it is lost; it may have been found in between."""

    unit: int
    state: UnitState
    quantity: int
    attempt: int
    supplier_id: str | None
    reference: str | None
    delivered_at: datetime | None
    losses: int = 0


UNIT_CASES: tuple[UnitCaseKind, ...] = get_args(UnitCaseKind)


@dataclass(frozen=True, slots=True)
class UnitCase:
    """A case about one unit: a second loss after it was found is a second case (`occurrence` counts from 1)."""

    unit: int
    kind: UnitCaseKind
    occurrence: int = 1

    def id_of(self, order_no: int, line_no: int) -> str:
        """The case's id in the operators' queue: a business key."""
        first = f"xcp-{order_no:019d}-{line_no}-{self.kind}-{self.unit}"
        return first if self.occurrence <= 1 else f"{first}-{self.occurrence}"


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """What is left to do for an issued line: its kind's steps after the pivot, its units, the dates they wait for.

    `cases`: those about its units that are open, which an earlier workflow of this delivery may have opened.
    """

    distributor_id: str
    status: OrderStatus
    steps: tuple[Operation, ...]
    units: tuple[CarriedUnit, ...]
    issued_at: datetime | None
    starts_at: datetime | None
    cases: tuple[UnitCase, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What a carrier told of a unit, unasked or asked. `attempt` names its booking."""

    order_no: int
    line_no: int
    attempt: int
    events: tuple[TrackedEvent, ...]


@dataclass(frozen=True, slots=True)
class RecordTracking:
    """`at` is when we took it in; each event has its own time."""

    report: UnitReport
    at: datetime


@dataclass(frozen=True, slots=True)
class WriteOff:
    """A unit will not arrive: its share of the line goes back to the buyer, and the breach is recorded."""

    order_no: int
    line_no: int
    unit: int
    at: datetime
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class CorrectWaybill:
    """A person's correction of a unit's waybill, which was read at `version`."""

    order_no: int
    line_no: int
    unit: int
    tracking_no: str
    version: int
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Corrected:
    """The unit's version after the correction, or why it was not made."""

    version: int = 0
    refusal: Refusal | None = None
