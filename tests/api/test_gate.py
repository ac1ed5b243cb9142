"""Gates with a line to us: exactly one is let in per ticket, and everybody else is told when, where and why not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from httpx2 import ASGITransport, AsyncClient

from adapters.gate.tokens import TicketClaim, TicketKeys
from api.app import create_app
from domain.gate import TicketRef, Window
from embedded.postgres import PostgresServer
from settings import Settings
from storage.database import Database
from tests.api.conftest import NAME, Caller, Clock
from tests.api.gate_world import GateWorld, buyer, world

__all__ = ["buyer", "world"]  # fixtures

GATES = 20


@pytest.fixture
async def busy_api(postgres: PostgresServer, clock: Clock) -> AsyncIterator[AsyncClient]:
    """With a connection for each gate."""
    async with Database(postgres.url("tessera_api", NAME), pool_max=GATES + 4, pool_min=GATES) as database:
        app = create_app(Settings(), database, None, clock=clock)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://api") as client:
            yield client


async def test_the_bearer_of_a_valid_ticket_is_let_in_and_the_distributor_is_told(
    world: GateWorld, buyer: Caller
) -> None:
    issued = await world.order(buyer)
    answer = await world.scan(await world.token(issued), "north-1")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["outcome"], told["serial"], told["gate_id"]) == ("admitted", issued.ref().serial, "north-1")
    assert (told["title"], told["variant"]) == ("故宫特展", "成人票")  # as it was bought, not as it is called now
    events = (await world.api.get("/v1/events?kind=ticket.redeemed", headers=buyer.headers)).json()["data"]
    assert [(event["data"]["serial"], event["data"]["gate_id"]) for event in events] == [(told["serial"], "north-1")]
    assert await world.outcomes(issued) == ["admitted"]


async def test_of_twenty_gates_at_once_one_lets_in_and_the_others_name_it(
    world: GateWorld, buyer: Caller, busy_api: AsyncClient
) -> None:
    issued = await world.order(buyer)
    token = await world.token(issued)
    answers = await asyncio.gather(*(world.scan(token, f"gate-{n}", api=busy_api) for n in range(GATES)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: GATES - 1}
    (winner,) = [answer.json()["gate_id"] for answer in answers if answer.status_code == 200]
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {(problem["code"], problem["gate_id"]) for problem in refused} == {("ticket_redeemed", winner)}
    assert Counter(await world.outcomes(issued)) == {"admitted": 1, "redeemed": GATES - 1}
    events = await world.rows("SELECT * FROM outbox_events WHERE body ->> 'serial' = %s", issued.ref().serial)
    assert len(events) == 1


async def test_redeeming_and_voiding_at_once_have_one_outcome(
    world: GateWorld, buyer: Caller, busy_api: AsyncClient
) -> None:
    issued = await world.order(buyer, quantity=12)
    tokens = [await world.token(issued, unit) for unit in range(12)]
    wishes = [
        each
        for unit, token in enumerate(tokens)
        for each in (world.scan(token, api=busy_api), world.void(issued, unit))
    ]
    answers = await asyncio.gather(*wishes)
    for unit, (scanned, voided) in enumerate(zip(answers[::2], answers[1::2], strict=True)):
        assert {scanned.status_code, voided.status_code} == {200, 409}
        won = "redeemed" if scanned.status_code == 200 else "void"
        (row,) = await world.rows("SELECT status FROM tickets WHERE order_no = %s AND unit = %s", issued.order_no, unit)
        assert row["status"] == won
        loser = voided if won == "redeemed" else scanned
        assert loser.json()["code"] == f"ticket_{won}"


async def test_a_gate_that_repeats_its_key_gets_the_same_answer(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    token = await world.token(issued)
    first, again = await world.scan(token, key="scan-1"), await world.scan(token, key="scan-1")
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = await world.scan(token, key="scan-2")
    assert other.json()["code"] == "ticket_redeemed"
    assert (await world.scan(token, key="scan-2")).json() == other.json()
    assert await world.outcomes(issued) == ["admitted", "redeemed"]


async def test_a_scan_whose_answer_was_lost_with_its_process_is_still_the_one_that_was_let_in(
    world: GateWorld, buyer: Caller
) -> None:
    """Redeemed and recorded, the answer not yet kept: only the scan's own key tells the repeat from a second."""
    issued = await world.order(buyer)
    token = await world.token(issued)
    first = await world.scan(token, key="lost-answer")
    await world.rows("DELETE FROM idempotency_keys WHERE key = 'lost-answer' RETURNING key")
    again = await world.scan(token, key="lost-answer")
    assert (again.status_code, again.json()) == (200, first.json())
    assert await world.outcomes(issued) == ["admitted"]


async def test_a_void_ticket_says_since_when_and_why(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    token = await world.token(issued)
    assert (await world.void(issued, reason="演出取消")).status_code == 200
    answer = await world.scan(token)
    assert (answer.status_code, answer.json()["code"]) == (409, "ticket_void")
    assert (answer.json()["reason"], answer.json()["voided_at"]) == ("演出取消", world.clock.now.isoformat())
    assert await world.token(issued) == ""


async def test_a_ticket_of_a_line_that_was_taken_back_stays_outside(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    token = await world.token(issued)
    await world.rows("UPDATE tickets SET status = 'void' WHERE order_no = %s RETURNING unit", issued.order_no)
    answer = await world.scan(token)
    assert answer.json()["code"] == "ticket_void"
    assert answer.json()["voided_at"] is not None


@pytest.mark.parametrize(("hours", "status"), [(-4, 409), (-2, 200), (14, 409)])
async def test_a_ticket_opens_the_gate_on_its_day(world: GateWorld, buyer: Caller, hours: int, status: int) -> None:
    starts_at = (world.clock.now + timedelta(days=1)).replace(hour=4, minute=0)  # noon in Shanghai
    token = await world.token(await world.order(buyer, starts_at=starts_at))
    world.clock.now = starts_at + timedelta(hours=hours)
    answer = await world.scan(token)
    assert answer.status_code == status
    if status == 409:
        assert answer.json()["code"] == "ticket_not_valid_now"
        assert answer.json()["valid_from"] < answer.json()["valid_until"]


@pytest.mark.parametrize(
    "what", ["altered", "of another environment", "of a dropped key", "of no ticket", "no code of anybody"]
)
async def test_what_we_did_not_issue_is_refused(world: GateWorld, buyer: Caller, what: str) -> None:
    issued = await world.order(buyer)
    token = await world.token(issued)
    claim = TicketClaim(issued.ref(), Window(world.clock.now, None))
    codes = {
        "altered": token[:40] + ("A" if token[40] != "A" else "B") + token[41:],
        "of another environment": TicketKeys.read("production").token_of(claim),
        "of a dropped key": TicketKeys.read("last year").token_of(claim),
        "of no ticket": ours().token_of(TicketClaim(TicketRef(7, 1, 0), claim.window)),
        "no code of anybody": "NG-0000",
    }
    answer = await world.scan(codes[what])
    forged = what in ("altered", "of another environment", "of a dropped key")
    expected = (422, "ticket_forged") if forged else (404, "ticket_unknown")
    assert (answer.status_code, answer.json()["code"]) == expected
    assert (await world.scan(token)).status_code == 200  # and the real one is as good as before


async def test_a_serial_names_a_ticket_and_opens_no_gate(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    assert (await world.scan(issued.ref().serial)).json()["code"] == "ticket_unknown"


async def test_every_attempt_is_on_record_without_the_code_itself(world: GateWorld) -> None:
    await world.scan("TSR1.FORGED", "south-9")
    (row,) = await world.rows("SELECT * FROM ticket_scans WHERE gate_id = 'south-9'")
    assert (row["outcome"], row["order_no"], row["actor"]) == ("forged", None, f"operator/{world.gate.id}")
    assert "FORGED" not in str(row)


async def test_a_suppliers_own_code_is_redeemed_as_it_is(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer, quantity=2, codes=("NG-1-a", "NG-1-b"))
    assert await world.token(issued, 1) == "NG-1-b"
    assert (await world.scan("NG-1-b")).json()["unit"] == 1
    assert (await world.scan("NG-1-b")).json()["code"] == "ticket_redeemed"
    assert (await world.scan("NG-1-a")).status_code == 200


async def test_a_code_of_two_suppliers_needs_the_product_that_the_gate_is_for(world: GateWorld, buyer: Caller) -> None:
    east, west = await world.order(buyer, codes=("0815",)), await world.order(buyer, codes=("0815",))
    assert (await world.scan("0815")).json()["code"] == "ticket_ambiguous"
    answer = await world.scan("0815", product_id=west.product_id)
    assert answer.json()["order_no"] == str(west.order_no)
    assert await world.outcomes(east) == []


async def test_gates_redeem_and_read_no_orders_and_nobody_else_redeems(world: GateWorld, buyer: Caller) -> None:
    issued = await world.order(buyer)
    for path in (issued.path, f"{issued.path}/tickets.pdf", f"/v1/tickets/{issued.ref().serial}", "/v1/exceptions"):
        assert (await world.api.get(path, headers=world.gate.headers)).status_code == 403
    body = {"code": await world.token(issued), "gate_id": "north-1"}
    for caller in (buyer, world.operator):
        answer = await world.api.post("/v1/gate/redemptions", json=body, headers=caller.once())
        assert answer.status_code == 403
    assert await world.outcomes(issued) == []


@pytest.mark.parametrize("code", ["", "x" * 5000, "a\nb", "\u200b"])
async def test_what_no_scanner_reads_is_bad_input(world: GateWorld, code: str) -> None:
    assert (await world.scan(code)).json()["code"] == "validation_failed"


async def test_anybody_may_read_the_public_keys_and_no_secret(world: GateWorld) -> None:
    answer = await world.api.get("/v1/gate/keys")
    assert [key["signs"] for key in answer.json()["keys"]] == [True]
    assert set(answer.json()["keys"][0]) == {"id", "algorithm", "public_key", "signs"}


def ours() -> TicketKeys:
    return TicketKeys.read(Settings().ticket_keys.get_secret_value())
