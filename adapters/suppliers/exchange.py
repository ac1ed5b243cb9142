"""One request to a supplier and its whole answer, in the words of issuance: `NotSent` and `Unknown`."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from adapters import http_exchange
from adapters.http_exchange import Reply, Unanswered, Unsent
from adapters.suppliers import NotSent
from domain.issuance import Unknown


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
    answer = await http_exchange.exchange(
        client, method, url, headers=headers, timeout_s=timeout_s, max_bytes=max_bytes, json=json, content=content
    )
    if isinstance(answer, Unsent):
        raise NotSent(answer.reason, retry_after_s=answer.retry_after_s)
    return Unknown(answer.reason) if isinstance(answer, Unanswered) else answer
