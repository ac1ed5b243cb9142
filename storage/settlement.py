"""Who owes whom: receivable and payable flows, and the ledger of balanced transfers. Append-only, all three."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from storage.columns import at, big, one_of


class ReceivableFlowRow(SQLModel, table=True):
    """A signed amount (minor units) that a distributor owes us. `key` is the business key that makes it once-only."""

    __tablename__ = "receivable_flows"
    __table_args__ = (
        UniqueConstraint("key"),
        one_of("kind", ("locked", "canceled", "refunded", "goodwill")),
        CheckConstraint("amount_minor <> 0", name="amount_not_zero"),
        Index("receivable_flows_period", "distributor_id", "business_at"),
        Index("receivable_flows_order", "order_no"),
    )

    id: int = big(primary_key=True, default=None)
    key: str
    distributor_id: str = Field(foreign_key="distributors.id")
    order_no: int = big()
    line_no: int
    kind: str
    amount_minor: int = big()
    currency: str
    business_at: datetime = at()
    booked_at: datetime = at()


class PayableFlowRow(SQLModel, table=True):
    """A signed amount (minor units) that we owe a supplier."""

    __tablename__ = "payable_flows"
    __table_args__ = (
        UniqueConstraint("key"),
        one_of("kind", ("issued", "refunded")),
        CheckConstraint("amount_minor <> 0", name="amount_not_zero"),
        Index("payable_flows_period", "supplier_id", "business_at"),
        Index("payable_flows_order", "order_no"),
    )

    id: int = big(primary_key=True, default=None)
    key: str
    supplier_id: str = Field(foreign_key="suppliers.id")
    order_no: int = big()
    line_no: int
    kind: str
    amount_minor: int = big()
    currency: str
    business_at: datetime = at()
    booked_at: datetime = at()


class LedgerTransferRow(SQLModel, table=True):
    """`amount_minor` moves from `credit_account` to `debit_account`: one row has both sides, so it cannot be unbalanced.

    `business_at` decides the period, `booked_at` is when we knew; a correction names what it corrects.
    """

    __tablename__ = "ledger_transfers"
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("debit_account <> credit_account", name="two_sides"),
        CheckConstraint("corrects IS NULL OR corrects <> key", name="corrects_another"),
        Index("ledger_transfers_debit", "debit_account", "business_at"),
        Index("ledger_transfers_credit", "credit_account", "business_at"),
    )

    id: int = big(primary_key=True, default=None)
    key: str
    debit_account: str
    credit_account: str
    amount_minor: int = big()
    currency: str
    business_at: datetime = at()
    booked_at: datetime = at()
    corrects: str | None = Field(default=None, foreign_key="ledger_transfers.key")


class LedgerBalanceRow(SQLModel, table=True):
    """Sums kept beside the transfers by a trigger. `slot` spreads a busy account over rows: add them up."""

    __tablename__ = "ledger_balances"

    account: str = Field(primary_key=True)
    currency: str = Field(primary_key=True)
    slot: int = Field(primary_key=True)
    debits_minor: int = big(default=0)
    credits_minor: int = big(default=0)
