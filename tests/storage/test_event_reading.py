"""The feed of events: whoever reads on from the last one sees each event once and per subject in order, however the
transactions that write them overlap."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest

from storage.database import Connection, Database
from storage.event_reading import EventFilter, list_events

EVERYTHING = EventFilter()


async def write(cx: Connection, key: str, subject: str = "s", distributor: str = "north") -> None:
    await cx.execute(
        "INSERT INTO outbox_events (key, kind, distributor_id, subject_kind, subject_id, body, at) "
        "VALUES (%s, 'order.locked', %s, 'order', %s, '{}', now())",
        (key, distributor, subject),
    )


class Follower:
    """Somebody who reads on from the last event seen."""

    def __init__(self, database: Database, narrowed: EventFilter = EVERYTHING, limit: int = 3) -> None:
        self._database, self._narrowed, self._limit = database, narrowed, limit
        self._after: tuple[int, int] | None = None
        self.seen: list[int] = []
        self.subjects: dict[str, list[int]] = {}

    async def read(self) -> int:
        async with self._database.reading() as cx:
            rows = await list_events(cx, self._narrowed, after=self._after, limit=self._limit)
        for row in rows:
            self._after = row["position"], row["id"]
            self.seen.append(row["id"])
            self.subjects.setdefault(row["subject_id"], []).append(row["id"])
        return len(rows)


@asynccontextmanager
async def begun(database: Database) -> AsyncIterator[Connection]:
    """A transaction that has its id already, as one that wrote something else before has."""
    async with database.transaction() as cx:
        await cx.execute("SELECT pg_current_xact_id()")
        yield cx


async def test_an_event_that_commits_late_with_a_smaller_id_is_not_missed(database: Database) -> None:
    follower = Follower(database)
    async with AsyncExitStack() as late:
        slow = await late.enter_async_context(begun(database))
        await write(slow, "slow", "a")
        async with database.transaction() as cx:
            await write(cx, "quick", "b")
        assert await follower.read() == 0
    assert await follower.read() == 2
    assert follower.seen == sorted(follower.seen)


async def test_an_older_transaction_that_writes_after_a_younger_one_hides_nothing(database: Database) -> None:
    """The case in which ordering by id behind a horizon of transactions misses: old xid with the larger event id."""
    follower = Follower(database)
    async with AsyncExitStack() as of_old, AsyncExitStack() as of_young:
        old = await of_old.enter_async_context(begun(database))
        young = await of_young.enter_async_context(begun(database))
        await write(young, "young", "a")
        await write(old, "old", "b")
        await of_old.aclose()
        assert await follower.read() == 1
        await of_young.aclose()
        assert await follower.read() == 1
    assert len(set(follower.seen)) == 2


async def test_a_subjects_events_keep_their_order_when_the_older_transaction_writes_last(database: Database) -> None:
    follower = Follower(database)
    async with begun(database) as old:
        async with database.transaction() as cx:
            await write(cx, "first", "order")
        await write(old, "second", "order")
    assert await follower.read() == 2
    assert follower.seen == sorted(follower.seen)


async def test_the_place_is_the_databases_to_give(database: Database) -> None:
    async with database.transaction() as cx:
        await cx.execute(
            "INSERT INTO outbox_events (key, kind, subject_kind, subject_id, body, at, position) "
            "VALUES ('k', 'x', 'order', 's', '{}', now(), 9000000000000000000)"
        )
    assert await Follower(database).read() == 1


@pytest.mark.parametrize("seed", range(3))
async def test_followers_miss_nothing_while_writers_overlap(database: Database, seed: int) -> None:
    """Six writers whose transactions last, roll back and share subjects; two followers with small pages."""
    dice = random.Random(seed)
    everything, one = Follower(database), Follower(database, EventFilter(subject_id="s1"))
    writing = True

    async def writer(number: int) -> None:
        for turn in range(25):
            try:
                async with database.transaction() as cx:
                    if dice.random() < 0.5:
                        await cx.execute("SELECT pg_current_xact_id()")
                    await asyncio.sleep(dice.random() * 0.01)
                    subject = f"s{dice.randrange(4)}"
                    await cx.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (subject,))
                    for each in range(dice.randrange(1, 3)):
                        await write(cx, f"{number}/{turn}/{each}", subject)
                    await asyncio.sleep(dice.random() * 0.01)
                    if dice.random() < 0.2:
                        raise psycopg.Rollback
            except psycopg.Rollback:
                pass

    async def follow(follower: Follower) -> None:
        while True:
            last = not writing
            if await follower.read() == 0 and last:
                return
            await asyncio.sleep(0.001)

    async def write_all() -> None:
        nonlocal writing
        await asyncio.gather(*(writer(number) for number in range(6)))
        writing = False

    async with asyncio.timeout(60):
        await asyncio.gather(write_all(), follow(everything), follow(one))
    async with database.reading() as cx:
        cursor = await cx.execute("SELECT id, subject_id FROM outbox_events ORDER BY id")
        written = await cursor.fetchall()
    assert len(written) > 100, f"seed {seed}: the writers wrote too little"
    assert sorted(everything.seen) == [row["id"] for row in written], f"seed {seed}"
    for subject, ids in everything.subjects.items():
        assert ids == [row["id"] for row in written if row["subject_id"] == subject], f"seed {seed}, {subject}"
    assert one.seen == everything.subjects["s1"], f"seed {seed}"
