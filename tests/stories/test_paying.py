"""Paying over HTTP: who may pay what, with what, once; what a payment shows, and giving it up.

What becomes of the money: test_payments.py.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from httpx2 import Response

from tests.payers import Channel
from tests.platform import Platform
from tests.traders import Caller


def refused(answer: Response, code: str, status: int = 409) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


async def cancel(platform: Platform, caller: Caller, pay_id: str, key: str | None = None) -> Response:
    return await platform.api.post(
        f"/v1/payments/{pay_id}/cancel", json={"reason": "changed my mind"}, headers=caller.once(key)
    )


async def an_order(platform: Platform) -> tuple[Caller, int, Channel]:
    """A shopper with an order that waits to be paid, and a channel."""
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    return shopper, await platform.bought(shopper, await platform.a_ticket()), channel


async def coins(platform: Platform, shopper: Caller, amount_minor: int) -> None:
    answer = await platform.api.post(
        f"/v1/users/{shopper.id}/coins",
        json={"amount": {"amount_minor": amount_minor, "currency": "CNY"}, "campaign": "spring", "reason": "a gift"},
        headers=platform.operator.once(),
    )
    assert answer.is_success, answer.text


async def a_voucher(platform: Platform, amount_minor: int, currency: str = "CNY") -> str:
    """Its code; nobody's yet."""
    answer = await platform.api.post(
        "/v1/vouchers",
        json={
            "amount": {"amount_minor": amount_minor, "currency": currency},
            "campaign": f"gift-{currency.lower()}",
            "expires_at": "2099-01-01T00:00:00Z",
        },
        headers=platform.operator.once(),
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


# --- once ------------------------------------------------------------------------------------------------------------


async def test_a_payment_is_begun_once_per_key(platform: Platform) -> None:
    shopper, order_no, channel = await an_order(platform)
    key = f"pay-{secrets.token_hex(4)}"
    first = await platform.begin_payment(shopper, order_no, channel=channel, key=key)
    again = await platform.begin_payment(shopper, order_no, channel=channel, key=key)
    assert (first.status_code, again.status_code) == (201, 201), first.text
    assert again.json() == first.json()
    assert first.headers["location"] == f"/v1/payments/{first.json()['id']}"
    assert len(await platform.rows("SELECT 1 FROM pay_order_parts WHERE order_no = %s", order_no)) == 1
    other = await platform.begin_payment(shopper, order_no, channel=channel, key=key, coins_minor=1)
    refused(other, "idempotency_key_reused", 422)


async def test_the_same_key_finds_its_pay_order_also_when_the_answer_was_forgotten(platform: Platform) -> None:
    """Kept answers are forgotten after a month; a pay order is not."""
    shopper, order_no, channel = await an_order(platform)
    key = f"pay-{secrets.token_hex(4)}"
    first = await platform.begin_payment(shopper, order_no, channel=channel, key=key)
    await platform.rows("DELETE FROM idempotency_keys WHERE key = %s", key)
    again = await platform.begin_payment(shopper, order_no, channel=channel, key=key)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    await platform.rows("DELETE FROM idempotency_keys WHERE key = %s", key)
    other = await platform.begin_payment(shopper, order_no, channel=channel, key=key, return_url="https://a.example")
    refused(other, "idempotency_key_reused", 422)


async def test_of_many_payments_of_an_order_at_once_one_is_begun(platform: Platform) -> None:
    """Two open ones would take the money twice."""
    shopper, order_no, channel = await an_order(platform)
    answers = await asyncio.gather(
        *(platform.begin_payment(shopper, order_no, channel=channel, key=f"tab-{n}-{order_no}") for n in range(8))
    )
    begun = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert len(begun) == 1, [answer.text for answer in answers]
    for answer in answers:
        if answer.status_code != 201:
            assert refused(answer, "order_being_paid")["payment_id"] == begun[0]


async def test_payments_of_the_same_orders_in_another_order_do_not_block_each_other(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    one, two = await platform.bought(shopper, ticket), await platform.bought(shopper, ticket)
    answers = await asyncio.gather(
        *(
            platform.begin_payment(shopper, *((one, two) if n % 2 else (two, one)), channel=channel, key=f"ab{n}-{one}")
            for n in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


# --- what may be paid ------------------------------------------------------------------------------------------------


async def test_somebody_elses_order_does_not_exist(platform: Platform) -> None:
    _, order_no, channel = await an_order(platform)
    stranger = await platform.a_shopper()
    refused(await platform.begin_payment(stranger, order_no, channel=channel), "order_not_found", 404)
    assert await platform.rows("SELECT 1 FROM pay_orders WHERE buyer_id = %s", stranger.id) == []


async def test_only_shoppers_pay(platform: Platform) -> None:
    _, order_no, channel = await an_order(platform)
    for caller in (platform.operator, await platform.a_distributor()):
        assert (await platform.begin_payment(caller, order_no, channel=channel)).status_code == 403


async def test_what_is_canceled_or_paid_cannot_be_paid_and_the_answer_says_where_it_stands(platform: Platform) -> None:
    shopper, order_no, channel = await an_order(platform)
    paid, canceled = order_no, await platform.bought(shopper, await platform.a_ticket())
    assert (await platform.cancel(shopper, canceled)).status_code == 200
    pay_id = await platform.paying(shopper, paid, channel=channel)
    await channel.paid(pay_id)
    await platform.payment_settled(pay_id)
    problem = refused(await platform.begin_payment(shopper, canceled, paid, channel=channel), "order_not_payable")
    assert problem["states"] == {f"{canceled:019d}": "canceled", f"{paid:019d}": "issued"}


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"active": False}, "payment_method_not_allowed"),
        ({"max_minor": 19_999}, "payment_method_not_allowed"),
        ({"min_minor": 20_001}, "payment_method_not_allowed"),
        ({"kinds": ["virtual"]}, "payment_method_not_allowed"),
        ({"currency": "EUR"}, "payment_method_not_allowed"),
    ],
)
async def test_a_channel_that_cannot_take_it_is_refused_and_the_order_can_be_paid_otherwise(
    platform: Platform, terms: dict[str, Any], code: str
) -> None:
    shopper, order_no, able = await an_order(platform)
    channel = await platform.a_channel(**terms)
    refused(await platform.begin_payment(shopper, order_no, channel=channel), code)
    assert (await platform.begin_payment(shopper, order_no, channel=able)).status_code == 201


async def test_cash_needs_a_channel_that_exists(platform: Platform) -> None:
    shopper, order_no, _ = await an_order(platform)
    refused(await platform.begin_payment(shopper, order_no), "channel_required")
    refused(await platform.begin_payment(shopper, order_no, channel_id="nobody"), "channel_not_found", 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"order_nos": []}, "/order_nos"),
        ({"order_nos": ["1", "1"]}, "/order_nos"),
        ({"order_nos": [str(number) for number in range(1, 22)]}, "/order_nos"),
        ({"order_nos": ["9" * 30]}, "/order_nos/0"),
        ({"order_nos": ["1"], "coins_minor": -1}, "/coins_minor"),
        ({"order_nos": ["1"], "coins_minor": 2**70}, "/coins_minor"),
        ({"order_nos": ["1"], "voucher_codes": ["AAAA-BBBB"] * 11}, "/voucher_codes"),
        ({"order_nos": ["1"], "voucher_codes": ["aaaa-bbbb", "AAAABBBB"]}, "/voucher_codes"),
        ({"order_nos": ["1"], "return_url": "javascript:alert(1)"}, "/return_url"),
        ({"order_nos": ["1"], "amount": 5}, "/amount"),
    ],
)
async def test_bad_input_is_refused_with_a_pointer(platform: Platform, body: dict[str, Any], pointer: str) -> None:
    shopper = await platform.a_shopper()
    answer = await platform.api.post("/v1/payments", json=body, headers=shopper.once())
    assert answer.status_code == 422, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


# --- coins and vouchers ----------------------------------------------------------------------------------------------


async def test_vouchers_are_used_first_then_coins_then_cash_and_shares_follow_the_orders(platform: Platform) -> None:
    shopper, channel, ticket = await platform.a_shopper(), await platform.a_channel(), await platform.a_ticket()
    orders = [await platform.bought(shopper, ticket) for _ in range(2)]
    await coins(platform, shopper, 6_000)
    code = await a_voucher(platform, 25_000)
    answer = await platform.begin_payment(
        shopper, *orders, channel=channel, coins_minor=6_000, voucher_codes=[code.lower()]
    )
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert [shown[name]["amount_minor"] for name in ("total", "voucher", "coins", "cash")] == [
        40_000, 25_000, 6_000, 9_000,
    ]  # fmt: skip
    assert [
        (part["order_no"], part["voucher"]["amount_minor"], part["coins"]["amount_minor"], part["cash"]["amount_minor"])
        for part in shown["parts"]
    ] == [(f"{orders[0]:d}", 20_000, 0, 0), (f"{orders[1]:d}", 5_000, 6_000, 9_000)]
    assert code not in str(await platform.rows("SELECT * FROM pay_orders WHERE id = %s", shown["id"]))


async def test_what_vouchers_cover_needs_no_channel_and_is_paid_at_once(platform: Platform) -> None:
    shopper, order_no, _ = await an_order(platform)
    codes = [await a_voucher(platform, 15_000) for _ in range(3)]
    answer = await platform.begin_payment(shopper, order_no, voucher_codes=codes)
    assert answer.status_code == 201, answer.text
    await platform.payment_settled(answer.json()["id"])
    assert (await platform.settled(order_no))["status"] == "issued"
    left = await platform.rows("SELECT balance_minor FROM vouchers WHERE buyer_id = %s ORDER BY 1", shopper.id)
    assert [row["balance_minor"] for row in left] == [0, 10_000, 15_000]


async def test_more_coins_than_there_is_to_pay_are_refused_and_so_are_more_than_there_are(platform: Platform) -> None:
    shopper, order_no, channel = await an_order(platform)
    await coins(platform, shopper, 50_000)
    refused(await platform.begin_payment(shopper, order_no, channel=channel, coins_minor=20_001), "parts_exceed_total")
    poor, other, _ = await an_order(platform)
    problem = await platform.begin_payment(poor, other, channel=channel, coins_minor=5)
    refused(problem, "coins_insufficient")
    assert (await platform.begin_payment(poor, other, channel=channel)).status_code == 201


async def test_vouchers_of_others_of_nobody_and_of_another_currency_are_refused(platform: Platform) -> None:
    shopper, order_no, channel = await an_order(platform)
    taken = await a_voucher(platform, 100)
    other, others_order, _ = await an_order(platform)
    first = await platform.begin_payment(other, others_order, channel=channel, voucher_codes=[taken])
    assert first.status_code == 201
    foreign = await a_voucher(platform, 100, "EUR")
    for codes, code, status in (
        ([taken], "voucher_not_found", 404),
        (["NOSUCHCODE"], "voucher_not_found", 404),
        ([foreign], "voucher_unfit", 409),
    ):
        answer = await platform.begin_payment(shopper, order_no, channel=channel, voucher_codes=codes)
        refused(answer, code, status)
    (row,) = await platform.rows(
        "SELECT buyer_id FROM vouchers WHERE currency = 'EUR' ORDER BY created_at DESC LIMIT 1"
    )
    assert row["buyer_id"] is None, "a refused payment takes no voucher"


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_shoppers_read_their_own_and_operators_everything(platform: Platform) -> None:
    shopper, order_no, channel = await an_order(platform)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    own = (await platform.api.get(f"/v1/payments/{pay_id}", headers=shopper.headers)).json()
    assert (own["status"], own["charges"], own["fee"], "temporal" in own["links"]) == ("pending", None, None, False)
    assert own["allowed_actions"] == ["cancel"]
    assert own["expires_at"] is not None
    operators = await platform.payment(pay_id)
    assert (operators["charges"], "temporal" in operators["links"]) == ([], True)
    stranger = await platform.a_shopper()
    answer = await platform.api.get(f"/v1/payments/{pay_id}", headers=stranger.headers)
    refused(answer, "payment_not_found", 404)
    refused(await cancel(platform, stranger, pay_id), "payment_not_found", 404)
    distributor = await platform.a_distributor()
    assert (await platform.api.get(f"/v1/payments/{pay_id}", headers=distributor.headers)).status_code == 403


async def test_lists_are_newest_first_narrowed_and_fenced(platform: Platform) -> None:
    shopper, one, channel = await an_order(platform)
    two = await platform.bought(shopper, await platform.a_ticket())
    first = await platform.paying(shopper, one, channel=channel)
    second = await platform.paying(shopper, two, channel=channel)

    async def listed(caller: Caller, query: str = "") -> list[str]:
        answer = await platform.api.get(f"/v1/payments?{query}", headers=caller.headers)
        assert answer.status_code == 200, answer.text
        return [payment["id"] for payment in answer.json()["data"]]

    assert await listed(shopper) == [second, first]
    assert await listed(shopper, f"order_no={one}") == [first]
    assert await listed(shopper, "status=paid") == []
    assert await listed(platform.operator, f"buyer_id={shopper.id}&status=pending") == [second, first]
    stranger = await platform.a_shopper()
    assert await listed(stranger, f"buyer_id={shopper.id}") == []
    page = await platform.api.get("/v1/payments?limit=1", headers=shopper.headers)
    rest = await platform.api.get(f"/v1/payments?limit=1&cursor={page.json()['next_cursor']}", headers=shopper.headers)
    assert [payment["id"] for payment in rest.json()["data"]] == [first]


async def test_an_order_shows_its_payments_and_what_goes_back(platform: Platform) -> None:
    shopper, channel, supplier = await platform.a_shopper(), await platform.a_channel(), await platform.a_supplier()
    await supplier.next("confirm", "reject")
    order_no = await platform.bought(shopper, await platform.a_ticket(supplier))
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    waiting = await platform.read(order_no, shopper)
    assert [(each["payment_id"], each["status"], each["part_state"]) for each in waiting["payments"]] == [
        (pay_id, "pending", "open")
    ]
    await channel.paid(pay_id)
    await platform.payment_settled(pay_id)
    order = await platform.read(order_no, shopper)
    (refund,) = order["refunds"]
    assert (refund["state"], refund["route"], refund["amount"]["amount_minor"]) == ("refunded", "channel", 20_000)
    assert refund["refunded_at"] is not None
    assert (await platform.payment(pay_id))["refunds"] == [refund]


# --- giving it up ----------------------------------------------------------------------------------------------------


async def test_a_payment_that_is_given_up_lets_the_order_be_paid_again(platform: Platform) -> None:
    shopper, order_no, channel = await an_order(platform)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    answer = await cancel(platform, shopper, pay_id, key=f"cancel-{pay_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "closed"), answer.text
    assert answer.json()["action"] is None
    again = await cancel(platform, shopper, pay_id, key=f"cancel-{pay_id}")
    assert again.json() == answer.json()
    assert refused(await cancel(platform, shopper, pay_id), "payment_state_conflict")["state"] == "closed"
    assert (await platform.begin_payment(shopper, order_no, channel=channel)).status_code == 201


async def test_who_has_paid_already_cannot_give_it_up(platform: Platform) -> None:
    """The channel says *paid* when it is asked to close: the buyer gets what they paid for."""
    shopper, order_no, channel = await an_order(platform)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.next("pay", "callback_lost")
    await channel.paid(pay_id)
    assert refused(await cancel(platform, shopper, pay_id), "payment_state_conflict")["state"] == "paid"
    await platform.payment_settled(pay_id)
    assert (await platform.settled(order_no))["status"] == "issued"


async def test_operators_may_cancel_a_shoppers_payment(platform: Platform) -> None:
    shopper, order_no, channel = await an_order(platform)
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    assert (await cancel(platform, platform.operator, pay_id)).status_code == 200
    (row,) = await platform.rows("SELECT status, reason FROM pay_orders WHERE id = %s", pay_id)
    assert (row["status"], row["reason"]) == ("closed", "changed my mind")
