"""Buyers: what each wants is drawn from the seed; what they do goes through the public API with their distributor's
key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from demo.caller import Caller, Reply, Unanswered

Manner = Literal["buys", "cancels", "old_price", "sold_out"]

MANNERS: Mapping[Manner, float] = {"buys": 0.83, "cancels": 0.08, "old_price": 0.05, "sold_out": 0.04}
DISTRIBUTORS: Mapping[str, float] = {"house": 0.6, "meridian": 0.25, "harbour": 0.15}
LINES: Mapping[int, float] = {1: 0.6, 2: 0.28, 3: 0.12}
SENT_TWICE = 0.06
OWN_NUMBER = 0.3
ALL_OR_NOTHING = 0.25
"""Of the orders with several lines."""
HURRY_S = 1.0
"""Buyers take up to this long between placing and confirming."""


@dataclass(frozen=True, slots=True)
class Article:
    """A variant on the shelf as a distributor sees it. `sessions`: what can be booked; empty where it is open-dated."""

    sku_id: str
    title: str
    price_minor: int
    currency: str
    sessions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """One buyer's order, complete before the first request. `twice`: it is sent twice at once, by a nervous client."""

    number: int
    manner: Manner
    distributor: str
    body: Mapping[str, Any]
    twice: bool
    hurry_s: float


@dataclass
class Purchase:
    """What became of a wish, as its buyer saw it."""

    wish: Wish
    placed: Reply | None = None
    acted: Reply | None = None
    order_nos: set[str] = field(default_factory=set)
    trouble: str | None = None


async def read_shelf(caller: Caller) -> list[Article]:
    """What a distributor can sell now: every priced variant, with its next sessions where it has any."""
    articles: list[Article] = []
    for product in await caller.pages("/v1/products?kind=ticket"):
        sessions = (await caller.get(f"/v1/products/{product['id']}/sessions")).body["data"]
        for sku in product["skus"]:
            starts = [
                each["availability_id"] for each in sessions if sku["id"] in each["sku_ids"] and each["available"]
            ]
            if sku["price"] is None or (product["session_required"] and len(starts) < 4):
                continue
            price = sku["price"]
            # The first sessions may end while we sell.
            bookable = tuple(starts[2:30]) if product["session_required"] else ()
            articles.append(
                Article(
                    sku["id"], f"{product['title']}, {sku['title']}", price["amount_minor"], price["currency"], bookable
                )
            )
    return sorted(articles, key=lambda article: article.sku_id)


def draw_wishes(seed: int, run: str, count: int, shelf: Sequence[Article], scarce: Article) -> list[Wish]:
    """The buyers of one seed. `run` keeps keys and numbers of several runs apart; `scarce` is nearly sold out."""
    cheap = [article for article in shelf if article.price_minor <= 50_000 and article.sku_id != scarce.sku_id]
    return [_draw(Random(f"{seed}/{number}"), run, number, cheap, scarce) for number in range(count)]


def _draw(random: Random, run: str, number: int, shelf: Sequence[Article], scarce: Article) -> Wish:
    manner = random.choices(list(MANNERS), list(MANNERS.values()))[0]
    lines = [_line(random, random.choice(shelf)) for _ in range(random.choices(list(LINES), list(LINES.values()))[0])]
    if manner == "sold_out":
        lines = [_line(random, scarce, quantity=4)]
    if manner == "old_price":
        price = lines[0]["unit_price"]
        lines[0]["unit_price"] = {**price, "amount_minor": price["amount_minor"] - 100}
    body: dict[str, Any] = {
        "lines": lines,
        "currency": "CNY",
        "buyer_ref": f"{run}-{number % 97}",
        "contact": {"full_name": f"Buyer {number}", "email": f"buyer-{number}@example.org"},
    }
    if len(lines) > 1 and random.random() < ALL_OR_NOTHING:
        body["all_or_nothing"] = True
    if random.random() < OWN_NUMBER:
        body["client_order_no"] = f"{run}-{number}"
    distributor = random.choices(list(DISTRIBUTORS), list(DISTRIBUTORS.values()))[0]
    return Wish(number, manner, distributor, body, random.random() < SENT_TWICE, random.random() * HURRY_S)


def _line(random: Random, article: Article, quantity: int | None = None) -> dict[str, Any]:
    line: dict[str, Any] = {
        "sku_id": article.sku_id,
        "quantity": quantity or random.choice((1, 1, 2, 2, 3, 4)),
        "unit_price": {"amount_minor": article.price_minor, "currency": article.currency},
    }
    if article.sessions:
        line["availability_id"] = random.choice(article.sessions)
    return line


class Buyers:
    """All wishes, `at_once` of them at a time. `purchases` grows as they are carried out."""

    def __init__(self, callers: Mapping[str, Caller], run: str, *, at_once: int = 12) -> None:
        self._callers = callers
        self._run = run
        self._turns = asyncio.Semaphore(at_once)
        self.purchases: list[Purchase] = []

    async def buy(self, wishes: Sequence[Wish]) -> list[Purchase]:
        """Carry all of them out; each one's trouble stays its own."""
        await asyncio.gather(*(self._in_turn(wish) for wish in wishes))
        return self.purchases

    async def _in_turn(self, wish: Wish) -> None:
        async with self._turns:
            purchase = Purchase(wish)
            try:
                await self._carry_out(purchase)
            except Unanswered as trouble:
                purchase.trouble = str(trouble)
            self.purchases.append(purchase)

    async def _carry_out(self, purchase: Purchase) -> None:
        wish = purchase.wish
        caller, key = self._callers[wish.distributor], f"{self._run}-{wish.number}"
        sendings = [caller.post("/v1/orders", wish.body, key) for _ in range(2 if wish.twice else 1)]
        replies = await asyncio.gather(*sendings)
        purchase.placed = replies[0]
        purchase.order_nos = {reply.body["order_no"] for reply in replies if reply.ok}
        if len({reply.status for reply in replies}) > 1 or len(purchase.order_nos) > 1:
            purchase.trouble = f"the same key was answered differently: {[reply.status for reply in replies]}"
        if not purchase.placed.ok:
            return
        await asyncio.sleep(wish.hurry_s)
        order = f"/v1/orders/{purchase.placed.body['order_no']}"
        if wish.manner == "cancels":
            purchase.acted = await caller.post(f"{order}/cancel", {"reason": "changed my mind"}, f"{key}-cancel")
        else:
            purchase.acted = await caller.post(f"{order}/confirm", {}, f"{key}-confirm")
