"""Suppliers that call back early, twice, late or otherwise than they answered: the first definite answer wins."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.platform import Platform
from tests.traders import Supplier


async def confirmed(platform: Platform, *suppliers: Any, lock: bool = False) -> int:
    """An order that its suppliers have been told to issue."""
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(*suppliers, stock=1, lock=lock))
    await platform.confirm(caller, order_no, wait_s=0.5)
    return order_no


async def reference_of(platform: Platform, order_no: int, attempt: int = 1) -> str:
    rows = await platform.rows("SELECT reference FROM bookings WHERE order_no = %s AND attempt = %s", order_no, attempt)
    return str(rows[0]["reference"])


async def until_inbox(platform: Platform, supplier: Supplier, messages: int) -> list[dict[str, Any]]:
    """What the supplier has called back, once so many have been handed over."""

    async def handed_over() -> list[dict[str, Any]]:
        rows = await platform.rows(
            "SELECT * FROM supplier_callbacks WHERE supplier_id = %s AND state = 'handed_over'", supplier.id
        )
        return rows if len(rows) >= messages else []

    found: list[dict[str, Any]] = await platform.until(handed_over)
    return found


async def test_a_callback_before_the_reply_is_heeded(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    await supplier.next("confirm", "callback_early")
    order_no = await confirmed(platform, supplier)
    assert (await platform.settled(order_no))["status"] == "issued"
    await until_inbox(platform, supplier, 1)
    assert await platform.cases(order_no) == {}


async def test_a_callback_for_a_reply_that_never_comes_issues_the_order(platform: Platform) -> None:
    supplier = await platform.a_supplier(first_interval_s=600)
    await supplier.behave(hang_ms=4000)
    await supplier.next("confirm", "callback_early")
    await supplier.next("confirm", "hang")
    order_no = await confirmed(platform, supplier)
    await platform.until_status(order_no, "issued")


async def test_double_callbacks_change_nothing(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    await supplier.next("confirm", "callback_twice")
    order_no = await confirmed(platform, supplier)
    await until_inbox(platform, supplier, 2)
    assert (await platform.settled(order_no))["status"] == "issued"
    assert await platform.cases(order_no) == {}


async def test_the_same_message_again_is_acknowledged_and_kept_once(platform: Platform) -> None:
    supplier = await platform.a_supplier(calls_back=False)
    order_no = await confirmed(platform, supplier)
    reference = await reference_of(platform, order_no)
    told = [await supplier.says(platform.api, reference, "CONFIRMED", message_id="msg_same") for _ in range(2)]
    assert told == [204, 204]
    assert len(await until_inbox(platform, supplier, 1)) == 1


async def test_a_callback_that_nobody_signed_is_refused(platform: Platform) -> None:
    supplier, stranger = await platform.a_supplier(calls_back=False), await platform.a_supplier()
    order_no = await confirmed(platform, supplier)
    forged = Supplier(supplier.id, stranger.secret, supplier.simulator)
    assert await forged.says(platform.api, await reference_of(platform, order_no), "REJECTED") == 401


async def test_a_callback_about_nothing_of_ours_waits_in_the_inbox(platform: Platform) -> None:
    supplier = await platform.a_supplier(calls_back=False)
    order_no = await confirmed(platform, supplier)
    booking = await supplier.octo("GET", f"/bookings/{await reference_of(platform, order_no)}")
    stranger = booking | {"uuid": "00000000-0000-4000-8000-000000000001"}
    assert await supplier.tells(platform.api, stranger) == 204
    (kept,) = await platform.rows("SELECT state FROM supplier_callbacks WHERE supplier_id = %s", supplier.id)
    assert kept["state"] == "unmatched"


async def contradicted(platform: Platform) -> tuple[Supplier, int, str]:
    """Issued, and then called back as rejected: a case for a person."""
    supplier = await platform.a_supplier()
    await supplier.behave(contradict_ms=50)
    await supplier.next("confirm", "contradict")
    order_no = await confirmed(platform, supplier)
    case = await platform.until_case(order_no, "contradiction")
    assert (await platform.read(order_no))["status"] == "issued"
    return supplier, order_no, case["id"]


async def test_what_is_issued_and_then_denied_can_be_kept(platform: Platform) -> None:
    supplier, order_no, case_id = await contradicted(platform)
    answer = await platform.decide(case_id, "keep")
    assert (answer.status_code, answer.json()["state"]) == (200, "resolved")
    assert (await platform.settled(order_no))["status"] == "issued"
    assert await supplier.statuses() == ["CONFIRMED"]


async def test_what_is_issued_and_then_denied_can_be_given_up(platform: Platform) -> None:
    supplier, order_no, case_id = await contradicted(platform)
    assert (await platform.decide(case_id, "give_up")).status_code == 202
    assert (await platform.resolved(case_id))["resolution"]["outcome"] == "taken_back"
    detail = await platform.read(order_no)
    assert (detail["status"], detail["refund_status"]) == ("refunded", "full")
    assert await supplier.statuses() == ["CANCELLED"]
    (stock,) = await platform.rows("SELECT sold FROM stock WHERE sku_id = %s", detail["lines"][0]["sku_id"])
    assert stock["sold"] == 0


async def test_what_is_refunded_and_then_confirmed_is_cancelled_at_once(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    await supplier.behave(contradict_ms=300, contradict_way="rejected_then_confirmed")
    await supplier.next("confirm", "contradict")
    order_no = await confirmed(platform, supplier)
    assert (await platform.settled(order_no))["status"] == "refunded"
    case = await platform.until_case(order_no, "confirmed_after_refund")
    assert (await platform.resolved(case["id"]))["state"] == "resolved"
    assert await supplier.statuses() == ["CANCELLED"]


async def test_a_no_that_overtakes_the_reply_does_not_hide_a_yes(platform: Platform) -> None:
    """The call is on its way when the supplier reports the opposite of what it then answers."""
    supplier = await platform.a_supplier(calls_back=False)
    sent = asyncio.Event()

    async def slowly(call: Any) -> Any:
        answer = await call.proceed()
        if call.name == "issue_at_supplier":
            sent.set()
            await asyncio.sleep(1)
        return answer

    platform.interference.meet("overtaken", slowly)
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, stock=1), buyer_ref="overtaken")
    await platform.confirm(caller, order_no, wait_s=0)
    await sent.wait()
    await supplier.says(platform.api, await reference_of(platform, order_no), "REJECTED")
    await platform.settled(order_no)
    assert await platform.cases(order_no), "two definite answers disagree, and nobody was told"
    case = next(iter((await platform.cases(order_no)).values()))
    if (await platform.read(order_no))["status"] == "refunded":
        await platform.decide(case["id"], "acknowledge")


async def test_a_yes_for_an_attempt_that_was_rejected_is_not_lost_while_the_next_is_under_way(
    platform: Platform,
) -> None:
    first, second = await platform.a_supplier(), await platform.a_supplier(calls_back=False, first_interval_s=600)
    await first.behave(contradict_ms=400, contradict_way="rejected_then_confirmed")
    await first.next("confirm", "contradict")
    await second.next("confirm", "error_after")
    order_no = await confirmed(platform, first, second)
    platform.lied_about.add(order_no)
    await until_inbox(platform, first, 1)
    assert (await platform.settled(order_no))["status"] == "issued"

    async def given_back() -> bool:
        return await first.statuses() == ["CANCELLED"]

    await platform.until(given_back, 15)
    assert await second.statuses() == ["CONFIRMED"]


async def test_a_hold_that_the_supplier_cancels_before_payment_is_not_issued_blindly(platform: Platform) -> None:
    supplier = await platform.a_supplier()
    caller = await platform.a_distributor()
    order_no = await platform.placed(caller, await platform.a_ticket(supplier, stock=1, lock=True))
    reference = await reference_of(platform, order_no)
    await supplier.octo("POST", f"/bookings/{reference}/cancel", {})
    await supplier.says(platform.api, reference, "CANCELLED")
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "refunded"
    assert await supplier.statuses() == ["CANCELLED"]
