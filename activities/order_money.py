"""Money that goes back to whoever paid an order, in the transaction of what causes it.

On account it is back at once: the flow is written and the credit line freed. A buyer's money takes a channel's way: a
refund is asked for here, and its own process sees to it until the channel says so (workflows/channel_refunds.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from activities.order_discounts import end_subsidies
from activities.order_writes import facts_of
from domain.ledger import Transfer
from domain.order import Line, Order
from domain.orders import OrderStatus
from domain.settlement import PayableFlow, ReceivableFlow, flow_at_refund
from storage import order_credit, refunds
from storage.database import Connection
from storage.settlement import insert_flows


async def give_back(
    cx: Connection, order: Order, line: Line, amount_minor: int, at: datetime, *,
    reason: str, actor: str = "system", part: str = "",
    payables: Sequence[PayableFlow | None] = (), transfers: Sequence[Transfer] = (),
) -> str | None:  # fmt: skip
    """`amount_minor` of the line goes back, with the other flows of the same change; the refund's id, if it has one.

    The order is moved and saved before. `part` names one of several refunds of a line on account. Take it last: it
    locks the flows' balances and the distributor's credit.
    """
    if order.on_account:
        ended = await end_subsidies(cx, order, [line], at) if line.status is OrderStatus.REFUNDED else []
        refund = flow_at_refund(facts_of(order, line), amount_minor, at, part)
        await insert_flows(cx, [refund], payables, [*transfers, *ended])
        await order_credit.give_back(cx, order.distributor_id, amount_minor)
        return None
    refund_id = None
    if amount_minor:
        refund_id = await _ask(cx, order, line.line_no, amount_minor, at, reason=reason, actor=actor)
    await insert_flows(cx, payables=payables, transfers=transfers)
    return refund_id


async def give_back_all(
    cx: Connection, order: Order, lines: Sequence[Line], at: datetime, *, transfers: Sequence[Transfer]
) -> None:
    """All of these lines' money goes back, since they failed before anything was sent; with the other `transfers`."""
    if not order.on_account:
        for line in lines:
            if line.total_minor:
                reason = (line.failure or {}).get("code", "")
                await _ask(cx, order, line.line_no, line.total_minor, at, reason=reason, actor="system")
        await insert_flows(cx, transfers=transfers)
        return
    ended = await end_subsidies(cx, order, lines, at)
    flows = [flow_at_refund(facts_of(order, line), line.total_minor, at) for line in lines]
    await insert_flows(cx, flows, transfers=[*transfers, *ended])
    if lines:
        await order_credit.give_back(cx, order.distributor_id, sum(line.total_minor for line in lines))


async def asked_before(cx: Connection, order: Order, line_no: int) -> str | None:
    """The refund that an earlier run of the same step has asked for; None on account."""
    if order.on_account:
        return None
    asked = await refunds.of_order(cx, order.order_no, line_no=line_no)
    return str(asked[-1]["id"]) if asked else None


async def left_to_ask_for(cx: Connection, order: Order, line: Line) -> int:
    """What of the line's total is neither back nor on its way back, in minor units."""
    if order.on_account:
        return line.total_minor - line.refunded_minor
    asked = await refunds.of_order(cx, order.order_no, line_no=line.line_no)
    return line.total_minor - sum(int(each["amount_minor"]) for each in asked)


async def _ask(
    cx: Connection, order: Order, line_no: int, amount_minor: int, at: datetime, *, reason: str, actor: str
) -> str:
    share = await refunds.share_of(cx, order.order_no)
    assert share is not None, "a buyer's order is issued only after it was paid"
    refund_id = await refunds.next_id(cx, order.order_no, line_no)
    await refunds.request(
        cx, refund_id, share, amount_minor,
        order_no=order.order_no, line_no=line_no, currency=order.currency, reason=reason, actor=actor, at=at,
    )  # fmt: skip
    return refund_id


def flow_when_back(order: Order, line: Line, refund_id: str, amount_minor: int, at: datetime) -> ReceivableFlow | None:
    """What is credited to the order's distributor when its buyer has the money."""
    return flow_at_refund(facts_of(order, line), amount_minor, at, refund_id)
