"""Hand-made abuse of the order routes: whatever comes in, the answer is below 500 and a problem document."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response
from psycopg.types.json import Jsonb
from temporalio.client import Client

from api.app import create_app
from api.contract import BODIES
from domain.access import Role
from embedded.postgres import PostgresServer
from settings import Settings
from storage.database import Database
from storage.ids import LeasedIds
from tests.api.conftest import NAME, Caller, Clock, Maker

GOOD: dict[str, Any] = dict(BODIES["post", "/v1/orders"])
LINE: dict[str, Any] = GOOD["lines"][0]
PRICE: dict[str, Any] = LINE["unit_price"]

NUMBERS = (
    "9223372036854775807", "9223372036854775808", "-1", "0", "1.0", "1.5", "1e400", "-1e400", "1e3", "1e-400",
    "NaN", "Infinity", "-Infinity", "1" * 400, "1" * 5000, "true", "null", '"1"', "[]", "{}", "0x10", "01", "+1", "١",
)  # fmt: skip
"""JSON texts in the place of an integer: none of them is a quantity from 1 to 1000."""

TEXTS = (
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff", "￿", "'; DROP TABLE orders; --", "../../etc/passwd", "%00", "%s",
    "{}", "${jndi:ldap://x}", "é" * 64, "a" * 65, "a" * 100_000, "\u202e", "\n", "-", "_",
)  # fmt: skip
"""None of them is an id of ours."""

OWN_NUMBER = re.compile(r"[A-Za-z0-9_\-:.]{1,100}", re.ASCII)
"""What a distributor may call its order."""

ORDER_NUMBERS = (
    "0", "00000000000000000000", "9223372036854775807", "9223372036854775808", "9" * 19, "9" * 20, "9" * 40, "9" * 4000,
    "-1", "+1", "1.0", "1e3", "0x1", "١٢٣", "abc", "%20", "%00", "%ff", "1%2f2", "1;2", "null", "true", "1'--",
)  # fmt: skip

KEYS = (
    "", " ", "a b", '"', '""', '"a', "a" * 256, '"' + "a" * 256 + '"', "ключ", "a;b", "a/b", "a\tb", "'a'", "a,b", "{}",
)  # fmt: skip


def whole(answer: Response, *, allowed: frozenset[int] = frozenset({400, 404, 409, 413, 414, 415, 422})) -> Response:
    """The answer, which has to be a problem document of an expected status."""
    assert answer.status_code in allowed, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"/errors/{problem['code']}"
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["request-id"]
    assert "Traceback" not in answer.text
    return answer


@pytest.fixture
async def app(settings: Settings, database: Database, clock: Clock) -> AsyncIterator[FastAPI]:
    """With a Temporal that never answers: whatever gets as far as that was taken for good input."""
    app = create_app(settings, database, None, clock=clock)
    nobody = await Client.connect("127.0.0.1:1", lazy=True)
    async with LeasedIds(database) as ids:
        app.state.parts = replace(app.state.parts, temporal=nobody, ids=ids)
        yield app


@pytest.fixture
async def api(app: FastAPI) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://api") as client:
        yield client


@pytest.fixture
async def buyer(a_distributor: Maker) -> Caller:
    return await a_distributor()


async def place(api: AsyncClient, buyer: Caller, body: object) -> Response:
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    return await api.post("/v1/orders", content=content, headers={**buyer.once(), "Content-Type": "application/json"})


async def test_the_good_order_would_go_through_to_the_workflow(api: AsyncClient, buyer: Caller) -> None:
    """The counter-proof: what is refused below is refused for what is wrong with it."""
    answer = await place(api, buyer, GOOD)
    assert (answer.status_code, answer.json()["code"]) == (503, "temporal_unavailable")


@pytest.mark.parametrize("number", NUMBERS, ids=lambda text: text[:24])
async def test_numbers(api: AsyncClient, buyer: Caller, number: str) -> None:
    text = json.dumps(GOOD)
    for good in ('"quantity": 2', '"amount_minor": 20000'):
        name = good.partition(":")[0]
        zero_price = name == '"amount_minor"' and number == "0"
        if not zero_price:
            whole(await place(api, buyer, text.replace(good, f"{name}: {number}")))


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:24])
async def test_texts_in_the_place_of_ids(api: AsyncClient, buyer: Caller, text: str) -> None:
    fields: list[dict[str, Any]] = [{"buyer_ref": text}, {"currency": text}, {"lines": [{**LINE, "sku_id": text}]}]
    if not OWN_NUMBER.fullmatch(text):
        fields.append({"client_order_no": text})
    for field in fields:
        whole(await place(api, buyer, {**GOOD, **field}))


@pytest.mark.parametrize("field", ["currency", "lines", "contact", "buyer_ref", "all_or_nothing"])
@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, [[]], [None], "x\x00", {"a": {"b": 1}}, [1, 2]], ids=repr)
async def test_other_kinds_of_value(api: AsyncClient, buyer: Caller, field: str, value: object) -> None:
    if not (field == "all_or_nothing" and value in (True, 1)):
        whole(await place(api, buyer, {**GOOD, field: value}))


@pytest.mark.parametrize(
    "body",
    [
        {**GOOD, "surprise": 1},
        {**GOOD, "lines": [{**LINE, "surprise": 1}]},
        {**GOOD, "lines": [{**LINE, "unit_price": {**PRICE, "surprise": 1}}]},
        {**GOOD, "contact": {"full_name": "A", "surprise": 1}},
        {**GOOD, "lines": []},
        {**GOOD, "lines": [LINE] * 51},
        {**GOOD, "lines": [{**LINE, "visitors": ["A"] * 1001}]},
        {**GOOD, "lines": [{**LINE, "availability_id": "x" * 201}]},
        {**GOOD, "contact": {"full_name": "A" * 201}},
        {**GOOD, "contact": {"full_name": "A", "email": "a@b@c"}},
        {**GOOD, "contact": {"full_name": "A", "email": "a" * 100_000}},
        {**GOOD, "contact": {"full_name": "A", "phone": "call me"}},
        {**GOOD, "__proto__": {}, "constructor": {}},
        {"lines": [LINE]},
        {},
        [],
        None,
        "order",
        7,
    ],
    ids=lambda body: json.dumps(body)[:40],
)
async def test_shapes(api: AsyncClient, buyer: Caller, body: object) -> None:
    assert whole(await place(api, buyer, json.dumps(body))).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD).encode("latin-1").replace(b"Li Lei", b"L\xe9"),
        b'{"lines": "\xed\xa0\x80"}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"currency": "CNY", "lines": ' + b"[" * 40 + b"]" * 40 + b"}",
        json.dumps(GOOD).encode() + b"garbage",
        json.dumps(GOOD).encode() + b"\x00",
        b"currency=CNY",
        b"<order/>",
    ],
    ids=lambda body: ascii(body)[:24],
)
async def test_bytes_that_are_no_order(api: AsyncClient, buyer: Caller, body: bytes) -> None:
    whole(await place(api, buyer, body))


async def test_a_key_given_twice_counts_once_and_never_breaks_anything(api: AsyncClient, buyer: Caller) -> None:
    text = json.dumps(GOOD)
    refused = await place(api, buyer, text.replace('"currency": "CNY"', '"currency": "CNY", "currency": "x"'))
    assert whole(refused).status_code == 422
    whole(await place(api, buyer, text.replace('"quantity": 2', '"quantity": 2, "quantity": -2')))


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"],
)
async def test_other_media_types(api: AsyncClient, buyer: Caller, media_type: str) -> None:
    answer = await api.post(
        "/v1/orders", content=json.dumps(GOOD), headers={**buyer.once(), "Content-Type": media_type}
    )
    whole(answer)


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 8 * 1024 * 1024])
async def test_bodies_beyond_the_bound(api: AsyncClient, buyer: Caller, size: int) -> None:
    answer = await place(api, buyer, json.dumps({**GOOD, "buyer_ref": "x" * size}))
    assert whole(answer).status_code == 413

    async def unsaid() -> AsyncIterator[bytes]:
        for _ in range(size // 65_536 + 1):
            yield b" " * 65_536

    answer = await api.post("/v1/orders", content=unsaid(), headers=buyer.once())
    assert whole(answer).status_code == 413


async def test_a_large_body_within_the_bound_is_refused_quickly(api: AsyncClient, buyer: Caller) -> None:
    started = time.monotonic()
    whole(await place(api, buyer, json.dumps({**GOOD, "lines": [{**LINE, "sku_id": "a" * 300}] * 2500})))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("number", ORDER_NUMBERS, ids=lambda text: ascii(text)[:24])
async def test_order_numbers(api: AsyncClient, buyer: Caller, an_operator: Maker, number: str) -> None:
    for caller in (buyer, await an_operator(Role.OPERATIONS)):
        whole(await api.get(f"/v1/orders/{number}", headers=caller.headers))
        for action, body in (("confirm", None), ("cancel", {"reason": "x"}), ("extend", {"by_s": 60})):
            answer = await api.post(f"/v1/orders/{number}/{action}", json=body, headers=caller.once())
            whole(answer, allowed=frozenset({404, 405, 414, 422}))


@pytest.mark.parametrize("key", KEYS, ids=lambda text: ascii(text)[:24])
async def test_idempotency_keys(api: AsyncClient, buyer: Caller, key: str) -> None:
    headers = [
        (b"Authorization", buyer.headers["Authorization"].encode()), (b"Idempotency-Key", key.encode()),
        (b"Content-Type", b"application/json"),
    ]  # fmt: skip
    for path, body in (("/v1/orders", GOOD), ("/v1/orders/1/confirm", None)):
        answer = await api.post(path, content=json.dumps(body) if body else b"", headers=headers)
        assert whole(answer).json()["code"] in ("idempotency_key_invalid", "idempotency_key_missing")


async def test_idempotency_keys_missing_or_twice(api: AsyncClient, buyer: Caller) -> None:
    assert whole(await api.post("/v1/orders", json=GOOD, headers=buyer.headers)).json()["code"] == (
        "idempotency_key_missing"
    )
    twice = [*buyer.headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert whole(await api.post("/v1/orders", json=GOOD, headers=twice)).json()["code"] == "idempotency_key_invalid"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=101", "limit=-1", "limit=1e2", "limit=9223372036854775808", "limit=" + "9" * 400, "limit=",
        "limit=1&limit=x", "cursor=", "cursor=x", "cursor=%00", "cursor=%ff", "cursor=" + "A" * 1024,
        "cursor=" + "A" * 1025, "cursor=é", "status=unknown", "status=", "in_review=maybe", "created_from=yesterday",
        "created_from=2026-01-01", "created_from=2026-01-01T00:00:00", "created_to=9999-12-31T23:59:59-23:59",
        "created_from=0001-01-01T00:00:00%2B23:59", "created_from=1e400", "buyer_ref=%00", "buyer_ref=" + "a" * 65,
        "client_order_no=" + "a" * 101, "supplier_id=..%2f", "surprise=1", "limit[]=1", "LIMIT=1", "a" * 9000 + "=1",
    ],
    ids=lambda text: text[:32],
)  # fmt: skip
async def test_queries(api: AsyncClient, buyer: Caller, query: str) -> None:
    whole(await api.get(f"/v1/orders?{query}", headers=buyer.headers))


@pytest.mark.parametrize("query", ["wait_s=-1", "wait_s=31", "wait_s=NaN", "wait_s=inf", "wait_s=1e400", "wait_s=x"])
async def test_waits(api: AsyncClient, buyer: Caller, query: str) -> None:
    whole(await api.post(f"/v1/orders/1/confirm?{query}", headers=buyer.once()))


def events_of(postgres: PostgresServer, owner: Caller, count: int) -> None:
    """As a worker writes them."""
    with psycopg.connect(postgres.url("tessera_worker", NAME)) as cx:
        for number in range(count):
            cx.execute(
                "INSERT INTO outbox_events (key, kind, distributor_id, subject_kind, subject_id, body, at) "
                "VALUES (%s, 'order.locked', %s, 'order', '0000000000000000001', %s, now())",
                (f"{owner.id}/{number}", owner.id, Jsonb({"n": number})),
            )


def tampered(cursor: str) -> list[str]:
    """The same cursor with each part changed a little, and positions signed by nobody."""
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    made = []
    for index in (0, 15, 16, len(raw) - 1):
        other = bytearray(raw)
        other[index] ^= 1
        made.append(base64.urlsafe_b64encode(bytes(other)).decode().rstrip("="))
    for text in (b"[0,0]", b"[]", b"{}", b"null", b"[1e400,1]", b'["x","y"]', b"[" * 500):
        made.append(base64.urlsafe_b64encode(bytes(raw[:16]) + text).decode().rstrip("="))
    return [*made, cursor[:-2], cursor + "AA", cursor.swapcase(), cursor * 2]


async def test_events_come_in_order_and_only_to_whom_they_concern(
    api: AsyncClient, postgres: PostgresServer, a_distributor: Maker, an_operator: Maker
) -> None:
    mine, other = await a_distributor(), await a_distributor()
    events_of(postgres, mine, 5)
    events_of(postgres, other, 3)
    first = (await api.get("/v1/events?limit=3", headers=mine.headers)).json()
    assert [event["data"]["n"] for event in first["data"]] == [0, 1, 2]
    assert {event["type"] for event in first["data"]} == {"order.locked"}
    rest = (await api.get(f"/v1/events?limit=3&cursor={first['next_cursor']}", headers=mine.headers)).json()
    assert [event["data"]["n"] for event in rest["data"]] == [3, 4]
    assert not rest["has_more"]
    events_of(postgres, await a_distributor(), 1)
    nothing = await api.get(f"/v1/events?limit=3&cursor={rest['next_cursor']}", headers=mine.headers)
    assert nothing.json() == {"data": [], "has_more": False, "next_cursor": rest["next_cursor"]}
    everybody = (await api.get("/v1/events?limit=100", headers=(await an_operator(Role.SUPPORT)).headers)).json()
    assert len(everybody["data"]) >= 9


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("kind=order.locked", 2),
        ("kind=order.issued", 0),
        ("subject_id=0000000000000000001", 2),
        ("subject_id=0000000000000000002", 0),
        ("created_from=2020-01-01T00:00:00Z&created_to=2100-01-01T00:00:00Z", 2),
        ("created_to=2020-01-01T00:00:00Z", 0),
    ],
)
async def test_the_feed_can_be_narrowed(
    api: AsyncClient, postgres: PostgresServer, buyer: Caller, query: str, count: int
) -> None:
    events_of(postgres, buyer, 2)
    assert len((await api.get(f"/v1/events?{query}", headers=buyer.headers)).json()["data"]) == count


async def test_cursors_of_others_and_of_nobody(
    api: AsyncClient, postgres: PostgresServer, buyer: Caller, a_distributor: Maker
) -> None:
    events_of(postgres, buyer, 3)
    cursor = (await api.get("/v1/events?limit=1", headers=buyer.headers)).json()["next_cursor"]
    assert (await api.get("/v1/events", params={"cursor": cursor}, headers=buyer.headers)).status_code == 200
    for changed in tampered(cursor):
        answer = await api.get("/v1/events", params={"cursor": changed}, headers=buyer.headers)
        assert whole(answer).json()["code"] in ("cursor_invalid", "validation_failed"), changed
    for path, params, caller in (
        ("/v1/events", {"kind": "order.locked"}, buyer),
        ("/v1/orders", {}, buyer),
        ("/v1/events", {}, await a_distributor()),
    ):
        answer = await api.get(path, params={**params, "cursor": cursor}, headers=caller.headers)
        assert whole(answer).json()["code"] == "cursor_invalid", path


async def test_methods_and_addresses_that_are_not_there(api: AsyncClient, buyer: Caller) -> None:
    for method, path in (
        ("DELETE", "/v1/orders/1"), ("PUT", "/v1/orders"), ("TRACE", "/v1/orders"), ("FOO", "/v1/orders"),
        ("GET", "/v1/orders/"), ("GET", "//v1/orders"), ("GET", "/v1/../v1/orders/%2e%2e"), ("GET", "/v1/%00"),
        ("POST", "/v1/orders/1/explode"), ("GET", "/v2/orders"), ("GET", "/" + "a" * 9000),
    ):  # fmt: skip
        answer = await api.request(method, path, headers=buyer.headers)
        whole(answer, allowed=frozenset({404, 405, 414, 422}))
