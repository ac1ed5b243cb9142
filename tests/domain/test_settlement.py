"""Two computations of who owes whom agree over every way a line can go; and each flow is one balanced transfer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ledger
from domain.ledger import MARGIN, Transfer, UnknownAccount, is_account
from domain.orders import OrderStatus
from domain.settlement import (
    LineFacts,
    Owed,
    PayableFlow,
    ReceivableFlow,
    expected_payable,
    expected_receivable,
    flow_at_cancel,
    flow_at_issue,
    flow_at_refund,
    flow_at_supplier_refund,
    flows_at_lock,
    loss_of,
)

START = datetime(2026, 11, 1, tzinfo=UTC)
LINE = LineFacts(1001, 1, OrderStatus.PENDING, "house", "CNY", 1000)
_S = OrderStatus


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


Flows = list[ReceivableFlow | PayableFlow | None]


def life(way: str, total: int, cost: int, refund: int, credit: int) -> tuple[LineFacts, Flows]:
    """A line that went one way, with the flows that each of its changes wrote."""
    line = replace(LINE, total_minor=total)
    if way in ("pending", "rejected"):
        return replace(line, status=_S(way)), []
    if way == "canceled_unlocked":
        return replace(line, status=_S.CANCELED, canceled_at=minute(1)), []
    flows: Flows = [*flows_at_lock([line], minute(1))]
    line = replace(line, status=_S.LOCKED, locked_at=minute(1))
    if way == "canceled":
        return replace(line, status=_S.CANCELED, canceled_at=minute(2)), [*flows, flow_at_cancel(line, minute(2))]
    if way == "failed":
        flows.append(flow_at_refund(line, total, minute(3)))
        return replace(line, status=_S.REFUNDED, refunded_at=minute(3), refunded_minor=total), flows
    if way in ("locked", "issuing"):
        return replace(line, status=_S(way)), flows
    flows.append(flow_at_issue(line, "east", cost, minute(4)))
    line = replace(line, status=_S.ISSUED, issued_at=minute(4), supplier_id="east", cost_minor=cost)
    if way in ("refund_failed", "refunded", "partly_refunded"):
        flows.append(flow_at_supplier_refund(line, "east", credit, minute(5)))
        line = replace(line, status=_S.REFUNDING, supplier_refunded_at=minute(5), supplier_refunded_minor=credit)
    if way in ("refunded", "partly_refunded"):
        flows.append(flow_at_refund(line, refund, minute(6)))
        line = replace(line, refunded_at=minute(6), refunded_minor=refund)
    ends = {
        "issued": _S.ISSUED,
        "partly_refunded": _S.ISSUED,
        "refunded": _S.REFUNDED,
        "refund_failed": _S.REFUND_FAILED,
    }
    return replace(line, status=ends[way]), flows


WAYS = st.sampled_from(
    ["pending", "rejected", "canceled_unlocked", "canceled", "failed", "locked", "issuing", "issued", "refund_failed",
     "refunded", "partly_refunded"]
)  # fmt: skip
AMOUNTS = st.integers(0, 10**6)


@given(WAYS, AMOUNTS, st.lists(st.fractions(0, 1), min_size=3, max_size=3))
def test_the_flows_are_the_tables_whichever_way_a_line_goes(way: str, total: int, shares: list[Fraction]) -> None:
    cost, refund, credit = (int(total * share) for share in shares)
    line, flows = life(way, total, cost, refund, min(cost, credit))

    receivable = [Owed(f.amount_minor, f.business_at) for f in flows if isinstance(f, ReceivableFlow)]
    payable = [Owed(f.amount_minor, f.business_at) for f in flows if isinstance(f, PayableFlow)]

    assert Counter(receivable) == Counter(expected_receivable(line))
    assert Counter(payable) == Counter(expected_payable(line))
    keys = [flow.key for flow in flows if flow is not None]
    assert len(set(keys)) == len(keys)


@given(WAYS, AMOUNTS)
def test_each_flow_moves_its_amount_between_its_party_and_the_margin(way: str, total: int) -> None:
    _, flows = life(way, total, total // 2, total, total // 2)
    for flow in flows:
        if flow is None:
            continue
        transfer = flow.transfer
        party = ledger.receivable("house") if isinstance(flow, ReceivableFlow) else ledger.payable("east")
        owes_us = (flow.amount_minor > 0) == isinstance(flow, ReceivableFlow)
        assert (transfer.debit, transfer.credit) == ((party, MARGIN) if owes_us else (MARGIN, party))
        assert (transfer.key, transfer.amount_minor) == (flow.key, abs(flow.amount_minor))


def test_business_keys_come_from_the_line() -> None:
    _, flows = life("refunded", 1000, 700, 1000, 700)
    assert [flow.key for flow in flows if flow] == [
        "1001/1/locked", "1001/1/issued", "1001/1/supplier_refunded", "1001/1/refunded",
    ]  # fmt: skip
    second = flow_at_refund(LINE, 1, minute(1), refund="r2")
    assert second is not None
    assert second.key == "1001/1/refunded/r2"


@pytest.mark.parametrize("amount", [-1, 1001])
def test_a_refund_above_the_line_is_refused(amount: int) -> None:
    with pytest.raises(ValueError, match="between 0 and 1000"):
        flow_at_refund(LINE, amount, START)


def test_a_free_line_has_no_flows() -> None:
    free = replace(LINE, total_minor=0)
    assert flows_at_lock([free], START) == ()
    assert flow_at_cancel(free, START) is None
    assert flow_at_issue(free, "east", 0, START) is None


def test_a_loss_is_a_transfer_of_its_own_kind_that_names_its_line() -> None:
    lost = loss_of(LINE, "kept_ticket", 700, START)
    assert (lost.key, lost.debit, lost.credit) == ("1001/1/loss/kept_ticket", "loss:kept_ticket", MARGIN)


@pytest.mark.parametrize(
    "change",
    [
        {"amount_minor": 0},
        {"amount_minor": -1},
        {"credit": "loss:bad"},
        {"corrects": "k"},
        {"business_at": datetime(2026, 1, 1)},
        {"debit": "pocket:mine"},
    ],
)
def test_an_unbalanced_or_unknown_transfer_cannot_be_built(change: dict[str, object]) -> None:
    good = Transfer("k", "loss:bad", MARGIN, 1, "CNY", START)
    with pytest.raises((ValueError, UnknownAccount)):
        replace(good, **change)  # type: ignore[arg-type]  # the parameters are fields of the transfer


@given(st.text(max_size=20))
def test_a_partys_name_cannot_smuggle_another_account(name: str) -> None:
    try:
        account = ledger.receivable(name)
    except UnknownAccount:
        assert not name or ":" in name or any(letter.isspace() for letter in name)
    else:
        assert is_account(account)
        assert account.count(":") == 2
