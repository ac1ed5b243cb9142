"""Fulfilment of every kind: units, their events, breaches, codes; where a parcel goes.

Revision ID: 0002_fulfilment
Revises: 0001_main_job
Create Date: 2026-11-24
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.sql_files import refuse_downgrade, run_sql

revision: str = "0002_fulfilment"
down_revision: str | None = "0001_main_job"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Runs 0002_fulfilment.sql."""
    run_sql("0002_fulfilment.sql")


def downgrade() -> None:
    """Refused: rows of money and orders would go with the columns."""
    refuse_downgrade(revision)
