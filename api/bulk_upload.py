"""Receiving a bulk import: lines go from the socket into the database in batches, so that memory stays flat.

An upload is received when its last byte is; until then nothing of it takes effect. Whatever ends it before leaves it
`incomplete`, and the same request with the same Idempotency-Key begins it anew.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from activities.catalog_import_messages import CatalogImport
from api.deps import Parts, parts_of
from api.idempotency import IdempotencyKeyReused, RequestInFlight
from domain.access import Principal
from domain.errors import DomainError
from domain.imports import LineSplitter
from domain.supplier_catalog import derived_id
from storage import import_staging
from storage.import_staging import ImportState, TurnLost
from workflows.catalog import CATALOG_TASK_QUEUE
from workflows.catalog_imports import CatalogImportWorkflow, catalog_import_workflow_id

MAX_LINES = 200_000
LINES_PER_BATCH = 1000
BYTES_PER_BATCH = 1024 * 1024
SLOWEST_BATCH_S = 15.0

_log = structlog.get_logger(__name__)


class TooManyLines(DomainError):
    """More lines than one import may have."""

    code = "too_many_lines"

    def __init__(self) -> None:
        super().__init__(f"One import has at most {MAX_LINES} lines: send the rest as another one.")


async def receive(request: Request, caller: Principal, key: str) -> tuple[dict[str, Any], bool]:
    """The import of this sender and key, received, and whether it was so before. Raises RequestInFlight,
    IdempotencyKeyReused, TooManyLines, RequestValidationError where there is no line."""
    parts = parts_of(request)
    import_id, turn = derived_id("imp", caller.ref, key), secrets.token_hex(8)
    async with parts.database.transaction() as cx:
        row = await import_staging.begin_upload(cx, import_id, actor=caller.ref, turn=turn, now=parts.clock())
    try:
        if row["turn"] != turn:
            await _check_same(request, row)
            return row, True
        await _Upload(request, parts, import_id, turn).run()
    except BaseException as error:
        async with parts.database.transaction() as cx:  # nothing of another's turn
            await import_staging.break_off(cx, import_id, turn=turn)
        if isinstance(error, ClientDisconnect):
            raise HTTPException(400, "The body ended before its end: send it again, with the same key.") from error
        if isinstance(error, TurnLost):
            raise RequestInFlight from error
        raise
    async with parts.database.reading() as cx:
        return await import_staging.read_import(cx, import_id), False


async def _check_same(request: Request, row: dict[str, Any]) -> None:
    """A repetition brings the body again, which is read to its end and kept nowhere."""
    if row["state"] == ImportState.UPLOADING:
        raise RequestInFlight
    digest = hashlib.sha256()
    async for chunk in request.stream():
        digest.update(chunk)
    if digest.hexdigest() != row["body_hash"]:
        raise IdempotencyKeyReused


class _Upload:
    """One body on its way into the database."""

    def __init__(self, request: Request, parts: Parts, import_id: str, turn: str) -> None:
        self._request = request
        self._parts = parts
        self._import_id = import_id
        self._turn = turn
        self._batch: list[tuple[int, bytes | None]] = []
        self._batch_bytes = 0
        self._flushed_s = time.monotonic()
        self._lines = 0

    async def run(self) -> None:
        digest, splitter = hashlib.sha256(), LineSplitter()
        async for chunk in self._request.stream():
            digest.update(chunk)
            for line in splitter.feed(chunk):
                self._add(line)
            if self._due():
                await self._flush()
        for line in splitter.close():
            self._add(line)
        if not self._lines:
            message = "The body has no line: send one product document per line"
            raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": message}])
        await self._flush()
        async with self._parts.database.transaction() as cx:
            await import_staging.finish_upload(
                cx, self._import_id, turn=self._turn, body_hash=digest.hexdigest(), now=self._parts.clock()
            )

    def _due(self) -> bool:
        """Also after a while: a slow upload shows that it lives."""
        full = len(self._batch) >= LINES_PER_BATCH or self._batch_bytes >= BYTES_PER_BATCH
        return full or time.monotonic() - self._flushed_s > SLOWEST_BATCH_S

    def _add(self, line: tuple[int, bytes | None]) -> None:
        self._lines += 1
        if self._lines > MAX_LINES:
            raise TooManyLines
        self._batch.append(line)
        self._batch_bytes += len(line[1] or b"")

    async def _flush(self) -> None:
        async with self._parts.database.transaction() as cx:
            await import_staging.stage_lines(cx, self._import_id, self._batch, turn=self._turn, now=self._parts.clock())
        self._batch, self._batch_bytes, self._flushed_s = [], 0, time.monotonic()


async def start(parts: Parts, import_id: str) -> None:
    """Start the import's workflow, unless it runs. Where that fails, upkeep starts it within a minute or two."""
    if parts.temporal is None:
        return
    try:
        await parts.temporal.start_workflow(
            CatalogImportWorkflow.run,
            CatalogImport(import_id),
            id=catalog_import_workflow_id(import_id),
            task_queue=CATALOG_TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
    except (RPCError, RuntimeError) as failure:  # a lazy client that cannot connect raises a RuntimeError
        _log.warning("catalog_import.not_started", import_id=import_id, reason=str(failure))


async def start_waiting(parts: Parts) -> None:
    """Imports that are received and stand still: their starter died, or their workflow was ended by somebody."""
    async with parts.database.reading() as cx:
        waiting = await import_staging.unstarted(cx, parts.clock() - import_staging.UPLOAD_PATIENCE)
    for import_id in waiting:
        await start(parts, import_id)
