"""The stack that is measured: fresh, in a directory of its own, on free ports, with sample data and enough of all."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from temporalio.client import Client

import seeding
from benchmarks.plain_http import PlainHttp
from domain.supplier_catalog import derived_id
from embedded.credentials import Credentials
from embedded.postgres import SUPERUSER, PostgresServer
from embedded.stack import ROOT, Stack, StackOptions
from settings import Settings
from storage.database import Connection, Database

DISTRIBUTOR = "summit"
PLENTY = 1_000_000_000
POSTGRES = {"shared_preload_libraries": "pg_stat_statements"}
NOOP_WORKER = "noop worker"


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of an order for one unit of something on the shelf."""

    sku_id: str
    amount_minor: int
    currency: str
    availability_id: str

    def order(self) -> dict[str, Any]:
        price = {"amount_minor": self.amount_minor, "currency": self.currency}
        line = {
            "sku_id": self.sku_id, "quantity": 1, "unit_price": price, "availability_id": self.availability_id,
        }  # fmt: skip
        return {"currency": self.currency, "lines": [line]}


@dataclass(frozen=True, slots=True)
class World:
    """What benchmarks need: addresses, both ways in, and the variants that they order.

    `own_quota` is sold from our stock; `held_by_supplier` is locked at its supplier when placed; `sold_out` has none.
    """

    stack: Stack
    settings: Settings
    database: Database
    api: PlainHttp
    client: Client
    own_quota: Variant
    held_by_supplier: Variant
    sold_out: Variant
    processes: dict[str, psutil.Process]


@asynccontextmanager
async def world(report: Callable[[str], None]) -> AsyncIterator[World]:
    """Starts everything, waits until it is ready and calm, and stops it afterwards."""
    with tempfile.TemporaryDirectory(prefix="tessera-bench-", ignore_cleanup_errors=True) as directory:
        options = StackOptions(usual_ports=False, restart=False, postgres_settings=POSTGRES)
        async with Stack(Settings(data_dir=Path(directory)), options, report=report, seed=_seed) as stack:
            settings = stack.settings
            assert settings.temporal_address is not None
            async with Database(_superuser_url(settings), pool_max=settings.database_pool_max) as database:
                variants = await _prepare(database)
                client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
                keys = json.loads((settings.data_dir / "keys.json").read_text())
                async with _noop_worker(settings) as noop, _api(settings, keys) as api:
                    processes = {name: psutil.Process(pid) for name, pid in stack.pids.items()}
                    processes |= {NOOP_WORKER: psutil.Process(noop.pid), "driver": psutil.Process()}
                    # the worker looks for changed suppliers every few seconds, and takes them then
                    await asyncio.sleep(8)
                    yield World(stack, settings, database, api, client, *variants, processes)


def _superuser_url(settings: Settings) -> str:
    """Statistics of statements are the superuser's to see."""
    port = urlsplit(str(settings.database_url)).port
    assert port is not None
    credentials = Credentials.load_or_create(settings.data_dir / "secrets.json")
    return PostgresServer(settings.data_dir / "postgres", port, credentials).url(SUPERUSER)


async def _seed(settings: Settings) -> None:
    await seeding.run(settings)


def _api(settings: Settings, keys: dict[str, dict[str, str]]) -> PlainHttp:
    return PlainHttp(settings.api_url, keys["distributors"][DISTRIBUTOR])


@asynccontextmanager
async def _noop_worker(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    command = ("-P", "-m", "benchmarks.noop", str(settings.temporal_address), settings.temporal_namespace)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": ROOT, "PYTHONWARNINGS": "ignore"}
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _prepare(database: Database) -> tuple[Variant, Variant, Variant]:
    """Enough stock, credit and room at suppliers that none of them is the limit, and one variant that has none."""
    async with database.transaction() as cx:
        await cx.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        await cx.execute("UPDATE credit_lines SET limit_minor = %s", (PLENTY * 1000,))
        await cx.execute("UPDATE suppliers SET max_per_second = 1000, max_concurrent = 100")
        await cx.execute("UPDATE risk_rules SET active = false")
        own = await _variant(cx, derived_id("sku", "NG-BRONZE", "DEFAULT", "adult"))
        gone = await _variant(cx, derived_id("sku", "NG-BRONZE", "DEFAULT", "child"))
        held = await _variant(cx, derived_id("sku", "NG-BRONZE", "DEFAULT", "senior"))
        await cx.execute("UPDATE stock SET on_hand = %s WHERE sku_id = %s", (PLENTY, own.sku_id))
        await cx.execute("UPDATE stock SET on_hand = 0 WHERE sku_id = %s", (gone.sku_id,))
        return own, held, gone


async def _variant(cx: Connection, sku_id: str) -> Variant:
    cursor = await cx.execute(
        """
        SELECT sku_id, amount_minor, currency, availability_id FROM prices,
               (SELECT max(availability_id) AS availability_id FROM sessions
                WHERE supplier_product_id = 'ng-bronze-age' AND available) AS last_day
        WHERE sku_id = %s AND channel = 'default'
        """,
        (sku_id,),
    )
    row = await cursor.fetchone()
    assert row is not None, f"the sample data has no variant {sku_id}"
    return Variant(**row)
