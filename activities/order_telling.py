"""Telling an order's process that its money is there, and hearing what came of it."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.payment_messages import OrderServed, PayOrderMessage, ServeOrder
from domain.orders import OrderStatus
from domain.pay_order import PartState
from storage import pay_orders, pay_reading
from storage.database import Database

ANSWER_TIMEOUT = timedelta(seconds=10)


class OrderTelling:
    """`client` speaks to the orders' processes, by the names that are the wire contract: workflow and update."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database = database
        self._client = client

    @activity.defn
    async def serve_order(self, message: ServeOrder) -> OrderServed:
        """Tell the order that it is paid. Idempotency: the update's id, and the part's state.

        Raises where the answer is not known yet: it is asked again, for ever.
        """
        head = await self._read(message)
        if head is not None:
            return head
        async with self._database.reading() as cx:
            row = await pay_reading.read_target(cx, message.pay_id, message.target_no)
        if row is None:
            return OrderServed("no_host")  # a successor that is not placed yet
        handle = self._client.get_workflow_handle(row["host_workflow_id"])
        told = PayOrderMessage(message.pay_id, row["paid_at"])
        try:
            await handle.execute_update("pay", told, id=f"pay/{message.pay_id}", rpc_timeout=ANSWER_TIMEOUT)
        except WorkflowUpdateFailedError as failed:
            if not isinstance(failed.cause, ApplicationError):
                return await self._read(message) or OrderServed("no_host")
        except WorkflowUpdateRPCTimeoutOrCancelledError as late:
            raise ApplicationError("the order has not answered yet", type="OrderSilent") from late
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return await self._read(message) or OrderServed("no_host")
        served = await self._read(message)
        if served is None:
            raise ApplicationError("the order has neither taken the money nor gone", type="OrderUndecided")
        return served

    @activity.defn
    async def let_order_go(self, message: ServeOrder) -> None:
        """Tell the order that its payment has ended without money. A repeat is harmless; one at rest needs no word."""
        async with self._database.reading() as cx:
            row = await pay_reading.read_target(cx, message.pay_id, message.target_no)
        if row is None or row["status"] != OrderStatus.LOCKED:
            return
        try:
            handle = self._client.get_workflow_handle(row["host_workflow_id"])
            await handle.signal("payment_ended", message.pay_id, rpc_timeout=ANSWER_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def _read(self, message: ServeOrder) -> OrderServed | None:
        """What the rows say; None while the order may still take the money."""
        async with self._database.transaction() as cx:
            pay = await pay_orders.load(cx, message.pay_id)
            row = await pay_reading.read_target(cx, message.pay_id, message.target_no)
        assert pay is not None
        if pay.part_of(message.order_no).state is PartState.SERVED:
            return OrderServed("served")
        if row is None or row["status"] in (OrderStatus.PENDING, OrderStatus.LOCKED):
            return None
        if row["status"] == OrderStatus.REJECTED:
            return OrderServed("gone", "rejected")
        if row["status"] == OrderStatus.CANCELED:
            return OrderServed("gone", "expired" if row["cancel_reason"] == "expired" else "canceled")
        return OrderServed("gone", "paid_otherwise")
