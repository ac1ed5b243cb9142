"""What is done to an order's units: recorded, handed out, tracked, written off. One transaction each, repeatable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporalio import activity

from activities.fulfilment_messages import (
    UNIT_CASES,
    CarriedUnit,
    Corrected,
    CorrectWaybill,
    DeliveryPlan,
    HandedOut,
    HandOutUnits,
    LineRef,
    NotifyLine,
    RecordTracking,
    RecordUnits,
    UnitCase,
    WriteOff,
)
from activities.order_discounts import return_uses
from activities.order_money import asked_before, give_back
from activities.order_plans import terms_of
from activities.order_writes import facts_of, order_under_lock, save
from activities.unit_writes import void_what_is_taken_back
from domain.categories import CATEGORIES
from domain.errors import DomainError, Refusal
from domain.operations import delivering
from domain.order import Line, Order
from domain.orders import OrderStatus
from domain.settlement import loss_of
from domain.units import ON_ITS_WAY, UnitState, delivery_of, share_of
from storage import codes, order_admission, order_exceptions, order_reading, tickets, units
from storage.database import Connection, Database
from storage.events import announce
from storage.units import NewUnit

CODE_FORMAT = "CODE"
"""How a code of a pool is shown: as it is, to be typed in where it is used."""


class FulfilmentActivities:
    """The unit's state, its history's keys and the line's status say whether an effect is there already."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def record_units(self, message: RecordUnits) -> None:
        """Write that this happened to each unit of the line, which is recorded as owed first where it is not there.

        Idempotency: the event's name in each unit's history. `completed` moves the units.
        """
        order_no, line_no = message.order_no, message.line_no
        async with order_under_lock(self._database, order_no) as (cx, order):
            line = order.line(line_no)
            if line.status is not OrderStatus.ISSUING and not order.stands(line):
                return
            if line.status is OrderStatus.ISSUING:
                parts = [NewUnit(part.quantity, warehouse_id=part.warehouse_id) for part in message.parts]
                carried = CATEGORIES.of(line.kind).carried
                await units.owe(cx, order_no, line_no, parts or [NewUnit(line.quantity)], carried=carried)
            if message.event == "completed":
                await units.complete(cx, order_no, line_no, at=message.at)
            else:
                await units.record(cx, order_no, line_no, message.event, at=message.at)

    @activity.defn
    async def hand_out(self, message: HandOutUnits) -> HandedOut:
        """Give the line its credentials and issue it, in one transaction. Idempotency: the line's status.

        A code that was held for the line leaves the pool here, and only here.
        """
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            line = order.line(message.line_no)
            if line.status is not OrderStatus.ISSUING:
                return HandedOut()
            new = await self._credentials(cx, message, line)
            if len(new) < line.quantity:
                return HandedOut(Refusal("codes_exhausted", f"{len(new)} of {line.quantity} codes are left.", {}))
            carried = CATEGORIES.of(line.kind).carried
            await units.issue(cx, message.order_no, message.line_no, new, carried=carried, at=message.at)
            order.issue_line(message.line_no, message.at, supplier_id=None, cost_minor=0, carried=carried)
            await save(cx, order, actor="system", at=message.at)
            await void_what_is_taken_back(cx, order, at=message.at)
            return HandedOut()

    async def _credentials(self, cx: Connection, message: HandOutUnits, line: Line) -> list[NewUnit]:
        if message.source == "gate":
            minted = await tickets.mint_tickets(cx, message.order_no, message.line_no, at=message.at)
            return [NewUnit(1)] * minted
        given = await codes.hand_out(cx, message.order_no, message.line_no, quantity=line.quantity, at=message.at)
        return [NewUnit(1, code=code, code_format=CODE_FORMAT) for code in given]

    @activity.defn
    async def notify_line(self, message: NotifyLine) -> None:
        """Tell the distributor. Idempotency: order, line and event."""
        async with self._database.transaction() as cx:
            body = {"order_no": f"{message.order_no:019d}", "line_no": message.line_no}
            await announce(
                cx,
                key=f"{message.order_no}/{message.line_no}/{message.event}",
                kind=message.event,
                order_no=message.order_no,
                body=body,
                at=message.at,
            )

    @activity.defn
    async def read_delivery(self, message: LineRef) -> DeliveryPlan | None:
        """What is left to do for the line; None where the order is not there. Reads only."""
        async with self._database.transaction() as cx:
            row, lines = await order_reading.read_core(cx, message.order_no)
            line = next((each for each in lines if each["line_no"] == message.line_no), None)
            if row is None or line is None:
                return None
            offered = await order_admission.read_offered(
                cx, [line["sku_id"]], channel=row["channel"], now=row["created_at"], withdrawn=True
            )
            carried = await units.of_line(cx, message.order_no, message.line_no)
            cases = await order_exceptions.open_about_units(cx, message.order_no, message.line_no, UNIT_CASES)
        return DeliveryPlan(
            distributor_id=row["distributor_id"],
            status=OrderStatus(line["status"]),
            steps=delivering(CATEGORIES.of(line["kind"]).steps(terms_of(offered[line["sku_id"]]))),
            units=tuple(_carried(unit) for unit in carried),
            issued_at=line["issued_at"],
            starts_at=line["starts_at"],
            cases=tuple(UnitCase(**case) for case in cases),
        )

    @activity.defn
    async def record_tracking(self, message: RecordTracking) -> tuple[CarriedUnit, ...]:
        """Take in what a carrier told, and where the order's delivery stands by that. Idempotency: each event's key.

        The line's units as they stand now.
        """
        report = message.report
        async with order_under_lock(self._database, report.order_no) as (cx, order):
            rows = await units.of_line(cx, report.order_no, report.line_no)
            for row in rows:
                if row["attempt"] == report.attempt:
                    await units.track(cx, report.order_no, report.line_no, row["unit"], report.events)
            await self._follow_units(cx, order, message)
            rows = await units.of_line(cx, report.order_no, report.line_no)
            return tuple(_carried(row) for row in rows)

    async def _follow_units(self, cx: Connection, order: Order, message: RecordTracking) -> None:
        stands = delivery_of(await units.carried_states(cx, order.order_no))
        if stands is None or stands is order.delivery_status:
            return
        order.deliver(stands)
        if order.changes:
            await save(cx, order, actor="carrier", at=message.at)

    @activity.defn
    async def write_off(self, message: WriteOff) -> str | None:
        """A unit is lost for good: its share goes back, its freight is our loss, the breach is on record.

        The refund's id where a channel gives the money back. Idempotency: the breach's row.
        """
        order_no, line_no, unit = message.order_no, message.line_no, message.unit
        async with order_under_lock(self._database, order_no) as (cx, order):
            line = order.line(line_no)
            rows = {row["unit"]: row for row in await units.of_line(cx, order_no, line_no)}
            row = rows.get(unit)
            if row is None or not order.stands(line) or row["state"] not in ON_ITS_WAY:
                # it has arrived, or was taken back, while somebody decided; or this runs twice
                return await asked_before(cx, order, line_no)
            before = sum(each["quantity"] for each in rows.values() if each["state"] == UnitState.VOID)
            amount = share_of(line.total_minor, line.quantity, before, row["quantity"])
            fresh = await units.breach(
                cx, order_no, line_no, unit, what="not_delivered", why=message.reason, cost_minor=amount,
                currency=order.currency, borne_by=f"carrier/{row['supplier_id']}", at=message.at,
            )  # fmt: skip
            if not fresh:
                return await asked_before(cx, order, line_no)
            await units.void(cx, order_no, line_no, unit=unit, at=message.at, reason="written_off", actor=message.actor)
            order.refund_units(line_no, amount, message.at, reason=message.reason)
            stands = delivery_of(await units.carried_states(cx, order_no))
            if stands is not None:
                order.deliver(stands)
            await save(cx, order, actor=message.actor, at=message.at)
            facts = facts_of(order, line)
            freight = loss_of(facts, f"freight_{unit}", row["cost_minor"], message.at) if row["cost_minor"] else None
            await return_uses(cx, order, message.at)
            return await give_back(
                cx, order, line, amount, message.at, reason=message.reason, actor=message.actor, part=f"unit_{unit}",
                transfers=[freight] if freight else [],
            )  # fmt: skip

    @activity.defn
    async def correct_waybill(self, message: CorrectWaybill) -> Corrected:
        """A wrong waybill is put right, by version: an older correction that is repeated late changes nothing."""
        async with self._database.transaction() as cx:
            try:
                version = await units.correct(
                    cx, message.order_no, message.line_no, message.unit, code=message.tracking_no,
                    version=message.version, actor=message.actor, at=message.at,
                )  # fmt: skip
            except DomainError as error:
                return Corrected(refusal=Refusal.of(error))
            return Corrected(version)


def _carried(row: Mapping[str, Any]) -> CarriedUnit:
    """From a row of `units.of_line`."""
    return CarriedUnit(
        unit=row["unit"],
        state=UnitState(row["state"]),
        quantity=row["quantity"],
        attempt=row["attempt"],
        supplier_id=row["supplier_id"],
        reference=row["booking_reference"],
        delivered_at=row["delivered_at"],
        losses=row["losses"],
    )
