"""Pay orders: one pays one or many orders of one buyer, in parts of cash, coins and vouchers.

Source: spec "Payments". A pay order's money is what channels say that they took; a channel's *failed* or *closed* never
outweighs its *paid*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import DomainError
from domain.machines import Machine
from domain.money import Money


class Pays(StrEnum):
    """How a distributor's orders are paid: by its credit line, or each by its buyer before anything is issued."""

    ON_ACCOUNT = "on_account"
    BY_CHANNEL = "by_channel"


class LatePayment(StrEnum):
    """A product's rule for money that comes when the order is gone already."""

    REVIVE_EXPIRED = "revive_expired"
    REVIVE = "revive"
    REFUND = "refund"


class PayStatus(StrEnum):
    CREATED = "created"
    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    CLOSED = "closed"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"


class PayEvent(StrEnum):
    AWAIT = "await"
    PAY = "pay"
    FAIL = "fail"
    CLOSE = "close"
    REFUND_PART = "refund_part"
    REFUND_ALL = "refund_all"


_S, _E = PayStatus, PayEvent

PAY_ORDER: Machine[PayStatus, PayEvent] = Machine(
    "pay_status",
    _S.CREATED,
    {
        (_S.CREATED, _E.AWAIT): _S.PENDING,
        (_S.CREATED, _E.PAY): _S.PAID,
        (_S.CREATED, _E.FAIL): _S.FAILED,
        (_S.CREATED, _E.CLOSE): _S.CLOSED,
        (_S.PENDING, _E.PAY): _S.PAID,
        (_S.PENDING, _E.FAIL): _S.FAILED,
        (_S.PENDING, _E.CLOSE): _S.CLOSED,
        # Money that came although it was over: the fact wins, and what it may still buy is decided order by order.
        (_S.FAILED, _E.PAY): _S.PAID,
        (_S.FAILED, _E.CLOSE): _S.CLOSED,
        (_S.CLOSED, _E.PAY): _S.PAID,
        (_S.PAID, _E.REFUND_PART): _S.PARTIALLY_REFUNDED,
        (_S.PAID, _E.REFUND_ALL): _S.REFUNDED,
        (_S.PARTIALLY_REFUNDED, _E.REFUND_PART): _S.PARTIALLY_REFUNDED,
        (_S.PARTIALLY_REFUNDED, _E.REFUND_ALL): _S.REFUNDED,
    },
)

UNDECIDED: frozenset[PayStatus] = frozenset({_S.CREATED, _S.PENDING})
"""While it is in one of these its orders wait for it: their holds are kept."""


class RefundState(StrEnum):
    """Money on its way back: `refund_failed` waits for a person."""

    REFUNDING = "refunding"
    REFUNDED = "refunded"
    FAILED = "refund_failed"


@dataclass(frozen=True, slots=True)
class Parts:
    """An amount by where it comes from, minor units. Given in the order voucher, coins, cash; given back in reverse."""

    cash_minor: int = 0
    coins_minor: int = 0
    voucher_minor: int = 0

    @property
    def total_minor(self) -> int:
        return self.cash_minor + self.coins_minor + self.voucher_minor

    def less(self, other: Parts) -> Parts:
        """What is left after `other`."""
        return Parts(
            self.cash_minor - other.cash_minor,
            self.coins_minor - other.coins_minor,
            self.voucher_minor - other.voucher_minor,
        )

    def to_give_back(self, amount_minor: int) -> Parts:
        """The parts in which `amount_minor` of this goes back: cash first, then coins, then vouchers.

        Raises RefundExceedsPaid.
        """
        if not 0 < amount_minor <= self.total_minor:
            raise RefundExceedsPaid(amount_minor, self.total_minor)
        cash = min(amount_minor, self.cash_minor)
        coins = min(amount_minor - cash, self.coins_minor)
        return Parts(cash, coins, amount_minor - cash - coins)


def spread(paid: Parts, totals: Sequence[int]) -> tuple[Parts, ...]:
    """Each order's share of the parts: vouchers fill the first orders first, then coins, then cash. Adds up exactly."""
    if sum(totals) != paid.total_minor:
        raise ValueError(f"the parts are of {paid.total_minor}, the orders of {sum(totals)}")
    voucher_left, coins_left = paid.voucher_minor, paid.coins_minor
    shares: list[Parts] = []
    for total in totals:
        voucher = min(total, voucher_left)
        coins = min(total - voucher, coins_left)
        voucher_left, coins_left = voucher_left - voucher, coins_left - coins
        shares.append(Parts(total - voucher - coins, coins, voucher))
    return tuple(shares)


def may_revive(rules: Sequence[LatePayment], *, expired: bool) -> bool:
    """Whether money that came too late may buy the same again: every product of the order has to allow it.

    `expired`: the order ran out; otherwise somebody canceled it, who need not want it any more.
    """
    allowed = {LatePayment.REVIVE, LatePayment.REVIVE_EXPIRED} if expired else {LatePayment.REVIVE}
    return all(rule in allowed for rule in rules)


@dataclass(frozen=True, slots=True)
class ChannelTerms:
    """What a channel takes: amounts (minor units) within bounds, of one currency, for these kinds of goods (empty:
    all). `fee_bp`: what it keeps of each payment, in hundredths of a percent; we bear it."""

    channel_id: str
    active: bool
    currency: str
    min_minor: int
    max_minor: int
    kinds: tuple[str, ...]
    fee_bp: int

    def fee_minor(self, amount_minor: int) -> int:
        """The channel's fee for a payment, rounded half up."""
        return (amount_minor * self.fee_bp + 5_000) // 10_000

    def judge(self, amount: Money, kinds: Sequence[str]) -> None:
        """Raises MethodNotAllowed where the channel can't take this."""
        if not self.active:
            raise MethodNotAllowed(self.channel_id, "it takes no payments now")
        if amount.currency != self.currency:
            raise MethodNotAllowed(self.channel_id, f"it takes {self.currency} only")
        if not self.min_minor <= amount.amount_minor <= self.max_minor:
            raise MethodNotAllowed(self.channel_id, f"it takes from {self.min_minor} to {self.max_minor} minor units")
        refused = sorted(set(kinds) - set(self.kinds)) if self.kinds else []
        if refused:
            raise MethodNotAllowed(self.channel_id, f"it does not pay for {', '.join(refused)}")


# --- refusals --------------------------------------------------------------------------------------------------------


class PaymentNotFound(DomainError):
    code = "payment_not_found"

    def __init__(self, pay_id: str) -> None:
        super().__init__(f"You have no payment {pay_id}: list /v1/payments for those you have.")


class OrdersNotPayable(DomainError):
    """Some of the orders can't be paid now; `states` says where each of them stands."""

    code = "order_not_payable"

    def __init__(self, states: Mapping[int, str]) -> None:
        told = ", ".join(f"{order_no:019d} ({state})" for order_no, state in sorted(states.items()))
        super().__init__(f"Only orders that are `locked` and unpaid can be paid; not payable: {told}.")
        self.states = dict(states)

    @property
    def facts(self) -> dict[str, object]:
        return {"states": {f"{order_no:019d}": state for order_no, state in self.states.items()}}


class OrderBeingPaid(DomainError):
    """Another pay order of the same order is open: two would take the money twice."""

    code = "order_being_paid"

    def __init__(self, order_no: int, pay_id: str) -> None:
        super().__init__(f"Order {order_no:019d} is being paid by {pay_id}: finish that payment, or cancel it first.")
        self.pay_id = pay_id

    @property
    def facts(self) -> dict[str, object]:
        return {"payment_id": self.pay_id}


class PaymentRequired(DomainError):
    """The order is paid by its buyer, not by a credit line: it can't be confirmed."""

    code = "payment_required"

    def __init__(self) -> None:
        super().__init__("This order is paid before anything is issued: pay it by POST /v1/payments.")


class MethodNotAllowed(DomainError):
    code = "payment_method_not_allowed"

    def __init__(self, channel_id: str, why: str) -> None:
        super().__init__(f"Channel {channel_id!r} cannot be used for this payment: {why}. Choose another channel.")


class PartsExceedTotal(DomainError):
    """More coins and vouchers than there is to pay."""

    code = "parts_exceed_total"

    def __init__(self, given_minor: int, total_minor: int) -> None:
        super().__init__(f"Coins and vouchers of {given_minor} minor units for {total_minor} to pay: use fewer.")


class ChannelRequired(DomainError):
    code = "channel_required"

    def __init__(self, cash_minor: int) -> None:
        super().__init__(
            f"{cash_minor} minor units are left to be paid in cash: name a channel of /v1/payment-channels."
        )


class PaymentDeclined(DomainError):
    """The channel refused the pay order: nothing was charged."""

    code = "payment_declined"

    def __init__(self, code: str) -> None:
        super().__init__(f"The channel declined the payment ({code}): try again, or choose another channel.")


class RefundExceedsPaid(DomainError):
    """More than what was paid, less what went back and what is on its way back."""

    code = "refund_exceeds_paid"

    def __init__(self, requested_minor: int, refundable_minor: int) -> None:
        super().__init__(f"{requested_minor} minor units are asked for and {refundable_minor} are refundable.")
        self.requested_minor = requested_minor
        self.refundable_minor = refundable_minor

    @property
    def facts(self) -> dict[str, object]:
        return {"requested_minor": self.requested_minor, "refundable_minor": self.refundable_minor}


class PaymentDecided(DomainError):
    """The pay order is not open any more: there is nothing to cancel."""

    code = "payment_state_conflict"

    def __init__(self, state: str) -> None:
        super().__init__(f"The payment is `{state}`; it can be canceled while it is `created` or `pending`.")
        self.state = state

    @property
    def facts(self) -> dict[str, object]:
        return {"state": self.state, "allowed_from": ["created", "pending"]}


class RefundNotFailed(DomainError):
    """Only a refund that its channel has refused waits for a person."""

    code = "refund_state_conflict"

    def __init__(self, refund_id: str, state: str) -> None:
        super().__init__(
            f"Refund {refund_id} is `{state}`; a person decides only about those that are `refund_failed`."
        )
        self.state = state

    @property
    def facts(self) -> dict[str, object]:
        return {"state": self.state, "allowed_from": ["refund_failed"]}
