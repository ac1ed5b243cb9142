"""The fixtures of tests that need the whole platform; a conftest imports those that its directory shall have."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from temporalio.testing import WorkflowEnvironment

from embedded.postgres import PostgresServer
from tests.platform import Platform, running_platform

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def quiet() -> Iterator[None]:
    """Log lines are made and go nowhere."""
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
async def platform(
    postgres: PostgresServer, temporal_env: WorkflowEnvironment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    """One per module, with a database of its own."""
    directory = tmp_path_factory.mktemp("suppliers")
    async with running_platform(postgres, temporal_env, directory, f"platform_{next(_numbers)}") as running:
        yield running


@pytest.fixture(autouse=True)
async def every_invariant_holds(platform: Platform) -> AsyncIterator[None]:
    """After each test, whatever it was about: nothing lost, nothing twice, here and in the suppliers' books."""
    yield
    violations = await platform.violations()
    assert not violations, "\n".join(map(str, violations))
