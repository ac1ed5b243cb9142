"""A pull-style HTTP supplier without a standard: everything it is spoken to with follows from the mapping in its
contract (`mapped_mapping.py`), so that one more such supplier is a row and no code.

What may be concluded from an answer is decided in `mapped_answers.py`; what a meaning is worth as the answer of an
operation is decided here: an `issue` that is answered by "canceled" or "not found" proves nothing, and is asked about.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx2

from adapters.suppliers import (
    BookingRequest,
    CallbackUnreadable,
    NotSent,
    SupplierProduct,
    SupplierSession,
    SupplierUnreadable,
    Told,
)
from adapters.suppliers.answers import as_answer
from adapters.suppliers.exchange import exchange
from adapters.suppliers.mapped_answers import TurnedAway, judge, read_json, text_at
from adapters.suppliers.mapped_mapping import Operation, SupplierMapping
from adapters.suppliers.mapped_signing import FieldMissing, Values, write
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

ANSWER_MAX_BYTES = 1 << 20


class MappedSupplier:
    """`client` is shared by all suppliers of a process and must not follow redirects; `secret` signs or is the bearer
    token. `clock` gives seconds since 1970 for {timestamp}."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        base_url: str,
        secret: str,
        mapping: SupplierMapping,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._secret = secret
        self._mapping = mapping
        self._clock = clock

    @classmethod
    def of(cls, client: httpx2.AsyncClient, contract: Mapping[str, Any]) -> MappedSupplier:
        """From the supplier's row."""
        return cls(client, contract["base_url"], contract["api_token"], _mapping(contract))

    async def reserve(self, request: BookingRequest, *, timeout_s: float) -> Answer:
        """A hold, where the mapping has one; else a definite no, for nothing was sent."""
        if self._mapping.reserve is None:
            return Rejected("RESERVE_UNSUPPORTED", retry_elsewhere=True)
        answer = await self._book(self._mapping.reserve, request, timeout_s)
        return Confirmed(answer.supplier_reference) if isinstance(answer, Held) else as_answer(answer, "reserve")

    async def issue(self, request: BookingRequest, *, reserved: bool, timeout_s: float) -> Answer:
        """One request, whether or not there is a hold: it goes by the same reference."""
        return as_answer(await self._book(self._mapping.issue, request, timeout_s), "issue")

    async def query(self, reference: str, *, timeout_s: float, unit_references: Sequence[str] = ()) -> QueryAnswer:
        """What the supplier has under our reference."""
        return await self._ask(self._mapping.query, {"reference": reference}, timeout_s, unit_references)

    async def cancel(self, reference: str, *, reason: str, timeout_s: float) -> CancelAnswer:
        """A refusal is definite; a supplier that takes nothing back (no `cancel` in the mapping) refuses always."""
        if self._mapping.cancel is None:
            return Rejected("CANCEL_UNSUPPORTED")
        answer = await self._ask(self._mapping.cancel, {"reference": reference, "reason": reason}, timeout_s, ())
        match answer:
            case Canceled() | NotFound() | Unknown():
                return answer
            case Rejected():
                return Rejected(answer.code)
            case _:
                return Unknown(f"cancel answered {type(answer).__name__}")

    async def extend(self, reference: str, *, minutes: int, timeout_s: float) -> Answer:
        """Not mapped: a hold lasts as long as it lasts."""
        return Rejected("EXTEND_UNSUPPORTED")

    async def read_products(self, *, timeout_s: float) -> list[SupplierProduct]:
        """Not mapped: offers of such a supplier are written by hand or imported."""
        raise SupplierUnreadable("a mapped supplier has no catalogue to read: write its offers by hand")

    async def read_sessions(
        self, product_id: str, option_id: str, *, first_day: str, last_day: str, timeout_s: float
    ) -> list[SupplierSession]:
        """Not mapped: nothing of it has a date."""
        raise SupplierUnreadable("a mapped supplier has no sessions to read")

    async def _book(self, operation: Operation, request: BookingRequest, timeout_s: float) -> QueryAnswer:
        values: dict[str, str | int | None] = {
            "reference": request.reference,
            "product_id": request.product_id,
            "option_id": request.option_id,
            "unit_id": request.unit_id,
            "availability_id": request.availability_id,
            "unit_references": ",".join(request.unit_references),
            "quantity": len(request.unit_references),
            "order_no": request.order_no,
            "currency": request.currency,
            "account": request.account,
        }
        try:
            return await self._ask(operation, values, timeout_s, request.unit_references)
        except FieldMissing as missing:
            # Nothing was sent, and nothing will be: what the line was placed with does not change.
            return Rejected(f"{missing.field.upper()}_MISSING", retry_elsewhere=True)

    async def _ask(
        self, operation: Operation, values: Values, timeout_s: float, unit_references: Sequence[str]
    ) -> QueryAnswer:
        now = self._clock()
        timed = {**values, "timestamp": int(now), "timestamp_ms": int(now * 1_000), "nonce": uuid4().hex}
        written = write(operation, self._mapping.format, self._mapping.signature, self._secret, timed)
        reply = await exchange(
            self._client,
            operation.method,
            f"{self._base_url}{written.target}",
            headers=written.headers,
            content=written.content,
            timeout_s=timeout_s,
            max_bytes=ANSWER_MAX_BYTES,
        )
        if isinstance(reply, Unknown):
            return reply
        document, reference = read_json(reply.body), str(values["reference"])
        judged = judge(document, reply.status, operation.answers, self._mapping.fields, reference, unit_references)
        if isinstance(judged, TurnedAway):
            raise NotSent("the supplier turned the request away", retry_after_s=judged.retry_after_s)
        return judged


def read_callback(contract: Mapping[str, Any], body: Mapping[str, Any], references: Sequence[str]) -> Told:
    """What a callback tells, by the mapping in the supplier's row. Raises CallbackUnreadable."""
    mapping = _mapping(contract)
    if mapping.callback is None:
        raise CallbackUnreadable("the mapping knows no callbacks")
    fields = mapping.callback.fields or mapping.fields
    reference = text_at(body, fields.echo)
    if reference is None:
        raise CallbackUnreadable("the body does not say which booking it is about")
    judged = judge(body, 200, mapping.callback.answers, fields, reference, references)
    # "Not done, come again" answers a request; unasked it says nothing.
    return Told(reference.lower(), Unknown("turned away, unasked") if isinstance(judged, TurnedAway) else judged)


def _mapping(contract: Mapping[str, Any]) -> SupplierMapping:
    return SupplierMapping.model_validate(contract["protocol_settings"])
