"""Bulk imports over HTTP: a body of JSON lines comes in, a resource tells how far it is and what came of each line."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path, Query, Request
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api import bulk_upload
from api.catalog import EXAMPLE, Writer
from api.deps import DatabaseDep, NowDep, capability, parts_of
from api.errors import problems
from api.idempotency import IdempotencyKeyDep
from api.pages import Page, PagingDep
from api.views import Id, Instant, View
from storage import import_staging
from storage.import_staging import UPLOAD_PATIENCE, ImportState, LineState, Row

router = capability("Catalogue")

MEDIA_TYPE = "application/x-ndjson"

ImportId = Annotated[Id, Path(description="An import's id.", examples=["imp_0f3a9c1d2b4e5f60a1b2"])]

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            MEDIA_TYPE: {
                "schema": {"type": "string", "description": "One product document per line, as for a single import."},
                "example": json.dumps(EXAMPLE) + "\n",
            }
        },
    }
}


class CatalogImportView(View):
    """A bulk import. `received`: all of it is here and it is being worked; `incomplete`: the upload broke off, nothing
    of it takes effect, send it again with the same key."""

    id: str = Field(examples=["imp_0f3a9c1d2b4e5f60a1b2"])
    state: ImportState
    lines: int = Field(description="Lines that have come in so far.")
    waiting: int = Field(description="Lines that are not worked yet.")
    created: int
    refused: int
    created_at: Instant
    finished_at: Instant | None

    @classmethod
    def of(cls, row: Row, now: datetime) -> CatalogImportView:
        """An upload whose process died says nothing more: it has broken off."""
        state = ImportState(row["state"])
        if state is ImportState.UPLOADING and row["touched_at"] < now - UPLOAD_PATIENCE:
            state = ImportState.INCOMPLETE
        names = ("id", "lines", "created", "refused", "created_at", "finished_at")
        waiting = row["lines"] - row["created"] - row["refused"]
        return cls(state=state, waiting=waiting, **{name: row[name] for name in names})


class LineFault(View):
    """One thing wrong with a line. `pointer` is a JSON pointer into its document."""

    pointer: str = Field(examples=["/skus/0/price"])
    code: str = Field(examples=["too_many_decimals"])
    detail: str


class ImportLineView(View):
    """What came of a line: a draft's id, or everything that is wrong with it. Blank lines count and are not listed."""

    line: int = Field(examples=[1], description="From 1.")
    state: LineState
    product_id: str | None
    errors: list[LineFault]

    @classmethod
    def of(cls, row: Row) -> ImportLineView:
        """From the report."""
        errors = [LineFault(**fault) for fault in row["faults"] or ()]
        return cls(line=row["line_no"], state=row["state"], product_id=row["product_id"], errors=errors)


def _check_media_type(request: Request) -> None:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise HTTPException(415, f"Send `Content-Type: {MEDIA_TYPE}`: one JSON document per line.")


@router.post(
    "/v1/catalog-imports",
    status_code=202,
    response_model=CatalogImportView,
    responses=problems(401, 403, 409, 413, 415, codes=["too_many_lines"]),
    summary="Import products in bulk",
    openapi_extra=_BODY,
)
async def create_import(request: Request, caller: Writer, key: IdempotencyKeyDep, now: NowDep) -> Response:
    """One product document per line: 1 MB each, 200,000 lines and 256 MiB at most. Each becomes a draft for itself, or
    is refused with its faults and stops no other. Nothing takes effect before all of the body is here. Poll the
    resource in `Location`; the same key with the same body never imports twice."""
    _check_media_type(request)
    row, known = await bulk_upload.receive(request, caller, key)
    if row["state"] == ImportState.RECEIVED:
        await bulk_upload.start(parts_of(request), row["id"])
    headers = {"Location": f"/v1/catalog-imports/{row['id']}"} | ({"Idempotent-Replayed": "true"} if known else {})
    view = CatalogImportView.of(row, now)
    return Response(view.model_dump_json(by_alias=True), 202, headers, "application/json")


@router.get(
    "/v1/catalog-imports",
    response_model=Page[CatalogImportView],
    responses=problems(401, 403),
    summary="List bulk imports",
)
async def list_imports(caller: Writer, paging: PagingDep, database: DatabaseDep, now: NowDep) -> Response:
    """Newest first; each is kept for 30 days."""
    position = paging.after(caller)
    before = (datetime.fromisoformat(str(position[0])), str(position[1])) if position else None
    async with database.reading() as connection:
        rows = await import_staging.list_imports(connection, before=before, limit=paging.fetch)
    return paging.answer(
        caller,
        rows,
        lambda row: CatalogImportView.of(row, now),
        lambda row: [row["created_at"].isoformat(), row["id"]],
    )


@router.get(
    "/v1/catalog-imports/{import_id}",
    response_model=CatalogImportView,
    responses=problems(401, 403, 404, codes=["catalog_import_not_found"]),
    summary="Read a bulk import",
)
async def read_import(import_id: ImportId, caller: Writer, database: DatabaseDep, now: NowDep) -> CatalogImportView:
    """How far it is: `waiting` counts down to 0, then it is `done`."""
    async with database.reading() as connection:
        return CatalogImportView.of(await import_staging.read_import(connection, import_id), now)


@router.get(
    "/v1/catalog-imports/{import_id}/rows",
    response_model=Page[ImportLineView],
    responses=problems(401, 403, 404, codes=["catalog_import_not_found"]),
    summary="Read what came of each line",
)
async def list_import_rows(
    import_id: ImportId,
    caller: Writer,
    paging: PagingDep,
    database: DatabaseDep,
    state: Annotated[
        Literal["waiting", "created", "refused"] | None, Query(description="Only lines in this state.")
    ] = None,
) -> Response:
    """By line number."""
    position = paging.after(caller)
    async with database.reading() as connection:
        await import_staging.read_import(connection, import_id)
        rows = await import_staging.list_lines(
            connection,
            import_id,
            LineState(state) if state else None,
            after=int(position[0]) if position else 0,
            limit=paging.fetch,
        )
    return paging.answer(caller, rows, ImportLineView.of, lambda row: [row["line_no"]])
