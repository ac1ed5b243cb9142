"""Charges: what channels say that they took, each once by the channel's own name for it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.channels import Charge
from domain.pay_order import Verdict
from storage.database import Connection


async def insert(
    cx: Connection,
    channel_id: str,
    charge: Charge,
    *,
    pay_id: str | None,
    reference: str,
    verdict: Verdict,
    at: datetime,
) -> bool:
    """Write it down; False where it is known already. `reference`: what the channel says that it was paid under."""
    cursor = await cx.execute(
        """
        INSERT INTO charges (channel_id, payment_id, pay_id, reference, verdict, amount_minor, currency, paid_at,
                             recorded_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING payment_id
        """,
        (
            channel_id, charge.payment_id, pay_id, reference, str(verdict), charge.amount_minor, charge.currency,
            charge.paid_at, at,
        ),
    )  # fmt: skip
    return await cursor.fetchone() is not None


async def known(cx: Connection, channel_id: str, payment_id: str) -> bool:
    """Whether it has been written down."""
    cursor = await cx.execute(
        "SELECT 1 FROM charges WHERE channel_id = %s AND payment_id = %s", (channel_id, payment_id)
    )
    return await cursor.fetchone() is not None


async def read(cx: Connection, channel_id: str, payment_id: str) -> dict[str, Any] | None:
    """One charge, locked."""
    cursor = await cx.execute(
        "SELECT * FROM charges WHERE channel_id = %s AND payment_id = %s FOR UPDATE", (channel_id, payment_id)
    )
    return await cursor.fetchone()


async def settle_otherwise(cx: Connection, channel_id: str, payment_id: str) -> None:
    """A person dealt with it outside the channel."""
    await cx.execute(
        "UPDATE charges SET settled_otherwise = true WHERE channel_id = %s AND payment_id = %s",
        (channel_id, payment_id),
    )
