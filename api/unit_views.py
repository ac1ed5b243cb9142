"""How fulfilment units are shown: what a line owes, where each unit stands, its credential, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from api.views import Instant, MoneyView, View
from domain.units import UnitState


class UnitEventView(View):
    """One thing that happened to a unit."""

    at: Instant
    event: str = Field(examples=["shipped"])
    detail: str
    actor: str


class BreachView(View):
    """What was promised and not delivered, what it cost, and who bears it: who of them, only operators are told."""

    what: str
    why: str
    cost: MoneyView
    borne_by: str
    at: Instant


class UnitView(View):
    """One thing that the line owes its buyer: a ticket, a code, a top-up, or a parcel of `quantity` pieces.

    `code` is its credential in `code_format`: the code, the receipt, the waybill. `version` rises when it is corrected.
    """

    unit: int
    quantity: int
    state: UnitState
    code: str
    code_format: str
    reference: str
    version: int
    warehouse_id: str | None = Field(description="Where it is sent from; for operators.")
    events: list[UnitEventView]
    breach: BreachView | None


def units_of(row: Mapping[str, Any], line_no: int, *, operator: bool) -> list[UnitView]:
    """The line's units, from the order's detail."""
    breaches = {(each["line_no"], each["unit"]): each for each in row["breaches"] or []}
    return [
        UnitView(
            **{name: unit[name] for name in _PLAIN},
            code="" if _taken_back(unit) and not operator else unit["code"],
            warehouse_id=unit["warehouse_id"] if operator else None,
            events=[
                UnitEventView(**{name: event[name] for name in UnitEventView.model_fields})
                for event in unit["events"] or []
            ],
            breach=_breach(breaches.get((line_no, unit["unit"])), operator),
        )
        for unit in row["units"] or []
        if unit["line_no"] == line_no
    ]


_PLAIN = ("unit", "quantity", "state", "code_format", "reference", "version")


def _taken_back(unit: Mapping[str, Any]) -> bool:
    """Whether its code is none of the buyer's any more: the money has gone back."""
    return bool(unit["state"] == UnitState.VOID)


def _breach(row: Mapping[str, Any] | None, operator: bool) -> BreachView | None:
    if row is None:
        return None
    cost = MoneyView(amount_minor=row["cost_minor"], currency=row["currency"])
    role, _, _ = row["borne_by"].partition("/")
    plain = {name: row[name] for name in ("what", "why", "at")}
    return BreachView(cost=cost, borne_by=row["borne_by"] if operator else role, **plain)
