"""Calls to payment channels. Each activity is one call; its answer is a value, and *unclear* is never taken for a *no*.

Every call has a reference of ours that was stored before, under which the channel does nothing twice.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from temporalio import activity

from activities.channel_directory import ChannelDirectory
from activities.payment_messages import CallChannel, CallRefund
from adapters.payments import PaymentRequest, RefundRequest
from domain.channels import CreateAnswer, Created, PayAction, PaymentAnswer, RefundAnswer
from storage import pay_orders, pay_reading, refunds
from storage.database import Database


class ChannelActivities:
    """`notify_url`: where channels tell us, with `{channel_id}` to be filled in."""

    def __init__(self, database: Database, directory: ChannelDirectory, notify_url: str) -> None:
        self._database = database
        self._directory = directory
        self._notify_url = notify_url

    @activity.defn
    async def create_at_channel(self, message: CallChannel) -> CreateAnswer:
        """Let the payer pay. Idempotency key at the channel: the pay order's id.

        What the payer has to do is kept in the pay order's row, and not told to Temporal: a secret may be in it.
        """
        async with self._database.reading() as cx:
            row = await pay_reading.read_for_channel(cx, message.pay_id)
        channel = await self._directory.channel(message.channel_id)
        request = PaymentRequest(
            pay_id=row["id"],
            amount_minor=row["cash_minor"],
            currency=row["currency"],
            subject=row["subject"],
            notify_url=self._notify(message.channel_id),
            return_url=row["return_url"],
            expires_at=row["expires_at"],
        )
        answer = await channel.create(request, timeout_s=message.timeout_s)
        if not isinstance(answer, Created):
            return answer
        async with self._database.transaction() as cx:
            await pay_orders.keep_action(cx, message.pay_id, asdict(answer.action))
        return replace(answer, action=PayAction(answer.action.kind))

    @activity.defn
    async def query_channel(self, message: CallChannel) -> PaymentAnswer:
        """Ask what became of a pay order. Changes nothing there."""
        channel = await self._directory.channel(message.channel_id)
        return await channel.query(message.pay_id, await self._reference(message), timeout_s=message.timeout_s)

    @activity.defn
    async def close_at_channel(self, message: CallChannel) -> PaymentAnswer:
        """Let nobody pay it any more; *paid* means that somebody was faster. Safe to repeat."""
        channel = await self._directory.channel(message.channel_id)
        return await channel.close(message.pay_id, await self._reference(message), timeout_s=message.timeout_s)

    @activity.defn
    async def refund_at_channel(self, message: CallRefund) -> RefundAnswer:
        """Give money back. Idempotency key at the channel: the refund's number."""
        channel = await self._directory.channel(message.channel_id)
        answer = await channel.refund(await self._refund(message), timeout_s=message.timeout_s)
        return await self._noted(message, answer)

    @activity.defn
    async def query_refund_at_channel(self, message: CallRefund) -> RefundAnswer:
        """Ask what became of a refund. Changes nothing there."""
        channel = await self._directory.channel(message.channel_id)
        return await channel.query_refund(await self._refund(message), timeout_s=message.timeout_s)

    async def _reference(self, message: CallChannel) -> str:
        async with self._database.reading() as cx:
            row = await pay_reading.read_for_channel(cx, message.pay_id)
        return str(row["channel_reference"])

    async def _noted(self, message: CallRefund, answer: RefundAnswer) -> RefundAnswer:
        """A channel's own name for a refund is kept: some can only be asked by it."""
        reference = getattr(answer, "channel_reference", "")
        if reference:
            async with self._database.transaction() as cx:
                await refunds.note_reference(cx, message.refund_id, reference)
        return answer

    async def _refund(self, message: CallRefund) -> RefundRequest:
        async with self._database.reading() as cx:
            row = await refunds.read(cx, message.refund_id)
        assert row is not None, "its plan was read"
        return RefundRequest(
            refund_no=message.refund_no,
            pay_id=row["charge_reference"],
            payment_id=row["payment_id"],
            channel_reference=row["pay_reference"] or "",
            amount_minor=row["cash_minor"],
            paid_minor=row["charged_minor"],
            currency=row["currency"],
            reason=row["reason"],
            notify_url=self._notify(message.channel_id),
        )

    def _notify(self, channel_id: str) -> str:
        return self._notify_url.format(channel_id=channel_id)
