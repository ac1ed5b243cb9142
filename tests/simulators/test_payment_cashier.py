"""The rules of a payment channel's cashier, without a protocol: what ends, what a day's bill has, what goes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.common.faults import Strike
from simulators.payment.book import PaymentBook
from simulators.payment.cashier import Cashier
from simulators.payment.channels import opened
from simulators.payment.dealings import Act, Asked, RefundAsked, Refusal
from simulators.payment.faults import Kind


class Ticking:
    """A clock that a test moves."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def book(tmp_path: Path) -> Iterator[PaymentBook]:
    made = PaymentBook(tmp_path)
    yield made
    made.close()


def test_a_bill_has_only_its_own_day_in_the_channels_time_zone(book: PaymentBook) -> None:
    channel, clock = opened("paybridge", "paybridge"), Ticking()
    cashier = Cashier(book, clock)
    no_faults: Strike[Kind] = Strike(book, channel.name, "pay", frozenset())
    shanghai = ZoneInfo("Asia/Shanghai")
    midnight = datetime(2026, 5, 2, tzinfo=shanghai).timestamp()
    for name, at in (("before", -1), ("first", 0), ("last", 86_399), ("after", 86_400)):
        clock.now = midnight + at
        cashier.create(channel, Asked(name, 100, "CNY"))
        cashier.pay(channel, name, no_faults)
    assert [line.reference for line in cashier.bill(channel, date(2026, 5, 2))] == ["first", "last"]


def test_a_payment_ends_at_its_time_and_is_settled_at_any_reading(book: PaymentBook) -> None:
    channel, clock = opened("paybridge", "paybridge"), Ticking()
    cashier = Cashier(book, clock)
    cashier.create(channel, Asked("pay-1", 100, "CNY", expires_at=clock.now + 60))
    clock.now += 59.9
    assert cashier.payment(channel, "pay-1").status == "waiting"
    clock.now += 0.1
    assert cashier.payment(channel, "pay-1").history == [("closed", Ticking.now + 60)]
    with pytest.raises(Refusal, match="ended before it began"):
        cashier.create(channel, Asked("pay-2", 100, "CNY", expires_at=clock.now))


def test_what_is_due_is_done_once_and_what_is_due_later_stays_planned(book: PaymentBook) -> None:
    channel, clock = opened("paybridge", "paybridge"), Ticking()
    cashier = Cashier(book, clock)
    payment_id = cashier.create(channel, Asked("pay-1", 100, "CNY")).id
    for late_ms in (2_000, 1_000):
        channel.faults.params.pay_late_ms = late_ms
        late: Strike[Kind] = Strike(book, channel.name, "pay", frozenset({"pay_late", "callback_lost"}))
        cashier.pay(channel, "pay-1", late)
    assert cashier.carry_out(channel, payment_id, clock.now + 0.5) is None
    for seconds, charges, due_at in ((1, 1, clock.now + 2), (2, 2, None)):
        outcome = cashier.carry_out(channel, payment_id, clock.now + seconds)
        assert outcome is not None
        assert (len(outcome.payment.charges), outcome.payment.due_at) == (charges, due_at)
        assert cashier.carry_out(channel, payment_id, clock.now + seconds) is None
    assert cashier.book.totals(channel.name)["CNY"].charges == 2


@settings(max_examples=60, deadline=None)
@given(
    acts=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 50)), min_size=1, max_size=3),
    asked=st.lists(st.tuples(st.integers(0, 6), st.integers(1, 60), st.sampled_from(["", "refused"])), max_size=15),
)
def test_whatever_is_asked_for_no_charge_gives_back_more_than_it_took(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[int, int]], asked: list[tuple[int, int, str]]
) -> None:
    book = PaymentBook(tmp_path_factory.mktemp("book"))
    channel, cashier = opened("paybridge", "paybridge"), Cashier(book, Ticking())
    cashier.create(channel, Asked("pay-1", 10, "CNY"))
    pay: Strike[Kind] = Strike(book, channel.name, "pay", frozenset())
    for times, amount_minor in acts:
        cashier.pay(channel, "pay-1", pay, Act(times, amount_minor, anyway=True))
    given_back: Counter[str] = Counter()
    for number, amount_minor, fault in asked:
        kinds: frozenset[str] = frozenset({"refund_refused"} if fault else ())
        strike: Strike[Kind] = Strike(book, channel.name, "refund", kinds)
        try:
            cashier.refund(channel, RefundAsked(f"rfd-{number}", "pay-1", amount_minor, "CNY"), strike)
        except Refusal:
            continue
    payment = cashier.payment(channel, "pay-1")
    numbers = [refund.refund_no for refund in payment.refunds]
    assert len(set(numbers)) == len(numbers)
    for refund in payment.refunds:
        given_back[refund.charge_id] += refund.amount_minor if refund.status == "done" else 0
    assert all(given_back[charge.id] <= charge.amount_minor for charge in payment.charges)
    total = book.totals(channel.name)["CNY"]
    assert (total.charged_minor, total.refunded_minor) == (
        sum(times * amount_minor for times, amount_minor in acts),
        given_back.total(),
    )
    book.close()
