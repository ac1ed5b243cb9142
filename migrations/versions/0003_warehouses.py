"""Warehouses: stock in several places, transfers, stocktakes, alerts.

Revision ID: 0003_warehouses
Revises: 0002_fulfilment
Create Date: 2026-11-24
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.sql_files import refuse_downgrade, run_sql

revision: str = "0003_warehouses"
down_revision: str | None = "0002_fulfilment"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Runs 0003_warehouses.sql."""
    run_sql("0003_warehouses.sql")


def downgrade() -> None:
    """Refused: rows of money and orders would go with the columns."""
    refuse_downgrade(revision)
