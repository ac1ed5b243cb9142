"""Pay orders in our own database: opened, awaited, their money judged, used or given back. One transaction each.

All may run twice: the pay order's status, its parts' states and the charges' own names say whether the effect is there.
Orders are locked before their pay order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity

from activities.payment_messages import (
    AwaitPayer,
    BookCharges,
    Booked,
    ChargeDecision,
    EndUnpaid,
    NoteContradiction,
    OpenMoneyCase,
    OpenPayment,
    PaymentOpened,
    RestPayment,
    Returned,
    ReturnPart,
    Revived,
    ReviveOrder,
)
from activities.payment_plans import plan_of, planned_parts
from domain.balances import redeemed_transfers, use_in_turn
from domain.channels import Charge
from domain.errors import DomainError, Refusal
from domain.ledger import Transfer
from domain.money import Money
from domain.order import Order
from domain.orders import OrderStatus, PaymentStatus
from domain.pay_order import PartState, PayOrder, Verdict, fee_of, received, settled_by_hand
from domain.payments import LatePayment, OrdersNotPayable, Pays, PayStatus, may_revive
from storage import (
    balances,
    charges,
    order_claims,
    order_exceptions,
    order_writing,
    pay_orders,
    payment_channels,
    refunds,
)
from storage.database import Connection, Database
from storage.ids import LeasedIds
from storage.settlement import insert_flows


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
                return PaymentOpened(plan=await plan_of(cx, pay))
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
            return PaymentOpened(plan=await plan_of(cx, pay))

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
            pay = await _required(cx, message.pay_id)
            pay.await_payer(message.at, message.channel_reference)
            await pay_orders.save(cx, pay, message.at)

    @activity.defn
    async def book_charges(self, message: BookCharges) -> Booked:
        """Money that a channel took, by reply, callback or query: each charge once, by the channel's name for it.

        The first right one is the payment, whatever the pay order's status was: *paid* wins. Another one is too much
        and goes back; a wrong amount, or a pay order that is not ours, waits for a person.
        """
        async with self._database.transaction() as cx:
            pay = await pay_orders.load(cx, message.pay_id)
            booking = _Booking(cx, message, pay)
            for charge in message.charges:
                if not await charges.known(cx, message.channel_id, charge.payment_id):
                    await booking.book(charge)
            await insert_flows(cx, transfers=booking.transfers)
            if pay is None:
                return Booked(PayStatus.CLOSED)
            return _booked(pay, booking.refunds)

    @activity.defn
    async def use_balances(self, message: OpenPayment) -> Booked:
        """Nothing is to be paid in cash: what was held of coins and vouchers pays. Idempotency: the status."""
        async with self._database.transaction() as cx:
            pay = await _required(cx, message.pay_id)
            if pay.undecided:
                taken = await _accept(cx, pay, message.at, message.at)
                assert taken is not None, "what was held is there"
                await insert_flows(cx, transfers=taken)
            return _booked(pay)

    @activity.defn
    async def end_unpaid(self, message: EndUnpaid) -> Booked:
        """No money came: what was held comes back, its orders wait no longer. Idempotency: the status."""
        async with self._database.transaction() as cx:
            pay = await _required(cx, message.pay_id)
            if pay.undecided:
                pay.end(PayStatus(message.status), message.at, message.reason)
                await pay_orders.save(cx, pay, message.at)
                await balances.give_back_holds(cx, pay.id)
            return _booked(pay)

    @activity.defn
    async def note_contradiction(self, message: NoteContradiction) -> None:
        """A channel said *paid*, and now otherwise: a person has to look. Nothing is reversed. Once per callback."""
        async with self._database.transaction() as cx:
            await order_exceptions.open_exception(
                cx,
                exception_id=case_id("contradiction", f"{message.pay_id}-{message.event_id}"),
                kind="payment_contradiction",
                pay_id=message.pay_id,
                evidence={"told": message.told, "event_id": message.event_id},
                at=message.at,
            )

    @activity.defn
    async def revive_order(self, message: ReviveOrder) -> Revived:
        """Put an order in the place of one that is gone, if its products allow that: claimed, not yet placed.

        It asks for the same at the same prices, so whatever has changed refuses it. Idempotency: the part's successor.
        """
        async with self._database.transaction() as cx:
            order = await order_writing.load_order(cx, message.order_no)
            pay = await _required(cx, message.pay_id)
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
            pay = await _required(cx, message.pay_id)
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
    async def rest_payment(self, message: RestPayment) -> None:
        """Nothing is outstanding; where money has come at this very moment, something is. Idempotency: the flag."""
        async with self._database.transaction() as cx:
            pay = await _required(cx, message.pay_id)
            if not pay.at_rest and not pay.outstanding:
                pay.at_rest = True
                await pay_orders.save(cx, pay, message.at)

    @activity.defn
    async def decide_charge(self, message: ChargeDecision) -> Returned:
        """A person's word on money that no machine may use: it goes back, or was dealt with otherwise. Closes the case.

        Idempotency: the case's state. Of two who decide at once the first one's word counts: money goes back one way.
        """
        decision = message.decision
        async with self._database.transaction() as cx:
            case = await order_exceptions.read_exception(cx, decision.case_id)
            assert case is not None, "the case was there when it was decided"
            told = case["evidence"]
            refund_id = charge_refund_id(told["channel_id"], told["payment_id"])
            first = await order_exceptions.resolve(
                cx, decision.case_id, by=decision.actor, at=message.at,
                resolution={"decision": decision.decision, "reason": decision.reason, "evidence": decision.evidence},
            )  # fmt: skip
            if not first:
                return Returned(refund_id if await refunds.read(cx, refund_id) is not None else None)
            if decision.decision == "refund":
                await refunds.request_of_charge(
                    cx, refund_id, channel_id=told["channel_id"], payment_id=told["payment_id"],
                    pay_id=case["pay_id"], amount_minor=told["amount_minor"], currency=told["currency"],
                    reason=decision.reason, actor=decision.actor, at=message.at,
                )  # fmt: skip
            else:
                await _settle_by_hand(cx, message, case)
            return Returned(refund_id if decision.decision == "refund" else None)

    @activity.defn
    async def open_money_case(self, message: OpenMoneyCase) -> None:
        """Put a case about money into the operators' queue. Idempotency: its id."""
        async with self._database.transaction() as cx:
            await order_exceptions.open_exception(
                cx,
                exception_id=message.exception_id,
                kind=message.kind,
                order_no=message.order_no,
                pay_id=message.pay_id,
                refund_id=message.refund_id,
                evidence=message.evidence,
                at=message.at,
            )


async def _settle_by_hand(cx: Connection, message: ChargeDecision, case: dict[str, Any]) -> None:
    """Somebody was paid back, or otherwise satisfied, outside the channel. Idempotency: the transfer's key."""
    told = case["evidence"]
    channel_id, payment_id = told["channel_id"], told["payment_id"]
    pay = await pay_orders.load(cx, case["pay_id"]) if case["pay_id"] else None
    await charges.settle_otherwise(cx, channel_id, payment_id)
    if (await payment_channels.get_channel(cx, channel_id)).currency == told["currency"]:
        buyer_id = pay.buyer_id if pay else None
        booked = settled_by_hand(channel_id, payment_id, buyer_id, told["amount_minor"], told["currency"], message.at)
        await insert_flows(cx, transfers=[booked])


NO_CHANNEL_S = 60
"""How long a pay order without cash may be open, in seconds: it is decided at once."""


PLAIN_MAX = 64
"""So long may be what a case's id says of its subject."""


def case_id(kind: str, subject: str) -> str:
    """A case's id, from what it is about. Channels' ids may have any length and characters: what an id of ours can't
    show of them a digest stands for, so that no two share a case."""
    plain = re.sub(r"[^0-9A-Za-z_\-]", "_", subject)[:PLAIN_MAX]
    if plain != subject:
        plain = f"{plain[: PLAIN_MAX - 25]}-{hashlib.sha256(subject.encode()).hexdigest()[:24]}"
    return f"xcp-{kind}-{plain}"


def part_refund_id(pay_id: str, order_no: int) -> str:
    """The refund of an order's whole share, once."""
    return f"rfd-{pay_id.removeprefix('pay-')}-{order_no:019d}"


def charge_refund_id(channel_id: str, payment_id: str) -> str:
    """The refund of a whole charge, once. Channels' ids may have any length and characters; a refund's number is also
    theirs to keep, and 64 characters are as many as all of them take."""
    return f"rfd-charge-{hashlib.sha256(f'{channel_id}/{payment_id}'.encode()).hexdigest()[:32]}"


async def _required(cx: Connection, pay_id: str) -> PayOrder:
    pay = await pay_orders.load(cx, pay_id)
    assert pay is not None, f"{pay_id} was opened"
    return pay


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


class ChargeTakenMeanwhile(Exception):
    """The same charge was told under another reference at this very moment: judged again, it is known."""


class _Booking:
    """Charges that were not known, judged one after another; what follows from them is booked together at the end."""

    def __init__(self, cx: Connection, message: BookCharges, pay: PayOrder | None) -> None:
        self._cx = cx
        self._message = message
        self._pay = pay
        self.transfers: list[Transfer] = []
        self.refunds: list[str] = []

    async def book(self, charge: Charge) -> None:
        """One charge: written down with its verdict, then accepted, on its way back, or with a person."""
        cx, message, pay = self._cx, self._message, self._pay
        twice = pay is not None and pay.paid
        verdict = await self._judge(charge)
        ours = pay is not None and verdict is not Verdict.UNKNOWN
        owner = message.pay_id if ours else None
        new = await charges.insert(
            cx, message.channel_id, charge, pay_id=owner, reference=message.pay_id, verdict=verdict, at=message.at
        )
        if not new:
            raise ChargeTakenMeanwhile(charge.payment_id)
        if verdict is Verdict.SURPLUS:
            await self._give_back(charge, "paid_twice" if twice else "parts_gone")
        elif verdict is not Verdict.ACCEPTED:
            await self._tell_a_person(charge, verdict)
        row = await payment_channels.get_channel(cx, message.channel_id)
        if charge.currency == row.currency:  # an account has one currency; other money waits for its person unbooked
            fee = fee_of(row.id, charge, payment_channels.terms_of(row).fee_minor(charge.amount_minor))
            buyer_id = pay.buyer_id if pay is not None and ours else None
            self.transfers += [received(row.id, charge, buyer_id), *([fee] if fee else [])]

    async def _judge(self, charge: Charge) -> Verdict:
        if self._pay is None or self._pay.channel_id != self._message.channel_id:
            return Verdict.UNKNOWN  # also where one channel speaks of another's
        verdict = self._pay.judge(charge)
        if verdict is not Verdict.ACCEPTED:
            return verdict
        taken = await _accept(self._cx, self._pay, charge.paid_at, self._message.at)
        if taken is None:
            return Verdict.SURPLUS  # its coins or vouchers are spent by now: the cash alone buys nothing
        self.transfers += taken
        return verdict

    async def _give_back(self, charge: Charge, reason: str) -> None:
        message = self._message
        refund_id = charge_refund_id(message.channel_id, charge.payment_id)
        await refunds.request_of_charge(
            self._cx, refund_id, channel_id=message.channel_id, payment_id=charge.payment_id, pay_id=message.pay_id,
            amount_minor=charge.amount_minor, currency=charge.currency, reason=reason, actor="system", at=message.at,
        )  # fmt: skip
        self.refunds.append(refund_id)

    async def _tell_a_person(self, charge: Charge, verdict: Verdict) -> None:
        message = self._message
        await order_exceptions.open_exception(
            self._cx,
            exception_id=case_id("charge", f"{message.channel_id}-{charge.payment_id}"),
            kind="payment_wrong_amount" if verdict is Verdict.WRONG_AMOUNT else "payment_unknown",
            pay_id=self._pay.id if self._pay is not None else None,
            evidence={
                "channel_id": message.channel_id,
                "payment_id": charge.payment_id,
                "reference": message.pay_id,
                "amount_minor": charge.amount_minor,
                "currency": charge.currency,
                "paid_at": charge.paid_at.isoformat(),
            },
            at=message.at,
        )


async def _accept(cx: Connection, pay: PayOrder, paid_at: datetime, at: datetime) -> list[Transfer] | None:
    """Its money is there. Coins and vouchers are taken with it, with these transfers; None: they are gone by now."""
    transfers: list[Transfer] = []
    if pay.owed.coins_minor or pay.owed.voucher_minor:
        if not await balances.redeem(cx, pay.id, at=at):
            return None
        transfers = redeemed_transfers(pay.id, await balances.holds_of(cx, pay.id), at)
    pay.accept(paid_at)
    for part in pay.parts:
        if part.state is PartState.RELEASED and not await pay_orders.is_open_elsewhere(cx, part.order_no, pay.id):
            part.state, part.reason = PartState.OPEN, ""
    await pay_orders.save(cx, pay, at)
    return transfers


def _booked(pay: PayOrder, refund_ids: Sequence[str] = ()) -> Booked:
    return Booked(pay.status, planned_parts(pay), tuple(refund_ids), pay.paid_at)
