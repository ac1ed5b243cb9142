"""Warehouses, transfers, stocktakes and alerts through the API: once each, refused with a sentence, for operators."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response

from api import catalog, catalog_edits, inventory, stocktakes, warehouses
from api.app import create_app
from domain.access import Role
from settings import Settings
from storage.database import Database
from tests.api.conftest import Caller, Clock, Maker

_numbers = itertools.count(1)
GOODS = """{"categoryId": 1003001, "spu": {"name": "T", "brandId": 2001, "description": ""}, "basicAttributes": [],
  "skus": [{"skuName": "L", "price": 19.99, "stock": 10, "salesAttributes": []}]}"""


@pytest.fixture
def app(settings: Settings, database: Database, clock: Clock) -> FastAPI:
    routers = (catalog.router, catalog_edits.router, inventory.router, warehouses.router, stocktakes.router)
    return create_app(settings, database, None, clock=clock, routers=routers)


class Desk:
    """An operator at work."""

    def __init__(self, api: AsyncClient, caller: Caller) -> None:
        self.api, self.caller = api, caller

    async def post(self, path: str, body: Any = None, *, key: str | None = None) -> Response:
        return await self.api.post(path, json=body, headers=self.caller.once(key))

    async def get(self, path: str) -> dict[str, Any]:
        answer = await self.api.get(path, headers=self.caller.headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def warehouse(self) -> str:
        warehouse_id = f"whs-{next(_numbers)}"
        answer = await self.post("/v1/warehouses", {"id": warehouse_id, "name": "Depot", "country": "CN"})
        assert answer.status_code == 201, answer.text
        return warehouse_id

    async def sku(self) -> str:
        """A variant with ten units in `main`."""
        headers = {**self.caller.once(), "Content-Type": "application/json"}
        answer = await self.api.post("/v1/products/import", content=GOODS.encode(), headers=headers)
        return str(answer.json()["skus"][0]["id"])

    async def stocktake(self, sku: str) -> str:
        answer = await self.post("/v1/stocktakes", {"sku_ids": [sku], "note": "autumn"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


@pytest.fixture
async def desk(api: AsyncClient, an_operator: Maker) -> Desk:
    return Desk(api, await an_operator(Role.CATALOGUE))


def refused(answer: Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


async def test_a_warehouse_is_created_once_and_read_with_its_tag(desk: Desk) -> None:
    body = {"id": f"whs-{next(_numbers)}", "name": "Chengdu depot", "country": "CN", "region": "四川", "rank": 3}
    made = await desk.post("/v1/warehouses", body, key="once-w")
    assert (made.status_code, made.headers["Location"]) == (201, f"/v1/warehouses/{body['id']}")
    again = await desk.post("/v1/warehouses", body, key="once-w")
    assert (again.content, again.headers["Idempotent-Replayed"]) == (made.content, "true")
    refused(await desk.post("/v1/warehouses", body), 409, "warehouse_exists")
    read = await desk.api.get(made.headers["Location"], headers=desk.caller.headers)
    assert (read.json(), read.headers["ETag"]) == (made.json(), '"1"')


async def test_an_edit_of_what_was_read_too_long_ago_is_refused_and_edits_are_logged(
    desk: Desk, database: Database
) -> None:
    warehouse_id = await desk.warehouse()
    path, headers = f"/v1/warehouses/{warehouse_id}", {**desk.caller.headers, "If-Match": '"1"'}
    edited = await desk.api.patch(path, json={"rank": 7, "active": False}, headers=headers)
    assert (edited.json()["rank"], edited.json()["active"], edited.headers["ETag"]) == (7, False, '"2"')
    refused(await desk.api.patch(path, json={"rank": 8}, headers=headers), 412, "precondition_failed")
    unchanged = await desk.api.patch(path, json={"rank": 7}, headers=desk.caller.headers)
    assert unchanged.headers["ETag"] == '"2"'
    missing = await desk.api.patch("/v1/warehouses/nowhere", json={"rank": 8}, headers=desk.caller.headers)
    refused(missing, 404, "warehouse_not_found")
    async with database.reading() as cx:
        cursor = await cx.execute(
            "SELECT action, before, after FROM operation_log WHERE subject_id = %s ORDER BY id", (warehouse_id,)
        )
        log = await cursor.fetchall()
    assert [row["action"] for row in log] == ["warehouse.create", "warehouse.edit"]
    assert (log[1]["before"], log[1]["after"]) == ({"rank": 0, "active": True}, {"rank": 7, "active": False})


async def test_warehouses_are_listed_page_by_page(desk: Desk) -> None:
    made = {await desk.warehouse() for _ in range(3)}
    found: list[str] = []
    path: str | None = "/v1/warehouses?limit=2"
    while path:
        page = await desk.get(path)
        found += [each["id"] for each in page["data"]]
        path = f"/v1/warehouses?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else None
    assert {"main", *made} <= set(found)
    assert found == sorted(set(found), key=found.index)


async def test_a_transfer_answers_both_sides_and_its_reference_counts_once(desk: Desk) -> None:
    sku, west = await desk.sku(), await desk.warehouse()
    body = {"reference": f"tn-{next(_numbers)}", "quantity": 4, "to_warehouse_id": west}
    moved = await desk.post(f"/v1/skus/{sku}/transfers", body)
    assert moved.status_code == 201, moved.text
    assert (moved.json()["source"]["on_hand"], moved.json()["target"]["on_hand"]) == (6, 4)
    again = await desk.post(f"/v1/skus/{sku}/transfers", body)
    assert again.json() == moved.json()
    refused(await desk.post(f"/v1/skus/{sku}/transfers", {**body, "quantity": 5}), 409, "movement_reused")
    listed = await desk.get(f"/v1/stock?warehouse_id={west}")
    assert [(row["sku_id"], row["available"]) for row in listed["data"]] == [(sku, 4)]


async def test_a_transfer_that_makes_no_sense_is_refused_with_what_to_do(desk: Desk) -> None:
    sku, west = await desk.sku(), await desk.warehouse()
    path, body = f"/v1/skus/{sku}/transfers", {"reference": f"tn-{next(_numbers)}", "quantity": 11}
    refused(await desk.post(path, {**body, "to_warehouse_id": "main"}), 422, "validation_failed")
    refused(await desk.post(path, {**body, "to_warehouse_id": "nowhere"}), 404, "warehouse_not_found")
    refused(await desk.post("/v1/skus/none/transfers", {**body, "to_warehouse_id": west}), 404, "product_not_found")
    problem = refused(await desk.post(path, {**body, "to_warehouse_id": west}), 409, "stock_below_held")
    assert (problem["on_hand"], problem["held"]) == (10, 0)


async def test_goods_are_not_received_in_a_place_that_does_not_exist(desk: Desk) -> None:
    body = {"reference": f"dn-{next(_numbers)}", "quantity": 1, "warehouse_id": "nowhere"}
    refused(await desk.post(f"/v1/skus/{await desk.sku()}/receipts", body), 404, "warehouse_not_found")


async def test_a_stocktake_shows_its_differences_and_closing_applies_them_once(desk: Desk) -> None:
    sku = await desk.sku()
    path = f"/v1/stocktakes/{await desk.stocktake(sku)}"
    (line,) = (await desk.get(path))["lines"]
    assert (line["counted"], line["difference"], line["on_hand"]) == (None, None, 10)
    refused(await desk.post(f"{path}/close"), 409, "stocktake_incomplete")
    counted = await desk.post(f"{path}/counts", {"counts": [{"sku_id": sku, "counted": 8}]})
    assert [(line["expected"], line["difference"]) for line in counted.json()["lines"]] == [(10, -2)]
    for _ in range(2):
        closed = await desk.post(f"{path}/close")
        assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    (level,) = (await desk.get(f"/v1/stock?sku_id={sku}"))["data"]
    assert level["on_hand"] == 8
    refused(await desk.post(f"{path}/counts", {"counts": [{"sku_id": sku, "counted": 1}]}), 409, "stocktake_not_open")
    refused(await desk.post(f"{path}/cancel"), 409, "stocktake_not_open")


async def test_a_count_sent_again_after_a_sale_is_still_the_count_of_then(desk: Desk) -> None:
    sku = await desk.sku()
    path = f"/v1/stocktakes/{await desk.stocktake(sku)}"
    body = {"counts": [{"sku_id": sku, "counted": 10}]}
    await desk.post(f"{path}/counts", body, key=f"count-{sku}")
    taken = {"reference": f"adj-{next(_numbers)}", "quantity": -3, "reason": "sold at the door"}
    await desk.post(f"/v1/skus/{sku}/adjustments", taken)
    again = await desk.post(f"{path}/counts", body, key=f"count-{sku}")
    assert again.headers["Idempotent-Replayed"] == "true"
    (line,) = (await desk.get(path))["lines"]
    assert (line["expected"], line["difference"], line["on_hand"]) == (10, 0, 7)


async def test_a_canceled_stocktake_changes_nothing_and_frees_its_variants(desk: Desk) -> None:
    sku = await desk.sku()
    stocktake_id = await desk.stocktake(sku)
    problem = refused(await desk.post("/v1/stocktakes", {"sku_ids": [sku]}), 409, "stocktake_overlaps")
    assert problem["stocktake_id"] == stocktake_id
    assert (await desk.post(f"/v1/stocktakes/{stocktake_id}/cancel")).json()["state"] == "canceled"
    listed = await desk.get("/v1/stocktakes?state=canceled&limit=100")
    (summary,) = [row for row in listed["data"] if row["id"] == stocktake_id]
    assert (summary["lines"], summary["counted"], summary["note"]) == (1, 0, "autumn")
    await desk.stocktake(sku)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"sku_ids": []}, "/sku_ids"),
        ({"sku_ids": ["a", "a"]}, "/sku_ids"),
        ({"sku_ids": ["a"] * 501}, "/sku_ids"),
        ({"sku_ids": ["a"], "colour": 1}, "/colour"),
    ],
)
async def test_a_stocktake_of_nothing_twice_or_too_much_is_refused(
    desk: Desk, body: dict[str, Any], pointer: str
) -> None:
    problem = refused(await desk.post("/v1/stocktakes", body), 422, "validation_failed")
    assert pointer in [error["pointer"] for error in problem["errors"]]


async def test_running_low_is_listed_until_the_limit_is_taken_away(desk: Desk) -> None:
    sku = await desk.sku()
    path = f"/v1/skus/{sku}/stock-alert"
    put = await desk.api.put(path, json={"alert_below": 5}, headers=desk.caller.headers)
    assert put.json()["alert_below"] == 5
    assert (await desk.get(f"/v1/stock-alerts?sku_id={sku}"))["data"] == []
    taken = {"reference": f"adj-{next(_numbers)}", "quantity": -6, "reason": "damaged"}
    await desk.post(f"/v1/skus/{sku}/adjustments", taken)
    (alert,) = (await desk.get(f"/v1/stock-alerts?sku_id={sku}&state=open"))["data"]
    assert (alert["available"], alert["alert_below"], alert["cleared_at"]) == (4, 5, None)
    await desk.api.put(path, json={"alert_below": None}, headers=desk.caller.headers)
    assert (await desk.get(f"/v1/stock-alerts?sku_id={sku}&state=open"))["data"] == []
    assert len((await desk.get(f"/v1/stock-alerts?sku_id={sku}&state=cleared"))["data"]) == 1


@pytest.mark.parametrize("path", ["warehouses", "warehouses/main", "stocktakes", "stocktakes/stk_1", "stock-alerts"])
async def test_distributors_see_none_of_it(api: AsyncClient, a_distributor: Maker, path: str) -> None:
    caller = await a_distributor()
    refused(await api.get(f"/v1/{path}", headers=caller.headers), 403, "not_permitted")


async def test_finance_may_look_and_not_change(api: AsyncClient, an_operator: Maker) -> None:
    desk = Desk(api, await an_operator(Role.FINANCE))
    assert "main" in [row["id"] for row in (await desk.get("/v1/warehouses?limit=100"))["data"]]
    refused(await desk.post("/v1/warehouses", {"id": "mine", "name": "Mine"}), 403, "not_permitted")
