"""A pay order's money: what is outstanding of it."""

from __future__ import annotations

import pytest

from domain.pay_order import PartState, PayOrder, PayPart
from domain.payments import Parts, PayStatus


def a_pay_order(status: PayStatus, paid_minor: int, *states: PartState) -> PayOrder:
    parts = [PayPart(number, state, Parts(100)) for number, state in enumerate(states, 1)]
    owed = Parts(100 * len(parts))
    return PayOrder("pay-1", "usr-1", "house", "bridge", "CNY", status, parts, owed, paid_minor=paid_minor)


@pytest.mark.parametrize(
    ("status", "paid_minor", "states", "outstanding"),
    [
        (PayStatus.PENDING, 0, ["open"], True),
        (PayStatus.CLOSED, 0, ["released"], False),
        (PayStatus.PAID, 200, ["served", "open"], True),
        (PayStatus.PAID, 200, ["served", "released"], True),
        (PayStatus.PAID, 200, ["served", "returned"], False),
    ],
)
def test_money_that_has_come_is_outstanding_until_all_of_it_is_used_or_given_back(
    status: PayStatus, paid_minor: int, states: list[str], outstanding: bool
) -> None:
    assert a_pay_order(status, paid_minor, *map(PartState, states)).outstanding is outstanding
