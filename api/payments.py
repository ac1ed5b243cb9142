"""Payments over HTTP: a shopper pays orders of theirs, reads what became of it, or gives it up."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request
from starlette.responses import Response

from activities.payment_messages import CancelPayment
from api import payment_host
from api.deps import DatabaseDep, Parts, SettingsDep, TemporalDep, capability, parts_of, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep, hash_of
from api.order_host import Undecided
from api.pages import Page, PagingDep
from api.payment_drafting import draft_payment
from api.payment_views import PaymentCancelInput, PaymentInput, PaymentView
from api.views import OrderNo
from domain.access import Action, Principal
from domain.errors import Refused
from domain.payments import UNDECIDED, PaymentDecided, PaymentNotFound, PayStatus
from storage import pay_reading
from storage.pay_reading import PaymentFilter

router = capability("Payments")

Payer = Annotated[Principal, require(Action.PAYMENT_CREATE)]
Reader = Annotated[Principal, require(Action.PAYMENT_READ)]
PaymentId = Annotated[str, Path(pattern=r"^pay-[0-9]{19}$", examples=["pay-1039000000000000001"])]

_PAY_CODES = [
    "order_not_payable", "order_being_paid", "currency_mismatch", "nothing_to_pay", "channel_required",
    "payment_method_not_allowed", "parts_exceed_total", "payment_declined", "coins_insufficient", "coins_unfit",
    "voucher_expired", "voucher_blocked", "voucher_unfit", "voucher_empty", "order_not_found", "channel_not_found",
    "voucher_not_found",
]  # fmt: skip


@router.post(
    "/v1/payments",
    status_code=201,
    response_model=PaymentView,
    responses={
        202: {"model": PaymentView, "description": "The channel has not answered in time: poll `Location`"},
        **problems(401, 403, 404, 409, 413, 415, codes=_PAY_CODES),
    },
    summary="Pay orders",
)
async def create_payment(
    body: PaymentInput, request: Request, caller: Payer, keeper: KeeperDep, client: TemporalDep
) -> Response:
    """Holds coins and vouchers, and has the channel wait for the payer: `action` says what they have to do.

    The orders are issued when the money is there, which the channel tells, or is asked for. Once per Idempotency-Key.
    """
    parts, body_hash = parts_of(request), await hash_of(request)
    assert caller.buyer_id is not None, "only shoppers pay"
    buyer_id = caller.buyer_id

    async def pay() -> Answer:
        pay_id = await draft_payment(parts, buyer_id, keeper.key, body_hash, body)
        try:
            answer = await payment_host.begin(client, pay_id)
        except Undecided:
            return await _shown(parts, caller, pay_id, 202)
        if answer.refusal is not None:
            raise Refused(answer.refusal)
        return await _shown(parts, caller, pay_id, 201)

    return await keeper.elsewhere(caller, pay)


@router.get("/v1/payments", response_model=Page[PaymentView], responses=problems(401, 403), summary="List payments")
async def list_payments(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    settings: SettingsDep,
    status: Annotated[PayStatus | None, Query()] = None,
    order_no: Annotated[OrderNo | None, Query(description="Pays, or was to pay, this order.")] = None,
    buyer_id: Annotated[str | None, Query(max_length=64, description="For operators: one shopper's.")] = None,
) -> Response:
    """Newest first. Shoppers see their own."""
    narrowed = PaymentFilter(caller.buyer_id or buyer_id, status, order_no)
    after, operator = paging.after(caller), caller.distributor_id is None
    async with database.reading() as connection:
        rows = await pay_reading.list_payments(
            connection, narrowed, before=str(after[0]) if after else None, limit=paging.fetch
        )
    return paging.answer(
        caller,
        rows,
        lambda row: PaymentView.of(row, operator=operator, ui_url=settings.temporal_ui_url),
        lambda row: [row["id"]],
    )


@router.get(
    "/v1/payments/{payment_id}",
    response_model=PaymentView,
    responses=problems(401, 403, 404, codes=["payment_not_found"]),
    summary="Read a payment",
)
async def read_payment(payment_id: PaymentId, caller: Reader, request: Request) -> Response:
    """With its orders' shares, and what went back of it. Shoppers see their own."""
    return (await _shown(parts_of(request), caller, payment_id, 200)).response()


@router.post(
    "/v1/payments/{payment_id}/cancel",
    response_model=PaymentView,
    responses={
        202: {"model": PaymentView, "description": "The channel has not closed it yet: poll `Location`"},
        **problems(401, 403, 404, 409, 413, 415, codes=["payment_not_found", "payment_state_conflict"]),
    },
    summary="Cancel a payment",
)
async def cancel_payment(
    payment_id: PaymentId,
    request: Request,
    caller: Annotated[Principal, require(Action.PAYMENT_CANCEL)],
    keeper: KeeperDep,
    client: TemporalDep,
    body: PaymentCancelInput | None = None,
) -> Response:
    """Closes it at its channel, so that nobody can pay it any more; its orders wait to be paid again.

    Who has paid it already wins: 409 with the state.
    """
    parts = parts_of(request)
    message = CancelPayment(caller.ref, (body or PaymentCancelInput()).reason)

    async def cancel() -> Answer:
        status = PayStatus((await _read(parts, caller, payment_id))["status"])
        if status not in UNDECIDED:
            raise PaymentDecided(status)
        try:
            await payment_host.cancel(client, payment_id, message, update_id=f"cancel/{caller.ref}/{keeper.key}")
        except Undecided:
            return await _shown(parts, caller, payment_id, 202)
        return await _shown(parts, caller, payment_id, 200)

    return await keeper.elsewhere(caller, cancel)


async def _read(parts: Parts, caller: Principal, pay_id: str) -> pay_reading.Row:
    """Within the caller's fence. Raises PaymentNotFound."""
    async with parts.database.reading() as connection:
        row = await pay_reading.read_payment(connection, pay_id, buyer_id=caller.buyer_id)
    if row is None:
        raise PaymentNotFound(pay_id)
    return row


async def _shown(parts: Parts, caller: Principal, pay_id: str, status: int) -> Answer:
    row = await _read(parts, caller, pay_id)
    view = PaymentView.of(row, operator=caller.distributor_id is None, ui_url=parts.settings.temporal_ui_url)
    return Answer(status, view, {"Location": f"/v1/payments/{pay_id}"})
