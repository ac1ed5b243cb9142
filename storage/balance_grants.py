"""What people do with balances: coins granted, vouchers issued and blocked. Each with its ledger entry and its log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.errors import CheckViolation

from domain import ledger
from domain.balances import (
    VOUCHER,
    CampaignUnfit,
    VoucherEvent,
    VoucherInvalid,
    VoucherState,
    VoucherUnknown,
    grant_key,
)
from domain.ledger import Transfer
from domain.money import Money
from storage.balances import credit_coins
from storage.catalog_log import log_operation
from storage.database import Connection
from storage.settlement import insert_transfers


@dataclass(frozen=True, slots=True)
class NewVoucher:
    """A voucher about to be issued. `buyer_id`: None for whoever adds its code first."""

    id: str
    code_hmac: bytes
    amount: Money
    campaign: str
    expires_at: datetime
    buyer_id: str | None


async def grant_coins(
    cx: Connection,
    grant_id: str,
    *,
    buyer_id: str,
    amount: Money,
    campaign: str,
    reason: str,
    actor: str,
    now: datetime,
) -> None:
    """Add coins that a campaign pays for, once by `grant_id`. Raises CoinsUnfit, CampaignUnfit."""
    async with _of_one_currency(campaign, amount.currency):
        await credit_coins(
            cx,
            buyer_id,
            amount.amount_minor,
            amount.currency,
            key=grant_key(grant_id),
            debit=ledger.subsidy(campaign),
            at=now,
        )
    after = {
        "grant_id": grant_id, "amount_minor": amount.amount_minor, "currency": amount.currency, "campaign": campaign,
        "reason": reason,
    }  # fmt: skip
    await log_operation(
        cx, at=now, actor=actor, action="coins.grant", subject=("user", buyer_id), before=None, after=after
    )


async def issue_voucher(cx: Connection, new: NewVoucher, *, actor: str, now: datetime) -> dict[str, Any]:
    """Issue a voucher that its campaign pays for. Raises VoucherInvalid, CampaignUnfit."""
    if new.expires_at <= now:
        raise VoucherInvalid("The voucher would have expired already: `expires_at` has to be in the future.")
    face_minor, currency = new.amount.amount_minor, new.amount.currency
    cursor = await cx.execute(
        """
        INSERT INTO vouchers (id, code_hmac, currency, buyer_id, balance_minor, face_minor, campaign, expires_at,
                              created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING *
        """,
        (
            new.id, new.code_hmac, currency, new.buyer_id, face_minor, face_minor, new.campaign, new.expires_at, now,
        ),
    )  # fmt: skip
    row = await cursor.fetchone()
    assert row is not None, "an insert returns its row"
    entry = Transfer(grant_key(new.id), ledger.subsidy(new.campaign), ledger.voucher(new.id), face_minor, currency, now)
    async with _of_one_currency(new.campaign, currency):
        await insert_transfers(cx, [entry])
    after = {
        "face_minor": face_minor, "currency": currency, "campaign": new.campaign, "buyer_id": new.buyer_id,
        "expires_at": new.expires_at.isoformat(),
    }  # fmt: skip
    await log_operation(
        cx, at=now, actor=actor, action="voucher.issue", subject=("voucher", new.id), before=None, after=after
    )
    return row


@asynccontextmanager
async def _of_one_currency(campaign: str, currency: str) -> AsyncIterator[None]:
    """The ledger knows, also among simultaneous grants, which currency a campaign's account has."""
    try:
        yield
    except CheckViolation as refusal:
        if refusal.diag.constraint_name != "one_currency_per_account":
            raise
        raise CampaignUnfit(campaign, currency) from refusal


async def move_voucher(
    cx: Connection, voucher_id: str, event: VoucherEvent, *, reason: str, actor: str, now: datetime
) -> dict[str, Any]:
    """Block it, or let it be used again; payments that hold it keep it. Raises VoucherUnknown, IllegalTransition."""
    row = await get_voucher(cx, voucher_id)
    before, after = row["state"], VOUCHER.after(VoucherState(row["state"]), event)
    await cx.execute("UPDATE vouchers SET state = %s WHERE id = %s", (after, voucher_id))
    await log_operation(
        cx, at=now, actor=actor, action=f"voucher.{event}", subject=("voucher", voucher_id),
        before={"state": before}, after={"state": after, "reason": reason},
    )  # fmt: skip
    return {**row, "state": after}


async def get_voucher(cx: Connection, voucher_id: str) -> dict[str, Any]:
    """The voucher's row, locked against changes by others. Raises VoucherUnknown."""
    row = await (await cx.execute("SELECT * FROM vouchers WHERE id = %s FOR NO KEY UPDATE", (voucher_id,))).fetchone()
    if row is None:
        raise VoucherUnknown
    return row


async def list_vouchers(
    cx: Connection,
    *,
    buyer_id: str | None,
    campaign: str | None = None,
    after: Sequence[str | int] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """In the order of their ids; `buyer_id`, `campaign`: only those of this one."""
    cursor = await cx.execute(
        """
        SELECT * FROM vouchers
        WHERE id > %(after)s AND (%(buyer)s::text IS NULL OR buyer_id = %(buyer)s)
          AND (%(campaign)s::text IS NULL OR campaign = %(campaign)s)
        ORDER BY id LIMIT %(limit)s
        """,
        {"after": after[0] if after else "", "buyer": buyer_id, "campaign": campaign, "limit": limit},
    )
    return await cursor.fetchall()


async def usable_vouchers(cx: Connection, buyer_id: str, *, at: datetime, limit: int) -> list[dict[str, Any]]:
    """The buyer's vouchers that can pay something at `at`, or are held: those that run out first come first."""
    cursor = await cx.execute(
        "SELECT * FROM vouchers WHERE buyer_id = %s AND state = 'active' AND balance_minor > 0 "
        "AND (expires_at > %s OR held_minor > 0) ORDER BY expires_at, id LIMIT %s",
        (buyer_id, at, limit),
    )
    return await cursor.fetchall()
