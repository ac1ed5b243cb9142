"""The payment simulator itself: a channel takes money once, gives it back once, and its book is what really happened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from standardwebhooks import Webhook

from simulators.payment.serving import serving
from tests.simulators.outside import SECRET, Controlled, Receiver, receiving

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
            "reference": reference or a_reference(), "amount_minor": AMOUNT, "currency": "CNY", "subject": "Two tickets",
            "notify_url": self.notify_url,
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
    today = datetime.now(UTC).date()
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
    assert (await channel.read(created["reference"]))["status"] == "failed"
    assert (await channel.client.get(f"{channel.url}/{channel.name}/cashier/pay-none")).status_code == 404
