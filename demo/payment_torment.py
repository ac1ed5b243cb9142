"""The torment of payments: shoppers pay at channels of which a fifth of the calls meets each kind of fault, while every
part of the stack is killed.

Afterwards the channels' own books are compared with ours, to the cent, and each callback that we acknowledged with what
it should have done. Money that no machine may use stays in the operators' queue, to be counted there.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from demo.caller import Unanswered
from demo.money import Count, Money
from demo.outcome import TERMS
from demo.rest import PROCESSES
from demo.run import CODE, EVENING, Scene, titled, working
from demo.shoppers import Paying, Shopper, Turned
from demo.tills import CHANNELS, Tills, dealt_with
from demo.torment import Kills, Tell, Tormentor
from demo.wishes import Article, read_shelf
from domain.inspection import Violation
from embedded.stack import Stack
from inspecting import inspect_all, open_workflows
from reconcile import Reconciled, reconcile
from settings import Settings
from simulators.payment.faults import POSSIBLE
from storage import pay_reading
from storage.database import Database
from workflows.payment_ids import payment_workflow_id
from workflows.policies import FORGOTTEN_FOR_GOOD

VICTIMS = ("worker-1", "api-1", "temporal", "postgres")
"""Every part of ours. The channels live on: callbacks that they owe would die with them, and of money that nobody here
has asked for nothing else tells but a bill."""
RATE = 0.2
RATES: Mapping[str, float] = {kind: RATE for kinds in POSSIBLE.values() for kind in kinds}
PARAMS: Mapping[str, Any] = {
    "slow_ms": 200, "hang_ms": 1_500, "retry_after_s": 1, "forget_ms": 2_000, "callback_late_ms": 1_500,
    "pay_late_ms": 1_500, "refund_late_ms": 1_500, "reorder_ms": 300, "contradict_ms": 300,
}  # fmt: skip
TERMS_OF_CHANNELS: Mapping[str, Any] = {
    "first_interval_s": 0.5, "growth": 1.3, "ceiling_s": 3.0, "pay_s": 60, "alarm_s": 60, "call_timeout_s": 1.0,
    "max_per_second": 200.0, "max_concurrent": 50,
}  # fmt: skip
ENVIRONMENT: Mapping[str, str] = {"TESSERA_LOCK_S": "90"}
"""How long an order waits to be paid: longer than its payment is open, and no longer than the run has patience."""
REJECTS = 0.2
"""How often the one supplier rejects what was paid: its share goes back at the channel."""
PASS = ("Three Museums Pass", "Adult")
WANTED: Mapping[tuple[str, str], float] = {EVENING: 0.4, CODE: 0.35, PASS: 0.25}
LEFT = frozenset({"payment_wrong_amount", "payment_unknown", "payment_contradiction"})
"""Kinds of cases that stay in the queue: what was planted there."""
ABANDONED = 0.1
LATE_COMERS = 20
"""Of those who never paid, so many pay at last when their payment is closed."""
SHOPPERS, AT_ONCE = 20, 48
PATIENCE_S = 240.0
GIVES_UP_S = 240.0
"""A payer waits no longer, where nothing of a channel's has been clear for so long; what came of it is counted."""
REST_WITHIN_S = 200.0
ALL = 100_000
"""More than the payments of any run."""


@dataclass
class PaymentTorment:
    """A run's figures. `ends`: what payers knew; `acknowledged`: callbacks that the channels had us acknowledge."""

    seed: int
    ends: Counter[str] = field(default_factory=Counter)
    money: Money = field(default_factory=Money)
    kills: Kills = field(default_factory=Kills)
    reconciled: Reconciled = field(default_factory=Reconciled)
    client: Mapping[str, Any] = field(default_factory=dict)
    cases_decided: Mapping[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    violations: tuple[Violation, ...] = ()
    troubles: list[str] = field(default_factory=list)
    healed_to_rest_s: float = 0.0
    seconds: float = 0.0

    @property
    def failures(self) -> list[str]:
        """Why the run has failed; empty where it has not."""
        told = [*self.troubles, *self.money.failures]
        if self.money.unheard:
            told.append(f"{self.money.unheard} were charged for nobody, and the channels have not told of them")
        told += [f"{found.invariant} of {found.subject}: {found.detail}" for found in self.violations]
        cases, planted, hits = self.money.cases, self.money.planted, self.money.hits
        told += [f"{cases[kind]} cases of {kind} are in the queue" for kind in cases if kind not in LEFT]
        for kind in ("payment_wrong_amount", "payment_unknown"):
            if cases[kind] != planted[kind]:
                told.append(f"{planted[kind]} were planted of {kind}, and {cases[kind]} are in the queue")
        if cases["payment_contradiction"] > hits["callback_contradict"]:
            told.append(f"the channels contradicted themselves {hits['callback_contradict']} times: {dict(cases)}")
        return told

    def report(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "seed": self.seed,
            "payers": dict(sorted(self.ends.items())),
            **self.money.report(),
            "planted": dict(self.money.planted),
            "acknowledged_callbacks": self.acknowledged,
            **self.kills.report(),
            "reconciled": self.reconciled.report(),
            "client": self.client,
            "cases_decided": self.cases_decided,
            "violations": len(self.violations),
            "healed_to_rest_s": round(self.healed_to_rest_s, 1),
            "seconds": round(self.seconds, 1),
            "failures": self.failures,
        }


class Crowd:
    """Shoppers who order and pay, or never come back. `unpaid`: payments whose shopper did not."""

    def __init__(self, shoppers: Sequence[Shopper], shelf: Mapping[Article, float], seed: int, run: str) -> None:
        self._shoppers = shoppers
        self._shelf = shelf
        self._seed = seed
        self._run = run
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.ends: Counter[str] = Counter()
        self.unpaid: list[Paying] = []

    async def come(self, payments: int) -> None:
        """All of them, each in turn."""
        await asyncio.gather(*(self._in_turn(number) for number in range(payments)))

    async def _in_turn(self, number: int) -> None:
        async with self._turns:
            try:
                async with asyncio.timeout(GIVES_UP_S):
                    end = await self._shop(number)
            except TimeoutError:
                end = "gave up waiting"
            except Turned as refused:
                end = f"refused: {refused.code}"
            except Unanswered as trouble:
                end = f"unanswered: {trouble}"
            self.ends[end] += 1

    async def _shop(self, number: int) -> str:
        random = Random(f"{self._seed}/payment/{number}")
        shopper, key = self._shoppers[number % len(self._shoppers)], f"{self._run}-{number}"
        (article,) = random.choices(list(self._shelf), list(self._shelf.values()))
        channel_id, comes_back = random.choice(CHANNELS), random.random() >= ABANDONED
        paying = await shopper.begin([await shopper.order(article, key)], key, channel_id)
        if not comes_back:
            self.unpaid.append(paying)
            return "never came back"
        return await shopper.pay(paying)


async def torment_payments(stack: Stack, seed: int, payments: int, kills: int, tell: Tell) -> PaymentTorment:
    """Payers and kills side by side, then heal, wait and count. `stack` runs, and restarts nothing by itself."""
    began_s = time.monotonic()
    result = PaymentTorment(seed)
    tormentor = Tormentor(stack, seed, kills, tell, victims=VICTIMS)
    async with Scene(stack.settings, seed, patience_s=PATIENCE_S, leaves=LEFT) as scene:
        crowd = await _crowd(scene, seed)
        async with (
            dealt_with(scene.operator_caller, CHANNELS, TERMS_OF_CHANNELS),
            working(scene.operator.work(), scene.storekeeper.work(), _telling(crowd, payments, tell)),
        ):
            await _misbehave(scene, seed, RATES, REJECTS)
            await asyncio.gather(crowd.come(payments), tormentor.torment())
            tell("all kills are done and all payers have been there: healing")
            await _misbehave(scene, seed, {}, 0.0)
            healed_s = time.monotonic()
            result.reconciled = await reconcile(stack.settings, tell)
            await _rest(scene, result)
            result.healed_to_rest_s = time.monotonic() - healed_s
            await _late_comers(scene, crowd, result)
            await _last_looks(stack.settings, result)
            await _rest(scene, result)
        result.money, _ = await Count(scene.operator_caller, scene.tills).count()
        await _compare_callbacks(stack.settings, scene.tills, result)
        result.violations = (await inspect_all(stack.settings, TERMS)).violations
    result.ends, result.kills = crowd.ends, tormentor.kills
    result.troubles += [end for end in crowd.ends if end.startswith("unanswered")]
    result.client, result.cases_decided = scene.log.report(), scene.operator.report()
    result.seconds = time.monotonic() - began_s
    return result


async def _crowd(scene: Scene, seed: int) -> Crowd:
    shoppers = await scene.shoppers(SHOPPERS)
    articles = await read_shelf(shoppers[0].caller)
    shelf = {titled(articles, *wanted): share for wanted, share in WANTED.items()}
    return Crowd(shoppers, shelf, seed, scene.run)


async def _misbehave(scene: Scene, seed: int, rates: Mapping[str, float], rejects: float) -> None:
    for channel_id in CHANNELS:
        await scene.tills.set_faults(channel_id, {"seed": seed, "rates": rates, "params": PARAMS})
    northgate = {"seed": seed, "rates": {"reject": rejects}, "params": {}}
    await scene.controls["northgate"].set_faults("northgate", northgate)


async def _rest(scene: Scene, result: PaymentTorment) -> None:
    """No process of an order, a payment or a refund is under way any more, and no case that is to be decided. Payments
    of which nothing is left to do but the last look are at rest."""
    deadline_s = time.monotonic() + REST_WITHIN_S
    while time.monotonic() < deadline_s:
        looking = {payment_workflow_id(pay_id) for pay_id in await _to_look_at(scene.settings)}
        running = await open_workflows(scene.settings) or ()
        opened = [name for name in running if name.startswith(PROCESSES) and name not in looking]
        if not opened and not await scene.operator.clear_queue():
            return
        await asyncio.sleep(1.0)
    result.troubles.append(f"not at rest within {REST_WITHIN_S:.0f} s: {opened[:10]}")


async def _late_comers(scene: Scene, crowd: Crowd, result: PaymentTorment) -> None:
    """Who never paid comes at last: their money buys the same again, or goes back, by the product's rule."""
    closed = [paying for paying in crowd.unpaid if paying.channel_id != "alipay"]  # whose page nobody had opened
    for paying in closed[:LATE_COMERS]:
        await scene.tills.act(paying.channel_id, paying.id, anyway=True)
        crowd.ends["paid when it was closed"] += 1
    await asyncio.sleep(2.0)
    await _rest(scene, result)


async def _last_looks(settings: Settings, result: PaymentTorment) -> None:
    """Each channel is asked for the last time of each payment, when its payer has had their time, and as much again.
    One that knows nothing of a payment is not believed at once."""
    within_s = FORGOTTEN_FOR_GOOD.total_seconds() + REST_WITHIN_S
    deadline_s = time.monotonic() + within_s
    while left := await _to_look_at(settings):
        if time.monotonic() > deadline_s:
            result.troubles.append(f"not asked for the last time within {within_s:.0f} s: {left[:10]}")
            return
        await asyncio.sleep(1.0)


async def _to_look_at(settings: Settings) -> list[str]:
    """Ids of payments whose channel is still to be asked for the last time, also of those whose turn is to come."""
    assert settings.database_url is not None, "the stack is ours"
    ever = datetime.now(UTC) + timedelta(days=1)
    async with Database(settings.database_url, pool_max=1) as database, database.reading() as cx:
        return await pay_reading.to_look_at(cx, before=ever, after="", limit=ALL)


async def _compare_callbacks(settings: Settings, tills: Tills, result: PaymentTorment) -> None:
    """Each callback that a channel saw acknowledged is in the journal, and has been handed over."""
    assert settings.database_url is not None, "the stack is ours"
    async with Database(settings.database_url, pool_max=1) as database, database.reading() as cx:
        rows = await (await cx.execute("SELECT channel_id, event_id, state FROM channel_callbacks")).fetchall()
    journal = {(row["channel_id"], row["event_id"]): row["state"] for row in rows}
    for channel_id in CHANNELS:
        for told in await tills.acknowledged(channel_id):
            result.acknowledged += 1
            state = journal.get((channel_id, told["event_id"]))
            if state != "handed_over":
                result.troubles.append(f"{channel_id} had {told['event_id']} acknowledged, and it is {state} here")


async def _telling(crowd: Crowd, payments: int, tell: Tell) -> None:
    while True:
        await asyncio.sleep(10)
        tell(f"{crowd.ends.total()}/{payments} payers have been there: {dict(crowd.ends.most_common(4))}")
