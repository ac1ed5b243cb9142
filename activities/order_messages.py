"""What the order's process and its activities say to each other. Ids and amounts; personal data stays in the database.

Times are the workflow's own (`at`), so that its timers and the database agree on every deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from domain.errors import Refusal
from domain.issuance import QueryAnswer
from domain.operations import Operation
from domain.orders import OrderStatus


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """One way to buy a line: `cost_minor` per unit, times in seconds; `lock`: held at the supplier before payment."""

    offer_id: str
    supplier_id: str
    cost_minor: int
    lock: bool
    lock_timeout_s: float
    issue_timeout_s: float
    lock_s: int
    consistency_window_s: float


@dataclass(frozen=True, slots=True)
class BookingState:
    """An attempt that exists already: what a restarted process goes on from."""

    attempt: int
    offer_id: str
    supplier_id: str
    reference: str
    state: str
    cost_minor: int
    hold_expires_at: datetime | None
    negotiating_since: datetime | None
    asked: int
    escalated: bool
    quantity: int | None = None
    warehouse_id: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The pieces of a line that one warehouse sends."""

    warehouse_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class LinePlan:
    """A line as its process needs it. `bookings` is empty for a new order. `money_due`: all that is left to do is that
    its buyer's money comes back.

    `steps`: what brings it to issued, as its kind had them when the order was opened; empty in plans that are older
    than kinds with steps: bought whole at a supplier. `parts`: which warehouse sends how much, once that is known.
    `delivers`: its kind goes on after issue.
    """

    line_no: int
    sku_id: str
    kind: str
    quantity: int
    stock_policy: str
    status: OrderStatus
    offers: tuple[OfferTerms, ...]
    bookings: tuple[BookingState, ...] = ()
    steps: tuple[Operation, ...] = ()
    parts: tuple[Part, ...] = ()
    delivers: bool = False
    money_due: bool = False


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """An order as its process begins or goes on with it. `promotions`: it was priced with some, to be held. `pays`: by
    its distributor's credit line, or by its buyer (domain/payments.py). `free`: it costs nothing."""

    order_no: int
    distributor_id: str
    status: OrderStatus
    in_review: bool
    currency: str
    all_or_nothing: bool
    lock_s: int
    lock_ceiling_s: int
    review_s: int
    locked_at: datetime | None
    hold_expires_at: datetime | None
    lines: tuple[LinePlan, ...]
    promotions: bool = False
    pays: str = "on_account"
    free: bool = False


@dataclass(frozen=True, slots=True)
class OpenOrder:
    order_no: int
    host_workflow_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """The plan, or why the order is refused. `review`: why a person has to look first."""

    plan: OrderPlan | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class HoldStock:
    order_no: int
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class HoldPromotions:
    order_no: int
    at: datetime


@dataclass(frozen=True, slots=True)
class BookingRef:
    """Names one attempt."""

    order_no: int
    line_no: int
    attempt: int
    supplier_id: str


@dataclass(frozen=True, slots=True)
class HeldBooking:
    """A hold that a supplier has granted, until `expires_at` by its own word."""

    booking: BookingRef
    supplier_reference: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class RecordLock:
    order_no: int
    at: datetime
    expires_at: datetime
    held: tuple[HeldBooking, ...] = ()


@dataclass(frozen=True, slots=True)
class RefuseOrder:
    order_no: int
    at: datetime
    refusal: Refusal
    actor: str = "system"


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """The first answer to placing, as kept with the claim: `facts` for the caller, or the refusal.

    `ahead`: the rows are further than the process, which has lost its latest steps: read them and go on from there.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    refusal: Refusal | None = None
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """An operator's word on a parked order."""

    approve: bool
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class ApproveOrder:
    order_no: int
    at: datetime
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    order_no: int
    at: datetime
    reason: str
    expired: bool
    actor: str


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What became of cancelling an order that its buyer pays.

    `kept`: it has run out, and whether its money has come is not known yet: `pay_id` is being decided, so it waits.
    `ahead`: the rows are further than the process, which has lost its latest steps.
    """

    outcome: Literal["canceled", "kept", "ahead"]
    pay_id: str = ""


@dataclass(frozen=True, slots=True)
class ExtendOrder:
    order_no: int
    at: datetime
    expires_at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class BookingIntent:
    """One attempt about to be sent; `cost_minor` for all its pieces: `quantity` of them, or the whole line (None)."""

    line_no: int
    attempt: int
    offer_id: str
    supplier_id: str
    reference: str
    cost_minor: int
    quantity: int | None = None
    warehouse_id: str | None = None


@dataclass(frozen=True, slots=True)
class IntendBookings:
    """`issuing`: they are sent for good, not only to be held."""

    order_no: int
    at: datetime
    intents: tuple[BookingIntent, ...]
    issuing: bool = False


@dataclass(frozen=True, slots=True)
class ConfirmOrder:
    """`intents` are the bookings that issuing will send: stored in the transaction that begins issuing.

    `apart`: lines that are sent in parts, whose bookings follow when it is known which warehouse sends how much.
    `pay_id`: the pay order that has its buyer's money; empty on account.
    """

    order_no: int
    at: datetime
    actor: str
    intents: tuple[BookingIntent, ...]
    apart: tuple[int, ...] = ()
    pay_id: str = ""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """`gone`: lines whose stock was taken by others before payment (policy at_payment); they fail.

    `ahead`: the rows are further than the process, which has lost its latest steps: read them and go on from there.
    `unusable`: the money has been decided about otherwise; the order stays locked.
    """

    gone: tuple[int, ...] = ()
    ahead: bool = False
    unusable: bool = False
    parts: dict[int, tuple[Part, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadMoney:
    order_no: int


@dataclass(frozen=True, slots=True)
class MoneyStanding:
    """Where an order's lines stand, and the ids of refunds that are on their way back to its buyer."""

    lines: dict[int, OrderStatus]
    refunding: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SupplierReport:
    """What a supplier told us unasked about one attempt; credentials stay in the database."""

    booking: BookingRef
    answer: QueryAnswer


@dataclass(frozen=True, slots=True)
class LineDecision:
    """An operator's word on an escalated line. For `issued` the tickets are in the database already."""

    line_no: int
    attempt: int
    decision: Literal["issued", "give_up"]
    actor: str
    reason: str
    supplier_reference: str = ""


@dataclass(frozen=True, slots=True)
class OrderStanding:
    """Where the order stands, as updates answer it. `negotiating`: lines whose supplier has not answered definitely."""

    order_no: int
    status: OrderStatus
    lines: dict[int, OrderStatus]
    negotiating: tuple[int, ...] = ()
    hold_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PlannedDiscount:
    """What a promotion would take off a line, and why."""

    promotion_id: str
    name: str
    amount_minor: int
    explanation: str


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """What a line would hold; prices in minor units, `total_minor` after its discounts."""

    line_no: int
    sku_id: str
    kind: str
    quantity: int
    unit_price_minor: int
    total_minor: int
    discounts: tuple[PlannedDiscount, ...]
    holds_stock: bool
    holds_at_supplier: bool


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """A dry run of placing. `credit_free_minor`: what the credit line has free before it; None where buyers pay."""

    currency: str
    total_minor: int
    credit_free_minor: int | None
    lock_s: int
    review: bool
    lines: tuple[PlannedLine, ...]
