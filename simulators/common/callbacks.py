"""Calling back, in the background, again while the receiver is down; signed by Standard Webhooks, usually."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


Secret = Annotated[str, Field(max_length=500), AfterValidator(_usable_secret)]


class CallbackTarget(BaseModel):
    """Where results are called back to, and the Standard Webhooks secret (`whsec_` and base64) they are signed with."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(pattern=r"^https?://", max_length=2_000)
    secret: Secret


@dataclass(frozen=True, slots=True)
class Letter:
    """One callback as it goes out. It is written anew for every attempt, since signatures carry their moment."""

    url: str
    content: str
    headers: Mapping[str, str]


def standard_letter(target: CallbackTarget, message_id: str, body: str) -> Letter:
    """JSON signed by Standard Webhooks, now."""
    now = datetime.now(UTC)
    return Letter(
        target.url,
        body,
        {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(target.secret).sign(message_id, now, body),
        },
    )


Taken = Callable[[httpx2.Response], bool]
"""Whether the receiver's answer makes the sender stop."""


def is_success(answer: httpx2.Response) -> bool:
    return answer.is_success


class Callbacks:
    """Sends bookings to whoever asked for them. One message keeps its id over its retries."""

    def __init__(self) -> None:
        self._client = httpx2.AsyncClient(trust_env=False)
        self._tasks: set[asyncio.Task[None]] = set()

    async def send_once(self, target: CallbackTarget, booking: dict[str, Any]) -> bool:
        """One attempt, awaited: for a callback that overtakes the reply. False when it was not taken."""
        return await self._attempt(standard_letter(target, f"msg_{uuid4().hex}", json.dumps(booking)), is_success)

    def send_later(self, target: CallbackTarget, booking: dict[str, Any]) -> None:
        message_id, body = f"msg_{uuid4().hex}", json.dumps(booking)
        self.run(self.deliver(lambda: standard_letter(target, message_id, body)))

    async def deliver(self, write: Callable[[], Letter], is_taken: Taken = is_success) -> bool:
        """Attempt until it is taken, or has failed too often: whether it was taken."""
        for pause_s in (*RETRY_AFTER_S, None):
            if await self._attempt(write(), is_taken):
                return True
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        return False

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

    async def _attempt(self, letter: Letter, is_taken: Taken) -> bool:
        try:
            answer = await self._client.post(
                letter.url, content=letter.content, headers=dict(letter.headers), timeout=TIMEOUT_S
            )
        except httpx2.HTTPError:
            return False
        return is_taken(answer)
