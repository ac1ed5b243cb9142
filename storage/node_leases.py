"""Leases of the id generator's node numbers: one process holds a node at a time, whatever freezes or dies.

`last_ms` is the node's high-water mark by its holders' own clocks: while a node is leased, the highest time its holder
may put into a number (so a crash needs no last word); after a release, the highest it did. The next holder starts above
it. The rows of all nodes are made by the migration.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage.database import Connection

_ACQUIRE = """
WITH free AS (
    SELECT node, last_ms FROM node_leases
    WHERE leased_until < clock_timestamp() AND last_ms < %(now_ms)s
    ORDER BY leased_until, node LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE node_leases AS lease
SET holder = %(holder)s, leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    last_ms = %(now_ms)s + %(lease_s)s * 1000
FROM free WHERE lease.node = free.node
RETURNING lease.node, free.last_ms AS used_until_ms, lease.last_ms AS ends_ms
"""

_RENEW = """
UPDATE node_leases
SET leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s),
    last_ms = greatest(last_ms, %(now_ms)s + %(lease_s)s * 1000)
WHERE node = %(node)s AND holder = %(holder)s
RETURNING last_ms AS ends_ms
"""

_RELEASE = """
UPDATE node_leases SET leased_until = clock_timestamp() - interval '1 second', last_ms = %(last_ms)s, holder = ''
WHERE node = %(node)s AND holder = %(holder)s
"""


@dataclass(frozen=True, slots=True)
class NodeLease:
    """A node of ours: numbers' times lie in (`used_until_ms`, `ends_ms`), in milliseconds since 1970."""

    node: int
    holder: str
    used_until_ms: int
    ends_ms: int


async def acquire_node(cx: Connection, *, holder: str, now_ms: int, lease_s: int) -> NodeLease | None:
    """Leases the node that has been free for longest; None when there is none. `now_ms` is the caller's clock.

    `holder` names one process' one lease and must be unique. Nodes with a mark in the caller's future are passed over.
    """
    cursor = await cx.execute(_ACQUIRE, {"holder": holder, "now_ms": now_ms, "lease_s": lease_s})
    row = await cursor.fetchone()
    return None if row is None else NodeLease(row["node"], holder, row["used_until_ms"], row["ends_ms"])


async def renew_node(cx: Connection, *, node: int, holder: str, now_ms: int, lease_s: int) -> int | None:
    """Prolongs the lease and returns its new end in milliseconds; None when another process holds the node by now.

    A lease that has run out and that nobody took meanwhile is ours again.
    """
    cursor = await cx.execute(_RENEW, {"node": node, "holder": holder, "now_ms": now_ms, "lease_s": lease_s})
    row = await cursor.fetchone()
    return None if row is None else int(row["ends_ms"])


async def release_node(cx: Connection, *, node: int, holder: str, last_ms: int) -> None:
    """Gives the node back at once, with the highest time that was used. Does nothing for a node that isn't ours."""
    await cx.execute(_RELEASE, {"node": node, "holder": holder, "last_ms": last_ms})
