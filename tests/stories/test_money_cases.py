"""Money that no machine may use, and refunds that a channel will not give: a person decides, with evidence where what
they did is out of our sight. Each case closes with its decision."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from httpx2 import Response

from domain.access import Role
from tests.payers import Channel
from tests.platform import Platform
from tests.traders import Caller

SHOWN = {"bank_reference": "GB-20260501-7"}


def refused(answer: Response, code: str, status: int = 409) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    return problem


async def case_of(platform: Platform, kind: str, column: str, subject: str) -> dict[str, Any]:
    """The case as the API shows it."""

    async def opened() -> list[dict[str, Any]]:
        return await platform.rows(f"SELECT id FROM order_exceptions WHERE kind = %s AND {column} = %s", kind, subject)

    (row,) = await platform.until(opened)
    answer = await platform.api.get(f"/v1/exceptions/{row['id']}", headers=platform.operator.headers)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def charge_of(platform: Platform, channel: Channel, verdict: str) -> dict[str, Any]:
    (row,) = await platform.rows("SELECT * FROM charges WHERE channel_id = %s AND verdict = %s", channel.id, verdict)
    return row


async def wrong_amount(platform: Platform) -> tuple[str, Channel, dict[str, Any]]:
    """A payment of which the channel took too little, and the case about it."""
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    order_no = await platform.bought(shopper, await platform.a_ticket())
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id, amount_minor=12_345)
    return pay_id, channel, await case_of(platform, "payment_wrong_amount", "pay_id", pay_id)


async def failed_refund(platform: Platform) -> tuple[Caller, int, str, Channel, dict[str, Any]]:
    """A paid order that cannot be issued, whose money the channel refuses to give back, and the case about it."""
    shopper, channel, supplier = await platform.a_shopper(), await platform.a_channel(), await platform.a_supplier()
    await supplier.next("confirm", "reject")
    await channel.next("refund", "refund_refused")
    order_no = await platform.bought(shopper, await platform.a_ticket(supplier))
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.paid(pay_id)
    return shopper, order_no, pay_id, channel, await case_of(platform, "refund_failed", "pay_id", pay_id)


async def test_a_wrong_amount_shows_what_came_and_buys_nothing(platform: Platform) -> None:
    pay_id, channel, case = await wrong_amount(platform)
    assert (case["payment_id"], case["order_no"], case["offered"]) == (pay_id, None, ["refund", "settle"])
    assert (case["evidence"]["amount_minor"], case["evidence"]["channel_id"]) == (12_345, channel.id)
    payment = await platform.payment(pay_id)
    assert (payment["status"], payment["charges"][0]["verdict"]) == ("pending", "wrong_amount")
    listed = await platform.api.get(f"/v1/exceptions?payment_id={pay_id}", headers=platform.operator.headers)
    assert [each["id"] for each in listed.json()["data"]] == [case["id"]]


async def test_a_wrong_amount_goes_back_when_a_person_says_so(platform: Platform) -> None:
    pay_id, channel, case = await wrong_amount(platform)
    answer = await platform.decide(case["id"], "refund")
    assert (answer.status_code, answer.json()["state"]) == (200, "resolved"), answer.text
    assert (answer.json()["resolution"]["decision"], answer.json()["offered"]) == ("refund", [])
    charge = await charge_of(platform, channel, "wrong_amount")
    (refund,) = await platform.rows("SELECT id FROM refunds WHERE payment_id = %s", charge["payment_id"])

    async def back() -> bool:
        return bool(await platform.rows("SELECT 1 FROM refunds WHERE id = %s AND state = 'refunded'", refund["id"]))

    await platform.until(back)
    assert await channel.held_minor(pay_id) == 0
    refused(await platform.decide(case["id"], "refund"), "exception_closed")


async def test_what_was_settled_elsewhere_needs_evidence_and_moves_no_money(platform: Platform) -> None:
    pay_id, channel, case = await wrong_amount(platform)
    problem = refused(await platform.decide(case["id"], "settle"), "validation_failed", 422)
    assert [error["pointer"] for error in problem["errors"]] == ["/evidence"]
    answer = await platform.decide(case["id"], "settle", evidence=SHOWN)
    assert answer.json()["resolution"]["evidence"] == SHOWN
    charge = await charge_of(platform, channel, "wrong_amount")
    assert (charge["settled_otherwise"], charge["refunding_minor"], charge["refunded_minor"]) == (True, 0, 0)
    assert await channel.held_minor(pay_id) == 12_345


async def test_of_two_people_who_decide_at_once_the_first_one_does(platform: Platform) -> None:
    """Given back at the channel and settled elsewhere would be twice."""
    _, channel, case = await wrong_amount(platform)
    answers = await asyncio.gather(
        platform.decide(case["id"], "refund"), platform.decide(case["id"], "settle", evidence=SHOWN)
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    (row,) = await platform.rows("SELECT resolution FROM order_exceptions WHERE id = %s", case["id"])
    charge = await charge_of(platform, channel, "wrong_amount")
    refunded = await platform.rows("SELECT 1 FROM refunds WHERE payment_id = %s", charge["payment_id"])
    assert (bool(refunded), charge["settled_otherwise"]) == (
        row["resolution"]["decision"] == "refund",
        row["resolution"]["decision"] == "settle",
    )


async def test_money_for_a_pay_order_that_is_not_ours_is_told_to_a_person(platform: Platform) -> None:
    """Journalled, answered, exception."""
    shopper, channel = await platform.a_shopper(), await platform.a_channel()
    order_no = await platform.bought(shopper, await platform.a_ticket())
    pay_id = await platform.paying(shopper, order_no, channel=channel)
    await channel.next("pay", "unknown_reference")
    await channel.paid(pay_id)

    async def recorded() -> list[dict[str, Any]]:
        return await platform.rows("SELECT * FROM charges WHERE channel_id = %s AND verdict = 'unknown'", channel.id)

    (charge,) = await platform.until(recorded)
    assert charge["pay_id"] is None
    case = await case_of(platform, "payment_unknown", "evidence ->> 'payment_id'", charge["payment_id"])
    assert (case["payment_id"], case["offered"]) == (None, ["refund", "settle"])
    journal = await platform.rows("SELECT state FROM channel_callbacks WHERE channel_id = %s", channel.id)
    assert {row["state"] for row in journal} == {"handed_over"}
    answer = await platform.decide(case["id"], "refund")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("decision", ["issued", "give_up", "keep", "acknowledge", "retry", "to_coins"])
async def test_what_is_not_offered_is_refused_with_what_is(platform: Platform, decision: str) -> None:
    _, _, case = await wrong_amount(platform)
    problem = refused(await platform.decide(case["id"], decision), "decision_not_offered")
    assert problem["offered"] == ["refund", "settle"]


async def test_a_refund_that_its_channel_refused_is_tried_again(platform: Platform) -> None:
    _, order_no, pay_id, channel, case = await failed_refund(platform)
    assert case["offered"] == ["retry", "to_coins", "paid_by_hand"]
    assert (await platform.payment(pay_id))["refunds"][0]["state"] == "refund_failed"
    answer = await platform.decide(case["id"], "retry")
    assert (answer.status_code, answer.json()["state"]) == (200, "resolved"), answer.text
    paid = await platform.payment_settled(pay_id)
    assert (paid["status"], paid["refunds"][0]["state"]) == ("refunded", "refunded")
    assert await channel.held_minor(pay_id) == 0
    assert (await platform.settled(order_no))["refund_status"] == "full"


async def test_each_refusal_of_a_refund_is_a_case_of_its_own(platform: Platform) -> None:
    _, _, pay_id, channel, case = await failed_refund(platform)
    await channel.next("refund", "refund_refused")
    assert (await platform.decide(case["id"], "retry")).status_code == 200

    async def again() -> list[dict[str, Any]]:
        return await platform.rows(
            "SELECT id FROM order_exceptions WHERE pay_id = %s AND state = 'open' AND kind = 'refund_failed'", pay_id
        )

    (second,) = await platform.until(again)
    assert second["id"] != case["id"]
    assert (await platform.decide(second["id"], "retry")).status_code == 200
    await platform.payment_settled(pay_id)
    assert await channel.held_minor(pay_id) == 0


async def test_a_refund_may_become_coins_instead(platform: Platform) -> None:
    shopper, _, pay_id, channel, case = await failed_refund(platform)
    assert (await platform.decide(case["id"], "to_coins")).status_code == 200
    paid = await platform.payment_settled(pay_id)
    assert (paid["status"], paid["refunds"][0]["route"]) == ("refunded", "coins")
    answer = await platform.api.get("/v1/balances", headers=shopper.headers)
    assert answer.json()["coins"]["balance_minor"] == 20_000
    assert await channel.held_minor(pay_id) == 20_000


async def test_what_was_paid_by_hand_needs_evidence_and_keeps_it(platform: Platform) -> None:
    shopper, order_no, pay_id, _, case = await failed_refund(platform)
    refused(await platform.decide(case["id"], "paid_by_hand"), "validation_failed", 422)
    answer = await platform.decide(case["id"], "paid_by_hand", evidence=SHOWN)
    assert answer.status_code == 200, answer.text
    paid = await platform.payment_settled(pay_id)
    assert (paid["status"], paid["refunds"][0]["route"]) == ("refunded", "by_hand")
    (row,) = await platform.rows("SELECT evidence, actor FROM refunds WHERE pay_id = %s", pay_id)
    assert (row["evidence"]["bank_reference"], row["actor"]) == (
        SHOWN["bank_reference"], f"operator/{platform.operator.id}",
    )  # fmt: skip
    seen = (await platform.read(order_no, shopper))["refunds"]
    assert seen[0]["state"] == "refunded"
    assert SHOWN["bank_reference"] not in str(seen)


async def test_the_same_decision_again_is_the_same_answer_and_one_effect(platform: Platform) -> None:
    _, _, pay_id, channel, case = await failed_refund(platform)
    headers = platform.operator.once(f"decide-{case['id']}")
    body = {"decision": "retry", "reason": "the account is open again"}
    answers = [
        await platform.api.post(f"/v1/exceptions/{case['id']}/decide", json=body, headers=headers) for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    await platform.payment_settled(pay_id)
    (row,) = await platform.rows("SELECT tries FROM refunds WHERE pay_id = %s", pay_id)
    assert row["tries"] == 2
    assert await channel.held_minor(pay_id) == 0


async def test_finance_and_operations_decide_and_others_do_not(platform: Platform) -> None:
    pay_id, _, case = await wrong_amount(platform)
    body = {"decision": "settle", "reason": "called the bank", "evidence": SHOWN}
    address = f"/v1/exceptions/{case['id']}/decide"
    for role in (Role.SUPPORT, Role.CATALOGUE):
        caller = await platform.traders.an_operator(role)
        assert (await platform.api.post(address, json=body, headers=caller.once())).status_code == 403
    shopper = await platform.a_shopper()
    assert (await platform.api.post(address, json=body, headers=shopper.once())).status_code == 403
    finance = await platform.traders.an_operator(Role.FINANCE)
    answer = await platform.api.post(address, json=body, headers=finance.once())
    assert (answer.status_code, answer.json()["resolved_by"]) == (200, f"operator/{finance.id}"), answer.text
    assert answer.json()["payment_id"] == pay_id


@pytest.mark.parametrize(
    "evidence", [{"Bank": "x"}, {"a": ""}, {"a": "x" * 201}, {f"k{n}": "v" for n in range(21)}, {"a": "\x00"}, ["x"]]
)
async def test_evidence_is_bounded(platform: Platform, evidence: Any) -> None:
    answer = await platform.decide("xcp-nobodys", "settle", evidence=evidence)
    assert answer.status_code == 422, answer.text
