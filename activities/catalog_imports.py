"""Working a bulk import: the next lines that wait become drafts, or are refused with their faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import structlog
from psycopg import DataError, IntegrityError
from temporalio import activity

from activities.catalog_import_messages import ChunkWorked, ImportChunk
from domain.imports import MAX_BYTES, DocumentRefused, Fault, ImportedProduct, parse_product
from domain.supplier_catalog import derived_id
from storage import import_staging
from storage.catalog_imports import Draft, create_drafts, judge
from storage.database import Connection, Database
from storage.import_staging import Outcome, Row

log = structlog.get_logger(__name__)

_OVERLONG = Fault("", "too_large", f"a line has at most {MAX_BYTES} bytes")


def utc_now() -> datetime:
    return datetime.now(UTC)


class CatalogImportActivities:
    """One transaction per chunk: its products and the report of its lines are there together or not at all."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    @activity.defn
    async def work_import_lines(self, chunk: ImportChunk) -> ChunkWorked:
        """The next lines that wait. Once-only by the line's own state: one that was worked does not wait any more."""
        async with self._database.transaction() as cx:
            lines = await import_staging.waiting_lines(cx, chunk.import_id, chunk.lines)
            if lines:
                outcomes = await _work(cx, chunk.import_id, lines, self._clock())
                await import_staging.record_outcomes(cx, chunk.import_id, outcomes, self._clock())
            else:
                await import_staging.finish_import(cx, chunk.import_id, self._clock())
            row = await import_staging.read_import(cx, chunk.import_id)
        return ChunkWorked(not lines, row["created"], row["refused"])


async def _work(cx: Connection, import_id: str, lines: Sequence[Row], now: datetime) -> list[Outcome]:
    """Products by lines: their ids follow from the import and the line."""
    refused: list[Outcome] = []
    read: list[tuple[int, ImportedProduct]] = []
    for line in lines:
        try:
            if line["body"] is None:
                raise DocumentRefused([_OVERLONG])
            read.append((line["line_no"], parse_product(bytes(line["body"]))))
        except DocumentRefused as error:
            refused.append(_refusal(line["line_no"], error.faults))
    drafts: list[tuple[int, Draft]] = []
    for (line_no, product), verdict in zip(read, await judge(cx, [each for _, each in read]), strict=True):
        if verdict.faults:
            refused.append(_refusal(line_no, verdict.faults))
        else:
            product_id = derived_id("prd", "import", import_id, str(line_no))
            drafts.append((line_no, Draft(product_id, product, verdict.kind)))
    return [*refused, *await _create(cx, drafts, f"{lines[0]['actor']}/import/{import_id}", now)]


async def _create(cx: Connection, drafts: Sequence[tuple[int, Draft]], actor: str, now: datetime) -> list[Outcome]:
    """All at once; where the database will not have one of them, each for itself, so that one stops no other."""
    try:
        async with cx.transaction():
            await create_drafts(cx, [draft for _, draft in drafts], actor=actor, now=now)
        return [Outcome(line_no, draft.product_id) for line_no, draft in drafts]
    except (DataError, IntegrityError) as error:
        if len(drafts) == 1:
            line_no = drafts[0][0]
            log.warning("import_line.not_storable", actor=actor, line_no=line_no, reason=str(error))
            fault = Fault("", "not_storable", "the database cannot hold this document: shorten its texts")
            return [_refusal(line_no, [fault])]
    return [outcome for each in drafts for outcome in await _create(cx, [each], actor, now)]


def _refusal(line_no: int, faults: Sequence[Fault]) -> Outcome:
    return Outcome(line_no, None, [_plain(fault) for fault in faults[: import_staging.MAX_FAULTS]])


def _plain(fault: Fault) -> Mapping[str, str]:
    return {"pointer": fault.pointer, "code": fault.code, "detail": fault.detail[:500]}
