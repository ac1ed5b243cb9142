"""Merchants' documents through the API: exact prices, all faults named, a draft that a distributor doesn't see yet."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from api import catalog, catalog_edits, inventory, suppliers
from api.app import create_app
from domain.access import Role
from settings import Settings
from storage.database import Database
from storage.stock import unproven_stock
from tests.api.conftest import Caller, Clock, Maker

TSHIRT = """{
  "categoryId": 1003001,
  "spu": {"name": "圆领T恤", "brandId": 2001, "description": "100%纯棉"},
  "basicAttributes": [{"attributeId": 101, "attributeName": "品牌", "value": "NIKE"}],
  "skus": [
    {"skuName": "黑色 L", "price": 19.99, "stock": 100,
     "salesAttributes": [{"attributeId": 201, "attributeName": "颜色", "value": "黑色"}]},
    {"skuName": "白色 M", "price": 0.1, "stock": 0, "salesAttributes": []}
  ]
}"""
DATA_PACK = """{"categoryId": 1005002, "spu": {"name": "流量包", "brandId": 3001, "description": ""},
  "basicAttributes": [], "skus": [{"skuName": "1GB", "price": 5.00, "stock": 9999, "salesAttributes": []}]}"""


@pytest.fixture
def app(settings: Settings, database: Database, clock: Clock) -> FastAPI:
    routers = (catalog.router, catalog_edits.router, inventory.router, suppliers.router)
    return create_app(settings, database, None, clock=clock, routers=routers)


async def imported(api: AsyncClient, caller: Caller, text: str = TSHIRT) -> dict[str, Any]:
    headers = {**caller.once(), "Content-Type": "application/json"}
    answer = await api.post("/v1/products/import", content=text.encode(), headers=headers)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def move(api: AsyncClient, caller: Caller, product_id: str, *events: str) -> None:
    for event in events:
        path = f"/v1/products/{product_id}/transitions"
        answer = await api.post(path, json={"event": event}, headers=caller.once())
        assert answer.status_code == 200, answer.text


async def test_a_brand_has_its_name_from_the_first_document_that_tells_it(api: AsyncClient, an_operator: Maker) -> None:
    caller = await an_operator(Role.CATALOGUE)
    named = TSHIRT.replace("2001", "770001")
    nameless = named.replace('"品牌"', '"材质"')
    assert (await imported(api, caller, nameless))["brand_name"] == "770001"
    assert (await imported(api, caller, named))["brand_name"] == "NIKE"
    assert (await imported(api, caller, nameless))["brand_name"] == "NIKE"
    assert (await imported(api, caller, named.replace("NIKE", "Other")))["brand_name"] == "NIKE"


async def test_a_document_becomes_a_draft_with_exact_prices_and_stock(
    api: AsyncClient, an_operator: Maker, database: Database
) -> None:
    product = await imported(api, await an_operator(Role.CATALOGUE))
    by_title = {sku["title"]: sku for sku in product["skus"]}
    assert (product["status"], product["kind"], product["brand_name"]) == ("draft", "physical", "NIKE")
    assert product["category_path"] == ["1003001", "1003"]
    assert by_title["黑色 L"]["price"] == {"amount_minor": 1999, "currency": "CNY"}
    assert by_title["白色 M"]["price"] == {"amount_minor": 10, "currency": "CNY"}
    assert by_title["黑色 L"]["available"] == 100
    assert by_title["黑色 L"]["weight_g"] == 500
    async with database.reading() as cx:
        assert await unproven_stock(cx) == []


async def test_the_category_decides_the_kind(api: AsyncClient, an_operator: Maker) -> None:
    product = await imported(api, await an_operator(), DATA_PACK)
    assert (product["kind"], product["skus"][0]["weight_g"]) == ("virtual", None)
    assert product["skus"][0]["price"]["amount_minor"] == 500


async def test_the_same_key_imports_once(api: AsyncClient, an_operator: Maker) -> None:
    caller = await an_operator()
    headers = caller.once("import-1")
    first = await api.post("/v1/products/import", content=TSHIRT.encode(), headers=headers)
    again = await api.post("/v1/products/import", content=TSHIRT.encode(), headers=headers)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("given", "wrong", "pointer", "code"),
    [
        ('"stock": 0', '"stock": 0, "colour": 1', "/skus/1/colour", "unknown_field"),
        ("19.99", "19.999", "/skus/0/price", "too_many_decimals"),
        ("0.1", '"0.1"', "/skus/1/price", "not_a_number"),
        ("1003001", "1009001", "/categoryId", "unknown_category"),
        ('"stock": 100', '"stock": 1.5', "/skus/0/stock", "not_an_integer"),
    ],
)
async def test_a_faulty_document_is_refused_with_the_place(
    api: AsyncClient, an_operator: Maker, given: str, wrong: str, pointer: str, code: str
) -> None:
    text = TSHIRT.replace(given, wrong, 1)
    answer = await api.post("/v1/products/import", content=text.encode(), headers=(await an_operator()).once())
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "validation_failed")
    assert (pointer, code) in {(each["pointer"], each["code"]) for each in problem["errors"]}


async def test_what_is_not_json_is_malformed(api: AsyncClient, an_operator: Maker) -> None:
    answer = await api.post("/v1/products/import", content=b'{"spu": NaN}', headers=(await an_operator()).once())
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


async def test_a_distributor_sees_the_product_on_the_shelf_only_and_never_a_cost(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker
) -> None:
    operator, distributor = await an_operator(Role.CATALOGUE), await a_distributor()
    product = await imported(api, operator)
    path = f"/v1/products/{product['id']}"
    assert (await api.get(path, headers=distributor.headers)).status_code == 404
    await move(api, operator, product["id"], "submit", "approve", "put_on_shelf")
    seen = (await api.get(path, headers=distributor.headers)).json()
    assert seen["status"] == "on_shelf"
    assert all(sku["offers"] is None and sku["prices"] is None for sku in seen["skus"])
    listed = await api.get("/v1/products", params={"updated_since": product["created_at"]}, headers=distributor.headers)
    assert product["id"] in [each["id"] for each in listed.json()["data"]]
    assert (await api.post("/v1/products/import", content=b"{}", headers=distributor.once())).status_code == 403


async def test_lists_go_on_where_they_ended(api: AsyncClient, an_operator: Maker) -> None:
    operator = await an_operator()
    made = {(await imported(api, operator))["id"] for _ in range(3)}
    found, cursor = [], None
    for _ in range(200):
        params = {"limit": "2", "status": "draft"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/products", params=params, headers=operator.headers)).json()
        found += [each["id"] for each in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert made <= set(found)
    assert len(found) == len(set(found))


async def test_an_illegal_event_is_refused_and_says_where_it_is_legal(api: AsyncClient, an_operator: Maker) -> None:
    operator = await an_operator()
    product = await imported(api, operator)
    path = f"/v1/products/{product['id']}/transitions"
    answer = await api.post(path, json={"event": "put_on_shelf"}, headers=operator.once())
    assert (answer.status_code, answer.json()["allowed_from"]) == (409, ["approved", "off_shelf"])


async def test_a_new_price_ends_the_one_before_at_its_date(api: AsyncClient, an_operator: Maker, clock: Clock) -> None:
    operator = await an_operator()
    product = await imported(api, operator)
    sku = next(sku for sku in product["skus"] if sku["title"] == "黑色 L")
    later = clock.now.replace(year=clock.now.year + 1).isoformat()
    body = {"price": {"amount_minor": 2500, "currency": "CNY"}, "valid_from": later}
    answer = await api.post(f"/v1/skus/{sku['id']}/prices", json=body, headers=operator.once())
    shown = next(each for each in answer.json()["skus"] if each["id"] == sku["id"])
    assert shown["price"]["amount_minor"] == 1999
    assert shown["prices"][0]["valid_to"] == shown["prices"][1]["valid_from"]
    again = await api.post(f"/v1/skus/{sku['id']}/prices", json=body, headers=operator.once())
    assert (again.status_code, again.json()["code"]) == (409, "price_exists")


async def test_an_edit_of_what_was_read_too_long_ago_is_refused(api: AsyncClient, an_operator: Maker) -> None:
    operator = await an_operator()
    product = await imported(api, operator)
    path, headers = f"/v1/products/{product['id']}", {**operator.headers, "If-Match": '"1"'}
    edited = await api.patch(path, json={"title": "T"}, headers=headers)
    assert (edited.json()["title"], edited.headers["ETag"]) == ("T", '"2"')
    assert (await api.patch(path, json={"title": "U"}, headers=headers)).status_code == 412
    log = (await api.get(f"{path}/operations", headers=operator.headers)).json()["data"]
    edits = [row for row in log if row["action"] == "product.edit"]
    assert [(row["before"], row["after"]) for row in edits] == [({"title": "圆领T恤"}, {"title": "T"})]


async def test_receipts_count_once_and_adjustments_are_logged(api: AsyncClient, an_operator: Maker) -> None:
    operator = await an_operator()
    sku_id = (await imported(api, operator, DATA_PACK))["skus"][0]["id"]
    receipt = {"reference": f"dn-{sku_id}", "quantity": 5}
    for _ in range(2):
        level = await api.post(f"/v1/skus/{sku_id}/receipts", json=receipt, headers=operator.once())
        assert (level.status_code, level.json()["on_hand"]) == (201, 10004)
    other = await api.post(f"/v1/skus/{sku_id}/receipts", json={**receipt, "quantity": 6}, headers=operator.once())
    assert other.json()["code"] == "movement_reused"
    gone = {"reference": f"st-{sku_id}", "quantity": -10005, "reason": "flood"}
    refused = await api.post(f"/v1/skus/{sku_id}/adjustments", json=gone, headers=operator.once())
    assert (refused.status_code, refused.json()["code"]) == (409, "stock_below_held")


async def test_a_supplier_is_shown_without_its_secrets_and_its_breaker_can_be_forced(
    api: AsyncClient, an_operator: Maker
) -> None:
    operator = await an_operator(Role.OPERATIONS)
    supplier_id = f"sup-{operator.id}"
    body = {
        "id": supplier_id, "name": "S", "base_url": "http://s.example/octo", "api_token": "tok-secret",
        "callback_secret": "whsec_secret",
    }  # fmt: skip
    created = await api.post("/v1/suppliers", json=body, headers=operator.once())
    assert created.status_code == 201
    assert "secret" not in created.text
    assert (await api.post("/v1/suppliers", json=body, headers=operator.once())).json()["code"] == "supplier_exists"
    path = f"/v1/suppliers/{supplier_id}"
    edited = await api.patch(path, json={"ceiling_s": 60, "api_token": "tok-next"}, headers=operator.headers)
    assert edited.json()["ceiling_s"] == 60
    assert "tok-next" not in edited.text
    forced = await api.put(
        f"{path}/breaker", json={"state": "forced_open", "reason": "maintenance"}, headers=operator.headers
    )
    assert forced.json()["state"] == "forced_open"
    assert (await api.get(f"{path}/breaker", headers=operator.headers)).json()["changed_by"].endswith(operator.id)
    card = (await api.get(f"{path}/scorecard", headers=operator.headers)).json()
    assert (card["calls"], card["answer_median_ms"], card["unknown_share"]) == (0, None, 0.0)
