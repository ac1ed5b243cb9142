"""Payment channels' callbacks: verified on the raw bytes, written to the journal, acknowledged, then handed over."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import Path, Request
from prometheus_client import Counter
from pydantic_core import PydanticSerializationError
from starlette.background import BackgroundTask
from starlette.responses import Response

from adapters.payments import CallbackRefused
from api.deps import Parts, capability, parts_of, public
from api.errors import problems
from api.payment_handover import EVENTS, hand_over
from domain.access import Unauthenticated
from domain.channels import ChannelEvent, NothingTold
from storage import channel_callbacks

router = capability("channel_callbacks", "Payment channels' callbacks")

MAX_EVENT_ID = 255

REFUSED = Counter(
    "tessera_channel_callbacks_refused",
    "Callbacks that were not provably a channel's, or unreadable; `unknown` stands for all unknown channels.",
    ["channel", "reason"],
)

_log = structlog.get_logger(__name__)


@router.post(
    "/v1/callbacks/payments/{channel_id}",
    response_class=Response,
    dependencies=[public()],
    responses={
        200: {"description": "The channel's own word for *received*", "content": {"text/plain": {}}},
        **problems(401, 413),
    },
    summary="Tell us what became of a payment or a refund",
)
async def receive_callback(
    channel_id: Annotated[str, Path(max_length=64, examples=["meridian"])], request: Request
) -> Response:
    """For payment channels: what happened, in their own form and signed as they sign.

    Acknowledged once it is in the journal; what it says is handed over right after, and again until that worked. What
    is not provably the channel's is 401, and only counted.
    """
    parts, body = parts_of(request), await request.body()
    channel = await parts.channels.find(channel_id) if channel_id.isprintable() else None
    if channel is None:
        raise _refused("unknown", "unknown_channel")
    try:
        event = channel.verify_callback(body, request.headers, parts.clock())
    except CallbackRefused as refused:
        raise _refused(channel_id, "not_verified", str(refused)) from refused
    new = await _keep(parts, channel_id, event, body)
    word = channel.acknowledgement
    afterwards = BackgroundTask(hand_over, parts, channel_id, event.event_id, event) if new else None
    return Response(word.text, word.status, media_type=word.media_type, background=afterwards)


async def _keep(parts: Parts, channel_id: str, event: ChannelEvent, body: bytes) -> bool:
    """Into the journal; False where it is there already. Refused where it cannot be written down: PostgreSQL has no
    NUL, UTF-8 no lone surrogates."""
    try:
        document = EVENTS.dump_json(event)
    except PydanticSerializationError as unreadable:
        raise _refused(channel_id, "unreadable") from unreadable
    if b"\\u0000" in document or not 0 < len(event.event_id) <= MAX_EVENT_ID:
        raise _refused(channel_id, "unreadable")
    async with parts.database.transaction() as connection:
        return await channel_callbacks.keep(
            connection,
            channel_id,
            event.event_id,
            pay_id="" if isinstance(event, NothingTold) else event.pay_id[:200],
            event=EVENTS.dump_python(event, mode="json"),
            body=body.decode("utf-8", "replace").replace("\x00", "\ufffd"),
            now=parts.clock(),
        )


def _refused(channel_id: str, reason: str, detail: str = "") -> Unauthenticated:
    REFUSED.labels(channel_id, reason).inc()
    _log.warning("channel_callback.refused", channel=channel_id, reason=reason, detail=detail[:200])
    return Unauthenticated()
