"""Data packs topped up at an operator that speaks no standard: the four answers, and an account to top up."""

from __future__ import annotations

import pytest

from tests.platform import Platform
from tests.traders import Caller

pytestmark = pytest.mark.usefixtures("every_invariant_holds")
PHONE = "13800138000"


@pytest.fixture
async def caller(platform: Platform) -> Caller:
    return await platform.a_distributor()


async def placed(platform: Platform, caller: Caller, *lines: dict[str, object]) -> int:
    answer = await platform.place(caller, lines=list(lines))
    assert answer.status_code == 201, answer.text
    return int(answer.json()["order_no"])


async def test_a_phone_is_topped_up_once_and_its_receipt_is_the_unit(platform: Platform, caller: Caller) -> None:
    operator = await platform.a_topup()
    pack = await platform.a_pack(operator)
    order_no = await placed(platform, caller, platform.line(pack, account=PHONE))
    await platform.confirm(caller, order_no)
    (line,) = (await platform.settled(order_no))["lines"]
    assert line["status"] == "issued"
    (unit,) = line["units"]
    assert (unit["quantity"], unit["code_format"], unit["state"]) == (1, "TOPUP", "issued")
    assert unit["code"]
    (booked,) = await operator.book()
    assert (booked["phone"], booked["product"], booked["history"][-1]["status"]) == (PHONE, "CM-1GB-7D", "CONFIRMED")


async def test_an_account_is_required_and_kept_out_of_histories(platform: Platform, caller: Caller) -> None:
    pack = await platform.a_pack()
    refused = await platform.place(caller, pack)
    assert (refused.status_code, refused.json()["code"]) == (409, "account_required")
    order_no = await placed(platform, caller, platform.line(pack, account=PHONE))
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    history = await platform.host(order_no).fetch_history()
    assert PHONE not in history.to_json()


@pytest.mark.parametrize("fault", ["error_after", "drop_after", "unreadable", "confirm_late"])
async def test_what_the_operator_does_not_say_is_asked_until_it_is_known(
    platform: Platform, caller: Caller, fault: str
) -> None:
    operator = await platform.a_topup()
    await operator.next("recharge", fault)
    pack = await platform.a_pack(operator)
    order_no = await placed(platform, caller, platform.line(pack, account=PHONE))
    await platform.confirm(caller, order_no, wait_s=0)
    order = await platform.settled(order_no)
    assert order["status"] == "issued"
    assert await operator.statuses() == ["CONFIRMED"]


async def test_what_the_operator_refuses_is_refunded(platform: Platform, caller: Caller) -> None:
    operator = await platform.a_topup()
    await operator.next("recharge", "reject")
    pack = await platform.a_pack(operator)
    order_no = await placed(platform, caller, platform.line(pack, account=PHONE))
    await platform.confirm(caller, order_no)
    order = await platform.settled(order_no)
    assert (order["status"], order["refunded"]) == ("refunded", order["total"])
    assert "CONFIRMED" not in await operator.statuses()
