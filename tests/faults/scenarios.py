"""The scenarios whose every call meets every fault, and what their orders may end as."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from httpx2 import Response

from domain.orders import AT_REST, OrderStatus
from tests.faults.carts import (
    Cart,
    Deliver,
    Fill,
    arrive,
    codes,
    ended,
    gate_ticket,
    get_lost,
    mixed,
    parcel,
    tickets,
    told_parcel,
    topup,
    two_parcels,
)
from tests.faults.kinds import KINDS, Fault, World
from tests.interference import Call
from tests.platform import Platform
from tests.traders import Caller

R = TypeVar("R")
RUN_TIMEOUT_S = 60.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way of an order. `fill`: what it buys; `ends`: where the order may rest.

    `promoted`: priced with an automatic promotion and a coupon, each with one use left. `at_supplier`: faults that its
    first supplier meets anyway. `deliver`: what becomes of its parcels when it is issued.
    """

    name: str
    fill: Fill
    ends: frozenset[str]
    wish: str = "confirm"
    at_supplier: tuple[tuple[str, str], ...] = ()
    promoted: bool = False
    deliver: Deliver = arrive


_ISSUED = frozenset({"issued"})
_CANCELED = frozenset({"canceled"})
_REFUNDED = frozenset({"refunded"})
_NO_SEAT = frozenset({"rejected", "refunded"})
"""Where a seat is held first: the supplier may not have held it, or have taken it back by the time it was paid."""
_REJECT = (("confirm", "reject"),)
_REJECT_LATE = (("confirm", "slow"), *_REJECT)
_MISS = (("confirm", "error_after"), ("query", "error_before"))

SCENARIOS = {
    each.name: each
    for each in (
        Scenario("issue", tickets(False), _ISSUED),
        Scenario("issue_locked", tickets(True), _ISSUED | _NO_SEAT),
        Scenario("two_lines", tickets(False, True), _ISSUED | _NO_SEAT),
        Scenario("promotion", tickets(False), _ISSUED, promoted=True),
        Scenario("promotion_undone", tickets(False), _CANCELED, wish="cancel", promoted=True),
        Scenario("promotion_refunded", tickets(False), _REFUNDED | _ISSUED, promoted=True, at_supplier=_REJECT),
        Scenario("cancel", tickets(True), _CANCELED | _NO_SEAT, wish="cancel"),
        Scenario("expire", tickets(True), _CANCELED | _NO_SEAT, wish="expire"),
        Scenario("negotiate", tickets(False), _ISSUED, at_supplier=_MISS),
        Scenario("resend", tickets(False), _ISSUED, at_supplier=(("reserve", "error_before"),)),
        Scenario("reject", tickets(False), _REFUNDED | _ISSUED, at_supplier=_REJECT),
        Scenario("codes", codes, _ISSUED),
        Scenario("codes_undone", codes, _CANCELED, wish="cancel"),
        Scenario("gate", gate_ticket, _ISSUED),
        Scenario("topup", topup, _ISSUED),
        Scenario("topup_refused", topup, _REFUNDED | _ISSUED, at_supplier=(("recharge", "reject"),)),
        Scenario("parcel", parcel, _ISSUED),
        Scenario("parcel_split", two_parcels, _ISSUED),
        Scenario("parcel_refused", two_parcels, _REFUNDED | _ISSUED, at_supplier=(("ship", "reject"),)),
        Scenario("parcel_lost", told_parcel, _REFUNDED, deliver=get_lost),
        Scenario("mixed", mixed, _REFUNDED | _ISSUED, at_supplier=_REJECT_LATE),
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
    cart = await scenario.fill(platform)
    caller = await platform.a_distributor()
    world = World(platform, cart.tickets, cart.suppliers, caller.id)
    wish = await _promote(platform, caller) if scenario.promoted else {}
    for operation, kind in scenario.at_supplier:
        await cart.suppliers[0].next(operation, kind)
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
            body = {"lines": cart.lines, **cart.body, **wish}
            placing = lambda: platform.place(caller, key=buyer, buyer_ref=buyer, **body)  # noqa: E731
            await _drive(platform, scenario, caller, placing, done)
            if done.end == "issued":
                done.wrong += await scenario.deliver(platform, cart, done.order_no)
                done.end = await _end_of(platform, done.order_no)
            elif done.order_no:
                done.wrong += await ended(platform, done.order_no)
    except TimeoutError:
        done.wrong.append("did not come to rest in time")
    done.wrong += await _codes_wrong(platform, cart, done)
    done.wrong += [f"{fault} was not reached" for fault in faults if not fault.reached]
    if scenario.promoted:
        done.wrong += await _promotions_wrong(platform, caller, done)
    if done.end not in scenario.ends:
        done.wrong.append(f"ended {done.end!r}, not {' or '.join(sorted(scenario.ends))}")
    return done


async def _end_of(platform: Platform, order_no: int) -> str:
    (row,) = await platform.rows("SELECT status FROM orders WHERE order_no = %s", order_no)
    return str(row["status"])


async def _codes_wrong(platform: Platform, cart: Cart, done: Run) -> list[str]:
    """Counted at the pool: as many are handed out as were bought and issued, and none is held any more."""
    rows = await platform.rows(
        "SELECT c.sku_id, count(*) FILTER (WHERE c.state = 'handed_out') AS given, "
        "       count(*) FILTER (WHERE c.state = 'held') AS held, "
        "       (SELECT coalesce(sum(quantity), 0) FROM order_lines l "
        "        WHERE l.sku_id = c.sku_id AND l.status = 'issued') AS issued "
        "FROM codes c WHERE c.sku_id = ANY(%s) GROUP BY c.sku_id",
        [ticket.sku_id for ticket in cart.tickets],
    )
    return [
        f"of pool {row['sku_id']} {row['given']} are handed out and {row['held']} held, and {row['issued']} issued"
        for row in rows
        if (row["given"], row["held"]) != (row["issued"], 0)
    ]


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
    done.end = await _end_of(platform, done.order_no)
    if OrderStatus(done.end) not in AT_REST:
        done.wrong.append("its workflow has ended and it is not at rest")


async def calls_of(platform: Platform, scenario: Scenario) -> list[tuple[str, int]]:
    """Every activity call that the scenario makes when nothing goes wrong."""
    nominal = await run(platform, scenario)
    assert not nominal.wrong, str(nominal)
    return nominal.calls


async def all_of(runs: Sequence[Callable[[], Awaitable[R]]], at_once: int) -> list[R]:
    """Every run, a few at a time."""
    free = asyncio.Semaphore(at_once)

    async def one(start: Callable[[], Awaitable[R]]) -> R:
        async with free:
            return await start()

    return list(await asyncio.gather(*map(one, runs)))
