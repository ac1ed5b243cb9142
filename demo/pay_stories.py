"""Shoppers' stories: each goes its own way, and says at its end what it should have come to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx2

from demo.books import Control
from demo.caller import Caller, Unanswered
from demo.shoppers import POLL_S, Paying, Shopper, Turned
from demo.tills import CHANNELS, Tills
from demo.wishes import Article

PLAIN_FAULTS: tuple[str | None, ...] = (
    None, "callback_lost", "callback_late", "callback_twice", "callback_reordered", "pay_late",
)  # fmt: skip
"""What strikes ordinary payments in turn: each of them is served all the same."""
COINS_MINOR, VOUCHER_MINOR = 1_000, 2_000
CONTRADICTS_AFTER_MS = 6_000
PATIENCE_S = 60.0
TRIES, TRIES_AGAIN_AFTER_S = 15, 2.0
"""For longer than the circuit breaker of a misbehaving supplier stays open."""


@dataclass
class Story:
    """One shopper's story as it went; `trouble`: why it did not come to what it should have."""

    title: str
    pay_id: str = ""
    order_no: str = ""
    refund_id: str = ""
    trouble: str = ""

    def report(self) -> dict[str, str]:
        told = {
            "title": self.title, "payment": self.pay_id, "order": self.order_no, "refund": self.refund_id,
            "trouble": self.trouble,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value}


class Otherwise(Exception):
    """A story came to something else than it should have."""


@dataclass
class Stage:
    """What stories play on. `evening`: bought again when its money comes late; `code`: never; `held`: a ticket that its
    supplier has to issue."""

    shoppers: Sequence[Shopper]
    tills: Tills
    operator: Caller
    finance: Caller
    suppliers: Mapping[str, Control]
    evening: Article
    code: Article
    held: Article
    run: str
    stories: list[Story] = field(default_factory=list)

    async def play(self, plain: int, seed: int) -> list[Story]:
        """All special stories, and `plain` ordinary payments, side by side."""
        special: dict[str, Callable[[Shopper, Story, str], Awaitable[None]]] = {
            "late, served by a successor": self._revived,
            "late, given back": self._late_refunded,
            "paid twice": self._paid_twice,
            "not issued, given back": self._not_issued,
            "coins, voucher and cash": self._in_parts,
            "a wrong amount": self._wrong_amount,
            "the channel contradicts itself": self._contradiction,
            "an unknown pay order": self._unknown,
        }
        playing = [self._told(title, number, play) for number, (title, play) in enumerate(special.items())]
        for number in range(plain):
            channel_id, fault = CHANNELS[number % 3], PLAIN_FAULTS[number // 3 % len(PLAIN_FAULTS)]
            title = f"paid at {channel_id}" + (f", {fault}" if fault else "")
            hurry_s = Random(f"{seed}/shopper/{number}").random() * 10
            playing.append(self._told(title, number, self._plain(channel_id, fault), hurry_s))
        await asyncio.gather(*playing)
        return self.stories

    async def _told(
        self, title: str, number: int, play: Callable[[Shopper, Story, str], Awaitable[None]], hurry_s: float = 0.0
    ) -> None:
        story = Story(title)
        self.stories.append(story)
        key = f"{self.run}-shopper-{len(self.stories)}"
        await asyncio.sleep(hurry_s)
        try:
            await play(self.shoppers[number % len(self.shoppers)], story, key)
        except (Otherwise, Turned, Unanswered, httpx2.HTTPError) as trouble:
            story.trouble = f"{type(trouble).__name__}: {trouble}"

    # --- what shoppers do --------------------------------------------------------------------------------------

    async def _begun(self, shopper: Shopper, story: Story, key: str, article: Article, channel_id: str) -> Paying:
        story.order_no = await self._ordered(shopper, key, article)
        paying = await shopper.begin([story.order_no], key, channel_id)
        story.pay_id = paying.id
        return paying

    async def _ordered(self, shopper: Shopper, key: str, article: Article) -> str:
        """An order that waits to be paid: who is turned away since a supplier misbehaves tries again in a while."""
        attempt = 1
        while True:
            try:
                return await shopper.order(article, f"{key}-{attempt}")
            except Turned as turned:
                if turned.code != "supplier_unavailable" or attempt == TRIES:
                    raise
            await asyncio.sleep(TRIES_AGAIN_AFTER_S)
            attempt += 1

    def _plain(self, channel_id: str, fault: str | None) -> Callable[[Shopper, Story, str], Awaitable[None]]:
        async def play(shopper: Shopper, story: Story, key: str) -> None:
            paying = await self._begun(shopper, story, key, self.evening, channel_id)
            if fault is not None:
                await self.tills.force(channel_id, "pay", fault, paying.id)
            _same("the payer knows", await shopper.pay(paying), "paid")
            await self._ends(shopper, story, "paid", "served")

        return play

    async def _revived(self, shopper: Shopper, story: Story, key: str) -> None:
        paying = await self._given_up(shopper, story, key, self.evening, "stripe")
        await self.tills.act("stripe", paying.id, anyway=True)
        part = await self._ends(shopper, story, "paid", "served")
        if part["successor_no"] is None:
            raise Otherwise("no order was put in its place")
        story.order_no = part["successor_no"]

    async def _late_refunded(self, shopper: Shopper, story: Story, key: str) -> None:
        paying = await self._given_up(shopper, story, key, self.code, "alipay")
        await self.tills.act("alipay", paying.id, anyway=True)
        await self._ends(shopper, story, "refunded", "returned")

    async def _given_up(self, shopper: Shopper, story: Story, key: str, article: Article, channel_id: str) -> Paying:
        """A payment that is closed at its channel, since its order was canceled."""
        paying = await self._begun(shopper, story, key, article, channel_id)
        await self.tills.open_page(paying.action)
        await shopper.cancel_order(story.order_no, key)
        _same("the payment is", (await shopper.decided(paying.id))["status"], "closed")
        return paying

    async def _paid_twice(self, shopper: Shopper, story: Story, key: str) -> None:
        paying = await self._begun(shopper, story, key, self.evening, "paybridge")
        await self.tills.act("paybridge", paying.id, times=2)
        await self._ends(shopper, story, "paid", "served")
        await self._until(lambda: self._held(paying), self.evening.price_minor, "the channel holds of it")
        story.refund_id = await self._refund(shopper, paying.id)

    async def _not_issued(self, shopper: Shopper, story: Story, key: str) -> None:
        paying = await self._begun(shopper, story, key, self.held, "paybridge")
        order = (await self.operator.get(f"/v1/orders/{story.order_no}")).body
        booking = order["lines"][0]["bookings"][0]
        supplier = self.suppliers[booking["supplier_id"]]
        await supplier.force(booking["supplier_id"], "confirm", "reject", booking["reference"])
        await self.tills.force("paybridge", "refund", "refund_pending")
        _same("the payer knows", await shopper.pay(paying), "paid")
        await self._ends(shopper, story, "refunded", "served")
        story.refund_id = await self._refund(shopper, paying.id)
        _same("the channel holds of it", await self._held(paying), 0)

    async def _in_parts(self, shopper: Shopper, story: Story, key: str) -> None:
        money = {"currency": self.evening.currency, "amount_minor": COINS_MINOR}
        coins = {"amount": money, "campaign": "demo", "reason": "welcome"}
        await self.finance.post(f"/v1/users/{shopper.id}/coins", coins, f"{key}-coins")
        voucher = {
            "amount": {**money, "amount_minor": VOUCHER_MINOR},
            "campaign": "demo",
            "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
            "user_id": shopper.id,
        }
        issued = await self.finance.post("/v1/vouchers", voucher, f"{key}-voucher")
        if not issued.ok:
            raise Turned("/v1/vouchers", issued)
        story.order_no = await self._ordered(shopper, key, self.evening)
        paying = await shopper.begin(
            [story.order_no], key, "alipay", coins_minor=COINS_MINOR, voucher_ids=[issued.body["id"]]
        )
        story.pay_id = paying.id
        _same("the payer knows", await shopper.pay(paying), "paid")
        await self._ends(shopper, story, "paid", "served")
        cash_minor = self.evening.price_minor - COINS_MINOR - VOUCHER_MINOR
        _same("the channel holds of it", await self._held(paying), cash_minor)

    async def _wrong_amount(self, shopper: Shopper, story: Story, key: str) -> None:
        paying = await self._begun(shopper, story, key, self.evening, "stripe")
        await self.tills.act("stripe", paying.id, amount_minor=self.evening.price_minor - 1)
        await self._until(lambda: self._held(paying), 0, "the channel holds of it")
        await shopper.cancel_payment(paying.id, key)
        await shopper.cancel_order(story.order_no, key)
        await self._ends(shopper, story, "closed", "released")

    async def _contradiction(self, shopper: Shopper, story: Story, key: str) -> None:
        paying = await self._begun(shopper, story, key, self.evening, "paybridge")
        # Only a *no* that comes after the *yes* was taken in contradicts it; one that overtakes it is simply wrong.
        await self.tills.set_faults("paybridge", {"params": {"contradict_ms": CONTRADICTS_AFTER_MS}})
        await self.tills.force("paybridge", "pay", "callback_contradict", paying.id)
        _same("the payer knows", await shopper.pay(paying), "paid")
        await self._ends(shopper, story, "paid", "served")
        await self._until(lambda: self._cases(paying.id, "payment_contradiction"), 1, "decided cases about it:")
        await self.tills.set_faults("paybridge", {})

    async def _unknown(self, shopper: Shopper, story: Story, key: str) -> None:
        paying = await self._begun(shopper, story, key, self.evening, "paybridge")
        before = await self._strays_held()
        await self.tills.force("paybridge", "pay", "unknown_reference", paying.id)
        _same("the payer knows", await shopper.pay(paying), "paid")
        await self._ends(shopper, story, "paid", "served")
        await self._until(self._strays_held, before, "the channel holds of what nobody had asked for")

    # --- what came of it ---------------------------------------------------------------------------------------

    async def _ends(self, shopper: Shopper, story: Story, status: str, state: str) -> Mapping[str, Any]:
        """The payment's first part, once the payment and it have come to that. Raises Otherwise."""

        async def stands() -> tuple[str, str]:
            shown = await shopper.payment(story.pay_id)
            return shown["status"], shown["parts"][0]["state"]

        await self._until(stands, (status, state), "the payment is")
        part: Mapping[str, Any] = (await shopper.payment(story.pay_id))["parts"][0]
        return part

    async def _until(self, look: Callable[[], Awaitable[object]], wanted: object, what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while (found := await look()) != wanted:
            if time.monotonic() > deadline_s:
                raise Otherwise(f"{what} {found} instead of {wanted}")
            await asyncio.sleep(POLL_S)

    async def _held(self, paying: Paying) -> int:
        """What the payer is short of, by the channel's own book."""
        return sum(
            _held_of(paid) for paid in await self.tills.truth(paying.channel_id) if paid["reference"] == paying.id
        )

    async def _strays_held(self) -> int:
        found = await self.tills.truth("paybridge")
        return sum(_held_of(paid) for paid in found if paid["reference"].startswith("stray-"))

    async def _cases(self, pay_id: str, kind: str) -> int:
        """How many cases of that kind were decided about the payment."""
        return len(await self.operator.pages(f"/v1/exceptions?state=resolved&kind={kind}&payment_id={pay_id}"))

    async def _refund(self, shopper: Shopper, pay_id: str) -> str:
        refunds = (await shopper.payment(pay_id))["refunds"]
        return str(refunds[0]["id"]) if refunds else ""


def _held_of(paid: Mapping[str, Any]) -> int:
    back = sum(each["amount_minor"] for each in paid["refunds"] if each["status"] == "done")
    return int(sum(each["amount_minor"] for each in paid["charges"]) - back)


def _same(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise Otherwise(f"{what} {found} instead of {wanted}")
