"""Money that channels took: judged once, then accepted, on its way back, or with a person. One transaction each.

All may run twice: a charge is known by its channel's own name for it, a case and a refund by their ids.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any

from temporalio import activity

from activities.payment_messages import (
    BookCharges,
    Booked,
    ChargeDecision,
    NoteContradiction,
    OpenMoneyCase,
    OpenPayment,
    Returned,
)
from activities.payment_plans import booked_of, required
from domain.balances import redeemed_transfers
from domain.channels import Charge
from domain.ledger import Transfer
from domain.pay_order import PartState, PayOrder, Verdict, fee_of, received, settled_by_hand
from domain.payments import PayStatus
from storage import balances, charges, order_exceptions, pay_orders, payment_channels, refunds
from storage.database import Connection, Database
from storage.settlement import insert_flows


class ChargeActivities:
    """What is booked of money that came, and what people decide about it."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
            return booked_of(pay, await _on_their_way_back(cx, message))

    @activity.defn
    async def use_balances(self, message: OpenPayment) -> Booked:
        """Nothing is to be paid in cash: what was held of coins and vouchers pays. Idempotency: the status."""
        async with self._database.transaction() as cx:
            pay = await required(cx, message.pay_id)
            if pay.undecided:
                taken = await _accept(cx, pay, message.at, message.at)
                assert taken is not None, "what was held is there"
                await insert_flows(cx, transfers=taken)
            return booked_of(pay)

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


async def _on_their_way_back(cx: Connection, message: BookCharges) -> list[str]:
    """Refunds of these charges that are not finished, also those that a run of this step asked for whose end nobody
    heard of: their process is still to be started."""
    told = {charge_refund_id(message.channel_id, charge.payment_id) for charge in message.charges}
    return [each for each in await refunds.open_of_payment(cx, message.pay_id) if each in told]


PLAIN_MAX = 64
"""So long may be what a case's id says of its subject."""


def case_id(kind: str, subject: str) -> str:
    """A case's id, from what it is about. Channels' ids may have any length and characters: what an id of ours can't
    show of them a digest stands for, so that no two share a case."""
    plain = re.sub(r"[^0-9A-Za-z_\-]", "_", subject)[:PLAIN_MAX]
    if plain != subject:
        plain = f"{plain[: PLAIN_MAX - 25]}-{hashlib.sha256(subject.encode()).hexdigest()[:24]}"
    return f"xcp-{kind}-{plain}"


def charge_refund_id(channel_id: str, payment_id: str) -> str:
    """The refund of a whole charge, once. Channels' ids may have any length and characters; a refund's number is also
    theirs to keep, and 64 characters are as many as all of them take."""
    return f"rfd-charge-{hashlib.sha256(f'{channel_id}/{payment_id}'.encode()).hexdigest()[:32]}"


class ChargeTakenMeanwhile(Exception):
    """The same charge was told under another reference at this very moment: judged again, it is known."""


class _Booking:
    """Charges that were not known, judged one after another; what follows from them is booked together at the end."""

    def __init__(self, cx: Connection, message: BookCharges, pay: PayOrder | None) -> None:
        self._cx = cx
        self._message = message
        self._pay = pay
        self.transfers: list[Transfer] = []

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
        channel_id = message.channel_id
        channel = await payment_channels.get_channel(cx, channel_id)
        if charge.currency == channel.currency:  # an account has one currency; other money waits unbooked
            fee = fee_of(channel_id, charge, await self._fee_minor(charge))
            buyer_id = pay.buyer_id if pay is not None and ours else None
            self.transfers += [received(channel_id, charge, buyer_id), *([fee] if fee else [])]

    async def _fee_minor(self, charge: Charge) -> int:
        """What the channel keeps of it by its contract."""
        channel = await payment_channels.get_channel(self._cx, self._message.channel_id)
        return payment_channels.terms_of(channel).fee_minor(charge.amount_minor)

    async def _judge(self, charge: Charge) -> Verdict:
        if self._pay is None or self._pay.channel_id != self._message.channel_id:
            return Verdict.UNKNOWN  # also where one channel speaks of another's
        verdict = self._pay.judge(charge)
        if verdict is not Verdict.ACCEPTED:
            return verdict
        self._pay.fee_minor = await self._fee_minor(charge)
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

    async def _tell_a_person(self, charge: Charge, verdict: Verdict) -> None:
        message = self._message
        await order_exceptions.open_exception(
            self._cx,
            exception_id=case_id("charge", f"{message.channel_id}-{charge.payment_id}"),
            kind="payment_wrong_amount" if verdict is Verdict.WRONG_AMOUNT else "payment_unknown",
            pay_id=None if verdict is Verdict.UNKNOWN else message.pay_id,
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
