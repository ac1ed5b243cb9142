"""Who comes in, what each may do, and accounts over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from httpx2 import ASGITransport, AsyncClient

from api.app import ROUTERS, create_app
from api.deps import UndeclaredRoute, capability, public
from domain.access import Action, Role
from settings import Settings
from storage.database import Database

Maker = Callable[..., Awaitable[Any]]
NEW = {"name": "Acme Tickets", "currency": "CNY", "time_zone": "Asia/Shanghai", "credit_limit_minor": 5000}


async def test_a_distributor_learns_who_it_is(api: AsyncClient, a_distributor: Maker) -> None:
    caller = await a_distributor(limit_minor=700)
    me = (await api.get("/v1/me", headers=caller.headers)).json()
    assert me["id"] == caller.id
    assert "order:create" in me["actions"]
    assert "account:write" not in me["actions"]
    assert me["credit_line"]["available"] == {"amount_minor": 700, "currency": "CNY"}


async def test_every_refusal_of_a_key_has_one_wording(api: AsyncClient, a_distributor: Maker, clock: Any) -> None:
    caller = await a_distributor(days=1)
    short_lived = {"Authorization": f"Bearer {caller.token}"}
    wrong = {"Authorization": f"Bearer {caller.token[:-1]}{'0' if caller.token[-1] != '0' else '1'}"}
    unknown = {"Authorization": f"Bearer tsr_live_{'0' * 16}_{'0' * 48}"}
    answers = [
        await api.get("/v1/me", headers=headers)
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}, wrong, unknown)
    ]
    clock.advance(days=2)
    answers.append(await api.get("/v1/me", headers=short_lived))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)


async def test_two_authorization_headers_are_none(api: AsyncClient, a_distributor: Maker) -> None:
    header = ("Authorization", (await a_distributor()).headers["Authorization"])
    assert (await api.get("/v1/me", headers=[header, header])).status_code == 401


async def test_a_known_caller_without_the_action_is_told_which_one(api: AsyncClient, a_distributor: Maker) -> None:
    answer = await api.get("/v1/distributors", headers=(await a_distributor()).headers)
    assert answer.status_code == 403
    assert answer.json()["code"] == "not_permitted"
    assert answer.json()["action"] == "account:read"


async def test_a_revoked_key_ends_at_once(api: AsyncClient, an_operator: Maker, a_distributor: Maker) -> None:
    admin, caller = await an_operator(), await a_distributor()
    assert (await api.get("/v1/me", headers=caller.headers)).status_code == 200
    path = f"/v1/distributors/{caller.id}/keys/{caller.key_id}/revoke"
    first = await api.post(path, headers=admin.once())
    again = await api.post(path, headers=admin.once())
    assert (await api.get("/v1/me", headers=caller.headers)).status_code == 401
    assert first.json()["revoked_at"] == again.json()["revoked_at"] is not None


async def test_a_blocked_distributor_is_not_let_in(api: AsyncClient, a_distributor: Maker, database: Database) -> None:
    caller = await a_distributor()
    async with database.transaction() as connection:
        await connection.execute("UPDATE distributors SET status = 'blocked' WHERE id = %s", (caller.id,))
    assert (await api.get("/v1/me", headers=caller.headers)).status_code == 401


async def test_a_grant_opens_and_closes_with_its_window(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker, clock: Any, app: FastAPI
) -> None:
    admin, caller = await an_operator(), await a_distributor(actions=frozenset())
    window = {
        "action": "order:create",
        "resource_kind": "supplier",
        "resource_id": "sup_rail",
        "valid_from": (clock.now.replace(microsecond=0)).isoformat(),
        "valid_to": clock.now.replace(year=clock.now.year + 1).isoformat(),
    }
    made = await api.post(f"/v1/distributors/{caller.id}/grants", json=window, headers=admin.once())
    assert made.status_code == 201, made.text
    principal = await app.state.parts.keyring.principal(caller.token)
    assert principal.permits(Action.ORDER_CREATE, clock.now)
    clock.advance(days=367)
    assert not principal.permits(Action.ORDER_CREATE, clock.now)
    listed = await api.get(f"/v1/distributors/{caller.id}/grants", headers=(await an_operator()).headers)
    assert [grant["resource_id"] for grant in listed.json()["data"]] == ["sup_rail"]


async def test_what_steers_the_platform_cannot_be_granted(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker
) -> None:
    admin, caller = await an_operator(), await a_distributor()
    answer = await api.post(
        f"/v1/distributors/{caller.id}/grants", json={"action": "account:write"}, headers=admin.once()
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "not_grantable")


async def test_a_new_distributor_gets_a_key_that_works_and_is_shown_once(api: AsyncClient, an_operator: Maker) -> None:
    admin = await an_operator()
    made = await api.post("/v1/distributors", json=NEW, headers=admin.once())
    assert made.status_code == 201, made.text
    assert made.json()["credit_line"]["available"]["amount_minor"] == 5000
    keys = f"/v1/distributors/{made.json()['id']}/keys"
    once = admin.once()
    shown = await api.post(keys, json={"days": 90}, headers=once)
    replayed = await api.post(keys, json={"days": 90}, headers=once)
    assert (await api.get("/v1/me", headers={"Authorization": f"Bearer {shown.json()['key']}"})).status_code == 200
    assert replayed.json() == {**shown.json(), "key": None}
    listed = await api.get(keys, headers=admin.headers)
    assert [key["id"] for key in listed.json()["data"]] == [shown.json()["id"]]


async def test_two_keys_are_active_for_rotation_and_a_third_is_refused(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker
) -> None:
    admin, caller = await an_operator(), await a_distributor()
    keys = f"/v1/distributors/{caller.id}/keys"
    second = await api.post(keys, json={}, headers=admin.once())
    third = await api.post(keys, json={}, headers=admin.once())
    assert (second.status_code, third.status_code) == (201, 409)
    assert third.json()["code"] == "too_many_keys"
    await api.post(f"{keys}/{caller.key_id}/revoke", headers=admin.once())
    assert (await api.post(keys, json={}, headers=admin.once())).status_code == 201


async def test_a_foreign_key_cannot_be_revoked_through_another_account(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker
) -> None:
    admin, one, other = await an_operator(), await a_distributor(), await a_distributor()
    answer = await api.post(f"/v1/distributors/{one.id}/keys/{other.key_id}/revoke", headers=admin.once())
    assert (answer.status_code, answer.json()["code"]) == (404, "key_not_found")
    assert (await api.get("/v1/me", headers=other.headers)).status_code == 200


async def test_a_credit_limit_changes_only_from_what_was_read(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker
) -> None:
    admin, caller = await an_operator(), await a_distributor(limit_minor=100)
    path = f"/v1/distributors/{caller.id}/credit-line"
    tag = (await api.get(path, headers=admin.headers)).headers["etag"]
    body = {"limit": {"amount_minor": 250, "currency": "CNY"}}
    changed = await api.put(path, json=body, headers={**admin.headers, "If-Match": tag})
    stale = await api.put(path, json=body, headers={**admin.headers, "If-Match": tag})
    foreign = await api.put(path, json={"limit": {"amount_minor": 1, "currency": "EUR"}}, headers=admin.headers)
    assert (changed.status_code, changed.json()["available"]["amount_minor"]) == (200, 250)
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert (foreign.status_code, foreign.json()["code"]) == (409, "currency_mismatch")


async def test_an_operator_gets_a_role_and_a_key(api: AsyncClient, an_operator: Maker) -> None:
    admin = await an_operator()
    made = await api.post("/v1/operators", json={"name": "Bo", "role": "finance"}, headers=admin.once())
    key = await api.post(f"/v1/operators/{made.json()['id']}/keys", json={}, headers=admin.once())
    me = await api.get("/v1/me", headers={"Authorization": f"Bearer {key.json()['key']}"})
    assert me.json()["role"] == "finance"
    assert "settlement:read" in me.json()["actions"]


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_nobody_but_admins_makes_accounts(api: AsyncClient, an_operator: Maker, role: Role) -> None:
    caller = await an_operator(role)
    for path, body in (("/v1/distributors", NEW), ("/v1/operators", {"name": "Eve", "role": "admin"})):
        assert (await api.post(path, json=body, headers=caller.once())).status_code == 403


async def test_accounts_that_do_not_exist_are_404(api: AsyncClient, an_operator: Maker) -> None:
    admin = await an_operator()
    for path in ("/v1/distributors/none", "/v1/distributors/none/credit-line", "/v1/distributors/none/keys"):
        answer = await api.get(path, headers=admin.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    answer = await api.post("/v1/distributors/none/keys", json={}, headers=admin.once())
    assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")


def test_a_route_without_a_declared_permission_does_not_start(database: Database) -> None:
    router = capability("Forgotten")
    router.add_api_route("/v1/forgotten", lambda: None, methods=["GET"])
    with pytest.raises(UndeclaredRoute, match="/v1/forgotten"):
        create_app(Settings(), database, None, routers=(*ROUTERS, router))


def test_a_route_that_reads_bodies_without_bounds_does_not_start(database: Database) -> None:
    router = APIRouter()
    router.add_api_route("/v1/unbounded", lambda: None, methods=["GET"], dependencies=[public()])
    with pytest.raises(UndeclaredRoute, match="without bounds"):
        create_app(Settings(), database, None, routers=(*ROUTERS, router))


async def test_another_process_learns_of_a_revocation_by_asking(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker, settings: Settings, database: Database
) -> None:
    admin, caller = await an_operator(), await a_distributor()
    await api.post(f"/v1/distributors/{caller.id}/keys/{caller.key_id}/revoke", headers=admin.once())
    async with AsyncClient(transport=ASGITransport(create_app(settings, database, None)), base_url="http://b") as other:
        assert (await other.get("/v1/me", headers=caller.headers)).status_code == 401
