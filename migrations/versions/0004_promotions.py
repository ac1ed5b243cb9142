"""Promotions and coupons, held with an order.

Revision ID: 0004_promotions
Revises: 0003_warehouses
Create Date: 2026-11-24
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.sql_files import refuse_downgrade, run_sql

revision: str = "0004_promotions"
down_revision: str | None = "0003_warehouses"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Runs 0004_promotions.sql."""
    run_sql("0004_promotions.sql")


def downgrade() -> None:
    """Refused: rows of money and orders would go with the columns."""
    refuse_downgrade(revision)
