"""A supplier's callback: proved to be the supplier's (Standard Webhooks), then read as its protocol writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.signed_webhooks import WebhookRefused, verify


class CallbackRefused(Exception):
    """The callback is not provably the supplier's, is older or newer than five minutes, or is not a JSON object."""


def verified_body(secret: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The callback's JSON object. `body` is the raw bytes: the signature covers those.

    Repeats are not told apart here: `webhook-id` is the same over a message's retries, and the inbox keeps it.
    """
    try:
        verify(secret, body, headers, datetime.now(UTC))
    except WebhookRefused as unverified:
        raise CallbackRefused(str(unverified)) from unverified
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as unreadable:
        raise CallbackRefused("the body is not JSON") from unreadable
    if not isinstance(document, dict):
        raise CallbackRefused("the body is not a JSON object")
    return document
