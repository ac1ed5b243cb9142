"""What is asked of a cashier, and what it answers: no protocol's words, and no times but seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

from simulators.payment.book import Payment, Refund

DECLINED = "payment_declined"


class Refusal(Exception):
    """A no: a code and a sentence, `reference` what it is about. Nothing was done."""

    def __init__(self, code: str, message: str, reference: str) -> None:
        super().__init__(message)
        self.code = code
        self.reference = reference


@dataclass(frozen=True, slots=True)
class Asked:
    """A payment that a merchant asks for; `expires_at` in seconds since 1970, "" for what is not given."""

    reference: str
    amount_minor: int
    currency: str
    subject: str = ""
    notify_url: str = ""
    return_url: str = ""
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class RefundAsked:
    """A refund that a merchant asks for. Without `charge_id` it comes from the first charge that has enough left."""

    refund_no: str
    reference: str
    amount_minor: int
    currency: str
    charge_id: str | None = None
    reason: str = ""
    notify_url: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """What a payer does: pays `times` times, another amount than asked where one is given. `anyway`: although the
    payment is paid or closed, which no channel's page would allow."""

    times: int = 1
    amount_minor: int | None = None
    anyway: bool = False


Says = Literal["paid", "failed", "done", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A callback that the channel owes: what it `says` of a payment or, with a `refund_no`, of a refund, which the book
    need not agree with. `id` is the event's, `at` its moment; `charge_id` is the charge that was just made."""

    payment_id: str
    says: Says
    at: float
    charge_id: str = ""
    refund_no: str = ""
    code: str = ""
    delay_ms: int = 0
    id: str = field(default_factory=lambda: f"evt_{uuid4().hex}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The payment as it is now, the refund that was asked about, and the callbacks that follow."""

    payment: Payment
    refund: Refund | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line of a day's bill: a refund's amount is negative, and `reference` its number."""

    kind: Literal["payment", "refund"]
    reference: str
    id: str
    amount_minor: int
    fee_minor: int
    currency: str
    at: float
