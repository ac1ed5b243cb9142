"""The ledger's words: accounts, and transfers between two of them, which can't be unbalanced.

Debits raise what we own or are owed (receivables, cash) and what we lost; credits raise what we owe and what we earned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from domain.errors import DomainError

MARGIN = "revenue:margin"
FEE = "revenue:fee"

_PARTY_ACCOUNTS = {
    "distributor": ("receivable", "commission"),
    "supplier": ("payable",),
    "channel": ("cash", "clearing", "unidentified"),
    "buyer": ("coins", "unapplied"),
    "voucher": ("balance",),
    "insurer": ("premium", "recoverable"),
    "seller": ("subsidy",),
    "carrier": ("freight",),
}

ACCOUNT_PATTERN = "^({parties}|revenue:(margin|fee)|(loss|subsidy):[^:[:space:]]+)$".format(
    parties="|".join(f"{party}:[^:[:space:]]+:({'|'.join(names)})" for party, names in _PARTY_ACCOUNTS.items())
)
"""Every account there may be, in PostgreSQL's dialect: the database refuses all others by the same text."""

_ACCOUNT = re.compile(ACCOUNT_PATTERN.replace("[:space:]", r"\s").removesuffix("$") + r"\Z")


class UnknownAccount(DomainError):
    """A name that no account can have."""

    code = "unknown_account"

    def __init__(self, account: str) -> None:
        super().__init__(f"{account!r} is not the name of a ledger account.")


def receivable(distributor_id: str) -> str:
    """What a distributor owes us."""
    return _account(f"distributor:{distributor_id}:receivable")


def payable(supplier_id: str) -> str:
    """What we owe a supplier."""
    return _account(f"supplier:{supplier_id}:payable")


def loss(reason: str) -> str:
    """What was lost for good, by reason."""
    return _account(f"loss:{reason}")


def subsidy(campaign: str) -> str:
    """What a campaign owes us for the discounts that we granted in its name."""
    return _account(f"subsidy:{campaign}")


def cash(channel: str) -> str:
    """Money that a payment channel has paid out to us."""
    return _account(f"channel:{channel}:cash")


def clearing(channel: str) -> str:
    """Money that a payment channel holds for us."""
    return _account(f"channel:{channel}:clearing")


def unidentified(channel: str) -> str:
    """Money that a payment channel took for pay orders that we do not know."""
    return _account(f"channel:{channel}:unidentified")


def unapplied(buyer_id: str) -> str:
    """Money of a buyer that no order has been paid with yet, or that is on its way back: we owe it."""
    return _account(f"buyer:{buyer_id}:unapplied")


def coins(buyer_id: str) -> str:
    """A buyer's coins, in minor units: what we owe for them."""
    return _account(f"buyer:{buyer_id}:coins")


def voucher(voucher_id: str) -> str:
    """What a voucher is still good for."""
    return _account(f"voucher:{voucher_id}:balance")


def is_account(name: str) -> bool:
    """Whether the ledger may have an account of this name."""
    return _ACCOUNT.match(name) is not None


def holds_one_currency(account: str) -> bool:
    """Whether all entries of this account share one currency: a party's account does, revenue and losses need not."""
    return not account.startswith(("revenue:", "loss:"))


def _account(name: str) -> str:
    if not is_account(name):
        raise UnknownAccount(name)
    return name


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount_minor` (> 0) from `credit` to `debit`. `key` makes it once-only; `business_at` decides its period.

    `corrects`: the key of the transfer that this one corrects; history itself never changes.
    """

    key: str
    debit: str
    credit: str
    amount_minor: int
    currency: str
    business_at: datetime
    corrects: str | None = None

    def __post_init__(self) -> None:
        if self.amount_minor <= 0:
            raise ValueError(f"a transfer moves a positive amount, not {self.amount_minor}")
        if self.debit == self.credit:
            raise ValueError(f"a transfer has two sides, not {self.debit} twice")
        if self.corrects == self.key:
            raise ValueError("a transfer cannot correct itself")
        if self.business_at.tzinfo is None:
            raise ValueError("a business time has a time zone")
        for account in (self.debit, self.credit):
            if not is_account(account):
                raise UnknownAccount(account)

    def reversed(self, key: str, business_at: datetime) -> Transfer:
        """The transfer that undoes this one, under its own key and time."""
        return Transfer(key, self.credit, self.debit, self.amount_minor, self.currency, business_at, corrects=self.key)
