"""What those ask who run the process, and what clients look up: life, readiness, metrics and the error codes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated, Any

import psycopg
import psycopg_pool
from fastapi import Path, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from temporalio.service import RPCError

from api.codes import CATALOGUE, kind_of
from api.deps import Parts, capability, parts_of, public
from api.documentation import code_page, codes_page, wants_page
from api.errors import problem, problems
from api.views import View
from storage import database

CHECK_S = 2.0

router = capability("Operations")


class Life(View):
    """The process answers."""

    status: str = "alive"


class Readiness(View):
    """All that the process needs answers."""

    status: str = "ready"
    missing: tuple[str, ...] = ()


class CodeView(View):
    """What a code of a problem document means, and what to do about it."""

    code: str
    status: int
    title: str
    help: str
    retryable: bool


async def _has_database(parts: Parts) -> bool:
    try:
        async with asyncio.timeout(CHECK_S), parts.database.reading() as connection:
            await database.answers(connection)
    except (TimeoutError, psycopg.Error, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed):
        return False
    return True


async def _has_temporal(parts: Parts) -> bool:
    if parts.temporal is None:
        return False
    try:
        async with asyncio.timeout(CHECK_S):
            return await parts.temporal.service_client.check_health(timeout=timedelta(seconds=CHECK_S))
    except (TimeoutError, RPCError, RuntimeError):  # RuntimeError: what a lazy client's failed connect raises
        return False


@router.get("/livez", dependencies=[public()], response_model=Life, responses=problems(), summary="Is it alive?")
async def livez() -> Life:
    """Answers as long as the process can answer at all; asks nobody else."""
    return Life()


@router.get("/readyz", dependencies=[public()], response_model=Readiness, responses=problems(), summary="Is it ready?")
async def readyz(request: Request) -> Response | Readiness:
    """200 when database and workflow service answer; else 503, and `missing` names what does not."""
    parts = parts_of(request)
    found = await asyncio.gather(_has_database(parts), _has_temporal(parts))
    missing = [name for name, there in zip(("database", "temporal"), found, strict=True) if not there]
    if missing:
        detail = f"Cannot reach: {', '.join(missing)}."
        return problem(request.scope, "not_ready", detail, facts={"missing": missing})
    return Readiness()


@router.get(
    "/metrics",
    dependencies=[public()],
    response_class=Response,
    responses={**problems(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    summary="Metrics",
)
async def metrics() -> Response:
    """Prometheus text: requests and their time by route template, refused keys, and the process itself."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


_HTML: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "For a browser: a page."}
}


@router.get(
    "/errors",
    dependencies=[public()],
    response_model=list[CodeView],
    responses=_HTML | problems(),
    summary="All listed error codes",
)
async def list_codes(request: Request) -> Response | list[CodeView]:
    """The catalogue. A code that is not in it is a business refusal: 409, or 404 where it ends in `_not_found`."""
    if wants_page(request):
        return codes_page(CATALOGUE.items())
    return [_view(code) for code in CATALOGUE]


@router.get(
    "/errors/{code}",
    dependencies=[public()],
    response_model=CodeView,
    responses=_HTML | problems(),
    summary="What an error code means",
)
async def read_code(
    request: Request,
    code: Annotated[
        str,
        Path(pattern="^[a-z][a-z0-9_]{0,63}$", description="`code` of a problem document.", examples=["rate_limited"]),
    ],
) -> Response | CodeView:
    """The address that a problem's `type` points at: a page for a browser, JSON for others."""
    if wants_page(request):
        return code_page(code, kind_of(code))
    return _view(code)


def _view(code: str) -> CodeView:
    kind = kind_of(code)
    return CodeView(code=code, status=kind.status, title=kind.title, help=kind.help, retryable=kind.retryable)
