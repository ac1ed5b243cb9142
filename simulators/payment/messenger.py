"""Calling merchants back, as each channel's protocol writes it, and doing what is due by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

import httpx2

from simulators.common.callbacks import Callbacks, CallbackTarget, Letter
from simulators.common.parties import Parties
from simulators.payment.book import Payment, Told
from simulators.payment.cashier import Cashier
from simulators.payment.channels import ChannelSettings
from simulators.payment.dealings import Notice, Outcome


class Stationery(Protocol):
    """How the notices of one protocol are written, signed and acknowledged."""

    def letter(self, channel: ChannelSettings, target: CallbackTarget, payment: Payment, notice: Notice) -> Letter:
        """The notice as it goes out now: called for every attempt, since signatures may carry their moment. The same
        notice has the same id in all of them."""
        ...

    def is_taken(self, answer: httpx2.Response) -> bool:
        """Whether the merchant's answer makes the channel stop telling it."""
        ...


class Messenger:
    """`stationery` is by the face of a channel."""

    def __init__(
        self,
        channels: Parties[ChannelSettings],
        cashier: Cashier,
        callbacks: Callbacks,
        stationery: Mapping[str, Stationery],
    ) -> None:
        self._channels = channels
        self._cashier = cashier
        self._callbacks = callbacks
        self._stationery = stationery

    def follow(self, outcome: Outcome) -> None:
        """Everything that an outcome owes, in the background."""
        self.schedule(outcome.payment)
        for notice in outcome.notices:
            self._callbacks.run(self._notify(notice))

    def schedule(self, payment: Payment) -> None:
        """See to a payment when its time has come."""
        if payment.due_at is not None:
            self._callbacks.run(self._when_due(payment.supplier, payment.id, payment.due_at))

    async def _when_due(self, channel_name: str, payment_id: str, due_at: float) -> None:
        await asyncio.sleep(max(0.0, due_at - self._cashier.clock()))
        channel = self._channels.find(channel_name)
        outcome = None if channel is None else self._cashier.carry_out(channel, payment_id, due_at)
        if outcome is not None:
            self.follow(outcome)

    async def _notify(self, notice: Notice) -> None:
        await asyncio.sleep(notice.delay_ms / 1_000)
        # Read again: a reset may have come between, and a refund may have.
        payment = self._cashier.current(notice.payment_id)
        channel = None if payment is None else self._channels.find(payment.supplier)
        if payment is None or channel is None:
            return
        refund = payment.refund(notice.refund_no)
        target = channel.target(payment.notify_url if refund is None else refund.notify_url)
        if target is not None:
            kind = self._stationery[channel.face]
            if await self._callbacks.deliver(lambda: kind.letter(channel, target, payment, notice), kind.is_taken):
                told = Told(notice.id, payment.reference, notice.refund_no, notice.says)
                self._cashier.book.note_taken(channel.name, told)
