"""A supplier's callback: proved to be the supplier's (Standard Webhooks), then read as its protocol writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook

CALLBACK_MAX_BYTES = 1 << 20


class CallbackRefused(Exception):
    """The callback is not provably the supplier's, is older or newer than five minutes, or is not a JSON object."""


def verified_body(secret: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """The callback's JSON object. `body` is the raw bytes: the signature covers those.

    Repeats are not told apart here: `webhook-id` is the same over a message's retries, and the inbox keeps it.
    """
    if len(body) > CALLBACK_MAX_BYTES:
        raise CallbackRefused(f"the callback is larger than {CALLBACK_MAX_BYTES} bytes")
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except Exception as unverified:
        # The library lets malformed headers escape as ValueError, binascii.Error and others: to us all are one refusal.
        raise CallbackRefused(f"the signature does not verify: {type(unverified).__name__}") from unverified
    try:
        document = json.loads(body)
    except ValueError as unreadable:
        raise CallbackRefused("the body is not JSON") from unreadable
    if not isinstance(document, dict):
        raise CallbackRefused("the body is not a JSON object")
    return document
