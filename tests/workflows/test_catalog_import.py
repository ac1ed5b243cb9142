"""A bulk import through the real workflow: worked to its end, once, whatever dies in the middle."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import migrations
from activities.catalog_import_messages import CatalogImport, CatalogImportReport, ChunkWorked, ImportChunk
from activities.catalog_imports import CatalogImportActivities
from embedded.postgres import PostgresServer
from storage import import_staging
from storage.database import Database
from storage.stock import unproven_stock
from workflows.catalog import CATALOG_TASK_QUEUE
from workflows.catalog_imports import LINES_PER_CHUNK, CatalogImportWorkflow, catalog_import_workflow_id

NAME = "catalog_import_tests"


class Failing(CatalogImportActivities):
    """Loses answers after the effect, and dies before it, in turns: every chunk is met by one or the other."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.calls = 0

    @activity.defn(name="work_import_lines")
    async def work_import_lines(self, chunk: ImportChunk) -> ChunkWorked:
        self.calls += 1
        if self.calls % 3 == 1:
            raise ApplicationError("before the effect")
        worked = await super().work_import_lines(chunk)
        if self.calls % 3 == 2:
            raise ApplicationError("after the effect")
        return worked


class Killed(Exception):
    """What a process meets that dies."""


async def killed_in_the_middle(database: Database, import_id: str) -> None:
    """A worker that has written and not committed."""
    async with database.transaction() as cx:
        assert len(await import_staging.waiting_lines(cx, import_id, 10)) == 10
        outcome = import_staging.Outcome(1, "prd_of_the_dead")
        await import_staging.record_outcomes(cx, import_id, [outcome], datetime.now(UTC))
        raise Killed


@dataclass
class Bench:
    database: Database
    api: Database
    env: WorkflowEnvironment

    async def received(self, import_id: str, lines: list[bytes]) -> None:
        now = datetime.now(UTC)
        async with self.api.transaction() as cx:
            await import_staging.begin_upload(cx, import_id, actor="operator/a", turn="t", now=now)
            await import_staging.stage_lines(cx, import_id, list(enumerate(lines, start=1)), turn="t", now=now)
            await import_staging.finish_upload(cx, import_id, turn="t", body_hash="h", now=now)

    async def start(self, import_id: str) -> WorkflowHandle[CatalogImportWorkflow, CatalogImportReport]:
        return await self.env.client.start_workflow(
            CatalogImportWorkflow.run,
            CatalogImport(import_id),
            id=catalog_import_workflow_id(import_id),
            task_queue=CATALOG_TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    def worker(self, activities: CatalogImportActivities) -> Worker:
        return Worker(
            self.env.client,
            task_queue=CATALOG_TASK_QUEUE,
            workflows=[CatalogImportWorkflow],
            activities=[activities.work_import_lines],
        )

    async def titles(self, prefix: str) -> list[str]:
        async with self.database.reading() as cx:
            cursor = await cx.execute("SELECT title FROM products WHERE title LIKE %s ORDER BY title", (f"{prefix} %",))
            return [row["title"] for row in await cursor.fetchall()]


@pytest.fixture(scope="module")
async def bench(postgres: PostgresServer, temporal_env: WorkflowEnvironment) -> AsyncIterator[Bench]:
    postgres.ensure_roles(NAME)
    migrations.upgrade(postgres.url("tessera_owner", NAME))
    async with (
        Database(postgres.url("tessera_worker", NAME), pool_max=4) as database,
        Database(postgres.url("tessera_api", NAME), pool_max=4) as api,
    ):
        yield Bench(database, api, temporal_env)


def a_line(title: str) -> bytes:
    sku = {"skuName": "s", "price": 1, "stock": 2}
    return json.dumps({"categoryId": 1003001, "spu": {"name": title}, "skus": [sku]}).encode()


async def test_an_import_is_worked_to_its_end_and_says_what_it_came_to(bench: Bench) -> None:
    lines = [a_line(f"Whole {number:04}") for number in range(LINES_PER_CHUNK + 3)]
    lines[7] = b"[]"
    await bench.received("imp_whole", lines)
    async with bench.worker(CatalogImportActivities(bench.database)):
        report = await (await bench.start("imp_whole")).result()
        assert (report.created, report.refused) == (LINES_PER_CHUNK + 2, 1)
        again = await (await bench.start("imp_whole")).result()
        assert again == report
    assert len(await bench.titles("Whole")) == LINES_PER_CHUNK + 2
    async with bench.database.reading() as cx:
        row = await import_staging.read_import(cx, "imp_whole")
        assert (row["state"], row["created"], row["refused"]) == ("done", LINES_PER_CHUNK + 2, 1)
        assert await unproven_stock(cx) == []


async def test_errors_before_and_after_each_effect_lose_nothing_and_double_nothing(bench: Bench) -> None:
    titles = [f"Faulty {number:04}" for number in range(2 * LINES_PER_CHUNK + 1)]
    await bench.received("imp_faulty", [a_line(title) for title in titles])
    failing = Failing(bench.database)
    async with bench.worker(failing):
        report = await (await bench.start("imp_faulty")).result()
    assert failing.calls > 4
    assert (report.created, report.refused) == (len(titles), 0)
    assert await bench.titles("Faulty") == titles


async def test_an_import_goes_on_with_the_next_worker(bench: Bench) -> None:
    """The first worker dies with the chunk's transaction open; what it had done is undone, and done again once."""
    titles = [f"Next {number:04}" for number in range(LINES_PER_CHUNK + 1)]
    await bench.received("imp_next", [a_line(title) for title in titles])
    handle = await bench.start("imp_next")
    with pytest.raises(Killed):
        await killed_in_the_middle(bench.database, "imp_next")
    async with bench.worker(CatalogImportActivities(bench.database)):
        report = await handle.result()
    assert report.created == len(titles)
    assert await bench.titles("Next") == titles


async def test_what_broke_off_is_not_worked(bench: Bench) -> None:
    await bench.received("imp_broken", [a_line("Broken 1")])
    async with bench.api.transaction() as cx:
        await cx.execute("UPDATE catalog_imports SET state = 'incomplete' WHERE id = 'imp_broken'")
    async with bench.worker(CatalogImportActivities(bench.database)):
        report = await (await bench.start("imp_broken")).result()
    assert (report.created, report.refused) == (0, 0)
    assert await bench.titles("Broken") == []
