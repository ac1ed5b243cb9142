"""The inspection of balances is silent on what payments really did, and finds each thing that is planted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from domain import ledger
from domain.balances import grant_key
from domain.ledger import Transfer
from storage.settlement import insert_flows
from tests.storage.purses import ANN, NOW, Purse, a_purse
from tests.storage.test_inspection import plant_as_owner

GIFT, OPEN, PAID, FAILED = "vch-gift", "pay-open", "pay-paid", "pay-failed"


@pytest.fixture
async def used(worker_url: str, api_url: str, owner_url: str) -> AsyncIterator[Purse]:
    """A buyer with coins and a voucher, and three pay orders: one open, one paid and partly refunded, one failed."""
    async with a_purse(worker_url, api_url) as purse:
        await purse.grant(1000)
        gift, *payments = await purse.voucher(1000), *[await purse.pay_order() for _ in range(3)]
        for pay_id in payments:
            await purse.hold(pay_id, coins=100, vouchers=[(gift, 200)])
        await purse.redeem(payments[1])
        await purse.refund(payments[1], coins=10, voucher=20)
        await purse.give_back(payments[2])
        await purse.put(payments[2], "failed")
        for name, pay_id in zip((OPEN, PAID, FAILED), payments, strict=True):
            for table, column in (("pay_orders", "id"), ("balance_holds", "pay_id"), ("balance_refunds", "pay_id")):
                plant_as_owner(owner_url, f"UPDATE {table} SET {column} = '{name}' WHERE {column} = '{pay_id}'")
        yield purse


async def test_what_payments_did_is_in_order(used: Purse) -> None:
    assert await used.unproven() == []
    assert await used.coins() == (910, 100)


PLANTED = [
    ("balance_as_booked", "UPDATE coin_accounts SET balance_minor = balance_minor + 1"),
    ("balance_as_booked", "UPDATE vouchers SET balance_minor = balance_minor - 1"),
    ("balance_as_booked", "DELETE FROM coin_accounts"),
    ("balance_as_booked", "INSERT INTO coin_accounts (buyer_id, currency, balance_minor) VALUES ('usr-eve', 'CNY', 5)"),
    ("balance_held_as_holds", "UPDATE coin_accounts SET held_minor = held_minor + 1"),
    ("balance_held_as_holds", "UPDATE vouchers SET held_minor = 0"),
    ("balance_held_as_holds", f"UPDATE balance_holds SET state = 'returned' WHERE pay_id = '{OPEN}'"),
    ("balance_held_as_holds", f"DELETE FROM balance_holds WHERE pay_id = '{OPEN}' AND kind = 'coins'"),
    ("balance_hold_ends", f"UPDATE pay_orders SET status = 'closed' WHERE id = '{OPEN}'"),
    ("balance_hold_ends", f"UPDATE pay_orders SET status = 'paid' WHERE id = '{OPEN}'"),
    ("balance_hold_ends", f"UPDATE pay_orders SET status = 'pending' WHERE id = '{PAID}'"),
    ("balance_hold_ends", f"DELETE FROM pay_orders WHERE id = '{OPEN}'"),
    ("balance_hold_ends", f"UPDATE balance_holds SET state = 'redeemed' WHERE pay_id = '{FAILED}'"),
    ("balance_parts_as_held", f"DELETE FROM balance_holds WHERE pay_id = '{PAID}' AND kind = 'coins'"),
    ("balance_parts_as_held", f"UPDATE balance_holds SET amount_minor = 201 WHERE pay_id = '{PAID}' AND rank = 0"),
    ("balance_parts_as_held", f"UPDATE pay_orders SET coins_minor = 99, cash_minor = 2 WHERE id = '{OPEN}'"),
    ("balance_refunded_as_given", "UPDATE balance_holds SET refunded_minor = 0"),
    ("balance_refunded_as_given", "UPDATE balance_refunds SET amount_minor = amount_minor + 1"),
    ("balance_refunded_as_given", "DELETE FROM balance_refunds WHERE kind = 'voucher'"),
]


@pytest.mark.parametrize(("invariant", "plant"), PLANTED, ids=[f"{i}-{name}" for i, (name, _) in enumerate(PLANTED)])
async def test_what_is_planted_is_found(used: Purse, owner_url: str, invariant: str, plant: str) -> None:
    plant_as_owner(owner_url, plant)
    assert invariant in await used.unproven()


async def test_a_payment_that_moved_just_now_is_given_time_to_end_its_holds(used: Purse, owner_url: str) -> None:
    plant_as_owner(owner_url, f"UPDATE pay_orders SET status = 'closed', updated_at = now() WHERE id = '{OPEN}'")
    assert await used.unproven() == []


async def test_a_grants_subsidy_is_no_orders(used: Purse) -> None:
    """What campaigns owe for coins and vouchers is taken for no order's discount, also where its key is a number."""
    async with used.worker.transaction() as cx:
        for key in (grant_key("77"), "grant/9/1/subsidy/prm", "pay/1001/coins"):
            await insert_flows(
                cx, transfers=[Transfer(key, ledger.subsidy("welcome-CNY"), ledger.unapplied(ANN), 5, "CNY", NOW)]
            )
    assert await used.unproven() == []


async def test_an_orders_subsidy_is_still_looked_at(used: Purse) -> None:
    async with used.worker.transaction() as cx:
        stray = Transfer("1001/1/subsidy/prm", ledger.subsidy("prm"), ledger.MARGIN, 5, "CNY", NOW)
        back = Transfer("1002/1/subsidy/prm", ledger.MARGIN, ledger.subsidy("prm"), 5, "CNY", NOW)
        await insert_flows(cx, transfers=[stray, back])
    assert {"subsidies_as_discounts", "funds_ahead"} <= set(await used.unproven())
