"""Actions on an order that exists: whose it is, what its row says, and what its workflow answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from temporalio.service import RPCError, RPCStatusCode

from activities.order_messages import OrderStanding
from api import order_host
from api.deps import Parts, TemporalDep, parts_of
from api.idempotency import Answer
from api.order_views import StandingView
from domain.access import Principal
from domain.errors import DomainError
from domain.orders import AT_REST, NotInState, OrderStatus, judge_cancel, judge_confirm, judge_extend
from storage import order_reading
from storage.order_reading import OrderHead
from workflows.orders import Cancel, Confirm, Extend

ANSWER_GRACE_S = 5.0


class OrderNotFound(DomainError):
    """No order of this caller has the number."""

    code = "order_not_found"

    def __init__(self, order_no: str | int) -> None:
        super().__init__(f"You have no order {order_no}: list /v1/orders for those you have.")


class Actions:
    """Sends what a caller wants to the order's workflow, or answers from the row where the order is at rest."""

    def __init__(self, request: Request, client: TemporalDep) -> None:
        self.parts: Parts = parts_of(request)
        self._client = client

    async def send(
        self, caller: Principal, order_no: int, update: Any, message: object, key: str, wait_s: float = 0
    ) -> Answer:
        """The workflow's answer. The update's id comes from the caller's key, so that a repeat is the same update."""
        head = await self.head(caller, order_no)
        if OrderStatus(head.status) in AT_REST:
            return await self._at_rest(caller, head, message)
        timeout_s = wait_s + ANSWER_GRACE_S
        update_id = f"{type(message).__name__.lower()}/{caller.ref}/{key}"
        try:
            standing = await self._ask(head, update, message, update_id, timeout_s)
        except order_host.HostMissing:
            return await self._without_host(caller, head, update, message, update_id, timeout_s)
        except order_host.Undecided as late:
            raise RPCError("the order's workflow has not answered in time", RPCStatusCode.UNAVAILABLE, b"") from late
        return self._answer(caller, head, standing)

    async def head(self, caller: Principal, order_no: int) -> OrderHead:
        """The order's head. Raises OrderNotFound, for foreign orders too."""
        async with self.parts.database.reading() as connection:
            head = await order_reading.read_head(connection, order_no, caller.fence)
        if head is None:
            raise OrderNotFound(f"{order_no:019d}")
        return head

    async def would_cancel(self, caller: Principal, order_no: int) -> Answer:
        """Whether cancelling is possible now: the standing that it would lead to, or the refusal."""
        head = await self.head(caller, order_no)
        judge_cancel(OrderStatus(head.status))
        standing = await self._standing(head)
        lines = dict.fromkeys(standing.lines, OrderStatus.CANCELED)
        return self._answer(caller, head, OrderStanding(order_no, OrderStatus.CANCELED, lines))

    async def _ask(
        self, head: OrderHead, update: Any, message: object, update_id: str, timeout_s: float
    ) -> OrderStanding:
        return await order_host.ask_host(
            self._client, head.host_workflow_id, update, message, update_id=update_id, timeout_s=timeout_s
        )

    async def _without_host(
        self, caller: Principal, head: OrderHead, update: Any, message: object, update_id: str, timeout_s: float
    ) -> Answer:
        """The workflow has ended meanwhile, or was lost: answer from the row, or start it again and ask once more."""
        head = await self.head(caller, head.order_no)
        if OrderStatus(head.status) in AT_REST:
            return await self._at_rest(caller, head, message)
        await order_host.host_again(
            self._client, head.order_no, distributor_id=head.distributor_id, workflow_id=head.host_workflow_id
        )
        try:
            return self._answer(caller, head, await self._ask(head, update, message, update_id, timeout_s))
        except (order_host.HostMissing, order_host.Undecided) as failure:
            raise RPCError("the order's workflow is being restarted", RPCStatusCode.UNAVAILABLE, b"") from failure

    async def _at_rest(self, caller: Principal, head: OrderHead, message: object) -> Answer:
        """At rest there is nothing to decide: the same answer again, or the refusal that names the state."""
        status = OrderStatus(head.status)
        if isinstance(message, Confirm):
            judge_confirm(status)
        elif isinstance(message, Cancel):
            judge_cancel(status)
        elif isinstance(message, Extend):
            judge_extend(status)
        else:
            raise NotInState("decide", status, ("pending (in review)", "issuing (escalated)"))
        return self._answer(caller, head, await self._standing(head))

    async def _standing(self, head: OrderHead) -> OrderStanding:
        async with self.parts.database.reading() as connection:
            row, lines = await order_reading.read_core(connection, head.order_no)
        assert row is not None
        statuses = {line["line_no"]: OrderStatus(line["status"]) for line in lines}
        return OrderStanding(head.order_no, OrderStatus(row["status"]), statuses, (), row["hold_expires_at"])

    def _answer(self, caller: Principal, head: OrderHead, standing: OrderStanding) -> Answer:
        view = StandingView.of(standing, operator=caller.distributor_id is None, pays=head.pays)
        location = {"Location": f"/v1/orders/{standing.order_no:019d}"}
        return Answer(202 if standing.status is OrderStatus.ISSUING else 200, view, location)


OrderActions = Annotated[Actions, Depends(Actions)]
