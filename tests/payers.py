"""Shoppers' money in tests: payment channels with a contract here and a house at the simulator, and payers."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from httpx2 import AsyncClient, Response
from standardwebhooks import Webhook

from simulators.payment.channels import HOUSES, opened
from storage import payment_channels
from storage.database import Database

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Channel:
    """A payment channel, by its one id here and at the simulator, and the control of how it behaves."""

    id: str
    simulator: AsyncClient
    secret: str

    async def next(self, operation: str, kind: str, count: int = 1, reference: str | None = None) -> None:
        """The next `count` such calls meet the fault."""
        forced = {"operation": operation, "kind": kind, "count": count, "reference": reference}
        answer = await self.simulator.post(f"/control/{self.id}/next", json=forced)
        assert answer.is_success, answer.text

    async def behave(self, *, rates: dict[str, float] | None = None, seed: int = 0, **params: Any) -> None:
        """How often its faults strike, and how they look."""
        body = {"rates": rates or {}, "params": params, "seed": seed}
        answer = await self.simulator.put(f"/control/{self.id}/faults", json=body)
        assert answer.is_success, answer.text

    async def falls_silent(self) -> None:
        """None of its callbacks reaches us any more; those that a test posts do."""
        nowhere = {"url": "http://127.0.0.1:9/", "secret": self.secret}
        answer = await self.simulator.put(f"/control/{self.id}/callbacks", json=nowhere)
        assert answer.is_success, answer.text

    async def pay(self, pay_id: str, **act: Any) -> Response:
        """Be the payer: `outcome`, `times`, `amount_minor`, `anyway`."""
        return await self.simulator.post(f"/control/{self.id}/pay/{pay_id}", json=act)

    async def paid(self, pay_id: str, **act: Any) -> None:
        """The payer has paid, or tried to."""
        answer = await self.pay(pay_id, **act)
        assert answer.is_success, answer.text

    async def says(self, api: AsyncClient, pay_id: str, says: str, *, event_id: str | None = None) -> Response:
        """A callback of a channel that speaks the native protocol, about that payment: it is `paid` or `failed`,
        whatever the book has."""
        (data,) = await self.truth(pay_id)
        if says == "failed":
            data |= {"status": "failed", "failure": "payment_declined", "charges": []}
        told = {"type": f"payment.{says}", "data": data, "at": datetime.now(UTC).isoformat()}
        return await self.tells(api, told, event_id=event_id)

    async def says_of_refund(self, api: AsyncClient, pay_id: str, refund_no: str, says: str) -> Response:
        """The same about a refund: it is `done` or `refused`."""
        (payment,) = await self.truth(pay_id)
        (data,) = [each for each in payment["refunds"] if each["refund_no"] == refund_no]
        data |= {"status": says, "refusal": "account_closed" if says == "refused" else None}
        return await self.tells(api, {"type": f"refund.{says}", "data": data, "at": datetime.now(UTC).isoformat()})

    async def tells(
        self, api: AsyncClient, told: dict[str, Any], *, event_id: str | None = None, secret: str | None = None
    ) -> Response:
        """A callback of the native protocol with that notice, whatever the book has; signed as agreed, or otherwise."""
        body, now, name = json.dumps(told), datetime.now(UTC), event_id or f"evt_{next(_numbers)}"
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret or self.secret).sign(name, now, body),
        }
        return await api.post(f"/v1/callbacks/payments/{self.id}", content=body.encode(), headers=headers)

    async def truth(self, pay_id: str | None = None) -> list[dict[str, Any]]:
        """What was really charged and given back, payment by payment."""
        found: list[dict[str, Any]] = []
        cursor: int | None = 0
        while cursor is not None:
            answer = (await self.simulator.get(f"/control/{self.id}/truth?cursor={cursor}")).json()
            found += answer["payments"]
            cursor = answer["next_cursor"]
        return [each for each in found if pay_id in (None, each["reference"])]

    async def held_minor(self, pay_id: str | None = None) -> int:
        """What payers are really short of: charged, less what they got back."""
        return sum(_charged(each) - _refunded(each) for each in await self.truth(pay_id))

    async def hits(self) -> dict[str, int]:
        """Faults that took effect, by kind."""
        hits: dict[str, int] = (await self.simulator.get(f"/control/{self.id}/hits")).json()["hits"]
        return hits


def _charged(payment: dict[str, Any]) -> int:
    return sum(charge["amount_minor"] for charge in payment["charges"])


def _refunded(payment: dict[str, Any]) -> int:
    return sum(refund["amount_minor"] for refund in payment["refunds"] if refund["status"] == "done")


async def a_channel(owner: Database, simulator: AsyncClient, like: str = "paybridge", **terms: Any) -> Channel:
    """A new channel of that kind, at both ends. Its schedule is quick: tests don't wait."""
    name = f"{like}{next(_numbers)}"
    answer = await simulator.put(f"/control/{name}", json={"like": like, "fee_bp": 0})
    assert answer.is_success, answer.text
    settings = opened(name, like)
    contract = {
        "name": name,
        "protocol": HOUSES[like].face,
        "base_url": f"{str(simulator.base_url).rstrip('/')}/{name}",
        "credentials": {"token": settings.token, "callback_secret": settings.callback_secret},
        "call_timeout_s": 2.0,
        **terms,
    }
    async with owner.transaction() as cx:
        await payment_channels.put_channel(cx, name, contract, actor="test", now=datetime.now(UTC))
    return Channel(name, simulator, settings.callback_secret)
