"""A payment's process that is about to end hears what it is told at that very moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.payment_messages import (
    BookCharges,
    Booked,
    ChannelReport,
    OpenPayment,
    OrderServed,
    PaymentOpened,
    PaymentPlan,
    PlannedPart,
    RestPayment,
    ServeOrder,
)
from domain.channels import Charge, Paid, PaymentTold, QuerySchedule
from domain.payments import PayStatus
from workflows.payment_ids import HostPayment, payment_workflow_id
from workflows.payments import PaymentWorkflow

QUEUE, PAY_ID = "payment-rest", "pay-late"
AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
PART = PlannedPart(7, "released")


class Rows:
    """A closed pay order, whose money is told while it is being marked as at rest."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._booked = asyncio.Event()
        self.rested = 0
        self.served: list[int] = []

    @activity.defn
    async def open_payment(self, message: OpenPayment) -> PaymentOpened:
        plan = PaymentPlan(
            message.pay_id, PayStatus.CLOSED, "bridge", 100, AT, (PART,), QuerySchedule(1, 1, 1), 1.0, 60.0
        )
        return PaymentOpened(plan)

    @activity.defn
    async def let_order_go(self, message: ServeOrder) -> None:
        return None

    @activity.defn
    async def rest_payment(self, message: RestPayment) -> None:
        """The long way, as while the database is slow: a local one would be done again with what was told."""
        if activity.info().is_local:
            raise ConnectionError("the database is away")
        self.rested += 1
        if self.rested == 1:
            charge = Charge("chg-1", 100, "CNY", AT)
            report = ChannelReport("bridge", PaymentTold("evt-1", message.pay_id, Paid((charge,))))
            handle = self._client.get_workflow_handle(payment_workflow_id(message.pay_id))
            await handle.signal("channel_reported", report)
            await self._booked.wait()

    @activity.defn
    async def book_charges(self, message: BookCharges) -> Booked:
        self._booked.set()
        return Booked(PayStatus.PAID, (PlannedPart(PART.order_no, "open"),), (), AT)

    @activity.defn
    async def serve_order(self, message: ServeOrder) -> OrderServed:
        self.served.append(message.order_no)
        return OrderServed("served")


async def test_money_that_is_told_while_the_process_comes_to_rest_is_used(temporal_env: WorkflowEnvironment) -> None:
    rows, runner = Rows(temporal_env.client), UnsandboxedWorkflowRunner()
    steps: list[Any] = [rows.open_payment, rows.let_order_go, rows.rest_payment, rows.book_charges, rows.serve_order]
    async with Worker(
        temporal_env.client, task_queue=QUEUE, workflows=[PaymentWorkflow], activities=steps, workflow_runner=runner
    ):
        result = await temporal_env.client.execute_workflow(
            PaymentWorkflow.run, HostPayment(PAY_ID), id=payment_workflow_id(PAY_ID), task_queue=QUEUE
        )
        # The core's timers of the failed tries outlive them by this long, and panic where their worker is gone.
        await asyncio.sleep(2)
    assert (result, rows.served) == ("paid", [PART.order_no])
