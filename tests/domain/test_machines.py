"""The tables are the whole truth: every pair without a row is refused; docs/states.md shows just these tables."""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.balances import VOUCHER, VoucherEvent
from domain.catalog import LIFECYCLE, ProductEvent
from domain.machines import IllegalTransition, Machine
from domain.orders import (
    DELIVERY,
    FULFILLMENT,
    PAYMENT,
    REFUND,
    STATUS,
    DeliveryEvent,
    FulfillmentEvent,
    IssuanceUndecided,
    NotInState,
    OrderEvent,
    OrderStatus,
    PaymentEvent,
    RefundEvent,
    allowed_actions,
    judge_cancel,
    judge_confirm,
    status_of,
)
from domain.payments import PAY_ORDER, PayEvent, Pays
from domain.states_page import render
from domain.units import UNIT, UnitEvent

EVENTS: list[tuple[Machine[Any, Any], type[StrEnum]]] = [
    (STATUS, OrderEvent),
    (PAYMENT, PaymentEvent),
    (FULFILLMENT, FulfillmentEvent),
    (DELIVERY, DeliveryEvent),
    (REFUND, RefundEvent),
    (LIFECYCLE, ProductEvent),
    (UNIT, UnitEvent),
    (PAY_ORDER, PayEvent),
    (VOUCHER, VoucherEvent),
]


def states(machine: Machine[Any, Any]) -> list[StrEnum]:
    """All states that the machine's axis has."""
    kind: type[StrEnum] = type(machine.initial)
    return list(kind)


PAIRS = [(machine, state, event) for machine, events in EVENTS for state, event in product(states(machine), events)]
ILLEGAL = [(machine, state, event) for machine, state, event in PAIRS if (state, event) not in machine.table]


@given(st.sampled_from(ILLEGAL))
def test_every_pair_without_a_row_is_refused_and_says_where_it_is_legal(
    pair: tuple[Machine[Any, Any], Any, Any],
) -> None:
    machine, state, event = pair
    assert not machine.allows(state, event)
    with pytest.raises(IllegalTransition) as refusal:
        machine.after(state, event)
    assert refusal.value.code == "illegal_transition"
    assert state not in refusal.value.allowed_from


def test_all_illegal_pairs_are_refused_without_exception() -> None:
    assert len(ILLEGAL) + sum(len(machine.table) for machine, _ in EVENTS) == len(PAIRS)
    for machine, state, event in ILLEGAL:
        with pytest.raises(IllegalTransition):
            machine.after(state, event)


@pytest.mark.parametrize(("machine", "events"), EVENTS, ids=lambda each: getattr(each, "name", ""))
def test_every_state_can_be_reached_and_every_event_happens_somewhere(
    machine: Machine[Any, Any], events: type[StrEnum]
) -> None:
    reached = {machine.initial}
    for _ in machine.table:
        reached |= {target for (source, _), target in machine.table.items() if source in reached}
    assert reached == set(states(machine))
    assert {event for _, event in machine.table} == set(events)


LEGAL_WALKS = st.lists(st.integers(min_value=0, max_value=20), max_size=30)


@given(LEGAL_WALKS)
def test_an_order_never_leaves_rejected_canceled_or_refunded(choices: list[int]) -> None:
    state, ended = STATUS.initial, False
    for choice in choices:
        ways = [target for (source, _), target in STATUS.table.items() if source is state]
        ended = ended or state in (OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.REFUNDED)
        assert ended == (not ways)
        if ways:
            state = ways[choice % len(ways)]


@given(st.lists(st.sampled_from(OrderStatus), min_size=1, max_size=6))
def test_an_orders_status_is_one_of_its_lines_and_does_not_depend_on_their_order(lines: list[OrderStatus]) -> None:
    derived = status_of(lines)
    assert derived in lines
    assert status_of(reversed(lines)) is derived
    assert (derived is OrderStatus.ISSUING) <= (OrderStatus.PENDING not in lines)


def test_a_part_that_failed_leaves_the_order_issued() -> None:
    assert status_of([OrderStatus.ISSUED, OrderStatus.REFUNDED]) is OrderStatus.ISSUED
    assert status_of([OrderStatus.REFUNDED, OrderStatus.REFUNDED]) is OrderStatus.REFUNDED
    with pytest.raises(ValueError, match="at least one line"):
        status_of([])


@given(st.sampled_from(OrderStatus))
def test_confirm_and_cancel_act_repeat_or_refuse(status: OrderStatus) -> None:
    if status in (OrderStatus.LOCKED, OrderStatus.ISSUING, OrderStatus.ISSUED):
        assert judge_confirm(status) is (status is OrderStatus.LOCKED)
    else:
        with pytest.raises(NotInState):
            judge_confirm(status)
    if status in (OrderStatus.PENDING, OrderStatus.LOCKED, OrderStatus.CANCELED):
        assert judge_cancel(status) is (status is not OrderStatus.CANCELED)
    else:
        with pytest.raises(IssuanceUndecided if status is OrderStatus.ISSUING else NotInState):
            judge_cancel(status)


def test_the_page_of_states_is_the_tables() -> None:
    page = Path(__file__).parents[2] / "docs" / "states.md"
    assert page.read_text() == render(), "run: tessera states"


@pytest.mark.parametrize("status", OrderStatus)
def test_an_order_that_its_buyer_pays_is_paid_where_another_is_confirmed(status: OrderStatus) -> None:
    asked = {"review": False, "operator": False, "escalated": False}
    on_account, by_channel = (allowed_actions(status, **asked, pays=pays) for pays in Pays)
    assert by_channel == ["pay" if action == "confirm" else action for action in on_account]
    assert ("pay" in by_channel) == (status is OrderStatus.LOCKED)
