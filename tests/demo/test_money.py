"""Where shoppers' money is: it adds up to the cent, or the count says what does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import pytest

from demo.caller import Caller, Reply
from demo.money import Count, Money
from demo.payment_torment import PaymentTorment
from demo.tills import Tills


def cny(amount_minor: int) -> dict[str, Any]:
    return {"amount_minor": amount_minor, "currency": "CNY"}


def a_charge(payment_id: str, verdict: str, amount_minor: int, refunded_minor: int = 0) -> dict[str, Any]:
    return {
        "payment_id": payment_id, "verdict": verdict, "amount": cny(amount_minor), "refunded": cny(refunded_minor),
        "settled_otherwise": False,
    }  # fmt: skip


def a_payment(*charges: dict[str, Any], paid_minor: int = 0, state: str = "released") -> dict[str, Any]:
    return {
        "id": "pay-1", "status": "paid" if paid_minor else "closed", "charges": list(charges),
        "paid": cny(paid_minor), "refunded": cny(0),
        "parts": [{"state": state, "order_no": "1", "successor_no": None}],
    }  # fmt: skip


def a_case(payment_id: str, amount_minor: int) -> dict[str, Any]:
    evidence = {"payment_id": payment_id, "amount_minor": amount_minor}
    return {"kind": "payment_unknown", "state": "open", "evidence": evidence, "resolution": None}


def at_channel(
    charge_id: str, amount_minor: int, asked_minor: int, reference: str = "pay-1", back_minor: int = 0
) -> Any:
    return {
        "id": f"of-{charge_id}", "reference": reference, "amount_minor": asked_minor,
        "charges": [{"id": charge_id, "amount_minor": amount_minor}],
        "refunds": [{"amount_minor": back_minor, "status": "done"}] if back_minor else [],
    }  # fmt: skip


class Api:
    """What operators are shown. Every order has one line of 100 issued."""

    def __init__(self, payments: list[Any], cases: list[Any]) -> None:
        self._lists = {"/v1/payments": payments, "/v1/exceptions": cases}

    async def pages(self, path: str) -> list[Any]:
        return self._lists[path]

    async def get(self, _: str) -> Reply:
        return Reply(200, {"lines": [{"status": "issued", "total": cny(100), "refunded": cny(0)}]})


class Books:
    """What `paybridge` has charged; the other channels have nothing."""

    def __init__(self, *paid: Any) -> None:
        self._paid = list(paid)

    async def hits(self, _: str) -> Counter[str]:
        return Counter()

    async def truth(self, channel_id: str) -> list[Mapping[str, Any]]:
        return self._paid if channel_id == "paybridge" else []


async def counted(api: Api, books: Books) -> Money:
    money, _ = await Count(cast(Caller, api), cast(Tills, books)).count()
    return money


async def test_what_was_charged_is_served_given_back_or_with_operators() -> None:
    api = Api(
        [
            a_payment(
                a_charge("c1", "accepted", 100), a_charge("c2", "surplus", 100, 100), paid_minor=100, state="served"
            ),
            a_payment(a_charge("c3", "wrong_amount", 99)),
        ],
        [a_case("c4", 50)],
    )
    books = Books(
        at_channel("c1", 100, 100), at_channel("c2", 100, 100, back_minor=100), at_channel("c3", 99, 100),
        at_channel("c4", 50, 50, "stray-1"),
    )  # fmt: skip
    money = await counted(api, books)
    assert money.failures == []
    assert (money.charged, money.served, money.refunded, money.queued) == (349, 100, 100, 149)
    assert money.planted == {"payment_wrong_amount": 1, "payment_unknown": 1}


@pytest.mark.parametrize(
    ("payments", "paid", "trouble"),
    [
        ([], at_channel("c1", 100, 100), "unknown here"),
        ([a_payment(a_charge("c1", "surplus", 100))], at_channel("c1", 100, 100), "has not gone back"),
        ([a_payment(a_charge("c1", "accepted", 100), paid_minor=100)], at_channel("c1", 100, 100), "kept 100, and 0"),
        (
            [a_payment(a_charge("c1", "accepted", 100), paid_minor=100, state="served")],
            at_channel("c1", 100, 100, back_minor=1),
            "charged 100 at the channels, accounted for 101",
        ),
    ],
)
async def test_money_that_is_not_where_it_should_be_is_told(payments: list[Any], paid: Any, trouble: str) -> None:
    money = await counted(Api(payments, []), Books(paid))
    assert any(trouble in told for told in money.failures), money.failures


async def test_money_of_nobody_that_we_never_heard_of_is_counted_apart() -> None:
    money = await counted(Api([], []), Books(at_channel("c1", 70, 70, "stray-1")))
    assert (money.failures, money.unheard, money.planted) == ([], 70, {})


def test_the_queue_may_hold_what_was_planted_and_nothing_else() -> None:
    planted = Money(cases=Counter(payment_unknown=2, payment_contradiction=1), planted=Counter(payment_unknown=2))
    planted.hits["callback_contradict"] = 1
    assert PaymentTorment(1, money=planted).failures == []
    planted.cases.update(("payment_unknown", "payment_contradiction", "refund_failed"))
    assert len(PaymentTorment(1, money=planted).failures) == 3
