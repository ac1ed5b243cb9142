"""Tickets at the gate: serials, validity, redemption.

Revision ID: 0006_gate
Revises: 0005_catalog_depth
Create Date: 2026-11-24
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.sql_files import refuse_downgrade, run_sql

revision: str = "0006_gate"
down_revision: str | None = "0005_catalog_depth"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Runs 0006_gate.sql."""
    run_sql("0006_gate.sql")


def downgrade() -> None:
    """Refused: rows of money and orders would go with the columns."""
    refuse_downgrade(revision)
