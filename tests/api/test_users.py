"""Shoppers' accounts over HTTP: registering, logging in and out, and what five wrong passwords do."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest
import structlog
from fastapi import FastAPI
from httpx2 import AsyncClient, Response

from api.passwords import Hasher, Passwords
from domain.access import Role
from domain.users import LOCKED_FOR, MAX_FAILED_LOGINS
from storage.database import Database
from tests.api.conftest import Clock, Maker

PASSWORD = "correct-horse-battery"
_numbers = itertools.count(1)


def an_email() -> str:
    return f"li.lei{next(_numbers)}@buyer.example"


async def register(api: AsyncClient, email: str, password: str = PASSWORD, name: str = "Li Lei") -> Response:
    return await api.post("/v1/users", json={"email": email, "password": password, "name": name})


async def log_in(api: AsyncClient, email: str, password: str = PASSWORD) -> Response:
    return await api.post("/v1/users/login", json={"email": email, "password": password})


def bearer(login: Response) -> dict[str, str]:
    assert login.status_code == 200, login.text
    return {"Authorization": f"Bearer {login.json()['token']}"}


@pytest.fixture
async def email(api: AsyncClient) -> str:
    """Of a shopper who has registered."""
    email = an_email()
    assert (await register(api, email)).status_code == 201
    return email


def refused(answer: Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.json()["detail"]


async def test_who_registers_can_log_in_and_read_the_own_account(api: AsyncClient, email: str) -> None:
    login = await log_in(api, email)
    assert login.json()["token"].startswith("tsr_user_")
    assert login.headers["cache-control"] == "no-store"
    me = (await api.get("/v1/users/me", headers=bearer(login))).json()
    assert (me["email"], me["name"], me["status"]) == (email, "Li Lei", "active")
    assert me["id"].startswith("usr-")
    who = (await api.get("/v1/me", headers=bearer(login))).json()
    assert (who["kind"], who["id"], who["credit_line"]) == ("user", me["id"], None)
    assert {"checkout:create", "order:confirm"} & set(who["actions"]) == {"checkout:create"}


async def test_capital_letters_make_no_other_account(api: AsyncClient, email: str) -> None:
    again = await register(api, email.upper())
    assert (again.status_code, again.json()["code"]) == (409, "email_taken")
    assert (await log_in(api, email.upper())).status_code == 200


async def test_of_two_who_register_an_e_mail_at_once_one_gets_it(api: AsyncClient) -> None:
    email = an_email()
    answers = await asyncio.gather(*(register(api, email, f"{PASSWORD}-{number}") for number in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


@pytest.mark.parametrize(
    ("password", "code"),
    [("short-one", "validation_failed"), ("password123", "password_weak"), ("Qwertyuiop", "password_weak"),
     ("x" * 201, "validation_failed")],
)  # fmt: skip
async def test_weak_passwords_are_refused_and_not_repeated(api: AsyncClient, password: str, code: str) -> None:
    answer = await register(api, an_email(), password)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert password not in answer.text


async def test_the_own_e_mail_is_no_password(api: AsyncClient) -> None:
    email = an_email()
    assert (await register(api, email, email)).json()["code"] == "password_weak"


@pytest.mark.parametrize(
    "email", ["nobody", "a@b c", "@buyer.example", "é@buyer.example", "a" * 65 + "@b.example", "a@-"]
)
async def test_what_is_no_e_mail_is_told_where_it_stands(api: AsyncClient, email: str) -> None:
    answer = await register(api, email)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/email")


async def test_every_refused_login_has_the_same_words(
    api: AsyncClient, email: str, an_operator: Maker, clock: Clock
) -> None:
    blocked, locked, admin = an_email(), an_email(), await an_operator()
    for each in (blocked, locked):
        await register(api, each)
    user_id = (await log_in(api, blocked)).json()["user"]["id"]
    await api.post(f"/v1/users/{user_id}/block", json={"reason": "fraud"}, headers=admin.once())
    for _ in range(MAX_FAILED_LOGINS):
        await log_in(api, locked, "wrong-password")
    answers = [
        await log_in(api, email, "wrong-password"),
        await log_in(api, an_email()),
        await log_in(api, blocked),
        await log_in(api, locked),
    ]
    assert len({refused(answer) for answer in answers}) == 1
    assert refused(answers[0])[:2] == (401, "login_refused")


class CountingHasher(Hasher):
    """How many were compared."""

    def __init__(self) -> None:
        super().__init__()
        self.compared = 0

    async def matches(self, password: str, stored: str | None) -> tuple[bool, str | None]:
        self.compared += 1
        return await super().matches(password, stored)


async def test_an_unknown_e_mail_costs_the_same_work(api: AsyncClient, app: FastAPI, email: str) -> None:
    counting = CountingHasher()
    app.state.parts = replace(app.state.parts, passwords=Passwords(counting))
    assert await counting.matches("nobody has this password", None) == (False, None)
    for _ in range(MAX_FAILED_LOGINS):
        await log_in(api, email, "wrong-password")
    await log_in(api, email)
    await log_in(api, an_email())
    assert counting.compared == 1 + MAX_FAILED_LOGINS + 2


async def test_five_wrong_passwords_lock_out_the_right_one_for_ten_minutes(
    api: AsyncClient, email: str, clock: Clock
) -> None:
    for _ in range(MAX_FAILED_LOGINS):
        assert (await log_in(api, email, "wrong-password")).status_code == 401
    assert (await log_in(api, email)).status_code == 401
    clock.advance(seconds=LOCKED_FOR.total_seconds() - 1)
    assert (await log_in(api, email)).status_code == 401
    clock.advance(seconds=2)
    assert (await log_in(api, email)).status_code == 200


async def test_after_the_lock_there_are_five_tries_again(api: AsyncClient, email: str, clock: Clock) -> None:
    for _ in range(MAX_FAILED_LOGINS):
        await log_in(api, email, "wrong-password")
    clock.advance(seconds=LOCKED_FOR.total_seconds() + 1)
    for _ in range(MAX_FAILED_LOGINS - 1):
        await log_in(api, email, "wrong-password")
    assert (await log_in(api, email)).status_code == 200


async def test_a_success_forgets_the_wrong_ones(api: AsyncClient, email: str) -> None:
    for _ in range(3):
        for _ in range(MAX_FAILED_LOGINS - 1):
            await log_in(api, email, "wrong-password")
        assert (await log_in(api, email)).status_code == 200


async def test_guesses_at_the_same_time_are_counted_one_by_one(
    api: AsyncClient, app: FastAPI, email: str, owner: Database
) -> None:
    app.state.parts = replace(app.state.parts, passwords=Passwords(at_once=20, patience_s=60))
    answers = await asyncio.gather(*(log_in(api, email, f"wrong-password-{number}") for number in range(20)))
    assert [answer.status_code for answer in answers] == [401] * 20
    assert (await log_in(api, email)).status_code == 401
    async with owner.reading() as cx:
        row = await (await cx.execute("SELECT failed_logins FROM users WHERE email = %s", (email,))).fetchone()
    assert row == {"failed_logins": MAX_FAILED_LOGINS}


async def test_a_flood_of_logins_is_told_to_come_again_and_locks_nobody_out(
    api: AsyncClient, app: FastAPI, email: str
) -> None:
    crowded = Passwords(at_once=1, patience_s=0.001)
    app.state.parts = replace(app.state.parts, passwords=crowded)
    async with crowded.turn():
        for _ in range(MAX_FAILED_LOGINS + 1):
            late = await log_in(api, email)
            assert (late.status_code, late.json()["code"], late.headers["retry-after"]) == (503, "overloaded", "1")
    assert (await log_in(api, email)).status_code == 200


async def test_a_token_ends_with_its_time(api: AsyncClient, email: str, clock: Clock) -> None:
    headers = bearer(await log_in(api, email))
    clock.advance(hours=11, minutes=59)
    assert (await api.get("/v1/users/me", headers=headers)).status_code == 200
    clock.advance(minutes=2)
    assert (await api.get("/v1/users/me", headers=headers)).status_code == 401


async def test_logging_out_ends_this_token_and_no_other(api: AsyncClient, email: str) -> None:
    one, other = bearer(await log_in(api, email)), bearer(await log_in(api, email))
    assert (await api.get("/v1/users/me", headers=one)).status_code == 200
    assert (await api.post("/v1/users/logout", headers=one)).status_code == 204
    assert (await api.get("/v1/users/me", headers=one)).status_code == 401
    assert (await api.get("/v1/users/me", headers=other)).status_code == 200


async def test_a_key_is_no_shoppers_token(api: AsyncClient, email: str, a_distributor: Maker) -> None:
    token, caller = (await log_in(api, email)).json()["token"], await a_distributor()
    for forged in (
        token.replace("tsr_user_", "tsr_live_"),
        caller.token.replace("tsr_live_", "tsr_user_"),
        token + "0",
    ):
        assert (await api.get("/v1/me", headers={"Authorization": f"Bearer {forged}"})).status_code == 401
    for path, send in (("/v1/users/me", api.get), ("/v1/users/logout", api.post)):
        assert (await send(path, headers=caller.headers)).json()["code"] == "user_not_found"


async def test_a_blocked_shopper_is_out_at_once_and_comes_back_by_logging_in(
    api: AsyncClient, email: str, an_operator: Maker, owner: Database
) -> None:
    admin, login = await an_operator(), await log_in(api, email)
    path, headers = f"/v1/users/{login.json()['user']['id']}", bearer(login)
    assert (await api.get("/v1/users/me", headers=headers)).status_code == 200
    blocked = await api.post(f"{path}/block", json={"reason": "fraud"}, headers=admin.once())
    assert blocked.json()["status"] == "blocked"
    assert (await api.get("/v1/users/me", headers=headers)).status_code == 401
    assert (await log_in(api, email)).status_code == 401
    again = await api.post(f"{path}/unblock", json={"reason": "a mistake"}, headers=admin.once())
    assert again.json()["status"] == "active"
    assert (await api.get("/v1/users/me", headers=headers)).status_code == 401
    assert (await log_in(api, email)).status_code == 200
    async with owner.reading() as cx:
        cursor = await cx.execute(
            "SELECT action, after ->> 'reason' AS why FROM operation_log WHERE subject_id = %s ORDER BY id",
            (path.removeprefix("/v1/users/"),),
        )
        assert [tuple(row.values()) async for row in cursor] == [("user.block", "fraud"), ("user.unblock", "a mistake")]


async def test_operators_find_a_shopper_by_e_mail_and_others_do_not(
    api: AsyncClient, email: str, an_operator: Maker, a_distributor: Maker, a_shopper: Maker
) -> None:
    finance = await an_operator(Role.FINANCE)
    found = (await api.get("/v1/users", params={"email": email.upper()}, headers=finance.headers)).json()["data"]
    assert [user["email"] for user in found] == [email]
    detail = await api.get(f"/v1/users/{found[0]['id']}", headers=finance.headers)
    assert detail.json() == found[0]
    assert (await api.get("/v1/users/usr-none", headers=finance.headers)).json()["code"] == "user_not_found"
    for stranger in (await an_operator(Role.SUPPORT), await a_distributor(), await a_shopper()):
        for path in ("/v1/users", f"/v1/users/{found[0]['id']}"):
            assert (await api.get(path, headers=stranger.headers)).status_code == 403
    denied = await api.post(f"/v1/users/{found[0]['id']}/block", json={"reason": "x"}, headers=finance.once())
    assert denied.status_code == 403


async def test_passwords_are_neither_logged_nor_kept(api: AsyncClient, owner: Database) -> None:
    email, secret = an_email(), "a-password-that-nobody-may-see"
    with structlog.testing.capture_logs() as logs:
        for send in (register, register, log_in):
            await send(api, email, secret)
        key = {"Idempotency-Key": f"register-{next(_numbers)}"}
        body = {"email": an_email(), "password": secret, "name": "Li Lei"}
        assert (await api.post("/v1/users", json=body, headers=key)).status_code == 201
    assert len(logs) >= 4
    assert secret not in repr(logs)
    async with owner.reading() as cx:
        cursor = await cx.execute("SELECT route FROM idempotency_keys WHERE route LIKE 'POST /v1/users%%'")
        assert [row async for row in cursor if "block" not in row["route"]] == []
        row = await (await cx.execute("SELECT password_hash FROM users WHERE email = %s", (email,))).fetchone()
    assert row is not None
    assert row["password_hash"].startswith("$argon2id$")
