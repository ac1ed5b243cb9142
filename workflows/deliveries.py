"""`DeliveryWorkflow`: what a kind still does when its line is issued, for days or weeks: waiting for carriers, dates.

The rows say where a line's units stand; the workflow knows nothing that they don't, so it may begin anew at any time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities.fulfilment import FulfilmentActivities
from activities.fulfilment_messages import (
    CarriedUnit,
    Corrected,
    CorrectWaybill,
    DeliveryPlan,
    LineRef,
    NotifyLine,
    RecordTracking,
    RecordUnits,
    UnitCase,
    UnitCaseKind,
    UnitReport,
    WriteOff,
)
from activities.issuance import IssuanceActivities
from activities.issuance_messages import OpenException, ResolveException
from activities.supplier_messages import TrackAtSupplier
from activities.suppliers import SupplierActivities
from domain.operations import Notify, Operation, Record, Schedule, WaitForCallback
from domain.units import UnitNotFound, UnitState
from workflows.execution import at_supplier, durably
from workflows.money_back import order_moves_again
from workflows.policies import QUERY_TIMEOUT_S, SUPPLIER_QUEUE
from workflows.refusals import refusals


def delivery_workflow_id(order_no: int, line_no: int) -> str:
    """One per line."""
    return f"delivery/{order_no:019d}/{line_no}"


@dataclass(frozen=True, slots=True)
class HostDelivery:
    """The line to be delivered, by number: everything else is in the database."""

    order_no: int
    line_no: int


@dataclass(frozen=True, slots=True)
class UnitDecision:
    """An operator's word on a unit that is lost or overdue: wait on, or give its share of the money back."""

    unit: int
    decision: Literal["keep", "give_up"]
    actor: str
    reason: str


_REACHED: dict[str, frozenset[UnitState]] = {
    "shipped": frozenset({UnitState.SHIPPED, UnitState.DELIVERED, UnitState.COMPLETED}),
    "delivered": frozenset({UnitState.DELIVERED, UnitState.COMPLETED}),
}
"""States in which what a step waits for has happened."""


@workflow.defn
class DeliveryWorkflow:
    """One issued line until its kind has nothing more to do."""

    @workflow.init
    def __init__(self, delivery: HostDelivery) -> None:
        self._order_no = delivery.order_no
        self._line_no = delivery.line_no
        self._plan: DeliveryPlan | None = None
        self._units: dict[int, CarriedUnit] = {}
        self._told: list[UnitReport] = []
        self._cases: dict[UnitCase, str] = {}
        self._mutex = asyncio.Lock()

    @workflow.run
    async def run(self, delivery: HostDelivery) -> str:
        """Step by step; its result says how it ended: `completed`, `taken_back`, or `unknown` to us."""
        plan = self._plan = await self._read()
        if plan is None:
            return "unknown"
        for step in plan.steps:
            if not self._outstanding():
                break
            await self._perform(step)
        await self._take_in()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return "completed" if self._outstanding() else "taken_back"

    # --- the steps ---------------------------------------------------------------------------------------------

    async def _perform(self, step: Operation) -> None:
        if isinstance(step, WaitForCallback):
            await self._wait(step)
        elif isinstance(step, Schedule):
            await self._wait_until(self._date_of(step))
        elif isinstance(step, Notify):
            message = NotifyLine(self._order_no, self._line_no, step.event, workflow.now())
            await durably(FulfilmentActivities.notify_line, message)
        elif isinstance(step, Record):
            recorded = RecordUnits(self._order_no, self._line_no, step.event, workflow.now())
            await durably(FulfilmentActivities.record_units, recorded)

    async def _wait(self, step: WaitForCallback) -> None:
        """Until it has happened to every unit, or the unit was taken back. A lost one waits for a person."""
        plan = self._required_plan()
        deadline = (plan.issued_at or workflow.now()) + timedelta(seconds=step.deadline_s)
        while waiting := self._waiting(step):
            self._show(step)
            await self._open_cases(waiting, overdue=workflow.now() >= deadline)
            pause = timedelta(seconds=step.poll_s)
            with suppress(TimeoutError):
                summary = f"ask the carrier whether it is {step.until}"
                await workflow.wait_condition(
                    lambda: bool(self._told) or not self._waiting(step), timeout=pause, timeout_summary=summary
                )
            if not self._told:
                await self._look()
                await asyncio.gather(*(self._ask(unit) for unit in self._waiting(step)))
            await self._take_in()
            await self._close_cases(step)
            await self._begin_anew_when_long()

    def _waiting(self, step: WaitForCallback) -> list[CarriedUnit]:
        done = _REACHED[step.until] | {UnitState.VOID}
        return [unit for unit in self._units.values() if unit.state not in done]

    async def _ask(self, unit: CarriedUnit) -> None:
        """One tracking question. Not knowing is no news: the next one comes."""
        if unit.supplier_id is None or unit.reference is None:
            return
        try:
            events = await at_supplier(
                SupplierActivities.track_at_supplier,
                TrackAtSupplier(unit.supplier_id, unit.reference, QUERY_TIMEOUT_S),
                supplier_id=unit.supplier_id,
                timeout_s=QUERY_TIMEOUT_S,
                queue_for=SUPPLIER_QUEUE,
                priority=5,
                summary=f"track unit {unit.unit} of line {self._line_no} at {unit.supplier_id}",
            )
        except ActivityError as failure:
            workflow.logger.info("tracking question failed: %s", failure.cause)
            return
        if events:
            self._told.append(UnitReport(self._order_no, self._line_no, unit.attempt, events))

    async def _look(self) -> None:
        """Where the units stand after a long wait: nobody tells a delivery that its line was taken back meanwhile."""
        async with self._mutex:
            await self._read()

    async def _take_in(self) -> None:
        while self._told:
            report = self._told.pop(0)
            async with self._mutex:
                units = await durably(FulfilmentActivities.record_tracking, RecordTracking(report, workflow.now()))
                self._units = {unit.unit: unit for unit in units}

    def _date_of(self, step: Schedule) -> datetime:
        plan = self._required_plan()
        if step.at_start:
            return plan.starts_at or workflow.now()
        delivered = [unit.delivered_at for unit in self._units.values() if unit.delivered_at is not None]
        since = max(delivered, default=plan.issued_at or workflow.now())
        return since + timedelta(seconds=step.after_s)

    async def _wait_until(self, date: datetime) -> None:
        """Until then, or until nothing is left to wait for; what carriers tell meanwhile is taken in."""
        while (left := date - workflow.now()) > timedelta() and self._outstanding():
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: bool(self._told) or not self._outstanding(), timeout=left, timeout_summary="the kind's date"
                )
            await self._take_in()
        await self._look()

    async def _begin_anew_when_long(self) -> None:
        """A delivery that takes months begins anew from its rows before its history is too long."""
        if not workflow.info().is_continue_as_new_suggested():
            return
        while self._told or not workflow.all_handlers_finished():
            await self._take_in()
            await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(HostDelivery(self._order_no, self._line_no))

    # --- people ------------------------------------------------------------------------------------------------

    async def _open_cases(self, waiting: list[CarriedUnit], *, overdue: bool) -> None:
        for unit in waiting:
            lost = unit.state is UnitState.LOST
            if not (lost or overdue):
                continue
            kind: UnitCaseKind = "unit_lost" if lost else "delivery_overdue"
            case = UnitCase(unit.unit, kind, unit.losses if lost else 1)
            if case in self._cases:
                continue
            case_id = self._cases[case] = case.id_of(self._order_no, self._line_no)
            await durably(
                IssuanceActivities.open_exception,
                OpenException(
                    exception_id=case_id,
                    kind=kind,
                    order_no=self._order_no,
                    line_no=self._line_no,
                    supplier_id=unit.supplier_id,
                    at=workflow.now(),
                    evidence={
                        "unit": unit.unit,
                        "reference": unit.reference,
                        "state": str(unit.state),
                        "occurrence": case.occurrence,
                    },
                ),
            )

    async def _close_cases(self, step: WaitForCallback) -> None:
        """Nobody has to decide any more about what was found, has arrived, or was taken back."""
        waiting = {unit.unit: unit for unit in self._waiting(step)}
        for case, case_id in list(self._cases.items()):
            unit = waiting.get(case.unit)
            if unit is not None and (case.kind != "unit_lost" or unit.state is UnitState.LOST):
                continue
            resolution: dict[str, object] = {"decision": "cleared", "state": str(self._units[case.unit].state)}
            message = ResolveException(case_id, workflow.now(), "system", resolution)
            await durably(IssuanceActivities.resolve_exception, message)
            self._cases.pop(case, None)

    @workflow.update(description="Decide about a unit that is lost or overdue: `keep` waiting, or `give_up` (refund).")
    async def decide(self, decision: UnitDecision) -> str:
        """The unit's state afterwards."""
        await workflow.wait_condition(lambda: self._plan is not None)
        with refusals():
            if decision.unit not in self._units:
                raise UnitNotFound(self._line_no, decision.unit)
        async with self._mutex:
            if decision.decision == "give_up":
                refund_id = await durably(
                    FulfilmentActivities.write_off,
                    WriteOff(
                        self._order_no, self._line_no, decision.unit, workflow.now(), decision.reason, decision.actor
                    ),
                )
                await order_moves_again(self._order_no, refund_id)
                await self._read()
            state = self._units[decision.unit].state
            if decision.decision == "keep" or state is UnitState.VOID:
                await self._close_decided(decision)
        return str(self._units[decision.unit].state)

    async def _close_decided(self, decision: UnitDecision) -> None:
        """The cases about the unit, as the person decided. They stay known, so that they are not opened again."""
        resolution: dict[str, object] = {"decision": decision.decision, "reason": decision.reason}
        for case_id in [case_id for case, case_id in self._cases.items() if case.unit == decision.unit]:
            message = ResolveException(case_id, workflow.now(), decision.actor, resolution)
            await durably(IssuanceActivities.resolve_exception, message)

    @workflow.update(description="Correct a unit's waybill, which was read at a version: a later correction wins.")
    async def correct(self, correction: CorrectWaybill) -> Corrected:
        return await durably(FulfilmentActivities.correct_waybill, correction)

    @workflow.signal(description="A carrier told what happened to units.")
    async def tracked(self, report: UnitReport) -> None:
        self._told.append(report)

    # --- small parts -------------------------------------------------------------------------------------------

    async def _read(self) -> DeliveryPlan | None:
        plan = await durably(FulfilmentActivities.read_delivery, LineRef(self._order_no, self._line_no))
        if plan is not None:
            self._units = {unit.unit: unit for unit in plan.units}
            self._cases |= {case: case.id_of(self._order_no, self._line_no) for case in plan.cases}
        return plan

    def _outstanding(self) -> bool:
        return any(unit.state is not UnitState.VOID for unit in self._units.values())

    def _required_plan(self) -> DeliveryPlan:
        assert self._plan is not None, "the line was read"
        return self._plan

    def _show(self, step: WaitForCallback) -> None:
        """The workflow's page in the Temporal UI."""
        rows = [
            f"- Unit {unit.unit} ({unit.quantity} pieces): `{unit.state}`"
            + (f", carried by `{unit.supplier_id}`" if unit.supplier_id else "")
            for unit in self._units.values()
        ]
        head = f"**Line {self._line_no} of order {self._order_no:019d}**: waiting until all units are {step.until}."
        lost = [unit for unit in self._units.values() if unit.state is UnitState.LOST]
        if lost:
            head += " **An operator has to decide** about what is lost, in the exceptions queue; it may also be found."
        workflow.set_current_details("\n".join([head, "", *rows]))
