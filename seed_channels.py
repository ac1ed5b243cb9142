"""The sample payment channels: contracts with the houses of the payment simulator, one for each protocol that we speak.

Their credentials are the simulator's own development ones: they open nothing else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import structlog

import simulators.payment
from settings import Settings
from storage import payment_channels
from storage.database import Database

DOCUMENTS = Path(__file__).with_name("seeds") / "channels"
KEYS = Path(simulators.payment.__file__).parent
CALLBACK_PATH = "/v1/callbacks/payments/{channel_id}"

log = structlog.get_logger(__name__)


async def ensure_channels(database: Database, settings: Settings, *, actor: str) -> tuple[str, ...]:
    """A contract for each document of `seeds/channels/`; of those that exist only the address follows the simulator.

    Returns their ids.
    """
    documents = await asyncio.to_thread(_documents)
    async with database.transaction() as cx:
        known = {row.id for row in await payment_channels.list_channels(cx)}
        for channel_id, document in documents.items():
            await payment_channels.take_turn(cx, channel_id)
            address = {"base_url": f"{settings.simulator_url('payment')}/{channel_id}"}
            contract = address if channel_id in known else {**document, **address}
            await payment_channels.put_channel(cx, channel_id, contract, actor=actor, now=datetime.now(UTC))
    await _stripe_calls_back(settings, documents)
    return tuple(documents)


def _documents() -> dict[str, dict[str, Any]]:
    """By id, with keys instead of the names of their files."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(DOCUMENTS.glob("*.json"))}
    for document in found.values():
        document["credentials"] = {name: _key(value) for name, value in document["credentials"].items()}
    return found


def _key(value: str) -> str:
    return (KEYS / value).read_text() if value.endswith(".pem") else value


async def _stripe_calls_back(settings: Settings, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Stripe is told where to call back by its account, the other protocols by each request. Without it what became of
    a payment is found out by asking, only later."""
    async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
        for channel_id, document in documents.items():
            if document["protocol"] != "stripe":
                continue
            target = {
                "url": settings.api_url + CALLBACK_PATH.format(channel_id=channel_id),
                "secret": document["credentials"]["webhook_secret"],
            }
            url = f"{settings.simulator_url('payment')}/control/{channel_id}/callbacks"
            try:
                (await client.put(url, json=target)).raise_for_status()
            except httpx2.HTTPError as error:
                log.warning("seed.simulator_not_set", simulator="payment", path=url, reason=str(error))
