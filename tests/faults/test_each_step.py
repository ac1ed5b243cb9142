"""Every call of every scenario meets every fault once: nothing is lost, nothing is done twice, everything rests.

`make faults` runs all scenarios and pairs of faults; the suite runs the way of most orders, and that of a code.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from functools import partial

import pytest

from tests.faults.kinds import KINDS, Fault
from tests.faults.scenarios import SCENARIOS, Run, all_of, calls_of, run
from tests.platform import Platform

AT_ONCE = 12
PAIRS = 40
SHORT = ("issue", "codes")
SEED = int(os.environ.get("FAULTS_SEED", "20261122"))


async def judged(platform: Platform, runs: Sequence[Run], calls: int, what: str) -> None:
    """Says what was done in one line, and fails on anything wrong."""
    violations = await platform.violations()
    reached = sum(fault.reached for each in runs for fault in each.faults)
    wrong = [str(each) for each in runs if each.wrong]
    print(
        f"\nfaults: {what}: {len(runs)} runs, {calls} calls, {len(KINDS)} kinds, {reached} faults reached, "
        f"{len(wrong)} wrong ends, {len(violations)} violations"
    )
    owners = {str(each.order_no): str(each) for each in runs}
    told = [f"{violation} <- {owners.get(re.split('[/ ]', violation.subject)[0], '?')}" for violation in violations]
    assert not wrong, "\n".join(wrong)
    assert not violations, "\n".join(told)


async def every_single_fault(platform: Platform, name: str) -> None:
    scenario = SCENARIOS[name]
    calls = await calls_of(platform, scenario)
    faults = [Fault(call, nth, kind) for call, nth in calls for kind in KINDS]
    runs = await all_of([partial(run, platform, scenario, [fault]) for fault in faults], AT_ONCE)
    assert len(runs) == len(calls) * len(KINDS)
    await judged(platform, runs, len(calls), name)


@pytest.mark.parametrize("name", SHORT)
async def test_an_order_survives_any_fault_at_any_of_its_steps(platform: Platform, name: str) -> None:
    await every_single_fault(platform, name)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in SHORT])
async def test_every_scenario_survives_any_fault_at_any_step(platform: Platform, name: str) -> None:
    await every_single_fault(platform, name)


@pytest.mark.long
@pytest.mark.parametrize("name", ["issue", "issue_locked", "two_lines", "negotiate", "parcel", "mixed"])
async def test_pairs_of_faults_do_not_add_up_to_a_loss(platform: Platform, name: str) -> None:
    """A sample by seed: FAULTS_SEED=<n> repeats it."""
    print(f"\nseed {SEED}")
    scenario, chance = SCENARIOS[name], random.Random(f"{SEED}/{name}")
    calls = await calls_of(platform, scenario)
    singles = [(call, nth, kind) for call, nth in calls for kind in KINDS]
    samples = [chance.sample(singles, 2) for _ in range(PAIRS)]
    pairs = [[Fault(*each) for each in sample] for sample in samples]
    runs = await all_of([partial(run, platform, scenario, pair) for pair in pairs], AT_ONCE)
    for each in runs:  # the first may turn the order where the second's call is never made
        each.wrong = [wrong for wrong in each.wrong if not wrong.endswith("was not reached")]
        assert any(fault.reached for fault in each.faults), str(each)
    await judged(platform, runs, len(calls), f"pairs of {name}, seed {SEED}")
