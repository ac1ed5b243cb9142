"""Between a worker and its activities: tests see every call there, and decide what becomes of it.

Local activities pass here too, and what the deliveries of an order's lines do. An order is known by its buyer's
reference, which a test gives before it places; a shopper's orders, payments and refunds by the shopper's id.
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
    """One execution. `nth` counts the buyer's calls of that name from 1; an execution that repeats one has its number.

    `proceed` does what the activity does; it may be awaited never, once or twice.
    """

    name: str
    nth: int
    attempt: int
    message: Any
    is_local: bool
    timeout_s: float
    proceed: Callable[[], Awaitable[Any]]


Hook = Callable[[Call], Awaitable[Any]]

_OF_A_BUYER = re.compile(r"(order|delivery|payment|refund)/([^/]+)")
"""Ids of workflows whose calls are a buyer's: orders' own, those of their lines' deliveries, payments' and refunds'."""

_ORDER = "SELECT request ->> 'buyer_ref' AS buyer FROM order_claims WHERE order_no = %s::bigint"
_BUYERS = {
    "order": _ORDER,
    "delivery": _ORDER,
    "payment": "SELECT buyer_id AS buyer FROM pay_orders WHERE id = %s",
    "refund": "SELECT buyer_id AS buyer FROM refunds r JOIN pay_orders o ON o.id = r.pay_id WHERE r.id = %s",
}


class Interference(Interceptor):
    """`meet(buyer_ref, hook)`: every call for that buyer goes through the hook from now on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hooks: dict[str, Hook] = {}
        self._buyers: dict[str, str] = {}
        self._seen: dict[tuple[str, str], list[tuple[str | None, str]]] = defaultdict(list)
        self.locals_seen = 0

    def meet(self, buyer_ref: str, hook: Hook) -> None:
        self._hooks[buyer_ref] = hook

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self)

    async def execute(self, input: ExecuteActivityInput, proceed: Callable[[], Awaitable[Any]]) -> Any:
        info = activity.info()
        self.locals_seen += info.is_local
        of_a_buyer = _OF_A_BUYER.match(info.workflow_id or "")
        if not self._hooks or of_a_buyer is None:
            return await proceed()
        buyer = await self._buyer(*of_a_buyer.groups())
        hook = self._hooks.get(buyer)
        if hook is None:
            return await proceed()
        seen, this = self._seen[buyer, info.activity_type], (info.workflow_run_id, info.activity_id)
        if this not in seen:
            seen.append(this)
        timeout = info.start_to_close_timeout
        call = Call(
            name=info.activity_type,
            nth=seen.index(this) + 1,
            attempt=info.attempt,
            message=input.args[0],
            is_local=info.is_local,
            timeout_s=timeout.total_seconds() if timeout else 10.0,
            proceed=proceed,
        )
        return await hook(call)

    async def _buyer(self, kind: str, subject: str) -> str:
        if subject not in self._buyers:
            async with self._database.reading() as cx:
                cursor = await cx.execute(_BUYERS[kind].encode(), (subject,))
                row = await cursor.fetchone()
            self._buyers[subject] = (row and row["buyer"]) or ""
        return self._buyers[subject]


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, interference: Interference) -> None:
        super().__init__(next)
        self._interference = interference

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await self._interference.execute(input, lambda: self.next.execute_activity(input))
