"""Around every request, as plain ASGI: ids in and out, bounds on size, one log line, two metrics, and no bare failure.

Starlette's BaseHTTPMiddleware costs a task and a queue per request; this costs a function call.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.codes import kind_of
from api.errors import problem, unexpected

MAX_BODY_BYTES = 1024 * 1024
STREAMED_BYTES: Mapping[tuple[str, str], int] = {("POST", "/v1/catalog-imports"): 256 * 1024 * 1024}
"""Routes that never hold their body as a whole, with the most that each takes."""

MAX_ADDRESS_BYTES = 8 * 1024

REQUESTS = Counter("tessera_http_requests", "Answers by route template and status.", ["method", "route", "status"])
LATENCY = Histogram(
    "tessera_http_request_seconds",
    "Time from a request's head to the end of its answer.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

_REQUEST_ID = re.compile(r"[A-Za-z0-9_\-.:]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger(__name__)


class BodyTooLarge(HTTPException):
    """An HTTPException, so that FastAPI lets it through while it reads the body."""

    def __init__(self) -> None:
        super().__init__(413)


@dataclass(frozen=True, slots=True)
class Trace:
    """The ids of one request. `traceparent` is W3C Trace Context: the caller's, or the start of a new trace."""

    request_id: str
    traceparent: str
    trace_id: str

    @classmethod
    def of(cls, headers: Headers) -> Trace:
        """Taken over from the caller where they are well-formed and single; made where not."""
        given = headers.getlist("request-id")
        valid = len(given) == 1 and _REQUEST_ID.fullmatch(given[0])
        request_id = given[0] if valid else f"req_{secrets.token_hex(12)}"
        parents = headers.getlist("traceparent")
        match = _TRACEPARENT.fullmatch(parents[0]) if len(parents) == 1 else None
        if match:
            return cls(request_id, parents[0], match.group(1))
        trace_id = secrets.token_hex(16)
        return cls(request_id, f"00-{trace_id}-{secrets.token_hex(8)}-01", trace_id)


def most_bytes(scope: Scope) -> int:
    """The largest body that the request's route takes."""
    return STREAMED_BYTES.get((scope["method"], scope["path"]), MAX_BODY_BYTES)


def _bounds(scope: Scope, headers: Headers) -> Response | None:
    """What is refused before any route looks at it."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    if len(raw_path) + len(scope["query_string"]) > MAX_ADDRESS_BYTES:
        return problem(scope, "uri_too_long", kind_of("uri_too_long").help)
    if "\x00" in scope["path"]:
        return problem(scope, "not_found", "No address and no id contains the character U+0000.")
    if b"%00" in scope["query_string"] or b"\x00" in scope["query_string"]:
        return problem(scope, "validation_failed", "A query may not contain the character U+0000.")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or len(headers.getlist("content-length")) > 1:
        return problem(scope, "bad_request", "`Content-Length` is no single number.")
    if len(length) > 12 or int(length) > most_bytes(scope):
        return problem(scope, "body_too_large", kind_of("body_too_large").help)
    return None


def _bounded(receive: Receive, most: int) -> Receive:
    """A body without (or beyond) its declared length is cut where it passes the bound."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > most:
                raise BodyTooLarge
        return message

    return bounded


class Envelope:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        trace = Trace.of(headers)
        state = scope.setdefault("state", {})
        state.update(request_id=trace.request_id, trace_id=trace.trace_id, traceparent=trace.traceparent)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=trace.request_id, trace_id=trace.trace_id)
        status = 0

        async def answering(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(raw=message["headers"])
                out["Request-Id"] = trace.request_id
                out["traceparent"] = trace.traceparent
            await send(message)

        try:
            refused = _bounds(scope, headers)
            if refused is not None:
                await refused(scope, receive, answering)
            else:
                await self._app(scope, _bounded(receive, most_bytes(scope)), answering)
        except Exception as error:
            if status:
                raise  # half an answer is out: the server has to break the connection
            await unexpected(scope, error)(scope, receive, answering)
        finally:
            _record(scope, status, time.perf_counter() - started)


def _record(scope: Scope, status: int, seconds: float) -> None:
    """Metrics by route template, never by path: paths are unbounded."""
    route = getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    REQUESTS.labels(method, route, str(status)).inc()
    LATENCY.labels(method, route).observe(seconds)
    log.info(
        "request.finished",
        method=method,
        route=route,
        path=scope["path"][:256],
        status=status,
        duration_ms=round(seconds * 1000, 2),
        caller=scope["state"].get("caller", ""),
    )
