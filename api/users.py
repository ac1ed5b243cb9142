"""Shoppers over HTTP: they register, log in and out; operators see them, block them and let them in again."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import Path, Query, Request
from pydantic import Field, SecretStr
from starlette.responses import Response

from api.deps import DatabaseDep, NowDep, capability, parts_of, public, require, token_of
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.keys import USER, mint, session_of
from api.pages import Page, PagingDep
from api.views import Id, Input, Instant, Name, Text, View
from domain.access import Action, Principal, PrincipalKind
from domain.users import (
    MAX_PASSWORD,
    MIN_PASSWORD,
    LoginRefused,
    UserNotFound,
    UserStatus,
    judge_password,
    same_email,
)
from storage import users
from storage.catalog_log import log_operation
from storage.database import Connection
from storage.users import Row, UserRow, UserSessionRow

router = capability("Shoppers")

Reader = Annotated[Principal, require(Action.ACCOUNT_READ)]
Writer = Annotated[Principal, require(Action.ACCOUNT_WRITE)]
Self = Annotated[Principal, require(Action.SELF_READ)]
UserId = Annotated[Id, Path(description="A shopper's id.", examples=["usr-0f3a9c1d2b4e5f60a1b2"])]

Email = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,252}[A-Za-z0-9])?$",
        max_length=320,
        examples=["li.lei@buyer.example"],
    ),
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_PASSWORD)]


class RegisterInput(Input):
    """A new shopper. The password is kept as a hash only, and never logged."""

    email: Email
    password: Annotated[
        SecretStr, Field(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD, examples=["correct-horse-battery"])
    ]
    name: Name


class LoginInput(Input):
    email: Email
    password: Password


class StandingInput(Input):
    """Why; kept in the operation log."""

    reason: Text


class UserView(View):
    """A shopper. `locked_until`: too many wrong passwords; nobody gets in before."""

    id: str = Field(examples=["usr-0f3a9c1d2b4e5f60a1b2"])
    email: str
    name: str
    status: UserStatus
    locked_until: Instant | None
    created_at: Instant

    @classmethod
    def of(cls, row: Row) -> UserView:
        return cls(**row)


class TokenView(View):
    """What to send as `Authorization: Bearer` until it expires. Shown here and nowhere else."""

    token: str
    expires_at: Instant
    user: UserView


@router.post(
    "/v1/users",
    status_code=201,
    response_model=UserView,
    responses=problems(409, 413, 415, codes=["email_taken", "password_weak"]),
    summary="Register as a shopper",
    dependencies=[public()],
)
async def register(body: RegisterInput, request: Request, now: NowDep) -> Response:
    """An account for our own storefront: log in with it. Once per e-mail, capital letters or not; no answer of this
    route is kept by any key, since its body has a password."""
    password = body.password.get_secret_value()
    judge_password(password, body.email)
    parts = parts_of(request)
    async with parts.passwords.turn() as hasher:
        password_hash = await hasher.hash(password)
    row = UserRow(
        id=f"usr-{secrets.token_hex(10)}",
        email=same_email(body.email),
        name=body.name,
        password_hash=password_hash,
        created_at=now,
    )
    async with parts.database.transaction() as connection:
        await users.add_user(connection, row)
        view = UserView.of(await users.get_user(connection, row.id))
    return Answer(201, view).response()


@router.post(
    "/v1/users/login",
    response_model=TokenView,
    responses=problems(401, 413, 415, codes=["login_refused"]),
    summary="Log in as a shopper",
    dependencies=[public()],
)
async def log_in(body: LoginInput, request: Request, now: NowDep) -> Response:
    """A token for some hours. Unknown, wrong, blocked or locked: the same refusal, after the same work."""
    parts = parts_of(request)
    password = body.password.get_secret_value()
    async with parts.passwords.turn() as hasher:
        async with parts.database.reading() as connection:
            counted = await users.count_try(connection, same_email(body.email), now)
        right, newer = await hasher.matches(password, counted.password_hash if counted else None)
    if counted is None or not right:
        raise LoginRefused
    minted = mint(parts.settings.pepper.get_secret_value(), USER)
    expires_at = now + timedelta(seconds=parts.settings.user_token_s)
    async with parts.database.transaction() as connection:
        if not await users.note_success(connection, counted.user_id, newer):
            raise LoginRefused
        await users.add_session(
            connection,
            UserSessionRow(
                id=minted.id,
                user_id=counted.user_id,
                secret_hmac=minted.secret_hmac,
                created_at=now,
                expires_at=expires_at,
            ),
        )
        user = UserView.of(await users.get_user(connection, counted.user_id))
    view = TokenView(token=minted.token, expires_at=expires_at, user=user)
    return Answer(200, view, {"Cache-Control": "no-store"}).response()


@router.post(
    "/v1/users/logout",
    status_code=204,
    responses=problems(401, 403, 404, codes=["user_not_found"]),
    summary="Log out",
)
async def log_out(request: Request, caller: Self, database: DatabaseDep, now: NowDep) -> Response:
    """Ends the token that this is sent with: here at once, in other processes within two seconds."""
    session_id = session_of(token_of(request))
    if session_id is None:
        raise UserNotFound(caller.id)
    async with database.reading() as connection:
        await users.revoke_session(connection, session_id, caller.id, now)
    parts_of(request).keyring.forget(session_id, USER)
    return Response(status_code=204)


@router.get(
    "/v1/users/me",
    response_model=UserView,
    responses=problems(401, 403, 404, codes=["user_not_found"]),
    summary="Read my account",
)
async def read_my_account(caller: Self, database: DatabaseDep) -> UserView:
    """The shopper behind the token; others read /v1/me."""
    if caller.buyer_id is None:
        raise UserNotFound(caller.id)
    async with database.reading() as connection:
        return UserView.of(await users.get_user(connection, caller.buyer_id))


@router.get("/v1/users", response_model=Page[UserView], responses=problems(401, 403), summary="List shoppers")
async def list_users(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    email: Annotated[Email | None, Query(description="Only the one who has it.")] = None,
) -> Response:
    """All shoppers, by id."""
    wanted = same_email(email) if email else None
    async with database.reading() as connection:
        rows = await users.list_users(connection, email=wanted, after=paging.after(caller), limit=paging.fetch)
    return paging.answer(caller, rows, UserView.of, lambda row: [row["id"]])


@router.get(
    "/v1/users/{user_id}",
    response_model=UserView,
    responses=problems(401, 403, 404, codes=["user_not_found"]),
    summary="Read a shopper",
)
async def read_user(user_id: UserId, _: Reader, database: DatabaseDep) -> UserView:
    """One shopper's account, for operators."""
    async with database.reading() as connection:
        return UserView.of(await users.get_user(connection, user_id))


_MOVE = problems(401, 403, 404, 409, 413, 415, codes=["user_not_found"])


@router.post("/v1/users/{user_id}/block", response_model=UserView, responses=_MOVE, summary="Block a shopper")
async def block_user(
    user_id: UserId, body: StandingInput, request: Request, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """No login, and every token ends: here at once, in other processes within two seconds. Orders stay as they are."""

    async def block(connection: Connection) -> Answer:
        await users.revoke_sessions(connection, user_id, now)
        return await _moved(connection, user_id, UserStatus.BLOCKED, body.reason, caller, now)

    answer = await keeper.in_transaction(caller, block)
    parts_of(request).keyring.forget_caller(f"{PrincipalKind.USER}/{user_id}")
    return answer


@router.post("/v1/users/{user_id}/unblock", response_model=UserView, responses=_MOVE, summary="Let a shopper in again")
async def unblock_user(
    user_id: UserId, body: StandingInput, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """Also one whom wrong passwords have locked out. Old tokens stay ended."""

    async def unblock(connection: Connection) -> Answer:
        return await _moved(connection, user_id, UserStatus.ACTIVE, body.reason, caller, now)

    return await keeper.in_transaction(caller, unblock)


async def _moved(
    connection: Connection, user_id: str, status: UserStatus, reason: str, caller: Principal, now: NowDep
) -> Answer:
    was = await users.set_status(connection, user_id, status)
    await log_operation(
        connection,
        at=now,
        actor=caller.ref,
        action=f"user.{'block' if status is UserStatus.BLOCKED else 'unblock'}",
        subject=("user", user_id),
        before={"status": str(was)},
        after={"status": str(status), "reason": reason},
    )
    return Answer(200, UserView.of(await users.get_user(connection, user_id)))
