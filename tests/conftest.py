"""Fixtures that every room's tests share: a real PostgreSQL and a real Temporal server, both embedded, once per
session.

With pytest-xdist each worker process is a session of its own and has servers of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from embedded import temporal
from embedded.ports import any_free_port
from embedded.postgres import PostgresServer, running


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """PostgreSQL with the database `tessera` (no schema yet) and the three roles; `postgres.url("tessera_worker")`."""
    with running(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture(scope="session")
async def temporal_env() -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server that skips timers. Only workflows started through `temporal_env.client` have their clock
    skipped."""
    port = any_free_port()
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(temporal.binary()),
        port=port,
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=60),
        dev_server_extra_args=temporal.time_skipping_arguments(),
    )
    async with environment:
        await temporal.prepare_namespace(
            environment.client, retention_days=90, search_attributes=temporal.SEARCH_ATTRIBUTES
        )
        yield environment
