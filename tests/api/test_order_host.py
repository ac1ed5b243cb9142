"""Speaking to an order's process: what the server drops is sent again, what it refuses is not."""

from __future__ import annotations

import pytest
from temporalio.service import RPCError, RPCStatusCode

from api.order_host import Undecided, patience, until_taken


class Server:
    """Answers with these statuses one after another, then with what it was asked for."""

    def __init__(self, *statuses: RPCStatusCode) -> None:
        self.calls = 0
        self._statuses = list(statuses)

    async def update(self) -> str:
        self.calls += 1
        if self._statuses:
            raise RPCError("not now", self._statuses.pop(0), b"")
        return "canceled"


async def test_an_update_that_was_dropped_with_its_task_is_sent_again() -> None:
    server = Server(RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.FAILED_PRECONDITION)
    assert await until_taken(server.update) == "canceled"
    assert server.calls == 3


async def test_any_other_answer_is_the_callers_to_weigh() -> None:
    server = Server(RPCStatusCode.NOT_FOUND)
    with pytest.raises(RPCError):
        await until_taken(server.update)
    assert server.calls == 1


async def test_who_has_no_more_patience_knows_nothing() -> None:
    server = Server(*[RPCStatusCode.FAILED_PRECONDITION] * 100)
    with pytest.raises(Undecided):
        async with patience(0.2):
            await until_taken(server.update)
