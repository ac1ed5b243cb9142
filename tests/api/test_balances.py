"""Coins and vouchers over HTTP: granted and issued by operators, seen and added by shoppers, each only its own."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from api.balance_views import code_hasher
from domain.access import Role
from settings import Settings
from storage.database import Database
from tests.api.conftest import Caller

Maker = Callable[..., Awaitable[Any]]
Json = dict[str, Any]
_numbers = itertools.count(1)


@pytest.fixture
async def ann(a_shopper: Maker) -> Any:
    return await a_shopper()


@pytest.fixture
async def bob(a_shopper: Maker) -> Any:
    return await a_shopper()


@pytest.fixture
async def finance(an_operator: Maker) -> Any:
    return await an_operator(Role.FINANCE)


def money(amount_minor: int, currency: str = "CNY") -> Json:
    return {"amount_minor": amount_minor, "currency": currency}


def refused(answer: Response, code: str, status: int = 409) -> Json:
    problem: Json = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


@pytest.fixture
def issue(api: AsyncClient, finance: Any, clock: Any) -> Maker:
    """`await issue(500, user_id=...)`: a voucher with its code."""

    async def make(amount_minor: int = 500, **facts: Any) -> Json:
        until = (clock.now + timedelta(days=90)).isoformat()
        body = {"amount": money(amount_minor), "campaign": "spring", "expires_at": until, **facts}
        answer = await api.post("/v1/vouchers", json=body, headers=finance.once())
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    return make


async def test_granted_coins_are_the_shoppers_and_logged(
    api: AsyncClient, finance: Any, ann: Caller, database: Database
) -> None:
    path = f"/v1/users/{ann.id}/coins"
    assert (await api.get("/v1/balances", headers=ann.headers)).json()["coins"] is None
    body, headers = {"amount": money(700), "campaign": "sorry", "reason": "late"}, finance.once()

    first = await api.post(path, json=body, headers=headers)
    again = await api.post(path, json=body, headers=headers)

    assert (first.status_code, again.json()) == (201, first.json())
    seen = (await api.get("/v1/balances", headers=ann.headers)).json()
    assert seen["coins"] == {"currency": "CNY", "balance_minor": 700, "held_minor": 0, "available_minor": 700}
    assert (await api.get(f"/v1/users/{ann.id}/balances", headers=finance.headers)).json() == seen
    async with database.reading() as cx:
        cursor = await cx.execute("SELECT actor, action, after FROM operation_log WHERE subject_id = %s", (ann.id,))
        (entry,) = await cursor.fetchall()
        cursor = await cx.execute(
            "SELECT debit_account, amount_minor FROM ledger_transfers WHERE credit_account = %s",
            (f"buyer:{ann.id}:coins",),
        )
        assert await cursor.fetchall() == [{"debit_account": "subsidy:sorry", "amount_minor": 700}]
    assert (entry["actor"], entry["action"]) == (f"operator/{finance.id}", "coins.grant")
    assert (entry["after"]["amount_minor"], entry["after"]["reason"]) == (700, "late")


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": money(0)},
        {"amount": money(-1)},
        {"amount": money(10**9 + 1)},
        {"amount": money(5, "yuan")},
        {"campaign": "a:b"},
        {"campaign": ""},
        {"reason": ""},
        {"extra": 1},
    ],
)
async def test_a_grant_that_nobody_can_mean_is_bad_input(
    api: AsyncClient, finance: Any, ann: Caller, changed: Json
) -> None:
    body = {"amount": money(700), "campaign": "sorry", "reason": "late", **changed}
    refused(await api.post(f"/v1/users/{ann.id}/coins", json=body, headers=finance.once()), "validation_failed", 422)
    assert (await api.get("/v1/balances", headers=ann.headers)).json()["coins"] is None


async def test_coins_are_for_users_and_in_one_currency(
    api: AsyncClient, finance: Any, ann: Caller, bob: Caller
) -> None:
    body = {"amount": money(700), "campaign": "sorry", "reason": "late"}
    refused(await api.post("/v1/users/dst_acme/coins", json=body, headers=finance.once()), "validation_failed", 422)
    path = f"/v1/users/{ann.id}/coins"
    assert (await api.post(path, json=body, headers=finance.once())).status_code == 201
    dollars = {**body, "amount": money(5, "USD")}
    refused(await api.post(path, json={**dollars, "campaign": "usd"}, headers=finance.once()), "coins_unfit")
    other = f"/v1/users/{bob.id}/coins"
    refused(await api.post(other, json=dollars, headers=finance.once()), "campaign_unfit")


async def test_a_code_is_shown_once_and_kept_as_its_hmac(
    api: AsyncClient, finance: Any, clock: Any, database: Database, settings: Settings
) -> None:
    until = (clock.now + timedelta(days=90)).isoformat()
    body, headers = {"amount": money(500), "campaign": "spring", "expires_at": until}, finance.once()

    first = await api.post("/v1/vouchers", json=body, headers=headers)
    again = await api.post("/v1/vouchers", json=body, headers=headers)

    voucher = first.json()
    assert again.json() == {**voucher, "code": None}
    assert first.headers["cache-control"] == "no-store"
    async with database.reading() as cx:
        cursor = await cx.execute("SELECT code_hmac, buyer_id FROM vouchers WHERE id = %s", (voucher["id"],))
        (row,) = await cursor.fetchall()
        cursor = await cx.execute(
            "SELECT k::text AS text FROM idempotency_keys AS k WHERE k::text LIKE %s "
            "UNION ALL SELECT after::text FROM operation_log WHERE subject_id = %s",
            (f"%{voucher['id']}%", voucher["id"]),
        )
        kept = [each["text"] for each in await cursor.fetchall()]
    assert (bytes(row["code_hmac"]), row["buyer_id"]) == (code_hasher(settings)(voucher["code"]), None)
    assert len(kept) == 2
    assert not any(voucher["code"] in text for text in kept)


async def test_a_code_is_added_by_whoever_comes_first_in_any_spelling(
    api: AsyncClient, issue: Maker, ann: Caller, bob: Caller
) -> None:
    voucher = await issue(500)
    spelt = voucher["code"].lower().replace("-", " ")

    async def claim(who: Caller, code: str) -> Response:
        return await api.post("/v1/vouchers/claim", json={"code": code}, headers=who.once())

    first = await claim(ann, spelt)
    assert (first.status_code, first.json()["user_id"], first.json()["available_minor"]) == (201, ann.id, 500)
    assert (await claim(ann, voucher["code"])).json() == first.json()
    foreign = refused(await claim(bob, voucher["code"]), "voucher_not_found", 404)
    unknown = refused(await claim(bob, "NO-SUCH-CODE"), "voucher_not_found", 404)
    assert foreign["detail"] == unknown["detail"]
    refused(await claim(bob, "?"), "validation_failed", 422)
    assert [each["id"] for each in (await api.get("/v1/balances", headers=ann.headers)).json()["vouchers"]] == [
        voucher["id"]
    ]
    assert (await api.get("/v1/balances", headers=bob.headers)).json()["vouchers"] == []


async def test_a_voucher_runs_out_or_is_blocked(
    api: AsyncClient, issue: Maker, finance: Any, ann: Caller, clock: Any
) -> None:
    blocked, timed = await issue(), await issue(expires_at=(clock.now + timedelta(hours=1)).isoformat())
    path = f"/v1/vouchers/{blocked['id']}/transitions"

    async def move(event: str) -> Response:
        return await api.post(path, json={"event": event, "reason": "test"}, headers=finance.once())

    async def claim(voucher: Json) -> Response:
        return await api.post("/v1/vouchers/claim", json={"code": voucher["code"]}, headers=ann.once())

    assert (await move("block")).json()["state"] == "blocked"
    refused(await claim(blocked), "voucher_blocked")
    assert refused(await move("block"), "illegal_transition")["state"] == "blocked"
    assert (await move("unblock")).json()["state"] == "active"
    assert (await claim(blocked)).status_code == 201
    clock.advance(hours=2)
    refused(await claim(timed), "voucher_expired")
    missing = {"event": "block", "reason": "test"}
    refused(
        await api.post("/v1/vouchers/vch-none/transitions", json=missing, headers=finance.once()),
        "voucher_not_found",
        404,
    )


async def test_a_voucher_that_has_run_out_already_is_not_issued(api: AsyncClient, finance: Any, clock: Any) -> None:
    body = {"amount": money(5), "campaign": "spring", "expires_at": clock.now.isoformat()}
    refused(await api.post("/v1/vouchers", json=body, headers=finance.once()), "voucher_invalid", 422)


async def test_the_list_goes_on_from_its_cursor_and_shows_no_codes(
    api: AsyncClient, issue: Maker, finance: Any, ann: Caller, bob: Caller
) -> None:
    made = [await issue(user_id=ann.id) for _ in range(3)]
    await issue(user_id=bob.id)
    found: list[Json] = []
    path: str | None = f"/v1/vouchers?limit=2&user_id={ann.id}"
    while path:
        page = (await api.get(path, headers=finance.headers)).json()
        found += page["data"]
        path = f"/v1/vouchers?limit=2&user_id={ann.id}&cursor={page['next_cursor']}" if page["has_more"] else None
    assert [each["id"] for each in found] == sorted(each["id"] for each in made)
    assert not any("code" in each for each in found)
    mine = (await api.get("/v1/vouchers", headers=ann.headers)).json()["data"]
    assert mine == found


async def test_nothing_is_given_to_a_shopper_who_does_not_exist(
    api: AsyncClient, finance: Any, issue: Maker, clock: Any
) -> None:
    body = {"amount": money(700), "campaign": "sorry", "reason": "late"}
    refused(await api.post("/v1/users/usr-nobody/coins", json=body, headers=finance.once()), "user_not_found", 404)
    until = (clock.now + timedelta(days=90)).isoformat()
    asked = {"amount": money(5), "campaign": "spring", "expires_at": until, "user_id": "usr-nobody"}
    refused(await api.post("/v1/vouchers", json=asked, headers=finance.once()), "user_not_found", 404)


async def test_a_shopper_sees_its_own_and_grants_nothing(
    api: AsyncClient, ann: Caller, bob: Caller, finance: Any, an_operator: Maker
) -> None:
    refused(await api.get(f"/v1/users/{bob.id}/balances", headers=ann.headers), "balances_not_found", 404)
    refused(await api.get(f"/v1/vouchers?user_id={bob.id}", headers=ann.headers), "balances_not_found", 404)
    assert (await api.get(f"/v1/users/{ann.id}/balances", headers=ann.headers)).status_code == 200
    body = {"amount": money(700), "campaign": "sorry", "reason": "late"}
    support = await an_operator(Role.SUPPORT)
    for who in (ann, support):
        refused(await api.post(f"/v1/users/{ann.id}/coins", json=body, headers=who.once()), "not_permitted", 403)
        refused(await api.post("/v1/vouchers", json={}, headers=who.once()), "not_permitted", 403)
    refused(await api.get("/v1/balances", headers=finance.headers), "balances_not_found", 404)
    refused(
        await api.post("/v1/vouchers/claim", json={"code": "SOME-CODE"}, headers=finance.once()), "not_permitted", 403
    )
