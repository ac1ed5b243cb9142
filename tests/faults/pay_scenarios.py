"""The scenarios of money whose every call meets every fault: what the payer does, and where the orders may end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx2 import Response
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from tests.faults.carts import SHORT
from tests.faults.kinds import KINDS, Fault, World
from tests.interference import Call, Hook
from tests.payers import Channel
from tests.platform import Platform
from tests.traders import PRICE_MINOR, Caller, Supplier, Ticket

RUN_TIMEOUT_S = 90.0
PATIENT: dict[str, Any] = {"call_timeout_s": 1.0, "first_interval_s": 2.0}
"""A channel's terms: a hang outlasts its time-out soon."""
REFUND_LATE_MS = 4000
"""A refund that is pending is so for longer than the pause before the first question about it."""
LONG_S, SHORT_S = 1000.0, 30.0
"""Steps of a process' clock: past any deadline, or just to its next question."""


@dataclass(slots=True)
class Stage:
    """One run's own shopper, channel, supplier and orders; `pay_id` once there is a payment."""

    platform: Platform
    shopper: Caller
    channel: Channel
    supplier: Supplier
    ticket: Ticket
    orders: list[int] = field(default_factory=list)
    pay_id: str = ""

    async def hosts(self) -> dict[str, WorkflowHandle[Any, Any]]:
        """Every process of the shopper's orders, payments and refunds, by id, money first."""
        rows = await self.platform.rows(
            "SELECT 1 AS rank, host_workflow_id AS id FROM pay_orders WHERE buyer_id = %s "
            "UNION ALL SELECT 2, 'refund/' || r.id FROM refunds r JOIN pay_orders o ON o.id = r.pay_id "
            "WHERE o.buyer_id = %s "
            "UNION ALL SELECT 3, host_workflow_id FROM orders WHERE buyer_ref = %s ORDER BY 1",
            self.shopper.id, self.shopper.id, self.shopper.id,
        )  # fmt: skip
        return {row["id"]: self.platform.env.client.get_workflow_handle(row["id"]) for row in rows}

    async def rest(self) -> None:
        """Until nothing of the shopper's moves any more: clocks run ahead where a process waits."""
        while True:
            running = {each: handle for each, handle in (await self.hosts()).items() if await _runs(handle)}
            if not running and await self._all_heard():
                return
            if not running:
                await asyncio.sleep(0.05)
            paying = any(each.startswith("payment/") for each in running)
            await asyncio.gather(
                *(
                    self.nudge(handle, SHORT_S if paying and each.startswith("order/") else LONG_S)
                    for each, handle in running.items()
                )
            )

    async def _all_heard(self) -> bool:
        """Whether every charge of the channel has been told or asked: a callback may be on its way."""
        (row,) = await self.platform.rows("SELECT count(*) AS n FROM charges WHERE channel_id = %s", self.channel.id)
        return sum(len(each["charges"]) for each in await self.channel.truth()) == int(row["n"])

    async def nudge(self, handle: WorkflowHandle[Any, Any], seconds: float) -> None:
        """Give it a moment to end by itself; then let its clock run ahead by so much."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.7):
                await handle.result()
            return
        with suppress(TimeoutError, RPCError, RuntimeError):  # it has ended, or has something in hand
            async with asyncio.timeout(3.0):
                await self.platform.env.fast_forward(handle, seconds)


async def _runs(handle: WorkflowHandle[Any, Any]) -> bool:
    try:
        return (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    except RPCError:
        return False


Act = Callable[[Stage], Awaitable[None]]
"""What the payer does once the channel waits for them."""


async def pays(stage: Stage) -> None:
    await stage.channel.paid(stage.pay_id)


async def pays_twice(stage: Stage) -> None:
    await stage.channel.paid(stage.pay_id, times=2)


async def pays_late(stage: Stage) -> None:
    """When the payment is closed and its order gone."""
    await stage.rest()
    await stage.channel.paid(stage.pay_id, anyway=True)


async def pays_nothing(stage: Stage) -> None:
    """Its time runs out."""


@dataclass(frozen=True, slots=True)
class PayScenario:
    """One way of money. `ends`: what the shopper's orders may rest as, in alphabetical order.

    `orders`: how many one payment pays; `at_supplier`, `at_channel`: faults that they meet anyway; `coins_minor`,
    `voucher_minor`: what of it is not cash; `late_payment`: the product's rule.
    """

    name: str
    ends: frozenset[str]
    act: Act = pays
    orders: int = 1
    at_supplier: tuple[tuple[str, str], ...] = ()
    at_channel: tuple[tuple[str, str], ...] = ()
    coins_minor: int = 0
    voucher_minor: int = 0
    late_payment: str = "revive_expired"


_REJECT = (("confirm", "reject"),)
_ISSUED = frozenset({"issued"})
_REFUNDED = frozenset({"refunded"})
_CANCELED = frozenset({"canceled"})
_REVIVED = frozenset({"canceled, issued"})
_NOT_REVIVED = frozenset({"canceled, rejected", "canceled, refunded", "canceled"})
"""The successor asks for the same at the same price: where the world has changed, the money goes back.
What the channel takes after all while it is being closed is in time: then the order itself is issued."""

PAY_SCENARIOS = {
    each.name: each
    for each in (
        PayScenario("pay", _ISSUED),
        PayScenario("pay_query", _ISSUED, at_channel=(("pay", "callback_lost"),)),
        PayScenario("pay_two_orders", frozenset({"issued, issued"}), orders=2),
        PayScenario("pay_refund", _REFUNDED | _ISSUED, at_supplier=_REJECT),
        PayScenario(
            "pay_refund_pending", _REFUNDED | _ISSUED, at_supplier=_REJECT, at_channel=(("refund", "refund_pending"),)
        ),
        PayScenario("pay_late", _REVIVED | _NOT_REVIVED | _ISSUED, act=pays_late),
        PayScenario("pay_late_refund", _CANCELED | _ISSUED, act=pays_late, late_payment="refund"),
        PayScenario("pay_twice", _ISSUED, act=pays_twice),
        PayScenario(
            "pay_mixed", _REFUNDED | _ISSUED, at_supplier=_REJECT, coins_minor=PRICE_MINOR // 10,
            voucher_minor=PRICE_MINOR // 4,
        ),
        PayScenario("pay_unpaid", _CANCELED | _REVIVED | _NOT_REVIVED | _ISSUED, act=pays_nothing),
    )
}  # fmt: skip


@dataclass(slots=True)
class PayRun:
    """What came of one run. `wrong` is empty where all is well."""

    scenario: str
    faults: Sequence[Fault]
    shopper: str = ""
    pay_id: str = ""
    end: str = ""
    calls: list[tuple[str, int]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = " and ".join(map(str, self.faults)) or "no fault"
        return f"{self.scenario}, {told}: {self.shopper}, {self.pay_id} ended {self.end!r}; {'; '.join(self.wrong)}"


async def a_stage(platform: Platform, scenario: PayScenario) -> Stage:
    supplier = await platform.a_supplier(**SHORT)
    channel = await platform.a_channel(**PATIENT)
    await channel.behave(refund_late_ms=REFUND_LATE_MS)
    ticket = await platform.a_ticket(supplier, stock=3, late_payment=scenario.late_payment)
    for operation, kind in scenario.at_supplier:
        await supplier.next(operation, kind)
    for operation, kind in scenario.at_channel:
        await channel.next(operation, kind)
    return Stage(platform, await platform.a_shopper(), channel, supplier, ticket)


async def pay_run(
    platform: Platform, scenario: PayScenario, faults: Sequence[Fault] = (), *, hook: Hook | None = None
) -> PayRun:
    """One shopper through the scenario, with each fault striking where it is meant to, or a `hook` on its calls."""
    stage = await a_stage(platform, scenario)
    done = PayRun(scenario.name, faults, stage.shopper.id)
    world = World(platform, [stage.ticket], [stage.supplier], "house", stage.channel)

    async def strike(call: Call) -> Any:
        if (call.name, call.nth) not in done.calls:
            done.calls.append((call.name, call.nth))
        for fault in faults:
            if fault.strikes(call):
                return await KINDS[fault.kind](call, world)
        return await call.proceed()

    platform.interference.meet(stage.shopper.id, hook or strike)
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            balances = await _granted(stage, scenario)
            others = [await platform.a_ticket(stage.supplier, stock=3) for _ in range(scenario.orders - 1)]
            stage.orders = [await platform.bought(stage.shopper, each) for each in (stage.ticket, *others)]
            await begin(stage, balances)
            done.pay_id = stage.pay_id
            await scenario.act(stage)
            await stage.rest()
    except (TimeoutError, AssertionError) as lost:
        done.wrong.append(f"did not come to rest: {type(lost).__name__} {lost}")
    await _judge(stage, scenario, done)
    done.wrong += [f"{fault} was not reached" for fault in faults if not fault.reached]
    return done


async def _granted(stage: Stage, scenario: PayScenario) -> dict[str, Any]:
    """What the shopper pays with beside cash, as the payment's body names it."""
    platform = stage.platform
    body: dict[str, Any] = {}
    if scenario.coins_minor:
        amount = {"amount_minor": scenario.coins_minor, "currency": "CNY"}
        path = f"/v1/users/{stage.shopper.id}/coins"
        grant = {"amount": amount, "campaign": "spring", "reason": "a gift"}
        answer = await platform.api.post(path, json=grant, headers=platform.operator.once(f"coins-{stage.shopper.id}"))
        assert answer.status_code == 201, answer.text
        body["coins_minor"] = scenario.coins_minor
    if scenario.voucher_minor:
        until = (datetime.now(UTC) + timedelta(days=90)).isoformat()
        amount = {"amount_minor": scenario.voucher_minor, "currency": "CNY"}
        voucher = {"amount": amount, "campaign": "spring", "expires_at": until, "user_id": stage.shopper.id}
        headers = platform.operator.once(f"voucher-{stage.shopper.id}")
        answer = await platform.api.post("/v1/vouchers", json=voucher, headers=headers)
        assert answer.status_code == 201, answer.text
        body["voucher_ids"] = [answer.json()["id"]]
    return body


async def begin(stage: Stage, body: dict[str, Any]) -> None:
    """As a patient shopper does it: a request without an answer is sent again with the same key, one that was accepted
    is looked at until the channel waits, and what is declined is tried once more with another key."""
    for attempt in range(2):
        key = f"{stage.shopper.id}-{attempt}"
        answer = await stage.platform.answered(lambda key=key: _send(stage, key, body))  # type: ignore[misc]
        if answer.is_success and await _is_waited_for(stage, str(answer.json()["id"])):
            return
        assert answer.is_success or answer.json()["code"] == "payment_declined", answer.text
    raise AssertionError("declined twice")


async def _send(stage: Stage, key: str, body: dict[str, Any]) -> Response:
    return await stage.platform.begin_payment(stage.shopper, *stage.orders, channel=stage.channel, key=key, **body)


async def _is_waited_for(stage: Stage, pay_id: str) -> bool:
    """Once the channel has answered: whether it lets the payer pay."""
    stage.pay_id = pay_id
    while (status := (await stage.platform.payment(pay_id))["status"]) == "created":
        await stage.nudge(stage.platform.payment_host(pay_id), SHORT_S)
    return bool(status not in ("failed", "closed"))


# --- judging -------------------------------------------------------------------------------------------------------


async def _judge(stage: Stage, scenario: PayScenario, done: PayRun) -> None:
    """Where its orders ended, and that every minor unit is where it should be."""
    rows = await stage.platform.rows("SELECT status FROM orders WHERE buyer_ref = %s", stage.shopper.id)
    done.end = ", ".join(sorted(row["status"] for row in rows))
    if done.end not in scenario.ends:
        done.wrong.append(f"ended {done.end!r}, not {' or '.join(sorted(scenario.ends))}")
    done.wrong += await _money_wrong(stage)
    if scenario.coins_minor and "issued" not in done.end:
        done.wrong += await _balances_wrong(stage, scenario)


async def _money_wrong(stage: Stage) -> list[str]:
    """Charged at the channel less given back there = what paid for issued orders + what waits for a person."""
    (row,) = await stage.platform.rows(
        "SELECT (SELECT coalesce(sum(p.cash_minor), 0) FROM pay_order_parts p JOIN pay_orders o ON o.id = p.pay_id "
        "        JOIN orders t ON t.order_no = coalesce(p.successor_no, p.order_no) "
        "        WHERE o.channel_id = c.id AND p.state = 'served' AND t.status = 'issued') AS kept, "
        "       (SELECT coalesce(sum(amount_minor - refunded_minor), 0) FROM charges "
        "        WHERE channel_id = c.id AND verdict IN ('wrong_amount', 'unknown')) AS with_a_person, "
        "       (SELECT count(*) FROM refunds WHERE channel_id = c.id AND state <> 'refunded') AS unfinished, "
        "       (SELECT coalesce(sum(debits_minor - credits_minor), 0) FROM ledger_balances "
        "        WHERE account = 'channel:' || c.id || ':clearing') AS booked, "
        "       (SELECT coalesce(sum(debits_minor - credits_minor), 0) FROM ledger_balances "
        "        WHERE account = 'buyer:' || %s || ':unapplied') AS owed FROM payment_channels c WHERE c.id = %s",
        stage.shopper.id, stage.channel.id,
    )  # fmt: skip
    held = await stage.channel.held_minor()
    wrong = []
    if held != row["kept"] + row["with_a_person"] or held != row["booked"]:
        wrong.append(f"the channel holds {held}, and of that {dict(row)}")
    if row["unfinished"] or row["owed"]:
        wrong.append(f"{row['unfinished']} refunds are not finished, the buyer is owed {-row['owed']}")
    return wrong


async def _balances_wrong(stage: Stage, scenario: PayScenario) -> list[str]:
    """Coins and voucher are the shopper's again, whole."""
    (row,) = await stage.platform.rows(
        "SELECT (SELECT balance_minor - held_minor FROM coin_accounts WHERE buyer_id = %s) AS coins, "
        "       (SELECT sum(balance_minor - held_minor) FROM vouchers WHERE buyer_id = %s) AS vouchers",
        stage.shopper.id, stage.shopper.id,
    )  # fmt: skip
    found = (row["coins"], row["vouchers"])
    wanted = (scenario.coins_minor, scenario.voucher_minor)
    return [] if found == wanted else [f"the shopper has {found} of coins and vouchers, not {wanted}"]


async def pay_calls(platform: Platform, scenario: PayScenario) -> list[tuple[str, int]]:
    """Every activity call that the scenario makes when nothing goes wrong."""
    nominal = await pay_run(platform, scenario)
    assert not nominal.wrong, str(nominal)
    return nominal.calls
