"""One payment, and everything that can be heard of it in any order: reply, callback, query, expiry, cancel.

The channel's reply to `create` and its first answer to a question are really given, and held on their way to us until
it is their turn; the callback is a genuine one, posted when it is its turn; time runs out in real time. Whatever comes
after the last of them (another question, closing) is left to take its course.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from httpx2 import Response

from domain.payments import PayStatus
from tests.interference import Call
from tests.payers import Channel
from tests.platform import Platform
from tests.traders import Caller, Ticket

EVENTS = ("reply", "callback", "query", "expiry", "cancel")
PERMUTATIONS = tuple(itertools.permutations(EVENTS))

TRIAL_TIMEOUT_S = 120.0
PAY_S = 6
"""How long the payer may take, in seconds of real time: everything that is to come before that has to fit in."""

TERMS: dict[str, Any] = {
    "pay_s": PAY_S, "first_interval_s": 0.2, "growth": 1.5, "ceiling_s": 1.0, "call_timeout_s": 60.0,
    "max_per_second": 500.0, "max_concurrent": 100,
}  # fmt: skip
"""Calls are held for as long as an ordering takes."""

Outcome = Literal["paid", "failed"]
Money = Literal["before_query", "after_query"]


@dataclass(frozen=True, slots=True)
class Family:
    """What the payer has done, and what is canceled: the payment, or its `order`. `money`: whether the channel's answer
    to the question knows of it, or is older."""

    name: str
    outcome: Outcome = "paid"
    cancels: Literal["payment", "order"] = "payment"
    money: Money = "before_query"


PAID = Family("paid")
STALE = Family("paid, asked before", money="after_query")
FAILED = Family("failed", outcome="failed")
ORDER_CANCELED = Family("order canceled", cancels="order")


@dataclass(frozen=True, slots=True)
class Ordering:
    """What is heard, in turn; an event that stands twice is a double."""

    family: Family
    events: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.family.name}: {' > '.join(self.events)}"

    @property
    def told_first(self) -> bool:
        """Whether the money was known before the order was canceled."""
        known = min(self.events.index(each) for each in ("callback", "query"))
        return known < self.events.index("cancel")


def all_orderings(family: Family) -> list[Ordering]:
    return [Ordering(family, events) for events in PERMUTATIONS]


def doubled(family: Family, chance: random.Random) -> list[Ordering]:
    """Every ordering with each of its events once more, anywhere after the first."""
    found = []
    for events, again in itertools.product(PERMUTATIONS, EVENTS):
        at = chance.randint(events.index(again) + 1, len(events))
        found.append(Ordering(family, (*events[:at], again, *events[at:])))
    return found


class Gate:
    """One call whose answer waits for its turn. `may_go`: it is on its way there only from then on."""

    def __init__(self) -> None:
        self.may_go, self.answered, self.released = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.twice = False

    async def hold(self, call: Call) -> Any:
        await self.may_go.wait()
        answer = await call.proceed()
        self.answered.set()
        await self.released.wait()
        if self.twice:  # the same request comes there again, now
            await call.proceed()
        return answer


@dataclass(slots=True)
class Trial:
    """One run of an ordering. `wrong` is empty where all is well; `late`: the machine was slow, and time ran out before
    its turn, so that it was another ordering."""

    ordering: Ordering
    pay_id: str = ""
    order_no: int = 0
    wrong: list[str] = field(default_factory=list)
    late: bool = False

    def __str__(self) -> str:
        return f"{self.ordering} ({self.pay_id}, order {self.order_no}): {'; '.join(self.wrong)}"


class Stage:
    """Where one trial is played: its own shopper, order and payment, at a channel that all share."""

    def __init__(self, platform: Platform, channel: Channel, ticket: Ticket, ordering: Ordering) -> None:
        self._platform, self._channel, self._ticket = platform, channel, ticket
        self._family = ordering.family
        self.trial = Trial(ordering)
        self._gates = {"create_at_channel": Gate(), "query_channel": Gate()}
        self._answers: list[asyncio.Task[Response]] = []
        self._cancels: list[asyncio.Task[Response]] = []
        self._expires_at = 0.0
        self.shopper: Caller

    async def play(self) -> Trial:
        """The whole ordering, and what came of it."""
        platform, trial = self._platform, self.trial
        self.shopper = await platform.a_shopper()
        platform.interference.meet(self.shopper.id, self._hook)
        trial.order_no = await platform.bought(self.shopper, self._ticket)
        await self._begin()
        heard: list[str] = []
        for event in trial.ordering.events:
            await getattr(self, f"_{event}")(again=event in heard)
            heard.append(event)
        for gate in self._gates.values():
            gate.released.set()
        await asyncio.gather(*self._answers, *self._cancels)
        await platform.payment_host(trial.pay_id).result()
        return trial

    async def _hook(self, call: Call) -> Any:
        gate = self._gates.get(call.name)
        return await (gate.hold(call) if gate is not None and call.nth == 1 else call.proceed())

    # --- before the first event --------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """The payment is at its channel, the payer has done what they do, and we have heard nothing of it yet."""
        platform, trial = self._platform, self.trial
        create, query = self._gates["create_at_channel"], self._gates["query_channel"]
        create.may_go.set()
        key = f"order-{trial.order_no}"
        paying = platform.begin_payment(self.shopper, trial.order_no, channel=self._channel, key=key)
        self._answers.append(asyncio.create_task(paying))
        await create.answered.wait()
        (row,) = await platform.rows("SELECT id, expires_at FROM pay_orders WHERE buyer_id = %s", self.shopper.id)
        trial.pay_id, self._expires_at = row["id"], row["expires_at"].timestamp()
        if self._family.money == "after_query":
            query.may_go.set()
            await query.answered.wait()
        await self._channel.paid(trial.pay_id, outcome=self._family.outcome)
        query.may_go.set()
        await query.answered.wait()

    # --- events ------------------------------------------------------------------------------------------------

    async def _reply(self, *, again: bool) -> None:
        gate = self._gates["create_at_channel"]
        gate.twice = self.trial.ordering.events.count("reply") > 1
        gate.released.set()
        await self._until_status(*(set(PayStatus) - {PayStatus.CREATED}))

    async def _callback(self, *, again: bool) -> None:
        told = await self._channel.says(
            self._platform.api, self.trial.pay_id, self._family.outcome, event_id=f"evt_{self.trial.pay_id}"
        )
        assert told.is_success, told.text
        if self._family.outcome == "paid":
            await self._until_status("paid", "refunded")
            await self._until_used()

    async def _query(self, *, again: bool) -> None:
        gate = self._gates["query_channel"]
        gate.twice = self.trial.ordering.events.count("query") > 1
        gate.released.set()
        if self._family.outcome == "paid":
            await self._until_status("paid", "refunded")
            await self._until_used()

    async def _expiry(self, *, again: bool) -> None:
        """The payment's time runs out; the second time its order's does."""
        if again:
            return await self._platform.fast_forward(self.trial.order_no, 1000)
        left_s = self._expires_at - time.time()
        self.trial.late |= left_s < 0
        await asyncio.sleep(max(left_s, 0) + 0.05)

    async def _cancel(self, *, again: bool) -> None:
        """Answered when it is decided: nobody waits for that here."""
        platform, trial = self._platform, self.trial
        if self._family.cancels == "order":
            canceling = platform.cancel(self.shopper, trial.order_no)
        else:
            path, headers = f"/v1/payments/{trial.pay_id}/cancel", self.shopper.once()
            canceling = platform.api.post(path, json={}, headers=headers)
        task = asyncio.create_task(canceling)
        self._cancels.append(task)
        await asyncio.wait([task], timeout=0.15 if self._family.cancels == "payment" else 5)

    async def _until_status(self, *statuses: str) -> None:
        async def reached() -> bool:
            query = "SELECT 1 FROM pay_orders WHERE id = %s AND status = ANY (%s)"
            return bool(await self._platform.rows(query, self.trial.pay_id, list(statuses)))

        await self._platform.until(reached)

    async def _until_used(self) -> None:
        """The money has reached the order, or is on its way back."""

        async def used() -> bool:
            rows = await self._platform.rows("SELECT state FROM pay_order_parts WHERE pay_id = %s", self.trial.pay_id)
            return {row["state"] for row in rows} <= {"served", "returned"}

        await self._platform.until(used)

    # --- judging -----------------------------------------------------------------------------------------------

    def cancel_answers(self) -> list[int]:
        return [task.result().status_code for task in self._cancels]

    async def judge(self) -> None:
        """What is wrong with how it ended, into the trial."""
        trial, family = self.trial, self._family
        payment = await self._platform.payment(trial.pay_id)
        (truth,) = await self._channel.truth(trial.pay_id)
        order = await self._platform.read(trial.order_no)
        if family.outcome == "failed":
            self._expect("charges at the channel", truth["charges"], [])
            self._expect("a payment that failed", payment["status"] in ("failed", "closed"), True)
            self._expect("its order", order["status"] in ("locked", "canceled"), True)
            await self._order_is_still_payable(order["status"])
            return
        back = family.cancels == "order" and not trial.ordering.told_first
        order = await self._platform.settled(trial.order_no)
        self._expect("charges", [each["verdict"] for each in await self._charges()], ["accepted"])
        self._expect("charges at the channel", len(truth["charges"]), 1)
        self._expect("the order", order["status"], "canceled" if back else "issued")
        if back:
            payment = await self._platform.payment_settled(trial.pay_id)
            (truth,) = await self._channel.truth(trial.pay_id)
        self._expect("the payment", payment["status"], "refunded" if back else "paid")
        refunds = [(each["amount_minor"], each["status"]) for each in truth["refunds"]]
        self._expect("refunds at the channel", refunds, [(self._ticket.price_minor, "done")] if back else [])
        for answer in self.cancel_answers():
            self._expect("the cancel's answer", answer in ((200, 202) if back else (409, 202)), True)

    async def _order_is_still_payable(self, status: str) -> None:
        """No money came: the order waits to be paid by another payment, and is issued for that one."""
        if status != "locked":
            return
        platform, order_no = self._platform, self.trial.order_no
        pay_id = await platform.paying(self.shopper, order_no, channel=self._channel)
        await self._channel.paid(pay_id)
        await platform.until_status(order_no, "issued")
        self._expect("its second payment", (await platform.payment_settled(pay_id))["status"], "paid")

    async def _charges(self) -> list[dict[str, Any]]:
        return await self._platform.rows("SELECT verdict FROM charges WHERE reference = %s", self.trial.pay_id)

    def _expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.trial.wrong.append(f"{what}: {found!r}, not {wanted!r}")


async def trial_of(platform: Platform, channel: Channel, ticket: Ticket, ordering: Ordering) -> Trial:
    """Played and judged."""
    stage = Stage(platform, channel, ticket, ordering)
    try:
        async with asyncio.timeout(TRIAL_TIMEOUT_S):
            await stage.play()
            await stage.judge()
    except (TimeoutError, AssertionError) as lost:
        stage.trial.wrong.append(f"{type(lost).__name__} {lost}")
    return stage.trial


async def trials(
    platform: Platform, channel: Channel, ticket: Ticket, orderings: Sequence[Ordering], at_once: int
) -> list[Trial]:
    """All of them, a few at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(ordering: Ordering) -> Trial:
        async with free:
            return await trial_of(platform, channel, ticket, ordering)

    return list(await asyncio.gather(*map(one, orderings)))
