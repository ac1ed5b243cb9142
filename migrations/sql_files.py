"""What revisions after the first share: each runs one file of plain SQL, and none is taken back."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from alembic import op

VERSIONS = Path(__file__).parent / "versions"


def run_sql(name: str) -> None:
    """Run the file as it is: over the driver's cursor, so that nothing in it is taken for a parameter."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute((VERSIONS / name).read_text())
    cursor.close()


def refuse_downgrade(revision: str) -> NoReturn:
    """Migrations only go forward: what was written since would be lost."""
    raise NotImplementedError(f"{revision} can't be taken back: restore a backup, or write a revision that undoes it")
