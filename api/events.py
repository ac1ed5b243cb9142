"""The feed of events, for those who pull: what webhooks would send, in the same envelope and the same order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from api.deps import DatabaseDep, capability, require
from api.errors import problems
from api.pages import Page, PagingDep
from api.views import Id, Instant, View
from domain.access import Action, Principal
from storage import event_reading
from storage.event_reading import EventFilter

router = capability("Events")


class EventEnvelope(View):
    """One event as Standard Webhooks describes it. The same `id` is the same event, however often it is met."""

    id: str = Field(pattern="^evt_[0-9]+$", examples=["evt_42"])
    type: str = Field(examples=["order.issued"])
    timestamp: Instant
    data: dict[str, Any] = Field(
        description="What happened; `order_no` names the order.", examples=[{"order_no": "1039000000000000001"}]
    )

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> EventEnvelope:
        """From the outbox."""
        return cls(id=f"evt_{row['id']}", type=row["kind"], timestamp=row["at"], data=row["body"])


@router.get("/v1/events", response_model=Page[EventEnvelope], responses=problems(401, 403), summary="Read events")
async def list_events(
    caller: Annotated[Principal, require(Action.EVENT_READ)],
    paging: PagingDep,
    database: DatabaseDep,
    kind: Annotated[str | None, Query(max_length=64, description="One type.", examples=["order.issued"])] = None,
    subject_id: Annotated[Id | None, Query(description="The events of one order: its number, 19 digits.")] = None,
    created_from: Annotated[Instant | None, Query(description="Happened then or later.")] = None,
    created_to: Annotated[Instant | None, Query(description="Happened before.")] = None,
) -> Response:
    """Oldest first, and per order as it happened. Distributors see their own. Keep `next_cursor`, which is there on the
    last page too, and ask again with it: nothing is left out that was being written meanwhile."""
    narrowed = EventFilter(caller.distributor_id, kind, subject_id, created_from, created_to)
    position = paging.after(caller)
    after = (int(position[0]), int(position[1])) if position else None
    async with database.reading() as connection:
        rows = await event_reading.list_events(connection, narrowed, after=after, limit=paging.fetch)
    return paging.answer(caller, rows, EventEnvelope.of, lambda row: [row["position"], row["id"]], feed=True)
