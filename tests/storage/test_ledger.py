"""The database keeps the ledger: history refuses changes by whomever, balances follow, nothing is unbalanced."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from domain import ledger
from domain.ledger import Transfer
from domain.orders import OrderStatus
from domain.settlement import LineFacts, PayableFlow, flow_at_issue, flow_at_refund, flows_at_lock
from storage.database import Database
from storage.settlement import BookedOtherwise, insert_flows, payable_sums, receivable_sums, trial_balance
from tests.storage import world

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
LINE = LineFacts(1001, 1, OrderStatus.LOCKED, "north", "CNY", 1000)
HISTORY = (
    "receivable_flows",
    "payable_flows",
    "ledger_transfers",
    "order_events",
    "stock_movements",
    "operation_log",
    "snapshots",
)


@pytest.fixture
async def books(database: Database, owner_url: str) -> Database:
    async with Database(owner_url, pool_max=2) as owner, owner.reading() as cx:
        await world.make_world(cx)
    return database


@pytest.mark.parametrize(
    ("role", "refusal"),
    [
        ("owner_url", psycopg.errors.RestrictViolation),
        ("worker_url", psycopg.errors.InsufficientPrivilege),
        ("api_url", psycopg.errors.InsufficientPrivilege),
    ],
)
def test_history_refuses_changes_by_every_role(
    request: pytest.FixtureRequest, role: str, refusal: type[psycopg.Error]
) -> None:
    with psycopg.connect(request.getfixturevalue(role), autocommit=True) as cx:
        for table in HISTORY:
            column = "reason" if table in ("order_events", "stock_movements") else "id"
            for change in (
                f"DELETE FROM {table}",
                f"UPDATE {table} SET {column} = {column}",
                f"TRUNCATE {table} CASCADE",
            ):
                with pytest.raises(refusal):
                    cx.execute(change)


@pytest.mark.parametrize("role", ["worker_url", "api_url"])
def test_no_role_may_write_balances_or_lift_the_triggers(request: pytest.FixtureRequest, role: str) -> None:
    url: str = request.getfixturevalue(role)
    for statement in (
        "INSERT INTO ledger_balances VALUES ('revenue:fee', 'CNY', 0, 1, 0)",
        "UPDATE ledger_balances SET debits_minor = 0",
        "ALTER TABLE ledger_transfers DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP TABLE ledger_transfers",
    ):
        with psycopg.connect(url) as cx, pytest.raises(psycopg.errors.InsufficientPrivilege):
            cx.execute(statement)


@pytest.mark.parametrize(
    ("debit", "credit", "amount"),
    [
        ("revenue:margin", "revenue:margin", 1),
        ("revenue:margin", "revenue:fee", 0),
        ("revenue:margin", "revenue:fee", -1),
        ("revenue:margin", "pocket:mine", 1),
        ("distributor::receivable", "revenue:margin", 1),
        ("distributor:a:receivable\n", "revenue:margin", 1),
    ],
)
def test_a_transfer_without_two_known_sides_and_an_amount_is_refused(
    worker_url: str, debit: str, credit: str, amount: int
) -> None:
    with psycopg.connect(worker_url) as cx, pytest.raises(psycopg.errors.CheckViolation):
        _raw_transfer(cx, "k", debit, credit, amount, "CNY")


def test_an_account_of_a_party_has_one_currency_and_revenue_has_many(worker_url: str) -> None:
    with psycopg.connect(worker_url, autocommit=True) as cx:
        _raw_transfer(cx, "a", ledger.receivable("x"), ledger.MARGIN, 5, "CNY")
        _raw_transfer(cx, "b", ledger.receivable("y"), ledger.MARGIN, 5, "USD")
        with pytest.raises(psycopg.errors.CheckViolation, match="another currency"):
            _raw_transfer(cx, "c", ledger.receivable("x"), ledger.MARGIN, 5, "USD")


def test_the_database_and_the_domain_know_the_same_accounts(worker_url: str) -> None:
    with psycopg.connect(worker_url) as cx:
        row = cx.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'account_known'"
        ).fetchone()
    assert row is not None
    assert ledger.ACCOUNT_PATTERN in row[0]


async def test_balances_follow_transfers_over_many_connections(books: Database) -> None:
    async def book(number: int) -> None:
        async with books.transaction() as cx:
            await insert_flows(cx, flows_at_lock([replace(LINE, order_no=number)], AT))

    await asyncio.gather(*(book(number) for number in range(1, 41)))

    async with books.reading() as cx:
        balances = {row["account"]: row for row in await trial_balance(cx)}
        rows = await (await cx.execute("SELECT DISTINCT slot FROM ledger_balances")).fetchall()
    assert balances[ledger.receivable("north")]["debits_minor"] == 40_000
    assert balances[ledger.MARGIN]["credits_minor"] == 40_000
    assert len(rows) > 1


async def test_a_flow_is_booked_once_with_its_transfer(books: Database) -> None:
    async with books.transaction() as cx:
        assert await insert_flows(cx, flows_at_lock([LINE], AT), [flow_at_issue(LINE, "east", 700, AT)]) == 2
    async with books.transaction() as cx:
        assert await insert_flows(cx, flows_at_lock([LINE], AT)) == 0
        sums = await receivable_sums(cx, AT, AT + timedelta(seconds=1)), await payable_sums(cx, AT, AT)
        transfers = await (await cx.execute("SELECT key FROM ledger_transfers ORDER BY key")).fetchall()

    assert [(each.party, each.amount_minor) for each in sums[0]] == [("north", 1000)]
    assert sums[1] == []  # the end of a period is not in it
    assert [row["key"] for row in transfers] == ["1001/1/issued", "1001/1/locked"]


@pytest.mark.parametrize("changed", [{"amount_minor": 701}, {"supplier_id": "west"}, {"currency": "USD"}])
async def test_the_same_key_with_other_content_is_refused_whole(books: Database, changed: dict[str, object]) -> None:
    flow = flow_at_issue(LINE, "east", 700, AT)
    assert isinstance(flow, PayableFlow)
    async with books.reading() as cx:
        await cx.execute(
            "INSERT INTO suppliers (id, name, base_url, api_token, callback_secret, created_at) "
            "VALUES ('west', 'West', '', '', '', now())"
        )
    async with books.transaction() as cx:
        await insert_flows(cx, payables=[flow])

    other = replace(flow, **changed)  # type: ignore[arg-type]  # the parameters are fields of the flow
    with pytest.raises(BookedOtherwise, match="1001/1/issued"):
        async with books.transaction() as cx:
            await insert_flows(cx, [flow_at_refund(LINE, 10, AT)], [other])

    async with books.reading() as cx:
        assert await receivable_sums(cx, AT, AT + timedelta(seconds=1)) == []


async def test_fifty_bookings_of_one_flow_at_once_leave_one(books: Database) -> None:
    async def book() -> int:
        async with books.transaction() as cx:
            return await insert_flows(cx, flows_at_lock([LINE], AT))

    assert sum(await asyncio.gather(*(book() for _ in range(50)))) == 1


async def test_a_correction_names_what_it_corrects(books: Database) -> None:
    first = Transfer("t/1", ledger.loss("bad"), ledger.MARGIN, 5, "CNY", AT)
    async with books.transaction() as cx:
        await insert_flows(cx, transfers=[first])
        await insert_flows(cx, transfers=[first.reversed("t/2", AT)])
        balances = {row["account"]: row for row in await trial_balance(cx)}
    assert balances[ledger.MARGIN]["debits_minor"] == balances[ledger.MARGIN]["credits_minor"] == 5

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        async with books.transaction() as cx:
            await insert_flows(cx, transfers=[replace(first, key="t/3", corrects="t/0")])


def _raw_transfer(cx: psycopg.Connection, key: str, debit: str, credit: str, amount: int, currency: str) -> None:
    cx.execute(
        "INSERT INTO ledger_transfers "
        "(key, debit_account, credit_account, amount_minor, currency, business_at, booked_at) "
        "VALUES (%s, %s, %s, %s, %s, now(), now())",
        (key, debit, credit, amount, currency),
    )
