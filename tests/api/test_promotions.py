"""Promotions and coupons over HTTP: made and steered by operators, read and claimed by distributors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from domain.access import Role
from storage.database import Database

Maker = Callable[..., Awaitable[Any]]
Json = dict[str, Any]
SALE: Json = {
    "name": "Spring sale",
    "terms": {"kind": "percent_off", "percent_bp": 1500},
    "currency": "CNY",
    "needs_coupon": True,
}


@pytest.fixture
async def editor(an_operator: Maker) -> Any:
    return await an_operator(Role.CATALOGUE)


async def created(api: AsyncClient, editor: Any, **facts: Any) -> Json:
    answer = await api.post("/v1/promotions", json={**SALE, **facts}, headers=editor.once())
    assert answer.status_code == 201, answer.text
    promotion: Json = answer.json()
    return promotion


async def a_code(api: AsyncClient, editor: Any, promotion: Json, **facts: Any) -> Json:
    """A coupon's id and code."""
    path = f"/v1/promotions/{promotion['id']}/coupons"
    answer = await api.post(path, json=facts, headers=editor.once())
    assert answer.status_code == 201, answer.text
    (coupon,) = answer.json()["coupons"]
    return dict(coupon)


def refused(answer: Response, code: str, status: int = 409) -> Json:
    problem: Json = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


async def test_a_promotion_is_created_read_and_explained(api: AsyncClient, editor: Any) -> None:
    promotion = await created(api, editor, stock=5)
    answer = await api.get(f"/v1/promotions/{promotion['id']}", headers=editor.headers)
    assert answer.json() == promotion
    assert (promotion["state"], promotion["says"], promotion["stock"]) == ("active", "15.00 % off", 5)
    assert (promotion["held"], promotion["used"]) == (0, 0)
    assert answer.headers["etag"] == '"1"'


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": "percent_off", "percent_bp": 0},
        {"kind": "percent_off", "percent_bp": 10_001},
        {"kind": "amount_off", "steps": []},
        {"kind": "amount_off", "steps": [{"from_minor": 10, "off_minor": 20}]},
        {"kind": "amount_off", "steps": [{"from_minor": 20, "off_minor": 9}, {"from_minor": 10, "off_minor": 10}]},
        {"kind": "n_for_m", "take": 2, "pay": 3},
        {"kind": "gift"},
        {"kind": "fixed_price", "unit_price_minor": 1.5},
    ],
)
async def test_terms_that_nobody_can_mean_are_bad_input(api: AsyncClient, editor: Any, terms: Json) -> None:
    answer = await api.post("/v1/promotions", json={**SALE, "terms": terms}, headers=editor.once())
    assert answer.status_code == 422, answer.text


async def test_a_window_ends_after_it_begins(api: AsyncClient, editor: Any, clock: Any) -> None:
    body = {**SALE, "valid_to": (clock.now - timedelta(days=1)).isoformat()}
    refused(await api.post("/v1/promotions", json=body, headers=editor.once()), "promotion_invalid", 422)


async def test_an_edit_is_logged_versioned_and_refused_when_it_comes_late(
    api: AsyncClient, editor: Any, database: Database
) -> None:
    promotion = await created(api, editor, stock=5)
    path = f"/v1/promotions/{promotion['id']}"

    headers = {**editor.headers, "If-Match": '"1"'}
    edited = await api.patch(path, json={"stock": None, "terms": SALE["terms"] | {"percent_bp": 2000}}, headers=headers)

    assert (edited.status_code, edited.json()["stock"], edited.json()["says"]) == (200, None, "20.00 % off")
    assert edited.headers["etag"] == '"2"'
    refused(await api.patch(path, json={"name": "Late"}, headers=headers), "precondition_failed", 412)
    async with database.reading() as cx:
        cursor = await cx.execute(
            "SELECT action, before, after FROM operation_log WHERE subject_id = %s ORDER BY id", (promotion["id"],)
        )
        log = await cursor.fetchall()
    assert [row["action"] for row in log] == ["promotion.create", "promotion.edit"]
    assert (log[1]["before"]["stock"], log[1]["after"]["stock"]) == (5, None)


async def test_a_scope_that_is_edited_is_given_whole(api: AsyncClient, editor: Any) -> None:
    path = f"/v1/promotions/{(await created(api, editor))['id']}"
    edited = await api.patch(path, json={"scope": {"sku_ids": ["sku_1"]}}, headers=editor.headers)
    assert edited.status_code == 200, edited.text
    assert (edited.json()["scope"]["sku_ids"], edited.json()["scope"]["product_ids"]) == (["sku_1"], [])


async def test_a_promotion_is_paused_resumed_and_ended_for_good(api: AsyncClient, editor: Any) -> None:
    path = f"/v1/promotions/{(await created(api, editor))['id']}/transitions"

    async def move(event: str) -> Response:
        return await api.post(path, json={"event": event, "reason": "test"}, headers=editor.once())

    for event, state in (("pause", "paused"), ("resume", "active"), ("end", "ended")):
        assert (await move(event)).json()["state"] == state
    assert refused(await move("resume"), "illegal_transition")["state"] == "ended"


async def test_a_distributor_sees_what_it_can_use_and_no_counters(
    api: AsyncClient, editor: Any, a_distributor: Maker
) -> None:
    mine, other = await a_distributor(), await a_distributor()
    promotion = await created(api, editor, scope={"distributor_ids": [mine.id]}, stock=3)
    path = f"/v1/promotions/{promotion['id']}"

    seen = (await api.get(path, headers=mine.headers)).json()

    assert (seen["name"], seen["stock"], seen["used"]) == ("Spring sale", None, None)
    assert (seen["scope"]["channels"], seen["scope"]["distributor_ids"]) == ([], None)
    refused(await api.get(path, headers=other.headers), "promotion_not_found", 404)
    listed = (await api.get("/v1/promotions?limit=100", headers=other.headers)).json()
    assert promotion["id"] not in [each["id"] for each in listed["data"]]
    refused(await api.post("/v1/promotions", json=SALE, headers=mine.once()), "not_permitted", 403)


async def test_the_list_goes_on_from_its_cursor(api: AsyncClient, editor: Any) -> None:
    made = {(await created(api, editor))["id"] for _ in range(3)}
    found: list[str] = []
    path: str | None = "/v1/promotions?limit=2&state=active"
    while path:
        page = (await api.get(path, headers=editor.headers)).json()
        found += [each["id"] for each in page["data"]]
        path = f"/v1/promotions?limit=2&state=active&cursor={page['next_cursor']}" if page["has_more"] else None
    assert made <= set(found)
    assert len(found) == len(set(found))


async def test_a_batch_of_coupons_is_shown_once_and_the_same_key_is_the_same_batch(
    api: AsyncClient, editor: Any
) -> None:
    promotion = await created(api, editor)
    path, headers = f"/v1/promotions/{promotion['id']}/coupons", editor.once()

    first = await api.post(path, json={"count": 7}, headers=headers)
    again = await api.post(path, json={"count": 7}, headers=headers)

    codes = {coupon["code"] for coupon in first.json()["coupons"]}
    assert len(codes) == 7
    assert again.json() == first.json()
    listed = (await api.get(f"/v1/coupons?promotion_id={promotion['id']}", headers=editor.headers)).json()["data"]
    assert [coupon["state"] for coupon in listed] == ["issued"] * 7
    assert not codes & set(str(listed).split("'"))


async def test_a_named_code_is_there_once_and_only_for_what_needs_it(api: AsyncClient, editor: Any) -> None:
    promotion, open_to_all = await created(api, editor), await created(api, editor, needs_coupon=False)
    code = f"named-{promotion['id'][4:12]}"
    assert (await a_code(api, editor, promotion, code=code, most_uses=9))["code"] == code.upper()
    path = f"/v1/promotions/{promotion['id']}/coupons"
    refused(await api.post(path, json={"code": code}, headers=editor.once()), "coupon_code_taken")
    assert (await api.post(path, json={"code": code, "count": 2}, headers=editor.once())).status_code == 422
    other = f"/v1/promotions/{open_to_all['id']}/coupons"
    refused(await api.post(other, json={}, headers=editor.once()), "promotion_invalid", 422)


async def test_a_coupon_is_claimed_once_and_by_one(api: AsyncClient, editor: Any, a_distributor: Maker) -> None:
    caller, rival = await a_distributor(), await a_distributor()
    coupon = await a_code(api, editor, await created(api, editor))

    async def claim(who: Any, buyer_ref: str, code: str = coupon["code"]) -> Response:
        body = {"code": code, "buyer_ref": buyer_ref}
        return await api.post("/v1/coupons/claims", json=body, headers=who.once())

    first = await claim(caller, "ann")
    assert (first.status_code, first.json()["state"], first.json()["buyer_ref"]) == (201, "claimed", "ann")
    assert (await claim(caller, "ann")).json() == first.json()
    refused(await claim(caller, "bob"), "coupon_claimed")
    refused(await claim(rival, "ann"), "coupon_claimed")
    refused(await claim(caller, "ann", "NO-SUCH-CODE"), "coupon_not_found", 404)
    mine = (await api.get("/v1/coupons?state=claimed", headers=caller.headers)).json()["data"]
    assert [each["id"] for each in mine] == [coupon["id"]]
    assert (await api.get("/v1/coupons", headers=rival.headers)).json()["data"] == []


async def test_a_code_that_many_share_is_nobodys_own(api: AsyncClient, editor: Any, a_distributor: Maker) -> None:
    coupon = await a_code(api, editor, await created(api, editor), most_uses=5)
    caller = await a_distributor()
    body = {"code": coupon["code"], "buyer_ref": "ann"}
    refused(await api.post("/v1/coupons/claims", json=body, headers=caller.once()), "promotion_not_applicable")


async def test_a_coupon_expires_by_its_time_or_by_an_operator(
    api: AsyncClient, editor: Any, a_distributor: Maker, clock: Any
) -> None:
    promotion = await created(api, editor)
    until = (clock.now + timedelta(hours=1)).isoformat()
    timed, ended = await a_code(api, editor, promotion, valid_to=until), await a_code(api, editor, promotion)
    path = f"/v1/coupons/{ended['id']}/expire"
    assert (await api.post(path, headers=editor.once())).json()["state"] == "expired"
    assert (await api.post(path, headers=editor.once())).json()["state"] == "expired"
    clock.advance(hours=2)
    caller = await a_distributor()
    for coupon in (timed, ended):
        body = {"code": coupon["code"], "buyer_ref": "ann"}
        refused(await api.post("/v1/coupons/claims", json=body, headers=caller.once()), "promotion_expired")
    query = f"/v1/coupons?promotion_id={promotion['id']}&state=expired"
    listed = (await api.get(query, headers=editor.headers)).json()["data"]
    assert {each["id"] for each in listed} == {timed["id"], ended["id"]}
    refused(await api.post("/v1/coupons/cpn_none/expire", headers=editor.once()), "coupon_not_found", 404)
