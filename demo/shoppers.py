"""Shoppers of our own storefront: they register, check out, order and pay through the public API, as browsers would."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from demo.caller import Caller, Reply
from demo.tills import Tills
from demo.wishes import Article

POLL_S = 0.4
DECIDED = ("paid", "failed", "closed", "partially_refunded", "refunded")


class Turned(Exception):
    """A shopper was refused what they asked for."""

    def __init__(self, asked: str, reply: Reply) -> None:
        super().__init__(f"{asked} was answered {reply.status} {reply.code}")
        self.code = reply.code


@dataclass(frozen=True, slots=True)
class Paying:
    """A payment as its shopper knows it when it has begun."""

    id: str
    channel_id: str
    order_nos: tuple[str, ...]
    action: Mapping[str, Any] | None
    status: str


class Shopper:
    """One person with an account. `caller` has their token."""

    def __init__(self, caller: Caller, user_id: str, tills: Tills) -> None:
        self.caller = caller
        self.id = user_id
        self.tills = tills

    async def order(self, article: Article, key: str, quantity: int = 1) -> str:
        """The number of a new order that waits to be paid. Raises Turned, Unanswered."""
        price = {"amount_minor": article.price_minor, "currency": article.currency}
        line: dict[str, Any] = {"sku_id": article.sku_id, "quantity": quantity, "unit_price": price}
        if article.sessions:
            line["availability_id"] = article.sessions[0]
        cart = {"currency": article.currency, "lines": [line], "promotions": "none"}
        checkout = await self._post("/v1/checkouts", cart, f"{key}-checkout")
        order = await self._post("/v1/orders", {"checkout_id": checkout["id"]}, f"{key}-order")
        return str(order["order_no"])

    async def begin(self, order_nos: Sequence[str], key: str, channel_id: str = "", **parts: Any) -> Paying:
        """A payment that waits for its payer, or is decided already. Raises Turned, Unanswered."""
        body = {"order_nos": list(order_nos), **({"channel_id": channel_id} if channel_id else {}), **parts}
        begun = await self._post("/v1/payments", body, f"{key}-payment")
        while begun["status"] == "created":  # the channel has not answered yet
            await asyncio.sleep(POLL_S)
            begun = await self.payment(begun["id"])
        return Paying(begun["id"], channel_id, tuple(order_nos), begun["action"], begun["status"])

    async def pay(self, paying: Paying) -> str:
        """Go to the channel's page and pay there; what the payer knows then."""
        try:
            await self.tills.open_page(paying.action)
        except TimeoutError:
            return "unknown"
        return await self.tills.pay(paying.channel_id, paying.id)

    async def payment(self, pay_id: str) -> Mapping[str, Any]:
        """The payment as it stands."""
        return (await self.caller.get(f"/v1/payments/{pay_id}")).body

    async def decided(self, pay_id: str, *statuses: str, within_s: float = 30.0) -> Mapping[str, Any]:
        """The payment once its status is one of these (default: any that is decided); as it is, when that lasts."""
        deadline_s = time.monotonic() + within_s
        while (shown := await self.payment(pay_id))["status"] not in (statuses or DECIDED):
            if time.monotonic() > deadline_s:
                break
            await asyncio.sleep(POLL_S)
        return shown

    async def cancel_order(self, order_no: str, key: str) -> None:
        """Raises Turned, Unanswered."""
        await self._post(f"/v1/orders/{order_no}/cancel", {"reason": "changed my mind"}, f"{key}-cancel")

    async def cancel_payment(self, pay_id: str, key: str) -> None:
        """Raises Turned, Unanswered."""
        await self._post(f"/v1/payments/{pay_id}/cancel", {"reason": "not this way"}, f"{key}-cancel-payment")

    async def _post(self, path: str, body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        reply = await self.caller.post(path, body, key)
        if not reply.ok:
            raise Turned(path, reply)
        return reply.body


async def register(public: Caller, tills: Tills, name: str, number: int) -> Shopper:
    """A new shopper with an account. `public` sends anything: the two routes look at no token."""
    email, password = f"{name}-{number}@shop.example", secrets.token_urlsafe(12)
    key = f"register-{email}"
    reply = await public.post("/v1/users", {"email": email, "password": password, "name": f"Shopper {number}"}, key)
    if not reply.ok and not (reply.unknowns and reply.code == "email_taken"):  # an earlier sending had its effect
        raise Turned("/v1/users", reply)
    login = await public.post("/v1/users/login", {"email": email, "password": password}, f"login-{email}")
    if not login.ok:
        raise Turned("/v1/users/login", login)
    return Shopper(public.with_token(login.body["token"]), login.body["user"]["id"], tills)
