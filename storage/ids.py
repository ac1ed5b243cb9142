"""Numbers for this process: a leased node, kept alive in the background, and the generator that runs on it."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable

import structlog
from psycopg import Error
from psycopg_pool import PoolTimeout

from domain.ids import IdGenerator, gene_of
from storage import node_leases
from storage.database import Database
from storage.node_leases import NodeLease

_log = structlog.get_logger(__name__)


class NoFreeNode(RuntimeError):
    """All nodes are leased (or their marks lie in the future of this machine's clock)."""

    def __init__(self) -> None:
        super().__init__("no node number is free: too many processes run, or this machine's clock is behind")


def wall_clock_ms() -> int:
    """Milliseconds since 1970 by the machine's clock."""
    return time.time_ns() // 1_000_000


class LeasedIds:
    """`async with LeasedIds(database) as ids:` then `ids.next(buyer)`.

    Renews three times per lease. When renewals fail the numbers go on until the lease ends and are then refused
    (NodeLeaseLost) until a renewal, or a new lease of another node, has worked.
    """

    def __init__(self, database: Database, *, lease_s: int = 60, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._database = database
        self._lease_s = lease_s
        self._clock_ms = clock_ms
        self._ends_ms = 0
        self._generator: IdGenerator | None = None
        self._lease: NodeLease | None = None
        self._renewal: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LeasedIds:
        await self._acquire()
        self._renewal = asyncio.create_task(self._keep(), name="renew-node-lease")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        lease, generator = self._lease, self._generator
        self._lease = self._generator = None
        if lease is None or generator is None:
            return
        try:
            async with self._database.transaction() as cx:
                await node_leases.release_node(cx, node=lease.node, holder=lease.holder, last_ms=generator.last_ms)
        except (Error, PoolTimeout) as failure:
            # The lease runs out by itself: nothing is lost but a minute of one node.
            _log.warning("node_lease.not_released", node=lease.node, reason=str(failure))

    @property
    def node(self) -> int:
        """The node that is leased now."""
        return self._running().node

    def next(self, buyer: int | str) -> int:
        """A new number in `buyer`'s shard. Raises ClockMovedBack, NodeLeaseLost: both mean that nothing was given."""
        return self._running().next(gene_of(buyer))

    def _running(self) -> IdGenerator:
        if self._generator is None:
            raise RuntimeError("LeasedIds gives numbers only inside its `async with`")
        return self._generator

    async def _acquire(self) -> None:
        holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(6)}"
        async with self._database.transaction() as cx:
            lease = await node_leases.acquire_node(cx, holder=holder, now_ms=self._clock_ms(), lease_s=self._lease_s)
        if lease is None:
            raise NoFreeNode
        self._lease = lease
        self._ends_ms = lease.ends_ms
        self._generator = IdGenerator(
            lease.node, self._clock_ms, time.sleep, lease.used_until_ms, lambda: self._ends_ms
        )
        _log.info("node_lease.acquired", node=lease.node, holder=holder)

    async def renew(self) -> None:
        """One renewal; a node that another process has taken meanwhile is replaced by a new one."""
        lease = self._lease
        if lease is None:
            return
        async with self._database.transaction() as cx:
            ends_ms = await node_leases.renew_node(
                cx, node=lease.node, holder=lease.holder, now_ms=self._clock_ms(), lease_s=self._lease_s
            )
        if ends_ms is None:
            _log.warning("node_lease.lost", node=lease.node)
            await self._acquire()
        else:
            self._ends_ms = ends_ms

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self.renew()
            except (Error, PoolTimeout, NoFreeNode) as failure:
                _log.warning("node_lease.not_renewed", reason=str(failure))
