"""The payment simulator itself: a channel takes money once, gives it back once, and its book says what it did."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx2
import pytest
from standardwebhooks import Webhook

from simulators.payment.serving import serving
from tests.simulators.outside import SECRET, Controlled, Receiver, a_process, receiving, up

AMOUNT = 12_900


@dataclass(frozen=True)
class Channel(Controlled):
    """One channel as a merchant and a payer see it: the protocol on one side, control on the other."""

    notify_url: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        return await self.client.request(method, f"{self.url}/{self.name}{path}", json=body, headers=self.headers)

    async def create(self, reference: str | None = None, **changes: Any) -> dict[str, Any]:
        asked = {
            "reference": reference or a_reference(), "amount_minor": AMOUNT, "currency": "CNY",
            "subject": "Two tickets", "notify_url": self.notify_url,
        } | changes  # fmt: skip
        answer = await self.ask("POST", "/payments", asked)
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def pay(self, reference: str, **act: Any) -> dict[str, Any]:
        paid: dict[str, Any] = await self.control("POST", f"/pay/{reference}", act)
        return paid

    async def paid(self, **changes: Any) -> dict[str, Any]:
        """A payment that was paid."""
        return await self.pay((await self.create(**changes))["reference"])

    async def read(self, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ask("GET", f"/payments/{reference}")).json()
        return found

    async def give_back(self, payment: dict[str, Any], amount_minor: int, **changes: Any) -> httpx2.Response:
        asked = {
            "refund_no": f"rfd-{uuid4().hex}", "reference": payment["reference"],
            "charge_id": payment["charges"][0]["id"], "amount_minor": amount_minor, "currency": "CNY",
        } | changes  # fmt: skip
        return await self.ask("POST", "/refunds", asked)

    async def truth(self) -> dict[str, Any]:
        truth: dict[str, Any] = await self.control("GET", "/truth")
        return truth

    async def settled(self, reference: str, status: str) -> dict[str, Any]:
        """The payment once it has that status."""
        async with asyncio.timeout(5):
            while (payment := await self.read(reference))["status"] != status:
                await asyncio.sleep(0.02)
        return payment


def a_reference() -> str:
    return f"pay-{uuid4().hex}"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("channels")) as base_url:
        yield base_url


@pytest.fixture
async def channel(url: str) -> AsyncIterator[Channel]:
    async with httpx2.AsyncClient(trust_env=False) as client:
        name = f"c{uuid4().hex[:12]}"
        token = (await client.put(f"{url}/control/{name}", json={"callback_secret": SECRET})).json()["token"]
        yield Channel(client, url, name, headers={"authorization": f"Bearer {token}"})


@asynccontextmanager
async def told(channel: Channel, failures: int = 0) -> AsyncIterator[tuple[Channel, Receiver]]:
    """The channel with a merchant that asks to be told."""
    async with receiving(failures) as receiver:
        yield Channel(channel.client, channel.url, channel.name, receiver.url, channel.headers), receiver


def bodies(receiver: Receiver) -> list[dict[str, Any]]:
    """What was called back, in order; every signature verifies."""
    for body, headers in receiver.taken:
        Webhook(SECRET).verify(body, headers)
    return [json.loads(body) for body, _ in receiver.taken]


def ids(receiver: Receiver) -> list[str]:
    return [headers["webhook-id"] for _, headers in receiver.taken]


# --- the protocol ------------------------------------------------------------------------------------------------


async def test_a_payment_waits_is_paid_once_and_is_told(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        created = await merchant.create()
        assert (created["status"], created["charges"]) == ("waiting", [])
        assert await merchant.create(created["reference"]) == created
        await merchant.pay(created["reference"])
        paid = await merchant.read(created["reference"])
        assert paid["status"] == "paid"
        assert [charge["amount_minor"] for charge in paid["charges"]] == [AMOUNT]
        await receiver.wait_for(1)
        assert [(each["type"], each["data"]) for each in bodies(receiver)] == [("payment.paid", paid)]


async def test_a_reference_of_another_amount_is_a_conflict(channel: Channel) -> None:
    created = await channel.create()
    asked = {"reference": created["reference"], "amount_minor": 1, "currency": "CNY", "subject": ""}
    answer = await channel.ask("POST", "/payments", asked)
    assert (answer.status_code, answer.json()["error"]) == (409, "reference_conflict")
    assert (await channel.read(created["reference"]))["amount_minor"] == AMOUNT


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": 0}, {"amount_minor": 1.5}, {"currency": "yuan"}, {"reference": "../x"}, {"reference": ""},
        {"notify_url": "file:///etc"}, {"expires_at": "soon"}, {"expires_at": "2026-01-01T00:00:00"},
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_refused_and_makes_nothing(channel: Channel, changes: dict[str, Any]) -> None:
    asked = {"reference": a_reference(), "amount_minor": 1, "currency": "CNY", "subject": ""} | changes
    answer = await channel.ask("POST", "/payments", asked)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert await channel.book() == []


async def test_without_the_token_nothing_is_told_or_done(channel: Channel) -> None:
    stranger = Channel(channel.client, channel.url, channel.name)
    reference = (await channel.create())["reference"]
    for method, path in (
        ("POST", "/payments"), ("GET", f"/payments/{reference}"), ("POST", f"/payments/{reference}/close"),
        ("POST", "/refunds"), ("GET", "/refunds/x"), ("GET", "/bills/2026-01-01"),
    ):  # fmt: skip
        assert (await stranger.ask(method, path)).status_code == 401
    assert (await channel.read(reference))["status"] == "waiting"
    assert (await channel.client.get(f"{channel.url}/nobody/payments/{reference}")).status_code == 404


async def test_what_is_closed_cannot_be_paid_and_what_is_paid_cannot_be_closed(channel: Channel) -> None:
    closed = (await channel.create())["reference"]
    for _ in range(2):
        assert (await channel.ask("POST", f"/payments/{closed}/close")).json()["status"] == "closed"
    refused = await channel.client.post(f"{channel.url}/control/{channel.name}/pay/{closed}", json={})
    assert (refused.status_code, (await channel.read(closed))["charges"]) == (422, [])

    paid = (await channel.paid())["reference"]
    assert (await channel.ask("POST", f"/payments/{paid}/close")).json()["status"] == "paid"
    assert (await channel.ask("POST", "/payments/pay-none/close")).status_code == 404


async def test_nobody_can_pay_after_the_time_is_over(channel: Channel) -> None:
    until = datetime.now(UTC) + timedelta(milliseconds=300)
    reference = (await channel.create(expires_at=until.isoformat()))["reference"]
    await channel.settled(reference, "closed")
    refused = await channel.client.post(f"{channel.url}/control/{channel.name}/pay/{reference}", json={})
    assert (refused.status_code, (await channel.truth())["totals"]) == (422, {})


async def test_a_failed_attempt_is_told_and_the_next_one_may_succeed(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        reference = (await merchant.create())["reference"]
        assert (await merchant.pay(reference, outcome="failed"))["status"] == "failed"
        await receiver.wait_for(1)
        assert (await merchant.pay(reference))["status"] == "paid"
        await receiver.wait_for(2)
        assert [each["type"] for each in bodies(receiver)] == ["payment.failed", "payment.paid"]


async def test_refunds_are_given_once_per_number_and_never_more_than_was_charged(channel: Channel) -> None:
    payment = await channel.paid()
    first = await channel.give_back(payment, 10_000, refund_no="rfd-1")
    assert (first.status_code, first.json()["status"]) == (200, "done")
    assert (await channel.give_back(payment, 10_000, refund_no="rfd-1")).json() == first.json()
    assert (await channel.ask("GET", "/refunds/rfd-1")).json() == first.json()
    for amount_minor, changes, code in (
        (2_901, {}, "exceeds_charge"), (9_999, {"refund_no": "rfd-1"}, "refund_conflict"),
        (1, {"charge_id": "chg_none"}, "unknown_charge"), (1, {"currency": "EUR"}, "currency_differs"),
        (1, {"reference": "pay-none"}, "unknown_reference"),
    ):  # fmt: skip
        refused = await channel.give_back(payment, amount_minor, **changes)
        assert (refused.status_code // 100, refused.json()["error"]) == (4, code)
    assert (await channel.give_back(payment, 2_900)).json()["status"] == "done"
    assert (await channel.truth())["totals"]["CNY"] == {
        "charges": 1, "charged_minor": AMOUNT, "refunds": 2, "refunded_minor": AMOUNT
    }  # fmt: skip


async def test_the_bill_of_a_day_has_a_line_per_charge_and_refund_and_says_how_many(channel: Channel) -> None:
    payment = await channel.paid()
    await channel.give_back(payment, 900, refund_no="rfd-of-bill")
    await channel.create()
    await channel.control("PUT", "", {"time_zone": "Europe/Lisbon"})
    today = datetime.now(ZoneInfo("Europe/Lisbon")).date()
    lines = [json.loads(line) for line in (await channel.ask("GET", f"/bills/{today}")).text.splitlines()]
    assert [(line["kind"], line["reference"], line["amount_minor"], line["fee_minor"]) for line in lines[:-1]] == [
        ("payment", payment["reference"], AMOUNT, 77),
        ("refund", "rfd-of-bill", -900, 0),
    ]
    assert lines[-1] == {"lines": 2}
    before = await channel.ask("GET", f"/bills/{today - timedelta(days=1)}")
    assert before.json() == {"lines": 0}
    assert (await channel.ask("GET", "/bills/yesterday")).status_code == 400


# --- the payer's page --------------------------------------------------------------------------------------------


async def test_the_payer_pays_on_the_page_and_is_sent_back(channel: Channel) -> None:
    created = await channel.create(subject="<b>Tickets</b>", return_url="https://shop.test/done")
    page = await channel.client.get(created["pay_url"])
    assert "&lt;b&gt;Tickets&lt;/b&gt;" in page.text
    assert "<b>" not in page.text
    sent_back = await channel.client.post(created["pay_url"], data={"outcome": "pay"})
    assert (sent_back.status_code, sent_back.headers["location"]) == (303, "https://shop.test/done")
    assert (await channel.read(created["reference"]))["status"] == "paid"
    again = await channel.client.post(created["pay_url"], data={"outcome": "pay"})
    assert (again.status_code, "already_paid" in again.text) == (409, True)
    assert (await channel.truth())["totals"]["CNY"]["charges"] == 1


async def test_a_payer_who_gives_up_has_paid_nothing(channel: Channel) -> None:
    created = await channel.create()
    await channel.client.post(created["pay_url"], data={"outcome": "fail"})
    given_up = await channel.read(created["reference"])
    assert (given_up["status"], given_up["failure"]) == ("failed", "canceled_by_payer")
    assert (await channel.client.get(f"{channel.url}/{channel.name}/cashier/pay-none")).status_code == 404


# --- faults ------------------------------------------------------------------------------------------------------


async def test_a_lost_callback_is_never_sent_although_the_money_was_taken(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.force("pay", "callback_lost")
        lost = await merchant.paid()
        seen = await merchant.paid()
        await receiver.wait_for(1)
        assert [each["data"]["reference"] for each in bodies(receiver)] == [seen["reference"]]
        assert (await merchant.read(lost["reference"]))["status"] == "paid"
        assert await merchant.hits() == {"callback_lost": 1}


async def test_what_nobody_wants_to_be_told_loses_no_callback(channel: Channel) -> None:
    await channel.force("pay", "callback_lost")
    await channel.paid()
    assert await channel.hits() == {}


async def test_a_callback_comes_late_or_twice_with_the_same_id(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.faults(params={"callback_late_ms": 300})
        await merchant.force("pay", "callback_late")
        await merchant.force("pay", "callback_twice")
        await merchant.paid()
        await asyncio.sleep(0.1)
        assert receiver.taken == []
        await receiver.wait_for(2)
        assert len(set(ids(receiver))) == 1
        assert await merchant.hits() == {"callback_late": 1, "callback_twice": 1}


async def test_a_callback_that_is_refused_is_repeated_with_its_id(channel: Channel) -> None:
    async with told(channel, failures=2) as (merchant, receiver):
        await merchant.paid()
        await receiver.wait_for(1)
        assert [each["type"] for each in bodies(receiver)] == ["payment.paid"]


@pytest.mark.parametrize(("kind", "is_newer"), [("callback_reordered", False), ("callback_contradict", True)])
async def test_a_failure_is_told_after_the_success_while_the_book_stays_paid(
    channel: Channel, kind: str, is_newer: bool
) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.faults(params={"contradict_ms": 100, "reorder_ms": 100})
        await merchant.force("pay", kind)
        reference = (await merchant.paid())["reference"]
        await receiver.wait_for(2)
        success, failure = bodies(receiver)
        assert (success["type"], failure["type"]) == ("payment.paid", "payment.failed")
        assert (failure["data"]["status"], failure["data"]["charges"]) == ("failed", [])
        assert (failure["at"] > success["at"]) == is_newer
        assert len(set(ids(receiver))) == 2
        assert (await merchant.read(reference))["status"] == "paid"
        assert await merchant.hits() == {kind: 1}


@pytest.mark.parametrize(("asked_minor", "taken_minor"), [(AMOUNT, AMOUNT - 1), (1, 2)])
async def test_another_amount_than_asked_is_taken_and_told(
    channel: Channel, asked_minor: int, taken_minor: int
) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.force("pay", "wrong_amount")
        paid = await merchant.paid(amount_minor=asked_minor)
        await receiver.wait_for(1)
        assert (paid["amount_minor"], paid["charges"][0]["amount_minor"]) == (asked_minor, taken_minor)
        assert bodies(receiver)[0]["data"]["charges"] == paid["charges"]


async def test_a_payer_who_is_charged_twice_has_two_charges_each_of_which_is_told(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.force("pay", "double_charge")
        paid = await merchant.paid()
        assert len({charge["id"] for charge in paid["charges"]}) == 2
        await receiver.wait_for(2)
        assert len(set(ids(receiver))) == 2
        assert (await merchant.truth())["totals"]["CNY"]["charged_minor"] == 2 * AMOUNT


async def test_a_payment_that_no_merchant_made_is_charged_and_told(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.force("pay", "unknown_reference")
        paid = await merchant.paid()
        await receiver.wait_for(2)
        (stray,) = {each["data"]["reference"] for each in bodies(receiver)} - {paid["reference"]}
        assert (await merchant.read(stray))["status"] == "paid"
        assert (await merchant.truth())["totals"]["CNY"]["charges"] == 2


async def test_money_that_is_under_way_arrives_although_the_payment_was_closed_meanwhile(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.faults(params={"pay_late_ms": 400})
        await merchant.force("pay", "pay_late")
        reference = (await merchant.create())["reference"]
        assert (await merchant.pay(reference))["status"] == "waiting"
        assert (await merchant.ask("POST", f"/payments/{reference}/close")).json()["status"] == "closed"
        await merchant.settled(reference, "paid")
        await receiver.wait_for(1)
        assert await merchant.hits() == {"pay_late": 1}


async def test_a_refund_may_be_done_later_and_is_told_then(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.faults(params={"refund_late_ms": 300})
        await merchant.force("refund", "refund_pending")
        payment = await merchant.paid()
        assert (await merchant.give_back(payment, AMOUNT, refund_no="rfd-late")).json()["status"] == "pending"
        assert (await merchant.give_back(payment, 1)).json()["error"] == "exceeds_charge"
        assert (await merchant.truth())["totals"]["CNY"]["refunds"] == 0
        await receiver.wait_for(2)
        done = bodies(receiver)[1]
        assert (done["type"], done["data"]["refund_no"]) == ("refund.done", "rfd-late")
        assert (await merchant.ask("GET", "/refunds/rfd-late")).json() == done["data"]
        assert (await merchant.truth())["totals"]["CNY"]["refunds"] == 1


async def test_a_refused_refund_stays_refused_and_another_number_may_be_given(channel: Channel) -> None:
    async with told(channel) as (merchant, receiver):
        await merchant.force("refund", "refund_refused")
        await merchant.force("refund", "refund_callback_twice")
        payment = await merchant.paid()
        for _ in range(2):
            refused = (await merchant.give_back(payment, AMOUNT, refund_no="rfd-no")).json()
            assert (refused["status"], refused["refusal"]) == ("refused", "account_closed")
        await receiver.wait_for(3)
        assert [each["type"] for each in bodies(receiver)[1:]] == ["refund.refused"] * 2
        assert (await merchant.give_back(payment, AMOUNT)).json()["status"] == "done"
        assert (await merchant.truth())["totals"]["CNY"]["refunded_minor"] == AMOUNT


async def test_what_is_forgotten_is_found_again_and_can_be_given_back_meanwhile(channel: Channel) -> None:
    await channel.faults(params={"forget_ms": 300})
    payment = await channel.paid()
    await channel.force("query", "forget")
    assert (await channel.read(payment["reference"]))["error"] == "unknown_reference"
    await channel.give_back(payment, 5, refund_no="rfd-forgotten")
    await channel.force("query_refund", "forget")
    assert (await channel.ask("GET", "/refunds/rfd-forgotten")).status_code == 404
    await asyncio.sleep(0.4)
    assert (await channel.read(payment["reference"]))["status"] == "paid"
    assert (await channel.ask("GET", "/refunds/rfd-forgotten")).json()["amount_minor"] == 5


async def test_an_error_after_the_work_leaves_it_done_and_one_before_it_undone(channel: Channel) -> None:
    asked = {"reference": a_reference(), "amount_minor": 1, "currency": "CNY", "subject": ""}
    await channel.force("create", "error_before")
    assert (await channel.ask("POST", "/payments", asked)).status_code == 500
    assert await channel.book() == []
    await channel.force("create", "error_after")
    assert (await channel.ask("POST", "/payments", asked)).status_code == 500
    assert [each["reference"] for each in await channel.book()] == [asked["reference"]]
    await channel.force("pay", "drop_after")
    with pytest.raises(httpx2.HTTPError):
        await channel.client.post(f"{channel.url}/control/{channel.name}/pay/{asked['reference']}", json={})
    assert (await channel.truth())["totals"]["CNY"]["charges"] == 1


async def test_a_fault_is_refused_where_it_cannot_strike(channel: Channel) -> None:
    for body in ({"operation": "query", "kind": "double_charge"}, {"operation": "sing", "kind": "slow"}):
        answer = await channel.client.post(f"{channel.url}/control/{channel.name}/next", json=body)
        assert answer.status_code == 422
    for faults in ({"rates": {"overbook": 0.5}}, {"params": {"pay_late_ms": -1}}, {"deduplicates": False}):
        answer = await channel.client.put(f"{channel.url}/control/{channel.name}/faults", json=faults)
        assert answer.status_code == 422


async def test_the_same_seed_and_the_same_calls_meet_the_same_faults(channel: Channel, url: str) -> None:
    references = [a_reference() for _ in range(20)]
    seen: list[dict[str, int]] = []
    for _ in range(2):
        await channel.control("POST", "/reset")
        await channel.faults(seed=7, rates={"wrong_amount": 0.3, "double_charge": 0.3})
        for reference in references:
            await channel.create(reference)
            await channel.pay(reference)
        seen.append(await channel.hits())
    assert seen[0] == seen[1]
    assert all(0 < seen[0][kind] < 20 for kind in ("wrong_amount", "double_charge"))


# --- control -----------------------------------------------------------------------------------------------------


async def test_the_truth_comes_in_pages_and_a_reset_empties_the_book(channel: Channel) -> None:
    references = [(await channel.paid())["reference"] for _ in range(3)]
    first = await channel.control("GET", "/truth?limit=2")
    rest = await channel.control("GET", f"/truth?limit=2&cursor={first['next_cursor']}")
    assert [each["reference"] for each in first["payments"] + rest["payments"]] == references
    assert rest["next_cursor"] is None
    assert first["totals"] == rest["totals"]
    await channel.control("POST", "/reset")
    assert await channel.truth() == {"totals": {}, "payments": [], "next_cursor": None}


async def test_only_what_the_merchant_acknowledged_is_in_the_log_of_callbacks(channel: Channel) -> None:
    async with told(channel, failures=1) as (merchant, receiver):
        reference = (await merchant.paid())["reference"]
        await receiver.wait_for(1)
        async with asyncio.timeout(5):
            while not (log := (await merchant.control("GET", "/acknowledged"))["callbacks"]):
                await asyncio.sleep(0.02)
        assert [(each["event_id"], each["reference"], each["says"]) for each in log] == [
            (ids(receiver)[0], reference, "paid")
        ]
    await channel.paid(notify_url="http://127.0.0.1:9/nobody")
    assert (await channel.control("GET", "/acknowledged"))["callbacks"] == log


async def test_a_payer_of_the_control_api_pays_otherwise_than_a_page_would_let_him(channel: Channel) -> None:
    reference = (await channel.create())["reference"]
    assert len((await channel.pay(reference, times=2, amount_minor=7))["charges"]) == 2
    closed = (await channel.create())["reference"]
    await channel.ask("POST", f"/payments/{closed}/close")
    assert (await channel.pay(closed, anyway=True))["status"] == "paid"
    truth = await channel.truth()
    assert truth["totals"]["CNY"]["charged_minor"] == 14 + AMOUNT


async def test_settings_show_no_secret(channel: Channel) -> None:
    await channel.control("PUT", "/callbacks", {"url": "http://127.0.0.1:1/", "secret": SECRET})
    assert SECRET not in json.dumps(await channel.control("GET", ""))
    other = f"{channel.url}/control/{channel.name}"
    assert (await channel.client.put(other, json={"callback_secret": "whsec_!"})).status_code == 422
    assert (await channel.client.put(other, json={"time_zone": "Mars/Olympus"})).status_code == 422
    assert (await channel.client.put(other, json={"like": "nobody"})).status_code == 422


async def test_a_kill_loses_nothing_that_was_answered_and_what_is_due_comes_after_it(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    headers = {"authorization": "Bearer paybridge-token"}
    async with httpx2.AsyncClient(trust_env=False) as client:
        paybridge = Channel(client, f"http://127.0.0.1:{unused_tcp_port}", "paybridge", headers=headers)
        with a_process("simulators.payment", tmp_path, unused_tcp_port) as process:
            await up(client, paybridge.url)
            await paybridge.faults(params={"pay_late_ms": 300, "refund_late_ms": 300})
            payment = await paybridge.paid()
            await paybridge.force("refund", "refund_pending")
            pending = (await paybridge.give_back(payment, 100, refund_no="rfd-killed")).json()
            await paybridge.force("pay", "pay_late")
            late = (await paybridge.paid())["reference"]
            os.kill(process.pid, signal.SIGKILL)
        assert pending["status"] == "pending"
        with a_process("simulators.payment", tmp_path, unused_tcp_port):
            await up(client, paybridge.url)
            await paybridge.settled(late, "paid")
            assert (await paybridge.read(payment["reference"]))["charges"] == payment["charges"]
            async with asyncio.timeout(5):
                while (await paybridge.truth())["totals"]["CNY"]["refunds"] == 0:
                    await asyncio.sleep(0.02)
