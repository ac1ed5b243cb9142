"""Shoppers: who they are, how often somebody failed to log in as them, and the tokens that they came in with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from domain.access import Principal, PrincipalKind, user_grants
from domain.users import LOCKED_FOR, MAX_FAILED_LOGINS, EmailTaken, UserNotFound, UserStatus
from storage.accounts import StoredKey
from storage.columns import at, one_of
from storage.database import Connection

Row = dict[str, Any]
"""A row of a query, by column name; never with the hash of a password."""


class UserRow(SQLModel, table=True):
    """A shopper of our own storefront. `email` in small letters (domain/users.py): one account per mailbox.

    `failed_logins`: tries since the last success, each counted before its password was looked at.
    """

    __tablename__ = "users"
    __table_args__ = (
        one_of("status", UserStatus),
        CheckConstraint("email = lower(email)", name="email_in_small_letters"),
        CheckConstraint("failed_logins >= 0", name="failed_logins_not_negative"),
    )

    id: str = Field(primary_key=True)
    email: str = Field(unique=True)
    name: str
    password_hash: str
    status: str = "active"
    failed_logins: int = 0
    locked_until: datetime | None = at(default=None, nullable=True)
    created_at: datetime = at()


class UserSessionRow(SQLModel, table=True):
    """A token `tsr_user_<id>_<secret>`: shown once, kept as an HMAC, until it expires or is revoked."""

    __tablename__ = "user_sessions"
    __table_args__ = (Index("user_sessions_user", "user_id", "created_at"),)

    id: str = Field(primary_key=True)
    user_id: str = Field(foreign_key="users.id")
    secret_hmac: bytes
    created_at: datetime = at()
    expires_at: datetime = at()
    revoked_at: datetime | None = at(default=None, nullable=True)


_SHOWN = "id, email, name, status, locked_until, created_at"


async def add_user(cx: Connection, user: UserRow) -> None:
    """Raises EmailTaken."""
    cursor = await cx.execute(
        "INSERT INTO users (id, email, name, password_hash, created_at)"
        " VALUES (%(id)s, %(email)s, %(name)s, %(password_hash)s, %(created_at)s) ON CONFLICT (email) DO NOTHING",
        user.model_dump(),
    )
    if cursor.rowcount == 0:
        raise EmailTaken


@dataclass(frozen=True, slots=True)
class LoginTry:
    """A try that was counted: whose it is, and what its password is compared with."""

    user_id: str
    password_hash: str


async def count_try(cx: Connection, email: str, now: datetime) -> LoginTry | None:
    """Count a try to log in as failed, before its password is looked at: of any number of guesses at the same time no
    more than MAX_FAILED_LOGINS get to compare one. None: there is no such account, or it lets nobody in now.
    """
    cursor = await cx.execute(
        """
        UPDATE users SET
            failed_logins = CASE WHEN locked_until IS NULL THEN failed_logins + 1 ELSE 1 END,
            locked_until = CASE WHEN locked_until IS NULL AND failed_logins + 1 >= %(most)s
                                THEN %(now)s::timestamptz + %(locked_for)s END
        WHERE email = %(email)s AND status = 'active' AND (locked_until IS NULL OR locked_until <= %(now)s)
        RETURNING id AS user_id, password_hash
        """,
        {"email": email, "now": now, "most": MAX_FAILED_LOGINS, "locked_for": LOCKED_FOR},
    )
    row = await cursor.fetchone()
    return LoginTry(**row) if row else None


async def note_success(cx: Connection, user_id: str, new_hash: str | None) -> bool:
    """The password was right: tries are forgotten; `new_hash` replaces an older one. False: blocked meanwhile."""
    cursor = await cx.execute(
        "UPDATE users SET failed_logins = 0, locked_until = NULL, password_hash = coalesce(%s, password_hash)"
        " WHERE id = %s AND status = 'active'",
        (new_hash, user_id),
    )
    return cursor.rowcount == 1


async def add_session(cx: Connection, session: UserSessionRow) -> None:
    """A token's row."""
    await cx.execute(
        "INSERT INTO user_sessions (id, user_id, secret_hmac, created_at, expires_at)"
        " VALUES (%(id)s, %(user_id)s, %(secret_hmac)s, %(created_at)s, %(expires_at)s)",
        session.model_dump(),
    )


async def find_session(cx: Connection, session_id: str) -> StoredKey | None:
    """The token's row with its shopper: what every request of theirs asks, if no cache answers."""
    cursor = await cx.execute(
        "SELECT s.secret_hmac, s.expires_at, s.revoked_at, u.id AS user_id, u.status"
        " FROM user_sessions s JOIN users u ON u.id = s.user_id WHERE s.id = %s",
        (session_id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    return StoredKey(
        id=session_id,
        secret_hmac=bytes(row["secret_hmac"]),
        expires_at=row["expires_at"],
        revoked=row["revoked_at"] is not None,
        active=row["status"] == UserStatus.ACTIVE,
        principal=Principal(PrincipalKind.USER, row["user_id"], grants=user_grants()),
    )


async def revoke_session(cx: Connection, session_id: str, user_id: str, now: datetime) -> None:
    """Ends a token. Again it changes nothing."""
    await cx.execute(
        "UPDATE user_sessions SET revoked_at = coalesce(revoked_at, %s) WHERE id = %s AND user_id = %s",
        (now, session_id, user_id),
    )


async def revoke_sessions(cx: Connection, user_id: str, now: datetime) -> None:
    """Ends all tokens of a shopper."""
    await cx.execute(
        "UPDATE user_sessions SET revoked_at = %s WHERE user_id = %s AND revoked_at IS NULL", (now, user_id)
    )


async def get_user(cx: Connection, user_id: str) -> Row:
    """Raises UserNotFound."""
    row = await (await cx.execute(f"SELECT {_SHOWN} FROM users WHERE id = %s", (user_id,))).fetchone()
    if row is None:
        raise UserNotFound(user_id)
    return row


async def list_users(cx: Connection, *, email: str | None, after: Sequence[str | int] | None, limit: int) -> list[Row]:
    """In the order of their ids; with `email` (in small letters) the one who has it."""
    cursor = await cx.execute(
        f"SELECT {_SHOWN} FROM users WHERE id > %(after)s AND (%(email)s::text IS NULL OR email = %(email)s)"
        " ORDER BY id LIMIT %(limit)s",
        {"after": after[0] if after else "", "email": email, "limit": limit},
    )
    return await cursor.fetchall()


async def set_status(cx: Connection, user_id: str, status: UserStatus) -> UserStatus:
    """Block or let in again, also one who was locked out; what it was before. Raises UserNotFound."""
    cursor = await cx.execute(
        """
        WITH was AS (SELECT id, status FROM users WHERE id = %(id)s FOR NO KEY UPDATE)
        UPDATE users u SET status = %(status)s, failed_logins = 0, locked_until = NULL
        FROM was WHERE u.id = was.id RETURNING was.status
        """,
        {"id": user_id, "status": status},
    )
    row = await cursor.fetchone()
    if row is None:
        raise UserNotFound(user_id)
    return UserStatus(row["status"])
