"""Calling back: signed by Standard Webhooks, in the background, again for a while when the receiver is down."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import httpx2
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from standardwebhooks import Webhook

RETRY_AFTER_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
TIMEOUT_S = 5.0


def _usable_secret(secret: str) -> str:
    """Refused when it is set, rather than found out when the first callback is due."""
    try:
        Webhook(secret)
    except Exception as unusable:
        raise ValueError("not a Standard Webhooks secret") from unusable
    return secret


class CallbackTarget(BaseModel):
    """Where results are called back to, and the Standard Webhooks secret (`whsec_` and base64) they are signed with."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(pattern=r"^https?://", max_length=2_000)
    secret: Annotated[str, Field(max_length=500), AfterValidator(_usable_secret)]


class Callbacks:
    """Sends bookings to whoever asked for them. One message keeps its id over its retries."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient(trust_env=False)
        self._tasks: set[asyncio.Task[None]] = set()

    async def send_once(self, target: CallbackTarget, booking: dict[str, Any]) -> bool:
        """One attempt, awaited: for a callback that overtakes the reply. False when it was not taken."""
        return await self._attempt(target, f"msg_{uuid4().hex}", json.dumps(booking))

    def send_later(self, target: CallbackTarget, booking: dict[str, Any]) -> None:
        self.run(self._send(target, booking))

    def run(self, work: Any) -> None:
        """Keep a background task from being collected before it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _send(self, target: CallbackTarget, booking: dict[str, Any]) -> None:
        message_id, body = f"msg_{uuid4().hex}", json.dumps(booking)
        for pause_s in (*RETRY_AFTER_S, None):
            if await self._attempt(target, message_id, body) or pause_s is None:
                return
            await asyncio.sleep(pause_s)

    async def _attempt(self, target: CallbackTarget, message_id: str, body: str) -> bool:
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(target.secret).sign(message_id, now, body),
        }
        try:
            answer = await self._client.post(target.url, content=body, headers=headers, timeout=TIMEOUT_S)
        except httpx2.HTTPError:
            return False
        return answer.is_success
