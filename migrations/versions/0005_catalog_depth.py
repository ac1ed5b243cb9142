"""Catalogue depth: attributes, bulk imports, full-text search.

Revision ID: 0005_catalog_depth
Revises: 0004_promotions
Create Date: 2026-11-24
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.sql_files import refuse_downgrade, run_sql

revision: str = "0005_catalog_depth"
down_revision: str | None = "0004_promotions"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Runs 0005_catalog_depth.sql."""
    run_sql("0005_catalog_depth.sql")


def downgrade() -> None:
    """Refused: rows of money and orders would go with the columns."""
    refuse_downgrade(revision)
