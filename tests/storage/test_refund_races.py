"""Refunds at once on one charge: however stale what each of them has read, no more is asked for than was paid."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import pytest

from domain.payments import Parts, RefundExceedsPaid
from storage import refunds
from storage.database import Database
from storage.refunds import Share

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ORDER_NO, PAY_ID, PAID_MINOR, AT_ONCE = 1_039_000_000_000_000_001, "pay-1", 10, 20

TABLES = ("pay_orders", "pay_order_parts", "charges")
"""Each keeps for itself that no more goes back than came."""


@pytest.fixture
async def worker(owner_url: str, worker_url: str) -> AsyncIterator[Database]:
    """With one order that one charge of ten minor units has paid."""
    arranged = (
        "INSERT INTO payment_channels (id, name, protocol, base_url, created_at) "
        "VALUES ('till', 'Till', 'none', '', %(at)s)",
        "INSERT INTO order_claims (order_no, distributor_id, idempotency_key, body_hash, request, sent_until, "
        "created_at) VALUES (%(order)s, 'house', 'key', '', '{}', %(at)s, %(at)s)",
        "INSERT INTO orders (order_no, distributor_id, host_workflow_id, status, currency, total_minor, created_at, "
        "updated_at) VALUES (%(order)s, 'house', 'order', 'issued', 'CNY', %(paid)s, %(at)s, %(at)s)",
        "INSERT INTO pay_orders (id, buyer_id, distributor_id, idempotency_key, body_hash, host_workflow_id, status, "
        "currency, total_minor, cash_minor, paid_minor, channel_id, created_at, updated_at) VALUES (%(pay)s, 'usr-1', "
        "'house', 'key', '', '', 'paid', 'CNY', %(paid)s, %(paid)s, %(paid)s, 'till', %(at)s, %(at)s)",
        "INSERT INTO pay_order_parts (pay_id, order_no, rank, state, amount_minor, cash_minor, coins_minor, "
        "voucher_minor) VALUES (%(pay)s, %(order)s, 1, 'served', %(paid)s, %(paid)s, 0, 0)",
        "INSERT INTO charges (channel_id, payment_id, pay_id, reference, verdict, amount_minor, currency, paid_at, "
        "recorded_at) VALUES ('till', 'chg-1', %(pay)s, %(pay)s, 'accepted', %(paid)s, 'CNY', %(at)s, %(at)s)",
    )
    facts = {"at": NOW, "order": ORDER_NO, "pay": PAY_ID, "paid": PAID_MINOR}
    async with Database(owner_url, pool_max=1) as owner, owner.transaction() as cx:
        for statement in arranged:
            await cx.execute(statement, facts)
    async with Database(worker_url, pool_max=AT_ONCE) as opened:
        yield opened


async def going_back(worker: Database) -> list[int]:
    """What is on its way back, as each of the tables has it."""
    async with worker.reading() as cx:
        found = []
        for table in TABLES:
            cursor = await cx.execute(f"SELECT refunding_minor FROM {table}".encode())
            row = await cursor.fetchone()
            assert row is not None
            found.append(int(row["refunding_minor"]))
        return found


async def ask(worker: Database, number: int, amount_minor: int, share: Share) -> int:
    """What was asked for: `amount_minor`, or nothing."""
    try:
        async with worker.transaction() as cx:
            await refunds.request(
                cx, f"rfd-{number}", share, amount_minor,
                order_no=ORDER_NO, line_no=1, currency="CNY", reason="race", actor="test", at=NOW,
            )  # fmt: skip
    except RefundExceedsPaid:
        return 0
    return amount_minor


NOTHING_BACK = Share(PAY_ID, ORDER_NO, Parts(cash_minor=PAID_MINOR), Parts())
"""The share as it was before the race: what each of them has read."""


async def test_twenty_refunds_of_one_minor_unit_have_one_winner_for_each_that_was_paid(worker: Database) -> None:
    asked = await asyncio.gather(*(ask(worker, number, 1, NOTHING_BACK) for number in range(AT_ONCE)))
    assert sum(asked) == PAID_MINOR
    assert await going_back(worker) == [PAID_MINOR] * 3
    async with worker.reading() as cx:
        cursor = await cx.execute("SELECT count(*) AS n FROM refunds")
        row = await cursor.fetchone()
    assert row == {"n": PAID_MINOR}, "who has lost left no refund"


@pytest.mark.parametrize("seed", range(3))
async def test_refunds_of_all_sizes_never_add_up_to_more_than_was_paid(worker: Database, seed: int) -> None:
    sizes = [random.Random(seed).randint(2, PAID_MINOR) for _ in range(AT_ONCE)]
    asked = await asyncio.gather(*(ask(worker, number, size, NOTHING_BACK) for number, size in enumerate(sizes)))
    assert 0 < sum(asked) <= PAID_MINOR
    assert await going_back(worker) == [sum(asked)] * 3


async def test_who_reads_the_share_under_its_lock_asks_for_what_is_left(worker: Database) -> None:
    async def ask_for_all(number: int) -> int:
        async with worker.transaction() as cx:
            share = await refunds.share_of(cx, ORDER_NO)
            assert share is not None
            left_minor = share.left.total_minor
            if not left_minor:
                return 0
            await refunds.request(
                cx, f"rfd-{number}", share, min(left_minor, 3),
                order_no=ORDER_NO, line_no=1, currency="CNY", reason="race", actor="test", at=NOW,
            )  # fmt: skip
            return min(left_minor, 3)

    assert sorted(await asyncio.gather(*map(ask_for_all, range(AT_ONCE))), reverse=True)[:5] == [3, 3, 3, 1, 0]
    assert await going_back(worker) == [PAID_MINOR] * 3


@pytest.mark.parametrize("table", TABLES)
async def test_the_database_itself_refuses_more_than_was_paid(worker: Database, table: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="refunds_within"):
        async with worker.transaction() as cx:
            await cx.execute(f"UPDATE {table} SET refunding_minor = {PAID_MINOR + 1}".encode())
    with pytest.raises(psycopg.errors.CheckViolation, match="refunds_within"):
        async with worker.transaction() as cx:
            await cx.execute(f"UPDATE {table} SET refunding_minor = 6, refunded_minor = 5".encode())
    assert await going_back(worker) == [0] * 3
