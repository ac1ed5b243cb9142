"""Request bodies within bounds: what JSON allows and neither PostgreSQL nor our code can hold is refused as input.

NUL characters (PostgreSQL has none), lone surrogates (not UTF-8), NaN and infinities (not JSON), and nesting beyond
any shape of ours. The careful walk happens only for bodies in which a cheap look at the bytes finds a suspect.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

MAX_DEPTH = 32

_SUSPECT = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")


def _no_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


class BodyRefused(HTTPException):
    """Input that parses and is out of bounds. An HTTPException, since FastAPI takes others for unreadable bodies."""

    def __init__(self, path: list[str | int], code: str, message: str) -> None:
        super().__init__(422, message)
        self.errors = [{"type": code, "loc": ("body", *path), "msg": message}]


def _check_text(text: str, path: list[str | int]) -> None:
    if "\x00" in text:
        raise BodyRefused(path, "string_nul", "A string may not contain the character U+0000")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BodyRefused(path, "string_unicode", "A string may not contain a lone surrogate") from error


def check(value: object, path: list[str | int] | None = None) -> None:
    """Raises BodyRefused at the first string or nesting that is out of bounds."""
    path = path or []
    if len(path) > MAX_DEPTH:
        raise BodyRefused(path[:8], "too_deep", f"The body is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check(item, [*path, index])
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, path)
            check(item, [*path, key])


def parse(body: bytes) -> Any:
    """JSON in UTF-8, checked. Raises JSONDecodeError, UnicodeDecodeError, BodyRefused."""
    value = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    if _SUSPECT.search(body) or body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        check(value)
    return value


class BoundedRequest(Request):
    """FastAPI asks a request for its JSON; this one answers within bounds."""

    async def json(self) -> Any:
        if not hasattr(self, "_bounded"):
            try:
                self._bounded = parse(await self.body())
            except (ValueError, RecursionError) as error:
                if isinstance(error, json.JSONDecodeError):
                    raise
                # a broken encoding, a number of thousands of digits, or nesting that the parser itself gives up on
                raise json.JSONDecodeError("unreadable", "", 0) from error
        return self._bounded


class BoundedRoute(APIRoute):
    """A route whose body is read within bounds, and which refuses query parameters that it does not know."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        params = get_flat_params(self.dependant)
        known = frozenset(param.alias for param in params if getattr(param.field_info, "in_", None) is ParamTypes.query)

        async def bounded(request: Request) -> Response:
            if request.scope["query_string"]:
                unknown = [name for name in request.query_params if name not in known]
                if unknown:
                    raise RequestValidationError(
                        [
                            {
                                "type": "extra_forbidden",
                                "loc": ("query", name),
                                "msg": "Unknown parameter",
                                "input": None,
                            }
                            for name in unknown[:50]
                        ]
                    )
            return await handle(BoundedRequest(request.scope, request.receive))

        return bounded
