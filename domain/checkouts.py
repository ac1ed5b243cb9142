"""Checkouts: a shopper is shown what will be charged, under the number of the order to be, and then places it once.

Source: spec "Two-phase for shoppers".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from domain.errors import DomainError
from domain.money import Money
from domain.payments import ChannelTerms, MethodNotAllowed

CHECKOUT_PREFIX = "chk-"


class CheckoutNotFound(DomainError):
    """Unknown, or somebody else's: the same answer."""

    code = "checkout_not_found"

    def __init__(self, checkout_id: str) -> None:
        super().__init__(f"You have no checkout {checkout_id}: make one by POST /v1/checkouts.")


class CheckoutExpired(DomainError):
    """It was not placed in time: what it shows may be true no more."""

    code = "checkout_expired"

    def __init__(self, expires_at: datetime) -> None:
        super().__init__(f"This checkout ended at {expires_at.isoformat()}: make a new one and show it to the shopper.")
        self.expires_at = expires_at

    @property
    def facts(self) -> dict[str, object]:
        return {"expires_at": self.expires_at.isoformat()}


class CheckoutRequired(DomainError):
    """A shopper pays what was shown, and nothing else: so it has to be shown first."""

    code = "checkout_required"

    def __init__(self) -> None:
        super().__init__("Shoppers place by checkout: send {'checkout_id': ...} of an answer to POST /v1/checkouts.")


def checkout_id_of(order_no: int) -> str:
    """The checkout's id: `chk-` and the number of the order to be."""
    return f"{CHECKOUT_PREFIX}{order_no:019d}"


def placing_key(checkout_id: str) -> str:
    """The idempotency key of its order's claim, whatever keys its caller sends. Callers' own keys have no slash."""
    return f"checkout/{checkout_id}"


def payable_by(channels: Iterable[ChannelTerms], amount: Money, kinds: Sequence[str]) -> list[str]:
    """The ids of the channels that would take this amount for goods of these kinds."""
    able = []
    for terms in channels:
        try:
            terms.judge(amount, kinds)
        except MethodNotAllowed:
            continue
        able.append(terms.channel_id)
    return able
