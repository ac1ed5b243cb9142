"""The tables of coins and vouchers: balances, what pay orders hold of them, what refunds gave back to them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from domain.balances import BalanceKind, HoldState, VoucherState
from storage.columns import at, big, one_of


class CoinAccountRow(SQLModel, table=True):
    """A buyer's coins, each worth one minor unit of `currency`; `held_minor` of them are held by pay orders."""

    __tablename__ = "coin_accounts"
    __table_args__ = (
        CheckConstraint("0 <= held_minor AND held_minor <= balance_minor", name="held_within_balance"),
    )  # fmt: skip

    buyer_id: str = Field(primary_key=True)
    currency: str
    balance_minor: int = big(default=0)
    held_minor: int = big(default=0)


class VoucherRow(SQLModel, table=True):
    """Stored value, minor units of `currency`. Its code is kept as an HMAC; `buyer_id` is whoever added it first."""

    __tablename__ = "vouchers"
    __table_args__ = (
        one_of("state", VoucherState),
        UniqueConstraint("code_hmac"),
        CheckConstraint("0 <= held_minor AND held_minor <= balance_minor", name="held_within_balance"),
        CheckConstraint("face_minor > 0 AND balance_minor <= face_minor", name="balance_within_face"),
        Index("vouchers_buyer", "buyer_id", "id"),
    )

    id: str = Field(primary_key=True)
    code_hmac: bytes
    currency: str
    buyer_id: str | None = None
    balance_minor: int = big()
    held_minor: int = big(default=0)
    face_minor: int = big()
    campaign: str
    expires_at: datetime = at()
    state: str = "active"
    created_at: datetime = at()


class BalanceHoldRow(SQLModel, table=True):
    """What one pay order holds of one balance: the buyer's coins (`ref` is the buyer), or a voucher (`ref` is its id).

    `rank`: its place in the order of use; `refunded_minor`: what went back after it was redeemed.
    """

    __tablename__ = "balance_holds"
    __table_args__ = (
        one_of("kind", BalanceKind),
        one_of("state", HoldState),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("refunded_minor >= 0 AND refunded_minor <= amount_minor", name="refunded_within_amount"),
        CheckConstraint("refunded_minor = 0 OR state = 'redeemed'", name="refunded_of_redeemed"),
        Index("balance_holds_ref", "kind", "ref"),
    )

    pay_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    ref: str = Field(primary_key=True)
    rank: int
    buyer_id: str
    currency: str
    amount_minor: int = big()
    refunded_minor: int = big(default=0)
    state: str = "held"


class BalanceRefundRow(SQLModel, table=True):
    """What a refund gave back to one balance: a refund that comes again finds it."""

    __tablename__ = "balance_refunds"
    __table_args__ = (
        one_of("kind", BalanceKind),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        Index("balance_refunds_pay_order", "pay_id"),
    )

    refund_id: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    ref: str = Field(primary_key=True)
    pay_id: str
    amount_minor: int = big()
    given_at: datetime = at()
