"""One caller of the public API: its key, and a log of how each request ended: ok, failed, or *unknown* and then?

Unknown (connection lost, 5xx) is never taken for a no: the same request with the same key is sent until it is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

RETRY_S = 0.5
RETRY_CEILING_S = 3.0
TIMEOUT_S = 40.0


class Unanswered(Exception):
    """No answer within the caller's patience, however often it was asked."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A definite answer; `unknowns`: how many answers before it were not definite."""

    status: int
    body: Mapping[str, Any]
    unknowns: int = 0

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The refusal's stable code."""
        return str(self.body.get("code", self.status))


@dataclass
class ClientLog:
    """What all callers of a run saw. `resolved`: how requests that had been unknown ended."""

    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    resolved: Counter[str] = field(default_factory=Counter)

    def note(self, reply: Reply) -> None:
        """A request has been answered at last."""
        if reply.ok:
            self.ok += 1
        else:
            self.failed[reply.code] += 1
        if reply.unknowns:
            self.resolved["ok" if reply.ok else f"refused: {reply.code}"] += 1

    def report(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "failed": dict(self.failed),
            "unknown": dict(self.unknown),
            "unknown_requests_resolved": dict(self.resolved),
        }


class Caller:
    """`patience_s`: how long a request is repeated before it counts as unanswered."""

    def __init__(
        self, http: httpx2.AsyncClient, api_url: str, token: str, log: ClientLog, *, patience_s: float = 180.0
    ) -> None:
        self._http = http
        self._api_url = api_url.rstrip("/")
        self._token = token
        self._log = log
        self._patience_s = patience_s

    def with_token(self, token: str) -> Caller:
        """Another caller on the same wire, with the same log."""
        return Caller(self._http, self._api_url, token, self._log, patience_s=self._patience_s)

    async def post(self, path: str, body: Mapping[str, Any], key: str) -> Reply:
        """Send until answered, with one key. Raises Unanswered."""
        reply = await self._until_answered("POST", path, body, {"Idempotency-Key": key})
        self._log.note(reply)
        return reply

    async def patch(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Set; a repetition sets the same again."""
        return await self._until_answered("PATCH", path, body, {})

    async def put(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Set as a whole; a repetition sets the same again."""
        return await self._until_answered("PUT", path, body, {})

    async def get(self, path: str) -> Reply:
        """Read until answered. Raises Unanswered."""
        return await self._until_answered("GET", path, None, {})

    async def pages(self, path: str) -> list[Mapping[str, Any]]:
        """All rows of a list, page by page."""
        rows: list[Mapping[str, Any]] = []
        cursor: str | None = None
        joint = "&" if "?" in path else "?"
        while True:
            reply = await self.get(f"{path}{joint}limit=100" + (f"&cursor={cursor}" if cursor else ""))
            if not reply.ok:
                raise Unanswered(f"GET {path}: {reply.status} {reply.code}")
            rows += reply.body["data"]
            cursor = reply.body.get("next_cursor")
            if not reply.body.get("has_more") or not cursor:
                return rows

    async def _until_answered(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Reply:
        deadline_s = time.monotonic() + self._patience_s
        unknowns, pause_s = 0, RETRY_S
        while True:
            answer = await self._once(method, path, body, headers)
            if isinstance(answer, Reply) and not _asks_to_repeat(answer):
                return Reply(answer.status, answer.body, unknowns)
            if not isinstance(answer, Reply) or answer.status >= 500:
                unknowns += 1
                self._log.unknown[answer if isinstance(answer, str) else answer.code] += 1
            if time.monotonic() > deadline_s:
                raise Unanswered(f"{method} {path}: no definite answer within {self._patience_s:.0f} s: {answer}")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, RETRY_CEILING_S)

    async def _once(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> Reply | str:
        """The answer, or in a word why there is none."""
        try:
            response = await self._http.request(
                method,
                f"{self._api_url}{path}",
                json=body,
                headers={"Authorization": f"Bearer {self._token}", **headers},
                timeout=TIMEOUT_S,
            )
            content = response.json() if response.content else {}
        except httpx2.HTTPError as lost:
            return type(lost).__name__
        except ValueError:
            return "unreadable"
        return Reply(response.status_code, content if isinstance(content, dict) else {"data": content})


def _asks_to_repeat(reply: Reply) -> bool:
    """Not answered yet: being worked on, too many, out of order; or accepted and its outcome still to come."""
    return (
        reply.status in (429, 500, 502, 503, 504)
        or bool(reply.body.get("retryable"))
        or (reply.status == 202 and reply.body.get("status") == "accepted")
    )
