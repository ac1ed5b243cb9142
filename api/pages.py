"""Lists: a bounded page in keyset order, and a cursor that nobody can forge or carry over to another question.

    @router.get("/v1/things", response_model=Page[ThingView], responses=problems(401, 403))
    async def list_things(caller: ..., paging: PagingDep, database: DatabaseDep) -> Response:
        async with database.reading() as connection:
            rows = await things.listed(connection, after=paging.after(caller), limit=paging.fetch)
        return paging.answer(caller, rows, ThingView.of, lambda row: [row["id"]])

A cursor is the last row's position, signed together with the caller, the path and all other query parameters.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.deps import parts_of
from domain.access import Principal
from domain.errors import DomainError

T = TypeVar("T", bound=BaseModel)
Row = TypeVar("Row")

_TAG_BYTES = 16

Position = list[str | int]
"""Where a page ended: the values of its last row in the list's order. Times go in as ISO 8601 text."""


class CursorInvalid(DomainError):
    """Not a cursor of ours, or one of another question."""

    code = "cursor_invalid"

    def __init__(self) -> None:
        super().__init__(
            "This cursor does not belong to this list, filter and caller: use `next_cursor` unchanged, or start anew."
        )


class Page(BaseModel, Generic[T]):
    """One page. `next_cursor` is null on the last one, but for feeds, which go on: there it is where to ask again."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


class Paging:
    """The page that a request asks for."""

    def __init__(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100, description="Rows per page.")] = 20,
        cursor: Annotated[
            str | None, Query(max_length=1024, description="`next_cursor` of the page before, unchanged.")
        ] = None,
    ) -> None:
        self._request = request
        self._cursor = cursor
        self._secret = parts_of(request).settings.cursor_secret.get_secret_value().encode()
        self.limit = limit

    @property
    def fetch(self) -> int:
        """How many rows to read: one more than are shown, which tells whether there are more."""
        return self.limit + 1

    def after(self, caller: Principal) -> Position | None:
        """Where to go on, or None at the start. Raises CursorInvalid."""
        if self._cursor is None:
            return None
        try:
            raw = base64.urlsafe_b64decode(self._cursor.encode("ascii") + b"=" * (-len(self._cursor) % 4))
        except (UnicodeEncodeError, binascii.Error) as error:
            raise CursorInvalid from error
        tag, text = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(caller, text)):
            raise CursorInvalid
        position: Position = json.loads(text)
        return position

    def answer(
        self,
        caller: Principal,
        rows: Sequence[Row],
        view: Callable[[Row], T],
        position: Callable[[Row], Position],
        *,
        feed: bool = False,
    ) -> Response:
        """The page of these rows (`fetch` at most), with its `Link` to the next one.

        `feed`: the list grows at its end, so that the last page has a cursor, too: to ask again with later.
        """
        shown, has_more = rows[: self.limit], len(rows) > self.limit
        cursor = self._encode(caller, position(shown[-1])) if shown and (has_more or feed) else None
        if feed and not shown:
            cursor = self._cursor
        page = Page[T](data=[view(row) for row in shown], has_more=has_more, next_cursor=cursor)
        headers = {"Link": f'<{self._next(cursor)}>; rel="next"'} if cursor and has_more else {}
        return Response(page.model_dump_json(by_alias=True), 200, headers, "application/json")

    def _encode(self, caller: Principal, position: Position) -> str:
        text = json.dumps(position, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._tag(caller, text) + text).decode().rstrip("=")

    def _filters(self) -> list[tuple[str, str]]:
        return [(k, v) for k, v in self._request.query_params.multi_items() if k not in ("limit", "cursor")]

    def _tag(self, caller: Principal, text: bytes) -> bytes:
        question = json.dumps([caller.ref, self._request.url.path, sorted(self._filters())]).encode()
        return hmac.digest(self._secret, question + b"\n" + text, hashlib.sha256)[:_TAG_BYTES]

    def _next(self, cursor: str) -> str:
        query = [*self._filters(), ("limit", str(self.limit)), ("cursor", cursor)]
        return f"{quote(self._request.url.path)}?{urlencode(query)}"


PagingDep = Annotated[Paging, Depends(Paging)]
