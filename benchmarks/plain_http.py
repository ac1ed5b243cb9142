"""A keep-alive HTTP/1.1 client as small as one can be: what it costs is taken from the servers that are measured.

General clients spend about as much CPU on a request as our API does. This one speaks to our own API on this machine
only: answers have a Content-Length, and no redirects, encodings or proxies.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body of one answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class PlainHttp:
    """As many connections as there are requests at once; used ones are used again."""

    def __init__(self, base_url: str, token: str) -> None:
        parts = urlsplit(base_url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, writer in self._idle:
            writer.close()

    async def get(self, path: str) -> Reply:
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    async def post(self, path: str, body: Mapping[str, Any] | None, key: str) -> Reply:
        """A POST with its Idempotency-Key; `body` None sends none."""
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        kind = "" if body is None else "Content-Type: application/json\r\n"
        head = f"POST {path} HTTP/1.1\r\n{self._head}{kind}Idempotency-Key: {key}\r\nContent-Length: {len(content)}\r\n"
        return await self._ask(f"{head}\r\n".encode() + content)

    async def _ask(self, request: bytes) -> Reply:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = self._open_one() or await asyncio.open_connection(*self._address)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_content_length(head))
        self._idle.append((reader, writer))
        return Reply(int(head[9:12]), body)

    def _open_one(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The connection used last, unless the server has closed it meanwhile."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    raise RuntimeError("an answer without Content-Length")
