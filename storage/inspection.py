"""The inspection: every invariant over our whole database, in one snapshot, with memory flat in the number of orders.

`inspect` is what tests, the production schedule and the fault runs call. A clean database gives an empty list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from datetime import datetime
from typing import Any, LiteralString

from psycopg.rows import DictRow

from domain.categories import CATEGORIES
from domain.inspection import (
    AXES,
    BookedFlow,
    InspectionTerms,
    LoggedEvent,
    OrderFacts,
    Violation,
    judge_order,
    judge_workflows,
)
from domain.orders import OrderStatus
from domain.settlement import LineFacts
from domain.supplier_books import PromisedLine
from storage.database import Connection
from storage.inspection_checks import CHECKS

PAGE_ORDERS = 2000


async def inspect(
    cx: Connection,
    terms: InspectionTerms | None = None,
    *,
    open_workflows: Collection[str] | None = None,
    since_no: int = 0,
    limit: int = 100,
) -> list[Violation]:
    """All violations, at most `limit` of each invariant that is a sum and `limit` of those that judge single orders.

    `cx`: a transaction of its own (`Database.transaction()`) in which nothing has run yet: the inspection makes it one
    read-only snapshot. `open_workflows`: ids of all open workflows, listed at most `grace_s` before; without it that
    invariant is left out. `since_no`: single orders are judged only above this number (the sums are always whole).
    """
    terms = terms or InspectionTerms()
    await cx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    found: list[Violation] = []
    for invariant, query in CHECKS.items():
        found += await _check(cx, invariant, query, terms, limit)
    told = 0
    async for order in order_facts(cx, since_no=since_no):
        for violation in judge_order(order):
            found.append(violation)
            told += 1
        if told >= limit:
            break
    if open_workflows is not None:
        found += await _workflows(cx, frozenset(open_workflows), terms, limit)
    return found


async def _check(
    cx: Connection, invariant: str, query: LiteralString, terms: InspectionTerms, limit: int
) -> list[Violation]:
    values = {
        "promise_s": terms.promise_s, "waiting_s": terms.waiting_s, "grace_s": terms.grace_s, "limit": limit,
        "gated": CATEGORIES.gated(),
    }  # fmt: skip
    cursor = await cx.execute(f"{query} LIMIT %(limit)s", values)
    return [Violation(invariant, row["subject"], row["detail"]) for row in await cursor.fetchall()]


async def order_facts(cx: Connection, *, since_no: int = 0) -> AsyncIterator[OrderFacts]:
    """Every order above `since_no` with its lines, log and flows, in the order of its number, read in pages."""
    while True:
        cursor = await cx.execute(
            "SELECT order_no, distributor_id, currency, total_minor, refunded_minor, status, payment_status, "
            "fulfillment_status, delivery_status, refund_status "
            "FROM orders WHERE order_no > %s ORDER BY order_no LIMIT %s",
            (since_no, PAGE_ORDERS),
        )
        orders = await cursor.fetchall()
        if not orders:
            return
        span = (since_no, orders[-1]["order_no"])
        lines = await _by_order(cx, _LINES, span)
        events = await _by_order(cx, _EVENTS, span)
        flows = await _by_order(cx, _FLOWS, (*span, *span))
        for order in orders:
            order_no = order["order_no"]
            yield _facts(order, lines[order_no], events[order_no], flows[order_no])
        since_no = span[1]


_LINES: LiteralString = """
SELECT order_no, line_no, status, total_minor, supplier_id, cost_minor, refunded_minor, supplier_refunded_minor,
    locked_at, canceled_at, issued_at, refunded_at, supplier_refunded_at,
    coalesce(
        (SELECT jsonb_agg(jsonb_build_array(r.amount_minor, r.refunded_at) ORDER BY r.refunded_at) FROM refunds AS r
         WHERE (r.order_no, r.line_no) = (l.order_no, l.line_no) AND r.state = 'refunded'),
        (SELECT jsonb_agg(jsonb_build_array(b.cost_minor, b.at) ORDER BY b.at) FROM breach_records AS b
         WHERE (b.order_no, b.line_no) = (l.order_no, l.line_no)
            AND EXISTS (SELECT FROM orders AS o WHERE o.order_no = l.order_no AND o.pays = 'on_account'))
    ) AS refunds
FROM order_lines AS l WHERE order_no > %s AND order_no <= %s ORDER BY order_no, line_no"""

_EVENTS: LiteralString = """
SELECT order_no, line_no, axis, event, from_state, to_state
FROM order_events WHERE order_no > %s AND order_no <= %s ORDER BY order_no, seq"""

_FLOWS: LiteralString = """
SELECT order_no, 'receivable' AS side, line_no, kind, amount_minor, business_at
FROM receivable_flows WHERE order_no > %s AND order_no <= %s
UNION ALL SELECT order_no, 'payable', line_no, kind, amount_minor, business_at
FROM payable_flows WHERE order_no > %s AND order_no <= %s"""


async def _by_order(cx: Connection, query: LiteralString, values: tuple[int, ...]) -> dict[int, list[DictRow]]:
    grouped: dict[int, list[DictRow]] = defaultdict(list)
    for row in await (await cx.execute(query, values)).fetchall():
        grouped[row.pop("order_no")].append(row)
    return grouped


def _facts(order: DictRow, lines: list[DictRow], events: list[DictRow], flows: list[DictRow]) -> OrderFacts:
    whose: dict[str, Any] = {name: order[name] for name in ("order_no", "distributor_id", "currency")}
    return OrderFacts(
        order_no=order["order_no"],
        axes={axis: order[axis] for axis in AXES},
        total_minor=order["total_minor"],
        refunded_minor=order["refunded_minor"],
        lines=tuple(_line_facts(whose, line) for line in lines),
        events=tuple(LoggedEvent(**event) for event in events),
        flows=tuple(BookedFlow(**flow) for flow in flows),
    )


def _line_facts(whose: dict[str, Any], line: DictRow) -> LineFacts:
    refunds = tuple((amount, datetime.fromisoformat(at)) for amount, at in line["refunds"] or ())
    return LineFacts(**{**whose, **line, "status": OrderStatus(line["status"]), "refunds": refunds})


async def _workflows(
    cx: Connection, open_workflows: frozenset[str], terms: InspectionTerms, limit: int
) -> list[Violation]:
    """Orders that moved within the grace are passed over: the list of workflows is older than this snapshot."""
    cursor = await cx.execute(
        "SELECT order_no, host_workflow_id FROM orders WHERE status IN ('pending', 'locked', 'issuing', 'refunding') "
        "AND host_workflow_id <> ALL (%s) AND updated_at < now() - make_interval(secs => %s) "
        "ORDER BY order_no LIMIT %s",
        (sorted(open_workflows), terms.grace_s, limit),
    )
    in_motion = [(row["order_no"], row["host_workflow_id"]) for row in await cursor.fetchall()]
    own = [int(name[6:]) for name in open_workflows if name.startswith("order/") and name[6:].isdigit()]
    cursor = await cx.execute(
        "SELECT order_no FROM orders AS o WHERE order_no = ANY (%s) "
        "AND status IN ('rejected', 'canceled', 'issued', 'refunded', 'refund_failed') "
        "AND updated_at < now() - make_interval(secs => %s) AND NOT EXISTS (SELECT FROM bookings AS b "
        "WHERE b.order_no = o.order_no AND b.state IN ('intended', 'held', 'issuing', 'releasing')) "
        "ORDER BY order_no LIMIT %s",
        (own, terms.grace_s, limit),
    )
    at_rest = [row["order_no"] for row in await cursor.fetchall()]
    return list(judge_workflows(in_motion, at_rest, open_workflows))


async def promised_lines(cx: Connection) -> list[PromisedLine]:
    """Every line with what it should have at its suppliers, for `domain.supplier_books.compare_with_books`."""
    cursor = await cx.execute(
        """
        SELECT l.order_no, l.line_no, l.status, l.quantity, o.confirmed_at,
            coalesce(array_agg(lower(b.reference) ORDER BY b.attempt) FILTER (WHERE b.reference IS NOT NULL), '{}')
                AS booked,
            coalesce(array_agg(b.attempt / 1000 ORDER BY b.attempt) FILTER (WHERE b.reference IS NOT NULL), '{}')
                AS parts,
            EXISTS (SELECT FROM ledger_transfers AS t WHERE t.debit_account LIKE 'loss:%'
                AND split_part(t.key, '/', 1) = l.order_no::text AND split_part(t.key, '/', 2) = l.line_no::text)
                AS loss_recorded
        FROM order_lines AS l JOIN orders AS o USING (order_no)
        LEFT JOIN bookings AS b USING (order_no, line_no)
        GROUP BY l.order_no, l.line_no, o.confirmed_at ORDER BY l.order_no, l.line_no
        """
    )
    return [
        PromisedLine(
            **{**row, "status": OrderStatus(row["status"]), "parts": tuple(row["parts"])}, references=tuple(booked)
        )
        async for row in cursor
        for booked in [row.pop("booked")]
    ]
