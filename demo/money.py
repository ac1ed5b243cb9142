"""Where shoppers' money is: charged at the channels = served + given back + with the operators, to the cent.

The channels' side is what the simulator really charged and gave back; ours is what the API shows to operators.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from demo.caller import Caller
from demo.tills import CHANNELS, Tills

AT_ONCE = 8

Payment = Mapping[str, Any]


@dataclass
class Money:
    """Amounts in minor units, in all. `unheard`: charged under a reference that no merchant made, and never told to
    us: only a bill can show it. `settled`: an operator dealt with it outside the channel. `planted`: charges that
    should be with an operator, or have been, by kind of case.
    """

    charged: int = 0
    refunded: int = 0
    served: int = 0
    queued: int = 0
    settled: int = 0
    unheard: int = 0
    payments: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    planted: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    @property
    def accounted(self) -> int:
        return self.served + self.refunded + self.queued + self.settled + self.unheard

    @property
    def failures(self) -> list[str]:
        """Why the money does not add up; empty where it does."""
        told = list(self.troubles)
        if self.charged != self.accounted:
            told.append(f"charged {self.charged} at the channels, accounted for {self.accounted}: {self.report()}")
        return told

    def report(self) -> dict[str, Any]:
        return {
            "payments": dict(sorted(self.payments.items())),
            "charged_minor": self.charged,
            "served_minor": self.served,
            "refunded_minor": self.refunded,
            "in_the_queue_minor": self.queued,
            "settled_otherwise_minor": self.settled,
            "unheard_minor": self.unheard,
            "cases": dict(sorted(self.cases.items())),
            "channel_faults": dict(sorted(self.hits.items())),
        }


class Count:
    """Counts everything that ever was on the stack: money has no runs."""

    def __init__(self, operator: Caller, tills: Tills) -> None:
        self._operator = operator
        self._tills = tills
        self._known: set[str] = set()
        self._issued_minor: dict[str, int] = {}

    async def count(self) -> tuple[Money, list[Payment]]:
        """The figures, and all payments as operators see them, newest first."""
        money = Money()
        payments = await self._operator.pages("/v1/payments")
        for payment in payments:
            money.payments[payment["status"]] += 1
            for charge in payment["charges"]:
                self._book(money, payment, charge)
        for case in await self._operator.pages("/v1/exceptions"):
            self._case(money, case)
        for channel_id in CHANNELS:
            money.hits += await self._tills.hits(channel_id)
            for paid in await self._tills.truth(channel_id):
                self._compare(money, channel_id, paid)
        await self._compare_orders(money, payments)
        return money, payments

    def _book(self, money: Money, payment: Payment, charge: Mapping[str, Any]) -> None:
        self._known.add(charge["payment_id"])
        left_minor = _minor(charge, "amount") - _minor(charge, "refunded")
        if charge["settled_otherwise"]:
            money.settled += left_minor
        elif charge["verdict"] == "accepted":
            money.served += left_minor
        elif charge["verdict"] == "wrong_amount":
            money.queued += left_minor
        elif left_minor:
            money.troubles.append(f"{payment['id']} was paid twice, and {left_minor} of that has not gone back")

    def _case(self, money: Money, case: Mapping[str, Any]) -> None:
        if case["state"] == "open":
            money.cases[case["kind"]] += 1
        if case["kind"] != "payment_unknown":
            return
        told = case["evidence"]
        self._known.add(told["payment_id"])
        if case["state"] == "open":
            money.queued += told["amount_minor"]
        elif case["resolution"]["decision"] == "settle":
            money.settled += told["amount_minor"]

    def _compare(self, money: Money, channel_id: str, paid: Payment) -> None:
        """One payment as its channel has it."""
        for charge in paid["charges"]:
            money.charged += charge["amount_minor"]
            stray = paid["reference"].startswith("stray-")
            known = not self._known.isdisjoint((charge["id"], paid["id"]))
            if stray and known:
                money.planted["payment_unknown"] += 1
            elif charge["amount_minor"] != paid["amount_minor"]:
                money.planted["payment_wrong_amount"] += 1
            if not known:
                money.unheard += charge["amount_minor"]
                if not stray:
                    money.troubles.append(f"{channel_id} charged {charge['id']} for {paid['reference']}: unknown here")
        money.refunded += sum(each["amount_minor"] for each in paid["refunds"] if each["status"] == "done")

    async def _compare_orders(self, money: Money, payments: Iterable[Payment]) -> None:
        """What was kept of each payment is what was issued for it."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def compare(payment: Payment) -> None:
            async with turns:
                served = [part for part in payment["parts"] if part["state"] == "served"]
                issued = sum([await self._issued(part["successor_no"] or part["order_no"]) for part in served])
            kept = _minor(payment, "paid") - _minor(payment, "refunded")
            if kept != issued:
                money.troubles.append(f"{payment['id']} kept {kept}, and {issued} was issued for it")

        await asyncio.gather(*(compare(payment) for payment in payments))

    async def _issued(self, order_no: str) -> int:
        """What the buyer has of an order, in minor units."""
        order = (await self._operator.get(f"/v1/orders/{order_no}")).body
        lines = [line for line in order["lines"] if line["status"] == "issued"]
        return sum(_minor(line, "total") - _minor(line, "refunded") for line in lines)


def _minor(shown: Mapping[str, Any], name: str) -> int:
    return int(shown[name]["amount_minor"])
