"""Orders over HTTP: place, read, confirm, cancel, extend, review. Writes speak to the workflow, reads to SQL."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request
from starlette.responses import Response

from activities.order_messages import ReviewDecision
from api.deps import DatabaseDep, NowDep, SettingsDep, TemporalDep, capability, parts_of, require
from api.errors import problems
from api.idempotency import Answer, IdempotencyKeyDep, KeeperDep, hash_of
from api.order_actions import OrderActions, OrderNotFound
from api.order_inputs import CancelInput, CheckoutInput, ExtendInput, PlaceInput, ReviewInput
from api.order_placing import Asked, Placing, accepted, asked_of_checkout
from api.order_views import AcceptedView, OrderSummaryView, OrderView, PlacedView, StandingView
from api.pages import Page, PagingDep
from api.plan_views import PlanView
from api.views import Id, Instant
from domain.access import Action, Principal
from domain.checkouts import CheckoutRequired
from domain.orders import OrderStatus
from storage import order_claims, order_reading
from storage.order_reading import OrderFilter
from workflows.orders import Cancel, Confirm, Extend, OrderWorkflow

router = capability("orders", "Orders")

OrderNumber = Annotated[str, Path(pattern=r"^[0-9]{1,19}$", examples=["1039000000000000001"])]
Creator = Annotated[Principal, require(Action.ORDER_CREATE)]
Reader = Annotated[Principal, require(Action.ORDER_READ)]

_PLACE_CODES = [
    "price_changed", "product_not_found", "not_on_sale", "not_permitted", "credit_exceeded", "insufficient_stock",
    "supplier_unavailable", "seat_taken", "risk_denied", "buyer_blocked", "currency_mismatch", "event_past",
    "session_unknown", "visitors_required", "buyer_limit_exceeded", "category_not_supported",
    "promotion_not_applicable", "promotion_expired", "promotion_exhausted",
    "client_order_no_reused", "idempotency_key_reused", "request_in_flight",
    "checkout_not_found", "checkout_expired", "checkout_required",
]  # fmt: skip


@router.post(
    "/v1/orders",
    status_code=201,
    response_model=PlacedView,
    responses={
        200: {"model": PlanView, "description": "Dry run: what would be done"},
        202: {"description": "Not answered in time, or parked for review: poll `Location`"},
        **problems(401, 403, 404, 409, 413, 415, codes=_PLACE_CODES),
    },
    summary="Place an order",
)
async def place_order(
    body: PlaceInput,
    request: Request,
    caller: Creator,
    key: IdempotencyKeyDep,
    client: TemporalDep,
    now: NowDep,
    dry_run: Annotated[bool, Query(description="Answer what would be held, bought and owed; do nothing.")] = False,
) -> Response:
    """Checks, holds stock, credit and seats, and locks the order; or refuses and leaves nothing held.

    Once per Idempotency-Key and per `client_order_no`; a shopper's once per checkout, whatever the key. Confirm, or as
    a shopper pay, before `hold_expires_at`.
    """
    parts = parts_of(request)
    placing = Placing(parts, client)
    if isinstance(body, CheckoutInput):
        asked = await asked_of_checkout(parts, body.checkout_id, caller, now)
    elif caller.buyer_id is not None:
        raise CheckoutRequired
    else:
        asked = Asked.of_order(body, caller, key, await hash_of(request))
    if dry_run:
        return await placing.plan(asked)
    return await placing.place(asked, request.scope)


@router.get("/v1/orders", response_model=Page[OrderSummaryView], responses=problems(401, 403), summary="List orders")
async def list_orders(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    status: Annotated[OrderStatus | None, Query()] = None,
    buyer_ref: Annotated[Id | None, Query()] = None,
    client_order_no: Annotated[str | None, Query(max_length=100)] = None,
    supplier_id: Annotated[Id | None, Query(description="Booked, or tried, at this supplier.")] = None,
    distributor_id: Annotated[Id | None, Query(description="For operators: one distributor's.")] = None,
    in_review: Annotated[bool | None, Query(description="Parked by a risk rule.")] = None,
    created_from: Annotated[Instant | None, Query(description="Placed at or after.")] = None,
    created_to: Annotated[Instant | None, Query(description="Placed before.")] = None,
) -> Response:
    """Newest first. Distributors see their own, shoppers theirs."""
    narrowed = OrderFilter(
        distributor_id=caller.distributor_id or distributor_id,
        status=status,
        buyer_ref=caller.buyer_id or buyer_ref,
        client_order_no=client_order_no,
        supplier_id=supplier_id,
        in_review=in_review,
        created_from=created_from,
        created_to=created_to,
    )
    after = paging.after(caller)
    async with database.reading() as connection:
        rows = await order_reading.list_orders(
            connection, narrowed, before=int(after[0]) if after else None, limit=paging.limit
        )
    return paging.answer(caller, rows, OrderSummaryView.of, lambda row: [str(row["order_no"])])


@router.get(
    "/v1/orders/{order_no}",
    response_model=OrderView,
    responses={
        202: {"model": AcceptedView, "description": "Accepted, and not placed yet: poll again"},
        **problems(401, 403, 404),
    },
    summary="Read an order",
)
async def read_order(
    order_no: OrderNumber, caller: Reader, request: Request, database: DatabaseDep, settings: SettingsDep
) -> Response:
    """Everything about it in one read: axes, lines with snapshots and tickets, money, timeline, what you may do."""
    keys = parts_of(request).ticket_keys
    async with database.reading() as connection:
        number = _number(order_no)
        row = await order_reading.read_detail(connection, number, caller.fence)
        if row is None and await order_claims.is_accepted(connection, number, caller.fence):
            return accepted(number).response()
    if row is None:
        raise OrderNotFound(order_no)
    view = OrderView.full(row, operator=caller.distributor_id is None, ui_url=settings.temporal_ui_url, keys=keys)
    return Answer(200, view, {"ETag": f'"{view.version}"'}).response()


@router.post(
    "/v1/orders/{order_no}/confirm",
    response_model=StandingView,
    responses={
        202: {"model": StandingView, "description": "Still issuing: poll the order, or wait for its event"},
        **problems(401, 403, 404, 409, 413, 415, codes=["order_state_conflict"]),
    },
    summary="Confirm an order",
)
async def confirm_order(
    order_no: OrderNumber,
    caller: Annotated[Principal, require(Action.ORDER_CONFIRM)],
    keeper: KeeperDep,
    actions: OrderActions,
    settings: SettingsDep,
    wait_s: Annotated[float | None, Query(ge=0, le=30, description="How long to wait for the outcome.")] = None,
) -> Response:
    """`locked` becomes `issuing`, paid on account. Answers with the outcome if it comes within `wait_s` (default 2 s).

    In `issuing` and `issued` it gives the same answer again; otherwise 409 with the state.
    """
    wait = settings.confirm_wait_s if wait_s is None else wait_s
    message = Confirm(caller.ref, wait)
    return await keeper.elsewhere(
        caller, lambda: actions.send(caller, _number(order_no), OrderWorkflow.confirm, message, keeper.key, wait)
    )


@router.post(
    "/v1/orders/{order_no}/cancel",
    response_model=StandingView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["order_state_conflict", "issuance_undecided"]),
    summary="Cancel an order",
)
async def cancel_order(
    order_no: OrderNumber,
    caller: Annotated[Principal, require(Action.ORDER_CANCEL)],
    keeper: KeeperDep,
    actions: OrderActions,
    body: CancelInput | None = None,
    dry_run: Annotated[bool, Query(description="Answer whether it could be cancelled; do nothing.")] = False,
) -> Response:
    """Before it is confirmed: everything held is given back. While it is being issued: 409 `issuance_undecided`."""
    if dry_run:
        return (await actions.would_cancel(caller, _number(order_no))).response()
    message = Cancel(caller.ref, (body or CancelInput()).reason)
    return await keeper.elsewhere(
        caller, lambda: actions.send(caller, _number(order_no), OrderWorkflow.cancel, message, keeper.key)
    )


@router.post(
    "/v1/orders/{order_no}/extend",
    response_model=StandingView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["order_state_conflict", "hold_not_extended"]),
    summary="Extend an order's hold",
)
async def extend_order(
    order_no: OrderNumber,
    body: ExtendInput,
    caller: Annotated[Principal, require(Action.ORDER_EXTEND)],
    keeper: KeeperDep,
    actions: OrderActions,
) -> Response:
    """Both clocks, for the space and for the price, run on; at suppliers first, never past the ceiling."""
    message = Extend(caller.ref, body.by_s)
    return await keeper.elsewhere(
        caller, lambda: actions.send(caller, _number(order_no), OrderWorkflow.extend, message, keeper.key)
    )


@router.post(
    "/v1/orders/{order_no}/review",
    response_model=StandingView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["order_state_conflict"]),
    summary="Review a parked order",
)
async def review_order(
    order_no: OrderNumber,
    body: ReviewInput,
    caller: Annotated[Principal, require(Action.ORDER_REVIEW)],
    keeper: KeeperDep,
    actions: OrderActions,
) -> Response:
    """An operator lets an order go on that a risk rule has parked, or denies it."""
    message = ReviewDecision(body.decision == "approve", body.reason, caller.ref)
    return await keeper.elsewhere(
        caller, lambda: actions.send(caller, _number(order_no), OrderWorkflow.review, message, keeper.key)
    )


def _number(order_no: str) -> int:
    """The order's number. Raises OrderNotFound for what no order can have."""
    number = int(order_no)
    if number >= 2**63:
        raise OrderNotFound(order_no)
    return number
