"""A supplier that speaks OCTO (Open Connectivity for Tours, Activities and Attractions), through its reseller API.

Our `reference` is the booking's `uuid`, OCTO's idempotency key. What counts as a definite no, and why so little does:

- `reserve`: a 400 with one of OCTO's codes about what was asked for, and 401 or 403, refuse before anything is done.
  INVALID_BOOKING_UUID is not among them: "already used" may mean used by us, with success.
- `confirm`: only a booking that says REJECTED. INVALID_BOOKING_UUID means an expired hold, but a supplier that forgets
  says the same after having confirmed, and so may any other refusal of a repeated confirm: all are `Unknown`, and the
  query that follows finds out.
- 429 is refused unread: `NotSent` with `retry_after_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx2

from adapters.http_exchange import Reply
from adapters.suppliers import BookingRequest, NotSent, SupplierProduct, SupplierSession, SupplierUnreadable
from adapters.suppliers.answers import as_answer, as_cancel_answer
from adapters.suppliers.exchange import exchange
from adapters.suppliers.octo_bodies import (
    judge_booking,
    read_booking,
    read_error,
    read_products,
    read_sessions,
    unit_label,
)
from domain.issuance import (
    Answer,
    CancelAnswer,
    Canceled,
    Confirmed,
    Held,
    NotFound,
    QueryAnswer,
    Rejected,
    Unknown,
)

BOOKING_MAX_BYTES = 1 << 20
CATALOGUE_MAX_BYTES = 32 << 20

# Refusals of a reservation: nothing was held. Another supplier may well have the same thing.
_REFUSES_RESERVE = frozenset(
    {
        "INVALID_PRODUCT_ID",
        "INVALID_OPTION_ID",
        "INVALID_UNIT_ID",
        "INVALID_AVAILABILITY_ID",
        "UNPROCESSABLE_ENTITY",
        "BAD_REQUEST",
    }
)
_NOTHING_THERE = "INVALID_BOOKING_UUID"


class OctoSupplier:
    """`client` is shared by all suppliers of a process (one pool) and must not follow redirects; `base_url` ends before
    `/bookings`."""

    def __init__(self, client: httpx2.AsyncClient, base_url: str, token: str) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Octo-Capabilities": "octo/pricing",
            "Accept": "application/json",
        }

    async def reserve(self, request: BookingRequest, *, timeout_s: float) -> Answer:
        """POST /bookings; idempotent by `uuid` where the supplier deduplicates."""
        reply = await self._call("POST", "/bookings", _reservation(request), timeout_s)
        if isinstance(reply, Unknown):
            return reply
        refused = _refused_reserve(reply)
        if refused is not None:
            return refused
        judged = _judge(reply, request.reference, request.unit_references)
        if isinstance(judged, Held):
            return Confirmed(judged.supplier_reference, expires_at=judged.expires_at)
        return as_answer(judged, "reserve")

    async def issue(self, request: BookingRequest, *, reserved: bool, timeout_s: float) -> Answer:
        """POST /bookings/{uuid}/confirm, after a reservation where there is none. Both share the time-out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if not reserved:
            answer = await self.reserve(request, timeout_s=timeout_s)
            # A known uuid may be further than held: issued (with tickets) or pending is an answer, not to be confirmed.
            if not isinstance(answer, Confirmed) or answer.tickets:
                return answer
        try:
            return await self._confirm(request, max(0.05, deadline - loop.time()))
        except NotSent as not_sent:
            if reserved:
                raise
            # The reservation has arrived, so the whole was not "not sent"; a query will find the hold.
            return Unknown(f"held, but not confirmed: {not_sent}")

    async def query(self, reference: str, *, timeout_s: float, unit_references: Sequence[str] = ()) -> QueryAnswer:
        """GET /bookings/{uuid}. `unit_references` put the tickets in order at suppliers that drop our units' labels."""
        reply = await self._call("GET", _path(reference), None, timeout_s)
        if isinstance(reply, Unknown):
            return reply
        return NotFound() if _is_missing(reply, reference) else _judge(reply, reference, unit_references)

    async def cancel(self, reference: str, *, reason: str, timeout_s: float) -> CancelAnswer:
        """POST /bookings/{uuid}/cancel; a refusal by the supplier's own rules (the cutoff has passed) is definite."""
        reply = await self._call("POST", f"{_path(reference)}/cancel", {"reason": reason}, timeout_s)
        if isinstance(reply, Unknown):
            return reply
        if _is_missing(reply, reference):
            return NotFound()
        error = read_error(reply.body) if reply.status == 400 else None
        if error is not None and error.error == "UNPROCESSABLE_ENTITY":
            return Rejected(error.error, detail=error.errorMessage[:200])
        return as_cancel_answer(_judge(reply, reference, ()))

    async def extend(self, reference: str, *, minutes: int, timeout_s: float) -> Answer:
        """POST /bookings/{uuid}/extend. Nothing is issued here, so the supplier's refusals are definite."""
        reply = await self._call("POST", f"{_path(reference)}/extend", {"expirationMinutes": minutes}, timeout_s)
        if isinstance(reply, Unknown):
            return reply
        if _is_missing(reply, reference):
            return Rejected(_NOTHING_THERE)
        error = read_error(reply.body) if reply.status == 400 else None
        if error is not None and error.error == "UNPROCESSABLE_ENTITY":
            return Rejected(error.error, detail=error.errorMessage[:200])
        judged = _judge(reply, reference, ())
        if isinstance(judged, Held):
            return Confirmed(judged.supplier_reference, expires_at=judged.expires_at)
        return Rejected("EXPIRED") if isinstance(judged, Canceled) else as_answer(judged, "extend")

    async def read_products(self, *, timeout_s: float) -> list[SupplierProduct]:
        """GET /products."""
        return read_products(await self._read("GET", "/products", None, timeout_s))

    async def read_sessions(
        self, product_id: str, option_id: str, *, first_day: str, last_day: str, timeout_s: float
    ) -> list[SupplierSession]:
        """POST /availability."""
        asked = {
            "productId": product_id,
            "optionId": option_id,
            "localDateStart": first_day,
            "localDateEnd": last_day,
        }
        return read_sessions(await self._read("POST", "/availability", asked, timeout_s), product_id, option_id)

    async def _confirm(self, request: BookingRequest, timeout_s: float) -> Answer:
        asked = {"resellerReference": request.order_no, "contact": _contact(request)}
        reply = await self._call("POST", f"{_path(request.reference)}/confirm", asked, timeout_s)
        if isinstance(reply, Unknown):
            return reply
        judged = _judge(reply, request.reference, request.unit_references)
        if isinstance(judged, Held):
            return Unknown("confirm answered ON_HOLD")
        return as_answer(judged, "confirm")

    async def _read(self, method: str, path: str, asked: dict[str, Any] | None, timeout_s: float) -> bytes:
        reply = await self._call(method, path, asked, timeout_s, CATALOGUE_MAX_BYTES)
        if isinstance(reply, Unknown):
            raise SupplierUnreadable(reply.reason)
        if not reply.is_success:
            raise SupplierUnreadable(f"{method} {path} answered {reply.status}")
        return reply.body

    async def _call(
        self,
        method: str,
        path: str,
        asked: dict[str, Any] | None,
        timeout_s: float,
        max_bytes: int = BOOKING_MAX_BYTES,
    ) -> Reply | Unknown:
        return await exchange(
            self._client,
            method,
            f"{self._base_url}{path}",
            headers=self._headers,
            json=asked,
            timeout_s=timeout_s,
            max_bytes=max_bytes,
        )


def _judge(reply: Reply, reference: str, unit_references: Sequence[str]) -> QueryAnswer:
    """What a booking proves; every other answer proves nothing."""
    if not reply.is_success:
        error = read_error(reply.body)
        return Unknown(f"answered {reply.status} {error.error[:60] if error is not None else 'without a code'}")
    booking = read_booking(reply.body)
    if booking is None:
        return Unknown("the answer is not a booking")
    if booking.uuid.lower() != reference.lower():
        return Unknown("the answer is about another booking")
    return judge_booking(booking, unit_references)


def _refused_reserve(reply: Reply) -> Rejected | None:
    error = read_error(reply.body) if 400 <= reply.status < 500 else None
    if error is not None and reply.status == 400 and error.error in _REFUSES_RESERVE:
        return Rejected(error.error, retry_elsewhere=True, detail=error.errorMessage[:200])
    if reply.status in (401, 403):
        return Rejected("FORBIDDEN", retry_elsewhere=True)
    return None


def _is_missing(reply: Reply, reference: str) -> bool:
    """The supplier says that it has nothing under this reference, and does not name another one."""
    if reply.status == 404:
        return True
    error = read_error(reply.body) if reply.status == 400 else None
    if error is None or error.error != _NOTHING_THERE:
        return False
    return error.uuid is None or error.uuid.lower() == reference.lower()


def _reservation(request: BookingRequest) -> dict[str, Any]:
    count = len(request.unit_references)
    asked: dict[str, Any] = {
        "uuid": request.reference,
        "productId": request.product_id,
        "optionId": request.option_id,
        "resellerReference": request.order_no,
        "currency": request.currency,
        "unitItems": [
            {"uuid": uuid, "unitId": request.unit_id, "resellerReference": unit_label(request.order_no, index, count)}
            for index, uuid in enumerate(request.unit_references)
        ],
    }
    if request.availability_id is not None:
        asked["availabilityId"] = request.availability_id
    if request.hold_minutes is not None:
        asked["expirationMinutes"] = request.hold_minutes
    contact = _contact(request)
    return asked | ({"contact": contact} if contact else {})


def _contact(request: BookingRequest) -> dict[str, str]:
    given = {"fullName": request.contact_name, "emailAddress": request.contact_email}
    return {name: value for name, value in given.items() if value is not None}


def _path(reference: str) -> str:
    return f"/bookings/{quote(reference, safe='')}"
