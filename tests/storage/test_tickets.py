"""Minting our own tickets, and what the database itself keeps of tickets and scans."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from domain.gate import Outcome, TicketRef, TicketStatus
from domain.inspection import InspectionTerms
from storage import bookings, gate, tickets
from storage.database import Connection, Database
from storage.gate import ScanNote
from storage.inspection import inspect
from tests.storage import world
from tests.storage.world import START

ORDER = 1003
REF = TicketRef(ORDER, 1, 0)


@pytest.fixture
async def issued(database: Database, owner_url: str) -> Database:
    """An order whose first line is issued with two supplier's tickets, and whose second line failed."""
    async with Database(owner_url, pool_max=2) as owner, owner.reading() as cx:
        await world.make_world(cx)
    async with database.transaction() as cx:
        await world.partly_issued(cx, ORDER)
    return database


async def statuses(cx: Connection) -> list[str]:
    cursor = await cx.execute("SELECT status FROM tickets WHERE order_no = %s AND line_no = 1 ORDER BY unit", (ORDER,))
    return [row["status"] for row in await cursor.fetchall()]


async def test_a_line_gets_one_ticket_per_unit_however_often_it_is_minted(issued: Database) -> None:
    async with issued.transaction() as cx:
        assert await tickets.mint_tickets(cx, ORDER, 2, at=START) == world.QUANTITY
        assert await tickets.mint_tickets(cx, ORDER, 2, at=START + timedelta(days=1)) == world.QUANTITY
        minted = [ticket for ticket in await tickets.of_order(cx, ORDER, skip=0, limit=9) if ticket.ref.line_no == 2]
    assert [ticket.ref.unit for ticket in minted] == [0, 1]
    assert {(ticket.code, ticket.is_own, ticket.issued_at) for ticket in minted} == {("", True, START)}


async def test_a_line_that_does_not_exist_gets_none(issued: Database) -> None:
    async with issued.transaction() as cx:
        assert await tickets.mint_tickets(cx, ORDER, 9, at=START) == 0


async def test_tickets_of_a_restored_line_open_the_gate_again_but_not_those_an_operator_has_voided(
    issued: Database,
) -> None:
    async with issued.transaction() as cx:
        assert await gate.void(cx, REF, by="operator/ops", reason="bought twice", at=START)
        await bookings.void_tickets(cx, ORDER, 1)
        assert await statuses(cx) == ["void", "void"]
        await bookings.restore_tickets(cx, ORDER, 1)
        assert await statuses(cx) == ["void", "valid"]
        voided, restored = await tickets.find(cx, REF), await tickets.find(cx, TicketRef(ORDER, 1, 1))
    assert voided is not None
    assert restored is not None
    assert (voided.standing.voided_at, voided.standing.void_reason) == (START, "bought twice")
    assert restored.standing.voided_at is None


async def test_what_was_redeemed_is_not_voided_with_its_line(issued: Database) -> None:
    async with issued.transaction() as cx:
        assert await gate.redeem(cx, REF, gate_id="north-1", at=START)
        assert not await gate.redeem(cx, REF, gate_id="north-2", at=START)
        assert not await gate.void(cx, REF, by="operator/ops", reason="late", at=START)
        await bookings.void_tickets(cx, ORDER, 1)
        assert await statuses(cx) == ["redeemed", "void"]
        assert not await gate.redeem(cx, TicketRef(ORDER, 1, 1), gate_id="north-1", at=START)


async def test_no_ticket_is_redeemed_without_when_and_where(issued: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        async with issued.transaction() as cx:
            await cx.execute("UPDATE tickets SET status = 'redeemed'")


async def test_history_of_scans_is_appended_only(issued: Database, owner_url: str) -> None:
    async with Database(owner_url, pool_max=2) as owner:
        async with owner.transaction() as cx:
            await gate.record_scan(cx, a_scan(Outcome.REDEEMED), at=START)
            await gate.record_scan(cx, a_scan(Outcome.ADMITTED), at=START)  # the same key: the first stays
            assert await gate.outcome_of(cx, "key") is Outcome.REDEEMED
        for change in ("UPDATE ticket_scans SET outcome = 'admitted'", "DELETE FROM ticket_scans"):
            with pytest.raises(psycopg.errors.RestrictViolation):
                async with owner.transaction() as cx:
                    await cx.execute(change.encode())


async def test_the_api_redeems_tickets_and_issues_none(issued: Database, api_url: str) -> None:
    async with Database(api_url, pool_max=2) as api:
        async with api.transaction() as cx:
            assert await gate.redeem(cx, REF, gate_id="north-1", at=START)
        for change in (
            "INSERT INTO tickets (order_no, line_no, unit, supplier_ticket_id, code, code_format, issued_at) "
            "VALUES (1003, 2, 0, '', '', 'TESSERA', now())",
            "UPDATE tickets SET code = 'mine'",
            "DELETE FROM tickets",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with api.transaction() as cx:
                    await cx.execute(change.encode())


async def test_the_inspection_is_silent_on_an_entry_and_on_an_operators_void(issued: Database, owner_url: str) -> None:
    async with Database(owner_url, pool_max=2) as owner, owner.transaction() as cx:
        await gate.redeem(cx, REF, gate_id="north-1", at=START)
        await gate.record_scan(cx, a_scan(Outcome.ADMITTED), at=START)
        await gate.announce(cx, "ticket.redeemed", REF, {}, at=START)
        await gate.void(cx, TicketRef(ORDER, 1, 1), by="operator/ops", reason="bought twice", at=START)
    assert await found(issued) == set()


async def test_the_inspection_finds_an_entry_without_a_scan(issued: Database, owner_url: str) -> None:
    async with Database(owner_url, pool_max=2) as owner, owner.transaction() as cx:
        await gate.redeem(cx, REF, gate_id="north-1", at=START)
    assert await found(issued) == {"redeemed_once"}


async def test_the_inspection_finds_two_admitted_on_one_ticket_and_a_distributor_not_told(
    issued: Database, owner_url: str
) -> None:
    async with Database(owner_url, pool_max=2) as owner, owner.transaction() as cx:
        await gate.redeem(cx, REF, gate_id="north-1", at=START)
        for key in ("one", "two"):
            await gate.record_scan(cx, a_scan(Outcome.ADMITTED, key), at=START)
    assert await found(issued) == {"redeemed_once", "redeemed_is_told"}


async def test_a_ticket_has_the_window_and_titles_of_what_was_bought(issued: Database) -> None:
    async with issued.reading() as cx:
        ticket = await tickets.find(cx, REF)
        assert await tickets.find(cx, TicketRef(ORDER, 1, 2)) is None
    assert ticket is not None
    assert (ticket.product_title, ticket.variant_title, ticket.time_zone) == ("Tower", "Adult", "UTC")
    assert ticket.standing.status is TicketStatus.VALID
    assert (ticket.window.opens_at, ticket.window.closes_at) == (ticket.issued_at, None)


def a_scan(outcome: Outcome, key: str = "key") -> ScanNote:
    return ScanNote(key, REF, "digest", "north-1", "operator/gate", outcome, False, START)


async def found(database: Database) -> set[str]:
    async with database.transaction() as cx:
        violations = await inspect(cx, InspectionTerms(promise_s=10**9))
    return {violation.invariant for violation in violations}
