"""The workflow service forgets payments and refunds, and no money is lost: callbacks, the API's upkeep and reconcile
each start from the rows what is not finished."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from api.deps import Parts
from api.payment_handover import start_what_stands_still
from reconcile import reconcile
from settings import Settings
from tests.payers import Channel
from tests.platform import Platform
from tests.traders import Caller
from workflows.payment_ids import refund_workflow_id


def later(platform: Platform, **by: float) -> Parts:
    """The API's parts, at that time."""
    return replace(platform.parts, clock=lambda: datetime.now(UTC) + timedelta(**by))


async def a_lost_payment(platform: Platform) -> tuple[Caller, int, str, Channel]:
    """An order whose payment waits for its payer, and has no process any more."""
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    order_no = await platform.bought(shopper, await platform.a_ticket())
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await platform.payment_host(pay_id).terminate("lost")
    return shopper, order_no, pay_id, channel


async def test_a_callback_starts_the_process_that_was_lost(platform: Platform) -> None:
    _, order_no, pay_id, channel = await a_lost_payment(platform)
    await channel.paid(pay_id)
    await platform.until_status(order_no, "issuing", "issued")
    await platform.payment_settled(pay_id)
    assert (await platform.settled(order_no))["payment_status"] == "paid"


async def test_upkeep_starts_it_where_nobody_tells(platform: Platform) -> None:
    _, order_no, pay_id, channel = await a_lost_payment(platform)
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id)
    assert await start_what_stands_still(later(platform, seconds=30)) == 0, "too early to be taken for lost"
    assert await start_what_stands_still(later(platform, minutes=5)) >= 1
    await platform.payment_settled(pay_id)
    assert (await platform.settled(order_no))["payment_status"] == "paid"


async def test_upkeep_leaves_alone_what_has_a_process(platform: Platform) -> None:
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    order_no = await platform.bought(shopper, await platform.a_ticket())
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    before = (await platform.payment_host(pay_id).describe()).run_id
    await start_what_stands_still(later(platform, minutes=5))
    assert (await platform.payment_host(pay_id).describe()).run_id == before


async def test_a_cancellation_starts_it_too(platform: Platform) -> None:
    shopper, order_no, pay_id, channel = await a_lost_payment(platform)
    answer = await platform.api.post(f"/v1/payments/{pay_id}/cancel", json={}, headers=shopper.once())
    assert (answer.status_code, answer.json()["status"]) == (200, "closed"), answer.text
    assert (await platform.begin_payment(shopper, order_no, channel=channel)).status_code == 201


async def test_reconcile_finds_payments_and_refunds_without_a_process(platform: Platform) -> None:
    _, other_no, lost, other = await a_lost_payment(platform)
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    order_no = await platform.bought(shopper, await platform.a_ticket())
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.behave(refund_late_ms=3_000)
    await channel.next("refund", "refund_pending")
    await channel.paid(pay_id, times=2)

    async def asked() -> list[dict[str, str]]:
        return await platform.rows("SELECT id FROM refunds WHERE pay_id = %s AND channel_reference <> ''", pay_id)

    (refund,) = await platform.until(asked)
    await platform.env.client.get_workflow_handle(refund_workflow_id(refund["id"])).terminate("lost")
    told: list[str] = []
    settings = Settings(
        api_database_url=platform.postgres.url("tessera_api", platform.name),
        temporal_address=platform.env.client.service_client.config.target_host,
    )
    done = await reconcile(settings, told.append)
    assert (done.payments, done.refunds) == (1, 1), told
    assert {lost, refund["id"]} <= {line.split(":")[0] for line in told}
    await other.paid(lost)
    await platform.payment_settled(lost)
    await platform.payment_settled(pay_id)
    assert (await platform.settled(other_no))["status"] == "issued"
    assert await channel.held_minor(pay_id) == 20_000, "what was paid twice is back, once"
