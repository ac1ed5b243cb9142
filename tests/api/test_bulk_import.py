"""Bulk imports over HTTP: streamed in, once per key, and without effect before the last byte is here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from starlette.types import Message

from activities.catalog_import_messages import ImportChunk
from activities.catalog_imports import CatalogImportActivities
from api import bulk_upload
from api.deps import Parts
from api.upkeep import keep_catalogue
from domain.imports import MAX_BYTES
from domain.supplier_catalog import derived_id
from storage import import_staging
from storage.database import Database
from storage.import_staging import UPLOAD_PATIENCE
from storage.stock import unproven_stock
from tests.api.conftest import Caller, Clock, Maker

PATH = "/v1/catalog-imports"


def a_line(title: str, **changed: Any) -> bytes:
    sku = {"skuName": "s", "price": 19.99, "stock": 3}
    return json.dumps({"categoryId": 1003001, "spu": {"name": title}, "skus": [sku], **changed}).encode()


async def upload(api: AsyncClient, caller: Caller, body: Any, key: str | None = None) -> Response:
    headers = {**caller.once(key), "Content-Type": "application/x-ndjson"}
    return await api.post(PATH, content=body, headers=headers)


async def work(database: Database, import_id: str, lines: int = 2) -> None:
    """As the workflow does."""
    activities = CatalogImportActivities(database)
    for _ in range(100):
        if (await activities.work_import_lines(ImportChunk(import_id, lines))).done:
            return
    raise AssertionError("the import has no end")


async def broken_off(app: FastAPI, caller: Caller, chunks: list[bytes], key: str) -> int:
    """The status for a client that sends these chunks, with more to come, and goes away."""
    messages: list[Message] = [{"type": "http.request", "body": each, "more_body": True} for each in chunks]
    messages.append({"type": "http.disconnect"})
    answers: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        answers.append(message)

    headers = {**caller.once(key), "Content-Type": "application/x-ndjson"}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
        "headers": raw, "root_path": "", "scheme": "http", "server": ("api", 80), "http_version": "1.1",
    }  # fmt: skip
    await app(scope, receive, send)
    return int(answers[0]["status"])


@pytest.fixture
async def worker(postgres: Any, database: Database) -> AsyncIterator[Database]:
    """The same database with the worker's rights."""
    async with Database(postgres.url("tessera_worker", "api_tests"), pool_max=2) as opened:
        yield opened


async def test_each_line_becomes_a_draft_or_is_refused_with_its_faults(
    api: AsyncClient, an_operator: Maker, worker: Database, clock: Clock
) -> None:
    caller = await an_operator()
    body = b"\n".join(
        [
            a_line("Bulk 灯笼 1"),
            b"",
            b"{not json",
            a_line("Bulk 2", skus=[]),
            a_line("Bulk 3", categoryId=42),
            a_line("B5"),
        ]
    )
    answer = await upload(api, caller, body)
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert (found["state"], found["lines"], found["waiting"]) == ("received", 5, 5)
    path = answer.headers["Location"]
    await work(worker, found["id"])
    clock.advance(seconds=60)  # the worker's clock is the machine's
    done = (await api.get(path, headers=caller.headers)).json()
    assert (done["state"], done["created"], done["refused"], done["waiting"]) == ("done", 2, 3, 0)
    refused = (await api.get(f"{path}/rows", params={"state": "refused"}, headers=caller.headers)).json()["data"]
    assert [(row["line"], row["errors"][0]["pointer"], row["errors"][0]["code"]) for row in refused] == [
        (3, "", "not_json"),
        (4, "/skus", "not_a_list"),
        (5, "/categoryId", "unknown_category"),
    ]
    page = await api.get(f"{path}/rows", params={"limit": 1, "state": "created"}, headers=caller.headers)
    assert page.json()["has_more"]
    product_id = page.json()["data"][0]["product_id"]
    product = (await api.get(f"/v1/products/{product_id}", headers=caller.headers)).json()
    assert (product["status"], product["skus"][0]["price"]["amount_minor"]) == ("draft", 1999)
    assert product["skus"][0]["available"] == 3
    log = (await api.get(f"/v1/products/{product_id}/operations", headers=caller.headers)).json()["data"]
    assert {row["actor"] for row in log} == {f"operator/{caller.id}/import/{found['id']}"}
    search = await api.get("/v1/products/search", params={"q": "bulk 灯笼"}, headers=caller.headers)
    assert [each["id"] for each in search.json()["data"]] == [product_id]
    async with worker.reading() as cx:
        assert await unproven_stock(cx) == []
    listed = await api.get(PATH, headers=caller.headers)
    assert found["id"] in [each["id"] for each in listed.json()["data"]]


async def test_the_same_key_imports_once_and_another_body_is_told_apart(
    api: AsyncClient, an_operator: Maker, worker: Database
) -> None:
    caller = await an_operator()
    first = await upload(api, caller, a_line("Once"), "bulk-1")
    await work(worker, first.json()["id"])
    again = await upload(api, caller, a_line("Once"), "bulk-1")
    assert (again.json()["id"], again.json()["created"]) == (first.json()["id"], 1)
    assert again.headers["Idempotent-Replayed"] == "true"
    await work(worker, first.json()["id"])
    other = await upload(api, caller, a_line("Twice"), "bulk-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    theirs = await upload(api, await an_operator(), a_line("Once"), "bulk-1")
    assert theirs.json()["id"] != first.json()["id"]
    async with worker.reading() as cx:
        cursor = await cx.execute("SELECT count(*) AS n FROM products WHERE title = 'Once'")
        row = await cursor.fetchone()
    assert row == {"n": 1}


async def test_an_upload_that_breaks_off_takes_no_effect_and_can_be_sent_again(
    api: AsyncClient, app: FastAPI, an_operator: Maker, worker: Database
) -> None:
    caller = await an_operator()
    lines = [a_line(f"Broken {number}") + b"\n" for number in range(bulk_upload.LINES_PER_BATCH + 1)]
    assert await broken_off(app, caller, lines, "bulk-broken") == 400
    listed = (await api.get(PATH, headers=caller.headers)).json()["data"]
    broken = listed[0]
    assert (broken["state"], broken["lines"], broken["created"]) == ("incomplete", bulk_upload.LINES_PER_BATCH, 0)
    await work(worker, broken["id"])
    assert (await api.get(f"{PATH}/{broken['id']}", headers=caller.headers)).json()["created"] == 0
    whole = await upload(api, caller, a_line("Whole"), "bulk-broken")
    assert (whole.status_code, whole.json()["id"], whole.json()["lines"]) == (202, broken["id"], 1)
    await work(worker, broken["id"])
    assert (await api.get(f"{PATH}/{broken['id']}", headers=caller.headers)).json()["created"] == 1


async def test_an_upload_whose_process_died_is_taken_over_only_when_nothing_came_for_long(
    api: AsyncClient, an_operator: Maker, database: Database, clock: Clock
) -> None:
    caller = await an_operator()
    first = await upload(api, caller, a_line("Taken"), "bulk-dead")
    import_id = first.json()["id"]
    async with database.transaction() as cx:  # as it was while the first sender was at it
        await cx.execute("UPDATE catalog_imports SET state = 'uploading' WHERE id = %s", (import_id,))
    busy = await upload(api, caller, a_line("Taken"), "bulk-dead")
    assert (busy.status_code, busy.json()["code"]) == (409, "request_in_flight")
    clock.advance(seconds=UPLOAD_PATIENCE.total_seconds() + 1)
    assert (await api.get(f"{PATH}/{import_id}", headers=caller.headers)).json()["state"] == "incomplete"
    assert (await upload(api, caller, a_line("Taken"), "bulk-dead")).json()["state"] == "received"
    with pytest.raises(import_staging.TurnLost):
        async with database.transaction() as cx:
            await import_staging.stage_lines(cx, import_id, [(9, b"{}")], turn="the first one's", now=clock.now)


async def test_what_is_no_bulk_import_is_refused_and_says_why(
    api: AsyncClient, an_operator: Maker, a_distributor: Maker
) -> None:
    caller = await an_operator()
    empty = await upload(api, caller, b"\n \n")
    assert (empty.status_code, empty.json()["code"]) == (422, "validation_failed")
    json_body = await api.post(PATH, content=a_line("x"), headers={**caller.once(), "Content-Type": "application/json"})
    assert json_body.status_code == 415
    assert (await upload(api, await a_distributor(), a_line("x"))).status_code == 403
    no_key = await api.post(
        PATH, content=a_line("x"), headers={**caller.headers, "Content-Type": "application/x-ndjson"}
    )
    assert no_key.json()["code"] == "idempotency_key_missing"
    assert (await api.get(f"{PATH}/imp_none", headers=caller.headers)).status_code == 404
    assert (await api.get(f"{PATH}/imp_none/rows", headers=caller.headers)).status_code == 404


async def test_more_lines_than_are_taken_leave_nothing_to_work(api: AsyncClient, an_operator: Maker) -> None:
    caller = await an_operator()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(201):
            yield b"{}\n" * 1000

    answer = await upload(api, caller, body())
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_lines")
    assert (await api.get(PATH, headers=caller.headers)).json()["data"][0]["state"] == "incomplete"


async def test_a_line_that_is_too_long_is_refused_alone(api: AsyncClient, an_operator: Maker, worker: Database) -> None:
    caller = await an_operator()
    answer = await upload(api, caller, a_line("Short") + b"\n" + b"x" * (MAX_BYTES + 1) + b"\n" + b'{"a":"\\u0000"}')
    import_id = answer.json()["id"]
    await work(worker, import_id, lines=10)
    rows = (await api.get(f"{PATH}/{import_id}/rows", headers=caller.headers)).json()["data"]
    assert [(row["state"], row["errors"][0]["code"] if row["errors"] else "") for row in rows] == [
        ("created", ""),
        ("refused", "too_large"),
        ("refused", "missing"),
    ]


async def test_what_the_database_will_not_have_stops_no_other_line(
    api: AsyncClient, an_operator: Maker, worker: Database
) -> None:
    """A variant with the id that the second line's would get is there already, as no path of ours could make it."""
    caller = await an_operator()
    lines = [a_line("Good 1"), a_line("Bad"), a_line("\ud800"), a_line("Good 2")]
    import_id = (await upload(api, caller, b"\n".join(lines))).json()["id"]
    in_the_way = derived_id("sku", derived_id("prd", "import", import_id, "2"), "0")
    async with worker.transaction() as cx:
        await cx.execute("INSERT INTO categories (id, name, kind) VALUES ('odd', 'Odd', 'odd') ON CONFLICT DO NOTHING")
        await cx.execute(
            "INSERT INTO products (id, category_id, kind, title, status, time_zone, attributes, terms, images, "
            "created_at, updated_at) SELECT 'odd', id, kind, 'Odd', 'draft', 'UTC', '[]', '{}', '[]', now(), now() "
            "FROM categories WHERE id = 'odd'"
        )
        await cx.execute(
            "INSERT INTO skus (id, product_id, title, attributes, updated_at) VALUES (%s, 'odd', 'Odd', '[]', now())",
            (in_the_way,),
        )
    await work(worker, import_id, lines=10)
    rows = (await api.get(f"{PATH}/{import_id}/rows", headers=caller.headers)).json()["data"]
    assert [(row["state"], [fault["code"] for fault in row["errors"]]) for row in rows] == [
        ("created", []),
        ("refused", ["not_storable"]),
        ("refused", ["not_a_text"]),
        ("created", []),
    ]


async def test_two_workers_at_one_import_make_each_product_once(
    api: AsyncClient, an_operator: Maker, worker: Database
) -> None:
    caller = await an_operator()
    body = b"\n".join(a_line(f"Raced {number}") for number in range(40))
    import_id = (await upload(api, caller, body)).json()["id"]
    await asyncio.gather(work(worker, import_id, 3), work(worker, import_id, 5))
    done = (await api.get(f"{PATH}/{import_id}", headers=caller.headers)).json()
    assert (done["created"], done["refused"]) == (40, 0)
    async with worker.reading() as cx:
        cursor = await cx.execute("SELECT count(*) AS n FROM products WHERE title LIKE 'Raced %%'")
        assert await cursor.fetchone() == {"n": 40}


async def test_upkeep_knows_imports_that_stand_still_and_forgets_old_ones(
    api: AsyncClient, app: FastAPI, an_operator: Maker, worker: Database, database: Database, clock: Clock
) -> None:
    caller = await an_operator()
    import_id = (await upload(api, caller, a_line("Still"))).json()["id"]
    async with database.reading() as cx:
        assert import_id not in await import_staging.unstarted(cx, clock.now - UPLOAD_PATIENCE)
        assert import_id in await import_staging.unstarted(cx, clock.now + timedelta(seconds=1))
    parts: Parts = app.state.parts
    await keep_catalogue(parts)  # without Temporal there is nobody to start it, and that is no error
    await work(worker, import_id)
    late = clock.now + import_staging.KEPT + timedelta(days=1)
    for _ in range(200):
        async with database.transaction() as cx:
            if not await import_staging.forget_imports(cx, late):
                break
    assert (await api.get(f"{PATH}/{import_id}", headers=caller.headers)).status_code == 404
