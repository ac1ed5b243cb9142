"""What an API process does besides answering: callbacks are handed over again, imports, payments and refunds that stand
still are started, products that search does not know are indexed, and old answers and imports are forgotten."""

from __future__ import annotations

import asyncio

import structlog

from api import bulk_upload, payment_handover
from api.callback_handover import PATIENCE_S, sweep
from api.deps import Parts
from storage import catalog_search, idempotency, import_staging

_log = structlog.get_logger(__name__)

SWEEPS_PER_FORGETTING = 720
"""About once an hour."""

SWEEPS_PER_LOOK = 12
"""About once a minute."""


async def keep_up(parts: Parts) -> None:
    """For ever, in the background; several processes do no harm to each other."""
    sweeps = 0
    while True:
        await asyncio.sleep(PATIENCE_S)
        try:
            await sweep(parts)
            await payment_handover.sweep(parts)
            if sweeps % SWEEPS_PER_FORGETTING == 0:
                async with parts.database.transaction() as connection:
                    await idempotency.forget(connection, now=parts.clock())
                    await import_staging.forget_imports(connection, parts.clock())
            if sweeps % SWEEPS_PER_LOOK == 0:
                await keep_catalogue(parts)
                await payment_handover.start_what_stands_still(parts)
        except Exception as failure:
            # Weather of the database: the inbox keeps what is waiting, and the next round is seconds away.
            _log.warning("upkeep.failed", reason=str(failure))
        sweeps += 1


async def keep_catalogue(parts: Parts) -> None:
    """Start imports that stand still; index what an older version, or a statement of somebody's, has put in."""
    await bulk_upload.start_waiting(parts)
    indexed = 1
    while indexed:
        async with parts.database.transaction() as connection:
            indexed = await catalog_search.index_missing(connection)
