"""Every failure is a problem document, and no input whatever makes one of 5xx."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from psycopg import OperationalError
from psycopg_pool import PoolTimeout
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from api.app import ROUTERS, create_app
from api.deps import Parts, TemporalDep, capability, public, require
from api.views import Input, Instant, MoneyInput, Name, OrderNo
from domain.access import Action, Principal
from domain.errors import Refusal, Refused
from domain.orders import NotInState
from embedded.ports import any_free_port
from settings import Settings
from storage.database import Database

Maker = Callable[..., Awaitable[Any]]


class Line(Input):
    sku_id: Name
    quantity: int
    price: MoneyInput | None = None


class Cart(Input):
    lines: tuple[Line, ...] = ()
    note: dict[str, Any] | None = None
    at: Instant | None = None
    order_no: OrderNo | None = None


FAILURES: dict[str, Callable[[], Exception]] = {
    "state": lambda: NotInState("confirm", "canceled", ("locked",)),
    "refused": lambda: Refused(Refusal("price_changed", "It costs more now.", {"price_minor": 7, "status": 200})),
    "unknown": lambda: Refused(Refusal("product_not_found", "No such product.")),
    "temporal": lambda: RPCError("secret host", RPCStatusCode.UNAVAILABLE, b""),
    "deadline": lambda: RPCError("secret host", RPCStatusCode.DEADLINE_EXCEEDED, b""),
    "exhausted": lambda: RPCError("secret host", RPCStatusCode.RESOURCE_EXHAUSTED, b""),
    "temporal_bug": lambda: RPCError("secret host", RPCStatusCode.INVALID_ARGUMENT, b""),
    "database": lambda: OperationalError("secret host"),
    "pool": lambda: PoolTimeout("secret host"),
    "bug": lambda: ZeroDivisionError("secret host"),
}


@pytest.fixture
def app(settings: Settings, database: Database) -> FastAPI:
    """The application with a capability that fails on demand."""
    router = capability("Failing")

    @router.get("/v1/fail/{name}", dependencies=[public()])
    async def fail(name: str) -> None:
        raise FAILURES[name]()

    @router.post("/v1/carts", dependencies=[public()])
    async def cart(body: Cart, dry_run: bool = False) -> dict[str, Any]:
        return {"cart": body.model_dump(mode="json"), "dry_run": dry_run}

    @router.get("/v1/workflows", dependencies=[public()])
    async def workflows(temporal: TemporalDep) -> None:
        await temporal.get_workflow_handle("order/1").describe()

    @router.get("/v1/orders/{order_no}")
    async def order(order_no: OrderNo, caller: Annotated[Principal, require(Action.ORDER_READ)]) -> str:
        return str(order_no)

    return create_app(settings, database, None, routers=(*ROUTERS, router))


def assert_problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["type"] == f"/errors/{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["request-id"]
    assert body["trace_id"] in answer.headers["traceparent"]
    assert "secret" not in answer.text
    return body


@pytest.mark.parametrize(
    ("name", "status", "code", "retryable"),
    [
        ("state", 409, "order_state_conflict", False),
        ("refused", 409, "price_changed", False),
        ("unknown", 404, "product_not_found", False),
        ("temporal", 503, "temporal_unavailable", True),
        ("deadline", 503, "temporal_unavailable", True),
        ("exhausted", 503, "overloaded", True),
        ("temporal_bug", 500, "internal_error", True),
        ("database", 503, "database_unavailable", True),
        ("pool", 503, "overloaded", True),
        ("bug", 500, "internal_error", True),
    ],
)
async def test_a_failure_becomes_its_problem(
    api: AsyncClient, name: str, status: int, code: str, retryable: bool
) -> None:
    answer = await api.get(f"/v1/fail/{name}")
    assert assert_problem(answer, status, code)["retryable"] is retryable
    assert ("retry-after" in answer.headers) is (status == 503)


async def test_a_state_conflict_carries_the_state_and_what_would_be_legal(api: AsyncClient) -> None:
    body = (await api.get("/v1/fail/state")).json()
    assert (body["state"], body["allowed_from"]) == ("canceled", ["locked"])


async def test_facts_never_overwrite_the_documents_own_members(api: AsyncClient) -> None:
    body = (await api.get("/v1/fail/refused")).json()
    assert (body["price_minor"], body["status"]) == (7, 409)


async def test_the_frameworks_own_errors_are_problems_too(api: AsyncClient) -> None:
    assert_problem(await api.get("/nowhere"), 404, "not_found")
    answer = await api.delete("/v1/carts")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_route_that_needs_temporal_says_so_when_there_is_none(api: AsyncClient) -> None:
    assert_problem(await api.get("/v1/workflows"), 503, "temporal_unavailable")


async def test_while_temporal_is_down_the_api_starts_and_says_what_is_missing(app: FastAPI, api: AsyncClient) -> None:
    client = await Client.connect(f"127.0.0.1:{any_free_port()}", lazy=True)
    app.state.parts = replace(app.state.parts, temporal=client)
    assert_problem(await api.get("/v1/workflows"), 503, "temporal_unavailable")
    assert (await api.get("/readyz")).json()["missing"] == ["temporal"]
    assert (await api.get("/livez")).status_code == 200


async def test_invalid_fields_are_named_by_json_pointers(api: AsyncClient) -> None:
    answer = await api.post("/v1/carts", json={"lines": [{"sku_id": "a", "quantity": "x", "a/b~c": 1}]})
    errors = assert_problem(answer, 422, "validation_failed")["errors"]
    assert {error["pointer"] for error in errors} == {"/lines/0/quantity", "/lines/0/a~1b~0c"}
    assert {error["in"] for error in errors} == {"body"}


async def test_unknown_query_parameters_are_refused(api: AsyncClient) -> None:
    answer = await api.post("/v1/carts?dryrun=true", json={})
    errors = assert_problem(answer, 422, "validation_failed")["errors"]
    assert errors == [{"pointer": "/dryrun", "code": "extra_forbidden", "detail": "Unknown parameter", "in": "query"}]
    assert (await api.post("/v1/carts?dry_run=true", json={})).json()["dry_run"] is True


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b'{"note": {"a": "\xed\xa0\x80"}}', 400, "malformed_json"),
        (b'{"note": {"a": NaN}}', 400, "malformed_json"),
        (b'{"note": {"a": 1' + b"0" * 5000 + b"}}", 400, "malformed_json"),
        (b"[" * 200_000, 400, "malformed_json"),
        (b'{"note": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}", 422, "too_deep"),
        (b'{"note": {"a": "\\u0000"}}', 422, "string_nul"),
        (b'{"note": {"\\u0000": 1}}', 422, "string_nul"),
        (b'{"note": {"a": "\\ud800"}}', 422, "string_unicode"),
        (b'{"lines": [{"sku_id": "\\u0000", "quantity": 1}]}', 422, "string_nul"),
        (b'{"lines": [{"sku_id": "a", "quantity": 1e400}]}', 422, None),
        (b'{"lines": [{"sku_id": "a", "price": {"amount_minor": 99999999999999999999}}]}', 422, None),
        (b'{"at": "0001-01-01T00:00:00+23:59"}', 422, None),
        (b'{"at": "2026-01-01T00:00:00"}', 422, None),
        (b'{"order_no": "99999999999999999999999999"}', 422, None),
        (b'{"order_no": true}', 422, None),
        (b'"text"', 422, None),
        (b"null", 422, None),
        (b"", 422, None),
    ],
)
async def test_abusive_bodies_are_refused_as_input(
    api: AsyncClient, body: bytes, status: int, code: str | None
) -> None:
    answer = await api.post("/v1/carts", content=body, headers={"Content-Type": "application/json"})
    problem = assert_problem(answer, status, "malformed_json" if status == 400 else "validation_failed")
    if status == 422 and code:
        assert problem["errors"][0]["code"] == code


async def test_an_escaped_backslash_before_u0000_is_ordinary_text(api: AsyncClient) -> None:
    answer = await api.post("/v1/carts", json={"note": {"a": "\\u0000 and \\ud800 and 😀"}})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data", "", "application/json; x"]
)
async def test_other_media_types_are_415_or_read_as_json(api: AsyncClient, content_type: str) -> None:
    answer = await api.post("/v1/carts", content=b"{}", headers={"Content-Type": content_type})
    if content_type.startswith("application/json"):
        assert answer.status_code == 200
    else:
        assert_problem(answer, 415, "unsupported_media_type")


async def test_a_body_beyond_the_bound_is_413_with_and_without_its_length(api: AsyncClient) -> None:
    large = json.dumps({"note": {"a": "x" * (1024 * 1024)}}).encode()
    headers = {"Content-Type": "application/json"}
    assert_problem(await api.post("/v1/carts", content=large, headers=headers), 413, "body_too_large")

    async def chunks() -> Any:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    assert_problem(await api.post("/v1/carts", content=chunks(), headers=headers), 413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/fail/%00", 404, "not_found"),
        ("/v1/carts?dry_run=%00", 422, "validation_failed"),
        ("/errors/" + "a" * 9000, 414, "uri_too_long"),
        ("/livez?" + "a" * 9000, 414, "uri_too_long"),
        ("/errors/%ff%fe", 422, "validation_failed"),
        ("/errors/%ed%a0%80", 422, "validation_failed"),
        ("/livez?%ed%a0%80=%ff", 422, "validation_failed"),
    ],
)
async def test_abusive_addresses_are_refused(api: AsyncClient, path: str, status: int, code: str) -> None:
    method = "POST" if "carts" in path else "GET"
    answer = await api.request(method, path, json={} if method == "POST" else None)
    assert_problem(answer, status, code)


async def test_headers_of_strange_bytes_break_nothing(api: AsyncClient) -> None:
    headers = [(b"authorization", b"Bearer \xff\xfe"), (b"request-id", b"\xff"), (b"traceparent", b"00-zz")]
    assert_problem(await api.get("/v1/me", headers=headers), 401, "unauthenticated")
    headers = [(b"content-type", b"\xff/\xfe")]
    assert_problem(await api.post("/v1/carts", content=b"{}", headers=headers), 415, "unsupported_media_type")


async def test_ids_go_in_and_out(api: AsyncClient) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = await api.get("/livez", headers={"Request-Id": "mine-1", "traceparent": parent})
    assert (answer.headers["request-id"], answer.headers["traceparent"]) == ("mine-1", parent)
    made = await api.get("/livez", headers={"Request-Id": "no spaces", "traceparent": "00-" + "0" * 32})
    assert made.headers["request-id"].startswith("req_")
    assert len(made.headers["traceparent"]) == 55


async def test_readyz_names_what_is_missing(api: AsyncClient) -> None:
    body = assert_problem(await api.get("/readyz"), 503, "not_ready")
    assert body["missing"] == ["temporal"]


async def test_metrics_count_by_route_template(api: AsyncClient) -> None:
    await api.get("/v1/fail/state")
    text = (await api.get("/metrics")).text
    assert 'tessera_http_requests_total{method="GET",route="/v1/fail/{name}",status="409"}' in text
    assert "tessera_http_request_seconds_bucket" in text


async def test_the_type_of_a_problem_is_an_address_that_answers(api: AsyncClient) -> None:
    address = (await api.get("/v1/fail/state")).json()["type"]
    page = (await api.get(address)).json()
    assert (page["code"], page["status"]) == ("order_state_conflict", 409)
    assert (await api.get("/errors/anything_else")).json()["status"] == 409


async def test_the_contract_documents_every_operations_problems(app: FastAPI) -> None:
    schema = app.openapi()
    assert schema["openapi"].startswith("3.1")
    for path, operations in schema["paths"].items():
        if path.startswith(("/v1/fail", "/v1/carts", "/v1/workflows", "/v1/orders")):
            continue
        for operation in operations.values():
            assert {"400", "422", "500", "503"} <= set(operation["responses"]), path
            assert operation["summary"]
            assert operation["description"]
    assert schema["components"]["schemas"]["Problem"]["properties"]["code"]


async def test_the_parts_are_handed_down_not_imported(app: FastAPI) -> None:
    assert isinstance(app.state.parts, Parts)
