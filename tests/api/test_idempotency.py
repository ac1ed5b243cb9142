"""Once means once: replays, reuse, flight, refusals, failures and the take-over of a turn that ran out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Response
from httpx2 import AsyncClient
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.app import ROUTERS, create_app
from api.deps import capability, require
from api.idempotency import TURN_S, Answer, KeeperDep
from api.views import Input, View
from domain.access import Action, Principal
from domain.errors import DomainError
from settings import Settings
from storage import idempotency
from storage.database import Connection, Database

Maker = Callable[..., Awaitable[Any]]
Caller = Annotated[Principal, require(Action.SELF_READ)]
NEW = {"name": "Acme", "currency": "CNY", "time_zone": "Asia/Shanghai"}


class Wish(Input):
    amount_minor: int = 1


class Made(View):
    number: int
    last: str = "z first in the row, kept in this order"
    a: str = "é"


class SoldOut(DomainError):
    """A final refusal."""

    code = "sold_out"

    def __init__(self) -> None:
        super().__init__("Nothing is left.")


@dataclass
class World:
    """What the routes below do to it; `trouble` is raised by the next effect, `gate` holds an effect open."""

    effects: int = 0
    trouble: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def effect(self) -> Made:
        if self.trouble:
            raise self.trouble.pop()
        self.effects += 1
        number = self.effects
        if self.gate is not None:
            await self.gate.wait()
        return Made(number=number)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def app(settings: Settings, database: Database, clock: Any, world: World) -> FastAPI:
    """The application with one route per way of keeping."""
    router = capability("Wishes")

    @router.post("/v1/wishes/{name}")
    async def wish(name: str, body: Wish, caller: Caller, keeper: KeeperDep) -> Response:
        async def effect() -> Answer:
            return Answer(201, await world.effect(), {"Location": f"/v1/wishes/{name}/1"})

        async def in_transaction(connection: Connection) -> Answer:
            await connection.execute("UPDATE distributors SET name = name || '!' WHERE id = %s", (caller.id,))
            return await effect()

        async def in_session(session: AsyncSession) -> Answer:
            query = text("UPDATE distributors SET name = name || '!' WHERE id = :id")
            await (await session.connection()).execute(query, {"id": caller.id})
            return await effect()

        if name == "session":
            return await keeper.in_session(caller, in_session)
        if name == "elsewhere":
            return await keeper.elsewhere(caller, effect)
        return await keeper.in_transaction(caller, in_transaction)

    return create_app(settings, database, None, clock=clock, routers=(*ROUTERS, router))


WAYS = pytest.mark.parametrize("way", ["transaction", "session", "elsewhere"])


@WAYS
async def test_the_same_key_and_body_get_the_same_answer_to_the_byte(
    api: AsyncClient, a_distributor: Maker, world: World, way: str
) -> None:
    once = (await a_distributor()).once()
    first = await api.post(f"/v1/wishes/{way}", content=b'{"amount_minor": 5}', headers=_json(once))
    again = await api.post(f"/v1/wishes/{way}", content=b'{ "amount_minor":5 }', headers=_json(once))
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first.headers["location"] == again.headers["location"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert world.effects == 1


def _json(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "Content-Type": "application/json"}


async def test_the_same_key_with_another_body_is_refused(api: AsyncClient, a_distributor: Maker) -> None:
    once = (await a_distributor()).once()
    await api.post("/v1/wishes/transaction", json={"amount_minor": 1}, headers=once)
    answer = await api.post("/v1/wishes/transaction", json={"amount_minor": 2}, headers=once)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_the_path_is_part_of_what_was_asked(api: AsyncClient, a_distributor: Maker) -> None:
    once = (await a_distributor()).once()
    await api.post("/v1/wishes/transaction", json={}, headers=once)
    answer = await api.post("/v1/wishes/session", json={}, headers=once)
    assert answer.json()["code"] == "idempotency_key_reused"


async def test_one_callers_key_is_not_anothers(api: AsyncClient, a_distributor: Maker, world: World) -> None:
    for caller in (await a_distributor(), await a_distributor()):
        answer = await api.post("/v1/wishes/transaction", json={}, headers=caller.once("shared"))
        assert "idempotent-replayed" not in answer.headers
    assert world.effects == 2


async def test_while_the_first_runs_others_wait_their_turn(
    api: AsyncClient, a_distributor: Maker, world: World
) -> None:
    once = (await a_distributor()).once()
    world.gate = asyncio.Event()
    first = asyncio.create_task(api.post("/v1/wishes/elsewhere", json={}, headers=once))
    while world.effects == 0:
        await asyncio.sleep(0.005)
    second = await api.post("/v1/wishes/elsewhere", json={}, headers=once)
    world.gate.set()
    assert (await first).status_code == 201
    assert (second.status_code, second.json()["code"]) == (409, "request_in_flight")
    assert second.json()["retryable"] is True
    assert second.headers["retry-after"] == "1"


async def test_of_many_at_once_one_takes_effect(api: AsyncClient, a_distributor: Maker, world: World) -> None:
    once = (await a_distributor()).once()
    answers = await asyncio.gather(*(api.post("/v1/wishes/transaction", json={}, headers=once) for _ in range(12)))
    assert world.effects == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json()["number"] for answer in answers if answer.status_code == 201} == {1}


@WAYS
async def test_a_final_refusal_is_kept_and_its_effect_rolled_back(
    api: AsyncClient, a_distributor: Maker, world: World, way: str
) -> None:
    caller = await a_distributor()
    once = caller.once()
    world.trouble.append(SoldOut())
    first = await api.post(f"/v1/wishes/{way}", json={}, headers=once)
    again = await api.post(f"/v1/wishes/{way}", json={}, headers=once)
    assert first.status_code == again.status_code == 409
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"
    assert world.effects == 0


@WAYS
async def test_a_failure_ends_the_turn_so_that_a_repetition_finishes_the_work(
    api: AsyncClient, a_distributor: Maker, database: Database, world: World, way: str
) -> None:
    caller = await a_distributor()
    once = caller.once()
    world.trouble.append(ZeroDivisionError())
    first = await api.post(f"/v1/wishes/{way}", json={}, headers=once)
    again = await api.post(f"/v1/wishes/{way}", json={}, headers=once)
    assert (first.status_code, again.status_code, world.effects) == (500, 201, 1)
    async with database.reading() as connection:
        cursor = await connection.execute("SELECT name FROM distributors WHERE id = %s", (caller.id,))
        row = await cursor.fetchone()
    assert row is not None
    assert row["name"] == ("Acme" if way == "elsewhere" else "Acme!")


async def test_validation_errors_are_not_kept(api: AsyncClient, a_distributor: Maker) -> None:
    once = (await a_distributor()).once()
    invalid = await api.post("/v1/wishes/transaction", json={"amount": 1}, headers=once)
    valid = await api.post("/v1/wishes/transaction", json={"amount_minor": 1}, headers=once)
    assert (invalid.status_code, valid.status_code) == (422, 201)


async def test_a_turn_that_ran_out_is_taken_over_and_its_first_holder_takes_no_effect(
    api: AsyncClient, a_distributor: Maker, database: Database, world: World, clock: Any
) -> None:
    caller = await a_distributor()
    once = caller.once()
    world.gate = asyncio.Event()
    slow = asyncio.create_task(api.post("/v1/wishes/session", json={}, headers=once))
    while world.effects == 0:
        await asyncio.sleep(0.005)
    clock.advance(seconds=TURN_S + 1)
    async with database.transaction() as connection:
        scope = idempotency.Scope(f"distributor/{caller.id}", "POST /v1/wishes/{name}", once["Idempotency-Key"])
        cursor = await connection.execute(
            "SELECT body_hash FROM idempotency_keys WHERE caller = %s AND key = %s", (scope.caller, scope.key)
        )
        row = await cursor.fetchone()
        assert row is not None
        taken = await idempotency.begin(connection, scope, row["body_hash"], now=clock.now, turn_s=TURN_S)
    assert taken.mine
    world.gate.set()
    assert (await slow).json()["code"] == "request_in_flight"
    async with database.reading() as connection:
        cursor = await connection.execute("SELECT name FROM distributors WHERE id = %s", (caller.id,))
        row = await cursor.fetchone()
    assert row == {"name": "Acme"}


async def test_a_turn_is_taken_over_by_exactly_one(database: Database) -> None:
    now = datetime.now(UTC)
    scope = idempotency.Scope("distributor/x", "POST /v1/x", f"race-{now.timestamp()}")

    async def begin(at: datetime) -> bool:
        async with database.reading() as connection:
            return (await idempotency.begin(connection, scope, "hash", now=at, turn_s=TURN_S)).mine

    assert await begin(now)
    assert not await begin(now)
    late = now + timedelta(seconds=TURN_S)
    assert sum(await asyncio.gather(*(begin(late) for _ in range(8)))) == 1


async def test_a_key_is_as_good_as_new_after_thirty_days(
    api: AsyncClient, a_distributor: Maker, clock: Any, world: World
) -> None:
    caller = await a_distributor(days=365)
    once = caller.once()
    await api.post("/v1/wishes/transaction", json={"amount_minor": 1}, headers=once)
    clock.advance(days=31)
    answer = await api.post("/v1/wishes/transaction", json={"amount_minor": 2}, headers=once)
    assert (answer.status_code, world.effects) == (201, 2)


async def test_old_keys_are_forgotten_in_bounded_steps(database: Database) -> None:
    now = datetime.now(UTC)
    long_ago = now - idempotency.KEPT - timedelta(days=1)
    async with database.transaction() as connection:
        for number in range(3):
            scope = idempotency.Scope("distributor/old", "POST /v1/x", f"old-{now.timestamp()}-{number}")
            await idempotency.begin(connection, scope, "hash", now=long_ago, turn_s=1)
        assert await idempotency.forget(connection, now=now, limit=2) == 2
        assert await idempotency.forget(connection, now=now, limit=2) == 1


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "idempotency_key_missing"),
        ("", "idempotency_key_invalid"),
        ('""', "idempotency_key_invalid"),
        ("a b", "idempotency_key_invalid"),
        ("a" * 256, "idempotency_key_invalid"),
        ("k\N{LATIN SMALL LETTER E WITH ACUTE}y", "idempotency_key_invalid"),
    ],
)
async def test_a_missing_or_malformed_key_is_told(
    api: AsyncClient, a_distributor: Maker, value: str | None, code: str
) -> None:
    caller = await a_distributor()
    raw = [(b"authorization", caller.headers["Authorization"].encode())]
    if value is not None:
        raw.append((b"idempotency-key", value.encode("latin-1")))
    answer = await api.post("/v1/wishes/transaction", json={}, headers=raw)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_two_idempotency_keys_are_none(api: AsyncClient, a_distributor: Maker) -> None:
    caller = await a_distributor()
    headers = [*caller.headers.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await api.post("/v1/wishes/transaction", json={}, headers=headers)
    assert answer.json()["code"] == "idempotency_key_invalid"


async def test_a_quoted_key_is_the_bare_one(api: AsyncClient, a_distributor: Maker, world: World) -> None:
    caller = await a_distributor()
    await api.post("/v1/wishes/transaction", json={}, headers=caller.once("quoted-1"))
    again = await api.post("/v1/wishes/transaction", json={}, headers=caller.once('"quoted-1"'))
    assert again.headers["idempotent-replayed"] == "true"
    assert world.effects == 1


async def test_a_distributor_is_created_once(api: AsyncClient, an_operator: Maker) -> None:
    once = (await an_operator()).once()
    first, again = [await api.post("/v1/distributors", json=NEW, headers=once) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]


async def test_a_taken_id_is_a_refusal_that_is_kept(api: AsyncClient, an_operator: Maker) -> None:
    admin = await an_operator()
    body = {**NEW, "id": f"dst_of_{admin.id}"}
    await api.post("/v1/distributors", json=body, headers=admin.once())
    once = admin.once()
    first, again = [await api.post("/v1/distributors", json=body, headers=once) for _ in range(2)]
    assert (first.status_code, first.json()["code"]) == (409, "account_exists")
    assert first.content == again.content
