"""What endpoints are given: the process's parts, the caller, and the permission without which no route starts.

router = capability("catalog")

@router.get("/v1/products", responses=problems(401, 403))
async def list_products(caller: Annotated[Principal, require(Action.CATALOG_READ)], database: DatabaseDep): ...
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.routing import BaseRoute, Route
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.channel_directory import ChannelDirectory
from adapters.gate.tokens import TicketKeys
from api.bodies import BoundedRoute
from api.keys import Keyring
from api.passwords import Passwords
from api.sold_out import SoldOut
from domain.access import Action, NotPermitted, Principal, Unauthenticated
from settings import Settings
from storage.database import Database
from storage.ids import LeasedIds


def utc_now() -> datetime:
    """The wall clock, which rules are given and never read themselves."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Parts:
    """What one API process is made of. `temporal` is None where there is none to speak to (tests of reads)."""

    settings: Settings
    database: Database
    temporal: Client | None
    keyring: Keyring
    ticket_keys: TicketKeys
    channels: ChannelDirectory
    clock: Callable[[], datetime] = utc_now
    ids: LeasedIds | None = None
    sold_out: SoldOut = field(default_factory=SoldOut)
    passwords: Passwords = field(default_factory=Passwords)
    placements: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(16))

    def next_order_no(self, buyer: str) -> int:
        """A new order number in the buyer's shard."""
        if self.ids is None:
            raise RuntimeError("this process has no node lease: it cannot number orders")
        return self.ids.next(buyer)


def parts_of(request: Request) -> Parts:
    """The parts that `create_app` was given."""
    parts: Parts = request.app.state.parts
    return parts


def _settings(request: Request) -> Settings:
    return parts_of(request).settings


def _database(request: Request) -> Database:
    return parts_of(request).database


def _temporal(request: Request) -> Client:
    client = parts_of(request).temporal
    if client is None:
        raise RPCError("no Temporal is configured", RPCStatusCode.UNAVAILABLE, b"")
    return client


def _now(request: Request) -> datetime:
    return parts_of(request).clock()


SettingsDep = Annotated[Settings, Depends(_settings)]
DatabaseDep = Annotated[Database, Depends(_database)]
TemporalDep = Annotated[Client, Depends(_temporal)]
NowDep = Annotated[datetime, Depends(_now)]

_BEARER = HTTPBearer(
    auto_error=False,
    bearerFormat="tsr_live_<public>_<secret>",
    description="A key, shown once when it was made; or a shopper's token, which logging in gave.",
)


def token_of(request: Request) -> str:
    """The request's one bearer token, whoever's it is. Raises Unauthenticated."""
    headers = request.headers.getlist("authorization")
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    return token.strip()


async def authenticate(request: Request) -> Principal:
    """The caller behind the request's one `Authorization: Bearer` header. Raises Unauthenticated."""
    caller = await parts_of(request).keyring.principal(token_of(request))
    request.scope["state"]["caller"] = caller.ref
    return caller


class Permission:
    """A route's declared action. As a dependency it yields the caller, who may do that to something at least."""

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(
        self, request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None
    ) -> Principal:
        caller = await authenticate(request)
        if not caller.permits(self.action, parts_of(request).clock()):
            raise NotPermitted(self.action)
        return caller


class Public:
    """A route that declares to need no key: it shows nothing of anybody's, or checks a signature itself."""

    async def __call__(self) -> None:
        return None


def require(action: Action) -> Any:
    """Declares the permission a route needs: `caller: Annotated[Principal, require(Action.ORDER_READ)]`."""
    return Depends(Permission(action))


def public() -> Any:
    """Declares that a route needs none: `dependencies=[public()]`."""
    return Depends(Public())


def capability(name: str, title: str = "") -> APIRouter:
    """The router of one capability: its routes read bodies within bounds."""
    return APIRouter(tags=[title or name], route_class=BoundedRoute)


class UndeclaredRoute(Exception):
    """A route without a declared permission: a mistake of ours, told at start."""


DECLARED_PUBLIC = frozenset({"/openapi.json"})
"""The framework's own pages, which are no APIRoutes and show nothing but the public contract."""


def _calls(dependant: Dependant) -> Iterator[object]:
    for child in dependant.dependencies:
        yield child.call
        yield from _calls(child)


def check_declared(routes: Iterable[BaseRoute]) -> None:
    """Raises UndeclaredRoute unless every route says what permission it needs, or that it is public."""
    for route in routes:
        if isinstance(route, APIRoute):
            declared = [call for call in _calls(route.dependant) if isinstance(call, Permission | Public)]
            if len(declared) != 1:
                raise UndeclaredRoute(f"{route.path} declares {len(declared)} permissions; it needs exactly one")
            if not isinstance(route, BoundedRoute):
                raise UndeclaredRoute(f"{route.path} reads bodies without bounds: make its router with capability()")
        elif not (isinstance(route, Route) and route.path in DECLARED_PUBLIC):
            raise UndeclaredRoute(f"{getattr(route, 'path', route)!r} is no declared route")
