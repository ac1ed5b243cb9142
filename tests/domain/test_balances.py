"""What goes back goes to where it came from, in reverse order of use, and never more than was redeemed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.balances import (
    BalanceKind,
    BalanceRefusal,
    CoinAccount,
    CoinsInsufficient,
    CoinsUnfit,
    Hold,
    HoldState,
    Voucher,
    VoucherBlocked,
    VoucherEmpty,
    VoucherExpired,
    VoucherState,
    VoucherUnfit,
    VoucherUnknown,
    put_back,
    redeemed_transfers,
    refunded_transfers,
)
from domain.payments import RefundExceedsPaid

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
GIFT = Voucher("vch-1", "CNY", "usr-ann", 1000, 400, AT + timedelta(days=1), VoucherState.ACTIVE)


def redeemed(*amounts: int, coins: int = 0) -> list[Hold]:
    """Vouchers of these amounts in this order of use, then coins; all redeemed by usr-ann."""
    holds = [
        Hold(BalanceKind.VOUCHER, f"vch-{rank}", rank, "usr-ann", "CNY", amount, HoldState.REDEEMED)
        for rank, amount in enumerate(amounts)
    ]
    if coins:
        rank = len(holds)
        holds.append(Hold(BalanceKind.COINS, "usr-ann", rank, "usr-ann", "CNY", coins, HoldState.REDEEMED))
    return holds


@pytest.mark.parametrize(
    ("changed", "amount", "currency", "buyer", "refusal"),
    [
        ({}, 601, "CNY", "usr-ann", VoucherEmpty),
        ({}, 600, "USD", "usr-ann", VoucherUnfit),
        ({}, 600, "CNY", "usr-bob", VoucherUnknown),
        ({"buyer_id": None}, 600, "CNY", "usr-ann", VoucherUnknown),
        ({"state": VoucherState.BLOCKED}, 600, "CNY", "usr-ann", VoucherBlocked),
        ({"expires_at": AT}, 600, "CNY", "usr-ann", VoucherExpired),
    ],
)
def test_a_voucher_says_why_it_cannot_pay(
    changed: dict[str, object], amount: int, currency: str, buyer: str, refusal: type[BalanceRefusal]
) -> None:
    GIFT.judge(600, "CNY", buyer_id="usr-ann", at=AT)
    with pytest.raises(refusal):
        replace(GIFT, **changed).judge(amount, currency, buyer_id=buyer, at=AT)  # type: ignore[arg-type]  # fields of it


def test_an_unknown_voucher_and_a_foreign_one_are_told_in_the_same_words() -> None:
    with pytest.raises(VoucherUnknown) as foreign:
        GIFT.judge(1, "CNY", buyer_id="usr-bob", at=AT)
    assert str(foreign.value) == str(VoucherUnknown())
    assert "vch-1" not in str(foreign.value)


def test_coins_say_why_they_cannot_pay() -> None:
    account = CoinAccount("usr-ann", "CNY", 100, 60)
    account.judge(40, "CNY")
    with pytest.raises(CoinsInsufficient) as too_few:
        account.judge(41, "CNY")
    assert too_few.value.facts == {"available_minor": 40}
    with pytest.raises(CoinsUnfit):
        account.judge(1, "USD")


def test_vouchers_are_given_back_in_reverse_order_of_use() -> None:
    back = put_back(redeemed(300, 500, coins=70), coins_minor=30, voucher_minor=600)
    assert [(each.hold.ref, each.amount_minor) for each in back] == [("vch-1", 500), ("vch-0", 100), ("usr-ann", 30)]


@pytest.mark.parametrize(("coins", "voucher"), [(71, 0), (0, 801), (871, 0)])
def test_coins_and_vouchers_each_give_back_what_they_gave_at_most(coins: int, voucher: int) -> None:
    with pytest.raises(RefundExceedsPaid):
        put_back(redeemed(300, 500, coins=70), coins_minor=coins, voucher_minor=voucher)


@pytest.mark.parametrize("state", [HoldState.HELD, HoldState.RETURNED])
def test_what_was_never_redeemed_cannot_be_given_back(state: HoldState) -> None:
    holds = [replace(each, state=state) for each in redeemed(300, coins=70)]
    with pytest.raises(RefundExceedsPaid):
        put_back(holds, coins_minor=1, voucher_minor=0)


@given(
    amounts=st.lists(st.integers(1, 500), max_size=4),
    coins=st.integers(0, 500),
    refunds=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 900)), max_size=6),
)
def test_many_refunds_give_back_exactly_what_they_say_and_never_more_than_was_redeemed(
    amounts: list[int], coins: int, refunds: list[tuple[int, int]]
) -> None:
    holds = redeemed(*amounts, coins=coins)
    for coins_minor, voucher_minor in refunds:
        left = {kind: sum(hold.refundable_minor for hold in holds if hold.kind is kind) for kind in BalanceKind}
        if coins_minor > left[BalanceKind.COINS] or voucher_minor > left[BalanceKind.VOUCHER]:
            with pytest.raises(RefundExceedsPaid):
                put_back(holds, coins_minor=coins_minor, voucher_minor=voucher_minor)
            continue
        back = {each.hold.ref: each for each in put_back(holds, coins_minor=coins_minor, voucher_minor=voucher_minor)}
        assert sum(each.amount_minor for each in back.values()) == coins_minor + voucher_minor
        assert all(0 < each.amount_minor <= each.hold.refundable_minor for each in back.values())
        holds = [
            replace(hold, refunded_minor=hold.refunded_minor + back[hold.ref].amount_minor)
            if hold.ref in back
            else hold
            for hold in holds
        ]
        assert all(0 <= hold.refundable_minor <= hold.amount_minor for hold in holds)


def test_a_redeemed_balance_becomes_the_buyers_money_and_goes_back_the_same_way() -> None:
    holds = redeemed(300, coins=70)
    out = redeemed_transfers("pay-1", holds, AT)
    back = refunded_transfers(
        "rfd-1", put_back(holds, coins_minor=70, voucher_minor=300), buyer_id="usr-ann", currency="CNY", at=AT
    )
    assert [(each.key, each.debit, each.credit, each.amount_minor) for each in out] == [
        ("pay/pay-1/voucher/vch-0", "voucher:vch-0:balance", "buyer:usr-ann:unapplied", 300),
        ("pay/pay-1/coins", "buyer:usr-ann:coins", "buyer:usr-ann:unapplied", 70),
    ]
    assert [(each.key, each.debit, each.credit, each.amount_minor) for each in back] == [
        ("rfd-1/voucher/vch-0", "buyer:usr-ann:unapplied", "voucher:vch-0:balance", 300),
        ("rfd-1/coins", "buyer:usr-ann:unapplied", "buyer:usr-ann:coins", 70),
    ]
