"""Stripe's library over our HTTP client: what it sends goes through `exchange`, which tells unsent from unclear.

The library's own async clients want packages that we don't have, and take every failure for the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import stripe

from adapters.suppliers.exchange import Reply, exchange

ANSWER_MAX_BYTES = 4 << 20


class Transport(stripe.HTTPClient):
    """Each request has `timeout_s`. `client` is shared and follows no redirects."""

    name = "httpx2"

    def __init__(self, client: httpx2.AsyncClient, timeout_s: float) -> None:
        super().__init__()
        self._client = client
        self._timeout_s = timeout_s

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Raises NotSent; raises APIError where nobody knows what the request did."""
        reply = await exchange(
            self._client,
            method.upper(),
            url,
            headers=headers,
            content=post_data.encode() if post_data else None,
            timeout_s=self._timeout_s,
            max_bytes=ANSWER_MAX_BYTES,
        )
        if not isinstance(reply, Reply):
            raise stripe.APIError(reply.reason)
        if not _readable(reply.body):
            raise stripe.APIError(f"the answer (HTTP {reply.status}) is not what Stripe sends")
        return reply.body, reply.status, {}


def _readable(body: bytes) -> bool:
    """Whether the library can read it: it expects a JSON object, and of an error that it is one too."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and isinstance(document.get("error", {}), dict)
