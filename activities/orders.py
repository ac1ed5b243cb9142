"""Placing, cancelling, extending and confirming an order: each activity is one transaction in our own database.

All may run twice: the order's state, under its row's lock, says whether the effect is there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from temporalio import activity

from activities.admission import admit
from activities.order_discounts import confirm_uses, end_subsidies, lock_subsidies, release_uses, return_uses
from activities.order_messages import (
    ApproveOrder,
    Cancellation,
    CancelOrder,
    Confirmation,
    ConfirmOrder,
    ExtendOrder,
    HoldStock,
    IntendBookings,
    MoneyStanding,
    Opened,
    OpenOrder,
    Part,
    PlaceAnswer,
    ReadMoney,
    RecordLock,
    RefuseOrder,
)
from activities.order_money import give_back_all
from activities.order_plans import OrderTimings, answer_facts
from activities.order_writes import all_facts, intent_of, order_under_lock, save
from domain.errors import Refusal
from domain.order import Order
from domain.orders import OrderStatus
from domain.payments import RefundState
from domain.placing import InsufficientStock
from domain.settlement import flow_at_cancel, flows_at_lock
from storage import bookings, codes, order_claims, order_credit, order_reading, order_stock, pay_orders, refunds
from storage.database import Connection, Database
from storage.settlement import insert_flows


class OrderActivities:
    """`timings`: the durations that settings give to orders (seconds)."""

    def __init__(self, database: Database, timings: OrderTimings) -> None:
        self._database = database
        self._timings = timings

    @activity.defn
    async def open_order(self, message: OpenOrder) -> Opened:
        """Check buyer, product, price and risk, hold credit, record the order as `pending`.

        Idempotency: the order number. For an order that exists the plan is read as it stands, which is also how a
        lost process is restarted.
        """
        async with self._database.transaction() as cx:
            return await admit(cx, message, self._timings)

    @activity.defn
    async def hold_stock(self, message: HoldStock) -> Refusal | None:
        """Hold the order's own quota and codes, all lines or none. Idempotency: holds are named by order and line."""
        async with self._database.reading() as cx:
            if await order_stock.hold_one(cx, message.order_no, expires_at=message.expires_at):
                return None
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            if order.status is not OrderStatus.PENDING:
                return None
            demands = await order_stock.demands(cx, message.order_no)
            short: Mapping[str, int] | None = None
            if demands:
                until = message.expires_at
                short = await order_stock.hold(cx, message.order_no, demands, expires_at=until, at=message.at)
            short = short or await codes.hold(cx, message.order_no, at=message.at)
            return Refusal.of(InsufficientStock(short)) if short else None

    @activity.defn
    async def record_lock(self, message: RecordLock) -> PlaceAnswer:
        """`pending` becomes `locked`: the receivable begins and the credit hold is used. Idempotency: the status."""
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            if order.status is not OrderStatus.PENDING and order.locked_at != message.at:
                return PlaceAnswer(ahead=True)
            if order.status is OrderStatus.PENDING:
                order.lock(message.at, expires_at=message.expires_at)
                await save(cx, order, actor="system", at=message.at)
                for held in message.held:
                    await bookings.mark(
                        cx,
                        order.order_no,
                        held.booking.line_no,
                        held.booking.attempt,
                        "held",
                        at=message.at,
                        supplier_reference=held.supplier_reference,
                        expires_at=held.expires_at,
                    )
                subsidies = await lock_subsidies(cx, order, message.at)
                await insert_flows(cx, flows_at_lock(all_facts(order), message.at), transfers=subsidies)
            answer = PlaceAnswer(facts=answer_facts(order))
            await order_claims.record_answer(cx, order.order_no, {"facts": answer.facts}, refused=False)
            # last: all orders of a distributor wait for its one row
            await order_credit.use(cx, order.order_no)
            return answer

    @activity.defn
    async def refuse_order(self, message: RefuseOrder) -> PlaceAnswer:
        """`pending` becomes `rejected`, and everything of ours that it held is free again. Idempotency: the status."""
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            if order.status not in (OrderStatus.PENDING, OrderStatus.REJECTED):
                return PlaceAnswer(ahead=True)
            if order.status is OrderStatus.PENDING:
                order.refuse(message.refusal, message.at)
                await save(cx, order, actor=message.actor, at=message.at)
                await bookings.begin_release(cx, order.order_no)
                await order_stock.release(cx, order.order_no, at=message.at)
                await codes.release(cx, order.order_no)
                await release_uses(cx, order, message.at)
                await order_credit.release(cx, order.order_no)
            answer = PlaceAnswer(refusal=message.refusal)
            await order_claims.record_answer(cx, order.order_no, {"refusal": _plain(message.refusal)}, refused=True)
            return answer

    @activity.defn
    async def approve_order(self, message: ApproveOrder) -> None:
        """An operator lets a parked order go on. Idempotency: the flag."""
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            if order.in_review:
                order.approve(message.reason)
                await save(cx, order, actor=message.actor, at=message.at)

    @activity.defn
    async def cancel_order(self, message: CancelOrder) -> bool:
        """Cancel or expire before issuing: credit and stock come back, the receivable is reversed.

        False where the rows are ahead: the order is being issued, or more. Idempotency: the status.
        """
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            return await _cancel(cx, order, message)

    @activity.defn
    async def cancel_unpaid(self, message: CancelOrder) -> Cancellation:
        """The same for an order that its buyer pays: what has only run out is kept while its payment is undecided.

        Idempotency: the status.
        """
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            pay_id = await pay_orders.paying(cx, message.order_no)
            if pay_id is not None and message.expired and order.status is OrderStatus.LOCKED:
                return Cancellation("kept", pay_id)
            done = await _cancel(cx, order, message)
            return Cancellation("canceled" if done else "ahead", pay_id or "")

    @activity.defn
    async def extend_order(self, message: ExtendOrder) -> None:
        """Both clocks and the stock holds run on. Idempotency: the expiry that is asked for."""
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            if order.hold_expires_at == message.expires_at:
                return
            order.extend(message.expires_at)
            await save(cx, order, actor=message.actor, at=message.at)
            await order_stock.extend(cx, order.order_no, message.expires_at)

    @activity.defn
    async def confirm_order(self, message: ConfirmOrder) -> Confirmation:
        """`locked` becomes `issuing`, on account, paid or free: holds become sales, what will be sent is stored.

        Lines whose stock is gone (policy at_payment) fail here and are refunded. Idempotency: the status.
        """
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            if order.status is OrderStatus.LOCKED:
                pay = await pay_orders.usable(cx, message.pay_id, order.order_no) if message.pay_id else None
                if pay is not None:
                    order.pay(message.at)
                elif order.on_account:
                    order.confirm_on_account(message.at)
                elif not order.total_minor:
                    order.pay(message.at)
                else:
                    return Confirmation(unusable=True)
                gone = await order_stock.confirm(cx, order.order_no, at=message.at)
                await _fail_gone(cx, order, gone, message.at)
                await save(cx, order, actor=message.actor, at=message.at)
                await confirm_uses(cx, order, message.at)
                await return_uses(cx, order, message.at)
                if gone:
                    await bookings.begin_release(cx, order.order_no, gone)
                used = await pay_orders.use(cx, pay, order, message.at) if pay else []
                await give_back_all(cx, order, [order.line(line_no) for line_no in gone], message.at, transfers=used)
            elif order.confirmed_at != message.at:
                return Confirmation(ahead=True)
            else:
                gone = [line.line_no for line in order.lines if line.failed]
            intents = [intent_of(intent, state="issuing") for intent in message.intents if intent.line_no not in gone]
            await bookings.intend(cx, order.order_no, intents, at=message.at)
            parts = await order_stock.parts_of(cx, order.order_no) if message.apart else {}
            apart = {line_no: tuple(Part(*part) for part in parts.get(line_no, ())) for line_no in message.apart}
            return Confirmation(tuple(gone), parts=apart)

    @activity.defn
    async def read_money(self, message: ReadMoney) -> MoneyStanding:
        """Where its lines stand, and which refunds have not ended. Reads only."""
        async with self._database.reading() as cx:
            _, lines = await order_reading.read_core(cx, message.order_no)
            asked = await refunds.of_order(cx, message.order_no)
        return MoneyStanding(
            {line["line_no"]: OrderStatus(line["status"]) for line in lines},
            tuple(each["id"] for each in asked if each["state"] == RefundState.REFUNDING),
        )

    @activity.defn
    async def intend_bookings(self, message: IntendBookings) -> None:
        """Store what will be asked of suppliers before it is sent. Idempotency: order, line and attempt."""
        async with self._database.transaction() as cx:
            state = "issuing" if message.issuing else "intended"
            intents = [intent_of(intent, state=state) for intent in message.intents]
            await bookings.intend(cx, message.order_no, intents, at=message.at)


async def _cancel(cx: Connection, order: Order, message: CancelOrder) -> bool:
    """Whether it is canceled now, or was before; False where it is too late for that."""
    if order.status is OrderStatus.CANCELED:
        return True
    if order.status not in (OrderStatus.PENDING, OrderStatus.LOCKED):
        return False
    was_locked = order.status is OrderStatus.LOCKED
    order.cancel(message.at, reason=message.reason, expired=message.expired)
    await save(cx, order, actor=message.actor, at=message.at)
    await bookings.begin_release(cx, order.order_no)
    await order_stock.release(cx, order.order_no, at=message.at)
    await codes.release(cx, order.order_no)
    await release_uses(cx, order, message.at)
    if was_locked:
        subsidies = await end_subsidies(cx, order, order.lines, message.at)
        flows = [flow_at_cancel(facts, message.at) for facts in all_facts(order)]
        await insert_flows(cx, flows, transfers=subsidies)
        if order.on_account:
            await order_credit.give_back(cx, order.distributor_id, order.total_minor)
    else:
        await order_credit.release(cx, order.order_no)
        refusal = Refusal("canceled", "The order was canceled while it waited.")
        await order_claims.record_answer(cx, order.order_no, {"refusal": _plain(refusal)}, refused=True)
    return True


async def _fail_gone(cx: Connection, order: Order, gone: list[int], at: datetime) -> None:
    """Fail these lines, or all where it is all or nothing: the others' stock and codes come back; money follows."""
    if gone and order.all_or_nothing:
        for line_no in {line.line_no for line in order.lines} - set(gone):
            await order_stock.give_back(cx, order.order_no, line_no, at=at)
            await codes.release(cx, order.order_no, line_no)
        gone[:] = [line.line_no for line in order.lines]
    for line_no in gone:
        order.fail_line(line_no, Refusal.of(InsufficientStock({order.line(line_no).sku_id: 0})), at)


def _plain(refusal: Refusal) -> dict[str, object]:
    return {"code": refusal.code, "detail": refusal.detail, "facts": refusal.facts}
