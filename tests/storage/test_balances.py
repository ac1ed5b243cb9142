"""Coins and vouchers under pay orders: held once, redeemed or returned once, given back once, and never spent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from domain import ledger
from domain.balances import (
    BalanceRefusal,
    CampaignUnfit,
    CoinsInsufficient,
    CoinsUnfit,
    HoldState,
    VoucherBlocked,
    VoucherEmpty,
    VoucherEvent,
    VoucherExpired,
    VoucherUnfit,
    VoucherUnknown,
)
from domain.money import Money
from domain.payments import RefundExceedsPaid
from storage import balance_grants, balances
from storage.settlement import BookedOtherwise
from tests.storage.purses import ACTOR, ANN, BOB, LATER, NOW, Purse, a_purse, hasher


@pytest.fixture
async def purse(worker_url: str, api_url: str) -> AsyncIterator[Purse]:
    """What the inspection finds wrong at the end of the test fails it."""
    async with a_purse(worker_url, api_url) as opened:
        yield opened
        assert await opened.unproven() == []


async def test_what_is_held_is_redeemed_once_with_its_entries(purse: Purse) -> None:
    await purse.grant(1000)
    gift, pay_id = await purse.voucher(500), await purse.pay_order()
    for _ in range(2):
        await purse.hold(pay_id, coins=300, vouchers=[(gift, 200)])
    assert (await purse.coins(), await purse.left(gift)) == ((1000, 300), (500, 200))
    for _ in range(2):
        assert await purse.redeem(pay_id)
    assert (await purse.coins(), await purse.left(gift)) == ((700, 0), (300, 0))
    await purse.give_back(pay_id)
    assert (await purse.coins(), await purse.left(gift)) == ((700, 0), (300, 0))


async def test_what_a_failed_payment_held_is_free_again_once(purse: Purse) -> None:
    await purse.grant(1000)
    gift, pay_id, other = await purse.voucher(500), await purse.pay_order(), await purse.pay_order()
    await purse.hold(other, coins=100)
    await purse.hold(pay_id, coins=300, vouchers=[(gift, 200)])
    for _ in range(2):
        await purse.give_back(pay_id)
    await purse.put(pay_id, "failed")
    assert (await purse.coins(), await purse.left(gift)) == ((1000, 100), (500, 0))
    await purse.hold(pay_id, coins=300)
    assert await purse.coins() == (1000, 100)


@pytest.mark.parametrize(
    ("coins", "amount", "by", "currency", "refusal"),
    [
        (1001, 500, ANN, "CNY", CoinsInsufficient),
        (1, 501, ANN, "CNY", VoucherEmpty),
        (1, 1, BOB, "CNY", VoucherUnknown),
        (1, 1, ANN, "USD", VoucherUnfit),
        (1, 0, ANN, "USD", CoinsUnfit),
        (1, 0, BOB, "CNY", CoinsInsufficient),
    ],
)
async def test_where_one_balance_cannot_pay_nothing_is_held(
    purse: Purse, coins: int, amount: int, by: str, currency: str, refusal: type[BalanceRefusal]
) -> None:
    """Also where the caller's transaction goes on, as one that keeps the refusal does."""
    await purse.grant(1000)
    first, second, pay_id = await purse.voucher(500), await purse.voucher(500), await purse.pay_order()
    vouchers = [(second, amount), (first, amount)] if amount else []
    async with purse.worker.transaction() as cx:
        with pytest.raises(refusal):
            await balances.hold(
                cx, pay_id, buyer_id=by, currency=currency, coins_minor=coins, vouchers=vouchers, at=NOW
            )
        assert await balances.holds_of(cx, pay_id) == []
    assert (await purse.coins(), await purse.left(first), await purse.left(second)) == (
        (1000, 0), (500, 0), (500, 0),
    )  # fmt: skip


async def test_a_voucher_named_twice_is_one_demand(purse: Purse) -> None:
    """Medusa 16502: two lines of one order each pass the check alone."""
    gift, pay_id = await purse.voucher(500), await purse.pay_order()
    with pytest.raises(VoucherEmpty):
        await purse.hold(pay_id, vouchers=[(gift, 300), (gift, 300)])
    await purse.hold(pay_id, vouchers=[(gift, 300), (gift, 200)])
    assert await purse.left(gift) == (500, 500)


async def test_a_voucher_that_has_run_out_or_is_blocked_is_not_held_and_what_is_held_stays(purse: Purse) -> None:
    gift, pay_id, late = await purse.voucher(500), await purse.pay_order(), await purse.pay_order()
    await purse.hold(pay_id, vouchers=[(gift, 100)])
    with pytest.raises(VoucherExpired):
        await purse.hold(late, vouchers=[(gift, 100)], at=LATER)
    async with purse.api.transaction() as cx:
        await balance_grants.move_voucher(cx, gift, VoucherEvent.BLOCK, reason="leaked", actor=ACTOR, now=NOW)
    with pytest.raises(VoucherBlocked):
        await purse.hold(late, vouchers=[(gift, 100)])
    assert await purse.redeem(pay_id, at=LATER)
    assert await purse.left(gift) == (400, 0)


# --- a success that comes late ---------------------------------------------------------------------------------------


async def test_a_late_success_takes_again_what_was_returned(purse: Purse) -> None:
    await purse.grant(1000)
    gift, pay_id = await purse.voucher(500), await purse.pay_order()
    await purse.hold(pay_id, coins=300, vouchers=[(gift, 200)])
    await purse.give_back(pay_id)
    assert await purse.redeem(pay_id)
    assert await purse.redeem(pay_id)
    assert (await purse.coins(), await purse.left(gift)) == ((700, 0), (300, 0))


@pytest.mark.parametrize("why", ["coins are used", "the voucher has run out"])
async def test_a_late_success_that_cannot_have_all_takes_nothing(purse: Purse, why: str) -> None:
    await purse.grant(1000)
    gift, pay_id, other = await purse.voucher(500), await purse.pay_order(), await purse.pay_order()
    await purse.hold(pay_id, coins=300, vouchers=[(gift, 200)])
    await purse.give_back(pay_id)
    held = 701 if why == "coins are used" else 0
    await purse.hold(other, coins=held)
    assert not await purse.redeem(pay_id, at=NOW if held else LATER)
    assert (await purse.coins(), await purse.left(gift)) == ((1000, held), (500, 0))
    async with purse.worker.reading() as cx:
        assert {each.state for each in await balances.holds_of(cx, pay_id)} == {HoldState.RETURNED}


# --- money back ------------------------------------------------------------------------------------------------------


async def test_a_refund_puts_back_once_and_in_reverse_order_of_use(purse: Purse) -> None:
    await purse.grant(1000)
    first, second, pay_id = await purse.voucher(300), await purse.voucher(500), await purse.pay_order()
    await purse.hold(pay_id, coins=70, vouchers=[(first, 300), (second, 500)])
    await purse.redeem(pay_id)
    for _ in range(2):
        await purse.refund(pay_id, coins=30, voucher=600, refund_id="rfd-a")
    assert (await purse.coins(), await purse.left(first), await purse.left(second)) == ((960, 0), (100, 0), (500, 0))
    with pytest.raises(RefundExceedsPaid):
        await purse.refund(pay_id, voucher=201)
    await purse.refund(pay_id, coins=40, voucher=200)
    assert (await purse.coins(), await purse.left(first), await purse.left(second)) == ((1000, 0), (300, 0), (500, 0))
    with pytest.raises(RefundExceedsPaid):
        await purse.refund(pay_id, coins=1)


async def test_a_refund_of_what_is_only_held_or_was_returned_is_refused(purse: Purse) -> None:
    await purse.grant(1000)
    pay_id = await purse.pay_order()
    await purse.hold(pay_id, coins=70)
    with pytest.raises(RefundExceedsPaid):
        await purse.refund(pay_id, coins=1)
    await purse.give_back(pay_id)
    with pytest.raises(RefundExceedsPaid):
        await purse.refund(pay_id, coins=1)


@pytest.mark.parametrize(("waits", "days"), [(timedelta(days=400), 430), (timedelta(days=1), 365)])
async def test_a_voucher_that_has_run_out_lives_on_for_thirty_days_with_what_comes_back(
    purse: Purse, waits: timedelta, days: int
) -> None:
    gift, pay_id = await purse.voucher(500), await purse.pay_order()
    await purse.hold(pay_id, vouchers=[(gift, 500)])
    await purse.redeem(pay_id)
    await purse.refund(pay_id, voucher=200, at=NOW + waits)
    row = await purse.row(gift)
    assert (row["balance_minor"], row["expires_at"]) == (200, NOW + timedelta(days=days))


async def test_coins_are_credited_once_by_their_key_and_never_with_another_amount(purse: Purse) -> None:
    async def credit(amount_minor: int, currency: str = "CNY", key: str = "rfd-9/to-coins") -> None:
        async with purse.worker.transaction() as cx:
            await balances.credit_coins(cx, ANN, amount_minor, currency, key=key, debit=ledger.unapplied(ANN), at=NOW)

    for _ in range(2):
        await credit(120)
    assert await purse.coins() == (120, 0)
    with pytest.raises(BookedOtherwise):
        await credit(121)
    with pytest.raises(CoinsUnfit):
        await credit(5, "USD", "other")
    assert await purse.coins() == (120, 0)


# --- whose a voucher is ----------------------------------------------------------------------------------------------


async def resolved(purse: Purse, codes: list[str], *, by: str = ANN) -> list[str]:
    async with purse.api.transaction() as cx:
        return await balances.resolve_codes(cx, codes, hasher=hasher, buyer_id=by, at=NOW)


async def test_codes_make_vouchers_their_first_buyers_and_an_id_alone_opens_nothing(purse: Purse) -> None:
    bearer, mine = await purse.voucher(500, of=None), await purse.voucher(300)
    pay_id = await purse.pay_order()
    with pytest.raises(VoucherUnknown):
        await purse.hold(pay_id, vouchers=[(bearer, 1)])
    for _ in range(2):
        assert await resolved(purse, [bearer, mine, bearer]) == [bearer, mine]
    with pytest.raises(VoucherUnknown):
        await resolved(purse, [bearer], by=BOB)
    async with purse.worker.reading() as cx:
        read = await balances.read_vouchers(cx, [mine, bearer], buyer_id=ANN, at=NOW)
        assert [(each.id, each.available_minor) for each in read] == [(mine, 300), (bearer, 500)]
        with pytest.raises(VoucherUnknown):
            await balances.read_vouchers(cx, [bearer], buyer_id=BOB, at=NOW)
        with pytest.raises(VoucherExpired):
            await balances.read_vouchers(cx, [bearer], buyer_id=ANN, at=LATER)


@pytest.mark.parametrize("other", ["foreign", "unknown", "expired"])
async def test_one_bad_code_leaves_the_others_nobodys(purse: Purse, other: str) -> None:
    bearer = await purse.voucher(500, of=None)
    codes = {
        "foreign": await purse.voucher(1, of=BOB), "unknown": "no-such-code",
        "expired": await purse.voucher(1, of=None, until=NOW + timedelta(microseconds=1)),
    }  # fmt: skip
    async with purse.api.reading() as cx:
        with pytest.raises(BalanceRefusal):
            await balances.resolve_codes(
                cx, [bearer, codes[other]], hasher=hasher, buyer_id=ANN, at=NOW + timedelta(seconds=1)
            )
    assert (await purse.row(bearer))["buyer_id"] is None


async def test_of_twenty_who_add_the_same_code_at_once_one_has_it(purse: Purse) -> None:
    bearer = await purse.voucher(500, of=None)
    answers = await asyncio.gather(
        *(resolved(purse, [bearer], by=f"usr-{n}") for n in range(20)), return_exceptions=True
    )
    assert sum(answer == [bearer] for answer in answers) == 1
    assert sum(isinstance(answer, VoucherUnknown) for answer in answers) == 19


# --- many at once ----------------------------------------------------------------------------------------------------


async def test_twenty_payments_of_the_same_coins_never_go_below_zero(purse: Purse) -> None:
    """Spree 11284: a balance that is spent twice."""
    await purse.grant(1000)
    gift = await purse.voucher(1000)
    payments = [await purse.pay_order() for _ in range(20)]
    answers = await asyncio.gather(
        *(purse.hold(pay_id, coins=300, vouchers=[(gift, 250)]) for pay_id in payments), return_exceptions=True
    )
    assert answers.count(None) == 3
    assert {type(answer) for answer in answers if answer is not None} <= {CoinsInsufficient, VoucherEmpty}
    assert (await purse.coins(), await purse.left(gift)) == ((1000, 900), (1000, 750))


async def test_one_payment_held_redeemed_returned_and_refunded_by_many_at_once_counts_once(purse: Purse) -> None:
    await purse.grant(1000)
    gift, pay_id = await purse.voucher(1000), await purse.pay_order()
    await asyncio.gather(*(purse.hold(pay_id, coins=300, vouchers=[(gift, 250)]) for _ in range(10)))
    assert (await purse.coins(), await purse.left(gift)) == ((1000, 300), (1000, 250))
    await asyncio.gather(*(purse.redeem(pay_id) if n % 2 else purse.give_back(pay_id) for n in range(11)))
    # A success outweighs a failure in whichever order they come, and is for good.
    assert (await purse.coins(), await purse.left(gift)) == ((700, 0), (750, 0))
    await asyncio.gather(*(purse.refund(pay_id, coins=100, voucher=50, refund_id="rfd-once") for _ in range(10)))
    assert (await purse.coins(), await purse.left(gift)) == ((800, 0), (800, 0))


async def test_payments_that_cross_in_their_vouchers_do_not_wait_in_a_ring(purse: Purse) -> None:
    await purse.grant(10_000)
    gifts = [await purse.voucher(10_000) for _ in range(4)]
    payments = [await purse.pay_order() for _ in range(24)]

    async def pay(n: int) -> None:
        chosen = gifts[n % 4 :] + gifts[: n % 4]
        await purse.hold(payments[n], coins=10, vouchers=[(gift, 10) for gift in (chosen if n % 2 else chosen[::-1])])
        await purse.redeem(payments[n])
        await purse.refund(payments[n], coins=10, voucher=40)

    await asyncio.gather(*(pay(n) for n in range(24)), *(purse.grant(1) for _ in range(12)))
    assert await purse.coins() == (10_012, 0)
    assert [await purse.left(gift) for gift in gifts] == [(10_000, 0)] * 4


# --- grants ----------------------------------------------------------------------------------------------------------


async def test_a_grant_counts_once_and_in_one_currency(purse: Purse) -> None:
    for _ in range(2):
        await purse.grant(100, grant_id="g-once")
    assert await purse.coins() == (100, 0)
    with pytest.raises(CoinsUnfit):
        await purse.grant(1, currency="USD")
    async with purse.api.transaction() as cx:
        with pytest.raises(CampaignUnfit):
            await balance_grants.issue_voucher(
                cx,
                balance_grants.NewVoucher("vch-usd", b"", Money(1, "USD"), "welcome-CNY", LATER, None),
                actor=ACTOR,
                now=NOW,
            )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE coin_accounts SET balance_minor = -1, held_minor = -1",
        "UPDATE coin_accounts SET held_minor = balance_minor + 1",
        "UPDATE vouchers SET balance_minor = face_minor + 1",
        "UPDATE vouchers SET held_minor = balance_minor + 1",
    ],
)
async def test_the_tables_refuse_what_no_balance_can_be(purse: Purse, owner_url: str, statement: str) -> None:
    await purse.grant(100)
    await purse.voucher(100)
    with psycopg.connect(owner_url) as cx, pytest.raises(psycopg.errors.CheckViolation):
        cx.execute(statement.encode())


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("api_url", "UPDATE vouchers SET balance_minor = 0"),
        ("api_url", "UPDATE coin_accounts SET held_minor = 0"),
        ("api_url", "INSERT INTO balance_holds (pay_id) VALUES ('x')"),
        ("api_url", "UPDATE ledger_transfers SET amount_minor = 1"),
        ("worker_url", "UPDATE vouchers SET buyer_id = 'usr-me'"),
        ("worker_url", "UPDATE vouchers SET face_minor = 1"),
        ("worker_url", "UPDATE balance_refunds SET amount_minor = 1"),
    ],
)
def test_a_role_may_only_what_its_processes_do(request: pytest.FixtureRequest, role: str, statement: str) -> None:
    with psycopg.connect(request.getfixturevalue(role)) as cx, pytest.raises(psycopg.errors.InsufficientPrivilege):
        cx.execute(statement.encode())
