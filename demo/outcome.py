"""What came of a run: counted when everything is at rest, by the API, the database and the books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from demo.buyers import Purchase
from demo.caller import Caller
from demo.characters import KINDS
from demo.kinds import Kinds
from demo.money import Money
from demo.pay_stories import Story
from domain.inspection import InspectionTerms, Violation
from inspecting import inspect_all
from settings import Settings

OUTCOMES = ("refused", "issued", "partial", "refunded", "canceled")
TERMS = InspectionTerms(promise_s=0, waiting_s=10, grace_s=5)
"""At the end nothing is under way any more: nobody is given time."""


@dataclass
class Outcome:
    """The figures of a run; amounts in minor units of `currency`. `orders`: all that were made, as they ended.

    `stories`: shoppers', of this run; `money` and `payments`: all of shoppers' money that there is on the stack.
    """

    placed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    negotiated: int = 0
    certainty_s: list[float] = field(default_factory=list)
    receivable_minor: int = 0
    payable_minor: int = 0
    doubles: int = 0
    dropped: int = 0
    violations: tuple[Violation, ...] = ()
    faults_hit: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    seconds: float = 0.0
    kinds: Kinds = field(default_factory=lambda: Kinds({}))
    orders: list[Mapping[str, Any]] = field(default_factory=list)
    stories: list[Story] = field(default_factory=list)
    money: Money = field(default_factory=Money)
    payments: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def flows_as_table(self) -> bool:
        """Whether the flows are the settlement table evaluated over the orders, to the cent."""
        return all(found.invariant != "flows_as_settlement_table" for found in self.violations)

    @property
    def failures(self) -> list[str]:
        """Why the run has failed; empty where it has not."""
        told = [*self.troubles, *self.kinds.failures, *self.money.failures]
        told += [f"{story.title}: {story.trouble}" for story in self.stories if story.trouble]
        told += [f"doubles: {self.doubles}"] if self.doubles else []
        told += [f"dropped: {self.dropped}"] if self.dropped else []
        told += [f"{found.invariant} of {found.subject}: {found.detail}" for found in self.violations]
        told += [f"the fault {kind!r} was never hit" for kind in KINDS if not self.faults_hit[kind]]
        if self.placed != sum(self.outcomes[name] for name in OUTCOMES):
            told.append(f"{self.placed} orders were placed, their outcomes are {dict(self.outcomes)}")
        return told

    def report(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "placed": self.placed,
            **{name: self.outcomes[name] for name in OUTCOMES},
            "refusals": dict(self.refusals),
            "negotiated": self.negotiated,
            "certainty_s": quantiles(self.certainty_s),
            "doubles": self.doubles,
            "dropped": self.dropped,
            "violations": len(self.violations),
            **self.kinds.report(),
            "money": self.money.report(),
            "stories": {
                f"{number} {story.title}": story.report() for number, story in enumerate(self.stories, start=1)
            },
            "faults_hit": dict(sorted(self.faults_hit.items())),
            "flows_equal_table": self.flows_as_table,
            "receivable_minor": self.receivable_minor,
            "payable_minor": self.payable_minor,
            "margin_minor": self.receivable_minor - self.payable_minor,
            "seconds": round(self.seconds, 1),
            "failures": self.failures,
        }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum, in the values' unit; zeros where there are none."""
    if not values:
        return {"p50": 0.0, "p95": 0.0, "max": 0.0}
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {"p50": round(median(ordered), 2), "p95": round(p95, 2), "max": round(ordered[-1], 2)}


async def count(
    purchases: Sequence[Purchase],
    caller: Caller,
    settings: Settings,
    faults_hit: Counter[str],
    kinds: Kinds,
    coupon_promotion: str | None = None,
) -> Outcome:
    """The figures of the run, read anew from API, database, Temporal and books; `kinds` is empty before."""
    outcome = Outcome(placed=len(purchases), faults_hit=faults_hit, kinds=kinds)
    for purchase in purchases:
        await _count_purchase(outcome, purchase, caller)
    for order in outcome.orders:
        kinds.order(order, coupon_promotion)
    inspected = await inspect_all(settings, TERMS)
    outcome.doubles, outcome.dropped = inspected.doubles, inspected.dropped
    outcome.violations = inspected.violations
    if inspected.books is None:
        outcome.troubles.append("the suppliers' books could not be read")
    return outcome


async def _count_purchase(outcome: Outcome, purchase: Purchase, caller: Caller) -> None:
    wish = purchase.wish
    if purchase.trouble is not None:
        outcome.troubles.append(f"order {wish.number}: {purchase.trouble}")
    if purchase.placed is not None and not purchase.placed.ok:
        outcome.outcomes["refused"] += 1
        outcome.refusals[purchase.placed.code] += 1
        outcome.kinds.refused(wish.body, purchase.placed.code)
    acted = purchase.acted is not None and purchase.acted.ok
    for order_no in purchase.order_nos:
        reply = await caller.get(f"/v1/orders/{order_no}")
        if not reply.ok:
            outcome.troubles.append(f"order {order_no} was answered with success and is not found")
            continue
        outcome.orders.append(reply.body)
        _count_order(outcome, reply.body)
        acted = acted or _has_acted(purchase, reply.body)
    if purchase.acted is not None and not acted:
        outcome.troubles.append(f"order {wish.number}: {wish.manner} answered {purchase.acted.code}")


def _has_acted(purchase: Purchase, order: Mapping[str, Any]) -> bool:
    """Whether what was asked had happened when its repetition was refused: confirmed, its answer lost, refunded since.

    Only after an unknown answer: without one, a refusal is what the buyer was told first.
    """
    acted = purchase.acted
    if acted is None or not acted.unknowns or acted.code != "order_state_conflict":
        return False
    return order["status"] == "canceled" if purchase.wish.manner == "cancels" else order["confirmed_at"] is not None


def _count_order(outcome: Outcome, order: Mapping[str, Any]) -> None:
    outcome.outcomes[_outcome_of(order)] += 1
    lines = order["lines"]
    outcome.negotiated += any(booking["negotiating_since"] for line in lines for booking in line["bookings"] or ())
    for flow in order["flows"]:
        amount_minor = flow["amount"]["amount_minor"]
        if flow["side"] == "receivable":
            outcome.receivable_minor += amount_minor
        else:
            outcome.payable_minor += amount_minor
    certain_at = [
        event["at"] for event in order["timeline"] if event["axis"] == "status" and event["from_state"] == "issuing"
    ]
    if order["confirmed_at"] and certain_at:
        outcome.certainty_s.append(_seconds_between(order["confirmed_at"], max(certain_at)))


def _outcome_of(order: Mapping[str, Any]) -> str:
    if order["status"] == "issued" and any(line["status"] != "issued" for line in order["lines"]):
        return "partial"
    return "refused" if order["status"] == "rejected" else str(order["status"])


def _seconds_between(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
