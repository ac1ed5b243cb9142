"""The main job: tables, the rules that the database itself keeps, and what each role may do.

Revision ID: 0001_main_job
Revises:
Create Date: 2026-11-22
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0001_main_job"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FILES = ("0001_main_job.sql", "0001_main_job_rules.sql", "0001_main_job_grants.sql")
"""Plain SQL: a revision must not change when the models do."""


def upgrade() -> None:
    """Runs the three files as they are: over the driver's cursor, so that nothing in them is taken for a parameter."""
    cursor = op.get_bind().connection.cursor()
    for name in FILES:
        cursor.execute((Path(__file__).parent / name).read_text())
    cursor.close()


def downgrade() -> None:
    """There is nothing before the first revision but an empty database: dropping money tables is no migration's job."""
    raise NotImplementedError("the first revision can't be taken back: make a new database instead")
