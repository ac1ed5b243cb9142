"""An order's five axes, its lines' machine, and what a caller may do in which state."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from domain.errors import DomainError
from domain.machines import Machine


class OrderStatus(StrEnum):
    """Place and issue: the main axis, which lines have too."""

    PENDING = "pending"
    LOCKED = "locked"
    ISSUING = "issuing"
    ISSUED = "issued"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    CANCELED = "canceled"
    REJECTED = "rejected"


class OrderEvent(StrEnum):
    """What moves the main axis."""

    LOCK = "lock"
    REFUSE = "refuse"
    CANCEL = "cancel"
    EXPIRE = "expire"
    CONFIRM = "confirm"
    PAY = "pay"
    ISSUE = "issue"
    FAIL = "fail"
    REFUND_START = "refund_start"
    REFUND_DONE = "refund_done"
    REFUND_DONE_PART = "refund_done_part"
    REFUND_REFUSED = "refund_refused"
    REFUND_FAIL = "refund_fail"
    REFUND_RETRY = "refund_retry"
    SETTLE_BY_OPERATOR = "settle_by_operator"


_S, _E = OrderStatus, OrderEvent

STATUS: Machine[OrderStatus, OrderEvent] = Machine(
    "status",
    _S.PENDING,
    {
        (_S.PENDING, _E.LOCK): _S.LOCKED,
        (_S.PENDING, _E.REFUSE): _S.REJECTED,
        (_S.PENDING, _E.CANCEL): _S.CANCELED,
        (_S.LOCKED, _E.CONFIRM): _S.ISSUING,
        (_S.LOCKED, _E.PAY): _S.ISSUING,
        (_S.LOCKED, _E.CANCEL): _S.CANCELED,
        (_S.LOCKED, _E.EXPIRE): _S.CANCELED,
        (_S.ISSUING, _E.ISSUE): _S.ISSUED,
        (_S.ISSUING, _E.FAIL): _S.REFUNDING,
        (_S.ISSUED, _E.REFUND_START): _S.REFUNDING,
        (_S.REFUNDING, _E.REFUND_DONE): _S.REFUNDED,
        (_S.REFUNDING, _E.REFUND_DONE_PART): _S.ISSUED,
        (_S.REFUNDING, _E.REFUND_REFUSED): _S.ISSUED,
        (_S.REFUNDING, _E.REFUND_FAIL): _S.REFUND_FAILED,
        (_S.REFUND_FAILED, _E.REFUND_RETRY): _S.REFUNDING,
        (_S.REFUND_FAILED, _E.SETTLE_BY_OPERATOR): _S.ISSUED,
    },
)

AT_REST: frozenset[OrderStatus] = frozenset({_S.REJECTED, _S.CANCELED, _S.ISSUED, _S.REFUNDED, _S.REFUND_FAILED})
"""States in which nothing is outstanding: the order's workflow has ended or is only undoing at a supplier."""


class PaymentStatus(StrEnum):
    UNPAID = "unpaid"
    AUTHORIZED = "authorized"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    ON_ACCOUNT = "on_account"


class PaymentEvent(StrEnum):
    AUTHORIZE = "authorize"
    PAY = "pay"
    USE_CREDIT = "use_credit"
    VOID = "void"
    REFUND_PART = "refund_part"
    REFUND_ALL = "refund_all"


_P, _PE = PaymentStatus, PaymentEvent

PAYMENT: Machine[PaymentStatus, PaymentEvent] = Machine(
    "payment_status",
    _P.UNPAID,
    {
        (_P.UNPAID, _PE.AUTHORIZE): _P.AUTHORIZED,
        (_P.UNPAID, _PE.PAY): _P.PAID,
        (_P.UNPAID, _PE.USE_CREDIT): _P.ON_ACCOUNT,
        (_P.AUTHORIZED, _PE.PAY): _P.PAID,
        (_P.AUTHORIZED, _PE.VOID): _P.UNPAID,
        (_P.PAID, _PE.REFUND_PART): _P.PARTIALLY_REFUNDED,
        (_P.PAID, _PE.REFUND_ALL): _P.REFUNDED,
        (_P.ON_ACCOUNT, _PE.REFUND_PART): _P.PARTIALLY_REFUNDED,
        (_P.ON_ACCOUNT, _PE.REFUND_ALL): _P.REFUNDED,
        (_P.PARTIALLY_REFUNDED, _PE.REFUND_PART): _P.PARTIALLY_REFUNDED,
        (_P.PARTIALLY_REFUNDED, _PE.REFUND_ALL): _P.REFUNDED,
    },
)


class FulfillmentStatus(StrEnum):
    UNFULFILLED = "unfulfilled"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    FULFILLED = "fulfilled"
    REVERSED = "reversed"


class FulfillmentEvent(StrEnum):
    FULFILL_PART = "fulfill_part"
    FULFILL_ALL = "fulfill_all"
    REVERSE = "reverse"


_F, _FE = FulfillmentStatus, FulfillmentEvent

FULFILLMENT: Machine[FulfillmentStatus, FulfillmentEvent] = Machine(
    "fulfillment_status",
    _F.UNFULFILLED,
    {
        (_F.UNFULFILLED, _FE.FULFILL_PART): _F.PARTIALLY_FULFILLED,
        (_F.UNFULFILLED, _FE.FULFILL_ALL): _F.FULFILLED,
        (_F.PARTIALLY_FULFILLED, _FE.FULFILL_PART): _F.PARTIALLY_FULFILLED,
        (_F.PARTIALLY_FULFILLED, _FE.FULFILL_ALL): _F.FULFILLED,
        (_F.PARTIALLY_FULFILLED, _FE.REVERSE): _F.REVERSED,
        (_F.FULFILLED, _FE.REVERSE): _F.REVERSED,
    },
)


class DeliveryStatus(StrEnum):
    NOT_REQUIRED = "not_required"
    PENDING = "pending"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    RETURNING = "returning"
    RETURNED = "returned"
    LOST = "lost"


class DeliveryEvent(StrEnum):
    REQUIRE = "require"
    SHIP = "ship"
    DELIVER = "deliver"
    LOSE = "lose"
    FIND = "find"
    SEND_BACK = "send_back"
    RECEIVE_BACK = "receive_back"


_D, _DE = DeliveryStatus, DeliveryEvent

DELIVERY: Machine[DeliveryStatus, DeliveryEvent] = Machine(
    "delivery_status",
    _D.NOT_REQUIRED,
    {
        (_D.NOT_REQUIRED, _DE.REQUIRE): _D.PENDING,
        (_D.PENDING, _DE.SHIP): _D.SHIPPED,
        (_D.SHIPPED, _DE.DELIVER): _D.DELIVERED,
        (_D.SHIPPED, _DE.LOSE): _D.LOST,
        (_D.SHIPPED, _DE.SEND_BACK): _D.RETURNING,
        (_D.LOST, _DE.FIND): _D.SHIPPED,
        (_D.DELIVERED, _DE.SEND_BACK): _D.RETURNING,
        (_D.RETURNING, _DE.RECEIVE_BACK): _D.RETURNED,
        (_D.RETURNING, _DE.LOSE): _D.LOST,
    },
)


class RefundStatus(StrEnum):
    NONE = "none"
    REQUESTED = "requested"
    PARTIAL = "partial"
    FULL = "full"
    FAILED = "failed"


class RefundEvent(StrEnum):
    REQUEST = "request"
    REFUND_PART = "refund_part"
    REFUND_ALL = "refund_all"
    REFUSE = "refuse"
    FAIL = "fail"


_R, _RE = RefundStatus, RefundEvent

REFUND: Machine[RefundStatus, RefundEvent] = Machine(
    "refund_status",
    _R.NONE,
    {
        (_R.NONE, _RE.REQUEST): _R.REQUESTED,
        (_R.NONE, _RE.REFUND_PART): _R.PARTIAL,
        (_R.NONE, _RE.REFUND_ALL): _R.FULL,
        (_R.PARTIAL, _RE.REQUEST): _R.REQUESTED,
        (_R.PARTIAL, _RE.REFUND_PART): _R.PARTIAL,
        (_R.PARTIAL, _RE.REFUND_ALL): _R.FULL,
        (_R.REQUESTED, _RE.REFUND_PART): _R.PARTIAL,
        (_R.REQUESTED, _RE.REFUND_ALL): _R.FULL,
        (_R.REQUESTED, _RE.REFUSE): _R.NONE,
        (_R.REQUESTED, _RE.FAIL): _R.FAILED,
        (_R.FAILED, _RE.REQUEST): _R.REQUESTED,
    },
)


def status_of(lines: Iterable[OrderStatus]) -> OrderStatus:
    """The order's status, derived from its lines.

    While any line is issuing the order is; then failed lines are refunded; what was issued stays issued, so that an
    order of which a part failed ends `issued` with `refund_status: partial`.
    """
    states = set(lines)
    for state in (_S.PENDING, _S.ISSUING, _S.REFUNDING, _S.REFUND_FAILED, _S.LOCKED, _S.ISSUED):
        if state in states:
            return state
    for state in (_S.REFUNDED, _S.CANCELED, _S.REJECTED):
        if state in states:
            return state
    raise ValueError("an order has at least one line")


class IssuanceUndecided(DomainError):
    """Cancelling while a supplier may already have issued would be a guess."""

    code = "issuance_undecided"

    def __init__(self) -> None:
        super().__init__(
            "The order is being issued and its supplier has not answered yet: wait until it is issued or refunded."
        )

    @property
    def facts(self) -> dict[str, object]:
        return {"state": str(_S.ISSUING), "allowed_from": ["pending", "locked"]}


class NotInState(DomainError):
    """The action is not possible in the order's present state."""

    code = "order_state_conflict"

    def __init__(self, action: str, state: str, allowed_from: tuple[str, ...]) -> None:
        super().__init__(f"The order is `{state}`; to {action} it, it has to be in one of: {', '.join(allowed_from)}.")
        self.state = state
        self.allowed_from = allowed_from

    @property
    def facts(self) -> dict[str, object]:
        return {"state": self.state, "allowed_from": list(self.allowed_from)}


def judge_confirm(status: OrderStatus) -> bool:
    """Whether confirm has something to do: False means the same answer again. Raises NotInState."""
    if status is _S.LOCKED:
        return True
    if status in (_S.ISSUING, _S.ISSUED):
        return False
    raise NotInState("confirm", status, (_S.LOCKED, _S.ISSUING, _S.ISSUED))


def judge_cancel(status: OrderStatus) -> bool:
    """Whether cancel has something to do: False means the same answer again.

    Raises IssuanceUndecided while a supplier may have issued, NotInState after it has.
    """
    if status in (_S.PENDING, _S.LOCKED):
        return True
    if status is _S.CANCELED:
        return False
    if status is _S.ISSUING:
        raise IssuanceUndecided
    raise NotInState("cancel", status, (_S.PENDING, _S.LOCKED, _S.CANCELED))


def judge_extend(status: OrderStatus) -> None:
    """Raises NotInState unless the order is locked."""
    if status is not _S.LOCKED:
        raise NotInState("extend", status, (_S.LOCKED,))


def allowed_actions(
    status: OrderStatus, *, review: bool, operator: bool, escalated: bool, pays: str = "on_account"
) -> list[str]:
    """What a caller may do now; `review`: parked by risk; `escalated`: a line waits for an operator's decision.

    `pays`: an order on account is confirmed; one that its buyer pays is paid (domain/payments.py).
    """
    actions: list[str] = []
    if status is _S.LOCKED:
        actions += ["confirm" if pays == "on_account" else "pay", "cancel", "extend"]
    if status is _S.PENDING:
        actions.append("cancel")
        if review and operator:
            actions += ["approve", "deny"]
    if status is _S.ISSUING and operator and escalated:
        actions += ["decide_issued", "decide_give_up"]
    return actions
