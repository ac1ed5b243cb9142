"""Checkouts over HTTP: a shopper's cart is priced, shown, and gets the number of its order to be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import Field
from starlette.responses import Response

from activities.admission import plan_wish
from activities.order_messages import PlannedOrder
from api.deps import DatabaseDep, NowDep, Parts, capability, parts_of, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.order_inputs import CartInput
from api.order_placing import timings_of
from api.plan_views import PlannedLineView, lines_of
from api.views import Id, Instant, MoneyView, OrderNo, View
from domain.access import HOUSE, Action, Principal
from domain.checkouts import checkout_id_of, payable_by
from domain.money import Money
from storage import checkouts
from storage.checkouts import CheckoutRow, OpenChannel
from storage.database import Connection

router = capability("Checkouts")

Shopper = Annotated[Principal, require(Action.CHECKOUT_CREATE)]
CheckoutId = Annotated[Id, Path(description="A checkout's id, as making it showed it.", examples=["chk-103900000"])]

_CODES = [
    "price_changed", "product_not_found", "not_on_sale", "insufficient_stock", "risk_denied", "currency_mismatch",
    "event_past", "session_unknown", "visitors_required", "buyer_limit_exceeded", "address_required",
    "not_deliverable", "account_required", "promotion_not_applicable", "promotion_expired", "promotion_exhausted",
]  # fmt: skip


class PayingChannelView(View):
    """A payment channel that would take this checkout's total."""

    id: str
    name: str


class CheckoutView(View):
    """What placing this checkout will charge. Nothing is held before it is placed.

    `order_no`: the number that its order will have. `payable_by`: channels that would take the total now.
    """

    id: str = Field(examples=["chk-1039000000000000001"])
    order_no: OrderNo
    total: MoneyView
    discount: MoneyView
    lines: list[PlannedLineView]
    payable_by: list[PayingChannelView]
    expires_at: Instant
    created_at: Instant

    @classmethod
    def of(cls, row: CheckoutRow, channels: list[OpenChannel]) -> CheckoutView:
        lines = [PlannedLineView(**line) for line in row.shown["lines"]]
        taken_off = sum(each.amount.amount_minor for line in lines for each in line.discounts)
        able = payable_by(
            [channel.terms for channel in channels], Money(row.total_minor, row.currency), row.shown["kinds"]
        )
        return cls(
            id=row.id,
            order_no=row.order_no,
            total=MoneyView(amount_minor=row.total_minor, currency=row.currency),
            discount=MoneyView(amount_minor=taken_off, currency=row.currency),
            lines=lines,
            payable_by=[
                PayingChannelView(id=channel.terms.channel_id, name=channel.name)
                for channel in channels
                if channel.terms.channel_id in able
            ],
            expires_at=row.expires_at,
            created_at=row.created_at,
        )


@router.post(
    "/v1/checkouts",
    status_code=201,
    response_model=CheckoutView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=_CODES),
    summary="Check out a cart",
)
async def create_checkout(
    body: CartInput, request: Request, caller: Shopper, keeper: KeeperDep, now: NowDep
) -> Response:
    """Prices the cart as placing would, and shows what will be charged, or refuses as placing would.

    Place it by POST /v1/orders with its id before `expires_at`: it is placed once, at these prices or not at all.
    """
    parts = parts_of(request)

    async def create(connection: Connection) -> Answer:
        row = await _priced(connection, parts, body, caller, now)
        await checkouts.add_checkout(connection, row)
        view = CheckoutView.of(row, await checkouts.open_channels(connection))
        return Answer(201, view, {"Location": f"/v1/checkouts/{row.id}"})

    return await keeper.in_transaction(caller, create)


@router.get(
    "/v1/checkouts/{checkout_id}",
    response_model=CheckoutView,
    responses=problems(401, 403, 404, codes=["checkout_not_found"]),
    summary="Read a checkout",
)
async def read_checkout(checkout_id: CheckoutId, caller: Shopper, database: DatabaseDep) -> CheckoutView:
    """As it was shown, with the channels that would take its total now. Shoppers see their own."""
    async with database.reading() as connection:
        row = await checkouts.get_checkout(connection, checkout_id, user_id=caller.buyer_id)
        return CheckoutView.of(row, await checkouts.open_channels(connection))


async def _priced(
    connection: Connection, parts: Parts, body: CartInput, caller: Principal, now: datetime
) -> CheckoutRow:
    assert caller.buyer_id is not None, "only shoppers may check out"
    request: dict[str, Any] = body.model_dump(mode="json", exclude_none=True) | {"buyer_ref": caller.buyer_id}
    plan = await plan_wish(connection, HOUSE, request, now, timings_of(parts))
    # what was shown is what may be charged: a total that has changed since refuses the order
    request["expected_total"] = {"amount_minor": plan.total_minor, "currency": plan.currency}
    order_no = parts.next_order_no(caller.buyer_id)
    return CheckoutRow(
        id=checkout_id_of(order_no),
        order_no=order_no,
        user_id=caller.buyer_id,
        request=request,
        shown=_shown(plan),
        currency=plan.currency,
        total_minor=plan.total_minor,
        expires_at=now + timedelta(seconds=parts.settings.checkout_s),
        created_at=now,
    )


def _shown(plan: PlannedOrder) -> dict[str, Any]:
    """Plain JSON, without anything personal."""
    return {
        "lines": [line.model_dump(mode="json") for line in lines_of(plan)],
        "kinds": sorted({line.kind for line in plan.lines}),
    }
