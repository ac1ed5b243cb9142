"""The control API of the payment simulator: how channels are made, what payers do, and what was really charged."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulators.common.answering import utc
from simulators.common.callbacks import Secret
from simulators.common.control import PAGE_MAX, Control, Json, Unfit, entry_view, read
from simulators.common.faults import Strike
from simulators.payment.book import Payment
from simulators.payment.channels import HOUSES, ChannelSettings, TimeZone, opened
from simulators.payment.dealings import Act, Refusal
from simulators.payment.faces import Office
from simulators.payment.views import payment_view, refund_view


class ChannelBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    like: str | None = None
    title: str | None = Field(None, max_length=200)
    token: str | None = Field(None, min_length=1, max_length=200)
    fee_bp: int | None = Field(None, ge=0, le=10_000)
    time_zone: TimeZone | None = None
    callback_secret: Secret | None = None


class ActBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    outcome: Literal["paid", "failed"] = "paid"
    times: int = Field(1, ge=1, le=3)
    amount_minor: int | None = Field(None, ge=1, lt=1 << 53)
    anyway: bool = False


class ChannelControl(Control[ChannelSettings]):
    def __init__(self, office: Office) -> None:
        super().__init__(office.channels, office.cashier.book)
        self._office = office

    def routes(self) -> list[Route]:
        return [
            *super().routes(),
            Route("/control/{party}/pay/{reference}", self.post_act, methods=["POST"]),
            Route("/control/{party}/truth", self.read_truth, methods=["GET"]),
            Route("/control/{party}/acknowledged", self.read_acknowledged, methods=["GET"]),
        ]

    def error(self, status: int, code: str, message: str) -> Response:
        return JSONResponse({"error": f"{code}: {message}"}, status)

    def refusal(self, refusal: Refusal) -> Response:
        return self.error(404 if refusal.code == "unknown_reference" else 422, refusal.code, str(refusal))

    async def post_act(self, request: Request) -> Response:
        """Be the payer, with the faults of `pay`. `anyway`: pay what is paid or closed."""
        channel, body = self.named(request), await read(request, ActBody)
        reference, cashier = request.path_params["reference"], self._office.cashier

        def work(struck: Strike[Any]) -> Response:
            if body.outcome == "failed":
                outcome = cashier.fail(channel, reference)
            else:
                outcome = cashier.pay(channel, reference, struck, Act(body.times, body.amount_minor, body.anyway))
            self._office.messenger.follow(outcome)
            return JSONResponse(payment_view(outcome.payment))

        return await self._office.attend(request, channel, "pay", reference, work, self)

    async def read_truth(self, request: Request) -> Response:
        """What was really charged and given back: in all by currency, and payment by payment, oldest first."""
        channel = self.named(request)
        cursor, limit = _paged(request)
        found = self._office.cashier.listed(channel.name, None, None, cursor, limit)
        totals = self._office.cashier.book.totals(channel.name)
        return JSONResponse(
            {
                "totals": {currency: asdict(total) for currency, total in totals.items()},
                "payments": [_truth(payment) for payment in found],
                "next_cursor": found[-1].seq if len(found) == limit else None,
            }
        )

    async def read_acknowledged(self, request: Request) -> Response:
        """Callbacks that the merchant has acknowledged, oldest first: it cannot say that it never knew."""
        channel = self.named(request)
        cursor, limit = _paged(request)
        found = self._office.cashier.book.taken(channel.name, cursor, limit)
        return JSONResponse(
            {
                "callbacks": [asdict(each) for each in found],
                "next_cursor": found[-1].seq if len(found) == limit else None,
            }
        )

    async def changed_party(self, request: Request, name: str, known: ChannelSettings | None) -> ChannelSettings:
        body = await read(request, ChannelBody)
        if body.like is not None and body.like not in HOUSES:
            raise Unfit(f"there is no house {body.like!r} to be like")
        if known is None or (body.like is not None and body.like != known.like):
            known = opened(name, body.like or "paybridge")
        return known.model_copy(update=body.model_dump(exclude={"like"}, exclude_none=True))

    def view(self, party: ChannelSettings) -> Json:
        return party.model_dump(exclude={"callback": {"secret"}, "callback_secret": True})

    def entries(
        self, party: ChannelSettings, reference: str | None, order_no: str | None, after: int, limit: int
    ) -> list[Json]:
        found = self._office.cashier.listed(party.name, reference, order_no, after, limit)
        return [entry_view(each) | _truth(each) for each in found]

    def erase(self, party: ChannelSettings) -> None:
        self._office.cashier.book.erase(party.name)


def _paged(request: Request) -> tuple[int, int]:
    """Cursor and limit of a list. Raises Unfit."""
    query = request.query_params
    try:
        cursor, limit = int(query.get("cursor", "0")), int(query.get("limit", str(PAGE_MAX)))
    except ValueError as invalid:
        raise Unfit("cursor and limit are numbers") from invalid
    return cursor, max(1, min(limit, PAGE_MAX))


def _truth(payment: Payment) -> Json:
    """One payment as it really is."""
    return payment_view(payment) | {
        "refunds": [refund_view(payment, refund) for refund in payment.refunds],
        "expires_at": utc(payment.expires_at),
    }
