"""Two processes never share a node: not at once, not after a crash, not with clocks that disagree."""

from __future__ import annotations

import asyncio

import pytest

from domain.ids import NodeLeaseLost, parts
from storage.database import Database
from storage.ids import LeasedIds, NoFreeNode
from storage.node_leases import NodeLease, acquire_node, release_node, renew_node

NOW_MS = 1_800_000_000_000


class Clock:
    """A clock that a test sets."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


async def acquire(database: Database, holder: str, now_ms: int = NOW_MS) -> NodeLease | None:
    async with database.transaction() as cx:
        return await acquire_node(cx, holder=holder, now_ms=now_ms, lease_s=60)


async def leave_nodes(database: Database, free: int) -> None:
    """All nodes but `free` ones are leased for long."""
    async with database.transaction() as cx:
        await cx.execute(
            "UPDATE node_leases SET holder = 'other', leased_until = now() + interval '1 hour' WHERE node >= %s",
            (free,),
        )


async def expire(database: Database, node: int) -> None:
    """As if the lease's time had passed."""
    async with database.transaction() as cx:
        await cx.execute("UPDATE node_leases SET leased_until = now() - interval '1 ms' WHERE node = %s", (node,))


async def test_concurrent_acquisitions_get_different_nodes_and_no_more_than_there_are(database: Database) -> None:
    await leave_nodes(database, 20)

    leases = await asyncio.gather(*(acquire(database, f"p{number}") for number in range(30)))

    nodes = [lease.node for lease in leases if lease is not None]
    assert len(nodes) == len(set(nodes)) == 20


async def test_an_expired_node_goes_to_one_new_holder_who_starts_above_the_old_ones_bound(database: Database) -> None:
    await leave_nodes(database, 1)
    first = await acquire(database, "first")
    assert first is not None
    await expire(database, first.node)

    too_early = await acquire(database, "hasty", now_ms=first.ends_ms)
    later = [await acquire(database, f"later{number}", now_ms=first.ends_ms + 1) for number in range(2)]

    assert too_early is None  # by its clock the first holder's numbers may still come
    assert [lease is not None for lease in later] == [True, False]
    assert later[0] is not None
    assert later[0].used_until_ms == first.ends_ms


async def test_a_holder_that_lost_its_node_can_neither_renew_nor_release_it(database: Database) -> None:
    await leave_nodes(database, 1)
    first = await acquire(database, "first")
    assert first is not None
    await expire(database, first.node)
    second = await acquire(database, "second", now_ms=first.ends_ms + 1)
    assert second is not None

    async with database.transaction() as cx:
        assert await renew_node(cx, node=0, holder="first", now_ms=NOW_MS, lease_s=60) is None
        await release_node(cx, node=0, holder="first", last_ms=NOW_MS)

    assert await acquire(database, "third", now_ms=second.ends_ms + 1) is None


async def test_a_released_node_is_free_at_once_above_its_last_number(database: Database) -> None:
    await leave_nodes(database, 1)
    clock = Clock()
    async with LeasedIds(database, clock_ms=clock) as ids:
        number = ids.next("buyer")

    lease = await acquire(database, "next", now_ms=NOW_MS + 1)

    assert lease is not None
    assert lease.used_until_ms == parts(number).at_ms == NOW_MS


async def test_numbers_stop_when_the_lease_ends_and_go_on_after_a_renewal(database: Database) -> None:
    clock = Clock()
    async with LeasedIds(database, lease_s=60, clock_ms=clock) as ids:
        clock.now_ms += 59_999
        ids.next("buyer")
        clock.now_ms += 1
        with pytest.raises(NodeLeaseLost):
            ids.next("buyer")

        await ids.renew()

        assert parts(ids.next("buyer")).at_ms == NOW_MS + 60_000


async def test_a_frozen_process_takes_another_node_and_repeats_no_number(database: Database) -> None:
    clock, other_clock = Clock(), Clock()
    async with LeasedIds(database, clock_ms=clock) as frozen:
        numbers = {frozen.next("buyer") for _ in range(100)}
        node = frozen.node
        await expire(database, node)
        await leave_nodes(database, 2)
        async with database.transaction() as cx:
            await cx.execute("UPDATE node_leases SET leased_until = now() + interval '1 hour' WHERE node = 1")
        clock.now_ms += 60_001
        other_clock.now_ms = clock.now_ms
        async with LeasedIds(database, clock_ms=other_clock) as other:
            assert other.node == node
            numbers |= {other.next("buyer") for _ in range(100)}
            with pytest.raises(NodeLeaseLost):
                frozen.next("buyer")
            with pytest.raises(NoFreeNode):
                await frozen.renew()
            await expire(database, 1)
            await frozen.renew()
            assert frozen.node == 1
            numbers |= {frozen.next("buyer") for _ in range(100)}

    assert len(numbers) == 300
