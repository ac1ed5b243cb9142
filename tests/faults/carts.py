"""What the scenarios' orders buy, and what becomes of parcels when an order is at rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.platform import Platform
from tests.traders import ADDRESS, Supplier, Ticket

SHORT: dict[str, Any] = {
    "lock_timeout_s": 1.0, "issue_timeout_s": 1.0, "first_interval_s": 0.5, "consistency_window_s": 1.0,
}  # fmt: skip
"""Time-outs that a hang outlasts soon: an activity hangs in real time."""
PHONE = "13800138000"


@dataclass(slots=True)
class Cart:
    """What one order buys: `lines` and `body` as they are sent. `carriers`: of the suppliers, those of its parcels;
    `told`: they call back, so that nobody has to ask them."""

    tickets: list[Ticket]
    lines: list[dict[str, Any]]
    suppliers: list[Supplier] = field(default_factory=list)
    carriers: list[Supplier] = field(default_factory=list)
    body: dict[str, Any] = field(default_factory=dict)
    told: bool = True


Fill = Callable[[Platform], Awaitable[Cart]]


def tickets(*locks: bool) -> Fill:
    """A ticket of a supplier of its own for each; `locks`: which of them are held there before they are paid."""

    async def fill(platform: Platform) -> Cart:
        suppliers = [await platform.a_supplier(**SHORT) for _ in locks]
        bought = [
            await platform.a_ticket(supplier, stock=3, lock=lock)
            for supplier, lock in zip(suppliers, locks, strict=True)
        ]
        return Cart(bought, [platform.line(ticket) for ticket in bought], suppliers)

    return fill


async def codes(platform: Platform) -> Cart:
    """Two codes of a pool of three."""
    game = await platform.a_code_pool("C-1", "C-2", "C-3")
    return Cart([game], [platform.line(game, 2)])


async def gate_ticket(platform: Platform) -> Cart:
    """Tickets of our own quota, that our gates read."""
    ticket = await platform.traders.a_ticket(stock=3)
    return Cart([ticket], [platform.line(ticket, 2)])


async def topup(platform: Platform) -> Cart:
    """A data pack for a phone."""
    operator = await platform.a_topup(**SHORT)
    pack = await platform.a_pack(operator)
    return Cart([pack], [platform.line(pack, account=PHONE)], [operator])


async def parcel(platform: Platform) -> Cart:
    """Goods from one warehouse, by a carrier that has to be asked where they are."""
    carrier = await platform.a_carrier(calls_back=False, **SHORT)
    shirt = await platform.goods(carrier, stock=3)
    return Cart([shirt], [platform.line(shirt, 2)], [carrier], [carrier], {"ship_to": ADDRESS}, told=False)


async def told_parcel(platform: Platform) -> Cart:
    """Goods from one warehouse, by a carrier that tells where they are."""
    carrier = await platform.a_carrier(**SHORT)
    shirt = await platform.goods(carrier, stock=3)
    return Cart([shirt], [platform.line(shirt, 2)], [carrier], [carrier], {"ship_to": ADDRESS})


async def two_parcels(platform: Platform) -> Cart:
    """Goods that no warehouse has whole."""
    carrier = await platform.a_carrier(**SHORT)
    shirt = await platform.goods(carrier, stock=2)
    await platform.rows(
        "INSERT INTO warehouses (id, name, country, region, city, rank, created_at) "
        "VALUES ('far', 'Far', 'CN', 'Yunnan', 'Kunming', 50, now()) ON CONFLICT DO NOTHING"
    )
    receipt = {"reference": f"far-{shirt.sku_id}", "quantity": 2, "warehouse_id": "far"}
    received = await platform.api.post(
        f"/v1/skus/{shirt.sku_id}/receipts", json=receipt, headers=platform.operator.once()
    )
    assert received.is_success, received.text
    return Cart([shirt], [platform.line(shirt, 3)], [carrier], [carrier], {"ship_to": ADDRESS})


async def mixed(platform: Platform) -> Cart:
    """A ticket, goods and a code, of which the buyer wants all or nothing. A slow no to the ticket finds the rest
    issued, and the parcel's delivery begun."""
    house, carrier = await platform.a_supplier(**SHORT), await platform.a_carrier(**SHORT)
    await house.behave(slow_ms=500)
    bought = [
        await platform.a_ticket(house, stock=3),
        await platform.goods(carrier, stock=3),
        await platform.a_code_pool("M-1", "M-2"),
    ]
    body = {"ship_to": ADDRESS, "all_or_nothing": True}
    return Cart(bought, [platform.line(each) for each in bought], [house, carrier], [carrier], body)


# --- parcels after issue -------------------------------------------------------------------------------------------

Deliver = Callable[[Platform, Cart, int], Awaitable[list[str]]]
"""Follows an order's parcels to their end; what is wrong with it."""


async def happens(carrier: Supplier, *events: str) -> None:
    """Each of these happens to every parcel that the carrier has under way."""
    for event in events:
        for shipment in await carrier.book():
            if shipment["status"] == "CONFIRMED":
                path = f"/control/{carrier.id}/shipments/{shipment['reference']}/events"
                answer = await carrier.simulator.post(path, json={"event": event})
                assert answer.is_success, answer.text


async def arrive(platform: Platform, cart: Cart, order_no: int) -> list[str]:
    """They are picked up and delivered."""
    for carrier in cart.carriers:
        await happens(carrier, "picked_up", "delivered")

    async def arrived() -> bool:
        rows = await platform.rows(
            "SELECT state FROM fulfilment_units WHERE order_no = %s AND carried AND state <> 'void'", order_no
        )
        return {row["state"] for row in rows} <= {"delivered", "completed"}

    if cart.told:
        await platform.until(arrived)
    return await ended(platform, order_no)


async def get_lost(platform: Platform, cart: Cart, order_no: int) -> list[str]:
    """They are picked up and lost, and an operator gives them up."""
    for carrier in cart.carriers:
        await happens(carrier, "picked_up", "lost")
    case_id = (await platform.until_case(order_no, "unit_lost"))["id"]
    decision = {"decision": "give_up", "reason": "the carrier found nothing"}
    headers = platform.operator.once(f"give-up-{order_no}")
    decided = await platform.answered(
        lambda: platform.api.post(f"/v1/exceptions/{case_id}/decide", json=decision, headers=headers)
    )
    wrong = [] if decided.is_success else [f"the decision was answered by {decided.status_code}: {decided.text}"]
    return wrong + await ended(platform, order_no)


async def ended(platform: Platform, order_no: int) -> list[str]:
    """A line that stays issued has arrived whole; of one that was taken back nothing is under way any more."""
    issued = await platform.rows(
        "SELECT line_no FROM order_lines WHERE order_no = %s AND kind = 'physical' AND issued_at IS NOT NULL", order_no
    )
    wrong = []
    for line_no in (row["line_no"] for row in issued):
        try:
            ended = await platform.delivered(order_no, line_no)
        except TimeoutError:
            wrong.append(f"the delivery of line {line_no} does not end")
            continue
        units = await platform.rows(
            "SELECT l.status, u.state FROM order_lines l JOIN fulfilment_units u USING (order_no, line_no) "
            "WHERE order_no = %s AND line_no = %s",
            order_no, line_no,
        )  # fmt: skip
        wanted = ("completed", "completed") if units[0]["status"] == "issued" else ("taken_back", "void")
        states = {unit["state"] for unit in units}
        if (ended, states) != (wanted[0], {wanted[1]}):
            wrong.append(f"line {line_no} is {units[0]['status']}, its delivery {ended}, its units {sorted(states)}")
    return wrong
