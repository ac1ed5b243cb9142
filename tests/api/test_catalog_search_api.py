"""Search and the feed of changes as callers meet them: prices of their contract, and what is gone for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI
from httpx2 import AsyncClient

from api.keys import Keyring
from domain.access import Action
from domain.catalog import ProductEvent
from domain.imports import parse_product
from storage import catalog_writing
from storage.catalog_imports import create_imported
from storage.database import Database
from tests.api.conftest import Caller, Clock, Maker

NOW = datetime.now(UTC) - timedelta(hours=1)
"""Before the API's clock."""

SHELVE = (ProductEvent.SUBMIT, ProductEvent.APPROVE, ProductEvent.PUT_ON_SHELF)


async def on_shelf(database: Database, product_id: str, title: str, price: float = 10, category: int = 1003777) -> None:
    document = {"categoryId": category, "spu": {"name": title}, "skus": [{"skuName": "s", "price": price, "stock": 1}]}
    async with database.transaction() as cx:
        product = parse_product(json.dumps(document).encode())
        await create_imported(cx, product, product_id=product_id, actor="test", now=NOW)
    await move(database, product_id, *SHELVE)


async def move(database: Database, product_id: str, *events: ProductEvent) -> None:
    async with database.transaction() as cx:
        for event in events:
            await catalog_writing.move_product(cx, product_id, event, actor="test", now=NOW)


async def search(api: AsyncClient, caller: Caller, **params: Any) -> list[str]:
    answer = await api.get("/v1/products/search", params=params, headers=caller.headers)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["data"]]


async def test_a_distributor_searches_its_own_prices(
    api: AsyncClient, database: Database, a_distributor: Maker
) -> None:
    distributor = await a_distributor()
    await on_shelf(database, "s-lamp", "青铜灯 zebra", 25)
    await on_shelf(database, "s-lamp-2", "青铜灯 zebra 复刻", 95)
    assert await search(api, distributor, q="青铜 zebra") == ["s-lamp", "s-lamp-2"]
    assert await search(api, distributor, q="青铜 zebra", price_min=2501) == ["s-lamp-2"]
    assert await search(api, distributor, q="青铜 zebra", kind="ticket") == []
    await move(database, "s-lamp", ProductEvent.TAKE_OFF_SHELF)
    assert await search(api, distributor, q="青铜 zebra") == ["s-lamp-2"]


async def test_pages_of_a_search_go_on(api: AsyncClient, database: Database, an_operator: Maker) -> None:
    operator = await an_operator()
    for number in range(5):
        await on_shelf(database, f"s-page-{number}", f"quokka {number}")
    found: list[str] = []
    params: dict[str, Any] = {"q": "quokka", "limit": 2}
    while True:
        page = (await api.get("/v1/products/search", params=params, headers=operator.headers)).json()
        found += [each["id"] for each in page["data"]]
        if not page["has_more"]:
            break
        params["cursor"] = page["next_cursor"]
    assert found == [f"s-page-{number}" for number in range(5)]
    other = await api.get("/v1/products/search", params={**params, "q": "emu"}, headers=operator.headers)
    assert other.json()["code"] == "cursor_invalid"


async def test_a_question_that_makes_no_sense_is_told_what_to_do(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker
) -> None:
    operator, distributor = await an_operator(), await a_distributor()
    for caller, params, name in (
        (operator, {"price_min": 1}, "currency"),
        (operator, {"attribute": "black"}, "attribute/0"),
        (distributor, {"currency": "EUR"}, "currency"),
        (distributor, {"channel": "partner"}, "channel"),
        (operator, {"q": "x" * 201}, "q"),
    ):
        answer = await api.get("/v1/products/search", params=params, headers=caller.headers)
        assert answer.status_code == 422, params
        assert answer.json()["errors"][0]["pointer"] == f"/{name}"


class Reader:
    """Somebody's copy of the catalogue, kept by the feed."""

    def __init__(self, api: AsyncClient, caller: Caller) -> None:
        self._api, self._caller, self.cursor = api, caller, None
        self.copy: dict[str, str] = {}
        self.gone: list[str] = []

    async def read(self) -> int:
        """Reads to the end; the status of the last answer."""
        while True:
            params = {"limit": 50} | ({"cursor": self.cursor} if self.cursor else {})
            answer = await self._api.get("/v1/products/changes", params=params, headers=self._caller.headers)
            if answer.status_code != 200:
                return answer.status_code
            page = answer.json()
            self.cursor = page["next_cursor"]
            for change in page["data"]:
                if change["state"] == "gone":
                    assert change["product"] is None
                    self.gone.append(change["product_id"])
                    self.copy.pop(change["product_id"], None)
                else:
                    self.copy[change["product_id"]] = change["product"]["title"]
            if not page["has_more"]:
                return 200


async def test_the_feed_brings_changes_and_what_is_gone_and_no_drafts(
    api: AsyncClient, database: Database, an_operator: Maker, a_distributor: Maker
) -> None:
    reader, everything = Reader(api, await a_distributor()), Reader(api, await an_operator())
    await on_shelf(database, "f-one", "One")
    document = {"categoryId": 1003777, "spu": {"name": "Draft"}, "skus": [{"skuName": "s", "price": 1, "stock": 0}]}
    async with database.transaction() as cx:
        product = parse_product(json.dumps(document).encode())
        await create_imported(cx, product, product_id="f-draft", actor="test", now=NOW)
    await reader.read()
    await everything.read()
    assert reader.copy["f-one"] == "One"
    assert "f-draft" not in [*reader.copy, *reader.gone]
    assert everything.copy["f-draft"] == "Draft"
    async with database.transaction() as cx:
        await catalog_writing.edit_product(cx, "f-one", {"title": "Uno"}, if_version=None, actor="test", now=NOW)
    await reader.read()
    assert reader.copy["f-one"] == "Uno"
    await move(database, "f-one", ProductEvent.TAKE_OFF_SHELF)
    await reader.read()
    assert "f-one" in reader.gone
    assert "f-one" not in reader.copy
    await move(database, "f-one", ProductEvent.PUT_ON_SHELF)
    await reader.read()
    assert reader.copy["f-one"] == "Uno"


async def test_the_feed_misses_nothing_that_commits_late(
    api: AsyncClient, database: Database, an_operator: Maker
) -> None:
    reader = Reader(api, await an_operator())
    for number in range(2):
        await on_shelf(database, f"f-late-{number}", "before")
    await reader.read()

    async def edit(cx: Any, product_id: str, title: str) -> None:
        await catalog_writing.edit_product(cx, product_id, {"title": title}, if_version=None, actor="t", now=NOW)

    async with database.transaction() as slow:
        await edit(slow, "f-late-0", "slow")
        async with database.transaction() as quick:
            await edit(quick, "f-late-1", "quick")
        await reader.read()
    await reader.read()
    assert (reader.copy["f-late-0"], reader.copy["f-late-1"]) == ("slow", "quick")


async def test_a_change_of_permissions_ends_the_cursor(
    api: AsyncClient, app: FastAPI, database: Database, an_operator: Maker, a_distributor: Maker, clock: Clock
) -> None:
    keyring: Keyring = app.state.parts.keyring
    operator, distributor = await an_operator(), await a_distributor(actions=frozenset({Action.SELF_READ}))
    await on_shelf(database, "f-mine", "Mine", category=1003778)
    granted = await api.post(
        f"/v1/distributors/{distributor.id}/grants",
        json={"action": "catalog:read", "resource_kind": "category", "resource_id": "1003778"},
        headers=operator.once(),
    )
    assert granted.status_code == 201, granted.text
    clock.advance(seconds=60)
    reader = Reader(api, distributor)
    assert await reader.read() == 200
    assert reader.copy == {"f-mine": "Mine"}
    more = await api.post(
        f"/v1/distributors/{distributor.id}/grants",
        json={"action": "catalog:read", "resource_kind": "product", "resource_id": "f-one"},
        headers=operator.once(),
    )
    assert more.status_code == 201
    clock.advance(seconds=60)
    keyring.forget(distributor.key_id)
    assert await reader.read() == 410
    reader.cursor = None
    assert await reader.read() == 200
    assert {"f-mine", "f-one"} <= set(reader.copy)
    below = {"id": "f-below", "parent_id": "1003778", "name": "Below", "kind": "physical"}
    async with database.transaction() as cx:
        await cx.execute("INSERT INTO categories VALUES (%(id)s, %(parent_id)s, %(name)s, %(kind)s)", below)
    assert await reader.read() == 410
