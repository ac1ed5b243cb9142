"""The demo's story: outside parties turn bad, buyers buy, an operator decides, all comes to rest, it is counted."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from demo.books import controls_of
from demo.buyers import Buyers
from demo.caller import Caller, ClientLog
from demo.campaigns import Campaigns
from demo.characters import CHARACTERS
from demo.faults import Mischief
from demo.kinds import Book, Kinds, compare_parcels
from demo.money import Count
from demo.operator import Operator
from demo.outcome import Outcome, count
from demo.pay_stories import Stage
from demo.rest import Rest, Watch
from demo.shoppers import Shopper, register
from demo.storekeeper import Storekeeper
from demo.tills import CHANNELS, Tills, dealt_with
from demo.wishes import DISTRIBUTORS, Article, Shelf, Wish, draw_wishes, read_shelf
from settings import Settings

SCARCE = ("grandstand", "Harbour Sounds")
"""Supplier and title of the product of which one session is nearly sold out."""
SCARCE_PLACES = 9
EVENING, CODE, HELD = ("Evening in the garden", "Adult"), ("Audio guide", "One day"), ("River of Stars", "")
"""What shoppers buy: beginnings of a product's title and of a variant's."""
AT_ONCE = 12
SHOPPERS = 4
ORDERS_PER_PAYMENT = 12
"""For so many orders of distributors a shopper pays an ordinary one, at least once with each fault at each channel."""
PLAIN_LEAST, PLAIN_MOST = 18, 60
QUICK: Mapping[str, Any] = {"first_interval_s": 0.5, "growth": 1.3, "ceiling_s": 2.0}
"""How channels are asked for the demo's time, so that what was not told is found out within it."""
REST_WITHIN_S = 240.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; for the screen."""

    asked: int
    answered: int
    at_rest: int
    decided: int
    faults_hit: Counter[str]
    unknown: int
    phase: str


Show = Callable[[Progress], None]


class DemoNeeds(RuntimeError):
    """Something that the demo works with is missing; the sentence says what to do."""


class Scene:
    """All that a run works with, on a stack that runs. `async with Scene(...)`; `orders`: how many are to be placed;
    `leaves`: kinds of cases that no operator decides.

    Outside the block promotions have ended, and outside parties are as they were before.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        orders: int = 0,
        *,
        patience_s: float = 180.0,
        leaves: frozenset[str] = frozenset(),
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.orders = orders
        self.run = f"demo-{seed}-{int(time.time()):x}"
        self.log = ClientLog()
        self._patience_s = patience_s
        self._leaves = leaves
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Scene:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _open(self) -> None:
        keys = _keys(self.settings.data_dir)
        limits = httpx2.Limits(max_connections=64)
        self._http = await self._stack.enter_async_context(httpx2.AsyncClient(trust_env=False, limits=limits))
        self.buyers = {name: self._caller(keys["distributors"][name]) for name in DISTRIBUTORS}
        self.operator_caller = self._caller(keys["operators"]["opr_operations"])
        self.finance = self._caller(keys["operators"]["opr_finance"])
        catalogue = self._caller(keys["operators"]["opr_catalogue"])
        simulators = sorted({character.simulator for character in CHARACTERS.values()})
        try:
            self.controls = await controls_of(self._http, [self.settings.simulator_url(each) for each in simulators])
            self.tills = Tills(self._http, self.settings.simulator_url("payment"))
            await self.tills.suppliers()
        except httpx2.HTTPError as missing:
            raise DemoNeeds("not all simulators answer: start `tessera up` without --no-simulators") from missing
        self.operator = Operator(self.operator_caller, self.controls, self.run, leaves=self._leaves)
        self.watch = Watch(self.operator_caller, self.operator, self.settings)
        self.articles = await read_shelf(self.buyers["summit"])
        self.storekeeper = Storekeeper(catalogue, self.run, self.articles)
        await self.storekeeper.open()
        self.mischief = Mischief(self.controls, self.operator_caller, self.seed)
        self.campaigns = Campaigns(catalogue, self.run, self.articles, self.orders)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def acting(self) -> AsyncIterator[None]:
        """Inside the block outside parties misbehave and promotions run."""
        async with self.mischief, self.campaigns, dealt_with(self.operator_caller, CHANNELS, QUICK):
            yield

    async def shoppers(self, count: int) -> list[Shopper]:
        """New people with accounts."""
        public = self._caller("none")
        return [await register(public, self.tills, self.run, number) for number in range(count)]

    async def stage(self) -> Stage:
        """What shoppers' stories play on."""
        shoppers = await self.shoppers(SHOPPERS)
        articles = await read_shelf(shoppers[0].caller)
        return Stage(
            shoppers, self.tills, self.operator_caller, self.finance, self.controls, titled(articles, *EVENING),
            titled(articles, *CODE), titled(articles, *HELD), self.run,
        )  # fmt: skip

    @property
    def plain_payments(self) -> int:
        """How many ordinary payments belong to so many orders."""
        return max(PLAIN_LEAST, min(PLAIN_MOST, self.orders // ORDERS_PER_PAYMENT))

    async def wishes(self) -> list[Wish]:
        """What the buyers of this seed want; one session is made scarce for it."""
        candidates = [article for article in self.articles if SCARCE[1] in article.title]
        if not candidates:
            raise DemoNeeds("the sample catalogue is not on the shelf: run `tessera seed`")
        full = candidates[0]
        session = full.sessions[self.seed % len(full.sessions)]
        await self.mischief.make_scarce(SCARCE[0], session, SCARCE_PLACES)
        scarce = Article(full.sku_id, full.title, full.price_minor, full.currency, (session,))
        articles = [self.storekeeper.largest(article) for article in self.articles]
        shelf = Shelf(articles, scarce, self.campaigns.coupon_code)
        return draw_wishes(self.seed, self.run, self.orders, shelf)

    async def carriers_books(self) -> Book:
        """All parcels of all carriers, by their id there."""
        carriers = [name for name, character in CHARACTERS.items() if character.simulator == "carrier"]
        return {entry["id"]: entry for name in carriers for entry in await self.controls[name].documents(name)}

    def _caller(self, token: str) -> Caller:
        return Caller(self._http, self.settings.api_url, token, self.log, patience_s=self._patience_s)


def titled(articles: list[Article], product: str, variant: str) -> Article:
    """The first variant whose product's title and own begin so. Raises DemoNeeds."""
    for article in articles:
        title, _, name = article.title.rpartition(", ")
        if title.startswith(product) and name.startswith(variant):
            return article
    raise DemoNeeds(f"{product!r} is not on the shelf: run `tessera seed`")


def _keys(data_dir: Path) -> Mapping[str, Mapping[str, str]]:
    path = data_dir / "keys.json"
    if not path.exists():
        raise DemoNeeds(f"there are no keys in {path}: run `tessera seed` first")
    found: Mapping[str, Mapping[str, str]] = json.loads(path.read_text())
    return found


async def run_demo(settings: Settings, seed: int, orders: int, show: Show = lambda _: None) -> tuple[Outcome, Scene]:
    """The whole run on a stack that runs. The outcome says whether it failed; nothing is raised for that."""
    started_s = time.monotonic()
    async with Scene(settings, seed, orders) as scene, scene.acting():
        buyers = Buyers(scene.buyers, scene.run, at_once=AT_ONCE)
        wishes, stage = await scene.wishes(), await scene.stage()
        async with working(
            scene.operator.work(),
            scene.storekeeper.work(),
            scene.mischief.keep_striking(),
            _showing(scene, buyers, orders, show),
        ):
            await asyncio.gather(buyers.buy(wishes), stage.play(scene.plain_payments, seed))
            rest = await until_rest(scene, buyers)
        show(await _progress(scene, buyers, orders, "counting"))
        outcome = await finish(scene, buyers, rest)
        outcome.stories = stage.stories
        outcome.money, outcome.payments = await Count(scene.operator_caller, scene.tills).count()
    outcome.seconds = time.monotonic() - started_s
    return outcome, scene


async def until_rest(scene: Scene, buyers: Buyers) -> Rest:
    """Everything that the buyers were given is followed to its end."""
    order_nos = {order_no for purchase in buyers.purchases for order_no in purchase.order_nos}
    return await scene.watch.until_rest(order_nos, within_s=REST_WITHIN_S)


async def finish(scene: Scene, buyers: Buyers, rest: Rest) -> Outcome:
    """The figures, with what has not come to rest, or is not as the outside world has it, among the troubles."""
    outcome = await count(
        buyers.purchases,
        scene.operator_caller,
        scene.settings,
        await scene.mischief.hits(),
        Kinds({article.sku_id: article.family for article in scene.articles}),
        scene.campaigns.coupon_promotion,
    )
    if not rest.complete:
        outcome.troubles.append(f"not at rest within {REST_WITHIN_S:.0f} s: {rest}")
    outcome.kinds.coupon = await scene.campaigns.coupon()
    outcome.troubles += compare_parcels(outcome.orders, await scene.carriers_books())
    gone = await scene.storekeeper.codes_gone()
    outcome.troubles += outcome.kinds.compare_pools(gone - scene.storekeeper.handed_out)
    return outcome


@asynccontextmanager
async def working(*work: Any) -> AsyncIterator[None]:
    """Background work that ends with the block."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _showing(scene: Scene, buyers: Buyers, orders: int, show: Show) -> None:
    while True:
        phase = "buying" if len(buyers.purchases) < orders else "coming to rest"
        with suppress(httpx2.HTTPError):
            show(await _progress(scene, buyers, orders, phase))
        await asyncio.sleep(0.5)


async def _progress(scene: Scene, buyers: Buyers, orders: int, phase: str) -> Progress:
    return Progress(
        asked=orders,
        answered=len(buyers.purchases),
        at_rest=len(scene.watch.at_rest),
        decided=sum(scene.operator.decided.values()),
        faults_hit=await scene.mischief.hits(),
        unknown=sum(scene.log.unknown.values()),
        phase=phase,
    )
