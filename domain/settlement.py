"""Who owes whom for a line: the flows that each change of state writes, and the settlement table that proves them.

Two computations that must agree to the cent. The first half makes flows, one per change. The second half evaluates the
settlement table over a line's state and times and knows nothing of the first: the inspection compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from domain import ledger
from domain.ledger import MARGIN, Transfer
from domain.orders import OrderStatus

ReceivableKind = Literal["locked", "canceled", "refunded", "goodwill"]
PayableKind = Literal["issued", "refunded", "lost"]


@dataclass(frozen=True, slots=True)
class LineFacts:
    """What settlement needs to know of an order line. Amounts in minor units of `currency`; times have a zone.

    `refunded_minor`, `supplier_refunded_minor`: in all, so far. `cost_minor`: owed to the supplier for the whole line.
    `refunds`: what went back for single units, each with its time; they are part of `refunded_minor`.
    """

    order_no: int
    line_no: int
    status: OrderStatus
    distributor_id: str
    currency: str
    total_minor: int
    supplier_id: str | None = None
    cost_minor: int | None = None
    refunded_minor: int = 0
    supplier_refunded_minor: int = 0
    locked_at: datetime | None = None
    canceled_at: datetime | None = None
    issued_at: datetime | None = None
    refunded_at: datetime | None = None
    supplier_refunded_at: datetime | None = None
    refunds: tuple[tuple[int, datetime], ...] = ()

    @property
    def subject(self) -> str:
        """`{order_no}/{line_no}`: the root of its business keys."""
        return f"{self.order_no}/{self.line_no}"


@dataclass(frozen=True, slots=True)
class ReceivableFlow:
    """A signed amount that a distributor owes us."""

    key: str
    distributor_id: str
    order_no: int
    line_no: int
    kind: ReceivableKind
    amount_minor: int
    currency: str
    business_at: datetime

    @property
    def transfer(self) -> Transfer:
        """Its booking: the distributor owes more and the margin earns it, or the reverse."""
        account = ledger.receivable(self.distributor_id)
        debit, credit = (account, MARGIN) if self.amount_minor > 0 else (MARGIN, account)
        return Transfer(self.key, debit, credit, abs(self.amount_minor), self.currency, self.business_at)


@dataclass(frozen=True, slots=True)
class PayableFlow:
    """A signed amount that we owe a supplier."""

    key: str
    supplier_id: str
    order_no: int
    line_no: int
    kind: PayableKind
    amount_minor: int
    currency: str
    business_at: datetime

    @property
    def transfer(self) -> Transfer:
        """Its booking: the margin pays and we owe the supplier more, or the reverse."""
        account = ledger.payable(self.supplier_id)
        debit, credit = (MARGIN, account) if self.amount_minor > 0 else (account, MARGIN)
        return Transfer(self.key, debit, credit, abs(self.amount_minor), self.currency, self.business_at)


def flows_at_lock(lines: Iterable[LineFacts], locked_at: datetime) -> tuple[ReceivableFlow, ...]:
    """The lock turns the credit hold into what is owed. A free line has no flow."""
    return tuple(
        _receivable(line, "locked", "locked", line.total_minor, locked_at) for line in lines if line.total_minor
    )


def flow_at_cancel(line: LineFacts, canceled_at: datetime) -> ReceivableFlow | None:
    """A locked line that is cancelled or expires: all of it is given back. None for a free line."""
    return _receivable(line, "canceled", "canceled", -line.total_minor, canceled_at) if line.total_minor else None


def flow_at_refund(
    line: LineFacts, amount_minor: int, refunded_at: datetime, refund: str = ""
) -> ReceivableFlow | None:
    """What the distributor is credited; `refund` names one of several refunds of a line. None for an amount of zero."""
    if not 0 <= amount_minor <= line.total_minor:
        raise ValueError(f"a refund of {line.subject} is between 0 and {line.total_minor}, not {amount_minor}")
    suffix = f"refunded/{refund}" if refund else "refunded"
    return _receivable(line, "refunded", suffix, -amount_minor, refunded_at) if amount_minor else None


def flow_at_issue(line: LineFacts, supplier_id: str, cost_minor: int, issued_at: datetime) -> PayableFlow | None:
    """What the supplier earned by issuing. None where it costs nothing."""
    return _payable(line, supplier_id, "issued", "issued", cost_minor, issued_at) if cost_minor else None


def flow_at_loss(
    line: LineFacts, supplier_id: str, attempt: int, cost_minor: int, lost_at: datetime
) -> PayableFlow | None:
    """What we owe a supplier for a booking that it keeps although the line was refunded: outside the table, a loss."""
    suffix = f"lost/{attempt}"
    return _payable(line, supplier_id, "lost", suffix, cost_minor, lost_at) if cost_minor else None


def flow_at_supplier_refund(
    line: LineFacts, supplier_id: str, amount_minor: int, refunded_at: datetime
) -> PayableFlow | None:
    """What the supplier credits us with. None for an amount of zero."""
    if not amount_minor:
        return None
    return _payable(line, supplier_id, "refunded", "supplier_refunded", -amount_minor, refunded_at)


def loss_of(line: LineFacts, reason: str, amount_minor: int, at: datetime) -> Transfer:
    """What is lost on a line for good, such as a ticket that its supplier won't take back: > 0. Once per reason.

    The key's first two parts name the line: the inspection accepts what is recorded so, and nothing else, as lost.
    """
    account = ledger.loss(reason)
    return Transfer(f"{line.subject}/loss/{reason}", account, MARGIN, amount_minor, line.currency, at)


def _receivable(line: LineFacts, kind: ReceivableKind, suffix: str, amount_minor: int, at: datetime) -> ReceivableFlow:
    key = f"{line.subject}/{suffix}"
    return ReceivableFlow(key, line.distributor_id, line.order_no, line.line_no, kind, amount_minor, line.currency, at)


def _payable(
    line: LineFacts, supplier_id: str, kind: PayableKind, suffix: str, amount_minor: int, at: datetime
) -> PayableFlow:
    key = f"{line.subject}/{suffix}"
    return PayableFlow(key, supplier_id, line.order_no, line.line_no, kind, amount_minor, line.currency, at)


@dataclass(frozen=True, slots=True)
class Owed:
    """One signed amount that the settlement table demands, and the time that decides its period."""

    amount_minor: int
    business_at: datetime


RECEIVABLE_PLUS = frozenset(
    OrderStatus(name) for name in ("locked", "canceled", "issuing", "issued", "refunding", "refunded", "refund_failed")
)
PAYABLE_PLUS = frozenset(OrderStatus(name) for name in ("issued", "refunding", "refunded", "refund_failed"))


def expected_receivable(line: LineFacts) -> tuple[Owed, ...]:
    """The receivable table: + by the lock's time; - by the refund's or, where there is none, the cancellation's.

    "Whatever status the order returns to": a partial refund counts although its line is `issued` again.
    """
    owed: list[Owed] = []
    if line.status in RECEIVABLE_PLUS and line.locked_at is not None:
        owed.append(Owed(line.total_minor, line.locked_at))
        if line.refunded_at is not None:
            owed += [Owed(-amount_minor, at) for amount_minor, at in line.refunds]
            rest_minor = line.refunded_minor - sum(amount_minor for amount_minor, _ in line.refunds)
            owed.append(Owed(-rest_minor, line.refunded_at))
        elif line.status is OrderStatus.CANCELED and line.canceled_at is not None:
            owed.append(Owed(-line.total_minor, line.canceled_at))
    return tuple(amount for amount in owed if amount.amount_minor)


def expected_payable(line: LineFacts) -> tuple[Owed, ...]:
    """The payable table: + by the time of issue of what was ever issued; - by the time of the supplier's own refund."""
    owed: list[Owed] = []
    if line.status in PAYABLE_PLUS and line.issued_at is not None:
        owed.append(Owed(line.cost_minor or 0, line.issued_at))
        if line.supplier_refunded_at is not None:
            owed.append(Owed(-line.supplier_refunded_minor, line.supplier_refunded_at))
    return tuple(amount for amount in owed if amount.amount_minor)
