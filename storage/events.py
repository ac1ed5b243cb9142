"""The outbox: what happened, written in the transaction of the change; delivery reads from here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from storage.columns import at, big, document
from storage.database import Connection


class OutboxEventRow(SQLModel, table=True):
    """An event for a distributor. `key` makes it once-only; per subject the order of `id` is the order of events.

    `position` is the place in the feed, kept by the database alone: the transaction's id, or that of the subject's
    event before it if that is higher. What commits later is never placed before what was shown (event_reading.py).
    """

    __tablename__ = "outbox_events"
    __table_args__ = (
        Index("outbox_events_feed", "position", "id"),
        Index("outbox_events_distributor", "distributor_id", "position", "id"),
        Index("outbox_events_subject", "subject_id", "id"),
    )

    id: int = big(primary_key=True, default=None)
    position: int = big(default=None, sa_column_kwargs={"server_default": text("0")})
    key: str = Field(unique=True)
    kind: str
    distributor_id: str | None = None
    subject_kind: str
    subject_id: str
    body: dict[str, Any] = document()
    at: datetime = at()


async def announce(cx: Connection, *, key: str, kind: str, order_no: int, body: dict[str, Any], at: datetime) -> None:
    """An event about an order, for its distributor, once per key. The order's own changes are told with them."""
    await cx.execute(
        """
        INSERT INTO outbox_events (key, kind, distributor_id, subject_kind, subject_id, body, at)
        SELECT %s, %s, distributor_id, 'order', lpad(order_no::text, 19, '0'), %s, %s FROM orders WHERE order_no = %s
        ON CONFLICT (key) DO NOTHING
        """,
        (key, kind, Jsonb(body), at, order_no),
    )
