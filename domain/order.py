"""The order as an entity: its lines, its five axes, and the few things that can happen to it.

Every method moves lines by the machine, derives the order's axes from them, and notes each change for the event log.
Nothing else in Tessera assigns a status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from domain.errors import Refusal
from domain.machines import Machine
from domain.orders import (
    AT_REST,
    DELIVERY,
    FULFILLMENT,
    PAYMENT,
    REFUND,
    STATUS,
    DeliveryStatus,
    FulfillmentEvent,
    FulfillmentStatus,
    OrderEvent,
    OrderStatus,
    PaymentEvent,
    PaymentStatus,
    RefundEvent,
    RefundStatus,
    status_of,
)
from domain.payments import Pays
from domain.units import delivery_path

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the event log: what moved on which axis. `line_no` 0 is the order itself."""

    line_no: int
    axis: str
    event: str
    from_state: str
    to_state: str
    reason: str = ""


@dataclass(slots=True)
class Line:
    """A line: amounts in minor units of the order's currency; `cost_minor` is for the whole line, once agreed."""

    line_no: int
    status: OrderStatus
    sku_id: str
    quantity: int
    unit_price_minor: int
    total_minor: int
    kind: str = "ticket"
    refunded_minor: int = 0
    cost_minor: int | None = None
    supplier_id: str | None = None
    failure: dict[str, Any] | None = None
    locked_at: datetime | None = None
    issued_at: datetime | None = None
    canceled_at: datetime | None = None
    refunded_at: datetime | None = None
    supplier_refunded_at: datetime | None = None
    supplier_refunded_minor: int = 0

    @property
    def failed(self) -> bool:
        """Whether it is certain that it will not be issued, wherever its money is by now."""
        return self.failure is not None or self.status is OrderStatus.REFUNDED

    @property
    def discount_minor(self) -> int:
        """What promotions took off the whole line."""
        return self.unit_price_minor * self.quantity - self.total_minor


@dataclass(slots=True)
class Order:
    """An order in memory between one read and one write of the same transaction; `version` is what was read.

    `pays`: by its distributor's credit line, where money goes back with the change that causes it; or by its buyer:
    then the line waits `refunding` until the buyer's channel has given it back (`money_back`, or `money_kept`).
    """

    order_no: int
    distributor_id: str
    currency: str
    total_minor: int
    lines: list[Line]
    version: int = 1
    status: OrderStatus = OrderStatus.PENDING
    payment_status: PaymentStatus = PaymentStatus.UNPAID
    fulfillment_status: FulfillmentStatus = FulfillmentStatus.UNFULFILLED
    delivery_status: DeliveryStatus = DeliveryStatus.NOT_REQUIRED
    refund_status: RefundStatus = RefundStatus.NONE
    refunded_minor: int = 0
    all_or_nothing: bool = False
    pays: Pays = Pays.ON_ACCOUNT
    in_review: bool = False
    refusal: dict[str, Any] | None = None
    cancel_reason: str | None = None
    locked_at: datetime | None = None
    hold_expires_at: datetime | None = None
    price_guaranteed_until: datetime | None = None
    confirmed_at: datetime | None = None
    issued_at: datetime | None = None
    canceled_at: datetime | None = None
    rested_at: datetime | None = None
    changes: list[Change] = field(default_factory=list)

    @property
    def on_account(self) -> bool:
        """Whether a credit line pays it."""
        return self.pays is Pays.ON_ACCOUNT

    @property
    def discounted(self) -> bool:
        """Whether any promotion took anything off it: only then does it hold uses."""
        return any(line.discount_minor for line in self.lines)

    def stands(self, line: Line) -> bool:
        """Whether the line counts as fulfilled. What its buyer paid for counts until the money is back."""
        waits_for_money = not self.on_account and line.status in (OrderStatus.REFUNDING, OrderStatus.REFUND_FAILED)
        return line.status is OrderStatus.ISSUED or (waits_for_money and line.issued_at is not None)

    def line(self, line_no: int) -> Line:
        """The line with that number (from 1). Raises KeyError."""
        for line in self.lines:
            if line.line_no == line_no:
                return line
        raise KeyError(line_no)

    def lock(self, at: datetime, *, expires_at: datetime) -> None:
        """Everything is held: the receivable begins, and both clocks run until `expires_at`."""
        for line in self.lines:
            self._move(line, OrderEvent.LOCK)
            line.locked_at = at
        self.in_review = False
        self.locked_at = at
        self.hold_expires_at = expires_at
        self.price_guaranteed_until = expires_at
        self._derive(at, OrderEvent.LOCK)

    def refuse(self, refusal: Refusal, at: datetime) -> None:
        """A step said no: nothing is held, the log stays."""
        for line in self.lines:
            self._move(line, OrderEvent.REFUSE, refusal.code)
        self.in_review = False
        self.refusal = {"code": refusal.code, "detail": refusal.detail, "facts": refusal.facts}
        self._derive(at, OrderEvent.REFUSE, refusal.code)

    def refuse_unopened(self, refusal: Refusal, at: datetime) -> None:
        """Refused before it had lines: what was asked for may not even exist."""
        self.refusal = {"code": refusal.code, "detail": refusal.detail, "facts": refusal.facts}
        self.status = self._follow("status", STATUS, self.status, OrderEvent.REFUSE)
        self.rested_at = at

    def cancel(self, at: datetime, *, reason: str, expired: bool) -> None:
        """Given back before it was confirmed, by its buyer or by its clock."""
        event = OrderEvent.EXPIRE if expired else OrderEvent.CANCEL
        for line in self.lines:
            self._move(line, event, reason)
            line.canceled_at = at
        self.in_review = False
        self.canceled_at = at
        self.cancel_reason = reason
        self._derive(at, event, reason)

    def confirm_on_account(self, at: datetime) -> None:
        """The distributor's credit line pays: issuing begins."""
        for line in self.lines:
            self._move(line, OrderEvent.CONFIRM)
        self.confirmed_at = at
        self._derive(at, OrderEvent.CONFIRM)
        self.payment_status = self._follow("payment_status", PAYMENT, self.payment_status, PaymentEvent.USE_CREDIT)

    def pay(self, at: datetime) -> None:
        """Its buyer's money is there: issuing begins."""
        for line in self.lines:
            self._move(line, OrderEvent.PAY)
        self.confirmed_at = at
        self._derive(at, OrderEvent.PAY)
        self.payment_status = self._follow("payment_status", PAYMENT, self.payment_status, PaymentEvent.PAY)

    def issue_line(
        self, line_no: int, at: datetime, *, supplier_id: str | None, cost_minor: int, carried: bool = False
    ) -> None:
        """The whole line is issued, by a supplier for `cost_minor` or by us (None). `carried`: it has yet to arrive."""
        line = self.line(line_no)
        self._move(line, OrderEvent.ISSUE)
        line.issued_at = at
        line.supplier_id = supplier_id
        line.cost_minor = cost_minor
        if carried:
            self.deliver(DeliveryStatus.PENDING)
        self._all_or_nothing()
        self._derive(at, OrderEvent.ISSUE)

    def deliver(self, status: DeliveryStatus) -> None:
        """Where the goods are by now, as their units say: by legal steps, each one logged; what is there stays."""
        for event in delivery_path(self.delivery_status, status):
            self.delivery_status = self._follow("delivery_status", DELIVERY, self.delivery_status, event)

    def refund_units(self, line_no: int, amount_minor: int, at: datetime, *, reason: str) -> None:
        """Some of an issued line's units will never arrive: their share goes back; with the last of them, all of it."""
        line = self.line(line_no)
        if line.status is not OrderStatus.REFUNDING:  # where a buyer's money is on its way back already
            self._move(line, OrderEvent.REFUND_START, reason)
        if self.on_account:
            self._refund(line, amount_minor, at, reason)
        else:
            self._ask_for_money_back()
        self._derive(at, OrderEvent.REFUND_START, reason)

    def money_back(self, line_no: int, amount_minor: int, at: datetime, *, outstanding: bool) -> None:
        """The buyer has it. `outstanding`: more of the line is still on its way back, so it goes on waiting."""
        line = self.line(line_no)
        if line.status is OrderStatus.REFUND_FAILED:
            self._move(line, OrderEvent.REFUND_RETRY)
        self._refund(line, amount_minor, at, "", outstanding=outstanding)
        whole = line.status is OrderStatus.REFUNDED
        self._derive(at, OrderEvent.REFUND_DONE if whole else OrderEvent.REFUND_DONE_PART)

    def money_kept(self, line_no: int, at: datetime, code: str) -> None:
        """Its channel will not give the money back: the line waits for a person."""
        line = self.line(line_no)
        if line.status is OrderStatus.REFUNDING:
            self._move(line, OrderEvent.REFUND_FAIL, code)
        self._ask_for_money_back()
        self.refund_status = self._follow("refund_status", REFUND, self.refund_status, RefundEvent.FAIL)
        self._derive(at, OrderEvent.REFUND_FAIL, code)

    def money_asked_again(self, line_no: int, at: datetime) -> None:
        """A person has decided that the channel is asked once more."""
        line = self.line(line_no)
        if line.status is OrderStatus.REFUND_FAILED:
            self._move(line, OrderEvent.REFUND_RETRY)
        self._ask_for_money_back()
        self._derive(at, OrderEvent.REFUND_RETRY)

    def fail_line(self, line_no: int, failure: Refusal, at: datetime) -> None:
        """It is certain that the line will not be issued: its money goes back, on account at once."""
        line = self.line(line_no)
        self._move(line, OrderEvent.FAIL, failure.code)
        line.failure = {"code": failure.code, "detail": failure.detail, "facts": failure.facts}
        self._refund_rest(line, at, failure.code)
        self._all_or_nothing()
        self._derive(at, OrderEvent.FAIL, failure.code)

    def take_back_line(self, line_no: int, at: datetime, *, reason: str, supplier_credit_minor: int) -> None:
        """An issued line was cancelled at its supplier, which credits `supplier_credit_minor`: it is refunded whole.

        Whatever was not given back for single units before goes back now.
        """
        line = self.line(line_no)
        if line.status is not OrderStatus.REFUNDING:
            self._move(line, OrderEvent.REFUND_START, reason)
        if supplier_credit_minor:
            line.supplier_refunded_at = at
            line.supplier_refunded_minor = supplier_credit_minor
        self._refund_rest(line, at, reason)
        self._derive(at, OrderEvent.REFUND_START, reason)

    def keep_line(self, line_no: int, at: datetime, *, reason: str) -> None:
        """A line that was to be taken back stays issued, since its supplier keeps it."""
        self._move(self.line(line_no), OrderEvent.REFUND_REFUSED, reason)
        self._derive(at, OrderEvent.REFUND_REFUSED, reason)

    def _all_or_nothing(self) -> None:
        """Where it was agreed, the first line that fails takes the issued ones with it: they are on their way back."""
        if not self.all_or_nothing or not any(line.failed for line in self.lines):
            return
        for line in self.lines:
            if line.status is OrderStatus.ISSUED:
                self._move(line, OrderEvent.REFUND_START, "all_or_nothing")

    def extend(self, expires_at: datetime) -> None:
        """Both clocks run on until `expires_at`."""
        self.changes.append(Change(0, "hold", "extend", _iso(self.hold_expires_at), expires_at.isoformat(), "extended"))
        self.hold_expires_at = expires_at
        self.price_guaranteed_until = expires_at

    def park(self, reason: str) -> None:
        """Risk wants a person to look: the order waits `pending`."""
        self.changes.append(Change(0, "review", "park", "", "in_review", reason))
        self.in_review = True

    def approve(self, reason: str) -> None:
        """An operator lets a parked order go on."""
        self.changes.append(Change(0, "review", "approve", "in_review", "", reason))
        self.in_review = False

    def _refund_rest(self, line: Line, at: datetime, reason: str) -> None:
        """What is left of the line's money goes back."""
        rest_minor = line.total_minor - line.refunded_minor
        if self.on_account or not rest_minor:
            self._refund(line, rest_minor, at, reason)
        else:
            self._ask_for_money_back()

    def _ask_for_money_back(self) -> None:
        if REFUND.allows(self.refund_status, RefundEvent.REQUEST):
            self.refund_status = self._follow("refund_status", REFUND, self.refund_status, RefundEvent.REQUEST)

    def _refund(self, line: Line, amount_minor: int, at: datetime, reason: str, *, outstanding: bool = False) -> None:
        """The money is back with whoever paid: the line is refunded when that was all of it."""
        line.refunded_minor += amount_minor
        line.refunded_at = at
        self.refunded_minor += amount_minor
        if not outstanding:
            whole = line.refunded_minor >= line.total_minor
            self._move(line, OrderEvent.REFUND_DONE if whole else OrderEvent.REFUND_DONE_PART, reason)
        self._log_refund()

    def _log_refund(self) -> None:
        everything = all(other.status is OrderStatus.REFUNDED for other in self.lines)
        if self.refund_status is RefundStatus.FAILED:
            self._ask_for_money_back()
        refund = RefundEvent.REFUND_ALL if everything else RefundEvent.REFUND_PART
        self.refund_status = self._follow("refund_status", REFUND, self.refund_status, refund)
        payment = PaymentEvent.REFUND_ALL if everything else PaymentEvent.REFUND_PART
        self.payment_status = self._follow("payment_status", PAYMENT, self.payment_status, payment)

    def _move(self, line: Line, event: OrderEvent, reason: str = "") -> None:
        after = STATUS.after(line.status, event)
        self.changes.append(Change(line.line_no, "status", event, line.status, after, reason))
        line.status = after

    def _follow(self, axis: str, machine: Machine[S, E], state: S, event: E) -> S:
        after = machine.after(state, event)
        self.changes.append(Change(0, axis, event, state, after))
        return after

    def _derive(self, at: datetime, event: OrderEvent, reason: str = "") -> None:
        """Bring the order's axes to what its lines say, by legal events only, each one logged."""
        target = status_of(line.status for line in self.lines)
        for step in _path(self.status, target, event):
            after = STATUS.after(self.status, step)
            self.changes.append(Change(0, "status", step, self.status, after, reason))
            self.status = after
        self._derive_fulfillment()
        if self.status in AT_REST and self.rested_at is None:
            self.rested_at = at
            self.issued_at = at if self.status is OrderStatus.ISSUED else None

    def _derive_fulfillment(self) -> None:
        issued = sum(self.stands(line) for line in self.lines)
        state = self.fulfillment_status
        if issued == len(self.lines):
            wanted, event = FulfillmentStatus.FULFILLED, FulfillmentEvent.FULFILL_ALL
        elif issued:
            wanted, event = FulfillmentStatus.PARTIALLY_FULFILLED, FulfillmentEvent.FULFILL_PART
        elif state is FulfillmentStatus.UNFULFILLED:
            return
        else:
            wanted, event = FulfillmentStatus.REVERSED, FulfillmentEvent.REVERSE
        if state is not wanted and FULFILLMENT.allows(state, event):
            self.fulfillment_status = self._follow("fulfillment_status", FULFILLMENT, state, event)


def _path(start: OrderStatus, target: OrderStatus, preferred: OrderEvent) -> list[OrderEvent]:
    """The shortest legal way from `start` to `target`; `preferred` first where several are as short."""
    if start is target:
        return []
    reached: dict[OrderStatus, list[OrderEvent]] = {start: []}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        for event, after in sorted(_ways(state), key=lambda way: way[0] is not preferred):
            if after not in reached:
                reached[after] = [*reached[state], event]
                waiting.append(after)
    return reached[target]


def _ways(state: OrderStatus) -> Iterator[tuple[OrderEvent, OrderStatus]]:
    return ((event, after) for (source, event), after in STATUS.table.items() if source is state)


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""
