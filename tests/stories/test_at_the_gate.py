"""From the order to the gate: what was sold opens it once, and what was taken back never does."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx2 import Response

from adapters.gate.tokens import TicketClaim, TicketKeys
from domain.access import Role
from domain.gate import TicketRef, Window
from tests.platform import Platform
from tests.traders import Caller

pytestmark = pytest.mark.usefixtures("every_invariant_holds")


@pytest.fixture
async def gate(platform: Platform) -> Caller:
    return await platform.traders.an_operator(Role.GATE)


async def scan(platform: Platform, gate: Caller, code: str, gate_id: str = "north-1") -> Response:
    body = {"code": code, "gate_id": gate_id}
    return await platform.api.post("/v1/gate/redemptions", json=body, headers=gate.once())


async def the_tickets(platform: Platform, order_no: int, caller: Caller) -> list[dict[str, Any]]:
    detail = await platform.read(order_no, caller)
    return [ticket for line in detail["lines"] for ticket in line["tickets"]]


async def test_tickets_that_nobody_outside_issues_are_ours_and_each_opens_the_gate_once(
    platform: Platform, gate: Caller
) -> None:
    caller, ticket = await platform.a_distributor(), await platform.traders.a_ticket(stock=3)
    order_no = await platform.placed(caller, (ticket, 2))
    answer = await platform.confirm(caller, order_no)
    assert answer.json()["status"] == "issued", answer.text

    shown = await the_tickets(platform, order_no, caller)
    assert [each["code_format"] for each in shown] == ["TESSERA", "TESSERA"]
    answers = await asyncio.gather(*(scan(platform, gate, each["code"], f"g{n}") for each in shown for n in range(5)))

    assert Counter(answer.status_code for answer in answers) == {200: 2, 409: 8}
    assert {each["status"] for each in await the_tickets(platform, order_no, caller)} == {"redeemed"}
    (line,) = (await platform.read(order_no, caller))["lines"]
    assert [[event["event"] for event in unit["events"]] for unit in line["units"]] == [["issued", "redeemed"]] * 2


async def test_one_ticket_of_an_issued_line_is_voided_and_the_others_stay_good(
    platform: Platform, gate: Caller
) -> None:
    caller, ticket = await platform.a_distributor(), await platform.traders.a_ticket(stock=3)
    order_no = await platform.placed(caller, (ticket, 2))
    await platform.confirm(caller, order_no)
    bad, good = await the_tickets(platform, order_no, caller)
    path = f"/v1/tickets/{bad['serial']}/void"
    answer = await platform.api.post(path, json={"reason": "lost"}, headers=platform.operator.once())
    assert answer.status_code == 200, answer.text
    assert (await scan(platform, gate, bad["code"])).json()["reason"] == "lost"
    assert (await scan(platform, gate, good["code"])).status_code == 200
    (line,) = (await platform.read(order_no, caller))["lines"]
    assert [unit["state"] for unit in line["units"]] == ["void", "issued"]


async def test_a_suppliers_own_code_opens_our_gate(platform: Platform, gate: Caller) -> None:
    caller, ticket = await platform.a_distributor(), await platform.a_ticket()
    order_no = await platform.placed(caller, ticket)
    await platform.confirm(caller, order_no)
    await platform.settled(order_no)
    (shown,) = await the_tickets(platform, order_no, caller)
    assert (await scan(platform, gate, shown["code"])).json()["serial"] == shown["serial"]


async def test_our_own_ticket_is_not_minted_before_the_rest_of_an_all_or_nothing_order_is_certain(
    platform: Platform, gate: Caller
) -> None:
    supplier = await platform.a_supplier()
    caller, own = await platform.a_distributor(), await platform.traders.a_ticket(stock=3)
    order_no = await platform.placed(caller, own, await platform.a_ticket(supplier), all_or_nothing=True)
    await supplier.next("confirm", "reject")
    await platform.confirm(caller, order_no)
    assert (await platform.settled(order_no))["status"] == "refunded"

    assert await the_tickets(platform, order_no, caller) == []
    keys = TicketKeys.read(platform.settings.ticket_keys.get_secret_value())
    token = keys.token_of(TicketClaim(TicketRef(order_no, 1, 0), Window(datetime.now(UTC), None)))
    assert (await scan(platform, gate, token)).json()["code"] == "ticket_unknown"
    (stock,) = await platform.rows("SELECT on_hand, held, sold FROM stock WHERE sku_id = %s", own.sku_id)
    assert stock == {"on_hand": 3, "held": 0, "sold": 0}


@pytest.mark.parametrize("was_used", [True, False])
async def test_a_ticket_that_is_taken_back_does_not_scan_green_and_one_that_was_used_is_a_case(
    platform: Platform, gate: Caller, was_used: bool
) -> None:
    """All or nothing: one supplier's line is issued, then the other's fails."""
    sure, failing = await platform.a_supplier(), await platform.a_supplier()
    caller, first = await platform.a_distributor(), await platform.a_ticket(sure)
    order_no = await platform.placed(caller, first, await platform.a_ticket(failing), all_or_nothing=True)
    await failing.fails(True)
    await platform.confirm(caller, order_no, wait_s=0)

    async def shown() -> list[dict[str, Any]]:
        return await the_tickets(platform, order_no, caller)

    (ticket,) = await platform.until(shown)
    if was_used:
        assert (await scan(platform, gate, ticket["code"])).status_code == 200
    await failing.next("confirm", "reject")
    await failing.fails(False)
    order = await platform.settled(order_no)
    assert (order["status"], order["refunded"]) == ("refunded", order["total"])
    refused = await scan(platform, gate, ticket["code"], "south-2")
    assert refused.json()["code"] == ("ticket_redeemed" if was_used else "ticket_void")
    cases = await platform.cases(order_no)
    assert ("used_and_refunded" in cases) == was_used
    if was_used:
        case = cases["used_and_refunded"]
        assert (case["state"], case["evidence"]["serials"]) == ("open", [ticket["serial"]])
