"""Gates without a line to us: a signed list to take along, and the scans that they bring back."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from api.deps import Parts, capability, parts_of, require
from api.errors import problems
from api.gate_scanning import Scan, digest_of, scan_ticket
from api.gate_views import (
    GateKeyView,
    ListedTicketView,
    ListSignatureView,
    OfflineListView,
    OfflineScanInput,
    OfflineScansInput,
    OfflineScansView,
    SignedListView,
    unpadded,
)
from api.idempotency import Answer, KeeperDep
from api.pages import CursorInvalid
from api.views import Id, Instant
from domain.access import Action, Principal
from domain.catalog import canonical
from domain.gate import TicketRef
from storage import tickets
from storage.tickets import ChangePlace, StoredTicket

router = capability("gate", "Gate")

Gate = Annotated[Principal, require(Action.GATE_REDEEM)]

MAX_LISTED = 5_000
_PLACE = re.compile(r"([0-9]{1,19})-([0-9]{1,19})-([0-9]{1,5})-([0-9]{1,5})", re.ASCII)


@router.get(
    "/v1/gate/offline-list",
    response_model=SignedListView,
    responses=problems(401, 403, codes=["cursor_invalid"]),
    summary="Read the list for offline gates",
)
async def read_offline_list(
    request: Request,
    caller: Gate,
    product_id: Annotated[Id, Query(description="Whose tickets.", examples=["prd_b437d5a62c8354ac23a2"])],
    starts_at: Annotated[
        Instant | None, Query(description="The event's start; without it the product's open tickets.")
    ] = None,
    since: Annotated[
        str | None, Query(max_length=60, description="`next_since` of the list before: only what changed after it.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED, description="Tickets at most.")] = 1_000,
) -> SignedListView:
    """Valid, redeemed and void tickets with the public keys, signed: an offline gate refuses what is void or redeemed
    here, whatever is not signed by one of the keys, and supplier's codes whose hash is not listed as valid."""
    parts = parts_of(request)
    async with parts.database.reading() as connection:
        found = await tickets.changes(connection, product_id, starts_at, after=_place(since), limit=limit + 1)
    listed, complete = found[:limit], len(found) <= limit
    view = OfflineListView(
        product_id=product_id,
        starts_at=starts_at,
        made_at=parts.clock(),
        since=since,
        next_since=_shown(listed[-1]) if listed else since,
        complete=complete,
        keys=[GateKeyView.of(key) for key in parts.ticket_keys.public_keys],
        tickets=[_listed(ticket) for ticket in listed],
    )
    return await asyncio.to_thread(_signed, parts, view)


@router.post(
    "/v1/gate/redemptions/batch",
    response_model=OfflineScansView,
    responses=problems(401, 403, 409, 413, 415),
    summary="Bring offline scans back",
)
async def bring_scans(body: OfflineScansInput, request: Request, caller: Gate, keeper: KeeperDep) -> Response:
    """Each scan let somebody in: its ticket is redeemed as of then. One that was redeemed elsewhere or void is reported
    here, and to operators as a case. The same scan brought twice counts once, whatever the key."""
    parts = parts_of(request)
    return await keeper.elsewhere(caller, lambda: _bring(parts, caller, body))


async def _bring(parts: Parts, caller: Principal, body: OfflineScansInput) -> Answer:
    """One transaction per scan, in the order of the scans: what is recorded stays when a later one can't be."""
    now = parts.clock()
    scanned = [await scan_ticket(parts, caller, _scan(each, body.gate_id, now)) for each in body.scans]
    return Answer(200, OfflineScansView.of(scanned))


def _scan(brought: OfflineScanInput, gate_id: str, now: datetime) -> Scan:
    """A gate whose clock runs ahead has scanned no later than now."""
    key = f"offline/{gate_id}/{brought.scanned_at.isoformat()}/{digest_of(brought.code)}"
    return Scan(key, brought.code, gate_id, min(brought.scanned_at, now), brought.product_id, offline=True)


def _listed(ticket: StoredTicket) -> ListedTicketView:
    return ListedTicketView(
        serial=ticket.ref.serial,
        status=ticket.standing.status,
        valid_from=ticket.window.opens_at,
        valid_until=ticket.window.closes_at,
        code_sha256=None if ticket.is_own else digest_of(ticket.code),
    )


def _signed(parts: Parts, view: OfflineListView) -> SignedListView:
    signature = parts.ticket_keys.sign(canonical(view.model_dump(mode="json")))
    shown = ListSignatureView(key_id=signature.key_id, value=unpadded(signature.value))
    return SignedListView(list=view, signature=shown)


def _shown(ticket: StoredTicket) -> str:
    return "-".join(map(str, (ticket.position, ticket.ref.order_no, ticket.ref.line_no, ticket.ref.unit)))


def _place(since: str | None) -> ChangePlace | None:
    """Raises CursorInvalid."""
    if since is None:
        return None
    match = _PLACE.fullmatch(since)
    if match is None or any(int(number) >= 2**63 for number in match.groups()):
        raise CursorInvalid
    position, order_no, line_no, unit = map(int, match.groups())
    return ChangePlace(position, TicketRef(order_no, line_no, unit))
