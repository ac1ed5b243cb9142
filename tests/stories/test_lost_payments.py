"""The workflow service forgets payments and refunds, and no money is lost: callbacks, the API's upkeep and reconcile
each start from the rows what is not finished."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from api.deps import Parts
from api.payment_handover import start_what_stands_still
from reconcile import reconcile
from settings import Settings
from tests.money import stands
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
    before = await run_of(platform, pay_id)
    await start_what_stands_still(later(platform, minutes=5))
    assert await run_of(platform, pay_id) == before


LONG_AFTER = {"hours": 3.0}
"""Every payer has had their time by then, and as much again."""


async def a_settled_payment(platform: Platform) -> tuple[int, str, Channel]:
    """An order that is issued, and the payment of it, which nobody has to ask about any more."""
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    order_no = await platform.bought(shopper, await platform.a_ticket())
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    await platform.payment_settled(pay_id)
    return order_no, pay_id, channel


async def run_of(platform: Platform, pay_id: str) -> str | None:
    """Which run of the payment's process is the newest."""
    return (await platform.payment_host(pay_id).describe()).run_id


async def test_a_second_payment_whose_callback_is_lost_is_seen_at_the_last_look(platform: Platform) -> None:
    """The pay order is decided, so nobody asks any more; and no callback tells."""
    order_no, pay_id, channel = await a_settled_payment(platform)
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id, anyway=True)
    assert await channel.held_minor(pay_id) == 40_000, "paid twice, and nobody here knows"
    ended = await run_of(platform, pay_id)
    await start_what_stands_still(later(platform, minutes=5))
    assert await run_of(platform, pay_id) == ended, "its payer may still be at the channel's page"
    await channel.next("query", "forget")
    await start_what_stands_still(later(platform, **LONG_AFTER))
    await platform.until(lambda: _holds(channel, pay_id, 20_000))
    await platform.payment_settled(pay_id)
    assert stands(await platform.settled(order_no)) == ("issued", "paid", "none")


async def test_a_late_payment_whose_callback_is_lost_buys_the_same_again(platform: Platform) -> None:
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    order_no = await platform.bought(shopper, await platform.a_ticket(late_payment="revive"))
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    assert (await platform.cancel(shopper, order_no)).is_success
    await platform.payment_settled(pay_id)
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id, anyway=True)
    await start_what_stands_still(later(platform, **LONG_AFTER))
    await platform.until(lambda: _looked(platform, pay_id))
    (part,) = (await platform.payment(pay_id))["parts"]
    assert stands(await platform.settled(int(part["successor_no"]))) == ("issued", "paid", "none")


async def test_a_channel_that_never_answered_and_forgets_is_not_believed_at_the_last_look(platform: Platform) -> None:
    """It had begun there, with a page that nobody was shown: whoever finds it can pay."""
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    order_no = await platform.bought(shopper, await platform.a_ticket())
    await channel.next("create", "error_after", 100)
    begun = (await platform.begin_payment(shopper, order_no, channel=channel)).json()
    assert begun["status"] == "created", begun
    assert (await platform.cancel(shopper, order_no)).is_success
    await platform.payment_settled(begun["id"])
    await channel.next("pay", "callback_lost")
    await channel.paid(begun["id"], anyway=True)
    await channel.next("query", "forget")
    await start_what_stands_still(later(platform, **LONG_AFTER))
    await platform.until(lambda: _holds(channel, begun["id"], 0))
    await platform.until(lambda: _looked(platform, begun["id"]))
    assert (await platform.payment_settled(begun["id"]))["status"] == "refunded"


async def test_a_channel_is_asked_for_the_last_time_only_once(platform: Platform) -> None:
    _, pay_id, _ = await a_settled_payment(platform)
    await start_what_stands_still(later(platform, **LONG_AFTER))
    await platform.until(lambda: _looked(platform, pay_id))
    ended = await run_of(platform, pay_id)
    await start_what_stands_still(later(platform, **LONG_AFTER))
    assert await run_of(platform, pay_id) == ended


async def _holds(channel: Channel, pay_id: str, minor: int) -> bool:
    return await channel.held_minor(pay_id) == minor


async def _looked(platform: Platform, pay_id: str) -> bool:
    rows = await platform.rows("SELECT 1 FROM pay_orders WHERE id = %s AND looked_at IS NOT NULL AND at_rest", pay_id)
    return bool(rows)


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
