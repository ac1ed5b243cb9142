"""A pay order as an entity: what its buyer owes in which parts, and the few things that can happen to it.

Nothing else in Tessera assigns a pay order's status. What a charge is worth is judged here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain import ledger
from domain.channels import Charge
from domain.ledger import Transfer
from domain.payments import PAY_ORDER, UNDECIDED, Parts, PayEvent, PayStatus


class Verdict(StrEnum):
    """What money that came is to us: the payment, too much, or something that a person has to look at."""

    ACCEPTED = "accepted"
    SURPLUS = "surplus"
    WRONG_AMOUNT = "wrong_amount"
    UNKNOWN = "unknown"


class PartState(StrEnum):
    OPEN = "open"
    SERVED = "served"
    RETURNED = "returned"
    RELEASED = "released"


@dataclass(slots=True)
class PayPart:
    """One order's share. `successor_no`: the order that was put in its place."""

    order_no: int
    state: PartState
    share: Parts
    successor_no: int | None = None
    reason: str = ""


@dataclass(slots=True)
class PayOrder:
    """A pay order in memory between one read and one write of the same transaction. Amounts in minor units."""

    id: str
    buyer_id: str
    distributor_id: str
    channel_id: str | None
    currency: str
    status: PayStatus
    parts: list[PayPart]
    owed: Parts
    voucher_ids: tuple[str, ...] = ()
    reason: str = ""
    paid_minor: int = 0
    refunding_minor: int = 0
    refunded_minor: int = 0
    fee_minor: int = 0
    channel_reference: str = ""
    expires_at: datetime | None = None
    pending_at: datetime | None = None
    paid_at: datetime | None = None
    closed_at: datetime | None = None
    at_rest: bool = False

    @property
    def undecided(self) -> bool:
        """Whether its money may still come, as far as we know."""
        return self.status in UNDECIDED

    @property
    def paid(self) -> bool:
        """Whether its money has come, wherever it is by now."""
        return self.paid_minor > 0

    @property
    def outstanding(self) -> bool:
        """Whether its money may still come, or is there and some of it has not been used or given back."""
        unused = any(part.state in (PartState.OPEN, PartState.RELEASED) for part in self.parts)
        return self.undecided or (self.paid and unused)

    def part_of(self, order_no: int) -> PayPart:
        """The part of that order, or of the one whose successor it is. Raises KeyError."""
        for part in self.parts:
            if order_no in (part.order_no, part.successor_no):
                return part
        raise KeyError(order_no)

    def await_payer(self, at: datetime, channel_reference: str) -> None:
        """The channel has it and waits. A repeat, or one that was overtaken by the money, changes nothing."""
        self.channel_reference = channel_reference or self.channel_reference
        if self.status is PayStatus.CREATED:
            self._follow(PayEvent.AWAIT)
            self.pending_at = at

    def judge(self, charge: Charge) -> Verdict:
        """What money that came for it, and was not known before, is to us."""
        if (charge.amount_minor, charge.currency) != (self.owed.cash_minor, self.currency):
            return Verdict.WRONG_AMOUNT
        return Verdict.SURPLUS if self.paid else Verdict.ACCEPTED

    def accept(self, paid_at: datetime) -> None:
        """Its money is there, all of it; `paid_at`: when the buyer paid. What was released waits again."""
        self._follow(PayEvent.PAY)
        self.paid_minor = self.owed.total_minor
        self.paid_at = paid_at
        self.at_rest = False

    def end(self, status: PayStatus, at: datetime, reason: str) -> None:
        """No money came, and none can any more; its orders wait for it no longer."""
        self._follow(PayEvent.FAIL if status is PayStatus.FAILED else PayEvent.CLOSE)
        self.closed_at = at
        self.reason = reason
        for part in self.parts:
            if part.state is PartState.OPEN:
                part.state, part.reason = PartState.RELEASED, reason

    def money_back(self, amount_minor: int) -> None:
        """So much of it is back with its buyer."""
        self.refunding_minor -= amount_minor
        self.refunded_minor += amount_minor
        whole = self.refunded_minor >= self.paid_minor
        self._follow(PayEvent.REFUND_ALL if whole else PayEvent.REFUND_PART)

    def _follow(self, event: PayEvent) -> None:
        self.status = PAY_ORDER.after(self.status, event)


def received(channel_id: str, charge: Charge, buyer_id: str | None) -> Transfer:
    """A channel holds money for us, and we owe it: to the buyer, or to somebody whom we do not know (None)."""
    owed = owed_for(channel_id, buyer_id)
    key = f"charge/{channel_id}/{charge.payment_id}"
    return Transfer(key, ledger.clearing(channel_id), owed, charge.amount_minor, charge.currency, charge.paid_at)


def owed_for(channel_id: str, buyer_id: str | None) -> str:
    """The account of what we owe for money that nothing was bought with."""
    return ledger.unapplied(buyer_id) if buyer_id else ledger.unidentified(channel_id)


def fee_of(channel_id: str, charge: Charge, fee_minor: int) -> Transfer | None:
    """What the channel keeps of it, which we bear. None where it takes nothing."""
    if not fee_minor:
        return None
    key = f"fee/{channel_id}/{charge.payment_id}"
    return Transfer(key, ledger.FEE, ledger.clearing(channel_id), fee_minor, charge.currency, charge.paid_at)


def applied(pay: PayOrder, order_no: int, amount_minor: int, at: datetime) -> Transfer:
    """The buyer's money pays the order: what our storefront owes for it is settled."""
    owed = ledger.receivable(pay.distributor_id)
    key = f"{order_no}/paid/{pay.id}"
    return Transfer(key, ledger.unapplied(pay.buyer_id), owed, amount_minor, pay.currency, at)


def unapplied_again(pay: PayOrder, refund_id: str, amount_minor: int, at: datetime) -> Transfer:
    """An order's money goes back: we owe it to the buyer again."""
    owed = ledger.receivable(pay.distributor_id)
    return Transfer(f"{refund_id}/unpaid", owed, ledger.unapplied(pay.buyer_id), amount_minor, pay.currency, at)


def given_back(
    out_of: str, channel_id: str, refund_id: str, buyer_id: str | None, amount_minor: int, currency: str, at: datetime
) -> Transfer:
    """It is back with whoever paid. `out_of`: the account of what the channel holds for us, or, where a person paid it
    by hand, of what it has paid out to us: then the channel still holds it."""
    owed = owed_for(channel_id, buyer_id)
    return Transfer(f"{refund_id}/cash", owed, out_of, amount_minor, currency, at)


def settled_by_hand(
    channel_id: str, payment_id: str, buyer_id: str | None, amount_minor: int, currency: str, at: datetime
) -> Transfer:
    """A person has paid back by hand what nothing was bought with: the channel still holds it."""
    owed = owed_for(channel_id, buyer_id)
    return Transfer(f"settled/{channel_id}/{payment_id}", owed, ledger.cash(channel_id), amount_minor, currency, at)
