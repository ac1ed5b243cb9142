"""The scenarios whose every call meets every fault, and what their orders may end as."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from httpx2 import Response

from domain.orders import AT_REST, OrderStatus
from tests.faults.kinds import KINDS, Fault, World
from tests.interference import Call
from tests.platform import Platform
from tests.traders import Caller

RUN_TIMEOUT_S = 60.0
SHORT: dict[str, Any] = {
    "lock_timeout_s": 1.0, "issue_timeout_s": 1.0, "first_interval_s": 0.5, "consistency_window_s": 1.0,
}  # fmt: skip
"""Time-outs that a hang outlasts soon: an activity hangs in real time."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way of an order. `locks`: which lines are held at their supplier; `ends`: where the order may rest.

    `promoted`: priced with an automatic promotion and a coupon, each with one use left.
    """

    name: str
    locks: tuple[bool, ...]
    ends: frozenset[str]
    wish: str = "confirm"
    at_supplier: tuple[tuple[str, str], ...] = ()
    promoted: bool = False


_ISSUED = frozenset({"issued"})
_NO_SEAT = frozenset({"rejected", "refunded"})
"""Where a seat is held first: the supplier may not have held it, or have taken it back by the time it was paid."""

SCENARIOS = {
    each.name: each
    for each in (
        Scenario("issue", (False,), _ISSUED),
        Scenario("issue_locked", (True,), _ISSUED | _NO_SEAT),
        Scenario("two_lines", (False, True), _ISSUED | _NO_SEAT),
        Scenario("promotion", (False,), _ISSUED, promoted=True),
        Scenario("promotion_undone", (False,), frozenset({"canceled"}), wish="cancel", promoted=True),
        Scenario(
            "promotion_refunded",
            (False,),
            frozenset({"refunded", "issued"}),
            promoted=True,
            at_supplier=(("confirm", "reject"),),
        ),
        Scenario("cancel", (True,), frozenset({"canceled"}) | _NO_SEAT, wish="cancel"),
        Scenario("expire", (True,), frozenset({"canceled"}) | _NO_SEAT, wish="expire"),
        Scenario("negotiate", (False,), _ISSUED, at_supplier=(("confirm", "error_after"), ("query", "error_before"))),
        Scenario("resend", (False,), _ISSUED, at_supplier=(("reserve", "error_before"),)),
        Scenario("reject", (False,), frozenset({"refunded", "issued"}), at_supplier=(("confirm", "reject"),)),
    )
}


@dataclass(slots=True)
class Run:
    """What came of one run. `wrong` is empty where all is well."""

    scenario: str
    faults: Sequence[Fault]
    order_no: int = 0
    end: str = ""
    calls: list[tuple[str, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = " and ".join(map(str, self.faults)) or "no fault"
        return f"{self.scenario}, {told}: order {self.order_no} ended {self.end}; {'; '.join(self.wrong)}"


async def run(platform: Platform, scenario: Scenario, faults: Sequence[Fault] = ()) -> Run:
    """One order through the scenario, with each fault striking where it is meant to."""
    done = Run(scenario.name, faults)
    suppliers = [await platform.a_supplier(**SHORT) for _ in scenario.locks]
    tickets = [
        await platform.a_ticket(supplier, stock=3, lock=lock)
        for supplier, lock in zip(suppliers, scenario.locks, strict=True)
    ]
    caller = await platform.a_distributor()
    world = World(platform, tickets, suppliers, caller.id)
    wish = await _promote(platform, caller) if scenario.promoted else {}
    for operation, kind in scenario.at_supplier:
        await suppliers[0].next(operation, kind)
    buyer = f"run-{next(_numbers)}"

    async def hook(call: Call) -> Any:
        if (call.name, call.nth) not in done.calls:
            done.calls.append((call.name, call.nth))
        for fault in faults:
            if fault.strikes(call):
                return await KINDS[fault.kind](call, world)
        return await call.proceed()

    platform.interference.meet(buyer, hook)
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            placing = lambda: platform.place(caller, *tickets, key=buyer, buyer_ref=buyer, **wish)  # noqa: E731
            await _drive(platform, scenario, caller, placing, done)
    except TimeoutError:
        done.wrong.append("did not come to rest in time")
    done.wrong += [f"{fault} was not reached" for fault in faults if not fault.reached]
    if scenario.promoted:
        done.wrong += await _promotions_wrong(platform, caller, done)
    if done.end not in scenario.ends:
        done.wrong.append(f"ended {done.end!r}, not {' or '.join(sorted(scenario.ends))}")
    return done


async def _promote(platform: Platform, caller: Caller) -> dict[str, Any]:
    """One automatic promotion and one with a coupon, of one use each: whoever takes one twice finds it gone."""
    limits: dict[str, Any] = {"stock": 1, "per_buyer_limit": 1, "returns_on_refund": True}
    await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=1000, priority=200, **limits)
    coupon = await platform.traders.a_promotion(
        "fixed_price", for_=caller, unit_price_minor=15_000, needs_coupon=True, stack_group="coupon", **limits
    )
    return {"coupon_codes": [await platform.traders.a_coupon(coupon)]}


async def _promotions_wrong(platform: Platform, caller: Caller, done: Run) -> list[str]:
    """Used where something was issued, free again everywhere else: both promotions, and the coupon with its own."""
    rows = await platform.rows(
        "SELECT p.id, p.held, p.used, coalesce(c.state, '') AS coupon FROM promotions p "
        "LEFT JOIN coupons c ON c.promotion_id = p.id WHERE p.scope->'distributor_ids' ? %s ORDER BY p.id",
        caller.id,
    )
    used = done.end == "issued"
    wrong = [
        f"{row['id']}: {row['held']} held, {row['used']} used" for row in rows if row["held"] or row["used"] != used
    ]
    coupons = {row["coupon"] for row in rows} - {""}
    if coupons != {"used" if used else "returned"}:
        wrong.append(f"its coupon is {coupons}")
    return wrong


async def _drive(
    platform: Platform, scenario: Scenario, caller: Caller, placing: Callable[[], Awaitable[Response]], done: Run
) -> None:
    """As a patient client does it: everything that is not answered is sent again with the same key."""
    answer = await platform.answered(placing)
    if answer.status_code in (201, 202):
        done.order_no = int(answer.json()["order_no"])
    else:
        rows = await platform.rows("SELECT max(order_no) AS n FROM orders WHERE distributor_id = %s", caller.id)
        done.order_no = int(rows[0]["n"])
    if answer.status_code == 201 and scenario.wish == "expire":
        with suppress(RuntimeError):
            await platform.fast_forward(done.order_no, 1000)
    elif answer.status_code == 201:
        key = f"wish-{done.order_no}"
        send = platform.confirm if scenario.wish == "confirm" else platform.act

        async def wishing() -> Response:
            if send == platform.confirm:
                return await platform.confirm(caller, done.order_no, wait_s=2, key=key)
            return await platform.act(caller, done.order_no, "cancel", {"reason": "test"}, key=key)

        await platform.answered(wishing)
    await platform.settled(done.order_no)
    done.end = (await platform.rows("SELECT status FROM orders WHERE order_no = %s", done.order_no))[0]["status"]
    if OrderStatus(done.end) not in AT_REST:
        done.wrong.append("its workflow has ended and it is not at rest")


async def calls_of(platform: Platform, scenario: Scenario) -> list[tuple[str, int]]:
    """Every activity call that the scenario makes when nothing goes wrong."""
    nominal = await run(platform, scenario)
    assert not nominal.wrong, str(nominal)
    return nominal.calls


async def all_of(runs: Sequence[Callable[[], Awaitable[Run]]], at_once: int) -> list[Run]:
    """Every run, a few at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(start: Callable[[], Awaitable[Run]]) -> Run:
        async with free:
            return await start()

    return list(await asyncio.gather(*map(one, runs)))
