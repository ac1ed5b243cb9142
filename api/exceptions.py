"""The operators' queue: cases with their evidence, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from starlette.responses import Response

from activities.order_messages import BookingRef, LineDecision
from api import delivery_host, money_cases
from api.deps import DatabaseDep, Parts, capability, require
from api.errors import problems
from api.idempotency import Answer, KeeperDep
from api.order_actions import Actions, OrderActions
from api.order_inputs import DecisionInput
from api.pages import Page, PagingDep
from api.resolving import begin_resolution
from api.views import Instant, OrderNo, View
from domain.access import Action, Principal
from domain.categories import CATEGORIES
from domain.errors import DomainError
from domain.issuance import IssuedTicket
from domain.orders import OrderStatus
from domain.units import UnitState
from storage import bookings, order_exceptions
from workflows.deliveries import UnitDecision
from workflows.orders import OrderWorkflow
from workflows.resolutions import Resolution

router = capability("Cases")

Reader = Annotated[Principal, require(Action.EXCEPTION_READ)]
Decider = Annotated[Principal, require(Action.EXCEPTION_DECIDE)]
CaseId = Annotated[str, Path(pattern=r"^xcp-[0-9A-Za-z_\-]{1,80}$", examples=["xcp-1039000000000000001-1-escalated-1"])]

_DECIDE_CODES = ["exception_closed", "decision_not_offered", "tickets_missing", "refund_state_conflict", "coins_unfit"]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "issuance_escalated": ("issued", "give_up"),
    "contradiction": ("keep", "give_up"),
    "risk_review": (),
    "unit_lost": ("keep", "give_up"),
    "delivery_overdue": ("keep", "give_up"),
}
"""What may be decided about a kind of case; kinds that are not here are only acknowledged."""


class CaseNotFound(DomainError):
    code = "exception_not_found"

    def __init__(self, case_id: str) -> None:
        super().__init__(f"There is no case {case_id}: list /v1/exceptions for those there are.")


class CaseClosed(DomainError):
    """It has been decided; the decision stands."""

    code = "exception_closed"

    def __init__(self, resolution: Mapping[str, Any] | None) -> None:
        super().__init__("The case is closed: its resolution shows what was decided.")
        self._resolution = dict(resolution or {})

    @property
    def facts(self) -> dict[str, object]:
        return {"resolution": self._resolution}


class DecisionNotOffered(DomainError):
    """This kind of case is decided in other words, or elsewhere."""

    code = "decision_not_offered"

    def __init__(self, kind: str, offered: tuple[str, ...]) -> None:
        if offered:
            super().__init__(f"A case of kind {kind!r} is decided by: {', '.join(offered)}.")
        elif kind in CHOICES:
            super().__init__(f"A case of kind {kind!r} is decided by: approve or deny at the order's /review.")
        else:
            super().__init__(f"A case of kind {kind!r} closes by itself, as soon as the channel has answered.")
        self.offered = offered

    @property
    def facts(self) -> dict[str, object]:
        return {"offered": list(self.offered)}


class TicketsMissing(DomainError):
    """`issued` needs the supplier's reference and one ticket per unit: the buyer has to get in. Of a parcel it needs
    the waybill, whatever is inside."""

    code = "tickets_missing"

    def __init__(self, quantity: int, *, carried: bool = False) -> None:
        tickets = "one ticket, the waybill" if carried else f"{quantity} tickets, one per unit"
        super().__init__(f"Name the supplier_reference and {tickets}, as the supplier told you.")
        self.quantity = quantity

    @property
    def facts(self) -> dict[str, object]:
        return {"quantity": self.quantity}


class CaseView(View):
    """Something that a person has to decide or to know."""

    id: str
    kind: str
    order_no: OrderNo | None
    line_no: int
    payment_id: str | None
    refund_id: str | None
    supplier_id: str | None
    state: Literal["open", "resolved"]
    evidence: dict[str, Any]
    offered: list[str]
    opened_at: Instant
    resolved_at: Instant | None
    resolved_by: str | None
    resolution: dict[str, Any] | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> CaseView:
        offered = _offered(row) if row["state"] == "open" else ()
        names = [name for name in cls.model_fields if name not in ("offered", "payment_id")]
        return cls(**{name: row[name] for name in names}, payment_id=row["pay_id"], offered=list(offered))


def _offered(row: Mapping[str, Any]) -> tuple[str, ...]:
    about_money = money_cases.offered(row)
    return CHOICES.get(row["kind"], ("acknowledge",)) if about_money is None else about_money


@router.get("/v1/exceptions", response_model=Page[CaseView], responses=problems(401, 403), summary="List cases")
async def list_cases(
    caller: Reader,
    paging: PagingDep,
    database: DatabaseDep,
    state: Annotated[Literal["open", "resolved"] | None, Query()] = None,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    payment_id: Annotated[str | None, Query(max_length=64, description="About this payment.")] = None,
) -> Response:
    """In order of id, which has the order's number, the payment's or the refund's in it."""
    _operators_only(caller)
    after = paging.after(caller)
    async with database.reading() as connection:
        rows = await order_exceptions.list_exceptions(
            connection,
            state=state,
            kind=kind,
            pay_id=payment_id,
            after=str(after[0]) if after else None,
            limit=paging.limit,
        )
    return paging.answer(caller, rows, CaseView.of, lambda row: [row["id"]])


@router.get(
    "/v1/exceptions/{case_id}", response_model=CaseView, responses=problems(401, 403, 404), summary="Read a case"
)
async def read_case(case_id: CaseId, caller: Reader, database: DatabaseDep) -> CaseView:
    """With its evidence, and what may be decided."""
    _operators_only(caller)
    async with database.reading() as connection:
        row = await order_exceptions.read_exception(connection, case_id)
    if row is None:
        raise CaseNotFound(case_id)
    return CaseView.of(row)


@router.post(
    "/v1/exceptions/{case_id}/decide",
    response_model=CaseView,
    responses={
        202: {"model": CaseView, "description": "Decided; the supplier is being asked to do its part"},
        **problems(401, 403, 404, 409, 413, 415, codes=_DECIDE_CODES),
    },
    summary="Decide a case",
)
async def decide_case(
    case_id: CaseId, body: DecisionInput, caller: Decider, keeper: KeeperDep, actions: OrderActions
) -> Response:
    """Escalated: `issued` (with tickets) or `give_up`. Contradiction: `keep` or `give_up`. Others: `acknowledge`.

    Money that no machine may use: `refund`, or `settle` with evidence. A refund that failed: `retry`, `to_coins`, or
    `paid_by_hand` with evidence.
    """
    money_cases.check_evidence(body)
    return await keeper.elsewhere(caller, lambda: _decide(actions, caller, case_id, body, keeper.key))


async def _decide(actions: Actions, caller: Principal, case_id: str, body: DecisionInput, key: str) -> Answer:
    parts = actions.parts
    async with parts.database.reading() as connection:
        row = await order_exceptions.read_exception(connection, case_id)
    if row is None:
        raise CaseNotFound(case_id)
    if row["state"] != "open":
        raise CaseClosed(row["resolution"])
    offered = _offered(row)
    if body.decision not in offered:
        raise DecisionNotOffered(row["kind"], offered)
    if money_cases.is_about(row):
        await money_cases.decide(parts, caller, row, body, key)
    elif row["kind"] == "issuance_escalated" and row["line_status"] != OrderStatus.ISSUING:
        await _close(parts, caller, row, body, overtaken_by=row["line_status"])
    elif row["kind"] == "issuance_escalated":
        await _decide_line(actions, caller, row, body, key)
    elif row["kind"] in ("unit_lost", "delivery_overdue"):
        await _decide_unit(parts, caller, row, body, key)
    elif body.decision == "give_up":
        await _take_back(parts, caller, row, body)
    else:
        await _close(parts, caller, row, body)
    async with parts.database.reading() as connection:
        after = await order_exceptions.read_exception(connection, case_id)
    assert after is not None
    view = CaseView.of(after)
    return Answer(200 if view.state == "resolved" else 202, view)


async def _decide_line(
    actions: Actions, caller: Principal, row: Mapping[str, Any], body: DecisionInput, key: str
) -> None:
    """The order's own workflow carries it out; tickets are kept in the database before it is told."""
    if body.decision == "issued":
        carried = CATEGORIES.of(row["line_kind"]).carried
        needed = 1 if carried else row["quantity"]
        if body.supplier_reference is None or len(body.tickets) != needed:
            raise TicketsMissing(needed, carried=carried)
        tickets = [
            asdict(IssuedTicket(unit, ticket.supplier_ticket_id, ticket.code, ticket.code_format))
            for unit, ticket in enumerate(body.tickets)
        ]
        async with actions.parts.database.transaction() as connection:
            await bookings.keep_answer(
                connection,
                row["order_no"],
                row["line_no"],
                row["evidence"]["attempt"],
                supplier_reference=body.supplier_reference,
                answer={"tickets": tickets},
            )
    decision: Literal["issued", "give_up"] = "issued" if body.decision == "issued" else "give_up"
    message = LineDecision(
        row["line_no"], row["evidence"]["attempt"], decision, caller.ref, body.reason, body.supplier_reference or ""
    )
    await actions.send(caller, row["order_no"], OrderWorkflow.decide, message, key)


async def _decide_unit(parts: Parts, caller: Principal, row: Mapping[str, Any], body: DecisionInput, key: str) -> None:
    """The line's delivery carries it out: it waits on, or gives the unit's share of the money back."""
    assert parts.temporal is not None
    word: Literal["keep", "give_up"] = "give_up" if body.decision == "give_up" else "keep"
    decision = UnitDecision(row["evidence"]["unit"], word, caller.ref, body.reason)
    state = await delivery_host.decide(
        parts.temporal, row["order_no"], row["line_no"], decision, update_id=f"decide/{key}"
    )
    arrived = word == "give_up" and state != UnitState.VOID
    await _close(parts, caller, row, body, overtaken_by=state if arrived else None)


async def _take_back(parts: Parts, caller: Principal, row: Mapping[str, Any], body: DecisionInput) -> None:
    """Issued here, and not to be kept: cancelled at the supplier, then refunded, by a workflow of the case's own."""
    async with parts.database.reading() as connection:
        attempts = await bookings.of_order(connection, row["order_no"])
    booking = next(
        each for each in attempts if each["line_no"] == row["line_no"] and each["attempt"] == row["evidence"]["attempt"]
    )
    resolution = Resolution(
        exception_id=row["id"],
        action="take_back",
        booking=BookingRef(row["order_no"], row["line_no"], booking["attempt"], booking["supplier_id"]),
        reference=booking["reference"],
        cost_minor=booking["cost_minor"],
        window_s=booking["window_s"],
        actor=caller.ref,
        reason=body.reason,
    )
    await begin_resolution(parts, resolution)


async def _close(
    parts: Parts, caller: Principal, row: Mapping[str, Any], body: DecisionInput, *, overtaken_by: str | None = None
) -> None:
    """Only the case ends. `overtaken_by`: the line, or its unit, was decided before the person was: its state."""
    resolution = {"decision": body.decision, "reason": body.reason}
    if overtaken_by is not None:
        resolution["overtaken_by"] = overtaken_by
    async with parts.database.transaction() as connection:
        await order_exceptions.resolve(connection, row["id"], by=caller.ref, at=parts.clock(), resolution=resolution)


def _operators_only(caller: Principal) -> None:
    if caller.distributor_id is not None:
        raise CaseNotFound("of yours")
