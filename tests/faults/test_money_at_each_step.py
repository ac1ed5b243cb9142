"""Every call of every payment and refund meets every fault once: no money is lost, none is taken or given back twice.

`make faults` runs all scenarios and pairs of faults; the suite runs the way of most payments.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from functools import partial

import pytest

from api import payment_host
from tests.faults.kinds import KINDS, Fault
from tests.faults.pay_scenarios import PAY_SCENARIOS, PayRun, pay_calls, pay_run
from tests.faults.scenarios import all_of
from tests.platform import Platform

AT_ONCE = 12
PAIRS = 40
SHORT = ("pay",)
SEED = int(os.environ.get("FAULTS_SEED", "20261122"))


async def judged(platform: Platform, runs: Sequence[PayRun], calls: int, what: str) -> None:
    """Says what was done in one line, and fails on anything wrong."""
    violations = await platform.violations()
    reached = sum(fault.reached for each in runs for fault in each.faults)
    wrong = [str(each) for each in runs if each.wrong]
    print(
        f"\nfaults: {what}: {len(runs)} runs, {calls} calls, {len(KINDS)} kinds, {reached} faults reached, "
        f"{len(wrong)} wrong ends, {len(violations)} violations"
    )
    assert not wrong, "\n".join(wrong)
    assert not violations, "\n".join(map(str, violations))


async def every_single_fault(platform: Platform, name: str, at: frozenset[str] = frozenset()) -> None:
    """`at`: only at calls of these names, where any is given."""
    scenario = PAY_SCENARIOS[name]
    calls = [each for each in await pay_calls(platform, scenario) if not at or each[0] in at]
    assert calls, at
    faults = [Fault(call, nth, kind) for call, nth in calls for kind in KINDS]
    runs = await all_of([partial(pay_run, platform, scenario, [fault]) for fault in faults], AT_ONCE)
    assert len(runs) == len(calls) * len(KINDS)
    await judged(platform, runs, len(calls), name)


@pytest.mark.parametrize("name", SHORT)
async def test_money_survives_any_fault_at_any_step(platform: Platform, name: str) -> None:
    await every_single_fault(platform, name)


async def test_what_was_paid_twice_goes_back_whatever_befalls_its_booking(platform: Platform) -> None:
    """The refund that is asked for there has to be started, also by a repetition that finds all of it booked."""
    await every_single_fault(platform, "pay_twice", at=frozenset({"book_charges"}))


async def test_a_payment_whose_process_is_gone_is_noticed(platform: Platform) -> None:
    """What every run here is judged by can fail."""
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    order_no = await platform.bought(shopper, ticket)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    host = payment_host.of_payment(pay_id)
    await platform.payment_host(pay_id).terminate("an accident")
    found = [(each.invariant, each.subject) for each in await platform.violations()]
    assert found == [("money_has_workflow", host.id)]

    await payment_host.host_again(platform.env.client, host)

    await channel.paid(pay_id)
    await platform.until_status(order_no, "issued")
    await platform.payment_settled(pay_id)
    assert not await platform.violations()


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in PAY_SCENARIOS if name not in SHORT])
async def test_money_of_every_scenario_survives_any_fault_at_any_step(platform: Platform, name: str) -> None:
    await every_single_fault(platform, name)


@pytest.mark.long
@pytest.mark.parametrize("name", ["pay", "pay_refund"])
async def test_pairs_of_faults_lose_no_money(platform: Platform, name: str) -> None:
    """A sample by seed: FAULTS_SEED=<n> repeats it."""
    print(f"\nseed {SEED}")
    scenario, chance = PAY_SCENARIOS[name], random.Random(f"{SEED}/{name}")
    calls = await pay_calls(platform, scenario)
    singles = [(call, nth, kind) for call, nth in calls for kind in KINDS]
    pairs = [[Fault(*each) for each in chance.sample(singles, 2)] for _ in range(PAIRS)]
    runs = await all_of([partial(pay_run, platform, scenario, pair) for pair in pairs], AT_ONCE)
    for each in runs:  # the first may turn the payment where the second's call is never made
        each.wrong = [wrong for wrong in each.wrong if not wrong.endswith("was not reached")]
        assert any(fault.reached for fault in each.faults), str(each)
    await judged(platform, runs, len(calls), f"pairs of {name}, seed {SEED}")
