"""From a payment channel's id to the adapter that speaks to it. Contracts are read again after a few seconds."""

from __future__ import annotations

import time

import httpx2
from temporalio.exceptions import ApplicationError

from adapters.payments import PaymentChannel
from adapters.payments.registry import PROTOCOLS
from storage import payment_channels
from storage.database import Database


class ChannelDirectory:
    """One HTTP client for all channels, one adapter per contract as it stands."""

    def __init__(self, database: Database, client: httpx2.AsyncClient, *, fresh_s: float = 5.0) -> None:
        self._database = database
        self._client = client
        self._fresh_s = fresh_s
        self._known: dict[str, tuple[float, PaymentChannel]] = {}

    async def find(self, channel_id: str) -> PaymentChannel | None:
        """The adapter of an active or inactive channel, whose payments must stay reachable; None for an unknown one."""
        known = self._known.get(channel_id)
        if known is not None and time.monotonic() - known[0] < self._fresh_s:
            return known[1]
        async with self._database.reading() as cx:
            row = await payment_channels.read_contract(cx, channel_id)
        if row is None:
            return None
        channel = PROTOCOLS[row["protocol"]].connect(self._client, row)
        self._known[channel_id] = (time.monotonic(), channel)
        return channel

    async def channel(self, channel_id: str) -> PaymentChannel:
        """As `find`, for activities: a channel that a pay order names is there."""
        channel = await self.find(channel_id)
        if channel is None:
            raise ApplicationError(f"no payment channel {channel_id}", type="ChannelMissing", non_retryable=True)
        return channel
