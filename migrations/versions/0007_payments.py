"""Payments: channels, pay orders, charges, refunds.

Revision ID: 0007_payments
Revises: 0006_gate
Create Date: 2026-11-25
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.sql_files import refuse_downgrade, run_sql

revision: str = "0007_payments"
down_revision: str | None = "0006_gate"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Runs 0007_payments.sql."""
    run_sql("0007_payments.sql")


def downgrade() -> None:
    """Refused: rows of money and orders would go with the columns."""
    refuse_downgrade(revision)
