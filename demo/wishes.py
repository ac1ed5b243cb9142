"""What buyers want: drawn from the seed over all that is on the shelf, complete before the first request is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, TypeVar

from demo.caller import Caller
from seed_goods import OWN_TICKETS

Choice = TypeVar("Choice")
Manner = Literal["buys", "cancels", "old_price", "sold_out"]
Family = Literal["tickets", "goods", "packs", "codes", "own tickets"]

MANNERS: Mapping[Manner, float] = {"buys": 0.83, "cancels": 0.08, "old_price": 0.05, "sold_out": 0.04}
FAMILIES: Mapping[Family, float] = {"tickets": 0.55, "goods": 0.2, "packs": 0.15, "codes": 0.06, "own tickets": 0.04}
"""Which part of the lines is of which kind of goods: suppliers' tickets, parcels, top-ups, codes of a pool, and tickets
that our own gate reads."""
DISTRIBUTORS: Mapping[str, float] = {"summit": 0.6, "meridian": 0.25, "harbour": 0.15}
LINES: Mapping[int, float] = {1: 0.6, 2: 0.28, 3: 0.12}
SENT_TWICE = 0.06
OWN_NUMBER = 0.3
ALL_OR_NOTHING = 0.25
"""Of the orders with several lines."""
WITH_COUPON = 0.1
LARGE = 0.12
"""Of the lines of goods: more than one warehouse has."""
HURRY_S = 1.0
"""Buyers take up to this long between placing and confirming."""

PREFIXES = ("134", "135", "138", "150", "188")
"""Of the phone numbers that the operator serves."""
TOWNS: Mapping[tuple[str, str, str], float] = {
    ("CN", "Shanghai", "Shanghai"): 0.3,
    ("CN", "Jiangsu", "Suzhou"): 0.15,
    ("CN", "Zhejiang", "Hangzhou"): 0.15,
    ("CN", "四川", "成都"): 0.2,
    ("CN", "Guangdong", "Shenzhen"): 0.17,
    ("JP", "Kyoto", "Kyoto"): 0.03,
}
"""Where parcels go: where both carriers do, beside the western depot, far away, and where no carrier goes."""


@dataclass(frozen=True, slots=True)
class Article:
    """A variant on the shelf as a distributor sees it. `sessions`: what can be booked; empty where it is open-dated.

    `most_in_one_place`: pieces of it that a single warehouse has; 0 where it is never split.
    """

    sku_id: str
    title: str
    price_minor: int
    currency: str
    sessions: tuple[str, ...]
    family: Family = "tickets"
    product_id: str = ""
    most_in_one_place: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """One buyer's order, complete before the first request. `twice`: it is sent twice at once, by a nervous client."""

    number: int
    manner: Manner
    distributor: str
    body: Mapping[str, Any]
    twice: bool
    hurry_s: float


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that can be wanted; one session of a ticket, `scarce`, is nearly sold out, and some know a `coupon_code`."""

    articles: Sequence[Article]
    scarce: Article
    coupon_code: str | None = None
    by_family: Mapping[Family, Sequence[Article]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[Family, list[Article]] = {}
        for article in sorted(self.articles, key=lambda each: each.sku_id):
            if article.price_minor <= 50_000 and article.sku_id != self.scarce.sku_id:
                found.setdefault(article.family, []).append(article)
        object.__setattr__(self, "by_family", found)


async def read_shelf(caller: Caller) -> list[Article]:
    """What a distributor can sell now: every priced variant, with its next sessions where it has any."""
    articles: list[Article] = []
    for product in await caller.pages("/v1/products"):
        sessions = []
        if product["session_required"]:
            sessions = (await caller.get(f"/v1/products/{product['id']}/sessions")).body["data"]
        for sku in product["skus"]:
            starts = [
                each["availability_id"] for each in sessions if sku["id"] in each["sku_ids"] and each["available"]
            ]
            if sku["price"] is None or (product["session_required"] and len(starts) < 4):
                continue
            articles.append(
                Article(
                    sku["id"],
                    f"{product['title']}, {sku['title']}",
                    sku["price"]["amount_minor"],
                    sku["price"]["currency"],
                    tuple(starts[2:30]),  # the first sessions may end while we sell
                    family_of(product, sku),
                    product["id"],
                )
            )
    return sorted(articles, key=lambda article: article.sku_id)


def family_of(product: Mapping[str, Any], sku: Mapping[str, Any]) -> Family:
    """What kind of goods a variant is to the demo."""
    if product["kind"] == "physical":
        return "goods"
    if product["kind"] == "virtual":
        return "codes" if sku["stock_policy"] == "codes" else "packs"
    (own, _), _ = OWN_TICKETS
    return "own tickets" if own in product["category_path"] else "tickets"


def draw_wishes(seed: int, run: str, count: int, shelf: Shelf) -> list[Wish]:
    """The buyers of one seed. `run` keeps keys and numbers of several runs apart."""
    return [_draw(Random(f"{seed}/{number}"), run, number, shelf) for number in range(count)]


def _draw(random: Random, run: str, number: int, shelf: Shelf) -> Wish:
    manner = _one_of(random, MANNERS)
    wanted = [_article(random, shelf) for _ in range(_one_of(random, LINES))]
    lines = [_line(random, article) for article in wanted]
    if manner == "sold_out":
        wanted = [shelf.scarce]
        lines = [_line(random, shelf.scarce, quantity=4)]
    if manner == "old_price":
        price = lines[0]["unit_price"]
        lines[0]["unit_price"] = {**price, "amount_minor": price["amount_minor"] - 100}
    body: dict[str, Any] = {
        "lines": lines,
        "currency": "CNY",
        "buyer_ref": f"{run}-{number % 97}",
        "contact": {"full_name": f"Buyer {number}", "email": f"buyer-{number}@example.org"},
    }
    if any(article.family == "goods" for article in wanted):
        body["ship_to"] = _address(random, number)
    if len(lines) > 1 and random.random() < ALL_OR_NOTHING:
        body["all_or_nothing"] = True
    if random.random() < OWN_NUMBER:
        body["client_order_no"] = f"{run}-{number}"
    if shelf.coupon_code is not None and random.random() < WITH_COUPON:
        body["coupon_codes"] = [shelf.coupon_code]
    distributor = _one_of(random, DISTRIBUTORS)
    return Wish(number, manner, distributor, body, random.random() < SENT_TWICE, random.random() * HURRY_S)


def _article(random: Random, shelf: Shelf) -> Article:
    """Any of a family; of one that is not on the shelf, a ticket."""
    family = _one_of(random, FAMILIES)
    return random.choice(shelf.by_family.get(family) or shelf.by_family["tickets"])


def _line(random: Random, article: Article, quantity: int | None = None) -> dict[str, Any]:
    pieces = random.choice((1, 1, 2, 2, 3, 4))
    if article.most_in_one_place and random.random() < LARGE:
        pieces += article.most_in_one_place
    line: dict[str, Any] = {
        "sku_id": article.sku_id,
        "quantity": quantity or pieces,
        "unit_price": {"amount_minor": article.price_minor, "currency": article.currency},
    }
    if article.sessions:
        line["availability_id"] = random.choice(article.sessions)
    if article.family == "packs":
        line["account"] = f"{random.choice(PREFIXES)}{random.randrange(10**8):08d}"
    return line


def _address(random: Random, number: int) -> dict[str, str]:
    country, region, city = _one_of(random, TOWNS)
    return {
        "receiver": f"Buyer {number}", "phone": f"+86 138 {random.randrange(10**4):04d} {random.randrange(10**4):04d}",
        "country": country, "region": region, "city": city, "street": f"{random.randrange(1, 400)} Lantern Street",
    }  # fmt: skip


def _one_of(random: Random, weights: Mapping[Choice, float]) -> Choice:
    return random.choices(list(weights), list(weights.values()))[0]
