"""Who may come in: distributors with their credit line, operators, bearer keys, roles and grants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from domain.access import (
    MAX_ACTIVE_KEYS,
    MAX_GRANTS,
    AccountExists,
    AccountNotFound,
    Action,
    CreditLineStale,
    Grant,
    GrantExists,
    KeyNotFound,
    Principal,
    PrincipalKind,
    ResourceKind,
    Role,
    TooManyGrants,
    TooManyKeys,
    distributor_grants,
    role_grants,
)
from domain.payments import Pays
from storage.columns import at, big, one_of
from storage.database import Connection

Row = dict[str, Any]
"""A row of a query, by column name."""


class DistributorRow(SQLModel, table=True):
    """A downstream reseller. `channel` chooses its prices; `time_zone` (IANA) is its contract's; `pays`: how its orders
    are paid. Our own storefront is the distributor `house`, whose orders shoppers pay."""

    __tablename__ = "distributors"
    __table_args__ = (one_of("status", ("active", "blocked")), one_of("pays", Pays))

    id: str = Field(primary_key=True)
    name: str
    status: str = "active"
    channel: str = "default"
    currency: str
    time_zone: str
    pays: str = "on_account"
    created_at: datetime = at()


class CreditLineRow(SQLModel, table=True):
    """available = limit + prepaid - outstanding - held. The placing statement carries the condition."""

    __tablename__ = "credit_lines"
    __table_args__ = (
        CheckConstraint("held_minor >= 0", name="held_not_negative"),
        CheckConstraint("limit_minor >= 0 AND prepaid_minor >= 0", name="limits_not_negative"),
    )

    distributor_id: str = Field(primary_key=True, foreign_key="distributors.id")
    currency: str
    limit_minor: int = big()
    prepaid_minor: int = big(default=0)
    outstanding_minor: int = big(default=0)
    held_minor: int = big(default=0)


class CreditHoldRow(SQLModel, table=True):
    """Credit that one order holds until it is locked (`used`) or refused (`released`): exactly once."""

    __tablename__ = "credit_holds"
    __table_args__ = (
        one_of("state", ("held", "used", "released")),
        CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    )

    order_no: int = big(primary_key=True, sa_column_kwargs={"autoincrement": False})
    distributor_id: str = Field(foreign_key="distributors.id", index=True)
    amount_minor: int = big()
    state: str = "held"


class OperatorRow(SQLModel, table=True):
    """A person who steers; the role gives the permissions (domain/access.py)."""

    __tablename__ = "operators"
    __table_args__ = (one_of("status", ("active", "blocked")),)

    id: str = Field(primary_key=True)
    name: str
    role: str
    status: str = "active"
    created_at: datetime = at()


class ApiKeyRow(SQLModel, table=True):
    """A bearer key `tsr_live_<id>_<secret>`: shown once, kept as an HMAC; at most two are active per principal."""

    __tablename__ = "api_keys"
    __table_args__ = (
        one_of("principal_kind", ("distributor", "operator")),
        Index("api_keys_principal", "principal_kind", "principal_id"),
    )

    id: str = Field(primary_key=True)
    principal_kind: str
    principal_id: str
    secret_hmac: bytes
    created_at: datetime = at()
    expires_at: datetime = at()
    revoked_at: datetime | None = at(default=None, nullable=True)


class GrantRow(SQLModel, table=True):
    """Who may do which action over which resources, from when until when."""

    __tablename__ = "grants"
    __table_args__ = (
        one_of("resource_kind", ("all", "category", "supplier", "product")),
        UniqueConstraint("principal_id", "action", "resource_kind", "resource_id", "valid_from"),
    )

    id: str = Field(primary_key=True)
    principal_id: str = Field(index=True)
    action: str
    resource_kind: str = "all"
    resource_id: str = ""
    valid_from: datetime = at()
    valid_to: datetime | None = at(default=None, nullable=True)


class BlockedBuyerRow(SQLModel, table=True):
    """A distributor's buyer that an operator has blocked; `buyer_ref` is the distributor's own name for it."""

    __tablename__ = "blocked_buyers"

    distributor_id: str = Field(primary_key=True, foreign_key="distributors.id")
    buyer_ref: str = Field(primary_key=True)
    reason: str
    blocked_at: datetime = at()


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key's row with all that authentication needs of its principal."""

    id: str
    secret_hmac: bytes
    expires_at: datetime
    revoked: bool
    active: bool
    principal: Principal


_FIND_KEY = """
SELECT k.secret_hmac, k.expires_at, k.revoked_at, k.principal_kind, k.principal_id, o.role,
       coalesce(d.status, o.status, 'blocked') AS status,
       coalesce((SELECT jsonb_agg(jsonb_build_array(g.action, g.valid_from, g.valid_to, g.resource_kind, g.resource_id))
                 FROM grants g
                 WHERE g.principal_id = k.principal_id AND k.principal_kind = 'distributor'
                   AND (g.valid_to IS NULL OR g.valid_to > now())), '[]') AS grants
FROM api_keys k
LEFT JOIN distributors d ON k.principal_kind = 'distributor' AND d.id = k.principal_id
LEFT JOIN operators o ON k.principal_kind = 'operator' AND o.id = k.principal_id
WHERE k.id = %(id)s
"""


_KNOWN_ACTIONS = frozenset(Action)


def _grants(rows: list[list[Any]]) -> tuple[Grant, ...]:
    """Grants of actions that this release knows; others are left to the release that wrote them."""
    return tuple(
        Grant(
            Action(action),
            datetime.fromisoformat(valid_from),
            datetime.fromisoformat(valid_to) if valid_to else None,
            ResourceKind(kind),
            resource_id,
        )
        for action, valid_from, valid_to, kind, resource_id in rows
        if action in _KNOWN_ACTIONS
    )


async def find_key(connection: Connection, key_id: str) -> StoredKey | None:
    """The key with its principal and grants, in one statement: every request asks this, if no cache answers."""
    row = await (await connection.execute(_FIND_KEY, {"id": key_id})).fetchone()
    if row is None:
        return None
    role = Role(row["role"]) if row["role"] else None
    return StoredKey(
        id=key_id,
        secret_hmac=bytes(row["secret_hmac"]),
        expires_at=row["expires_at"],
        revoked=row["revoked_at"] is not None,
        active=row["status"] == "active",
        principal=Principal(
            kind=PrincipalKind(row["principal_kind"]),
            id=row["principal_id"],
            role=role,
            grants=role_grants(role) if role else distributor_grants(_grants(row["grants"])),
        ),
    )


async def add_distributor(
    connection: Connection,
    distributor: DistributorRow,
    *,
    limit_minor: int,
    prepaid_minor: int,
    grants: Iterable[GrantRow],
) -> None:
    """A distributor with its credit line and first grants. Raises AccountExists."""
    cursor = await connection.execute(
        "INSERT INTO distributors (id, name, status, channel, currency, time_zone, created_at)"
        " VALUES (%(id)s, %(name)s, %(status)s, %(channel)s, %(currency)s, %(time_zone)s, %(created_at)s)"
        " ON CONFLICT (id) DO NOTHING",
        distributor.model_dump(),
    )
    if cursor.rowcount == 0:
        raise AccountExists(distributor.id)
    await connection.execute(
        "INSERT INTO credit_lines (distributor_id, currency, limit_minor, prepaid_minor) VALUES (%s, %s, %s, %s)",
        (distributor.id, distributor.currency, limit_minor, prepaid_minor),
    )
    for grant in grants:
        await add_grant(connection, grant)


async def add_operator(connection: Connection, operator: OperatorRow) -> None:
    """Raises AccountExists."""
    cursor = await connection.execute(
        "INSERT INTO operators (id, name, role, status, created_at)"
        " VALUES (%(id)s, %(name)s, %(role)s, %(status)s, %(created_at)s) ON CONFLICT (id) DO NOTHING",
        operator.model_dump(),
    )
    if cursor.rowcount == 0:
        raise AccountExists(operator.id)


async def _lock_principal(connection: Connection, kind: str, principal_id: str) -> None:
    """Two callers who add to one account take turns, so that counting before adding is safe. Raises AccountNotFound."""
    table = sql.Identifier("distributors" if kind == PrincipalKind.DISTRIBUTOR else "operators")
    query = sql.SQL("SELECT id FROM {} WHERE id = %s FOR NO KEY UPDATE").format(table)
    if await (await connection.execute(query, (principal_id,))).fetchone() is None:
        raise AccountNotFound(principal_id)


async def add_key(connection: Connection, key: ApiKeyRow, now: datetime) -> None:
    """A key, of which two may be active per principal. Raises AccountNotFound, TooManyKeys."""
    await _lock_principal(connection, key.principal_kind, key.principal_id)
    active = await (
        await connection.execute(
            "SELECT count(*) AS n FROM api_keys WHERE principal_kind = %s AND principal_id = %s"
            " AND revoked_at IS NULL AND expires_at > %s",
            (key.principal_kind, key.principal_id, now),
        )
    ).fetchone()
    if active is not None and active["n"] >= MAX_ACTIVE_KEYS:
        raise TooManyKeys
    await connection.execute(
        "INSERT INTO api_keys (id, principal_kind, principal_id, secret_hmac, created_at, expires_at)"
        " VALUES (%(id)s, %(principal_kind)s, %(principal_id)s, %(secret_hmac)s, %(created_at)s, %(expires_at)s)",
        key.model_dump(),
    )


async def revoke_key(connection: Connection, kind: str, principal_id: str, key_id: str, now: datetime) -> Row:
    """Revokes once: a second time leaves the first moment. Raises KeyNotFound."""
    row = await (
        await connection.execute(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, %s)"
            " WHERE id = %s AND principal_kind = %s AND principal_id = %s"
            " RETURNING id, created_at, expires_at, revoked_at",
            (now, key_id, kind, principal_id),
        )
    ).fetchone()
    if row is None:
        raise KeyNotFound(key_id)
    return row


async def keys_of(connection: Connection, kind: str, principal_id: str) -> list[Row]:
    """The latest hundred keys of a principal, newest first, without their secrets' HMACs."""
    cursor = await connection.execute(
        "SELECT id, created_at, expires_at, revoked_at FROM api_keys"
        " WHERE principal_kind = %s AND principal_id = %s ORDER BY created_at DESC, id DESC LIMIT 100",
        (kind, principal_id),
    )
    return await cursor.fetchall()


async def add_grant(connection: Connection, grant: GrantRow) -> None:
    """A distributor's grant. Raises AccountNotFound, GrantExists, TooManyGrants."""
    await _lock_principal(connection, PrincipalKind.DISTRIBUTOR, grant.principal_id)
    count = await (
        await connection.execute("SELECT count(*) AS n FROM grants WHERE principal_id = %s", (grant.principal_id,))
    ).fetchone()
    if count is not None and count["n"] >= MAX_GRANTS:
        raise TooManyGrants
    cursor = await connection.execute(
        "INSERT INTO grants (id, principal_id, action, resource_kind, resource_id, valid_from, valid_to)"
        " VALUES (%(id)s, %(principal_id)s, %(action)s, %(resource_kind)s, %(resource_id)s, %(valid_from)s,"
        " %(valid_to)s) ON CONFLICT DO NOTHING",
        grant.model_dump(),
    )
    if cursor.rowcount == 0:
        raise GrantExists


async def grants_of(
    connection: Connection, principal_id: str, *, after: Sequence[str | int] | None, limit: int
) -> list[Row]:
    """A principal's grants in the order of their ids."""
    cursor = await connection.execute(
        "SELECT id, action, resource_kind, resource_id, valid_from, valid_to FROM grants"
        " WHERE principal_id = %s AND id > %s ORDER BY id LIMIT %s",
        (principal_id, after[0] if after else "", limit),
    )
    return await cursor.fetchall()


_DISTRIBUTOR = """
SELECT d.id, d.name, d.status, d.channel, d.currency, d.time_zone, d.created_at,
       c.limit_minor, c.prepaid_minor, c.outstanding_minor, c.held_minor
FROM distributors d JOIN credit_lines c ON c.distributor_id = d.id
"""


async def distributor(connection: Connection, distributor_id: str) -> Row:
    """A distributor with its credit line. Raises AccountNotFound."""
    cursor = await connection.execute(_DISTRIBUTOR + "WHERE d.id = %s", (distributor_id,))
    row = await cursor.fetchone()
    if row is None:
        raise AccountNotFound(distributor_id)
    return row


async def distributors(connection: Connection, *, after: Sequence[str | int] | None, limit: int) -> list[Row]:
    """Distributors with their credit lines, in the order of their ids."""
    cursor = await connection.execute(
        _DISTRIBUTOR + "WHERE d.id > %s ORDER BY d.id LIMIT %s", (after[0] if after else "", limit)
    )
    return await cursor.fetchall()


async def change_limit(
    connection: Connection, distributor_id: str, limit_minor: int, *, expected_limit_minor: int | None
) -> Row:
    """Set the credit limit; with an expectation, only from that one. Raises AccountNotFound, CreditLineStale.

    A limit below what is used already is legal: it stops new orders, and takes nothing back.
    """
    cursor = await connection.execute(
        "UPDATE credit_lines SET limit_minor = %(limit)s WHERE distributor_id = %(id)s"
        " AND (%(expected)s::bigint IS NULL OR limit_minor = %(expected)s)",
        {"id": distributor_id, "limit": limit_minor, "expected": expected_limit_minor},
    )
    row = await distributor(connection, distributor_id)
    if cursor.rowcount == 0:
        raise CreditLineStale
    return row
