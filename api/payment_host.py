"""Speaking to the workflows of pay orders and refunds. Both begin from their rows whenever they are started, so that
everything is said to them by starting them: also what comes after they have ended, or were lost.

A time-out means *unknown*: the same call with the same ids is safe, and is what a repetition of the request does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.payment_messages import (
    CancelPayment,
    ChannelReport,
    DecideCharge,
    DecideRefund,
    PayAnswer,
    PayStanding,
    RefundStanding,
)
from api.order_host import RPC_TIMEOUT, HostMissing, Undecided, patience, refused, until_taken
from domain.channels import RefundTold
from workflows.channel_refunds import ChannelRefundWorkflow
from workflows.orders import ORDER_TASK_QUEUE
from workflows.payment_ids import HostPayment, HostRefund, payment_workflow_id, refund_workflow_id
from workflows.payments import PaymentWorkflow

A = TypeVar("A")

BEGIN_UPDATE_ID = "begin"
ANSWER_TIMEOUT_S = 5.0
"""How long a caller waits for the process of a pay order or a refund."""


@dataclass(frozen=True, slots=True)
class Host:
    """The workflow of one pay order or one refund: how it is started, from its rows."""

    run: Any
    message: HostPayment | HostRefund
    id: str
    summary: str

    def start(self) -> dict[str, Any]:
        """Started unless it is running, also when it has ended before."""
        return {
            "id": self.id,
            "task_queue": ORDER_TASK_QUEUE,
            "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
            "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            "static_summary": self.summary,
        }


def of_payment(pay_id: str, *, look: bool = False) -> Host:
    """The process of a pay order, also of one that only a channel speaks of. `look`: it was decided long ago, and its
    channel is asked for the last time."""
    return Host(PaymentWorkflow.run, HostPayment(pay_id, look), payment_workflow_id(pay_id), f"Payment {pay_id}")


def of_refund(refund_id: str) -> Host:
    """The process of a refund."""
    return Host(ChannelRefundWorkflow.run, HostRefund(refund_id), refund_workflow_id(refund_id), f"Refund {refund_id}")


async def begin(client: Client, pay_id: str) -> PayAnswer:
    """Start the pay order's process, and hear what its payer has to do. Raises Undecided."""
    return await _ask(client, of_payment(pay_id), "begin", (), PayAnswer, BEGIN_UPDATE_ID)


async def cancel(client: Client, pay_id: str, message: CancelPayment, *, update_id: str) -> PayStanding:
    """Have it closed at its channel. Raises Refused (it is decided), Undecided."""
    return await _ask(client, of_payment(pay_id), "cancel", (message,), PayStanding, update_id)


async def decide_charge(client: Client, pay_id: str, decision: DecideCharge, *, update_id: str) -> PayStanding:
    """A person's word on money of that reference. Raises Refused, Undecided."""
    return await _ask(client, of_payment(pay_id), "decide", (decision,), PayStanding, update_id)


async def decide_refund(client: Client, refund_id: str, decision: DecideRefund, *, update_id: str) -> RefundStanding:
    """A person's word on a refund that failed. Raises Refused (it has not), Undecided."""
    return await _ask(client, of_refund(refund_id), "decide", (decision,), RefundStanding, update_id)


async def tell(client: Client, host: Host, report: ChannelReport | RefundTold) -> None:
    """Hand it what its channel told us unasked."""
    await client.start_workflow(
        host.run,
        host.message,
        **host.start(),
        start_signal="channel_reported",
        start_signal_args=[report],
        rpc_timeout=RPC_TIMEOUT,
    )


async def host_again(client: Client, host: Host) -> None:
    """Start what has lost its process; one that runs is left alone."""
    await client.start_workflow(host.run, host.message, **host.start(), rpc_timeout=RPC_TIMEOUT)


async def _ask(client: Client, host: Host, update: str, args: tuple[object, ...], result: type[A], update_id: str) -> A:
    """Twice where its workflow ended at the moment of asking: it is started again then."""
    async with patience(ANSWER_TIMEOUT_S):
        try:
            return await _update(client, host, update, args, result, update_id)
        except HostMissing:
            try:
                return await _update(client, host, update, args, result, update_id)
            except HostMissing as missing:
                raise Undecided from missing


async def _update(
    client: Client, host: Host, update: str, args: tuple[object, ...], result: type[A], update_id: str
) -> A:
    try:
        answer: A = await until_taken(
            lambda: client.execute_update_with_start_workflow(
                update,
                args=args,
                start_workflow_operation=WithStartWorkflowOperation(host.run, host.message, **host.start()),
                id=update_id,
                result_type=result,
                rpc_timeout=timedelta(seconds=ANSWER_TIMEOUT_S),
            )
        )
    except WorkflowUpdateFailedError as failed:
        raise refused(failed) from failed
    return answer
