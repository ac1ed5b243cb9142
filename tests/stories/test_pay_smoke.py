from __future__ import annotations

import secrets

from temporalio.client import WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy

from tests.platform import Platform
from workflows.payment_ids import HostPayment, payment_workflow_id
from workflows.payments import PaymentWorkflow


async def draft(platform, shopper, channel, *order_nos, coins=0):
    total = 0
    pay_id = f"pay-{platform.parts.next_order_no(shopper.id):019d}"
    rows = await platform.rows(
        "SELECT order_no, total_minor FROM orders WHERE order_no = ANY(%s) ORDER BY order_no", list(order_nos)
    )
    total = sum(r["total_minor"] for r in rows)
    await platform.rows(
        "INSERT INTO pay_orders (id, buyer_id, distributor_id, idempotency_key, body_hash, channel_id, host_workflow_id, currency, total_minor, cash_minor, created_at, updated_at) VALUES (%s,%s,'house',%s,'',%s,%s,'CNY',%s,%s,now(),now())",
        pay_id,
        shopper.id,
        secrets.token_hex(4),
        channel.id,
        payment_workflow_id(pay_id),
        total,
        total,
    )
    for n, r in enumerate(rows):
        await platform.rows(
            "INSERT INTO pay_order_parts (pay_id, order_no, rank, amount_minor, cash_minor, coins_minor, voucher_minor) VALUES (%s,%s,%s,%s,%s,0,0)",
            pay_id,
            r["order_no"],
            n,
            r["total_minor"],
            r["total_minor"],
        )
    op = WithStartWorkflowOperation(
        PaymentWorkflow.run,
        HostPayment(pay_id),
        id=payment_workflow_id(pay_id),
        task_queue="tessera",
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    answer = await platform.env.client.execute_update_with_start_workflow(
        PaymentWorkflow.begin, start_workflow_operation=op, id="begin"
    )
    return pay_id, answer


async def rest(platform, pay_id):
    await platform._rest(platform.payment_host(pay_id))
    for row in await platform.rows("SELECT id FROM refunds WHERE pay_id = %s", pay_id):
        from workflows.payment_ids import refund_workflow_id

        await platform._rest(platform.env.client.get_workflow_handle(refund_workflow_id(row["id"])))


async def test_paid(platform: Platform) -> None:
    shopper, ticket, channel = await platform.a_shopper(), await platform.a_ticket(), await platform.a_channel()
    order_no = await platform.bought(shopper, ticket)
    pay_id, answer = await draft(platform, shopper, channel, order_no)
    print(answer)
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id)
    await rest(platform, pay_id)
    detail = await platform.settled(order_no)
    print(detail["status"], detail["payment_status"], await channel.truth(pay_id))
    assert detail["status"] == "issued"
    assert detail["payment_status"] == "paid"
    print(
        await platform.rows("SELECT key, debit_account, credit_account, amount_minor FROM ledger_transfers ORDER BY id")
    )


async def test_failed_issue(platform: Platform) -> None:
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    supplier = await platform.a_supplier()
    ticket = await platform.a_ticket(supplier)
    order_no = await platform.bought(shopper, ticket)
    pay_id, answer = await draft(platform, shopper, channel, order_no)
    await supplier.next("confirm", "reject")
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id)
    await rest(platform, pay_id)
    await rest(platform, pay_id)
    detail = await platform.settled(order_no)
    print(detail["status"], detail["payment_status"], detail["refund_status"], await channel.truth(pay_id))
    assert (detail["status"], detail["payment_status"], detail["refund_status"]) == ("refunded", "refunded", "full")
    assert await channel.held_minor(pay_id) == 0


async def test_expired(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    order_no = await platform.bought(shopper, ticket)
    pay_id, answer = await draft(platform, shopper, channel, order_no)
    await rest(platform, pay_id)
    detail = await platform.settled(order_no)
    assert detail["status"] == "canceled"
    # late
    await channel.paid(pay_id, anyway=True)
    h = platform.env.client
    from datetime import UTC, datetime

    from activities.payment_messages import ChannelReport
    from domain.channels import Charge, Paid, PaymentTold

    (t,) = await channel.truth(pay_id)
    print(t)
    charge = t["charges"][0]
    told = PaymentTold("e1", pay_id, Paid((Charge(charge["id"], charge["amount_minor"], "CNY", datetime.now(UTC)),)))
    await h.start_workflow(
        PaymentWorkflow.run,
        HostPayment(pay_id),
        id=payment_workflow_id(pay_id),
        task_queue="tessera",
        start_signal="channel_reported",
        start_signal_args=[ChannelReport(channel.id, told)],
    )
    await rest(platform, pay_id)
    (part,) = await platform.rows("SELECT * FROM pay_order_parts WHERE pay_id=%s", pay_id)
    print(part)
    assert part["state"] == "served"
    d2 = await platform.settled(part["successor_no"])
    assert (d2["status"], d2["payment_status"]) == ("issued", "paid")
    assert (await platform.settled(order_no))["status"] == "canceled"
