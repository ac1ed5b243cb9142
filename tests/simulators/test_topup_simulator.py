"""The top-up simulator itself: its gateway turns away what a gateway would, and its book is what the world saw."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from adapters.suppliers.callbacks import verified_body
from adapters.suppliers.mapped import read_callback
from domain.issuance import Canceled, Confirmed, QueryAnswer, Rejected
from domain.supplier_books import BookEntry, doubles_of
from simulators.topup.faults import POSSIBLE
from simulators.topup.serving import serving
from simulators.topup.signing import sign
from tests.simulators.outside import ROOT, SECRET, Receiver, a_process, receiving, up

PHONE, PRODUCT = "13800138000", "CM-1GB-7D"
CONTRACT = {"protocol_settings": json.loads((ROOT / "seeds/suppliers/mobilink.json").read_text())}


@dataclass
class Operator:
    """One operator as a test sees it: the gateway on one side, control on the other."""

    client: httpx2.AsyncClient
    url: str
    name: str

    async def post(self, operation: str, parameters: dict[str, Any], *, form: bool = False) -> httpx2.Response:
        url = f"{self.url}/{self.name}/{operation}"
        return await (self.client.post(url, data=parameters) if form else self.client.post(url, json=parameters))

    async def ask(self, operation: str, reference: str, **parameters: Any) -> dict[str, Any]:
        """A signed request of this moment, and the answer's JSON."""
        asked = {"out_trade_no": reference, "timestamp": int(time.time()), "nonce": uuid4().hex} | parameters
        signed = asked | {"sign": sign(f"{self.name}-token", {name: str(value) for name, value in asked.items()})}
        answer: dict[str, Any] = (await self.post(operation, signed)).json()
        return answer

    async def recharge(self, reference: str | None = None, **parameters: Any) -> dict[str, Any]:
        asked = {"phone": PHONE, "product": PRODUCT} | parameters
        return await self.ask("recharge", reference or str(uuid4()), **asked)

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.client.request(method, f"{self.url}/control/{self.name}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def force(self, kind: str, operation: str = "recharge") -> None:
        await self.control("POST", "/next", {"operation": operation, "kind": kind})

    async def book(self, reference: str | None = None) -> list[dict[str, Any]]:
        query = "" if reference is None else f"?reference={reference}"
        found: list[dict[str, Any]] = (await self.control("GET", f"/book{query}"))["bookings"]
        return found

    async def hits(self) -> dict[str, int]:
        hits: dict[str, int] = (await self.control("GET", "/hits"))["hits"]
        return hits


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("operators")) as base_url:
        yield base_url


@pytest.fixture
async def operator(url: str) -> AsyncIterator[Operator]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        made = Operator(client, url, f"o{uuid4().hex[:12]}")
        await made.control("PUT", "", {"like": "mobilink"})
        yield made


@asynccontextmanager
async def called_back(operator: Operator, failures: int = 0) -> AsyncIterator[Receiver]:
    async with receiving(failures) as receiver:
        await operator.control("PUT", "/callbacks", {"url": receiver.url, "secret": SECRET})
        yield receiver


def told(receiver: Receiver) -> list[QueryAnswer | None]:
    """What the callbacks say, as our adapter reads them."""
    bodies = [verified_body(SECRET, body, headers) for body, headers in receiver.taken]
    return [read_callback(CONTRACT, body, ()).answer for body in bodies]


# --- the gateway -------------------------------------------------------------------------------------------------


async def test_a_recharge_tops_up_and_gives_a_voucher_per_pack(operator: Operator) -> None:
    reference = str(uuid4())
    answer = await operator.recharge(reference, quantity=2)
    assert (answer["code"], answer["data"]["status"]) == ("0", 1)
    assert len({each["serial"] for each in answer["data"]["vouchers"]}) == 2
    assert await operator.ask("query", reference) == answer
    assert await operator.recharge(reference, quantity=2) == answer
    assert len(await operator.book()) == 1


def test_the_signature_is_an_hmac_over_what_is_sorted_and_not_empty() -> None:
    expected = hmac.new(b"key", b"B=3&a=1&c=2", "sha256").hexdigest()
    assert sign("key", {"c": "2", "a": "1", "B": "3", "empty": "", "sign": "ignored"}) == expected


@pytest.mark.parametrize("form", [True, False])
async def test_what_is_signed_wrongly_or_long_ago_is_turned_away_and_does_nothing(
    operator: Operator, form: bool
) -> None:
    asked = {"out_trade_no": str(uuid4()), "phone": PHONE, "product": PRODUCT, "timestamp": str(int(time.time()))}
    secret = f"{operator.name}-token"
    for parameters, code in (
        (asked, "SIGN_ERROR"),
        (asked | {"sign": "é"}, "SIGN_ERROR"),
        (asked | {"sign": sign(secret, asked), "quantity": "9"}, "SIGN_ERROR"),
        ((old := asked | {"timestamp": "1600000000"}) | {"sign": sign(secret, old)}, "EXPIRED"),
        ((odd := asked | {"timestamp": "now"}) | {"sign": sign(secret, odd)}, "EXPIRED"),
    ):
        answer = await operator.post("recharge", parameters, form=form)
        assert (answer.status_code, answer.json()["code"]) == (200, code)
    assert await operator.book() == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"[[1, 2]]", b"nonsense", b'{"a": {"b": 1}}', b'{"a": 1, "a": 2}', b"3", b'{"sign": "\\ud800"}'],
)
async def test_what_is_no_flat_object_is_a_bad_request(operator: Operator, body: bytes) -> None:
    for media_type in ("application/json", "application/x-www-form-urlencoded"):
        url = f"{operator.url}/{operator.name}/recharge"
        answer = await operator.client.post(url, content=body, headers={"content-type": media_type})
        assert answer.status_code == 400 or answer.json()["code"] == "SIGN_ERROR"
    assert await operator.book() == []


async def test_nobody_there_and_nothing_to_do_are_not_found(operator: Operator) -> None:
    for path in ("nobody/recharge", f"{operator.name}/teleport"):
        assert (await operator.client.post(f"{operator.url}/{path}", json={})).status_code == 404


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"phone": "12345"}, "PHONE_INVALID"),
        ({"phone": "13012345678"}, "PHONE_NOT_SERVED"),
        ({"product": "CU-1GB-7D"}, "PRODUCT_UNKNOWN"),
        ({"product": "CM-3GB-30D"}, "OUT_OF_STOCK"),
        ({"amount_fen": 899}, "WRONG_AMOUNT"),
        ({"quantity": 0}, "PARAMETER_INVALID"),
        ({"quantity": "many"}, "PARAMETER_INVALID"),
    ],
)
async def test_what_cannot_be_topped_up_is_refused_and_leaves_nothing_in_the_book(
    operator: Operator, parameters: dict[str, Any], code: str
) -> None:
    await operator.control("PUT", "", {"out_of_stock": ["CM-3GB-30D"]})
    answer = await operator.recharge(**parameters)
    assert (answer["code"], answer["data"]) == (code, None)
    assert await operator.book() == []
    assert (await operator.recharge(amount_fen=900))["code"] == "0"


async def test_success_cannot_be_taken_back_and_processing_can(operator: Operator) -> None:
    done, pending = str(uuid4()), str(uuid4())
    await operator.recharge(done)
    await operator.force("confirm_late")
    assert (await operator.recharge(pending))["data"]["status"] == 0
    refused = await operator.ask("cancel", done)
    assert (refused["code"], refused["data"]["status"]) == ("ALREADY_DONE", 1)
    for _ in range(2):
        assert (await operator.ask("cancel", pending))["data"]["status"] == 3
    assert (await operator.ask("cancel", str(uuid4())))["code"] == "ORDER_NOT_FOUND"
    assert [each["status"] for each in await operator.book()] == ["CONFIRMED", "CANCELLED"]


async def test_the_house_that_does_not_deduplicate_books_again(url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        unitel, reference = Operator(client, url, "unitel"), str(uuid4())
        for _ in range(2):
            await unitel.recharge(reference, phone="13012345678", product="CU-1GB-7D")
        entries = [BookEntry.of(document) for document in await unitel.book(reference)]
    assert doubles_of(entries, 0) == 1


# --- the book ----------------------------------------------------------------------------------------------------


async def test_the_book_is_read_as_that_of_any_supplier(operator: Operator) -> None:
    reference = str(uuid4())
    await operator.recharge(reference, quantity=3, order_no="0000000000000000042")
    (entry,) = [BookEntry.of(document) for document in await operator.book()]
    assert (entry.supplier_id, entry.reference, entry.units) == (operator.name, reference, 3)
    assert entry.order_no == "0000000000000000042"
    assert entry.is_confirmed
    assert (await operator.book())[0]["unit_references"] == [f"{reference}#{unit}" for unit in range(3)]


async def test_an_answer_never_repeats_the_phone(operator: Operator) -> None:
    reference = str(uuid4())
    answers = [await operator.recharge(reference), await operator.ask("query", reference)]
    assert PHONE not in json.dumps(answers)


# --- callbacks ---------------------------------------------------------------------------------------------------


async def test_a_late_success_is_called_back_signed_and_again_until_it_is_taken(operator: Operator) -> None:
    await operator.control("PUT", "/faults", {"params": {"confirm_late_ms": 50}})
    async with called_back(operator, failures=1) as receiver:
        await operator.force("confirm_late")
        reference = str(uuid4())
        assert (await operator.recharge(reference))["data"]["status"] == 0
        await receiver.wait_for(1)
        (answer,) = told(receiver)
        assert isinstance(answer, Confirmed)
        serials = [ticket.code for ticket in answer.tickets]
        assert serials == [each["serial"] for each in (await operator.ask("query", reference))["data"]["vouchers"]]


async def test_a_late_failure_is_called_back_as_such(operator: Operator) -> None:
    await operator.control("PUT", "/faults", {"params": {"confirm_late_ms": 50}})
    async with called_back(operator) as receiver:
        await operator.force("confirm_late")
        await operator.force("reject")
        await operator.recharge()
        await receiver.wait_for(1)
        assert [type(each) for each in told(receiver)] == [Rejected]


async def test_what_was_cancelled_meanwhile_is_not_called_back(operator: Operator) -> None:
    await operator.control("PUT", "/faults", {"params": {"confirm_late_ms": 100}})
    async with called_back(operator) as receiver:
        await operator.force("confirm_late")
        reference = str(uuid4())
        await operator.recharge(reference)
        await operator.ask("cancel", reference)
        await asyncio.sleep(0.2)
        assert receiver.taken == []
        body = (await operator.ask("query", reference))["data"]
        assert read_callback(CONTRACT, body, ()).answer == Canceled()


@pytest.mark.parametrize(("kind", "times"), [("callback_twice", 2), ("callback_early", 1)])
async def test_a_success_may_be_called_back_twice_or_before_the_answer(
    operator: Operator, kind: str, times: int
) -> None:
    async with called_back(operator) as receiver:
        await operator.force(kind)
        await operator.recharge()
        if kind == "callback_early":
            assert len(receiver.taken) == 1
        await receiver.wait_for(times)
        assert [type(each) for each in told(receiver)] == [Confirmed] * times
        assert await operator.hits() == {kind: 1}


@pytest.mark.parametrize(
    ("way", "answered", "called"), [("confirmed_then_rejected", 1, Rejected), ("rejected_then_confirmed", 2, Confirmed)]
)
async def test_an_operator_that_contradicts_itself_has_topped_up_all_the_same(
    operator: Operator, way: str, answered: int, called: type
) -> None:
    await operator.control("PUT", "/faults", {"params": {"contradict_ms": 30, "contradict_way": way}})
    async with called_back(operator) as receiver:
        await operator.force("contradict")
        assert (await operator.recharge())["data"]["status"] == answered
        await receiver.wait_for(1)
        assert [type(each) for each in told(receiver)] == [called]
        assert [each["status"] for each in await operator.book()] == ["CONFIRMED"]


# --- faults ------------------------------------------------------------------------------------------------------


async def test_the_same_seed_meets_the_same_faults(operator: Operator) -> None:
    references = [str(uuid4()) for _ in range(40)]
    runs = []
    for seed in (7, 7, 8):
        await operator.control("POST", "/reset")
        await operator.control("PUT", "/faults", {"seed": seed, "rates": {"reject": 0.5}})
        runs.append([(await operator.recharge(each))["data"]["status"] for each in references])
    assert runs[0] == runs[1] != runs[2]
    assert {1, 2} == set(runs[0])


async def test_a_fault_that_cannot_strike_is_refused(operator: Operator) -> None:
    for operation, kind in (("query", "reject"), ("cancel", "forget"), ("recharge", "earthquake")):
        body = {"operation": operation, "kind": kind}
        answer = await operator.client.post(f"{operator.url}/control/{operator.name}/next", json=body)
        assert answer.status_code == 422, body
        assert kind not in POSSIBLE[operation]


async def test_a_house_that_does_not_exist_cannot_be_resembled(operator: Operator) -> None:
    answer = await operator.client.put(f"{operator.url}/control/other", json={"like": "nobody"})
    assert answer.status_code == 422


async def test_a_killed_process_forgets_nothing(tmp_path: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with httpx2.AsyncClient(trust_env=False) as client:
        operator = Operator(client, url, "killed")
        with a_process("simulators.topup", tmp_path, unused_tcp_port) as process:
            await up(client, url)
            await operator.control("PUT", "", {"like": "mobilink", "out_of_stock": ["CM-3GB-30D"]})
            await operator.control("PUT", "/faults", {"params": {"confirm_late_ms": 400}})
            await operator.force("error_before", "query")
            async with called_back(operator) as receiver:
                done, pending = str(uuid4()), str(uuid4())
                topped_up = await operator.recharge(done)
                await operator.force("confirm_late")
                await operator.recharge(pending)
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                with a_process("simulators.topup", tmp_path, unused_tcp_port):
                    await up(client, url)
                    await receiver.wait_for(1)
                    assert json.loads(receiver.taken[0][0])["out_trade_no"] == pending
                    assert (await operator.ask("query", done))["code"] == "INTERNAL_SERVER_ERROR"
                    assert await operator.ask("query", done) == topped_up
                    assert (await operator.recharge(product="CM-3GB-30D"))["code"] == "OUT_OF_STOCK"
                    assert [each["status"] for each in await operator.book()] == ["CONFIRMED", "CONFIRMED"]
