"""Between a worker and its activities: tests see every call there, and decide what becomes of it.

Local activities pass here too, and what the deliveries of an order's lines do. An order is known by its buyer's
reference, which a test gives before it places.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from storage.database import Database


@dataclass(frozen=True, slots=True)
class Call:
    """One execution. `nth` counts the order's calls of that name from 1; an execution that repeats one has its number.

    `proceed` does what the activity does; it may be awaited never, once or twice.
    """

    name: str
    nth: int
    attempt: int
    order_no: int
    message: Any
    is_local: bool
    timeout_s: float
    proceed: Callable[[], Awaitable[Any]]


Hook = Callable[[Call], Awaitable[Any]]

_OF_AN_ORDER = re.compile(r"(?:order|delivery)/(\d+)")
"""Ids of workflows whose calls are an order's: its own, and those of its lines' deliveries."""


class Interference(Interceptor):
    """`meet(buyer_ref, hook)`: every call for that buyer's orders goes through the hook from now on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hooks: dict[str, Hook] = {}
        self._buyers: dict[int, str] = {}
        self._seen: dict[tuple[int, str], list[tuple[str | None, str]]] = defaultdict(list)
        self.locals_seen = 0

    def meet(self, buyer_ref: str, hook: Hook) -> None:
        self._hooks[buyer_ref] = hook

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self)

    async def execute(self, input: ExecuteActivityInput, proceed: Callable[[], Awaitable[Any]]) -> Any:
        info = activity.info()
        self.locals_seen += info.is_local
        of_an_order = _OF_AN_ORDER.match(info.workflow_id or "")
        if not self._hooks or of_an_order is None:
            return await proceed()
        order_no = int(of_an_order[1])
        hook = self._hooks.get(await self._buyer(order_no))
        if hook is None:
            return await proceed()
        seen, this = self._seen[order_no, info.activity_type], (info.workflow_run_id, info.activity_id)
        if this not in seen:
            seen.append(this)
        timeout = info.start_to_close_timeout
        call = Call(
            name=info.activity_type,
            nth=seen.index(this) + 1,
            attempt=info.attempt,
            order_no=order_no,
            message=input.args[0],
            is_local=info.is_local,
            timeout_s=timeout.total_seconds() if timeout else 10.0,
            proceed=proceed,
        )
        return await hook(call)

    async def _buyer(self, order_no: int) -> str:
        if order_no not in self._buyers:
            async with self._database.reading() as cx:
                cursor = await cx.execute(
                    "SELECT request ->> 'buyer_ref' AS buyer FROM order_claims WHERE order_no = %s", (order_no,)
                )
                row = await cursor.fetchone()
            self._buyers[order_no] = (row and row["buyer"]) or ""
        return self._buyers[order_no]


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, interference: Interference) -> None:
        super().__init__(next)
        self._interference = interference

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await self._interference.execute(input, lambda: self.next.execute_activity(input))
