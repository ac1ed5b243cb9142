"""The one place where errors become answers: RFC 9457 problem documents for refusals, bad input, weather and bugs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as EngineTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response
from temporalio.service import RPCError, RPCStatusCode

from api.bodies import BodyRefused
from api.codes import code_of, kind_of
from domain.errors import DomainError

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 1
MAX_ERRORS = 50

log = structlog.get_logger(__name__)


class FieldError(BaseModel):
    """One thing wrong with the input. `pointer` is a JSON pointer into what `in` names."""

    pointer: str = Field(examples=["/lines/0/quantity"])
    code: str = Field(examples=["greater_than"])
    detail: str = Field(examples=["Input should be greater than 0"])
    where: str = Field(alias="in", examples=["body"], description="body, query, path, header or cookie.")


class Problem(BaseModel):
    """RFC 9457, with our stable `code`. Further members are the facts of the refusal, such as `state`."""

    type: str = Field(examples=["/errors/order_state_conflict"])
    title: str
    status: int
    detail: str = Field(description="A sentence that a person can act on.")
    instance: str
    code: str
    errors: list[FieldError] = []
    request_id: str
    trace_id: str
    retryable: bool = Field(description="Whether sending the same again, with the same key, may succeed.")


_DESCRIPTIONS = {
    400: "`malformed_json`, `bad_request`, `idempotency_key_missing`, `idempotency_key_invalid`, `cursor_invalid`",
    401: "`unauthenticated`",
    403: "`not_permitted`",
    404: "`not_found` or `..._not_found`: unknown, or not yours",
    409: "A business refusal (`code` names the fact), or `request_in_flight`",
    412: "`precondition_failed`: `If-Match` names another version",
    413: "`body_too_large`",
    414: "`uri_too_long`",
    415: "`unsupported_media_type`",
    422: "`validation_failed`, `idempotency_key_reused`",
    429: "`rate_limited`",
    500: "`internal_error`",
    503: "`database_unavailable`, `temporal_unavailable`, `overloaded`",
}
_ANYWHERE = (400, 414, 422, 500, 503)


def problems(*statuses: int, codes: Sequence[str] = ()) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an operation: its own statuses, those of `codes`, and those that any operation may have."""
    texts = {status: _DESCRIPTIONS[status] for status in (*statuses, *_ANYWHERE)}
    for code in codes:
        status = kind_of(code).status
        texts[status] = f"{texts[status]}, `{code}`" if status in texts else f"`{code}`"
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": texts[status], "content": {PROBLEM_JSON: {"schema": schema}}}
        for status in sorted(texts)
    }


def problem(
    scope: Mapping[str, Any],
    code: str,
    detail: str,
    *,
    status: int | None = None,
    facts: Mapping[str, object] | None = None,
    errors: Sequence[Mapping[str, object]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document for `code`. `scope` is the ASGI scope: it knows the request's ids."""
    kind = kind_of(code)
    state: Mapping[str, str] = scope.get("state", {})
    status = status or kind.status
    body: dict[str, object] = {
        **(facts or {}),
        "type": f"/errors/{code}",
        "title": kind.title,
        "status": status,
        "detail": detail,
        "instance": quote(str(scope.get("path", "")), safe="/:")[:1024],
        "code": code,
        "errors": list(errors),
        "request_id": state.get("request_id", ""),
        "trace_id": state.get("trace_id", ""),
        "retryable": kind.retryable,
    }
    extra = dict(headers or {})
    if kind.retryable and status != 500:
        extra.setdefault("Retry-After", str(RETRY_AFTER_S))
    if status == 401:
        extra["WWW-Authenticate"] = 'Bearer realm="tessera"'
    content = json.dumps(body, ensure_ascii=True, separators=(",", ":"), default=str)
    return Response(content, status, extra, PROBLEM_JSON)


def refusal(scope: Mapping[str, Any], error: DomainError) -> Response:
    """A rule's *no* as an answer: the class wrote the sentence, the catalogue knows the status."""
    return problem(scope, error.code, str(error), facts=error.facts)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    return refusal(request.scope, error)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _pointer(parts: Sequence[Any]) -> str:
    """RFC 6901."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")[:500]


def _field_error(error: Mapping[str, Any]) -> dict[str, object]:
    location: Sequence[Any] = error["loc"]
    return {
        "pointer": _printable(_pointer(location[1:])),
        "code": str(error["type"]),
        "detail": _printable(str(error["msg"])),
        "in": str(location[0]) if location else "body",
    }


async def _invalid(request: Request, error: Exception) -> Response:
    """Input that the shapes refuse. Never echoes the input: it may be a secret or a person's."""
    assert isinstance(error, RequestValidationError | BodyRefused)
    found: Sequence[Mapping[str, Any]] = error.errors if isinstance(error, BodyRefused) else error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problem(request.scope, "malformed_json", "The body is not valid JSON.")
    media_type = _media_type(request)
    json_like = media_type == "application/json" or media_type.endswith("+json")
    if not json_like and any(tuple(each["loc"]) == ("body",) and each["type"] != "missing" for each in found):
        return problem(
            request.scope, "unsupported_media_type", "The body has to be JSON: send `Content-Type: application/json`."
        )
    errors = [_field_error(each) for each in found[:MAX_ERRORS]]
    first = errors[0]
    more = f" (and {len(found) - 1} more, see `errors`)" if len(found) > 1 else ""
    detail = f"{first['in']} {first['pointer']}: {first['detail']}{more}."
    return problem(request.scope, "validation_failed", detail, errors=errors)


async def _framework(request: Request, error: Exception) -> Response:
    """The framework's own: no such route, no such method, an unreadable body."""
    assert isinstance(error, HTTPException)
    code = code_of(error.status_code)
    if code == "bad_request" and "parsing the body" in str(error.detail):
        code = "malformed_json"
    kind = kind_of(code)
    return problem(request.scope, code, kind.help, status=error.status_code, headers=error.headers)


_WEATHER = frozenset(
    {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.ABORTED}
)


async def _temporal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RPCError)
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
        return problem(request.scope, "overloaded", kind_of("overloaded").help)
    if error.status in _WEATHER:
        log.warning("temporal.unavailable", status=error.status.name)
        return problem(request.scope, "temporal_unavailable", kind_of("temporal_unavailable").help)
    return unexpected(request.scope, error)


async def _database(request: Request, error: Exception) -> Response:
    log.warning("database.unavailable", error=type(error).__name__)
    return problem(request.scope, "database_unavailable", kind_of("database_unavailable").help)


async def _statement(request: Request, error: Exception) -> Response:
    """SQLAlchemy wraps the driver's errors: only those of the connection are weather."""
    assert isinstance(error, DBAPIError)
    if error.connection_invalidated or isinstance(error.orig, OperationalError):
        return await _database(request, error)
    return unexpected(request.scope, error)


async def _overloaded(request: Request, error: Exception) -> Response:
    return problem(request.scope, "overloaded", kind_of("overloaded").help)


def unexpected(scope: Mapping[str, Any], error: BaseException) -> Response:
    """A bug: the log gets everything, the caller nothing internal."""
    if isinstance(error, RuntimeError) and str(error).startswith("Failed client connect"):
        # what a lazy Temporal client raises while there is nothing to connect to: it has no class of its own
        return problem(scope, "temporal_unavailable", kind_of("temporal_unavailable").help)
    log.error("request.failed", path=scope.get("path"), exc_info=error)
    detail = "Something broke on our side; the request id finds it in our log."
    return problem(scope, "internal_error", detail)


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Any]] = {
    DomainError: _refused,
    RequestValidationError: _invalid,
    BodyRefused: _invalid,
    HTTPException: _framework,
    RPCError: _temporal,
    PoolTimeout: _overloaded,
    EngineTimeout: _overloaded,
    OperationalError: _database,
    DBAPIError: _statement,
}


def install(app: FastAPI) -> None:
    """Register the table above. Starlette takes the handler of the nearest class."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
