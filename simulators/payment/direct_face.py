"""The native protocol: JSON over HTTP with a bearer token, callbacks by Standard Webhooks.

`POST /{channel}/payments`, `GET …/payments/{reference}`, `POST …/payments/{reference}/close`, `POST …/refunds`,
`GET …/refunds/{refund_no}`, and `GET …/bills/{day}`: one JSON object per line, the last one the number of the others.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Generic, TypeVar

import httpx2
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from simulators.common.answering import as_json, bounded_body
from simulators.common.callbacks import CallbackTarget, Letter, is_success, standard_letter
from simulators.common.faults import Strike
from simulators.payment import views
from simulators.payment.book import Payment
from simulators.payment.channels import ChannelSettings
from simulators.payment.dealings import Asked, BillLine, Notice, Outcome, RefundAsked, Refusal
from simulators.payment.faces import Office
from simulators.payment.faults import Kind, Operation
from simulators.payment.page import pay_url

NAME = "direct"

Body = TypeVar("Body", bound="Named")
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Url = Annotated[str, StringConstraints(pattern=r"^(https?://\S{1,2000})?$")]
AmountMinor = Annotated[int, Field(ge=1, lt=1 << 53)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]

STATUSES: Mapping[str, int] = {
    "unknown_reference": 404,
    "unknown_refund": 404,
    "reference_conflict": 409,
    "refund_conflict": 409,
}
"""HTTP statuses of refusals; all others are 422."""


class Named(BaseModel, ABC):
    """What is asked for; `key` is the merchant's name for it, by which faults may be forced."""

    @property
    @abstractmethod
    def key(self) -> str: ...


class NamedBody(Named):
    reference: Reference

    @property
    def key(self) -> str:
        return self.reference


class PaymentBody(NamedBody):
    amount_minor: AmountMinor
    currency: Currency
    subject: str = Field(max_length=500)
    notify_url: Url = ""
    return_url: Url = ""
    expires_at: AwareDatetime | None = None

    def terms(self) -> Asked:
        until = None if self.expires_at is None else self.expires_at.timestamp()
        return Asked(**self.model_dump(exclude={"expires_at"}), expires_at=until)


class RefundBody(NamedBody):
    refund_no: Reference
    charge_id: str = Field(min_length=1, max_length=100)
    amount_minor: AmountMinor
    currency: Currency
    reason: str = Field("", max_length=2_000)
    notify_url: Url = ""

    @property
    def key(self) -> str:
        return self.refund_no


class BillBody(Named):
    day: date

    @property
    def key(self) -> str:
        return self.day.isoformat()


@dataclass(frozen=True, slots=True)
class Call(Generic[Body]):
    """A request that was let in, and what it asks for."""

    request: Request
    channel: ChannelSettings
    asked: Body


class DirectStationery:
    """Any 2xx acknowledges."""

    def letter(self, channel: ChannelSettings, target: CallbackTarget, payment: Payment, notice: Notice) -> Letter:
        return standard_letter(target, notice.id, json.dumps(views.notice_view(payment, notice)))

    def is_taken(self, answer: httpx2.Response) -> bool:
        return is_success(answer)


class DirectFace:
    """The endpoints of every channel that speaks the native protocol."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def routes(self) -> list[Route]:
        return [
            self._route("POST", "payments", "create", PaymentBody, self._create),
            self._route("GET", "payments/{reference}", "query", NamedBody, self._query),
            self._route("POST", "payments/{reference}/close", "close", NamedBody, self._close),
            self._route("POST", "refunds", "refund", RefundBody, self._refund),
            self._route("GET", "refunds/{reference}", "query_refund", NamedBody, self._query_refund),
            self._route("GET", "bills/{day}", "bill", BillBody, self._bill),
        ]

    def error(self, status: int, code: str, message: str) -> Response:
        return as_json({"error": code, "message": message, "reference": ""}, status)

    def refusal(self, refusal: Refusal) -> Response:
        told = {"error": refusal.code, "message": str(refusal), "reference": refusal.reference}
        return as_json(told, STATUSES.get(refusal.code, 422))

    def _route(
        self,
        method: str,
        path: str,
        operation: Operation,
        model: type[Body],
        work: Callable[[Call[Body], Strike[Kind]], Response],
    ) -> Route:
        """What is asked for stands in the path, where that has a place for it, else in the body."""

        async def answer(request: Request) -> Response:
            channel = self._office.channel(request, NAME)
            if channel is None:
                return self.error(404, "unknown_channel", "No such channel")
            if not channel.lets_in(request):
                return self.error(401, "unauthorized", "Send your token as a bearer token")
            content = await bounded_body(request)
            try:
                asked = model.model_validate(request.path_params) if "{" in path else _read(model, content)
            except ValidationError as invalid:
                return self.error(400, "invalid_request", f"{invalid.error_count()} fields are missing or invalid")
            call = Call(request, channel, asked)
            return await self._office.attend(
                request, channel, operation, asked.key, lambda struck: work(call, struck), self
            )

        return Route(f"/{{channel}}/{path}", answer, methods=[method])

    def _create(self, call: Call[PaymentBody], struck: Strike[Kind]) -> Response:
        payment = self._office.cashier.create(call.channel, call.asked.terms())
        return as_json(views.payment_view(payment, pay_url(call.request, payment)), 201)

    def _query(self, call: Call[NamedBody], struck: Strike[Kind]) -> Response:
        return as_json(views.payment_view(self._office.cashier.find(call.channel, call.asked.key, struck)))

    def _close(self, call: Call[NamedBody], struck: Strike[Kind]) -> Response:
        return as_json(views.payment_view(self._office.cashier.close(call.channel, call.asked.key)))

    def _refund(self, call: Call[RefundBody], struck: Strike[Kind]) -> Response:
        outcome = self._office.cashier.refund(call.channel, RefundAsked(**call.asked.model_dump()), struck)
        self._office.messenger.follow(outcome)
        return _refund_answer(outcome)

    def _query_refund(self, call: Call[NamedBody], struck: Strike[Kind]) -> Response:
        return _refund_answer(self._office.cashier.find_refund(call.channel, call.asked.key, struck))

    def _bill(self, call: Call[BillBody], struck: Strike[Kind]) -> Response:
        lines = self._office.cashier.bill(call.channel, call.asked.day)
        return StreamingResponse(_written(lines), media_type="application/x-ndjson")


def _read(model: type[Body], content: bytes | None) -> Body:
    """Raises ValidationError; a body that is too large is none."""
    return model.model_validate_json(content or b"")


def _refund_answer(outcome: Outcome) -> Response:
    if outcome.refund is None:
        raise AssertionError("a refund's outcome has a refund")
    return as_json(views.refund_view(outcome.payment, outcome.refund))


async def _written(lines: Iterator[BillLine]) -> AsyncIterator[bytes]:
    """A line each, and at the end how many there were: what was cut off can be told from what is all."""
    count = 0
    for line in lines:
        count += 1
        yield to_json(views.bill_view(line)) + b"\n"
    yield to_json({"lines": count}) + b"\n"
