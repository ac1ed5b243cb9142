"""Shoppers' money in stories: what orders, ledger, journal and the operators' queue say of it."""

from __future__ import annotations

from typing import Any

from tests.payers import Channel
from tests.platform import Platform
from tests.traders import Caller


async def ledger(platform: Platform, account: str) -> int:
    """What an account owes or is owed: debits less credits, minor units."""
    rows = await platform.rows(
        "SELECT coalesce(sum(debits_minor - credits_minor), 0)::bigint AS minor FROM ledger_balances "
        "WHERE account = %s",
        account,
    )
    return int(rows[0]["minor"])


def stands(order: dict[str, Any]) -> tuple[str, str, str]:
    """Where an order and its money stand."""
    return order["status"], order["payment_status"], order["refund_status"]


async def nothing_is_owed(platform: Platform, shopper: Caller, channel: Channel, pay_id: str, kept_minor: int) -> None:
    """The buyer is owed nothing, and the channel holds for us what it really holds: `kept_minor`."""
    assert await ledger(platform, f"buyer:{shopper.id}:unapplied") == 0
    assert await ledger(platform, f"channel:{channel.id}:clearing") == kept_minor
    assert await channel.held_minor(pay_id) == kept_minor


async def journal(platform: Platform, channel: Channel) -> list[dict[str, Any]]:
    """The channel's callbacks as they were kept, oldest first."""
    return await platform.rows("SELECT * FROM channel_callbacks WHERE channel_id = %s ORDER BY received_at", channel.id)


async def handed_over(platform: Platform, channel: Channel, count: int) -> list[dict[str, Any]]:
    """The journal, once so many of the channel's callbacks have had their effect."""

    async def enough() -> list[dict[str, Any]] | None:
        rows = [row for row in await journal(platform, channel) if row["state"] == "handed_over"]
        return rows if len(rows) >= count else None

    rows: list[dict[str, Any]] = await platform.until(enough)
    return rows


async def until_payment(platform: Platform, pay_id: str, status: str) -> dict[str, Any]:
    """The payment in full, once it stands so."""

    async def reached() -> dict[str, Any] | None:
        payment = await platform.payment(pay_id)
        return payment if payment["status"] == status else None

    payment: dict[str, Any] = await platform.until(reached)
    return payment


async def money_cases(platform: Platform, kind: str, channel: Channel) -> list[dict[str, Any]]:
    """The cases of that kind about the channel's money, oldest first."""
    return await platform.rows(
        "SELECT * FROM order_exceptions WHERE kind = %s AND (evidence ->> 'channel_id' = %s "
        "OR pay_id IN (SELECT id FROM pay_orders WHERE channel_id = %s)) ORDER BY opened_at",
        kind, channel.id, channel.id,
    )  # fmt: skip


async def money_case(platform: Platform, kind: str, channel: Channel) -> dict[str, Any]:
    """The one case of that kind about the channel's money, once it is there."""
    (case,) = await platform.until(lambda: money_cases(platform, kind, channel))
    found: dict[str, Any] = case
    return found
