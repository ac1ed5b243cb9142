"""The way to PostgreSQL: one psycopg pool for hot statements, one SQLAlchemy engine for the rest, per process.

`transaction()` and `session()` are the only places that commit; functions in storage/ take what these yield.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

Connection = AsyncConnection[DictRow]

_OPTIONS = "-c timezone=UTC -c plan_cache_mode=force_generic_plan -c jit=off"
"""Hot statements are the same few for ever, and go by keys: to plan them anew at each use buys nothing."""


async def _configure(connection: AsyncConnection[Any]) -> None:
    """Statements are prepared from their second use on: the hot path runs the same few for ever."""
    connection.prepare_threshold = 2


async def answers(cx: Connection) -> None:
    """Raises where the database does not: the question that readiness asks."""
    await cx.execute("SELECT 1")


class Database:
    """Both ways in, opened with `async with`. `url` is a libpq URL (`postgresql://...`) without a driver name."""

    def __init__(self, url: str, *, pool_max: int = 16, pool_min: int = 2) -> None:
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            min_size=min(pool_min, pool_max),
            max_size=pool_max,
            open=False,
            timeout=10.0,
            kwargs={"row_factory": dict_row, "autocommit": True, "options": _OPTIONS},
            configure=_configure,
        )
        self._engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            pool_size=4,
            max_overflow=8,
            pool_pre_ping=True,
            connect_args={"options": "-c timezone=UTC"},
        )
        self._sessions = async_sessionmaker(self._engine, class_=AsyncSession, expire_on_commit=False)

    async def __aenter__(self) -> Database:
        await self._pool.open(wait=True, timeout=30.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction on one pooled connection: commits at the end, rolls back on any exception."""
        async with self._pool.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection for single statements, without a transaction around them."""
        async with self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """One SQLModel session in one transaction: commits at the end, rolls back on any exception."""
        async with self._sessions() as session, session.begin():
            yield session
