"""The kinds of fault that one call can meet, each applied once to one call of one order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from domain.channels import Closed, Declined, RefundDone
from tests.interference import Call
from tests.payers import Channel
from tests.platform import Platform
from tests.traders import Supplier, Ticket

LATE_S = 0.3
"""How far past its time-out a hanging call stays silent, in seconds."""


class Broken(Exception):
    """What a call that meets a fault raises: nothing that the platform knows."""


@dataclass(slots=True)
class World:
    """What a run may change behind the platform's back. `channel`: where its buyer pays, if one does."""

    platform: Platform
    tickets: list[Ticket]
    suppliers: list[Supplier]
    distributor_id: str
    channel: Channel | None = None


@dataclass(slots=True)
class Fault:
    """`kind` strikes the `nth` call of that name. `reached` says whether it did."""

    name: str
    nth: int
    kind: str
    reached: bool = field(default=False)

    def __str__(self) -> str:
        return f"{self.kind} at {self.name} #{self.nth}"

    def strikes(self, call: Call) -> bool:
        """Once, at the call it is meant for."""
        if self.reached or (call.name, call.nth) != (self.name, self.nth):
            return False
        self.reached = True
        return True


ISSUES = {"octo": "confirm", "mapped": "recharge", "parcel": "ship"}
"""What each protocol calls the request that issues."""

Effect = Callable[[Call, World], Awaitable[Any]]


async def error_before(call: Call, world: World) -> Any:
    """It fails, and nothing was done."""
    raise Broken("before the effect")


async def error_after(call: Call, world: World) -> Any:
    """It fails, and everything was done."""
    await call.proceed()
    raise Broken("after the effect")


async def hang(call: Call, world: World) -> Any:
    """Nothing is done, and nothing is heard until long after the time-out."""
    await asyncio.sleep(call.timeout_s + LATE_S)
    raise Broken("hung")


async def late(call: Call, world: World) -> Any:
    """It is done, and its answer comes after the time-out."""
    answer = await call.proceed()
    await asyncio.sleep(call.timeout_s + LATE_S)
    return answer


async def duplicate(call: Call, world: World) -> Any:
    """It is done twice."""
    await call.proceed()
    return await call.proceed()


async def contradiction(call: Call, world: World) -> Any:
    """A supplier or a channel says the opposite afterwards; or our answer is lost and the world has changed before the
    retry."""
    if world.channel is not None and call.name in _AT_CHANNEL:
        return await _AT_CHANNEL[call.name](call, world.channel, world.platform)
    if not call.name.endswith("_supplier"):
        await call.proceed()
        # Before the hold the order has no claim to a unit: without one, or without an offer, it is rightly refused.
        held = call.name not in ("open_order", "hold_promotions")
        await change_the_world(world, stock=held, promotions=call.name != "open_order")
        raise Broken("lost, and the world has changed")
    if call.name == "track_at_supplier":
        return await _lost_after_all(call, world)
    booking = call.message.booking
    supplier = next(each for each in world.suppliers if each.id == booking.supplier_id)
    rows = await world.platform.rows(
        "SELECT reference, protocol FROM bookings b JOIN suppliers s ON s.id = b.supplier_id "
        "WHERE order_no = %s AND line_no = %s AND attempt = %s",
        booking.order_no, booking.line_no, booking.attempt,
    )  # fmt: skip
    reference, protocol = rows[0]["reference"], rows[0]["protocol"]
    if call.name == "issue_at_supplier":
        await supplier.next(ISSUES[protocol], "contradict", reference=reference)
        return await call.proceed()
    if call.name == "query_supplier":
        await supplier.next("query", "forget", reference=reference)
        return await call.proceed()
    answer = await call.proceed()
    if call.name == "reserve_at_supplier":
        await supplier.octo("POST", f"/bookings/{reference}/cancel", {})
    elif call.name == "cancel_at_supplier" and protocol == "parcel":
        await supplier.tells(world.platform.api, _accepted_after_all(supplier, reference))
    elif call.name == "cancel_at_supplier":
        await supplier.says(world.platform.api, reference, "PENDING")
    return answer


# --- channels that contradict themselves ---------------------------------------------------------------------------


async def _declined_after_all(call: Call, channel: Channel, platform: Platform) -> Any:
    """It lets the payer pay, and says that it does not."""
    await call.proceed()
    return Declined("payment_declined")


async def _forgotten(call: Call, channel: Channel, platform: Platform) -> Any:
    """It knows nothing of the payment that it has, for a while."""
    await channel.next("query", "forget", reference=call.message.pay_id)
    return await call.proceed()


async def _paid_after_all(call: Call, channel: Channel, platform: Platform) -> Any:
    """It is closed, and then somebody has paid it."""
    answer = await call.proceed()
    if isinstance(answer, Closed):
        await channel.paid(call.message.pay_id, anyway=True)
    return answer


async def _refused_after_all(call: Call, channel: Channel, platform: Platform) -> Any:
    """The money is back, and the channel calls back that it will not give it."""
    answer = await call.proceed()
    if isinstance(answer, RefundDone):
        (row,) = await platform.rows(
            "SELECT c.reference FROM refunds r JOIN charges c USING (channel_id, payment_id) WHERE r.id = %s",
            call.message.refund_id,
        )
        told = await channel.says_of_refund(platform.api, row["reference"], call.message.refund_no, "refused")
        assert told.is_success, told.text
    return answer


async def _refund_forgotten(call: Call, channel: Channel, platform: Platform) -> Any:
    """It knows nothing of the refund that it was asked for, for a while."""
    await channel.next("query_refund", "forget")
    return await call.proceed()


_AT_CHANNEL: dict[str, Callable[[Call, Channel, Platform], Awaitable[Any]]] = {
    "create_at_channel": _declined_after_all,
    "query_channel": _forgotten,
    "close_at_channel": _paid_after_all,
    "refund_at_channel": _refused_after_all,
    "query_refund_at_channel": _refund_forgotten,
}


async def _lost_after_all(call: Call, world: World) -> Any:
    """A parcel is lost when its carrier has just been asked where it is."""
    answer = await call.proceed()
    carrier = next(each for each in world.suppliers if each.id == call.message.supplier_id)
    path = f"/control/{carrier.id}/shipments/{call.message.reference.lower()}/events"
    await carrier.simulator.post(path, json={"event": "lost"})
    return answer


def _accepted_after_all(carrier: Supplier, reference: str) -> dict[str, Any]:
    """The callback of a carrier that has called a parcel back, and says that it has it."""
    shipment = {
        "id": "again", "reference": reference, "carrier": carrier.id, "status": "accepted", "waybill": "AGAIN-1",
        "waybill_version": 1, "pieces": 1,
    }  # fmt: skip
    return {"type": "shipment", "shipment": shipment, "event": None}


async def change_the_world(world: World, *, stock: bool, promotions: bool) -> None:
    """Dearer, off the shelf, withdrawn by its supplier, without promotions; not a unit nor a fen of credit is left."""
    rows = world.platform.rows
    for ticket in world.tickets:
        sku = ticket.sku_id
        await rows("UPDATE prices SET amount_minor = amount_minor + 1 WHERE sku_id = %s", sku)
        await rows("UPDATE products SET status = 'off_shelf' WHERE id = %s", ticket.product_id)
        if not stock:
            continue
        await rows("UPDATE offers SET active = false WHERE sku_id = %s", sku)
        await rows(
            "WITH gone AS (UPDATE stock SET on_hand = held WHERE sku_id = %s AND on_hand > held "
            "              RETURNING sku_id, warehouse_id, old.on_hand - new.on_hand AS n) "
            "INSERT INTO stock_movements (key, sku_id, warehouse_id, kind, quantity, reason, at) "
            "SELECT 'lost/' || gen_random_uuid(), sku_id, warehouse_id, 'adjusted', -n, 'fire', now() FROM gone",
            sku,
        )
        await rows("UPDATE codes SET state = 'withdrawn' WHERE sku_id = %s AND state = 'available'", sku)
    if promotions:
        await rows(
            "UPDATE promotions SET state = 'ended', stock = held + used WHERE scope->'distributor_ids' ? %s",
            world.distributor_id,
        )
    await rows("UPDATE credit_lines SET limit_minor = 0 WHERE distributor_id = %s", world.distributor_id)


KINDS: dict[str, Effect] = {
    "error_before": error_before,
    "error_after": error_after,
    "hang": hang,
    "duplicate": duplicate,
    "late": late,
    "contradiction": contradiction,
}
