"""Payment channels: what they can answer, in our words. Only an adapter knows a channel's own.

Taking money and giving it back are asked for under references of ours (`pay-…`, `rfd-…`) that are stored before they
are sent and stable over all retries: a channel does nothing twice under one of them. *Unknown* is never taken for a
*no*; it is asked about.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class PayAction:
    """What the payer has to do: go to `url` (`redirect`), post `fields` there (`form`), hand `token` to the channel's
    own widget (`token`), or nothing (`none`)."""

    kind: Literal["redirect", "form", "token", "none"]
    url: str = ""
    token: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Charge:
    """Money that a channel has taken of a payer, in minor units. `payment_id` is the channel's own name for it: two of
    them under one reference of ours are two payments."""

    payment_id: str
    amount_minor: int
    currency: str
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class Created:
    """The channel waits for the payer. `channel_reference`: its own name for the pay order, if it has one."""

    action: PayAction
    channel_reference: str = ""
    kind: Literal["created"] = "created"


@dataclass(frozen=True, slots=True)
class Declined:
    """A definite no: nothing was taken and nothing will be by this request."""

    code: str
    detail: str = ""
    kind: Literal["declined"] = "declined"


@dataclass(frozen=True, slots=True)
class Unpaid:
    """The channel knows the pay order, and has taken no money by now."""

    kind: Literal["unpaid"] = "unpaid"


@dataclass(frozen=True, slots=True)
class Paid:
    """The channel has taken money: every successful payment under our reference that it knows of, at least one."""

    charges: tuple[Charge, ...]
    kind: Literal["paid"] = "paid"


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    """The payer's attempt has failed, `code` says why, `at` when (None: the channel does not say). Until the pay order
    is closed another attempt may succeed."""

    code: str
    at: datetime | None = None
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True)
class Closed:
    """No payer can pay it any more, and nobody has."""

    kind: Literal["closed"] = "closed"


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The channel knows nothing under our reference (now)."""

    kind: Literal["not_known"] = "not_known"


@dataclass(frozen=True, slots=True)
class Unclear:
    """We cannot know whether it happened: time-out, connection lost after sending, 5xx, unreadable."""

    reason: str
    kind: Literal["unclear"] = "unclear"


@dataclass(frozen=True, slots=True)
class NotReachable:
    """The request certainly did nothing there: safe to repeat, after `retry_after_s` where the channel says so."""

    reason: str
    retry_after_s: float | None = None
    kind: Literal["not_reachable"] = "not_reachable"


@dataclass(frozen=True, slots=True)
class RefundDone:
    """The channel has given the money back. `channel_reference`: its own name for the refund."""

    channel_reference: str = ""
    kind: Literal["refund_done"] = "refund_done"


@dataclass(frozen=True, slots=True)
class RefundPending:
    """Accepted, and not finished."""

    channel_reference: str = ""
    kind: Literal["refund_pending"] = "refund_pending"


@dataclass(frozen=True, slots=True)
class RefundDeclined:
    """A definite and permanent no: the money was not given back under this number and will not be."""

    code: str
    detail: str = ""
    kind: Literal["refund_declined"] = "refund_declined"


CreateAnswer = Created | Declined | Unclear | NotReachable
PaymentAnswer = Paid | Unpaid | PaymentFailed | Closed | NotKnown | Unclear | NotReachable
"""Answers of `query`, and of `close`: `Paid` then means that the payer was faster."""
RefundAnswer = RefundDone | RefundPending | RefundDeclined | NotKnown | Unclear | NotReachable
"""Answers of `refund` and `query_refund`; `NotKnown` only of the latter."""


@dataclass(frozen=True, slots=True)
class PaymentTold:
    """A callback about a payment. `event_id`: unique per channel, the same when the channel repeats itself."""

    event_id: str
    pay_id: str
    answer: Paid | PaymentFailed | Closed | Unpaid
    kind: Literal["payment"] = "payment"


@dataclass(frozen=True, slots=True)
class RefundTold:
    """A callback about a refund; `refund_no` is the number we sent (a refund's id, or one of its later tries)."""

    event_id: str
    pay_id: str
    refund_no: str
    answer: RefundDone | RefundPending | RefundDeclined
    kind: Literal["refund"] = "refund"


@dataclass(frozen=True, slots=True)
class NothingTold:
    """A genuine callback that says nothing about money of ours: acknowledged, and that is all."""

    event_id: str
    kind: Literal["nothing"] = "nothing"


ChannelEvent = PaymentTold | RefundTold | NothingTold


@dataclass(frozen=True, slots=True)
class QuerySchedule:
    """How patiently a channel is asked, in seconds: from `first_interval_s`, growing, up to `ceiling_s`."""

    first_interval_s: float
    growth: float
    ceiling_s: float

    def interval_s(self, asked: int) -> float:
        """The wait before question number `asked` + 1 (0 for the first)."""
        return min(self.ceiling_s, self.first_interval_s * self.growth ** min(asked, 64))


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of a channel's bill. `amount_minor` is positive for a payment and negative for a refund; `fee_minor` is
    what the channel keeps for it. `reference`: ours (`pay-…`, or a refund's number)."""

    kind: Literal["payment", "refund"]
    reference: str
    channel_reference: str
    amount_minor: int
    fee_minor: int
    currency: str
    at: datetime
