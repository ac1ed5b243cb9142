"""Promotions with an order: priced, explained, held, confirmed, given back; and races for the last use."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx2 import Response
from temporalio.exceptions import ApplicationError

from tests.interference import Call
from tests.platform import Platform
from tests.traders import Caller


def the_problem(answer: Response, code: str, status: int = 409) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


async def counters(platform: Platform, promotion_id: str) -> tuple[int, int]:
    """Held and used."""
    (row,) = await platform.rows("SELECT held, used FROM promotions WHERE id = %s", promotion_id)
    return row["held"], row["used"]


async def state_of(platform: Platform, code: str) -> str:
    (row,) = await platform.rows("SELECT state FROM coupons WHERE code = %s", code)
    return str(row["state"])


@pytest.fixture
async def caller(platform: Platform) -> Caller:
    return await platform.a_distributor()


@pytest.mark.parametrize(
    ("kind", "terms", "quantities", "totals", "sentence"),
    [
        ("percent_off", {"percent_bp": 1500}, [1, 1], [17_000, 17_000], "15.00 % off"),
        (
            "amount_off",
            {"steps": [{"from_minor": 30_000, "off_minor": 1_000}, {"from_minor": 60_000, "off_minor": 5_000}]},
            [1, 2],
            [18_333, 36_667],
            "1000 off from 30000, 5000 off from 60000",
        ),
        ("fixed_price", {"unit_price_minor": 17_500}, [2, 1], [35_000, 17_500], "each for 17500"),
        ("n_for_m", {"take": 3, "pay": 2}, [1, 2], [0, 40_000], "3 for the price of 2"),
    ],
)
async def test_each_kind_from_the_price_to_the_ticket(
    platform: Platform,
    caller: Caller,
    kind: str,
    terms: dict[str, Any],
    quantities: list[int],
    totals: list[int],
    sentence: str,
) -> None:
    promotion = await platform.traders.a_promotion(kind, for_=caller, **terms)
    lines = [(await platform.a_ticket(stock=5), quantity) for quantity in quantities]

    planned = (await platform.place(caller, *lines, dry_run=True)).json()
    order_no = await platform.placed(caller, *lines)

    assert [line["total"]["amount_minor"] for line in planned["lines"]] == totals
    detail = await platform.read(order_no, caller)
    assert [line["total"]["amount_minor"] for line in detail["lines"]] == totals
    assert detail["total"]["amount_minor"] == planned["total"]["amount_minor"] == sum(totals)
    told = [discount for line in detail["lines"] for discount in line["discounts"]]
    assert told
    assert all(sentence in discount["explanation"] for discount in told)
    for line in detail["lines"]:
        off = sum(discount["amount"]["amount_minor"] for discount in line["discounts"])
        assert line["discount"]["amount_minor"] == off
    assert await counters(platform, promotion) == (1, 0)
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "issued"
    assert await counters(platform, promotion) == (0, 1)
    (credit,) = await platform.rows("SELECT * FROM credit_lines WHERE distributor_id = %s", caller.id)
    assert (credit["held_minor"], credit["outstanding_minor"]) == (0, sum(totals))


async def test_a_caller_who_wants_none_pays_the_list_price(platform: Platform, caller: Caller) -> None:
    promotion = await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=1500)
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1), promotions="none")
    assert (await platform.read(order_no))["total"]["amount_minor"] == 20_000
    assert await counters(platform, promotion) == (0, 0)


async def test_another_total_than_the_expected_is_refused_with_it(platform: Platform, caller: Caller) -> None:
    await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=1500)
    ticket = await platform.a_ticket(stock=1)
    answer = await platform.place(caller, ticket, expected_total={"amount_minor": 20_000, "currency": "CNY"})
    problem = the_problem(answer, "price_changed")
    assert problem["total"] == {"amount_minor": 17_000, "currency": "CNY"}
    assert (await platform.place(caller, ticket, expected_total=problem["total"])).status_code == 201


async def test_a_promotion_reaches_the_categories_below_its_own(platform: Platform, caller: Caller) -> None:
    ticket = await platform.a_ticket(stock=2)
    await platform.rows("INSERT INTO categories (id, name, kind) VALUES ('above', 'All', 'ticket')")
    await platform.rows("UPDATE categories SET parent_id = 'above' WHERE id = 'cat'")
    await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=1000, scope={"category_ids": ["above"]})
    other = await platform.traders.a_promotion(
        "percent_off", for_=caller, percent_bp=9000, scope={"category_ids": ["goods"]}
    )
    order_no = await platform.placed(caller, ticket)
    assert (await platform.read(order_no))["total"]["amount_minor"] == 18_000
    assert await counters(platform, other) == (0, 0)


async def test_what_is_given_away_whole_is_issued_and_costs_nothing(platform: Platform, caller: Caller) -> None:
    """Less than the supplier's cost is paid: the campaign owes the rest, and funds stay ahead."""
    promotion = await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=10_000)
    order_no = await platform.placed(caller, await platform.a_ticket(stock=1))
    await platform.confirm(caller, order_no)
    detail = await platform.settled(order_no)
    assert (detail["status"], detail["total"]["amount_minor"], detail["flows"][0]["side"]) == ("issued", 0, "payable")
    (owed,) = await platform.rows(
        "SELECT sum(debits_minor - credits_minor) AS owed FROM ledger_balances WHERE account = %s",
        f"subsidy:{promotion}",
    )
    assert owed["owed"] == 20_000


# --- coupons -----------------------------------------------------------------------------------------------------


async def test_a_coupon_is_held_used_and_not_used_again(platform: Platform, caller: Caller) -> None:
    promotion = await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=5000, needs_coupon=True)
    code, ticket = await platform.traders.a_coupon(promotion), await platform.a_ticket(stock=9)
    assert (await platform.read(await platform.placed(caller, ticket)))["total"]["amount_minor"] == 20_000

    order_no = await platform.placed(caller, ticket, coupon_codes=[code.lower()])

    assert (await platform.read(order_no))["total"]["amount_minor"] == 10_000
    assert await state_of(platform, code) == "held"
    the_problem(await platform.place(caller, ticket, coupon_codes=[code]), "promotion_exhausted")
    await platform.confirm(caller, order_no)
    assert await state_of(platform, code) == "used"
    the_problem(await platform.place(caller, ticket, coupon_codes=[code]), "promotion_exhausted")


async def test_a_coupon_that_cannot_be_used_refuses_the_order_and_says_why(platform: Platform, caller: Caller) -> None:
    ticket, yesterday = await platform.a_ticket(stock=9), datetime.now(UTC) - timedelta(days=1)
    halves = [
        await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=5000, needs_coupon=True, **facts)
        for facts in ({}, {}, {"scope": {"sku_ids": ["another"]}}, {"stock": 0})
    ]
    stale = await platform.traders.a_coupon(halves[0], valid_to=yesterday)
    both = [await platform.traders.a_coupon(promotion) for promotion in halves[:2]]
    wrong = await platform.traders.a_coupon(halves[2])
    gone = await platform.traders.a_coupon(halves[3])

    async def refused(code: str, *codes: str) -> str:
        answer = await platform.place(caller, ticket, coupon_codes=list(codes))
        return str(the_problem(answer, code)["detail"])

    assert "none with this code" in await refused("promotion_not_applicable", "NO-SUCH-CODE")
    assert "takes nothing off" in await refused("promotion_not_applicable", wrong)
    assert "does not combine" in await refused("promotion_not_applicable", *both)
    assert stale in await refused("promotion_expired", stale)
    assert "all its uses" in await refused("promotion_exhausted", gone)
    assert {await state_of(platform, code) for code in (stale, *both, wrong, gone)} == {"issued"}


async def test_a_claimed_coupon_is_its_owners_alone(platform: Platform, caller: Caller) -> None:
    promotion = await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=5000, needs_coupon=True)
    code, ticket = await platform.traders.a_coupon(promotion), await platform.a_ticket(stock=9)
    await platform.rows(
        "UPDATE coupons SET state = 'claimed', distributor_id = %s, buyer_ref = 'ann' WHERE code = %s", caller.id, code
    )
    other = await platform.place(caller, ticket, coupon_codes=[code], buyer_ref="bob")
    assert "another buyer" in the_problem(other, "promotion_not_applicable")["detail"]
    await platform.placed(caller, ticket, coupon_codes=[code], buyer_ref="ann")


async def test_the_last_use_of_a_coupon_has_one_winner_among_fifty_buyers(platform: Platform, caller: Caller) -> None:
    promotion = await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=5000, needs_coupon=True)
    code, ticket = await platform.traders.a_coupon(promotion), await platform.a_ticket(stock=50)

    answers = await asyncio.gather(
        *(platform.place_patiently(caller, ticket, coupon_codes=[code], buyer_ref=f"buyer-{n}") for n in range(50))
    )

    told = Counter(answer.json().get("code", "placed") for answer in answers)
    assert told == {"placed": 1, "promotion_exhausted": 49}
    assert (await state_of(platform, code), await counters(platform, promotion)) == ("held", (1, 0))
    (stock,) = await platform.rows("SELECT held FROM stock WHERE sku_id = %s", ticket.sku_id)
    assert stock["held"] == 1


# --- limits ------------------------------------------------------------------------------------------------------


async def test_the_last_uses_of_a_promotion_go_to_as_many_and_the_losers_learn_the_price(
    platform: Platform, caller: Caller
) -> None:
    promotion = await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=5000, stock=3)
    ticket = await platform.a_ticket(stock=50)
    paid: list[int] = []

    async def buy(number: int) -> None:
        answer = await platform.place_patiently(caller, ticket, buyer_ref=f"buyer-{number}")
        if answer.status_code != 201:
            problem = the_problem(answer, "promotion_exhausted")
            assert problem["total"] in ({"amount_minor": price, "currency": "CNY"} for price in (10_000, 20_000))
            answer = await platform.place_patiently(caller, ticket, buyer_ref=f"buyer-{number}")
        if answer.status_code == 201:
            paid.append(answer.json()["total"]["amount_minor"])

    await asyncio.gather(*(buy(number) for number in range(20)))

    assert paid.count(10_000) == 3
    assert await counters(platform, promotion) == (3, 0)


async def test_a_buyer_gets_no_more_than_the_limit_however_many_ask_at_once(platform: Platform, caller: Caller) -> None:
    await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=5000, per_buyer_limit=2)
    ticket = await platform.a_ticket(stock=50)
    answers = await asyncio.gather(*(platform.place_patiently(caller, ticket, buyer_ref="ann") for _ in range(12)))
    half = [a for a in answers if a.status_code == 201 and a.json()["total"]["amount_minor"] == 10_000]
    assert len(half) == 2
    assert {a.json()["code"] for a in answers if a.status_code != 201} <= {"promotion_exhausted"}
    order_no = await platform.placed(caller, ticket, buyer_ref="ann")
    assert (await platform.read(order_no))["total"]["amount_minor"] == 20_000
    assert (await platform.read(await platform.placed(caller, ticket)))["total"]["amount_minor"] == 20_000
    other = await platform.placed(caller, ticket, buyer_ref="bob")
    assert (await platform.read(other))["total"]["amount_minor"] == 10_000


# --- given back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancel", "expire", "no_stock", "seat_taken"])
async def test_what_an_order_held_is_usable_again_when_it_ends(platform: Platform, caller: Caller, end: str) -> None:
    promotion = await platform.traders.a_promotion(
        "percent_off", for_=caller, percent_bp=5000, needs_coupon=True, stock=1, per_buyer_limit=1
    )
    code, supplier = await platform.traders.a_coupon(promotion), await platform.a_supplier()
    fine, gone = await platform.a_ticket(stock=5), await platform.a_ticket(stock=0)
    seat = await platform.a_ticket(supplier, lock=True)
    uses: dict[str, Any] = {"coupon_codes": [code], "buyer_ref": "ann"}

    if end == "no_stock":
        the_problem(await platform.place(caller, gone, **uses), "insufficient_stock")
    elif end == "seat_taken":
        await supplier.next("reserve", "reject")
        the_problem(await platform.place(caller, seat, **uses), "seat_taken")
    else:
        order_no = await platform.placed(caller, fine, **uses)
        assert await state_of(platform, code) == "held"
        if end == "cancel":
            await platform.cancel(caller, order_no)
        else:
            await platform.fast_forward(order_no, 1000)
            assert (await platform.settled(order_no))["cancel_reason"] == "expired"

    assert (await state_of(platform, code), await counters(platform, promotion)) == ("returned", (0, 0))
    again = await platform.placed(caller, fine, **uses)
    assert (await platform.read(again))["total"]["amount_minor"] == 10_000


async def test_a_process_killed_while_it_holds_a_coupon_gives_it_back(platform: Platform, caller: Caller) -> None:
    promotion = await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=5000, needs_coupon=True)
    code, ticket = await platform.traders.a_coupon(promotion), await platform.a_ticket(stock=1)

    async def kill(call: Call) -> Any:
        if call.name == "hold_stock":
            await platform.host(call.message.order_no).terminate("killed")
            raise ApplicationError("killed", non_retryable=True)
        return await call.proceed()

    platform.interference.meet("unlucky", kill)
    await platform.place(caller, ticket, coupon_codes=[code], buyer_ref="unlucky")
    (order,) = await platform.rows("SELECT order_no, status FROM orders WHERE distributor_id = %s", caller.id)
    assert (order["status"], await state_of(platform, code)) == ("pending", "held")
    platform.interference.meet("unlucky", lambda call: call.proceed())

    await platform.answered(lambda: platform.cancel(caller, order["order_no"]))

    assert (await platform.settled(order["order_no"]))["status"] == "canceled"
    assert (await state_of(platform, code), await counters(platform, promotion)) == ("returned", (0, 0))
    await platform.placed(caller, ticket, coupon_codes=[code])


@pytest.mark.parametrize("returns", [True, False])
async def test_after_a_refund_its_rule_says_whether_a_use_comes_back(
    platform: Platform, caller: Caller, returns: bool
) -> None:
    promotion = await platform.traders.a_promotion(
        "percent_off", for_=caller, percent_bp=5000, needs_coupon=True, returns_on_refund=returns
    )
    code, supplier = await platform.traders.a_coupon(promotion), await platform.a_supplier()
    ticket = await platform.a_ticket(supplier, stock=5)
    order_no = await platform.placed(caller, ticket, coupon_codes=[code])
    await supplier.next("confirm", "reject")

    await platform.confirm(caller, order_no)

    detail = await platform.settled(order_no)
    assert (detail["status"], detail["refunded"]["amount_minor"]) == ("refunded", 10_000)
    assert await state_of(platform, code) == ("returned" if returns else "used")
    assert await counters(platform, promotion) == ((0, 0) if returns else (0, 1))


async def test_while_a_line_is_issued_the_use_stays_used(platform: Platform, caller: Caller) -> None:
    promotion = await platform.traders.a_promotion(
        "amount_off", for_=caller, steps=[{"from_minor": 30_000, "off_minor": 999}], returns_on_refund=True
    )
    east, west = await platform.a_supplier(), await platform.a_supplier()
    tickets = [await platform.a_ticket(each, stock=5) for each in (east, west)]
    order_no = await platform.placed(caller, *tickets)
    await west.next("confirm", "reject")

    await platform.confirm(caller, order_no)

    detail = await platform.settled(order_no)
    assert [line["status"] for line in detail["lines"]] == ["issued", "refunded"]
    assert [line["total"]["amount_minor"] for line in detail["lines"]] == [19_500, 19_501]
    assert detail["refunded"]["amount_minor"] == 19_501
    assert await counters(platform, promotion) == (0, 1)


async def test_what_was_ended_while_the_order_was_in_review_is_not_held(platform: Platform, caller: Caller) -> None:
    promotion = await platform.traders.a_promotion("percent_off", for_=caller, percent_bp=5000)
    await platform.rows(
        "INSERT INTO risk_rules (id, kind, subject, threshold, window_s, outcome, active) "
        "VALUES ('big', 'amount', 'buyer', 900000, 1, 'review', true)"
    )
    ticket = await platform.a_ticket(stock=100)
    parked = await platform.place(caller, (ticket, 95))
    await platform.rows("UPDATE risk_rules SET active = false WHERE id = 'big'")
    order_no = int(parked.json()["order_no"])
    assert parked.json()["in_review"]
    await platform.rows("UPDATE promotions SET state = 'ended' WHERE id = %s", promotion)

    body = {"decision": "approve", "reason": "known"}
    await platform.act(platform.operator, order_no, "review", body)

    detail = await platform.settled(order_no)
    assert (detail["status"], detail["refusal"]["code"]) == ("rejected", "promotion_expired")
    assert detail["refusal"]["facts"]["total"]["amount_minor"] == 1_900_000
    assert await counters(platform, promotion) == (0, 0)
