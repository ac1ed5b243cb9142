"""One request to a supplier and its whole answer, as carefully for every protocol that is HTTP.

What is told apart here is only whether the request arrived: `NotSent` certainly did not (or was turned away unread),
`Unknown` may have, and a `Reply` is an answer whose meaning the protocol knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from adapters.suppliers import NotSent
from domain.issuance import Unknown

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
) -> Reply | Unknown:
    """Send once. Raises NotSent where the supplier certainly did nothing with it. `client` follows no redirects."""
    connect_s = timeout_s * CONNECT_SHARE
    timeout = httpx2.Timeout(timeout_s, connect=connect_s, pool=connect_s)
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream(method, url, json=json, content=content, headers=headers, timeout=timeout) as response,
        ):
            if response.status_code == 429:
                raise NotSent("the supplier limits our rate", retry_after_s=_retry_after_s(response))
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > max_bytes:
                    return Unknown(f"the answer is larger than {max_bytes} bytes")
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as unsent:
        raise NotSent(f"{type(unsent).__name__}: {unsent}") from unsent
    except (TimeoutError, httpx2.TimeoutException):
        return Unknown(f"no answer within {timeout_s:g} s")
    except httpx2.HTTPError as lost:
        return Unknown(f"the connection was lost: {type(lost).__name__}")
    if response.status_code >= 500:
        return Unknown(f"{method} answered {response.status_code}")
    return Reply(response.status_code, bytes(body))


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds from Retry-After; its other form, a date, is left to our own schedule."""
    text = response.headers.get("retry-after", "")
    return min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdigit() else None
