"""The invariants that tests, the inspection in production and the fault runs all judge by: nothing lost, nothing twice.

Here are those that need rules to judge one order; storage/inspection_checks.py has those that are sums over tables, and
domain/supplier_books.py compares with what the outside world saw. docs and numbers: "Faults" in the specification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.machines import Machine
from domain.orders import DELIVERY, FULFILLMENT, PAYMENT, REFUND, STATUS, OrderStatus, status_of
from domain.settlement import LineFacts, Owed, expected_payable, expected_receivable

AXES: Mapping[str, Machine[Any, Any]] = {
    machine.name: machine for machine in (STATUS, PAYMENT, FULFILLMENT, DELIVERY, REFUND)
}
"""The five axes by the names they have in the event log; other axes there (`hold`, `review`) have no machine."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What is not as it has to be: which invariant, of what, and how one can see it."""

    invariant: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class InspectionTerms:
    """How long things may take before they are wrong, in seconds.

    `promise_s`: a confirmed order is issued, refunded or with an operator by then; `waiting_s`: a callback or a claim
    has its effect by then; `grace_s`: an order at rest has had its compensation and its workflow's end by then.
    """

    promise_s: float = 3600.0
    waiting_s: float = 60.0
    grace_s: float = 60.0


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A row of an order's event log, in the log's order. `line_no` 0 is the order itself."""

    line_no: int
    axis: str
    event: str
    from_state: str
    to_state: str


@dataclass(frozen=True, slots=True)
class BookedFlow:
    """A flow as it was booked; `side` is `receivable` or `payable`."""

    side: str
    line_no: int
    kind: str
    amount_minor: int
    business_at: datetime


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """One order with everything that must agree with it. `axes`: the state on each of the five, by name."""

    order_no: int
    axes: Mapping[str, str]
    total_minor: int
    refunded_minor: int
    lines: tuple[LineFacts, ...]
    events: tuple[LoggedEvent, ...] = ()
    flows: tuple[BookedFlow, ...] = ()


def judge_order(order: OrderFacts) -> Iterator[Violation]:
    """Everything that is wrong with one order by itself."""
    yield from judge_derivation(order)
    yield from judge_log(order)
    yield from judge_flows(order)


def judge_derivation(order: OrderFacts) -> Iterator[Violation]:
    """The order's status and totals are those of its lines."""
    subject = str(order.order_no)
    if not order.lines:
        # What is refused before it is opened has none: what was asked for may not even exist.
        if order.axes["status"] != OrderStatus.REJECTED or order.total_minor:
            yield Violation("order_has_lines", subject, "the order has no line")
        return
    derived = status_of(line.status for line in order.lines)
    if derived != order.axes["status"]:
        yield Violation("status_derived", subject, f"the order is {order.axes['status']}, its lines make it {derived}")
    total_minor = sum(line.total_minor for line in order.lines)
    if total_minor != order.total_minor:
        yield Violation("totals_derived", subject, f"total {order.total_minor}, lines add up to {total_minor}")
    refunded_minor = sum(line.refunded_minor for line in order.lines)
    if refunded_minor != order.refunded_minor:
        yield Violation("totals_derived", subject, f"refunded {order.refunded_minor}, lines: {refunded_minor}")


def judge_log(order: OrderFacts) -> Iterator[Violation]:
    """The event log, replayed through the machines from their initial states, ends in the present states."""
    actual: dict[tuple[int, str], str] = {(0, axis): order.axes[axis] for axis in AXES}
    actual |= {(line.line_no, "status"): line.status for line in order.lines}
    replayed: dict[tuple[int, str], str] = {place: str(AXES[place[1]].initial) for place in actual}
    for number, logged in enumerate(order.events):
        if logged.axis not in AXES:
            continue
        place = (logged.line_no, logged.axis)
        if number == 0 and not logged.from_state and logged.to_state == replayed.get(place):
            continue  # the order's birth: from nothing to its initial state
        before = replayed.get(place)
        if not logged.from_state and before == logged.to_state == AXES[place[1]].initial:
            continue  # the order's beginning: it was placed into the initial state
        after = AXES[logged.axis].table.get((before, logged.event))
        if before != logged.from_state or after != logged.to_state:
            told = f"{logged.event}: {logged.from_state} -> {logged.to_state}"
            yield Violation("log_replays", _place(order, place), f"the log says {told}; at that point it is {before}")
        replayed[place] = logged.to_state
    for place in sorted(actual.keys() | replayed.keys()):
        if replayed.get(place) != actual.get(place):
            detail = f"the log ends in {replayed.get(place)}, the row says {actual.get(place)}"
            yield Violation("log_adds_up", _place(order, place), detail)


def judge_flows(order: OrderFacts) -> Iterator[Violation]:
    """The flows are the settlement table's, to the cent and by the same times; goodwill and losses stand beside it."""
    known = {line.line_no for line in order.lines}
    for line in order.lines:
        for side, expected in (("receivable", expected_receivable(line)), ("payable", expected_payable(line))):
            booked = Counter(
                Owed(flow.amount_minor, flow.business_at)
                for flow in order.flows
                if flow.line_no == line.line_no and flow.side == side and flow.kind not in ("goodwill", "lost")
            )
            wanted = Counter(expected)
            if booked != wanted:
                detail = f"{side}: missing {_told(wanted - booked)}, too much {_told(booked - wanted)}"
                yield Violation("flows_as_settlement_table", line.subject, detail)
    for flow in order.flows:
        if flow.line_no not in known:
            detail = f"{flow.side} flow of {flow.amount_minor} for a line that doesn't exist"
            yield Violation("flows_as_settlement_table", f"{order.order_no}/{flow.line_no}", detail)


def judge_workflows(
    in_motion: Iterable[tuple[int, str]], at_rest: Iterable[int], open_workflows: frozenset[str]
) -> Iterator[Violation]:
    """No workflow closed before its order is at rest, none open after.

    `in_motion`: orders that are, with their host's workflow id; `at_rest`: orders at rest (for longer than the grace,
    with nothing left to undo) of which an own workflow `order/{order_no}` is open.
    """
    for order_no, host in in_motion:
        if host not in open_workflows:
            yield Violation("motion_has_workflow", str(order_no), f"the order is in motion and {host} is not open")
    for order_no in at_rest:
        yield Violation("rest_has_no_workflow", str(order_no), f"the order is at rest and order/{order_no} is open")


def _place(order: OrderFacts, place: tuple[int, str]) -> str:
    line_no, axis = place
    return f"{order.order_no}/{line_no} {axis}" if line_no else f"{order.order_no} {axis}"


def _told(owed: Counter[Owed]) -> str:
    told = [f"{amount.amount_minor} at {amount.business_at.isoformat()}" for amount in owed.elements()]
    return ", ".join(told) or "nothing"
