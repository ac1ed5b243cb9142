"""Coins and vouchers over HTTP: shoppers see what they have and add vouchers, operators grant, issue and block."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from api.balance_views import (
    BalancesView,
    Campaign,
    CodeInput,
    CoinsInput,
    CoinsView,
    IssuedVoucherView,
    UserId,
    VoucherInput,
    VoucherMove,
    VoucherView,
    code_hasher,
)
from api.deps import DatabaseDep, NowDep, SettingsDep, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.pages import Page, PagingDep
from api.views import Id
from domain.access import Action, Principal
from domain.balances import BalancesNotFound
from storage import balance_grants, balances, users
from storage.database import Connection

router = capability("Balances")

MAX_VOUCHERS = 100
"""As many of a shopper's vouchers are shown with the coins; /v1/vouchers lists all."""

Reader = Annotated[Principal, require(Action.BALANCE_READ)]
Writer = Annotated[Principal, require(Action.BALANCE_WRITE)]
Shopper = Annotated[Principal, require(Action.PAYMENT_CREATE)]
UserPath = Annotated[UserId, Path(examples=["usr-0f3a9c1d2b4e5f60"])]
VoucherPath = Annotated[Id, Path(examples=["vch-0f3a9c1d2b4e5f60a1b2"])]

_ADD_CODES = ["voucher_not_found", "voucher_expired", "voucher_blocked"]


async def _balances(connection: Connection, buyer_id: str, now: datetime) -> BalancesView:
    coins = await balances.coin_account(connection, buyer_id)
    vouchers = await balance_grants.usable_vouchers(connection, buyer_id, at=now, limit=MAX_VOUCHERS)
    return BalancesView(
        user_id=buyer_id,
        coins=None if coins is None else CoinsView.of(coins),
        vouchers=[VoucherView.of(row) for row in vouchers],
    )


def _buyer(caller: Principal) -> str:
    if caller.buyer_id is None:
        raise BalancesNotFound
    return caller.buyer_id


@router.get(
    "/v1/balances",
    response_model=BalancesView,
    responses=problems(401, 403, 404, codes=["balances_not_found"]),
    summary="What can I pay with?",
)
async def read_my_balances(caller: Reader, database: DatabaseDep, now: NowDep) -> BalancesView:
    """The shopper's coins, and its vouchers that can still pay something; their codes are never shown again."""
    async with database.reading() as connection:
        return await _balances(connection, _buyer(caller), now)


@router.get(
    "/v1/users/{user_id}/balances",
    response_model=BalancesView,
    responses=problems(401, 403, 404, codes=["balances_not_found"]),
    summary="Read a shopper's balances",
)
async def read_balances(user_id: UserPath, caller: Reader, database: DatabaseDep, now: NowDep) -> BalancesView:
    """What this shopper can pay with; a shopper reads its own only."""
    if caller.buyer_id not in (None, user_id):
        raise BalancesNotFound
    async with database.reading() as connection:
        return await _balances(connection, user_id, now)


@router.post(
    "/v1/users/{user_id}/coins",
    status_code=201,
    response_model=BalancesView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["user_not_found", "coins_unfit", "campaign_unfit"]),
    summary="Grant coins",
)
async def grant_coins(user_id: UserPath, body: CoinsInput, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """The campaign owes us for them from now on. Coins are of one currency per shopper: that of the first grant."""

    async def grant(connection: Connection) -> Answer:
        await users.get_user(connection, user_id)
        await balance_grants.grant_coins(
            connection,
            secrets.token_hex(10),
            buyer_id=user_id,
            amount=body.amount.money(),
            campaign=body.campaign,
            reason=body.reason,
            actor=caller.ref,
            now=now,
        )
        return Answer(201, await _balances(connection, user_id, now))

    return await keeper.in_transaction(caller, grant)


@router.post(
    "/v1/vouchers",
    status_code=201,
    response_model=IssuedVoucherView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["user_not_found", "campaign_unfit", "voucher_invalid"]),
    summary="Issue a voucher",
)
async def issue_voucher(
    body: VoucherInput, caller: Writer, keeper: KeeperDep, settings: SettingsDep, now: NowDep
) -> Response:
    """Stored value with a code, shown this once: a replay of this request has `code: null`."""

    async def issue(connection: Connection) -> Answer:
        new, code = body.minted(code_hasher(settings))
        if new.buyer_id is not None:
            await users.get_user(connection, new.buyer_id)
        row = await balance_grants.issue_voucher(connection, new, actor=caller.ref, now=now)
        shown = IssuedVoucherView(**VoucherView.of(row).model_dump(), code=code)
        return Answer(201, shown, {"Cache-Control": "no-store"}, kept=shown.model_copy(update={"code": None}))

    return await keeper.in_transaction(caller, issue)


@router.get(
    "/v1/vouchers",
    response_model=Page[VoucherView],
    responses=problems(401, 403, 404, codes=["balances_not_found"]),
    summary="List vouchers",
)
async def list_vouchers(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    user_id: Annotated[UserId | None, Query(description="Only this shopper's.")] = None,
    campaign: Annotated[Campaign | None, Query(description="Only this campaign's.")] = None,
) -> Response:
    """All vouchers, also those that are used up or have run out, without codes; a shopper sees its own."""
    if caller.buyer_id not in (None, user_id or caller.buyer_id):
        raise BalancesNotFound
    async with database.reading() as connection:
        rows = await balance_grants.list_vouchers(
            connection,
            buyer_id=caller.buyer_id or user_id,
            campaign=campaign,
            after=paging.after(caller),
            limit=paging.fetch,
        )
    return paging.answer(caller, rows, VoucherView.of, lambda row: [row["id"]])


@router.post(
    "/v1/vouchers/claim",
    status_code=201,
    response_model=VoucherView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=[*_ADD_CODES, "balances_not_found"]),
    summary="Add a voucher by its code",
)
async def claim_voucher(
    body: CodeInput, caller: Shopper, keeper: KeeperDep, settings: SettingsDep, now: NowDep
) -> Response:
    """It is this shopper's from now on, for good. Again: the same answer."""
    buyer_id = _buyer(caller)

    async def claim(connection: Connection) -> Answer:
        hasher = code_hasher(settings)
        (voucher_id,) = await balances.resolve_codes(connection, [body.code], hasher=hasher, buyer_id=buyer_id, at=now)
        return Answer(201, VoucherView.of(await balance_grants.get_voucher(connection, voucher_id)))

    return await keeper.in_transaction(caller, claim)


@router.post(
    "/v1/vouchers/{voucher_id}/transitions",
    response_model=VoucherView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["voucher_not_found", "illegal_transition"]),
    summary="Block or unblock a voucher",
)
async def move_voucher(
    voucher_id: VoucherPath, body: VoucherMove, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """Payments that hold it keep what they hold; no other can use it while it is `blocked`."""

    async def move(connection: Connection) -> Answer:
        row = await balance_grants.move_voucher(
            connection, voucher_id, body.event, reason=body.reason, actor=caller.ref, now=now
        )
        return Answer(200, VoucherView.of(row))

    return await keeper.in_transaction(caller, move)
