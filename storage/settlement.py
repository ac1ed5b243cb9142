"""Who owes whom: receivable and payable flows, and the ledger of balanced transfers. Append-only, all three."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg.rows import DictRow
from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from domain.errors import DomainError
from domain.ledger import Transfer
from domain.settlement import PayableFlow, ReceivableFlow
from storage.columns import at, big, one_of
from storage.database import Connection


class ReceivableFlowRow(SQLModel, table=True):
    """A signed amount (minor units) that a distributor owes us. `key` is the business key that makes it once-only."""

    __tablename__ = "receivable_flows"
    __table_args__ = (
        UniqueConstraint("key"),
        one_of("kind", ("locked", "canceled", "refunded", "goodwill")),
        CheckConstraint("amount_minor <> 0", name="amount_not_zero"),
        Index("receivable_flows_period", "distributor_id", "business_at"),
        Index("receivable_flows_order", "order_no"),
    )

    id: int = big(primary_key=True, default=None)
    key: str
    distributor_id: str = Field(foreign_key="distributors.id")
    order_no: int = big()
    line_no: int
    kind: str
    amount_minor: int = big()
    currency: str
    business_at: datetime = at()
    booked_at: datetime = at()


class PayableFlowRow(SQLModel, table=True):
    """A signed amount (minor units) that we owe a supplier."""

    __tablename__ = "payable_flows"
    __table_args__ = (
        UniqueConstraint("key"),
        one_of("kind", ("issued", "refunded", "lost")),
        CheckConstraint("amount_minor <> 0", name="amount_not_zero"),
        Index("payable_flows_period", "supplier_id", "business_at"),
        Index("payable_flows_order", "order_no"),
    )

    id: int = big(primary_key=True, default=None)
    key: str
    supplier_id: str = Field(foreign_key="suppliers.id")
    order_no: int = big()
    line_no: int
    kind: str
    amount_minor: int = big()
    currency: str
    business_at: datetime = at()
    booked_at: datetime = at()


class LedgerTransferRow(SQLModel, table=True):
    """`amount_minor` moves from `credit_account` to `debit_account`: one row has both sides, so it is always balanced.

    `business_at` decides the period, `booked_at` is when we knew; a correction names what it corrects.
    """

    __tablename__ = "ledger_transfers"
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("amount_minor > 0", name="amount_positive"),
        CheckConstraint("debit_account <> credit_account", name="two_sides"),
        CheckConstraint("corrects IS NULL OR corrects <> key", name="corrects_another"),
        Index("ledger_transfers_debit", "debit_account", "business_at"),
        Index("ledger_transfers_credit", "credit_account", "business_at"),
    )

    id: int = big(primary_key=True, default=None)
    key: str
    debit_account: str
    credit_account: str
    amount_minor: int = big()
    currency: str
    business_at: datetime = at()
    booked_at: datetime = at()
    corrects: str | None = Field(default=None, foreign_key="ledger_transfers.key")


class LedgerBalanceRow(SQLModel, table=True):
    """Sums kept beside the transfers by a trigger. `slot` spreads a busy account over rows: add them up."""

    __tablename__ = "ledger_balances"

    account: str = Field(primary_key=True)
    currency: str = Field(primary_key=True)
    slot: int = Field(primary_key=True)
    debits_minor: int = big(default=0)
    credits_minor: int = big(default=0)


class BookedOtherwise(DomainError):
    """A flow or transfer with this business key has been booked with other content: one of the two is wrong."""

    code = "booked_otherwise"

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(f"Already booked with another amount, party or currency: {', '.join(keys)}.")
        self.keys = keys

    @property
    def facts(self) -> dict[str, object]:
        return {"keys": list(self.keys)}


_GIVEN: LiteralString = """
WITH given AS (
    SELECT * FROM json_to_recordset(%s::text::json) AS given (
        side text, key text, party text, order_no bigint, line_no int, kind text, amount_minor bigint, currency text,
        business_at timestamptz, debit text, credit text, moved_minor bigint, corrects text)
)"""

_INSERT = (
    _GIVEN
    + """, receivables AS (
    INSERT INTO receivable_flows
        (key, distributor_id, order_no, line_no, kind, amount_minor, currency, business_at, booked_at)
    SELECT key, party, order_no, line_no, kind, amount_minor, currency, business_at, now()
    FROM given WHERE side = 'receivable' ON CONFLICT (key) DO NOTHING RETURNING 1
), payables AS (
    INSERT INTO payable_flows
        (key, supplier_id, order_no, line_no, kind, amount_minor, currency, business_at, booked_at)
    SELECT key, party, order_no, line_no, kind, amount_minor, currency, business_at, now()
    FROM given WHERE side = 'payable' ON CONFLICT (key) DO NOTHING RETURNING 1
), transfers AS (
    INSERT INTO ledger_transfers
        (key, debit_account, credit_account, amount_minor, currency, business_at, booked_at, corrects)
    SELECT key, debit, credit, moved_minor, currency, business_at, now(), corrects
    FROM given ON CONFLICT (key) DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM receivables) + (SELECT count(*) FROM payables) AS flows,
    (SELECT count(*) FROM transfers) AS transfers"""
)

_INSERT_TRANSFERS = (
    _GIVEN
    + """
INSERT INTO ledger_transfers
    (key, debit_account, credit_account, amount_minor, currency, business_at, booked_at, corrects)
SELECT key, debit, credit, moved_minor, currency, business_at, now(), corrects
FROM given ON CONFLICT (key) DO NOTHING"""
)

_CONTRADICTED = (
    _GIVEN
    + """
SELECT key FROM given
LEFT JOIN receivable_flows AS r USING (key)
LEFT JOIN payable_flows AS p USING (key)
LEFT JOIN ledger_transfers AS t USING (key)
WHERE (t.debit_account, t.credit_account, t.amount_minor, t.currency)
        IS DISTINCT FROM (given.debit, given.credit, given.moved_minor, given.currency)
    OR (given.side = 'receivable' AND (r.distributor_id, r.kind, r.amount_minor, r.currency)
        IS DISTINCT FROM (given.party, given.kind, given.amount_minor, given.currency))
    OR (given.side = 'payable' AND (p.supplier_id, p.kind, p.amount_minor, p.currency)
        IS DISTINCT FROM (given.party, given.kind, given.amount_minor, given.currency))
ORDER BY key"""
)


async def insert_flows(
    cx: Connection,
    receivables: Iterable[ReceivableFlow | None] = (),
    payables: Iterable[PayableFlow | None] = (),
    transfers: Iterable[Transfer] = (),
) -> int:
    """Appends flows with their transfers, and other transfers, in one statement; returns how many flows were new.

    Once-only by key: the same flow again changes nothing, with other content it raises BookedOtherwise (the caller's
    transaction must then roll back). None, the flow of a free line, is passed over. Call it once per transaction:
    it takes the balances' locks in their order. One JSON parameter costs less CPU than a dozen arrays.
    """
    given = [_flow("receivable", flow.distributor_id, flow) for flow in receivables if flow is not None]
    given += [_flow("payable", flow.supplier_id, flow) for flow in payables if flow is not None]
    flows = len(given)
    given += [_transfer("none", transfer) for transfer in transfers]
    if not given:
        return 0
    document = json.dumps(given)
    row = await (await cx.execute(_INSERT, (document,))).fetchone()
    assert row is not None  # an aggregate always has a row
    if row["flows"] != flows or row["transfers"] != len(given):
        await _refuse_contradicted(cx, document)
    return int(row["flows"])


async def insert_transfers(cx: Connection, transfers: Sequence[Transfer]) -> int:
    """Appends transfers that belong to no flow; returns how many were new. Once-only by key, as `insert_flows`.

    Needs no rights over the flows. Raises BookedOtherwise.
    """
    document = json.dumps([_transfer("none", transfer) for transfer in transfers])
    cursor = await cx.execute(_INSERT_TRANSFERS, (document,))
    if cursor.rowcount != len(transfers):
        await _refuse_contradicted(cx, document)
    return cursor.rowcount


async def _refuse_contradicted(cx: Connection, document: str) -> None:
    contradicted = await (await cx.execute(_CONTRADICTED, (document,))).fetchall()
    if contradicted:
        raise BookedOtherwise(tuple(found["key"] for found in contradicted))


def _flow(side: str, party: str, flow: ReceivableFlow | PayableFlow) -> dict[str, object]:
    return {
        **_transfer(side, flow.transfer),
        "party": party,
        "order_no": flow.order_no,
        "line_no": flow.line_no,
        "kind": flow.kind,
        "amount_minor": flow.amount_minor,
    }


def _transfer(side: str, transfer: Transfer) -> dict[str, object]:
    return {
        "side": side,
        "key": transfer.key,
        "currency": transfer.currency,
        "business_at": transfer.business_at.isoformat(),
        "debit": transfer.debit,
        "credit": transfer.credit,
        "moved_minor": transfer.amount_minor,
        "corrects": transfer.corrects,
    }


@dataclass(frozen=True, slots=True)
class PartySum:
    """What one party's flows of a period add up to, in minor units."""

    party: str
    currency: str
    flows: int
    amount_minor: int


async def receivable_sums(cx: Connection, since: datetime, until: datetime) -> list[PartySum]:
    """Per distributor, the flows whose business time lies in [since, until)."""
    return await _sums(
        cx,
        "SELECT distributor_id AS party, currency, count(*) AS flows, sum(amount_minor)::bigint AS amount_minor "
        "FROM receivable_flows WHERE business_at >= %s AND business_at < %s GROUP BY 1, 2 ORDER BY 1, 2",
        since,
        until,
    )


async def payable_sums(cx: Connection, since: datetime, until: datetime) -> list[PartySum]:
    """Per supplier, the flows whose business time lies in [since, until)."""
    return await _sums(
        cx,
        "SELECT supplier_id AS party, currency, count(*) AS flows, sum(amount_minor)::bigint AS amount_minor "
        "FROM payable_flows WHERE business_at >= %s AND business_at < %s GROUP BY 1, 2 ORDER BY 1, 2",
        since,
        until,
    )


async def _sums(cx: Connection, query: LiteralString, since: datetime, until: datetime) -> list[PartySum]:
    cursor = await cx.execute(query, (since, until))
    return [PartySum(**row) for row in await cursor.fetchall()]


async def trial_balance(cx: Connection) -> list[DictRow]:
    """Each account with `currency`, `debits_minor`, `credits_minor`, from the kept balances.

    Per currency the two columns are equal: each transfer wrote one amount into both.
    """
    cursor = await cx.execute(
        "SELECT account, currency, sum(debits_minor)::bigint AS debits_minor, "
        "sum(credits_minor)::bigint AS credits_minor "
        "FROM ledger_balances GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return await cursor.fetchall()
