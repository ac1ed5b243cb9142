"""The category tree, brands and attributes over HTTP, and imports that are checked against them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from domain.access import Role
from storage.database import Database
from tests.api.conftest import Caller, Maker


async def post(api: AsyncClient, caller: Caller, path: str, **body: Any) -> Response:
    return await api.post(path, json=body, headers=caller.once())


async def a_tree(api: AsyncClient, caller: Caller, *ids: str) -> None:
    """Each below the one before it."""
    parent = None
    for category_id in ids:
        kind = {"kind": "ticket"} if parent is None else {}
        made = await post(api, caller, "/v1/categories", id=category_id, name=category_id, parent_id=parent, **kind)
        assert made.status_code == 201, made.text
        parent = category_id


def a_document(category_id: int, basic: dict[int, str] | None = None, sales: dict[int, str] | None = None) -> bytes:
    def plain(values: dict[int, str] | None) -> list[dict[str, Any]]:
        return [{"attributeId": n, "attributeName": f"n{n}", "value": v} for n, v in (values or {}).items()]

    sku = {"skuName": "one", "price": 5, "stock": 0, "salesAttributes": plain(sales)}
    return json.dumps(
        {"categoryId": category_id, "spu": {"name": "T"}, "basicAttributes": plain(basic), "skus": [sku]}
    ).encode()


async def test_a_tree_is_made_renamed_moved_and_logged(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker, database: Database
) -> None:
    operator, distributor = await an_operator(Role.CATALOGUE), await a_distributor()
    await a_tree(api, operator, "t1", "t1-a", "t1-a-x")
    await a_tree(api, operator, "t2")
    renamed = await api.patch("/v1/categories/t1-a", json={"name": "Shows"}, headers=operator.headers)
    assert (renamed.json()["name"], renamed.json()["parent_id"], renamed.headers["ETag"]) == ("Shows", "t1", '"2"')
    moved = await api.patch("/v1/categories/t1-a", json={"parent_id": "t2"}, headers=operator.headers)
    assert moved.json() == {"id": "t1-a", "parent_id": "t2", "name": "Shows", "kind": "ticket", "version": 3}
    below = await api.get("/v1/categories", params={"parent_id": "t2"}, headers=distributor.headers)
    assert [(each["id"], each["level"]) for each in below.json()["data"]] == [("t1-a", 1)]
    up = await api.patch("/v1/categories/t1-a", json={"parent_id": None}, headers=operator.headers)
    assert up.json()["parent_id"] is None
    roots = await api.get("/v1/categories", params={"roots": True, "limit": 100}, headers=operator.headers)
    assert {"t1", "t2", "t1-a"} <= {each["id"] for each in roots.json()["data"]}
    async with database.reading() as cx:
        cursor = await cx.execute(
            "SELECT action, actor, before, after FROM operation_log WHERE subject_id = 't1-a' ORDER BY id"
        )
        log = await cursor.fetchall()
    assert [row["action"] for row in log] == ["category.create", "category.rename", "category.move", "category.move"]
    assert (log[2]["before"], log[2]["after"]) == ({"parent_id": "t1"}, {"parent_id": "t2"})
    assert {row["actor"] for row in log} == {f"operator/{operator.id}"}


async def test_the_tree_refuses_what_would_break_it(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker, database: Database
) -> None:
    operator = await an_operator()
    await a_tree(api, operator, "r1", "r1-a", "r1-b")
    async with database.transaction() as cx:
        await cx.execute("INSERT INTO categories (id, name, kind) VALUES ('r-other', 'Other', 'other')")
    for category_id, parent, code in (
        ("r1", "r1-b", "category_cycle"),
        ("r1", "r1", "category_cycle"),
        ("r1-a", "r-other", "category_kind_differs"),
        ("r1-a", "nowhere", "category_not_found"),
        ("nowhere", "r1", "category_not_found"),
    ):
        path = f"/v1/categories/{category_id}"
        answer = await api.patch(path, json={"parent_id": parent}, headers=operator.headers)
        assert answer.json()["code"] == code, (category_id, parent)
    stale = {**operator.headers, "If-Match": '"9"'}
    assert (await api.patch("/v1/categories/r1", json={"name": "x"}, headers=stale)).status_code == 412
    twice = await post(api, operator, "/v1/categories", id="r1", name="again", kind="ticket")
    assert (twice.status_code, twice.json()["code"]) == (409, "category_exists")
    odd = await post(api, operator, "/v1/categories", id="r2", name="odd", kind="spells")
    assert (odd.status_code, odd.json()["code"]) == (422, "unknown_kind")
    assert "ticket" in odd.json()["known"]
    missing = await post(api, operator, "/v1/categories", id="r2", name="no kind")
    assert missing.json()["code"] == "unknown_kind"
    no = await post(api, await a_distributor(), "/v1/categories", id="r3", name="x", kind="ticket")
    assert no.status_code == 403


async def test_brands_are_made_renamed_and_listed(api: AsyncClient, an_operator: Maker) -> None:
    operator = await an_operator()
    made = await post(api, operator, "/v1/brands", id="b-7", name="Northgate Press")
    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    assert (await post(api, operator, "/v1/brands", id="b-7", name="x")).json()["code"] == "brand_exists"
    headers = {**operator.headers, "If-Match": '"1"'}
    assert (await api.patch("/v1/brands/b-7", json={"name": "NP"}, headers=headers)).json()["version"] == 2
    assert (await api.patch("/v1/brands/b-7", json={"name": "NQ"}, headers=headers)).status_code == 412
    listed = await api.get("/v1/brands", params={"limit": 100}, headers=operator.headers)
    assert {"id": "b-7", "name": "NP", "version": 2} in listed.json()["data"]
    assert (await api.patch("/v1/brands/none", json={"name": "x"}, headers=operator.headers)).status_code == 404


async def define(api: AsyncClient, caller: Caller, category_id: str, attribute_id: int, **body: Any) -> Any:
    path = f"/v1/categories/{category_id}/attributes/{attribute_id}"
    answer = await api.put(path, json={"name": f"n{attribute_id}", **body}, headers=caller.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_attributes_are_inherited_and_the_nearest_counts(api: AsyncClient, an_operator: Maker) -> None:
    operator = await an_operator()
    await a_tree(api, operator, "770", "770001")
    await define(api, operator, "770", 201, scope="sales", allowed=["a", "b"])
    await define(api, operator, "770", 102, scope="basic")
    found = await define(api, operator, "770001", 102, scope="basic", value_kind="number", required=True)
    assert [(each["attribute_id"], each["defined_by"], each["required"]) for each in found["data"]] == [
        (102, "770001", True),
        (201, "770", False),
    ]
    above = await api.get("/v1/categories/770/attributes", headers=operator.headers)
    assert [each["value_kind"] for each in above.json()["data"]] == ["text", "text"]
    assert (await api.get("/v1/categories/none/attributes", headers=operator.headers)).status_code == 404


@pytest.mark.parametrize(
    ("basic", "sales", "pointer", "code"),
    [
        ({102: "heavy"}, {201: "a"}, "/basicAttributes/0/value", "attribute_value"),
        ({}, {201: "a"}, "/basicAttributes", "missing_attribute"),
        ({102: "1"}, {201: "z"}, "/skus/0/salesAttributes/0/value", "attribute_value"),
        ({102: "1"}, {999: "z"}, "/skus/0/salesAttributes/0/attributeId", "unknown_attribute"),
    ],
)
async def test_an_import_is_checked_against_its_category(
    api: AsyncClient, an_operator: Maker, basic: dict[int, str], sales: dict[int, str], pointer: str, code: str
) -> None:
    operator = await an_operator()
    if (await api.get("/v1/categories/771001", headers=operator.headers)).status_code == 404:
        await a_tree(api, operator, "771", "771001")
        await define(api, operator, "771", 201, scope="sales", allowed=["a", "b"])
        await define(api, operator, "771", 102, scope="basic", value_kind="number", required=True)
    path = "/v1/products/import"
    good = await api.post(path, content=a_document(771001, {102: "1.5"}, {201: "a"}), headers=operator.once())
    assert (good.status_code, good.json()["kind"], good.json()["category_path"]) == (201, "ticket", ["771001", "771"])
    bad = await api.post(path, content=a_document(771001, basic, sales), headers=operator.once())
    assert (bad.status_code, bad.json()["code"]) == (422, "validation_failed")
    assert [(each["pointer"], each["code"]) for each in bad.json()["errors"]] == [(pointer, code)]


async def test_what_neither_the_tree_nor_a_family_knows_is_refused(api: AsyncClient, an_operator: Maker) -> None:
    answer = await api.post("/v1/products/import", content=a_document(999999), headers=(await an_operator()).once())
    assert [each["code"] for each in answer.json()["errors"]] == ["unknown_category"]
