"""What a supplier's protocol leaves to be set, over HTTP: validated with pointers before it is stored."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import uuid4

import pytest
from httpx2 import AsyncClient
from standardwebhooks import Webhook

from adapters.suppliers.registry import PROTOCOLS
from api.supplier_views import SupplierCreate
from domain.access import Role
from storage.database import Database

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="
Maker = Callable[..., Awaitable[Any]]

ANSWERS = [{"means": "confirmed", "when": {"/status": ["1"]}}]
MAPPING: dict[str, Any] = {
    "fields": {"echo": "/no", "supplier_reference": "/id", "credential": {"receipt": "/voucher"}},
    "issue": {"path": "/orders", "parameters": {"no": "{reference}", "phone": "{account}"}, "answers": ANSWERS},
    "query": {"method": "GET", "path": "/orders/{reference}", "answers": ANSWERS},
}


def a_contract(supplier_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": supplier_id,
        "name": "Gateway",
        "protocol": "mapped",
        "protocol_settings": MAPPING,
        "base_url": "https://gateway.example",
        "api_token": "t",
        "callback_secret": "whsec_c2VjcmV0",
    } | changes


async def test_a_mapped_supplier_is_created_read_and_changed(api: AsyncClient, an_operator: Maker) -> None:
    caller = await an_operator(Role.OPERATIONS)
    made = await api.post("/v1/suppliers", json=a_contract("mapped-1"), headers=caller.once())
    assert made.status_code == 201, made.text
    assert made.json()["protocol_settings"] == MAPPING
    changed = MAPPING | {"signature": {"kind": "bearer"}}
    edited = await api.patch("/v1/suppliers/mapped-1", json={"protocol_settings": changed}, headers=caller.headers)
    assert edited.status_code == 200, edited.text
    read = await api.get("/v1/suppliers/mapped-1", headers=caller.headers)
    assert read.json()["protocol"] == "mapped"
    assert read.json()["protocol_settings"] == changed
    untouched = await api.patch("/v1/suppliers/mapped-1", json={"deadline_s": 60.0}, headers=caller.headers)
    assert untouched.json()["protocol_settings"] == changed


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        pytest.param({}, "/protocol_settings/issue", id="nothing"),
        pytest.param(MAPPING | {"colour": "red"}, "/protocol_settings/colour", id="an unknown name"),
        pytest.param(
            MAPPING | {"issue": MAPPING["issue"] | {"path": "orders"}}, "/protocol_settings/issue/path", id="no path"
        ),
        pytest.param(
            MAPPING | {"query": MAPPING["query"] | {"answers": [{"means": "confirmed"}]}},
            "/protocol_settings/query/answers/0",
            id="a meaning without evidence",
        ),
        pytest.param(
            MAPPING | {"issue": MAPPING["issue"] | {"parameters": {"no": "{reference}", "x": "\x00"}}},
            "/protocol_settings/issue/parameters/x",
            id="what the database could not store",
        ),
    ],
)
async def test_a_mapping_that_is_wrong_is_refused_with_a_pointer(
    api: AsyncClient, an_operator: Maker, wrong: dict[str, Any], pointer: str
) -> None:
    caller = await an_operator(Role.OPERATIONS)
    made = await api.post("/v1/suppliers", json=a_contract("mapped-2", protocol_settings=wrong), headers=caller.once())
    assert made.status_code == 422
    assert pointer in [error["pointer"] for error in made.json()["errors"]]
    await api.post("/v1/suppliers", json=a_contract("mapped-3"), headers=caller.once())
    edited = await api.patch("/v1/suppliers/mapped-3", json={"protocol_settings": wrong}, headers=caller.headers)
    assert edited.status_code == 422
    assert pointer in [error["pointer"] for error in edited.json()["errors"]]
    read = await api.get("/v1/suppliers/mapped-3", headers=caller.headers)
    assert read.json()["protocol_settings"] == MAPPING


async def test_a_callback_is_taken_by_the_mapping_of_its_supplier_and_nothing_else_is(
    api: AsyncClient, an_operator: Maker, database: Database
) -> None:
    caller = await an_operator(Role.OPERATIONS)
    told = MAPPING | {"callback": {"answers": ANSWERS}}
    for supplier_id, settings in (("mapped-4", told), ("mapped-5", MAPPING)):
        contract = a_contract(supplier_id, protocol_settings=settings, callback_secret=SECRET)
        assert (await api.post("/v1/suppliers", json=contract, headers=caller.once())).status_code == 201
    reference = str(uuid4())
    taken = json.dumps({"no": reference.upper(), "status": 1, "id": "T1", "voucher": "V1"})
    for supplier_id, body, status in (
        ("mapped-4", taken, 204),
        ("mapped-4", json.dumps({"status": 1}), 401),
        ("mapped-5", taken, 401),
    ):
        headers = signed(body) | {"Content-Type": "application/json"}
        answer = await api.post(f"/v1/callbacks/suppliers/{supplier_id}", content=body, headers=headers)
        assert answer.status_code == status, answer.text
    async with database.reading() as connection:
        cursor = await connection.execute(
            "SELECT reference FROM supplier_callbacks WHERE supplier_id IN ('mapped-4', 'mapped-5')"
        )
        assert [row["reference"] for row in await cursor.fetchall()] == [reference]


def signed(body: str) -> dict[str, str]:
    message_id, now = f"msg_{uuid4().hex}", datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(message_id, now, body),
    }


def test_every_protocol_that_is_spoken_can_be_contracted() -> None:
    assert set(get_args(SupplierCreate.model_fields["protocol"].annotation)) == set(PROTOCOLS)


async def test_octo_leaves_nothing_to_be_set(api: AsyncClient, an_operator: Maker) -> None:
    caller = await an_operator(Role.OPERATIONS)
    refused = await api.post("/v1/suppliers", json=a_contract("octo-1", protocol="octo"), headers=caller.once())
    assert refused.status_code == 422
    taken = a_contract("octo-1", protocol="octo", protocol_settings={})
    assert (await api.post("/v1/suppliers", json=taken, headers=caller.once())).status_code == 201
