"""A fresh migrated database per test: a copy of one that was migrated once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

import migrations
from embedded.postgres import PostgresServer
from storage.database import Database
from tests.storage.shelves import Shop, a_shop

TEMPLATE = "storage_template"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """The migrated database that each test's is a copy of."""
    postgres.ensure_roles(TEMPLATE)
    migrations.upgrade(postgres.url("tessera_owner", TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_name(postgres: PostgresServer, template: str) -> Iterator[str]:
    name = f"storage_{next(_numbers)}"
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as cx:
        cx.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    postgres.ensure_roles(name)
    yield name
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as cx:
        cx.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def owner_url(postgres: PostgresServer, database_name: str) -> str:
    """As the owner: for arranging, and for planting what no process of ours could do."""
    return postgres.url("tessera_owner", database_name)


@pytest.fixture
def api_url(postgres: PostgresServer, database_name: str) -> str:
    return postgres.url("tessera_api", database_name)


@pytest.fixture
def worker_url(postgres: PostgresServer, database_name: str) -> str:
    return postgres.url("tessera_worker", database_name)


@pytest.fixture
async def database(worker_url: str) -> AsyncIterator[Database]:
    """As a worker has it."""
    async with Database(worker_url, pool_max=8) as opened:
        yield opened
    await asyncio.sleep(0)


@pytest.fixture
async def shop(owner_url: str, worker_url: str, api_url: str) -> AsyncIterator[Shop]:
    """Several warehouses' stock; what the inspection finds wrong with it at the end of the test fails it."""
    async with a_shop(owner_url, worker_url, api_url, pool_max=16) as opened:
        yield opened
        assert await opened.unproven() == []
