"""A carrier that takes parcels over HTTP: hand in, ask, call back, track.

Our `reference` is the carrier's idempotency key. A definite no is only a parcel that says rejected, an error about our
own reference that says what is wrong with the request, or a door that stays shut (401, 403): nothing was done before
any of these. A conflict of references is none: whoever holds it may have been us.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx2

from adapters.carriers.parcel_bodies import judge_shipment, read_error, read_events, shown
from adapters.http_exchange import Reply
from adapters.suppliers import BookingRequest, Goods, ShipTo, SupplierProduct, SupplierSession, Tracked
from adapters.suppliers.answers import as_answer, as_cancel_answer
from adapters.suppliers.exchange import exchange
from domain.issuance import (
    Answer,
    CancelAnswer,
    NotFound,
    QueryAnswer,
    Rejected,
    Unknown,
)

ANSWER_MAX_BYTES = 1 << 20
_NO_HOLDS = Rejected("no_holds", detail="a carrier holds nothing: it takes the parcel or does not")


class ParcelCarrier:
    """`client` is shared by all suppliers of a process (one pool) and must not follow redirects; `base_url` ends before
    `/shipments`. Serves `Supplier` and `Tracker`."""

    def __init__(self, client: httpx2.AsyncClient, base_url: str, token: str) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    async def reserve(self, request: BookingRequest, *, timeout_s: float) -> Answer:
        """Carriers hold nothing: a definite no, without asking."""
        return _NO_HOLDS

    async def issue(self, request: BookingRequest, *, reserved: bool, timeout_s: float) -> Answer:
        """POST /shipments: the waybill is the one ticket, whatever number of pieces is inside."""
        if request.ship_to is None or request.ship_from is None or not request.goods:
            return Rejected("incomplete_request", detail="a parcel needs ship_to, ship_from and goods")
        parcel = _parcel(request, request.ship_to, request.ship_from)
        reply = await self._call("POST", "/shipments", timeout_s, parcel)
        if isinstance(reply, Unknown):
            return reply
        if reply.status in (401, 403):
            return Rejected("forbidden", retry_elsewhere=True)
        error = read_error(reply.body, request.reference) if reply.status == 400 else None
        if error is not None and error.error == "invalid_request":
            return Rejected(error.error, retry_elsewhere=True, detail=shown(error.message))
        return as_answer(_judge(reply, request.reference, len(request.unit_references)), "issue")

    async def query(self, reference: str, *, timeout_s: float, unit_references: Sequence[str] = ()) -> QueryAnswer:
        """GET /shipments/{reference}. `unit_references`: the parcel must have as many pieces."""
        reply = await self._call("GET", _path(reference), timeout_s)
        if isinstance(reply, Unknown):
            return reply
        return NotFound() if _is_missing(reply, reference) else _judge(reply, reference, len(unit_references) or None)

    async def cancel(self, reference: str, *, reason: str, timeout_s: float) -> CancelAnswer:
        """POST /shipments/{reference}/cancel: calls a parcel back. One that was picked up goes on: a definite no."""
        reply = await self._call("POST", f"{_path(reference)}/cancel", timeout_s, {"reason": reason})
        if isinstance(reply, Unknown):
            return reply
        if _is_missing(reply, reference):
            return NotFound()
        error = read_error(reply.body, reference) if reply.status == 409 else None
        if error is not None and error.error == "already_picked_up":
            return Rejected(error.error, detail=shown(error.message))
        return as_cancel_answer(_judge(reply, reference, None))

    async def extend(self, reference: str, *, minutes: int, timeout_s: float) -> Answer:
        """There is never a hold to prolong."""
        return _NO_HOLDS

    async def track(self, reference: str, *, timeout_s: float) -> Tracked:
        """GET /shipments/{reference}/events. A reference that the carrier does not know (now) concludes nothing."""
        reply = await self._call("GET", f"{_path(reference)}/events", timeout_s)
        if isinstance(reply, Unknown) or not reply.is_success:
            return Tracked(known=False)
        return read_events(reply.body, reference)

    async def read_products(self, *, timeout_s: float) -> list[SupplierProduct]:
        """A carrier sells no products of ours."""
        return []

    async def read_sessions(
        self, product_id: str, option_id: str, *, first_day: str, last_day: str, timeout_s: float
    ) -> list[SupplierSession]:
        """Nor dates."""
        return []

    async def _call(
        self, method: str, path: str, timeout_s: float, asked: dict[str, Any] | None = None
    ) -> Reply | Unknown:
        return await exchange(
            self._client,
            method,
            f"{self._base_url}{path}",
            headers=self._headers,
            timeout_s=timeout_s,
            max_bytes=ANSWER_MAX_BYTES,
            json=asked,
        )


def _judge(reply: Reply, reference: str, pieces: int | None) -> QueryAnswer:
    """What a parcel's body proves; every other answer proves nothing."""
    if reply.is_success:
        return judge_shipment(reply.body, reference, pieces)
    error = read_error(reply.body, reference)
    return Unknown(f"answered {reply.status} {error.error[:60] if error is not None else 'without a code'}")


def _is_missing(reply: Reply, reference: str) -> bool:
    """The carrier itself says that it has nothing under this reference: any other 404 may be a wrong address."""
    error = read_error(reply.body, reference) if reply.status == 404 else None
    return error is not None and error.error == "unknown_reference"


def _path(reference: str) -> str:
    return f"/shipments/{quote(reference, safe='')}"


def _parcel(request: BookingRequest, ship_to: ShipTo, ship_from: str) -> dict[str, Any]:
    return {
        "reference": request.reference,
        "from": {"warehouse": ship_from},
        "to": {
            "receiver": ship_to.receiver,
            "phone": ship_to.phone,
            "country": ship_to.country,
            "region": ship_to.region,
            "city": ship_to.city,
            "street": ship_to.street,
            "postcode": ship_to.postcode,
        },
        "goods": [_item(goods) for goods in request.goods],
        "metadata": {"order_no": request.order_no, "unit_references": list(request.unit_references)},
    }


def _item(goods: Goods) -> dict[str, Any]:
    return {
        "sku": goods.sku_id,
        "title": goods.title,
        "quantity": goods.quantity,
        "weight_g": goods.weight_g,
    }
