"""The sample channels and shoppers: they work against the simulator, and what people change afterwards stays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import psycopg
import pytest

import migrations
from adapters.payments import PaymentRequest
from adapters.payments.registry import PROTOCOLS
from api.passwords import Hasher
from domain.channels import Created
from embedded.postgres import PostgresServer
from seed_channels import ensure_channels
from seed_keys import ensure_passwords
from seed_shoppers import COINS_MINOR, SHOPPERS, VOUCHER_MINOR, WITH_COINS, WITH_VOUCHER, ensure_shoppers
from settings import Settings
from simulators.payment.serving import serving
from storage import balance_grants, balances, payment_channels, users
from storage.database import Database

NAME = "seed_channels_tests"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("channels")) as url:
        yield url


@dataclass
class Shop:
    database: Database
    settings: Settings
    client: httpx2.AsyncClient
    simulator: str

    async def seed_channels(self) -> tuple[str, ...]:
        return await ensure_channels(self.database, self.settings, actor="service/seed")

    async def seed_shoppers(self) -> dict[str, str]:
        passwords = await ensure_passwords(self.settings, SHOPPERS)
        await ensure_shoppers(self.database, self.settings, passwords, actor="service/seed", now=NOW)
        return passwords


@pytest.fixture
async def shop(postgres: PostgresServer, simulator: str, tmp_path: Path) -> AsyncIterator[Shop]:
    postgres.ensure_roles(NAME)
    migrations.upgrade(postgres.url("tessera_owner", NAME))
    with psycopg.connect(postgres.url("tessera_owner", NAME), autocommit=True) as connection:
        connection.execute("DELETE FROM payment_channels")
    settings = Settings(data_dir=tmp_path, payment_simulator_port=int(simulator.rpartition(":")[2]))
    async with (
        Database(postgres.url("tessera_api", NAME), pool_max=2) as database,
        httpx2.AsyncClient(trust_env=False) as client,
    ):
        yield Shop(database, settings, client, simulator)


async def test_every_sample_channel_lets_a_payer_pay(shop: Shop) -> None:
    channels = await shop.seed_channels()
    assert channels == ("alipay", "paybridge", "stripe")
    for channel_id in channels:
        async with shop.database.reading() as cx:
            contract = await payment_channels.read_contract(cx, channel_id)
        assert contract is not None
        channel = PROTOCOLS[contract["protocol"]].connect(shop.client, contract)
        request = PaymentRequest(
            pay_id=f"pay-{channel_id}", amount_minor=100, currency="CNY", subject="A ticket",
            notify_url="http://127.0.0.1:9/", return_url="", expires_at=datetime.now(UTC) + timedelta(minutes=5),
        )  # fmt: skip
        assert isinstance(await channel.create(request, timeout_s=5), Created), channel_id


async def test_stripe_knows_by_its_account_where_to_call_back(shop: Shop) -> None:
    await shop.seed_channels()
    shown = (await shop.client.get(f"{shop.simulator}/control/stripe")).json()
    assert shown["callback"]["url"] == f"{shop.settings.api_url}/v1/callbacks/payments/stripe"


async def test_seeding_channels_again_follows_the_simulators_address_and_leaves_the_rest(shop: Shop) -> None:
    await shop.seed_channels()
    async with shop.database.transaction() as cx:
        await cx.execute(
            "UPDATE payment_channels SET name = 'Bridge', base_url = 'http://moved.example' WHERE id = 'paybridge'"
        )
    await shop.seed_channels()
    async with shop.database.reading() as cx:
        row = await payment_channels.get_channel(cx, "paybridge")
    assert (row.name, row.base_url) == ("Bridge", f"{shop.simulator}/paybridge")


async def test_sample_shoppers_have_their_passwords_coins_and_voucher_once(shop: Shop) -> None:
    passwords = await shop.seed_shoppers()
    assert await shop.seed_shoppers() == passwords
    async with shop.database.reading() as cx:
        found = {row["email"]: row for row in await users.list_users(cx, email=None, after=None, limit=10)}
        coins = await balances.coin_account(cx, found[WITH_COINS]["id"])
        vouchers = await balance_grants.usable_vouchers(cx, found[WITH_VOUCHER]["id"], at=NOW, limit=10)
        tried = await users.count_try(cx, WITH_COINS, NOW)
    assert coins is not None
    assert coins.available_minor == COINS_MINOR
    assert [(row["balance_minor"], row["campaign"]) for row in vouchers] == [(VOUCHER_MINOR, "welcome")]
    assert tried is not None
    assert await Hasher().matches(passwords[WITH_COINS], tried.password_hash) == (True, None)
    assert await Hasher().matches(passwords[WITH_VOUCHER], tried.password_hash) == (False, None)
