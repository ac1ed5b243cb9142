"""Answers kept by Idempotency-Key, and the leases of node numbers: what makes once mean once over all processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from sqlmodel import Field, SQLModel

from storage.columns import at, big, document
from storage.database import Connection

KEPT = timedelta(days=30)
"""After this a key is as good as new."""


class IdempotencyKeyRow(SQLModel, table=True):
    """Scope: caller, method and route. Without an answer it is in flight until `sent_until`, then may be sent again."""

    __tablename__ = "idempotency_keys"

    caller: str = Field(primary_key=True)
    route: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_hash: str
    status: int | None = None
    body: dict[str, Any] | None = document(default=None, nullable=True)
    sent_until: datetime = at()
    created_at: datetime = at(index=True)


class NodeLeaseRow(SQLModel, table=True):
    """A node number of the id generator, leased to one process at a time."""

    __tablename__ = "node_leases"

    node: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    holder: str
    leased_until: datetime = at()
    last_ms: int = big(default=0)


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose key of which route: `route` is method and path template."""

    caller: str
    route: str
    key: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known of a key. `mine`: this process holds it until `sent_until`, which is the token of its turn."""

    mine: bool
    body_hash: str
    sent_until: datetime
    status: int | None = None
    body: dict[str, Any] | None = None


_BEGIN = """
WITH begun AS (
    INSERT INTO idempotency_keys AS k (caller, route, key, body_hash, sent_until, created_at)
    VALUES (%(caller)s, %(route)s, %(key)s, %(body_hash)s, %(sent_until)s, %(now)s)
    ON CONFLICT (caller, route, key) DO UPDATE
        SET body_hash = excluded.body_hash, sent_until = excluded.sent_until, created_at = excluded.created_at,
            status = NULL, body = NULL
        WHERE (k.status IS NULL AND k.sent_until <= %(now)s AND k.body_hash = excluded.body_hash)
           OR k.created_at < %(forgotten)s
    RETURNING true AS mine, body_hash, sent_until, status, body
)
SELECT mine, body_hash, sent_until, status, body FROM begun
UNION ALL
SELECT false, body_hash, sent_until, status, body FROM idempotency_keys
WHERE caller = %(caller)s AND route = %(route)s AND key = %(key)s AND NOT EXISTS (SELECT FROM begun)
"""


async def begin(connection: Connection, scope: Scope, body_hash: str, *, now: datetime, turn_s: float) -> Begun:
    """Take the key's turn, or learn who has it, in one statement.

    A turn that ended without an answer is taken over by exactly one caller with the same body. Where another inserted
    the row while this statement ran, its snapshot shows none: that one has the turn.
    """
    arguments = {
        "caller": scope.caller,
        "route": scope.route,
        "key": scope.key,
        "body_hash": body_hash,
        "now": now,
        "sent_until": now + timedelta(seconds=turn_s),
        "forgotten": now - KEPT,
    }
    row = await (await connection.execute(_BEGIN, arguments)).fetchone()
    if row is None:
        return Begun(False, body_hash, now)
    return Begun(row["mine"], row["body_hash"], row["sent_until"], row["status"], row["body"])


async def finish(
    connection: AsyncConnection[Any], scope: Scope, turn: datetime, status: int, body: dict[str, Any]
) -> bool:
    """Keep the answer, in the transaction of its effect. False: the turn ran out and another took it."""
    cursor = await connection.execute(
        "UPDATE idempotency_keys SET status = %s, body = %s"
        " WHERE caller = %s AND route = %s AND key = %s AND status IS NULL AND sent_until = %s",
        (status, Jsonb(body), scope.caller, scope.route, scope.key, turn),
    )
    return cursor.rowcount == 1


async def release(connection: Connection, scope: Scope, turn: datetime, now: datetime) -> None:
    """End a turn that came to nothing, so that the same request may be sent again at once."""
    await connection.execute(
        "UPDATE idempotency_keys SET sent_until = %s"
        " WHERE caller = %s AND route = %s AND key = %s AND status IS NULL AND sent_until = %s",
        (now, scope.caller, scope.route, scope.key, turn),
    )


async def forget(connection: Connection, *, now: datetime, limit: int = 1000) -> int:
    """Delete keys past their time, at most `limit` at once; how many were deleted."""
    cursor = await connection.execute(
        "DELETE FROM idempotency_keys WHERE (caller, route, key) IN"
        " (SELECT caller, route, key FROM idempotency_keys WHERE created_at < %s ORDER BY created_at LIMIT %s)",
        (now - KEPT, limit),
    )
    return cursor.rowcount
