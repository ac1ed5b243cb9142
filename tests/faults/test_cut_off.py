"""Workers that are cut off in the middle of an order or a payment: a coupon comes back, a code goes out once, and money
is where it should be."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.faults.pay_scenarios import PAY_SCENARIOS, pay_calls, pay_run
from tests.interference import Call
from tests.platform import Platform
from tests.traders import Caller, Ticket

BUYERS = 50
STEPS = 8
SEED = int(os.environ.get("FAULTS_SEED", "20261122"))


class Cut:
    """Executions of the activity `name`, but for the first `passing`, never answer until the workers are `restarted`;
    `after`: when their effect was done. `reached` is set by the first; `answered` and `unanswered` count them."""

    def __init__(self, name: str, *, after: bool, passing: int = 0) -> None:
        self._name = name
        self._after = after
        self._passing = passing
        self._is_over = False
        self.reached = asyncio.Event()
        self.answered = self.unanswered = 0

    async def __call__(self, call: Call) -> Any:
        if call.name != self._name:
            return await call.proceed()
        if self._is_over or self.answered < self._passing:
            self.answered += 1
            return await call.proceed()
        self.unanswered += 1
        if self._after:
            await call.proceed()
        self.reached.set()
        return await asyncio.Event().wait()

    def end(self) -> None:
        """From now on everything is answered."""
        self._is_over = True

    async def restart(self, platform: Platform) -> None:
        """The workers with everything that they have in hand are replaced."""
        self.end()
        await platform.restart_workers()


async def state_of(platform: Platform, coupon: str) -> str:
    (row,) = await platform.rows("SELECT state FROM coupons WHERE code = %s", coupon)
    return str(row["state"])


async def a_coupon(platform: Platform, caller: Caller) -> str:
    """Of one use."""
    promotion = await platform.traders.a_promotion(
        "percent_off", for_=caller, percent_bp=5000, needs_coupon=True, stock=1, per_buyer_limit=1
    )
    return await platform.traders.a_coupon(promotion)


async def pool(platform: Platform, game: Ticket) -> dict[str, int]:
    rows = await platform.rows("SELECT state FROM codes WHERE sku_id = %s", game.sku_id)
    return dict(Counter(row["state"] for row in rows))


async def canceled(platform: Platform, caller: Caller, order_no: int, ticket: Ticket) -> None:
    await platform.until_status(order_no, "locked")
    assert (await platform.cancel(caller, order_no)).is_success


async def expired(platform: Platform, caller: Caller, order_no: int, ticket: Ticket) -> None:
    await platform.until_status(order_no, "locked")
    await platform.fast_forward(order_no, 1000)


async def rejected(platform: Platform, caller: Caller, order_no: int, ticket: Ticket) -> None:
    """Nothing to do: its stock was gone when it was to be held again."""


End = Callable[[Platform, Caller, int, Ticket], Awaitable[None]]


@pytest.mark.parametrize("end", [canceled, expired, rejected], ids=lambda end: end.__name__)
async def test_a_coupon_held_before_the_cut_is_usable_again(platform: Platform, end: End) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=1)
    coupon, cut, buyer = await a_coupon(platform, caller), Cut("hold_stock", after=False), f"cut-off-{end.__name__}"
    platform.interference.meet(buyer, cut)
    placing = asyncio.create_task(
        platform.place_patiently(caller, ticket, buyer_ref=buyer, key=buyer, coupon_codes=[coupon])
    )
    await cut.reached.wait()
    assert await state_of(platform, coupon) == "held"
    if end is rejected:
        await platform.rows("UPDATE stock SET on_hand = 0 WHERE sku_id = %s", ticket.sku_id)
        await platform.rows(
            "INSERT INTO stock_movements (key, sku_id, kind, quantity, reason, at) "
            "VALUES ('fire/' || %s, %s, 'adjusted', -1, 'fire', now())",
            ticket.sku_id, ticket.sku_id,
        )  # fmt: skip

    await cut.restart(platform)

    placed = await placing
    (row,) = await platform.rows("SELECT max(order_no) AS n FROM orders WHERE distributor_id = %s", caller.id)
    await end(platform, caller, row["n"], ticket)
    order = await platform.settled(row["n"])
    assert order["status"] == ("rejected" if end is rejected else "canceled"), placed.text
    assert cut.answered
    assert await state_of(platform, coupon) == "returned"
    again = await platform.placed(
        caller, await platform.a_ticket(stock=1), buyer_ref=f"{buyer}-again", coupon_codes=[coupon]
    )
    await platform.confirm(caller, again)
    assert (await platform.settled(again))["status"] == "issued"
    assert await state_of(platform, coupon) == "used"
    assert not await platform.violations()


@pytest.mark.parametrize("after", [False, True], ids=["before_the_effect", "after_the_effect"])
async def test_a_code_is_handed_out_once_though_the_answer_was_cut_off(platform: Platform, after: bool) -> None:
    caller, game = await platform.a_distributor(), await platform.a_code_pool("K-1", "K-2", "K-3")
    cut, buyer = Cut("hand_out", after=after), f"cut-off-{after}"
    platform.interference.meet(buyer, cut)
    order_no = await platform.placed(caller, game, buyer_ref=buyer)
    confirming = asyncio.create_task(platform.confirm(caller, order_no, wait_s=1))
    await cut.reached.wait()
    assert await pool(platform, game) == ({"handed_out": 1, "available": 2} if after else {"held": 1, "available": 2})

    await cut.restart(platform)

    await confirming
    order = await platform.settled(order_no)
    assert order["status"] == "issued"
    assert cut.answered
    assert [unit["code"] for unit in order["lines"][0]["units"]] == ["K-1"]
    assert await pool(platform, game) == {"handed_out": 1, "available": 2}
    assert not await platform.violations()


async def test_fifty_buyers_and_a_cut_in_the_middle_share_forty_nine_codes(platform: Platform) -> None:
    """Counted at the pool, and by what the buyers see."""
    caller = await platform.a_distributor()
    cut = Cut("hand_out", after=True, passing=5)
    game = await platform.a_code_pool(*(f"F-{number:02d}" for number in range(BUYERS - 1)))

    async def buy(number: int) -> int | None:
        platform.interference.meet(f"code-{number}", cut)
        answer = await platform.place_patiently(caller, game, key=f"fifty-{number}", buyer_ref=f"code-{number}")
        if answer.status_code != 201:
            assert answer.json()["code"] == "insufficient_stock"
            return None
        order_no = int(answer.json()["order_no"])
        await platform.answered(lambda: platform.confirm(caller, order_no, wait_s=2, key=f"confirm-fifty-{number}"))
        await platform.settled(order_no)
        return order_no

    async def many_cut_off() -> bool:
        return cut.unanswered > 10

    buying = asyncio.gather(*(buy(number) for number in range(BUYERS)))
    await platform.until(many_cut_off)
    await cut.restart(platform)

    bought = [order_no for order_no in await buying if order_no is not None]
    orders = await asyncio.gather(*map(platform.read, bought))
    shown = [unit["code"] for order in orders for line in order["lines"] for unit in line["units"]]
    assert sorted(shown) == [f"F-{number:02d}" for number in range(BUYERS - 1)]
    assert await pool(platform, game) == {"handed_out": BUYERS - 1}
    assert not await platform.violations()


async def test_one_of_fifty_buyers_wins_a_coupon_though_the_workers_are_cut_off(platform: Platform) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket(stock=BUYERS)
    coupon, cut = await a_coupon(platform, caller), Cut("hold_stock", after=False)
    for number in range(BUYERS):
        platform.interference.meet(f"fifty-{number}", cut)
    placing = [
        asyncio.create_task(
            platform.place_patiently(
                caller, ticket, key=f"coupon-{number}", buyer_ref=f"fifty-{number}", coupon_codes=[coupon]
            )
        )
        for number in range(BUYERS)
    ]
    await cut.reached.wait()
    await cut.restart(platform)

    answers = await asyncio.gather(*placing)
    won = [int(answer.json()["order_no"]) for answer in answers if answer.status_code == 201]
    refused = {answer.json().get("code") for answer in answers if answer.status_code != 201}
    assert (len(won), refused) == (1, {"promotion_exhausted"})
    await platform.cancel(caller, won[0])
    await platform.settled(won[0])
    assert await state_of(platform, coupon) == "returned"
    (promotion,) = await platform.rows(
        "SELECT held, used FROM promotions WHERE scope->'distributor_ids' ? %s", caller.id
    )
    assert promotion == {"held": 0, "used": 0}
    assert not await platform.violations()


async def cut_off_at(platform: Platform, name: str, chance: random.Random, most: int) -> None:
    """As many shoppers as steps, each of which is in the middle of another step when the workers are cut off."""
    scenario = PAY_SCENARIOS[name]
    steps = list(dict.fromkeys(call for call, _ in await pay_calls(platform, scenario)))
    cuts = [(step, after, Cut(step, after=after)) for step in steps for after in (False, True)]
    cuts = chance.sample(cuts, min(most, len(cuts)))
    paying = [asyncio.create_task(pay_run(platform, scenario, hook=cut)) for _, _, cut in cuts]
    async with asyncio.timeout(60):
        await asyncio.gather(*(cut.reached.wait() for _, _, cut in cuts))
    for _, _, cut in cuts:
        cut.end()
    await platform.restart_workers()

    done = await asyncio.gather(*paying)
    wrong = [
        f"cut off {'after' if after else 'before'} {step}: {each}"
        for (step, after, _), each in zip(cuts, done, strict=True)
        if each.wrong
    ]
    assert not wrong, "\n".join(wrong)
    assert not await platform.violations()


@pytest.mark.parametrize("name", ["pay", "pay_mixed"])
async def test_no_money_is_lost_when_the_workers_are_cut_off(platform: Platform, name: str) -> None:
    await cut_off_at(platform, name, random.Random(f"{SEED}/{name}"), STEPS)


@pytest.mark.long
@pytest.mark.parametrize("name", ["pay", "pay_query", "pay_refund", "pay_late", "pay_twice", "pay_mixed"])
async def test_no_money_is_lost_wherever_the_workers_are_cut_off(platform: Platform, name: str) -> None:
    """Before and after the effect of every step."""
    await cut_off_at(platform, name, random.Random(SEED), 1000)
