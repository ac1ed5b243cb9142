"""Balances as a state machine: whatever is done in whatever order, database and model agree after each step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.balances import BalanceRefusal
from domain.payments import RefundExceedsPaid
from tests.storage.purses import ANN, BOB, Purse, a_purse

T = TypeVar("T")
SLOTS = ("first", "second")
AMOUNT, TWICE = st.integers(0, 120), st.booleans()


@dataclass
class Account:
    """What the model thinks of one balance."""

    balance: int = 0
    held: int = 0


@dataclass
class Payment:
    """What a pay order wants of each balance in the order of use, its state, and what went back of it."""

    parts: dict[str, int]
    state: str = "held"
    refunded: dict[str, int] = field(default_factory=dict)

    def refundable(self, name: str) -> int:
        return self.parts.get(name, 0) - self.refunded.get(name, 0) if self.state == "redeemed" else 0


class BalanceMachine(RuleBasedStateMachine):
    """One buyer's coins and two vouchers per run; `again`: the step is repeated, which changes nothing."""

    def __init__(self, purse: Purse, runner: asyncio.Runner) -> None:
        super().__init__()
        self.purse, self.runner = purse, runner
        self.payments: dict[str, Payment] = {}
        self.accounts: dict[str, Account] = {}
        self.serial = 0

    def run(self, wish: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await wish

        return self.runner.run(awaited())

    @initialize(faces=st.lists(st.integers(50, 200), min_size=2, max_size=2))
    def begin(self, faces: list[int]) -> None:
        """Coins of earlier runs are the same buyer's: the model begins with what there is."""
        self.ids = {slot: self.run(self.purse.voucher(face)) for slot, face in zip(SLOTS, faces, strict=True)}
        self.accounts = {slot: Account(face) for slot, face in zip(SLOTS, faces, strict=True)}
        self.accounts["coins"] = Account(*self.run(self.purse.coins()))

    @rule(amount=st.integers(1, 100), again=TWICE)
    def grant(self, amount: int, again: bool) -> None:
        self.serial += 1
        for _ in range(1 + again):
            self.run(self.purse.grant(amount, grant_id=f"{self.ids['first']}-{self.serial}"))
        self.accounts["coins"].balance += amount

    def fits(self, parts: dict[str, int]) -> bool:
        return all(self.accounts[name].balance - self.accounts[name].held >= units for name, units in parts.items())

    @rule(coins=AMOUNT, first=AMOUNT, second=AMOUNT, swapped=TWICE, foreign=TWICE, again=TWICE)
    def hold(self, coins: int, first: int, second: int, swapped: bool, foreign: bool, again: bool) -> None:
        order = SLOTS[::-1] if swapped else SLOTS
        amounts = {"first": first, "second": second}
        parts = {slot: amounts[slot] for slot in order if amounts[slot]} | ({"coins": coins} if coins else {})
        pay_id = self.run(self.purse.pay_order())
        vouchers = [(self.ids[name], units) for name, units in parts.items() if name != "coins"]
        refused = bool(parts) and (foreign or not self.fits(parts))
        for _ in range(1 + again):
            try:
                self.run(self.purse.hold(pay_id, coins=coins, vouchers=vouchers, by=BOB if foreign else ANN))
                assert not refused
            except BalanceRefusal:
                assert refused
        if refused:
            self.run(self.purse.put(pay_id, "failed"))
            return
        self.payments[pay_id] = Payment(parts)
        for name, units in parts.items():
            self.accounts[name].held += units

    def chosen(self, data: st.DataObject, *states: str) -> str:
        return data.draw(st.sampled_from([key for key, payment in self.payments.items() if payment.state in states]))

    @precondition(lambda self: any(each.state in ("held", "returned") for each in self.payments.values()))
    @rule(data=st.data(), again=TWICE)
    def redeem(self, data: st.DataObject, again: bool) -> None:
        pay_id = self.chosen(data, "held", "returned")
        payment = self.payments[pay_id]
        possible = payment.state == "held" or self.fits(payment.parts)
        for _ in range(1 + again):
            assert self.run(self.purse.redeem(pay_id)) == possible
        if possible:
            for name, units in payment.parts.items():
                self.accounts[name].balance -= units
                self.accounts[name].held -= units if payment.state == "held" else 0
            payment.state = "redeemed"

    @precondition(lambda self: self.payments)
    @rule(data=st.data(), again=TWICE)
    def give_back(self, data: st.DataObject, again: bool) -> None:
        """Of any payment: only what is held comes back."""
        pay_id = self.chosen(data, "held", "redeemed", "returned")
        payment = self.payments[pay_id]
        for _ in range(1 + again):
            self.run(self.purse.give_back(pay_id))
        if payment.state == "held":
            payment.state = "returned"
            self.run(self.purse.put(pay_id, "failed"))
            for name, units in payment.parts.items():
                self.accounts[name].held -= units

    @precondition(lambda self: self.payments)
    @rule(data=st.data(), coins=AMOUNT, voucher=AMOUNT, again=TWICE)
    def refund(self, data: st.DataObject, coins: int, voucher: int, again: bool) -> None:
        pay_id = self.chosen(data, "held", "redeemed", "returned")
        payment = self.payments[pay_id]
        self.serial += 1
        refund_id = f"rfd-{self.ids['first']}-{self.serial}"
        slots = [name for name in payment.parts if name != "coins"]
        possible = coins <= payment.refundable("coins") and voucher <= sum(map(payment.refundable, slots))
        for _ in range(1 + again):
            try:
                self.run(self.purse.refund(pay_id, coins=coins, voucher=voucher, refund_id=refund_id))
                assert possible
            except RefundExceedsPaid:
                assert not possible
        if not possible:
            return
        for name in [*reversed(slots), "coins"]:
            units = coins if name == "coins" else min(voucher, payment.refundable(name))
            voucher -= 0 if name == "coins" else units
            self.accounts[name].balance += units
            payment.refunded[name] = payment.refunded.get(name, 0) + units

    @invariant()
    def the_database_has_what_the_model_has(self) -> None:
        for name, account in self.accounts.items():
            found = self.run(self.purse.coins() if name == "coins" else self.purse.left(self.ids[name]))
            assert found == (account.balance, account.held)
            assert 0 <= account.held <= account.balance

    @invariant()
    def balances_are_what_the_ledger_and_the_holds_say(self) -> None:
        assert self.run(self.purse.unproven()) == []


def test_balances_agree_with_their_model(worker_url: str, api_url: str) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        purse = runner.run(stack.enter_async_context(a_purse(worker_url, api_url)))

        class Opened(BalanceMachine):
            def __init__(self) -> None:
                super().__init__(purse, runner)

        try:
            run_state_machine_as_test(
                Opened,
                settings=settings(
                    max_examples=20,
                    stateful_step_count=25,
                    deadline=None,
                    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
                ),
            )
        finally:
            runner.run(stack.aclose())
