"""A run's figures say by themselves why it failed."""

from __future__ import annotations

from collections import Counter

from demo.characters import KINDS
from demo.kinds import Kinds
from demo.outcome import Outcome, quantiles
from domain.inspection import Violation

ALL_HIT = Counter(KINDS)


def an_outcome(**given: object) -> Outcome:
    outcome = Outcome(placed=2, outcomes=Counter(issued=1, refused=1), faults_hit=Counter(ALL_HIT))
    for name, value in given.items():
        setattr(outcome, name, value)
    return outcome


def test_a_clean_run_has_no_failures() -> None:
    assert an_outcome().failures == []


def test_a_kind_of_fault_that_was_never_hit_fails_the_run() -> None:
    assert an_outcome(faults_hit=ALL_HIT - Counter({"carrier/lose": 1})).failures == [
        "the fault 'carrier/lose' was never hit"
    ]


def test_orders_without_an_outcome_fail_the_run() -> None:
    (failure,) = an_outcome(placed=3).failures
    assert failure.startswith("3 orders were placed")


def test_doubles_dropped_and_violations_fail_the_run() -> None:
    told = an_outcome(doubles=1, dropped=2, violations=(Violation("flows_as_settlement_table", "7/1", "missing"),))
    assert told.failures == ["doubles: 1", "dropped: 2", "flows_as_settlement_table of 7/1: missing"]
    assert not told.flows_as_table


def test_what_is_wrong_with_a_kind_of_goods_fails_the_run() -> None:
    kinds = Kinds({}, codes=Counter({("sku", "A"): 2}))
    assert an_outcome(kinds=kinds).failures == ["codes handed out twice: 1"]


def test_quantiles_of_nothing_are_zero() -> None:
    assert quantiles([]) == {"p50": 0.0, "p95": 0.0, "max": 0.0}
    assert quantiles([3.0, 1.0, 2.0]) == {"p50": 2.0, "p95": 3.0, "max": 3.0}
