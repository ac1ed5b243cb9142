"""Accounts over HTTP: distributors with their credit line, operators, keys and grants, and who the caller is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path, Request
from starlette.responses import Response

from api.account_views import (
    CreditLineChange,
    CreditLineView,
    DistributorCreate,
    DistributorView,
    GrantCreate,
    GrantView,
    KeyCreate,
    KeysView,
    KeyView,
    MeView,
    NewKeyView,
    OperatorCreate,
    OperatorView,
    first_grants,
    limit_of,
    tag_of,
)
from api.deps import DatabaseDep, NowDep, SettingsDep, capability, parts_of, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.keys import mint
from api.pages import Page, PagingDep
from api.views import Id
from domain.access import Action, Principal, PrincipalKind
from storage import accounts
from storage.database import Connection

router = capability("Accounts")

Reader = Annotated[Principal, require(Action.ACCOUNT_READ)]
Writer = Annotated[Principal, require(Action.ACCOUNT_WRITE)]
Anyone = Annotated[Principal, require(Action.SELF_READ)]
DistributorId = Annotated[Id, Path(examples=["dst_acme"])]
OperatorId = Annotated[Id, Path(examples=["opr_ada"])]
KeyId = Annotated[Id, Path(description="The public part of a key.", examples=["0f3a9c1d2b4e5f60"])]

_WRITE = problems(401, 403, 404, 409, 413, 415)
_READ = problems(401, 403, 404)


@router.get("/v1/me", response_model=MeView, responses=problems(401, 403), summary="Who am I?")
async def read_me(caller: Anyone, database: DatabaseDep, now: NowDep) -> MeView:
    """The caller, what it may do now, and for a distributor its credit line."""
    credit = None
    if caller.kind is PrincipalKind.DISTRIBUTOR:
        async with database.reading() as connection:
            credit = CreditLineView.of(await accounts.distributor(connection, caller.id))
    return MeView(
        kind=caller.kind, id=caller.id, role=caller.role, actions=sorted(caller.actions(now)), credit_line=credit
    )


@router.post(
    "/v1/distributors",
    status_code=201,
    response_model=DistributorView,
    responses={**_WRITE, **problems(401, 403, 409, 413, 415, codes=["account_exists"])},
    summary="Create a distributor",
)
async def create_distributor(body: DistributorCreate, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """A reseller with its credit line and the default grants, but without a key yet."""

    async def create(connection: Connection) -> Answer:
        row = body.row(now)
        await accounts.add_distributor(
            connection,
            row,
            limit_minor=body.credit_limit_minor,
            prepaid_minor=body.prepaid_minor,
            grants=first_grants(row.id, now),
        )
        view = DistributorView.of(await accounts.distributor(connection, row.id))
        return Answer(201, view, {"Location": f"/v1/distributors/{row.id}"})

    return await keeper.in_transaction(caller, create)


@router.get(
    "/v1/distributors",
    response_model=Page[DistributorView],
    responses=problems(401, 403),
    summary="List distributors",
)
async def list_distributors(caller: Reader, paging: PagingDep, database: DatabaseDep) -> Response:
    """All distributors with their credit lines, by id."""
    async with database.reading() as connection:
        rows = await accounts.distributors(connection, after=paging.after(caller), limit=paging.fetch)
    return paging.answer(caller, rows, DistributorView.of, lambda row: [row["id"]])


@router.get(
    "/v1/distributors/{distributor_id}",
    response_model=DistributorView,
    responses=_READ,
    summary="Read a distributor",
)
async def read_distributor(distributor_id: DistributorId, _: Reader, database: DatabaseDep) -> DistributorView:
    """One distributor with its credit line."""
    async with database.reading() as connection:
        return DistributorView.of(await accounts.distributor(connection, distributor_id))


@router.get(
    "/v1/distributors/{distributor_id}/credit-line",
    response_model=CreditLineView,
    responses=_READ,
    summary="Read a credit line",
)
async def read_credit_line(
    distributor_id: DistributorId, _: Reader, database: DatabaseDep, response: Response
) -> CreditLineView:
    """Limit, prepaid, outstanding, held and available. The `ETag` is of what people edit: the limit."""
    async with database.reading() as connection:
        row = await accounts.distributor(connection, distributor_id)
    response.headers["ETag"] = tag_of(row)
    return CreditLineView.of(row)


@router.put(
    "/v1/distributors/{distributor_id}/credit-line",
    response_model=CreditLineView,
    responses=problems(401, 403, 404, 409, 412, 413, 415, codes=["currency_mismatch"]),
    summary="Change a credit limit",
)
async def change_credit_line(
    distributor_id: DistributorId,
    body: CreditLineChange,
    _: Writer,
    database: DatabaseDep,
    response: Response,
    if_match: Annotated[str | None, Header(max_length=100, description="The `ETag` that was read.")] = None,
) -> CreditLineView:
    """Sets the limit; with `If-Match` only if nobody changed it. Below what is used is legal: it stops new orders."""
    async with database.transaction() as connection:
        body.check((await accounts.distributor(connection, distributor_id))["currency"])
        row = await accounts.change_limit(
            connection, distributor_id, body.limit.amount_minor, expected_limit_minor=limit_of(if_match)
        )
    response.headers["ETag"] = tag_of(row)
    return CreditLineView.of(row)


@router.post(
    "/v1/distributors/{distributor_id}/grants",
    status_code=201,
    response_model=GrantView,
    responses=problems(401, 403, 404, 409, 413, 415, codes=["not_grantable", "grant_exists", "too_many_grants"]),
    summary="Grant an action",
)
async def create_grant(
    distributor_id: DistributorId, body: GrantCreate, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """Leave to do one action, over all or one category, supplier or product, from when, until when."""

    async def create(connection: Connection) -> Answer:
        row = body.row(distributor_id, now)
        await accounts.add_grant(connection, row)
        return Answer(201, GrantView.of(row.model_dump()))

    return await keeper.in_transaction(caller, create)


@router.get(
    "/v1/distributors/{distributor_id}/grants",
    response_model=Page[GrantView],
    responses=_READ,
    summary="List grants",
)
async def list_grants(
    distributor_id: DistributorId, caller: Reader, paging: PagingDep, database: DatabaseDep
) -> Response:
    """What a distributor may do, past and future grants included."""
    async with database.reading() as connection:
        await accounts.distributor(connection, distributor_id)
        rows = await accounts.grants_of(connection, distributor_id, after=paging.after(caller), limit=paging.fetch)
    return paging.answer(caller, rows, GrantView.of, lambda row: [row["id"]])


@router.post(
    "/v1/operators",
    status_code=201,
    response_model=OperatorView,
    responses=problems(401, 403, 409, 413, 415, codes=["account_exists"]),
    summary="Create an operator",
)
async def create_operator(body: OperatorCreate, caller: Writer, keeper: KeeperDep, now: NowDep) -> Response:
    """A person who steers; the role says what that person may do."""

    async def create(connection: Connection) -> Answer:
        row = body.row(now)
        await accounts.add_operator(connection, row)
        return Answer(201, OperatorView.of(row.model_dump()))

    return await keeper.in_transaction(caller, create)


async def _create_key(
    owner: tuple[PrincipalKind, str],
    body: KeyCreate,
    caller: Principal,
    keeper: KeeperDep,
    settings: SettingsDep,
    now: NowDep,
) -> Response:
    async def create(connection: Connection) -> Answer:
        minted = mint(settings.pepper.get_secret_value())
        row = body.row(owner, minted, now)
        await accounts.add_key(connection, row, now)
        shown = NewKeyView(id=row.id, key=minted.token, created_at=now, expires_at=row.expires_at, revoked_at=None)
        return Answer(201, shown, {"Cache-Control": "no-store"}, kept=shown.model_copy(update={"key": None}))

    return await keeper.in_transaction(caller, create)


async def _revoke_key(
    request: Request, owner: tuple[PrincipalKind, str], key_id: str, caller: Principal, keeper: KeeperDep, now: NowDep
) -> Response:
    async def revoke(connection: Connection) -> Answer:
        return Answer(200, KeyView.of(await accounts.revoke_key(connection, *owner, key_id, now)))

    answer = await keeper.in_transaction(caller, revoke)
    parts_of(request).keyring.forget(key_id)
    return answer


_NEW_KEY = problems(401, 403, 404, 409, 413, 415, codes=["too_many_keys"])


@router.post(
    "/v1/distributors/{distributor_id}/keys",
    status_code=201,
    response_model=NewKeyView,
    responses=_NEW_KEY,
    summary="Make a distributor's key",
)
async def create_distributor_key(
    distributor_id: DistributorId,
    body: KeyCreate,
    caller: Writer,
    keeper: KeeperDep,
    settings: SettingsDep,
    now: NowDep,
) -> Response:
    """A bearer key, shown this once: a replay of this request has `key: null`. Two may be active, for rotation."""
    return await _create_key((PrincipalKind.DISTRIBUTOR, distributor_id), body, caller, keeper, settings, now)


@router.get(
    "/v1/distributors/{distributor_id}/keys",
    response_model=KeysView,
    responses=_READ,
    summary="List a distributor's keys",
)
async def list_distributor_keys(distributor_id: DistributorId, _: Reader, database: DatabaseDep) -> KeysView:
    """The latest hundred keys, newest first, without their secrets."""
    async with database.reading() as connection:
        await accounts.distributor(connection, distributor_id)
        rows = await accounts.keys_of(connection, PrincipalKind.DISTRIBUTOR, distributor_id)
    return KeysView(data=[KeyView.of(row) for row in rows])


@router.post(
    "/v1/distributors/{distributor_id}/keys/{key_id}/revoke",
    response_model=KeyView,
    responses=_WRITE,
    summary="Revoke a distributor's key",
)
async def revoke_distributor_key(
    request: Request, distributor_id: DistributorId, key_id: KeyId, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """Ends a key: here at once, in other processes within two seconds. Revoking again changes nothing."""
    return await _revoke_key(request, (PrincipalKind.DISTRIBUTOR, distributor_id), key_id, caller, keeper, now)


@router.post(
    "/v1/operators/{operator_id}/keys",
    status_code=201,
    response_model=NewKeyView,
    responses=_NEW_KEY,
    summary="Make an operator's key",
)
async def create_operator_key(
    operator_id: OperatorId, body: KeyCreate, caller: Writer, keeper: KeeperDep, settings: SettingsDep, now: NowDep
) -> Response:
    """A bearer key, shown this once: a replay of this request has `key: null`. Two may be active, for rotation."""
    return await _create_key((PrincipalKind.OPERATOR, operator_id), body, caller, keeper, settings, now)


@router.post(
    "/v1/operators/{operator_id}/keys/{key_id}/revoke",
    response_model=KeyView,
    responses=_WRITE,
    summary="Revoke an operator's key",
)
async def revoke_operator_key(
    request: Request, operator_id: OperatorId, key_id: KeyId, caller: Writer, keeper: KeeperDep, now: NowDep
) -> Response:
    """Ends a key: here at once, in other processes within two seconds. Revoking again changes nothing."""
    return await _revoke_key(request, (PrincipalKind.OPERATOR, operator_id), key_id, caller, keeper, now)
