"""What payments' processes, their activities and the API say to each other. Ids and amounts, in minor units.

Times are the workflow's own (`at`), so that its timers and the database agree on every deadline.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from domain.channels import Charge, PaymentTold, QuerySchedule
from domain.errors import Refusal
from domain.payments import PayStatus, RefundState


@dataclass(frozen=True, slots=True)
class OpenPayment:
    pay_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Alarms:
    """Cases about a channel's silence: how many there have been, and whether one is open."""

    raised: int = 0
    open: bool = False


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """One order of a pay order; `state` as in storage (`open`, `served`, `returned`, `released`)."""

    order_no: int
    state: str
    successor_no: int | None = None


@dataclass(frozen=True, slots=True)
class PaymentPlan:
    """A pay order as its process begins or goes on with it. `channel_id` is empty where nothing is paid in cash.

    `refunds`: ids of what is on its way back of it and belongs to no order's line. Times in seconds. `named`: its
    channel has shown that it knows it; `again`: it was opened before, so its channel may have heard of it.
    """

    pay_id: str
    status: PayStatus
    channel_id: str
    cash_minor: int
    expires_at: datetime
    parts: tuple[PlannedPart, ...]
    schedule: QuerySchedule
    call_timeout_s: float
    alarm_s: float
    reason: str = ""
    refunds: tuple[str, ...] = ()
    paid_at: datetime | None = None
    named: bool = False
    again: bool = False
    alarms: Alarms = Alarms()


@dataclass(frozen=True, slots=True)
class PaymentOpened:
    """The plan, why it is refused, or neither: no such pay order is ours."""

    plan: PaymentPlan | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class PayAnswer:
    """The first answer to a payer: where it stands, or the refusal. What they have to do is in the pay order's row: it
    may have a channel's secret in it, which no history shows."""

    status: PayStatus
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class CallChannel:
    """One call about a pay order."""

    channel_id: str
    pay_id: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class AwaitPayer:
    """The channel waits for the payer."""

    pay_id: str
    at: datetime
    channel_reference: str


@dataclass(frozen=True, slots=True)
class BookCharges:
    """Money that a channel says it took, however we heard of it."""

    pay_id: str
    at: datetime
    channel_id: str
    charges: tuple[Charge, ...]


@dataclass(frozen=True, slots=True)
class Booked:
    """Where the pay order stands now, and the ids of refunds of what was too much."""

    status: PayStatus
    parts: tuple[PlannedPart, ...] = ()
    refunds: tuple[str, ...] = ()
    paid_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndUnpaid:
    """No money came and none can: `failed` with the channel's code, or `closed` with a reason."""

    pay_id: str
    at: datetime
    status: Literal["failed", "closed"]
    reason: str
    actor: str = "system"


@dataclass(frozen=True, slots=True)
class NoteContradiction:
    """A channel took back in words what it had said: `told` is what it says now."""

    pay_id: str
    at: datetime
    event_id: str
    told: str


@dataclass(frozen=True, slots=True)
class ServeOrder:
    """The money is there: the order, or the one in its place (`target_no`), is to be issued for it."""

    pay_id: str
    order_no: int
    target_no: int


@dataclass(frozen=True, slots=True)
class OrderServed:
    """`served`; `gone` for good, and why (`expired`, `canceled`, `rejected`, `paid_otherwise`); or `no_host`: its
    process is lost and has to be started."""

    outcome: Literal["served", "gone", "no_host"]
    why: str = ""


@dataclass(frozen=True, slots=True)
class ReviveOrder:
    """`why`: as the order is gone (see OrderServed)."""

    pay_id: str
    order_no: int
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Revived:
    """The number of the order in its place; None where its products' rule, or the order itself, does not allow one."""

    successor_no: int | None = None


@dataclass(frozen=True, slots=True)
class ReturnPart:
    """An order's share buys nothing: it goes back whole."""

    pay_id: str
    order_no: int
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The refund's id; None where nothing is to go back."""

    refund_id: str | None = None


@dataclass(frozen=True, slots=True)
class RestPayment:
    pay_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class PayStanding:
    """Where the pay order stands, as updates answer it."""

    pay_id: str
    status: PayStatus
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CancelPayment:
    """Its buyer, or an operator, wants it closed."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class DecideCharge:
    """A person's word on money that no machine may use: `refund` it at the channel, or `settle`: it was dealt with
    otherwise, as `evidence` shows. Closes the case."""

    case_id: str
    decision: Literal["refund", "settle"]
    actor: str
    reason: str
    evidence: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChargeDecision:
    """The same as its activity gets it."""

    pay_id: str
    at: datetime
    decision: DecideCharge


# --- refunds ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenRefund:
    refund_id: str


@dataclass(frozen=True, slots=True)
class RefundPlan:
    """A refund as its process goes on with it. `cash_minor` is what the channel gives back; the rest is ours.

    `refund_no` is the number at the channel; `route`: which way it went back, where it has;
    `order_no`: whose line it is of, None for money that bought nothing.
    """

    refund_id: str
    pay_id: str
    state: RefundState
    channel_id: str
    refund_no: str
    cash_minor: int
    schedule: QuerySchedule
    call_timeout_s: float
    alarm_s: float
    alarms: Alarms = Alarms()
    route: str = "channel"
    order_no: int | None = None


@dataclass(frozen=True, slots=True)
class CallRefund:
    """One call about a refund."""

    channel_id: str
    refund_id: str
    refund_no: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class SettleRefund:
    """The money is back with its buyer: the refund, its order's line, flows and ledger are written.

    `route`: by the channel, into the buyer's coins, or by hand with evidence.
    """

    refund_id: str
    at: datetime
    route: Literal["channel", "coins", "by_hand"] = "channel"
    channel_reference: str = ""
    actor: str = "system"
    evidence: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailRefund:
    """A permanent no: the refund waits for a person."""

    refund_id: str
    at: datetime
    code: str


@dataclass(frozen=True, slots=True)
class RetryRefund:
    """Under the next number at the channel: the last one was refused for good."""

    refund_id: str
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class DecideRefund:
    """A person's word on a refund that failed: `retry`, `to_coins` (other route), or `paid_by_hand` with evidence."""

    decision: Literal["retry", "to_coins", "paid_by_hand"]
    actor: str
    reason: str
    evidence: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundStanding:
    """`refusal`: why it could not be settled as a person wanted."""

    refund_id: str
    state: RefundState
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """What a channel told us unasked about a payment, once it is in the journal."""

    channel_id: str
    told: PaymentTold


@dataclass(frozen=True, slots=True)
class PayOrderMessage:
    """To an order's process: `pay_id` has its money, which was paid at `paid_at`. Answered as confirming is."""

    pay_id: str
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class OpenMoneyCase:
    """A case about a payment or a refund for the operators' queue."""

    exception_id: str
    kind: str
    at: datetime
    evidence: dict[str, object]
    pay_id: str | None = None
    refund_id: str | None = None
    order_no: int | None = None
