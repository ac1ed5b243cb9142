"""Checkouts: what a shopper was shown, under the number that its order will have, and which channels could take it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel

from domain.checkouts import CheckoutNotFound
from domain.payments import ChannelTerms
from storage.columns import at, big, document
from storage.database import Connection


class CheckoutRow(SQLModel, table=True):
    """A cart as it was priced for one shopper. `request`: what its order will ask for, at the prices of `shown`.

    Placed or not: its order's claim says (order_claims, by `order_no`).
    """

    __tablename__ = "checkouts"
    __table_args__ = (
        CheckConstraint("total_minor >= 0", name="total_not_negative"),
        Index("checkouts_user", "user_id", "id"),
    )

    id: str = Field(primary_key=True)
    order_no: int = big(unique=True)
    user_id: str = Field(foreign_key="users.id")
    request: dict[str, Any] = document()
    shown: dict[str, Any] = document()
    currency: str
    total_minor: int = big()
    expires_at: datetime = at()
    created_at: datetime = at()


async def add_checkout(cx: Connection, checkout: CheckoutRow) -> None:
    """Once: its number was never given before."""
    await cx.execute(
        "INSERT INTO checkouts (id, order_no, user_id, request, shown, currency, total_minor, expires_at, created_at)"
        " VALUES (%(id)s, %(order_no)s, %(user_id)s, %(request)s, %(shown)s, %(currency)s, %(total_minor)s,"
        " %(expires_at)s, %(created_at)s)",
        checkout.model_dump() | {"request": Jsonb(checkout.request), "shown": Jsonb(checkout.shown)},
    )


async def get_checkout(cx: Connection, checkout_id: str, *, user_id: str | None) -> CheckoutRow:
    """The shopper's own. Raises CheckoutNotFound, for foreign ones too, and for callers who are no shoppers (None)."""
    cursor = await cx.execute("SELECT * FROM checkouts WHERE id = %s AND user_id = %s", (checkout_id, user_id))
    row = await cursor.fetchone()
    if row is None:
        raise CheckoutNotFound(checkout_id)
    return CheckoutRow(**row)


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """A payment channel that takes payments now, by the name that shoppers know."""

    name: str
    terms: ChannelTerms


async def open_channels(cx: Connection) -> list[OpenChannel]:
    """Those that are active, in the order of their ids."""
    cursor = await cx.execute(
        "SELECT id, name, active, currency, min_minor, max_minor, kinds, fee_bp FROM payment_channels"
        " WHERE active ORDER BY id"
    )
    return [
        OpenChannel(
            row["name"],
            ChannelTerms(
                channel_id=row["id"],
                active=row["active"],
                currency=row["currency"],
                min_minor=row["min_minor"],
                max_minor=row["max_minor"],
                kinds=tuple(row["kinds"]),
                fee_bp=row["fee_bp"],
            ),
        )
        async for row in cursor
    ]
