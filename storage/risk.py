"""Risk rules as data, and the deny list."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlmodel import Field, SQLModel

from storage.columns import at, big, one_of


class RiskRuleRow(SQLModel, table=True):
    """`velocity`: more than `threshold` orders per `subject` within `window_s`; `amount`: a total above `threshold`
    minor units. The outcome is `deny` or `review`."""

    __tablename__ = "risk_rules"
    __table_args__ = (
        one_of("kind", ("velocity", "amount")),
        one_of("subject", ("buyer", "device", "address", "order")),
        one_of("outcome", ("deny", "review")),
        CheckConstraint("threshold >= 0", name="threshold_not_negative"),
    )

    id: str = Field(primary_key=True)
    kind: str
    subject: str
    threshold: int = big()
    window_s: int = 3600
    outcome: str
    active: bool = True


class RiskDenialRow(SQLModel, table=True):
    """An entry of the deny list: a buyer's, device's or address's reference."""

    __tablename__ = "risk_denials"
    __table_args__ = (one_of("subject", ("buyer", "device", "address")),)

    subject: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    reason: str
    created_at: datetime = at()
