"""Contracts with payment channels as people write them, and as calls need them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from domain.errors import DomainError
from domain.payments import ChannelTerms
from storage.catalog_log import log_operation
from storage.database import Connection
from storage.payments import PaymentChannelRow

SECRETS = frozenset({"credentials"})
_COLUMNS = frozenset(PaymentChannelRow.model_fields) - {"id", "created_at"}


class ChannelNotFound(DomainError):
    code = "channel_not_found"

    def __init__(self, channel_id: str) -> None:
        super().__init__(f"There is no payment channel {channel_id!r}: list /v1/payment-channels for those there are.")


async def take_turn(cx: Connection, channel_id: str) -> None:
    """Of those who put this channel, also a new one, one goes on until its transaction ends."""
    await cx.execute("SELECT pg_advisory_xact_lock(hashtextextended('channel/' || %s, 0))", (channel_id,))


async def put_channel(
    cx: Connection, channel_id: str, contract: Mapping[str, Any], *, actor: str, now: datetime
) -> bool:
    """Make the channel, or change those of its terms that differ; True if it is new. Secrets are never logged."""
    unknown = set(contract) - _COLUMNS
    if unknown:
        raise ValueError(f"no terms of a contract: {sorted(unknown)}")
    cursor = await cx.execute("SELECT * FROM payment_channels WHERE id = %s FOR UPDATE", (channel_id,))
    before = await cursor.fetchone()
    changed = {name: value for name, value in contract.items() if before is None or before[name] != value}
    if before is None:
        values = {"id": channel_id, **changed, "created_at": now}
        await cx.execute(
            sql.SQL("INSERT INTO payment_channels ({}) VALUES ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            tuple(map(_stored, values.values())),
        )
    elif changed:
        assignments = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in changed)
        await cx.execute(
            sql.SQL("UPDATE payment_channels SET {} WHERE id = %s").format(assignments),
            (*map(_stored, changed.values()), channel_id),
        )
    else:
        return False
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action="channel.create" if before is None else "channel.edit",
        subject=("channel", channel_id),
        before=None if before is None else _shown({name: before[name] for name in changed}),
        after=_shown(changed),
    )
    return before is None


def _stored(value: object) -> object:
    return Jsonb(value) if isinstance(value, dict | list) else value


def _shown(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "(secret)" if name in SECRETS else value for name, value in terms.items()}


async def list_channels(cx: Connection, *, active_only: bool = False) -> list[PaymentChannelRow]:
    """All of them, by id: there are a few."""
    cursor = await cx.execute(
        "SELECT * FROM payment_channels WHERE active OR NOT %s ORDER BY id LIMIT 1000", (active_only,)
    )
    return [PaymentChannelRow(**row) for row in await cursor.fetchall()]


async def get_channel(cx: Connection, channel_id: str) -> PaymentChannelRow:
    """Raises ChannelNotFound."""
    cursor = await cx.execute("SELECT * FROM payment_channels WHERE id = %s", (channel_id,))
    row = await cursor.fetchone()
    if row is None:
        raise ChannelNotFound(channel_id)
    return PaymentChannelRow(**row)


async def read_contract(cx: Connection, channel_id: str) -> dict[str, Any] | None:
    """The whole contract, secrets included, as the adapter is given it; None for an unknown channel."""
    cursor = await cx.execute("SELECT * FROM payment_channels WHERE id = %s", (channel_id,))
    return await cursor.fetchone()


def terms_of(row: PaymentChannelRow) -> ChannelTerms:
    """What the channel takes, as the rules judge by it."""
    return ChannelTerms(row.id, row.active, row.currency, row.min_minor, row.max_minor, tuple(row.kinds), row.fee_bp)
