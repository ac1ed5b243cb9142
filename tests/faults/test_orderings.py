"""Whatever is heard of a payment, in whichever order and however often: it ends in the same right state.

`make faults` plays every ordering; the suite a sample.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest

from tests.faults.orderings import (
    FAILED,
    ORDER_CANCELED,
    PAID,
    PERMUTATIONS,
    STALE,
    TERMS,
    Family,
    Ordering,
    all_orderings,
    doubled,
    trials,
)
from tests.platform import Platform

AT_ONCE = 12
SAMPLE = 10
SEED = int(os.environ.get("FAULTS_SEED", "20261122"))


async def ledger_of(platform: Platform, account: str) -> int:
    rows = await platform.rows(
        "SELECT coalesce(sum(debits_minor - credits_minor), 0)::bigint AS minor FROM ledger_balances "
        "WHERE account = %s",
        account,
    )
    return int(rows[0]["minor"])


async def played(platform: Platform, orderings: Sequence[Ordering], what: str) -> None:
    """Says what was done in one line, and fails on anything wrong."""
    channel = await platform.a_channel(**TERMS)
    await channel.falls_silent()
    ticket = await platform.traders.a_ticket(stock=10 * len(orderings))
    done = await trials(platform, channel, ticket, orderings, AT_ONCE)
    violations = await platform.violations()
    wrong = [str(each) for each in done if each.wrong]
    late = sum(each.late for each in done)
    print(
        f"\norderings: {what}: {len(done)} orderings, {late} whose time ran out too early, {len(wrong)} wrong ends, "
        f"{len(violations)} violations"
    )
    assert not wrong, "\n".join(wrong)
    assert not violations, "\n".join(map(str, violations))
    assert await ledger_of(platform, f"channel:{channel.id}:clearing") == await channel.held_minor()
    owed = await platform.rows(
        "SELECT account FROM ledger_balances WHERE account ~ '^buyer:.*:unapplied$' "
        "GROUP BY account HAVING sum(debits_minor) <> sum(credits_minor)"
    )
    assert not owed


def test_every_ordering_is_there() -> None:
    assert len(PERMUTATIONS) == len(set(PERMUTATIONS)) == 120
    assert len(set(doubled(PAID, random.Random(1)))) > 500


async def test_a_payment_ends_the_same_in_any_order_of_what_is_heard_of_it(platform: Platform) -> None:
    chance = random.Random(SEED)
    orderings = [
        *chance.sample(all_orderings(PAID), SAMPLE),
        *chance.sample(doubled(PAID, chance), SAMPLE),
        *chance.sample(all_orderings(STALE), SAMPLE // 2),
        *chance.sample(all_orderings(FAILED), SAMPLE // 2),
        *chance.sample(all_orderings(ORDER_CANCELED), SAMPLE),
    ]
    await played(platform, orderings, f"a sample, seed {SEED}")


@pytest.mark.long
@pytest.mark.parametrize("family", [PAID, STALE, FAILED, ORDER_CANCELED], ids=lambda family: family.name)
async def test_a_payment_ends_the_same_in_every_order(platform: Platform, family: Family) -> None:
    await played(platform, all_orderings(family), family.name)


@pytest.mark.long
async def test_a_payment_ends_the_same_with_anything_heard_twice(platform: Platform) -> None:
    print(f"\nseed {SEED}")
    await played(platform, doubled(PAID, random.Random(SEED)), f"paid, each event twice, seed {SEED}")
