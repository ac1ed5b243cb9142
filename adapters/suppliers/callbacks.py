"""A supplier's callback: proved to be the supplier's (Standard Webhooks), then read as the answer it carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from standardwebhooks import Webhook

from adapters.suppliers.octo_bodies import judge_booking, read_booking
from domain.issuance import QueryAnswer

CALLBACK_MAX_BYTES = 1 << 20


class CallbackRefused(Exception):
    """The callback is not provably the supplier's, is older or newer than five minutes, or is not a booking."""


def read_octo_callback(
    secret: str, body: bytes, headers: Mapping[str, str], *, unit_references: Sequence[str] = ()
) -> tuple[str, QueryAnswer]:
    """Our reference and what the callback proves about it. `body` is the raw bytes: the signature covers those.

    Repeats are not told apart here: `webhook-id` is the same over a message's retries, and the inbox keeps it.
    """
    if len(body) > CALLBACK_MAX_BYTES:
        raise CallbackRefused(f"the callback is larger than {CALLBACK_MAX_BYTES} bytes")
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except Exception as unverified:
        # The library lets malformed headers escape as ValueError, binascii.Error and others: to us all are one refusal.
        raise CallbackRefused(f"the signature does not verify: {type(unverified).__name__}") from unverified
    booking = read_booking(body)
    if booking is None:
        raise CallbackRefused("the body is not a booking")
    return booking.uuid.lower(), judge_booking(booking, unit_references)
