"""A callback that is signed by Standard Webhooks (https://www.standardwebhooks.com): proved, and nothing more."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook

BODY_MAX_BYTES = 1 << 20
TOLERANCE_S = 300
SIGNATURES_MAX = 10
ID_MAX = 200


class WebhookRefused(Exception):
    """The callback is not provably from whoever has the secret, or is older or newer than five minutes."""


def verify(secret: str, body: bytes, headers: Mapping[str, str], now: datetime) -> str:
    """The message's id, which is the same over its repetitions. `body` is the raw bytes: the signature covers those.

    Raises WebhookRefused, whatever is malformed.
    """
    if len(body) > BODY_MAX_BYTES:
        raise WebhookRefused(f"the callback is larger than {BODY_MAX_BYTES} bytes")
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not (0 < len(message_id) <= ID_MAX and message_id.isascii() and message_id.isprintable()):
        raise WebhookRefused("webhook-id is missing or unusable")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        raise WebhookRefused("webhook-timestamp is missing or no number of seconds")
    if abs(int(timestamp) - now.timestamp()) > TOLERANCE_S:
        raise WebhookRefused(f"webhook-timestamp is not within {TOLERANCE_S} s of now")
    expected = _signature(secret, message_id, int(timestamp), body)
    signatures = given.get("webhook-signature", "").split(" ")[:SIGNATURES_MAX]
    if not any(hmac.compare_digest(each.encode(errors="replace"), expected) for each in signatures):
        raise WebhookRefused("the signature does not verify")
    return message_id


def _signature(secret: str, message_id: str, timestamp: int, body: bytes) -> bytes:
    try:
        return Webhook(secret).sign(message_id, datetime.fromtimestamp(timestamp, UTC), body.decode()).encode()
    except Exception as unsignable:
        # A body that is not UTF-8, and whatever the library makes of a secret that is none: to us all are one refusal.
        raise WebhookRefused(f"nothing could have signed it: {type(unsignable).__name__}") from unsignable
