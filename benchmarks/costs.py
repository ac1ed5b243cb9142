"""What a stretch of work cost: CPU by process, statements and transactions of PostgreSQL, durable steps of Temporal."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psutil
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from benchmarks.world import World
from storage.database import Database

_MARKER = EventType.EVENT_TYPE_MARKER_RECORDED


@dataclass(frozen=True, slots=True)
class Meter:
    """Counters that only rise, as they stand: CPU seconds by process, statements and transactions of all clients."""

    cpu_s: dict[str, float]
    statements: int
    transactions: int

    @classmethod
    async def read(cls, world: World) -> Meter:
        """Our own reading counts too: three statements in three transactions, per reading."""
        statements, transactions = await _sql(world.database)
        cpu_s = {name: _cpu_s(process) for name, process in world.processes.items()}
        return cls(cpu_s, statements, transactions)

    def since(self, before: Meter, orders: int) -> dict[str, float]:
        """What one of `orders` orders cost since then, by name; CPU in milliseconds."""
        cost = {
            f"{name} CPU ms": 1000 * (self.cpu_s[name] - before.cpu_s[name]) / orders for name in sorted(self.cpu_s)
        }
        cost["all CPU ms"] = sum(cost.values())
        cost["SQL statements"] = (self.statements - before.statements) / orders
        cost["transactions"] = (self.transactions - before.transactions) / orders
        return cost


def _cpu_s(process: psutil.Process) -> float:
    """Of a process and those it has begun, ended ones included: PostgreSQL has one for every connection.

    Of this very process alone: the whole stack is begun by it.
    """
    if process.pid == os.getpid():
        return time.process_time()
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


async def _sql(database: Database) -> tuple[int, int]:
    """BEGIN and COMMIT are no statements of ours; each transaction has a pair."""
    async with database.reading() as cx:
        await cx.execute("SELECT pg_stat_clear_snapshot()")
        cursor = await cx.execute(
            "SELECT coalesce(sum(calls) FILTER (WHERE query NOT IN ('BEGIN', 'COMMIT', 'ROLLBACK')), 0)::bigint AS n "
            "FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        statements = await cursor.fetchone()
        cursor = await cx.execute(
            "SELECT xact_commit + xact_rollback AS n FROM pg_stat_database WHERE datname = current_database()"
        )
        transactions = await cursor.fetchone()
    assert statements is not None
    assert transactions is not None
    return int(statements["n"]), int(transactions["n"])


async def top_statements(database: Database, limit: int = 40) -> list[dict[str, Any]]:
    """What took PostgreSQL's time since it began."""
    async with database.reading() as cx:
        cursor = await cx.execute(
            "SELECT calls, round(total_exec_time::numeric) AS total_ms, round(mean_exec_time::numeric, 3) AS mean_ms, "
            "left(regexp_replace(query, '\\s+', ' ', 'g'), 110) AS query "
            "FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT %s",
            (limit,),
        )
        return list(await cursor.fetchall())


@dataclass(frozen=True, slots=True)
class History:
    """What one workflow made Temporal keep."""

    workflow_tasks: float
    activities: float
    local_activities: float
    timers: float
    events: float
    bytes: float

    def named(self) -> dict[str, float]:
        return {name.replace("_", " "): float(getattr(self, name)) for name in self.__slots__}


async def history_of(client: Client, workflow_ids: Sequence[str]) -> History:
    """The mean over these workflows."""
    kinds: Counter[int] = Counter()
    size = locals_run = 0
    for workflow_id in workflow_ids:
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        size += sum(event.ByteSize() for event in history.events)
        kinds.update(event.event_type for event in history.events)
        locals_run += sum(
            event.marker_recorded_event_attributes.marker_name == "core_local_activity"
            for event in history.events
            if event.event_type == _MARKER
        )
    n = len(workflow_ids)
    return History(
        workflow_tasks=kinds[EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED] / n,
        activities=kinds[EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED] / n,
        local_activities=locals_run / n,
        timers=kinds[EventType.EVENT_TYPE_TIMER_STARTED] / n,
        events=sum(kinds.values()) / n,
        bytes=size / n,
    )
