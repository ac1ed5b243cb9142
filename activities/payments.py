"""Pay orders in our own database: opened, awaited, ended; what their money buys, or not. One transaction each.

All may run twice: the pay order's status and its parts' states say whether the effect is there. Orders are locked
before their pay order. What money that comes is worth: activities/charges.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import activity

from activities.payment_messages import (
    AwaitPayer,
    Booked,
    EndUnpaid,
    OpenPayment,
    PaymentOpened,
    RestPayment,
    Returned,
    ReturnPart,
    Revived,
    ReviveOrder,
)
from activities.payment_plans import booked_of, plan_of, required
from domain.balances import use_in_turn
from domain.errors import DomainError, Refusal
from domain.money import Money
from domain.order import Order
from domain.orders import OrderStatus, PaymentStatus
from domain.pay_order import PartState, PayOrder
from domain.payments import LatePayment, OrdersNotPayable, Pays, PayStatus, may_revive
from storage import (
    balances,
    order_claims,
    order_writing,
    pay_orders,
    payment_channels,
    refunds,
)
from storage.database import Connection, Database
from storage.ids import LeasedIds


class PaymentActivities:
    """`ids`: numbers for orders that take another's place."""

    def __init__(self, database: Database, ids: LeasedIds) -> None:
        self._database = database
        self._ids = ids

    @activity.defn
    async def open_payment(self, message: OpenPayment) -> PaymentOpened:
        """Check that its orders can be paid, and hold coins and vouchers; or refuse it with nothing held.

        Idempotency: `expires_at`, which an opened pay order has. One that is further is read as it stands.
        """
        async with self._database.transaction() as cx:
            orders = [
                order
                for order_no in await pay_orders.orders_of(cx, message.pay_id)
                if (order := await order_writing.load_order(cx, order_no)) is not None
            ]
            pay = await pay_orders.load(cx, message.pay_id)
            if pay is None:
                return PaymentOpened()
            if pay.status is not PayStatus.CREATED or pay.expires_at is not None:
                return PaymentOpened(plan=await plan_of(cx, pay, again=True))
            try:
                _judge_orders(pay, orders, message.at)
                limit_s = await self._judge_channel(cx, pay)
                await _hold_balances(cx, pay, message.at)
            except DomainError as error:
                pay.end(PayStatus.FAILED, message.at, error.code)
                pay.at_rest = True
                await pay_orders.save(cx, pay, message.at)
                return PaymentOpened(refusal=Refusal.of(error))
            holds = [order.hold_expires_at for order in orders if order.hold_expires_at is not None]
            pay.expires_at = min(message.at + timedelta(seconds=limit_s), *holds)
            await pay_orders.save(cx, pay, message.at)
            return PaymentOpened(plan=await plan_of(cx, pay, again=False))

    async def _judge_channel(self, cx: Connection, pay: PayOrder) -> int:
        """How long it may take to be paid, in seconds. Raises MethodNotAllowed."""
        if pay.channel_id is None:
            return NO_CHANNEL_S
        row = await payment_channels.get_channel(cx, pay.channel_id)
        cash = Money(pay.owed.cash_minor, pay.currency)
        payment_channels.terms_of(row).judge(cash, await pay_orders.kinds_of(cx, pay.id))
        return row.pay_s

    @activity.defn
    async def await_payer(self, message: AwaitPayer) -> None:
        """The channel has it: `created` becomes `pending`. Idempotency: the status."""
        async with self._database.transaction() as cx:
            pay = await required(cx, message.pay_id)
            pay.await_payer(message.at, message.channel_reference)
            await pay_orders.save(cx, pay, message.at)

    @activity.defn
    async def end_unpaid(self, message: EndUnpaid) -> Booked:
        """No money came: what was held comes back, its orders wait no longer. Idempotency: the status."""
        async with self._database.transaction() as cx:
            pay = await required(cx, message.pay_id)
            if pay.undecided:
                pay.end(PayStatus(message.status), message.at, message.reason)
                await pay_orders.save(cx, pay, message.at)
                await balances.give_back_holds(cx, pay.id)
            return booked_of(pay)

    @activity.defn
    async def revive_order(self, message: ReviveOrder) -> Revived:
        """Put an order in the place of one that is gone, if its products allow that: claimed, not yet placed.

        It asks for the same at the same prices, so whatever has changed refuses it. Idempotency: the part's successor.
        """
        async with self._database.transaction() as cx:
            order = await order_writing.load_order(cx, message.order_no)
            pay = await required(cx, message.pay_id)
            part = pay.part_of(message.order_no)
            if part.successor_no is not None:
                return Revived(part.successor_no)
            assert order is not None
            rules = [LatePayment(rule) for rule in await pay_orders.late_payment_rules(cx, message.order_no)]
            if message.why not in ("expired", "canceled") or not may_revive(rules, expired=message.why == "expired"):
                return Revived()
            successor_no = self._ids.next(pay.buyer_id)
            await order_claims.claim_successor(
                cx, message.order_no, successor_no, total_minor=order.total_minor, at=message.at
            )
            part.successor_no = successor_no
            await pay_orders.save(cx, pay, message.at)
            return Revived(successor_no)

    @activity.defn
    async def return_part(self, message: ReturnPart) -> Returned:
        """The money of a part buys nothing: all of it goes back. Idempotency: the part's state."""
        async with self._database.transaction() as cx:
            pay = await required(cx, message.pay_id)
            part = pay.part_of(message.order_no)
            refund_id = part_refund_id(pay.id, part.order_no)
            if part.state in (PartState.OPEN, PartState.RELEASED):
                part.state, part.reason = PartState.RETURNED, message.reason
                await pay_orders.save(cx, pay, message.at)
                await refunds.request(
                    cx, refund_id, refunds.Share.whole(pay.id, part), part.share.total_minor,
                    order_no=part.order_no, line_no=None, currency=pay.currency, reason=message.reason, actor="system",
                    at=message.at,
                )  # fmt: skip
            return Returned(refund_id if part.state is PartState.RETURNED else None)

    @activity.defn
    async def note_look(self, message: RestPayment) -> None:
        """Its channel has said clearly, and for the last time, what it has of it. Idempotency: it says when."""
        async with self._database.transaction() as cx:
            await pay_orders.note_look(cx, message.pay_id, message.at)

    @activity.defn
    async def rest_payment(self, message: RestPayment) -> None:
        """Nothing is outstanding; where money has come at this very moment, something is. Idempotency: the flag."""
        async with self._database.transaction() as cx:
            pay = await required(cx, message.pay_id)
            if not pay.at_rest and not pay.outstanding:
                pay.at_rest = True
                await pay_orders.save(cx, pay, message.at)


NO_CHANNEL_S = 60
"""How long a pay order without cash may be open, in seconds: it is decided at once."""


def part_refund_id(pay_id: str, order_no: int) -> str:
    """The refund of an order's whole share, once."""
    return f"rfd-{pay_id.removeprefix('pay-')}-{order_no:019d}"


def _judge_orders(pay: PayOrder, orders: list[Order], at: datetime) -> None:
    """Every order locked, unpaid, the buyer's to pay, and at the price that was seen. Raises OrdersNotPayable."""
    found = {order.order_no: order for order in orders}
    unfit: dict[int, str] = {}
    for part in pay.parts:
        order = found.get(part.order_no)
        if order is None:
            unfit[part.order_no] = "missing"
        elif order.status is not OrderStatus.LOCKED or order.payment_status is not PaymentStatus.UNPAID:
            unfit[part.order_no] = str(order.status)
        elif order.pays is not Pays.BY_CHANNEL or order.hold_expires_at is None:
            unfit[part.order_no] = str(order.pays)
        elif order.hold_expires_at <= at:
            unfit[part.order_no] = "expired"
        elif order.total_minor != part.share.total_minor:
            unfit[part.order_no] = "price_changed"
    if unfit:
        raise OrdersNotPayable(unfit)


async def _hold_balances(cx: Connection, pay: PayOrder, at: datetime) -> None:
    if pay.owed.coins_minor or pay.owed.voucher_minor:
        vouchers = await balances.read_vouchers(cx, pay.voucher_ids, buyer_id=pay.buyer_id, at=at)
        await balances.hold(
            cx, pay.id, buyer_id=pay.buyer_id, currency=pay.currency, coins_minor=pay.owed.coins_minor,
            vouchers=use_in_turn(vouchers, pay.owed.voucher_minor), at=at,
        )  # fmt: skip
