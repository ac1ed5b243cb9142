"""Contracts with payment channels over HTTP: secrets never come out, and shoppers see what they can choose."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from httpx2 import AsyncClient

from adapters.payments.registry import PROTOCOLS
from domain.access import Role
from storage.database import Database
from tests.api.conftest import Maker

PROTOCOLS.load(["tests.api.signed_channel:PROTOCOL"])
_numbers = itertools.count(1)
SECRET = "never-shown-again"


def a_contract(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Meridian Pay",
        "protocol": "signed",
        "base_url": "https://pay.example",
        "credentials": {"secret": SECRET},
        **changes,
    }


@pytest.fixture
def channel_id() -> str:
    return f"contract-{next(_numbers)}"


async def test_a_contract_is_made_read_and_changed_and_its_secrets_stay(
    api: AsyncClient, an_operator: Maker, channel_id: str, database: Database
) -> None:
    caller, address = await an_operator(Role.OPERATIONS), f"/v1/payment-channels/{channel_id}"
    made = await api.put(address, json=a_contract(fee_bp=60), headers=caller.headers)
    assert made.status_code == 201, made.text
    read = await api.get(address, headers=caller.headers)
    assert read.json() == made.json()
    assert read.headers["etag"] == made.headers["etag"]
    without_secrets = {
        name: value for name, value in a_contract(fee_bp=60, max_minor=5).items() if name != "credentials"
    }
    changed = await api.put(address, json=without_secrets, headers=caller.headers)
    assert (changed.status_code, changed.json()["max_minor"]) == (200, 5)
    for answer in (made, read, changed, await api.get("/v1/payment-channels", headers=caller.headers)):
        assert SECRET not in answer.text
        assert "credentials" not in answer.text
    async with database.reading() as cx:
        cursor = await cx.execute("SELECT credentials FROM payment_channels WHERE id = %s", (channel_id,))
        kept = await cursor.fetchone()
        cursor = await cx.execute(
            "SELECT action, before, after FROM operation_log WHERE subject_id = %s ORDER BY id", (channel_id,)
        )
        log = await cursor.fetchall()
    assert kept == {"credentials": {"secret": SECRET}}
    assert [row["action"] for row in log] == ["channel.create", "channel.edit"]
    assert log[0]["after"]["credentials"] == "(secret)"
    assert log[1]["after"] == {"max_minor": 5}
    assert SECRET not in json.dumps(log)


async def test_new_secrets_change_the_tag_and_what_was_read_before_overwrites_nothing(
    api: AsyncClient, an_operator: Maker, channel_id: str
) -> None:
    caller, address = await an_operator(Role.FINANCE), f"/v1/payment-channels/{channel_id}"
    first = await api.put(address, json=a_contract(), headers=caller.headers)
    tag = first.headers["etag"]
    rotated = await api.put(
        address, json=a_contract(credentials={"secret": "next"}), headers={**caller.headers, "If-Match": tag}
    )
    assert (rotated.status_code, rotated.headers["etag"] != tag) == (200, True)
    stale = await api.put(address, json=a_contract(active=False), headers={**caller.headers, "If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert (await api.get(address, headers=caller.headers)).json()["active"] is True


async def test_what_does_not_exist_cannot_be_as_it_was_read(
    api: AsyncClient, an_operator: Maker, channel_id: str
) -> None:
    caller, address = await an_operator(), f"/v1/payment-channels/{channel_id}"
    answer = await api.put(address, json=a_contract(), headers={**caller.headers, "If-Match": '"x"'})
    assert answer.status_code == 412
    assert (await api.get(address, headers=caller.headers)).json()["code"] == "channel_not_found"


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        pytest.param({"protocol": "nobodys"}, "/protocol", id="a protocol that nobody speaks"),
        pytest.param({"credentials": {}}, "/credentials/secret", id="no secret"),
        pytest.param({"credentials": {"secret": 5}}, "/credentials/secret", id="a secret that is none"),
        pytest.param({"credentials": {"secret": "s", "x": "y"}}, "/credentials/x", id="an unknown name"),
        pytest.param({"credentials": None}, "/credentials", id="a new channel without any"),
        pytest.param({"fee_bp": 10_001}, "/fee_bp", id="a fee above everything"),
        pytest.param({"min_minor": 2, "max_minor": 1}, "", id="bounds that nothing is between"),
        pytest.param({"currency": "yuan"}, "/currency", id="no currency"),
        pytest.param({"max_minor": 2**63}, "/max_minor", id="more than a column holds"),
    ],
)
async def test_a_contract_that_is_wrong_is_refused_with_a_pointer(
    api: AsyncClient, an_operator: Maker, channel_id: str, wrong: dict[str, Any], pointer: str
) -> None:
    caller, address = await an_operator(), f"/v1/payment-channels/{channel_id}"
    answer = await api.put(address, json=a_contract(**wrong), headers=caller.headers)
    assert answer.status_code == 422, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert SECRET not in answer.text
    assert (await api.get(address, headers=caller.headers)).status_code == 404


async def test_a_kind_that_nobody_sells_is_refused_with_those_that_are_known(
    api: AsyncClient, an_operator: Maker, channel_id: str
) -> None:
    caller = await an_operator()
    contract = a_contract(kinds=["ticket", "castle"])
    answer = await api.put(f"/v1/payment-channels/{channel_id}", json=contract, headers=caller.headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_kind")
    assert "ticket" in answer.json()["known"]


async def test_what_payments_rest_on_is_for_good(api: AsyncClient, an_operator: Maker, channel_id: str) -> None:
    caller, address = await an_operator(), f"/v1/payment-channels/{channel_id}"
    await api.put(address, json=a_contract(), headers=caller.headers)
    answer = await api.put(address, json=a_contract(currency="EUR"), headers=caller.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "channel_terms_fixed")
    assert (await api.get(address, headers=caller.headers)).json()["currency"] == "CNY"


async def test_shoppers_see_what_they_can_choose_and_operators_everything(
    api: AsyncClient, an_operator: Maker, a_shopper: Maker, channel_id: str
) -> None:
    operator, shopper = await an_operator(), await a_shopper()
    for name, active in ((channel_id, True), (f"{channel_id}-off", False)):
        contract = a_contract(active=active, kinds=["ticket"])
        await api.put(f"/v1/payment-channels/{name}", json=contract, headers=operator.headers)
    seen = (await api.get("/v1/payment-channels", headers=shopper.headers)).json()["data"]
    assert [each for each in seen if each["id"].startswith(channel_id)] == [
        {
            "id": channel_id, "name": "Meridian Pay", "currency": "CNY", "kinds": ["ticket"], "min_minor": 1,
            "max_minor": 100_000_000,
        }
    ]  # fmt: skip
    every = {
        each["id"]: each for each in (await api.get("/v1/payment-channels", headers=operator.headers)).json()["data"]
    }
    assert every[f"{channel_id}-off"]["active"] is False
    assert every[channel_id]["base_url"] == "https://pay.example"


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.CATALOGUE, Role.GATE])
async def test_only_operations_and_finance_write_contracts(
    api: AsyncClient, an_operator: Maker, channel_id: str, role: Role
) -> None:
    caller, address = await an_operator(role), f"/v1/payment-channels/{channel_id}"
    assert (await api.put(address, json=a_contract(), headers=caller.headers)).status_code == 403
    assert (await api.get(address, headers=caller.headers)).status_code == 403


async def test_neither_shoppers_nor_distributors_read_a_contract(
    api: AsyncClient, an_operator: Maker, a_shopper: Maker, a_distributor: Maker, channel_id: str
) -> None:
    address = f"/v1/payment-channels/{channel_id}"
    await api.put(address, json=a_contract(), headers=(await an_operator()).headers)
    for caller in (await a_shopper(), await a_distributor()):
        assert (await api.get(address, headers=caller.headers)).status_code == 403
        assert (await api.put(address, json=a_contract(), headers=caller.headers)).status_code == 403
