"""One request to an outside party and its whole answer, as carefully for every protocol that is HTTP.

What is told apart here is only whether the request arrived: `Unsent` certainly did not (or was turned away unread),
`Unanswered` may have, and a `Reply` is an answer whose meaning the protocol knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

RETRY_AFTER_MAX_S = 3_600.0
# The share of the whole time-out after which a connection that was never made is given up: well before the whole, so
# that "not sent" can be told from "no answer".
CONNECT_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer, read to its end and within bounds."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Unsent:
    """The party did nothing with it: safe to repeat, after `retry_after_s` where it says so."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The party may have done it: there is no answer, or none that says."""

    reason: str


async def exchange(
    client: httpx2.AsyncClient,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    timeout_s: float,
    max_bytes: int,
    json: object = None,
    content: bytes | None = None,
) -> Reply | Unsent | Unanswered:
    """Send once. `client` follows no redirects."""
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream(
                method, url, json=json, content=content, headers=headers, timeout=timeouts(timeout_s)
            ) as response,
        ):
            if response.status_code == 429:
                return Unsent("it limits our rate", retry_after_s=_retry_after_s(response))
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > max_bytes:
                    return Unanswered(f"the answer is larger than {max_bytes} bytes")
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as unsent:
        return Unsent(f"{type(unsent).__name__}: {unsent}")
    except (TimeoutError, httpx2.TimeoutException):
        return Unanswered(f"no answer within {timeout_s:g} s")
    except httpx2.HTTPError as lost:
        return Unanswered(f"the connection was lost: {type(lost).__name__}")
    if response.status_code >= 500:
        return Unanswered(f"{method} answered {response.status_code}")
    return Reply(response.status_code, bytes(body))


def timeouts(timeout_s: float) -> httpx2.Timeout:
    """Those of one request that may take `timeout_s` in all."""
    connect_s = timeout_s * CONNECT_SHARE
    return httpx2.Timeout(timeout_s, connect=connect_s, pool=connect_s)


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds from Retry-After; its other form, a date, is left to our own schedule."""
    text = response.headers.get("retry-after", "")
    return min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdigit() else None
