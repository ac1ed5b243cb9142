"""Promotions and coupons over HTTP: operators make and steer them, distributors read and claim what they can use."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from api.catalog_edits import IfMatch, version_of
from api.deps import DatabaseDep, NowDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.pages import Page, PagingDep
from api.promotion_views import (
    ClaimInput,
    CouponBatch,
    CouponView,
    IssuedCoupon,
    IssuedView,
    PromotionEdit,
    PromotionInput,
    PromotionMove,
    PromotionView,
)
from api.views import Id
from domain.access import Action, Fence, Principal
from domain.coupons import CouponState
from domain.promotions import PromotionState
from storage import coupons, promotion_writing
from storage.coupons import CouponFilter
from storage.database import Connection

router = capability("Promotions")

Reader = Annotated[Principal, require(Action.PROMOTION_READ)]
Writer = Annotated[Principal, require(Action.PROMOTION_WRITE)]
Claimer = Annotated[Principal, require(Action.COUPON_CLAIM)]
PromotionId = Annotated[Id, Path(examples=["prm_0f3a9c1d2b4e5f60a1b2"])]
CouponId = Annotated[Id, Path(examples=["cpn_0f3a9c1d2b4e5f60a1b2"])]

_MISSING = ["promotion_not_found"]
_CLAIM_CODES = [
    "coupon_not_found", "coupon_claimed", "promotion_expired", "promotion_exhausted", "promotion_not_applicable",
]  # fmt: skip


async def _shown(connection: Connection, promotion_id: str, now: datetime, status: int = 200) -> Answer:
    """The promotion as operators see it, with its ETag."""
    row = await promotion_writing.get_promotion(connection, promotion_id, Fence(), now=now)
    headers = {"ETag": f'"{row["version"]}"'}
    if status == 201:
        headers["Location"] = f"/v1/promotions/{promotion_id}"
    return Answer(status, PromotionView.of(row, operator=True), headers)


@router.post(
    "/v1/promotions",
    status_code=201,
    response_model=PromotionView,
    responses=problems(401, 403, 409, 413, 415, codes=["promotion_invalid"]),
    summary="Create a promotion",
)
async def create_promotion(body: PromotionInput, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """It runs from `valid_from` on. Orders are given the best legal combination of all that run."""

    async def create(connection: Connection) -> Answer:
        row = body.row(now)
        await promotion_writing.create_promotion(connection, row, actor=caller.ref, now=now)
        return await _shown(connection, row["id"], now, 201)

    return await keeper.in_transaction(caller, create)


@router.get(
    "/v1/promotions", response_model=Page[PromotionView], responses=problems(401, 403), summary="List promotions"
)
async def list_promotions(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    now: NowDep,
    state: Annotated[PromotionState | None, Query(description="Distributors only ever see `active`.")] = None,
) -> Response:
    """All promotions with their counters; a distributor sees those that it can use, without."""
    async with database.reading() as connection:
        rows = await promotion_writing.list_promotions(
            connection,
            caller.fence,
            state=state,
            now=now,
            after=paging.after(caller),
            limit=paging.fetch,
        )
    operator = caller.distributor_id is None
    return paging.answer(caller, rows, lambda row: PromotionView.of(row, operator=operator), lambda row: [row["id"]])


@router.get(
    "/v1/promotions/{promotion_id}",
    response_model=PromotionView,
    responses=problems(401, 403, 404, codes=_MISSING),
    summary="Read a promotion",
)
async def read_promotion(
    promotion_id: PromotionId, caller: Reader, database: DatabaseDep, now: NowDep, response: Response
) -> PromotionView:
    """One promotion; with its counters for operators."""
    async with database.reading() as connection:
        row = await promotion_writing.get_promotion(connection, promotion_id, caller.fence, now=now)
    response.headers["ETag"] = f'"{row["version"]}"'
    return PromotionView.of(row, operator=caller.distributor_id is None)


@router.patch(
    "/v1/promotions/{promotion_id}",
    response_model=PromotionView,
    responses=problems(
        401, 403, 404, 409, 412, 413, 415,
        codes=[*_MISSING, "promotion_in_use", "promotion_stock_below_uses", "promotion_invalid"],
    ),
    summary="Edit a promotion",
)  # fmt: skip
async def edit_promotion(
    promotion_id: PromotionId,
    body: PromotionEdit,
    caller: Writer,
    database: DatabaseDep,
    now: NowDep,
    if_match: IfMatch = None,
) -> Response:
    """Sets the fields that are given. Once an order was priced with it, only name, end, limits and priority move."""
    async with database.transaction() as connection:
        await promotion_writing.edit_promotion(
            connection,
            promotion_id,
            body.changes(),
            if_version=version_of(if_match),
            actor=caller.ref,
            now=now,
        )
        return (await _shown(connection, promotion_id, now)).response()


@router.post(
    "/v1/promotions/{promotion_id}/transitions",
    response_model=PromotionView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=[*_MISSING, "illegal_transition"]),
    summary="Pause, resume or end a promotion",
)
async def move_promotion(
    promotion_id: PromotionId, body: PromotionMove, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """Orders that hold a use of it keep it; `end` is for good."""

    async def move(connection: Connection) -> Answer:
        await promotion_writing.move_promotion(
            connection, promotion_id, body.event, reason=body.reason, actor=caller.ref, now=now
        )
        return await _shown(connection, promotion_id, now)

    return await keeper.in_transaction(caller, move)


@router.post(
    "/v1/promotions/{promotion_id}/coupons",
    status_code=201,
    response_model=IssuedView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=[*_MISSING, "coupon_code_taken", "promotion_invalid"]),
    summary="Issue coupons",
)
async def issue_coupons(
    promotion_id: PromotionId, body: CouponBatch, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """A batch of codes, or one that you name. The answer is the only place that shows them whole."""

    async def issue(connection: Connection) -> Answer:
        new = body.coupons()
        await coupons.issue(
            connection,
            promotion_id,
            new,
            most_uses=body.most_uses,
            valid_to=body.valid_to,
            actor=caller.ref,
            now=now,
        )
        view = IssuedView(
            promotion_id=promotion_id,
            most_uses=body.most_uses,
            valid_to=body.valid_to,
            coupons=[IssuedCoupon(id=coupon.id, code=coupon.code) for coupon in new],
        )
        return Answer(201, view)

    return await keeper.in_transaction(caller, issue)


@router.get("/v1/coupons", response_model=Page[CouponView], responses=problems(401, 403), summary="List coupons")
async def list_coupons(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    now: NowDep,
    promotion_id: Annotated[Id | None, Query(description="Only this promotion's.")] = None,
    buyer_ref: Annotated[Id | None, Query()] = None,
    state: Annotated[
        CouponState | None, Query(description="`expired` includes those that nobody used in time.")
    ] = None,
) -> Response:
    """All coupons; a distributor sees those that its buyers have claimed, a shopper their own."""
    narrowed = CouponFilter(caller.distributor_id, promotion_id, caller.buyer_id or buyer_ref, state)
    async with database.reading() as connection:
        rows = await coupons.list_coupons(connection, narrowed, now=now, after=paging.after(caller), limit=paging.fetch)
    return paging.answer(caller, rows, lambda row: CouponView.of(row, now), lambda row: [row["id"]])


@router.post(
    "/v1/coupons/claims",
    status_code=201,
    response_model=CouponView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=_CLAIM_CODES),
    summary="Claim a coupon for a buyer",
)
async def claim_coupon(body: ClaimInput, caller: Claimer, keeper: KeeperDep, now: NowDep) -> Response:
    """From then on only this buyer can use it. Again for the same buyer: the same answer."""

    async def claim(connection: Connection) -> Answer:
        row = await coupons.claim(connection, body.code, distributor_id=caller.id, buyer_ref=body.buyer_ref, now=now)
        return Answer(201, CouponView.of(row, now))

    return await keeper.in_transaction(caller, claim)


@router.post(
    "/v1/coupons/{coupon_id}/expire",
    response_model=CouponView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["coupon_not_found"]),
    summary="Expire a coupon",
)
async def expire_coupon(coupon_id: CouponId, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """No order can hold it from now on; one that holds it already keeps it."""

    async def expire(connection: Connection) -> Answer:
        return Answer(200, CouponView.of(await coupons.expire(connection, coupon_id, actor=caller.ref, now=now), now))

    return await keeper.in_transaction(caller, expire)
