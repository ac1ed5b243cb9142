"""Refunds in our own database: read, settled with all that follows, failed, asked again. One transaction each.

Idempotency of all: the refund's state, under its row's lock. Lock order: order, pay order, refund, balances, flows.
"""

from __future__ import annotations

from typing import Any

from temporalio import activity

from activities.order_discounts import end_subsidies, return_uses
from activities.order_money import flow_when_back
from activities.order_writes import save
from activities.payment_messages import FailRefund, OpenRefund, RefundPlan, RefundStanding, RetryRefund, SettleRefund
from activities.payment_plans import refund_plan
from domain.balances import CoinsUnfit
from domain.errors import Refusal
from domain.ledger import Transfer, cash, clearing, unapplied
from domain.order import Order
from domain.orders import OrderStatus
from domain.pay_order import given_back, unapplied_again
from domain.payments import RefundState
from domain.settlement import ReceivableFlow
from storage import balances, order_exceptions, order_writing, pay_orders, payment_channels, refunds
from storage.database import Connection, Database
from storage.settlement import insert_flows


class ChannelRefundActivities:
    """What is recorded of money that goes back to a buyer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def open_refund(self, message: OpenRefund) -> RefundPlan | None:
        """The refund as it stands; None for one that is not there. Reads only."""
        async with self._database.reading() as cx:
            row = await refunds.read(cx, message.refund_id)
            return await refund_plan(cx, row) if row is not None else None

    @activity.defn
    async def settle_refund(self, message: SettleRefund) -> RefundStanding:
        """The money is back: its line, its pay order, coins and vouchers, flows and ledger follow. Once.

        Refused, with nothing changed, where it was to become coins and the buyer's are of another currency.
        """
        try:
            return await self._settle(message)
        except CoinsUnfit as unfit:
            return RefundStanding(message.refund_id, RefundState.FAILED, Refusal.of(unfit))

    async def _settle(self, message: SettleRefund) -> RefundStanding:
        async with self._database.transaction() as cx:
            order = await _order_of(cx, message.refund_id)
            row = await _locked(cx, message.refund_id)
            if row["state"] == RefundState.REFUNDED:
                return RefundStanding(message.refund_id, RefundState.REFUNDED)
            await refunds.settle(
                cx, row, route=message.route, channel_reference=message.channel_reference, actor=message.actor,
                evidence=message.evidence, at=message.at,
            )  # fmt: skip
            flow, ended = await _order_follows(cx, order, row, message)
            booked = await _money_follows(cx, row, message)
            await insert_flows(cx, [flow], transfers=[*booked, *ended])
            await order_exceptions.resolve(
                cx, failure_case_id(message.refund_id, row["tries"]), by=message.actor, at=message.at,
                resolution={"decision": message.route, "evidence": message.evidence},
            )  # fmt: skip
            return RefundStanding(message.refund_id, RefundState.REFUNDED)

    @activity.defn
    async def fail_refund(self, message: FailRefund) -> RefundStanding:
        """Its channel will not give the money back: a person is told, and the order's line waits for them."""
        async with self._database.transaction() as cx:
            order = await _order_of(cx, message.refund_id)
            row = await _locked(cx, message.refund_id)
            if row["state"] != RefundState.REFUNDING:
                return RefundStanding(message.refund_id, RefundState(row["state"]))
            await refunds.fail(cx, message.refund_id, code=message.code, at=message.at)
            if order is not None and row["line_no"] is not None:
                order.money_kept(row["line_no"], message.at, message.code)
                await save(cx, order, actor="system", at=message.at)
            await order_exceptions.open_exception(
                cx,
                exception_id=failure_case_id(message.refund_id, row["tries"]),
                kind="refund_failed",
                order_no=row["order_no"],
                line_no=row["line_no"] or 0,
                pay_id=row["pay_id"],
                refund_id=row["id"],
                evidence={
                    "channel_id": row["channel_id"], "code": message.code, "amount_minor": row["amount_minor"],
                    "currency": row["currency"], "tries": row["tries"],
                },
                at=message.at,
            )  # fmt: skip
            return RefundStanding(message.refund_id, RefundState.FAILED)

    @activity.defn
    async def retry_refund(self, message: RetryRefund) -> RefundPlan:
        """A person has the channel asked again, under the next number: the last one was refused for good."""
        async with self._database.transaction() as cx:
            order = await _order_of(cx, message.refund_id)
            row = await _locked(cx, message.refund_id)
            if row["state"] == RefundState.FAILED:
                await refunds.ask_again(cx, message.refund_id, actor=message.actor)
                if order is not None and row["line_no"] is not None:
                    order.money_asked_again(row["line_no"], message.at)
                    await save(cx, order, actor=message.actor, at=message.at)
                await order_exceptions.resolve(
                    cx, failure_case_id(message.refund_id, row["tries"]), by=message.actor, at=message.at,
                    resolution={"decision": "retry"},
                )  # fmt: skip
            after = await refunds.read(cx, message.refund_id)
            assert after is not None
            return await refund_plan(cx, after)


def failure_case_id(refund_id: str, tries: int) -> str:
    """The case about a refund that its channel refused; each try has its own."""
    return f"xcp-{refund_id}-{tries}"


async def _order_of(cx: Connection, refund_id: str) -> Order | None:
    """The order whose line the refund is of, locked first; None for money that bought nothing."""
    row = await refunds.read(cx, refund_id)
    if row is None or row["line_no"] is None:
        return None
    return await order_writing.load_order(cx, row["order_no"])


async def _locked(cx: Connection, refund_id: str) -> dict[str, Any]:
    first = await refunds.read(cx, refund_id)
    assert first is not None, "the refund was read before"
    if first["pay_id"]:
        await pay_orders.load(cx, first["pay_id"])
    row = await refunds.read(cx, refund_id, lock=True)
    assert row is not None
    return row


async def _order_follows(
    cx: Connection, order: Order | None, row: dict[str, Any], message: SettleRefund
) -> tuple[ReceivableFlow | None, list[Transfer]]:
    """The line is refunded, in part or whole: what is credited for it, and what campaigns owe no more."""
    if order is None:
        return None, []
    line = order.line(row["line_no"])
    others = await refunds.of_order(cx, order.order_no, line_no=line.line_no)
    outstanding = any(each["state"] != RefundState.REFUNDED for each in others)
    order.money_back(line.line_no, row["amount_minor"], message.at, outstanding=outstanding)
    await save(cx, order, actor=message.actor, at=message.at)
    await return_uses(cx, order, message.at)
    whole = [line] if line.status is OrderStatus.REFUNDED else []
    ended = await end_subsidies(cx, order, whole, message.at)
    return flow_when_back(order, line, row["id"], row["amount_minor"], message.at), ended


async def _money_follows(cx: Connection, row: dict[str, Any], message: SettleRefund) -> list[Transfer]:
    """What is booked: the buyer is owed the order's money again, and then has it from each of its sources."""
    at, transfers = message.at, []
    buyer_id = row["buyer_id"]
    pay = await pay_orders.load(cx, row["pay_id"]) if row["pay_id"] else None
    if pay is not None and row["order_no"] is not None:
        pay.money_back(row["amount_minor"])
        await pay_orders.save(cx, pay, at)
        if row["line_no"] is not None:
            transfers.append(unapplied_again(pay, row["id"], row["amount_minor"], at))
        transfers += await balances.refund(
            cx, refund_id=row["id"], pay_id=pay.id, buyer_id=pay.buyer_id, currency=row["currency"],
            coins_minor=row["coins_minor"], voucher_minor=row["voucher_minor"], at=at,
        )  # fmt: skip
    if not row["cash_minor"]:
        return transfers
    if message.route == "coins" and buyer_id:
        await balances.credit_coins(
            cx, buyer_id, row["cash_minor"], row["currency"], key=f"{row['id']}/cash", debit=unapplied(buyer_id), at=at
        )
        return transfers
    channel = await payment_channels.get_channel(cx, row["channel_id"])
    if channel.currency == row["currency"]:
        out_of = cash(channel.id) if message.route == "by_hand" else clearing(channel.id)
        transfers.append(given_back(out_of, channel.id, row["id"], buyer_id, row["cash_minor"], row["currency"], at))
    return transfers
