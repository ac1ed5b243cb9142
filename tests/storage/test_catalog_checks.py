"""The inspection is silent over imports that add up, and finds each loss that is planted in one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import psycopg
import pytest

from activities.catalog_import_messages import ImportChunk
from activities.catalog_imports import CatalogImportActivities
from domain.inspection import InspectionTerms
from storage import import_staging
from storage.catalog_checks import CATALOGUE
from storage.database import Database
from storage.inspection import inspect


@pytest.fixture
async def imported(database: Database, api_url: str) -> Database:
    """One import that is done, and one that waits."""
    now = datetime.now(UTC)
    line = json.dumps({"categoryId": 1003001, "spu": {"name": "T"}, "skus": [{"skuName": "s", "price": 1, "stock": 0}]})
    async with Database(api_url, pool_max=2) as api:
        for import_id in ("done", "waits"):
            async with api.transaction() as cx:
                await import_staging.begin_upload(cx, import_id, actor="a", turn="t", now=now)
                lines: list[tuple[int, bytes | None]] = [(1, line.encode()), (2, b"[]")]
                await import_staging.stage_lines(cx, import_id, lines, turn="t", now=now)
                await import_staging.finish_upload(cx, import_id, turn="t", body_hash="h", now=now)
    activities = CatalogImportActivities(database)
    while not (await activities.work_import_lines(ImportChunk("done", 10))).done:
        pass
    return database


async def found(database: Database) -> set[str]:
    async with database.transaction() as cx:
        seen = await inspect(cx, InspectionTerms(promise_s=10**9), open_workflows=frozenset())
    return {violation.invariant for violation in seen} & set(CATALOGUE)


async def test_imports_that_add_up_give_no_alarm(imported: Database) -> None:
    assert await found(imported) == set()


@pytest.mark.parametrize(
    ("invariant", "planted"),
    [
        ("import_accounts_for_lines", "DELETE FROM catalog_import_lines WHERE import_id = 'done' AND line_no = 2"),
        ("import_accounts_for_lines", "UPDATE catalog_imports SET created = 0 WHERE id = 'done'"),
        ("import_accounts_for_lines", "UPDATE catalog_imports SET state = 'done' WHERE id = 'waits'"),
        ("imported_product_exists", "UPDATE catalog_import_lines SET product_id = 'x' WHERE product_id IS NOT NULL"),
        ("import_ends", "UPDATE catalog_imports SET touched_at = now() - interval '1 hour' WHERE id = 'waits'"),
    ],
)
async def test_a_planted_loss_is_found(imported: Database, owner_url: str, invariant: str, planted: str) -> None:
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(planted.encode())
    assert await found(imported) == {invariant}
