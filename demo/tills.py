"""The payment channels of a run: what payers do there, what was really charged, and how the channels are dealt with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx2

from demo.books import Control
from demo.caller import Caller

CHANNELS: tuple[str, ...] = ("paybridge", "stripe", "alipay")

PayersEnd = Literal["paid", "closed", "unknown"]
"""What a payer knows in the end; *unknown*: the channel never told clearly."""

PAUSE_S = 0.3
_PAID = ("already_paid", "charged_once")


class Tills(Control):
    """The control side of the payment simulator, and its pages for payers."""

    async def open_page(self, action: Mapping[str, Any] | None, *, within_s: float = 20.0) -> None:
        """Go where the payer is sent, until the page is there: at some channels a payment begins with that."""
        if action is None or not action["url"]:
            return
        async with asyncio.timeout(within_s):
            while True:
                try:
                    page = await self._http.get(action["url"], timeout=5)
                    if page.status_code < 400:
                        return
                except httpx2.HTTPError:
                    pass
                await asyncio.sleep(PAUSE_S)

    async def pay(self, channel_id: str, pay_id: str, *, within_s: float = 20.0) -> PayersEnd:
        """The payer pays, again until the channel's answer is clear: whoever sees an error tries once more."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            end = await self._try(channel_id, pay_id)
            if end is not None:
                return end
            await asyncio.sleep(PAUSE_S)
        return "unknown"

    async def act(self, channel_id: str, pay_id: str, **act: Any) -> None:
        """The payer does something that no page would let them do: `times`, `amount_minor`, `anyway`. Once."""
        await self._send("POST", f"/control/{channel_id}/pay/{pay_id}", act)

    async def truth(self, channel_id: str) -> list[Mapping[str, Any]]:
        """What was really charged and given back, payment by payment."""
        return await self._pages(f"/control/{channel_id}/truth", "payments")

    async def acknowledged(self, channel_id: str) -> list[Mapping[str, Any]]:
        """Callbacks that we have answered with the channel's word for *received*."""
        return await self._pages(f"/control/{channel_id}/acknowledged", "callbacks")

    async def _try(self, channel_id: str, pay_id: str) -> PayersEnd | None:
        try:
            answer = await self._http.post(f"{self._url}/control/{channel_id}/pay/{pay_id}", json={}, timeout=5)
            if answer.is_success and answer.json():
                return "paid"
            code = str(answer.json().get("error", "")).partition(":")[0]
        except (httpx2.HTTPError, ValueError):
            return None
        if code in _PAID:
            return "paid"
        return "closed" if code == "already_closed" else None


@asynccontextmanager
async def dealt_with(operator: Caller, channels: Sequence[str], terms: Mapping[str, Any]) -> AsyncIterator[None]:
    """Inside the block these channels have these terms of contract; after it those of before."""
    before = {each: await _contract(operator, each) for each in channels}
    for channel_id, contract in before.items():
        await operator.put(f"/v1/payment-channels/{channel_id}", {**contract, **terms})
    try:
        yield
    finally:
        for channel_id, contract in before.items():
            await operator.put(f"/v1/payment-channels/{channel_id}", contract)


async def _contract(operator: Caller, channel_id: str) -> dict[str, Any]:
    shown = (await operator.get(f"/v1/payment-channels/{channel_id}")).body
    return {name: value for name, value in shown.items() if name not in ("id", "created_at")}
