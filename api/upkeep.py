"""What an API process does besides answering: callbacks are handed over again, and old answers are forgotten."""

from __future__ import annotations

import asyncio

import structlog

from api.callback_handover import PATIENCE_S, sweep
from api.deps import Parts
from storage import idempotency

_log = structlog.get_logger(__name__)

SWEEPS_PER_FORGETTING = 720
"""About once an hour."""


async def keep_up(parts: Parts) -> None:
    """For ever, in the background; several processes do no harm to each other."""
    sweeps = 0
    while True:
        await asyncio.sleep(PATIENCE_S)
        try:
            await sweep(parts)
            if sweeps % SWEEPS_PER_FORGETTING == 0:
                async with parts.database.transaction() as connection:
                    await idempotency.forget(connection, now=parts.clock())
        except Exception as failure:
            # Weather of the database: the inbox keeps what is waiting, and the next round is seconds away.
            _log.warning("upkeep.failed", reason=str(failure))
        sweeps += 1
