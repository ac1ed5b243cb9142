"""The API on a real, migrated database as its own role sees it, called in process; and callers of every kind."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

import migrations
from api.app import create_app
from api.keys import USER, mint
from domain.access import DISTRIBUTOR_DEFAULTS, Action, PrincipalKind, Role
from embedded.postgres import PostgresServer
from settings import Settings
from storage import accounts, users
from storage.accounts import ApiKeyRow, DistributorRow, GrantRow, OperatorRow
from storage.database import Database
from storage.users import UserRow, UserSessionRow

NAME = "api_tests"
_numbers = itertools.count(1)


@dataclass
class Clock:
    """A clock that only tests move; it starts at the real time."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture(scope="session", autouse=True)
def quiet() -> Iterator[None]:
    """Log lines of these tests are made and go nowhere: unconfigured, structlog paints every traceback for seconds."""
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
async def database(postgres: PostgresServer) -> AsyncIterator[Database]:
    """As the API has it. Shared by the session's tests: each makes accounts of its own."""
    postgres.ensure_roles(NAME)
    migrations.upgrade(postgres.url("tessera_owner", NAME))
    async with Database(postgres.url("tessera_api", NAME), pool_max=8) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def app(settings: Settings, database: Database, clock: Clock) -> FastAPI:
    return create_app(settings, database, None, clock=clock)


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of the application; `api.headers` carries no key."""
    async with AsyncClient(transport=ASGITransport(app), base_url="http://api") as client:
        yield client


@dataclass(frozen=True)
class Caller:
    """Somebody with a key."""

    id: str
    token: str
    key_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def once(self, key: str | None = None) -> dict[str, str]:
        """Headers of a POST: the key, and a fresh (or the given) Idempotency-Key."""
        return {**self.headers, "Idempotency-Key": key or f"key-{next(_numbers)}"}


Maker = Callable[..., Awaitable[Caller]]


async def a_key(
    database: Database, kind: PrincipalKind, owner_id: str, now: datetime, *, days: float = 30
) -> tuple[str, str]:
    """The id and the token of a new key."""
    minted = mint(Settings().pepper.get_secret_value())
    row = ApiKeyRow(
        id=minted.id,
        principal_kind=kind,
        principal_id=owner_id,
        secret_hmac=minted.secret_hmac,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    async with database.transaction() as connection:
        await accounts.add_key(connection, row, now)
    return minted.id, minted.token


@pytest.fixture
def an_operator(database: Database, clock: Clock) -> Maker:
    """`await an_operator(Role.FINANCE)`: an operator with a key."""

    async def make(role: Role = Role.ADMIN) -> Caller:
        operator_id = f"opr_{next(_numbers)}"
        async with database.transaction() as connection:
            await accounts.add_operator(
                connection, OperatorRow(id=operator_id, name="Ada", role=role, created_at=clock.now)
            )
        key_id, token = await a_key(database, PrincipalKind.OPERATOR, operator_id, clock.now)
        return Caller(operator_id, token, key_id)

    return make


@pytest.fixture
def a_distributor(database: Database, clock: Clock) -> Maker:
    """`await a_distributor(limit_minor=100)`: a distributor with a credit line in CNY and a key."""

    async def make(
        *, limit_minor: int = 1_000_000, actions: frozenset[Action] = DISTRIBUTOR_DEFAULTS, days: float = 30
    ) -> Caller:
        number = next(_numbers)
        row = DistributorRow(
            id=f"dst_{number}", name="Acme", currency="CNY", time_zone="Asia/Shanghai", created_at=clock.now
        )
        grants = [
            GrantRow(id=f"grt_{number}_{action}", principal_id=row.id, action=action, valid_from=clock.now)
            for action in sorted(actions)
        ]
        async with database.transaction() as connection:
            await accounts.add_distributor(connection, row, limit_minor=limit_minor, prepaid_minor=0, grants=grants)
        key_id, token = await a_key(database, PrincipalKind.DISTRIBUTOR, row.id, clock.now, days=days)
        return Caller(row.id, token, key_id)

    return make


@pytest.fixture
def a_shopper(database: Database, clock: Clock) -> Maker:
    """`await a_shopper()`: a shopper who is logged in; nobody knows the password."""

    async def make() -> Caller:
        number = next(_numbers)
        user_id, minted = f"usr-{number}", mint(Settings().pepper.get_secret_value(), USER)
        row = UserRow(
            id=user_id, email=f"{user_id}@buyer.example", name="Li Lei", password_hash="-", created_at=clock.now
        )
        session = UserSessionRow(
            id=minted.id,
            user_id=user_id,
            secret_hmac=minted.secret_hmac,
            created_at=clock.now,
            expires_at=clock.now + timedelta(hours=12),
        )
        async with database.transaction() as connection:
            await users.add_user(connection, row)
            await users.add_session(connection, session)
        return Caller(user_id, minted.token, minted.id)

    return make


@pytest.fixture(scope="session")
async def owner(postgres: PostgresServer, database: Database) -> AsyncIterator[Database]:
    """As the tables' owner: for arranging what workers would have written."""
    async with Database(postgres.url("tessera_owner", NAME), pool_max=4) as opened:
        yield opened
