"""Once means once: the Idempotency-Key header, the hash of what was asked, and the keeper of answers.

    @router.post("/v1/things", status_code=201, response_model=ThingView, responses=problems(401, 403, 409))
    async def create_thing(
        body: ThingCreate, caller: Annotated[Principal, require(Action.CATALOG_WRITE)], keeper: KeeperDep
    ) -> Response:
        async def create(connection: Connection) -> Answer:
            return Answer(201, ThingView.of(await things.add(connection, body)))
        return await keeper.in_transaction(caller, create)

Source: spec "Idempotency-Key". A success is stored in the transaction of its effect, a final refusal after its
rollback; everything else ends the turn, so that a repetition finishes the work.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from psycopg import AsyncConnection
from pydantic import BaseModel
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.responses import Response

from api.codes import is_final, kind_of
from api.deps import parts_of
from api.errors import refusal
from domain.access import Principal
from domain.errors import DomainError
from storage import idempotency
from storage.database import Connection

TURN_S = 30.0
"""How long a sender is taken to be at work; after that one other may take over."""

_KEY = re.compile(r"[A-Za-z0-9_\-:.]{1,255}", re.ASCII)
_HEADER = "idempotency-key"
_JSON = "application/json"


class IdempotencyKeyMissing(DomainError):
    """A POST that makes or moves something came without the header."""

    code = "idempotency_key_missing"

    def __init__(self) -> None:
        super().__init__("Send an `Idempotency-Key` header: a fresh one per wish, the same one when you repeat it.")


class IdempotencyKeyInvalid(DomainError):
    """The header is there and is no key."""

    code = "idempotency_key_invalid"

    def __init__(self) -> None:
        super().__init__(
            "`Idempotency-Key` has to be one header of 1 to 255 characters of A-Z a-z 0-9 _ - : . , quoted or bare."
        )


class IdempotencyKeyReused(DomainError):
    """The key belongs to another body."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another body: use a fresh key for another wish.")


class RequestInFlight(DomainError):
    """The first request with this key has no answer yet."""

    code = "request_in_flight"

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is still running: repeat it after `Retry-After` seconds.")


def key_of(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(description="A fresh one per wish, the same one when you repeat it. Kept 30 days.")
    ] = None,
) -> str:
    """The request's Idempotency-Key. Raises IdempotencyKeyMissing, IdempotencyKeyInvalid.

    The declared parameter is for the contract only: it does not tell one header from two.
    """
    values = request.headers.getlist(_HEADER)
    if not values:
        raise IdempotencyKeyMissing
    value = values[0].strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if len(values) > 1 or _KEY.fullmatch(value) is None:
        raise IdempotencyKeyInvalid
    return value


IdempotencyKeyDep = Annotated[str, Depends(key_of)]


async def hash_of(request: Request) -> str:
    """SHA-256 over what was asked: path parameters, query and the body as canonical JSON, so that only sense counts.

    Where a route takes no body, what came instead of JSON counts as it is.
    """
    raw = await request.body()
    try:
        body = await request.json() if raw else None
    except ValueError:
        body = hashlib.sha256(raw).hexdigest()
    asked = [dict(request.path_params), sorted(request.query_params.multi_items()), body]
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an effect answers. `kept` replaces `view` in storage where the first answer shows a secret once."""

    status: int
    view: BaseModel
    headers: Mapping[str, str] = field(default_factory=dict)
    kept: BaseModel | None = None

    def response(self) -> Response:
        """The answer as it is sent the first time."""
        return Response(self.view.model_dump_json(by_alias=True), self.status, dict(self.headers), _JSON)

    def stored(self) -> dict[str, Any]:
        """The answer as it is kept: text, so that a replay is the same to the byte."""
        text = (self.kept or self.view).model_dump_json(by_alias=True)
        return {"text": text, "headers": dict(self.headers), "media_type": _JSON}


def _stored(response: Response) -> dict[str, Any]:
    return {"text": bytes(response.body).decode(), "headers": {}, "media_type": response.media_type}


def _replay(status: int, body: Mapping[str, Any]) -> Response:
    headers = {**body["headers"], "Idempotent-Replayed": "true"}
    return Response(body["text"], status, headers, body["media_type"])


@dataclass(frozen=True, slots=True)
class _Turn:
    scope: idempotency.Scope
    sent_until: datetime


class Keeper:
    """Runs an effect once per caller, route and key. Choose by where the effect is: our transaction, or elsewhere."""

    def __init__(self, request: Request, key: IdempotencyKeyDep) -> None:
        self._request = request
        self._parts = parts_of(request)
        self.key = key

    async def in_transaction(self, caller: Principal, effect: Callable[[Connection], Awaitable[Answer]]) -> Response:
        """The effect and the keeping of its answer are one psycopg transaction."""

        async def once(turn: _Turn) -> Answer:
            async with self._parts.database.transaction() as connection:
                answer = await effect(connection)
                await self._finish(connection, turn, answer.status, answer.stored())
            return answer

        return await self._run(caller, once)

    async def in_session(self, caller: Principal, effect: Callable[[AsyncSession], Awaitable[Answer]]) -> Response:
        """The effect and the keeping of its answer are one SQLModel session's transaction."""

        async def once(turn: _Turn) -> Answer:
            async with self._parts.database.session() as session:
                answer = await effect(session)
                await session.flush()
                raw = await (await session.connection()).get_raw_connection()
                driver = raw.driver_connection
                assert isinstance(driver, AsyncConnection)
                await self._finish(driver, turn, answer.status, answer.stored())
            return answer

        return await self._run(caller, once)

    async def elsewhere(self, caller: Principal, effect: Callable[[], Awaitable[Answer]]) -> Response:
        """The effect is not ours (a workflow's update): it has to be safe to send again by its own identity."""

        async def once(turn: _Turn) -> Answer:
            answer = await effect()
            async with self._parts.database.reading() as connection:
                await self._finish(connection, turn, answer.status, answer.stored())
            return answer

        return await self._run(caller, once)

    async def _run(self, caller: Principal, once: Callable[[_Turn], Awaitable[Answer]]) -> Response:
        begun = await self._begin(caller)
        if isinstance(begun, Response):
            return begun
        try:
            return (await once(begun)).response()
        except RequestInFlight:
            raise  # another has the turn now: nothing of ours to end
        except DomainError as error:
            return await self._keep_refusal(begun, error)
        except BaseException:
            await self._release(begun)
            raise

    async def _begin(self, caller: Principal) -> _Turn | Response:
        scope = idempotency.Scope(caller.ref, self._route(), self.key)
        body_hash = await hash_of(self._request)
        async with self._parts.database.reading() as connection:
            begun = await idempotency.begin(connection, scope, body_hash, now=self._parts.clock(), turn_s=TURN_S)
        if begun.mine:
            return _Turn(scope, begun.sent_until)
        if begun.body_hash != body_hash:
            raise IdempotencyKeyReused
        if begun.status is None or begun.body is None:
            raise RequestInFlight
        return _replay(begun.status, begun.body)

    def _route(self) -> str:
        route = self._request.scope["route"]
        assert isinstance(route, APIRoute)
        return f"{self._request.method} {route.path}"

    async def _finish(self, connection: AsyncConnection[Any], turn: _Turn, status: int, body: dict[str, Any]) -> None:
        """Raises RequestInFlight where the turn was lost, which rolls the effect's transaction back."""
        if not await idempotency.finish(connection, turn.scope, turn.sent_until, status, body):
            raise RequestInFlight

    async def _keep_refusal(self, turn: _Turn, error: DomainError) -> Response:
        if not is_final(kind_of(error.code).status):
            await self._release(turn)
            raise error
        response = refusal(self._request.scope, error)
        async with self._parts.database.reading() as connection:
            await self._finish(connection, turn, response.status_code, _stored(response))
        return response

    async def _release(self, turn: _Turn) -> None:
        async with self._parts.database.reading() as connection:
            await idempotency.release(connection, turn.scope, turn.sent_until, self._parts.clock())


KeeperDep = Annotated[Keeper, Depends(Keeper)]
