"""Payment channels over HTTP: what buyers may choose from, and the contracts behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Path
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.responses import Response

from adapters.payments.registry import PROTOCOLS
from api.catalog_edits import IfMatch
from api.deps import DatabaseDep, NowDep, SettingsDep, capability, require
from api.errors import problems
from api.idempotency import Answer
from api.payment_channel_views import ChannelContractView, ChannelInput, ChannelsView, ChannelView, tag_of
from domain.access import Action, Principal
from domain.categories import CATEGORIES
from domain.category_tree import UnknownKind
from domain.errors import DomainError
from settings import Settings
from storage import payment_channels
from storage.payment_channels import ChannelNotFound
from storage.payments import PaymentChannelRow

router = capability("Payment channels")

Reader = Annotated[Principal, require(Action.CHANNEL_READ)]
Writer = Annotated[Principal, require(Action.CHANNEL_WRITE)]
ChannelId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,39}$", examples=["meridian"])]
"""Short and plain: ids of refunds and of cases have it in them."""

_FOR_GOOD = ("protocol", "currency", "time_zone")


class ChannelStale(DomainError):
    """The contract has changed since the caller read it (`If-Match`)."""

    code = "precondition_failed"

    def __init__(self, channel_id: str) -> None:
        super().__init__(f"The contract of {channel_id} is not as you read it: read it again, then decide again.")


class ChannelTermsFixed(DomainError):
    """Payments rest on these terms."""

    code = "channel_terms_fixed"

    def __init__(self, terms: list[str]) -> None:
        super().__init__(f"{', '.join(terms)} of a channel cannot change: make another channel, and stop this one.")


@router.get(
    "/v1/payment-channels",
    response_model=ChannelsView,
    responses=problems(401, 403),
    summary="List payment channels",
)
async def list_channels(caller: Reader, database: DatabaseDep) -> ChannelsView:
    """By id. Shoppers see those that take payments now; operators all, without their secrets."""
    operator = caller.distributor_id is None
    async with database.reading() as connection:
        rows = await payment_channels.list_channels(connection, active_only=not operator)
    return ChannelsView(data=[ChannelContractView.of(row) if operator else ChannelView.of(row) for row in rows])


@router.get(
    "/v1/payment-channels/{channel_id}",
    response_model=ChannelContractView,
    responses=problems(401, 403, 404, codes=["channel_not_found"]),
    summary="Read a payment channel's contract",
)
async def read_channel(channel_id: ChannelId, _: Writer, database: DatabaseDep, settings: SettingsDep) -> Response:
    """Without its secrets; with its `ETag`, for an edit."""
    async with database.reading() as connection:
        row = await payment_channels.get_channel(connection, channel_id)
    return _shown(row, settings, 200).response()


@router.put(
    "/v1/payment-channels/{channel_id}",
    response_model=ChannelContractView,
    responses={
        201: {"model": ChannelContractView, "description": "It is new"},
        **problems(401, 403, 409, 412, 413, 415, codes=["channel_terms_fixed", "unknown_kind"]),
    },
    summary="Set a payment channel's contract",
)
async def put_channel(
    channel_id: ChannelId,
    body: ChannelInput,
    caller: Writer,
    database: DatabaseDep,
    settings: SettingsDep,
    now: NowDep,
    if_match: IfMatch = None,
) -> Response:
    """Makes the channel, or sets its terms; the next call to it goes by them. Protocol, currency and time zone stay."""
    _check_terms(body)
    async with database.transaction() as connection:
        await payment_channels.take_turn(connection, channel_id)
        try:
            known = await payment_channels.get_channel(connection, channel_id)
        except ChannelNotFound:
            known = None
        _check_known(channel_id, body, known, if_match, settings)
        contract = body.model_dump(exclude_none=True)
        new = await payment_channels.put_channel(connection, channel_id, contract, actor=caller.ref, now=now)
        row = await payment_channels.get_channel(connection, channel_id)
    return _shown(row, settings, 201 if new else 200).response()


def _check_terms(body: ChannelInput) -> None:
    """Raises RequestValidationError, with pointers, and UnknownKind."""
    if body.protocol not in PROTOCOLS:
        known = ", ".join(sorted(PROTOCOLS)) or "none"
        raise _invalid([{"type": "protocol_unknown", "loc": ("protocol",), "msg": f"No such protocol; known: {known}"}])
    for kind in body.kinds:
        if kind not in CATEGORIES.names():
            raise UnknownKind(kind, CATEGORIES.names())
    if body.credentials is None:
        return
    try:
        PROTOCOLS[body.protocol].credentials.model_validate(body.credentials)
    except ValidationError as invalid:
        found = invalid.errors(include_url=False, include_input=False, include_context=False)
        raise _invalid([{**error, "loc": ("credentials", *error["loc"])} for error in found]) from invalid


def _check_known(
    channel_id: str, body: ChannelInput, known: PaymentChannelRow | None, if_match: str | None, settings: Settings
) -> None:
    """Raises ChannelStale, ChannelTermsFixed, and RequestValidationError where a new channel has no credentials."""
    if if_match is not None and (known is None or if_match.strip() not in ("*", _tag(known, settings))):
        raise ChannelStale(channel_id)
    if known is None and body.credentials is None:
        raise _invalid([{"type": "missing", "loc": ("credentials",), "msg": "A new channel needs its credentials"}])
    if known is not None and (changed := [name for name in _FOR_GOOD if getattr(known, name) != getattr(body, name)]):
        raise ChannelTermsFixed(changed)


def _invalid(errors: Sequence[Mapping[str, Any]]) -> RequestValidationError:
    return RequestValidationError([{**error, "loc": ("body", *error["loc"])} for error in errors])


def _tag(row: PaymentChannelRow, settings: Settings) -> str:
    return tag_of(row, settings.cursor_secret.get_secret_value())


def _shown(row: PaymentChannelRow, settings: Settings, status: int) -> Answer:
    return Answer(status, ChannelContractView.of(row), {"ETag": _tag(row, settings)})
