"""Answering a request with faults around the work: before it nothing is done, after it everything is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from simulators.common import connection
from simulators.common.faults import FaultParams, Strike

BODY_MAX_BYTES = 1 << 20

Refuse = Callable[[int, str, str], Response]
"""(HTTP status, code, sentence) -> an error as the protocol writes it."""


async def with_faults(
    request: Request, struck: Strike[Any], params: FaultParams, work: Callable[[], Awaitable[Response]], refuse: Refuse
) -> Response:
    """The answer of `work`, or what the faults of this call make of it."""
    if struck.takes("slow"):
        await asyncio.sleep(params.slow_ms / 1_000)
    if struck.takes("rate_limit"):
        refused = refuse(429, "TOO_MANY_REQUESTS", "Slow down")
        refused.headers["Retry-After"] = str(params.retry_after_s)
        return refused
    if struck.takes("error_before"):
        return refuse(500, "INTERNAL_SERVER_ERROR", "There was an un-recoverable error, please try again")
    if not params.hang_works and struck.takes("hang"):
        return await _hang(request, params.hang_ms)
    response = await work()
    if params.hang_works and struck.takes("hang"):
        return await _hang(request, params.hang_ms)
    if struck.takes("drop_after"):
        await connection.cut(request)
    elif struck.takes("error_after"):
        return refuse(500, "INTERNAL_SERVER_ERROR", "There was an un-recoverable error, please try again")
    elif struck.takes("unreadable"):
        return Response(b'{"id": "\xff\xfe", <html>', media_type="application/json")
    return response


def as_json(value: Any, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


def utc(at: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def bounded_body(request: Request) -> bytes | None:
    """The request's body, or None when it is too large."""
    received = bytearray()
    try:
        async for chunk in request.stream():
            received += chunk
            if len(received) > BODY_MAX_BYTES:
                return None
    except ClientDisconnect:
        return None
    return bytes(received)


async def _hang(request: Request, hang_ms: int) -> Response:
    await connection.wait_for_hangup(request, hang_ms / 1_000)
    await connection.cut(request)
    return Response()
