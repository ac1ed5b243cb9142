"""The cashier: takes money and gives it back by a channel's rules, and misbehaves where a fault says so.

It speaks no protocol: a face asks it, and tells its refusals in the words of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from simulators.common.book import Clerk, latest
from simulators.common.faults import Strike
from simulators.common.results import remembered
from simulators.payment.book import Payment, PaymentBook, Plan, Refund
from simulators.payment.channels import ChannelSettings
from simulators.payment.dealings import DECLINED, Act, Asked, BillLine, Notice, Outcome, RefundAsked, Refusal
from simulators.payment.faults import Kind


class Cashier(Clerk[Payment]):
    """All channels' cashiers over one book. `clock` is seconds since 1970. Every method may raise Refusal."""

    book: PaymentBook

    def __init__(self, book: PaymentBook, clock: Callable[[], float] = time.time) -> None:
        super().__init__(book, clock)

    def create(self, channel: ChannelSettings, asked: Asked) -> Payment:
        """Let a payer pay. The reference is the idempotency key."""
        now = self.clock()
        known = latest(self.settled(channel.name, asked.reference, now))
        if known is not None:
            if (known.amount_minor, known.currency) != (asked.amount_minor, asked.currency):
                raise Refusal("reference_conflict", "The reference was used for another amount", asked.reference)
            return known
        if asked.expires_at is not None and asked.expires_at <= now:
            raise Refusal("expired", "It would have ended before it began", asked.reference)
        payment = _payment(channel, asked, now)
        self.write(payment)
        return payment

    def payment(self, channel: ChannelSettings, reference: str) -> Payment:
        """The payment under a merchant's reference, as it is now."""
        payment = latest(self.settled(channel.name, reference, self.clock()))
        if payment is None:
            raise _unknown(reference)
        return payment

    def find(self, channel: ChannelSettings, reference: str, strike: Strike[Kind]) -> Payment:
        """What a query shows; a forgotten payment is as if it had never been."""
        payment = remembered(self, channel, reference, strike)
        if payment is None:
            raise _unknown(reference)
        return payment

    def close(self, channel: ChannelSettings, reference: str) -> Payment:
        """Let nobody pay it any more, unless somebody has: the status says which. A repeat is harmless."""
        payment = self.payment(channel, reference)
        if payment.status == "waiting":
            payment.become("closed", self.clock())
            self.write(payment)
        return payment

    def pay(self, channel: ChannelSettings, reference: str, strike: Strike[Kind], act: Act = Act()) -> Outcome:  # noqa: B008  (frozen)
        """The payer pays. What is under way late arrives although the payment was closed meanwhile."""
        payment, now = self.payment(channel, reference), self.clock()
        if payment.status != "waiting" and not act.anyway:
            raise Refusal(f"already_{payment.status}", f"The payment is {payment.status}", reference)
        amount_minor = payment.amount_minor if act.amount_minor is None else act.amount_minor
        if strike.takes("wrong_amount"):
            amount_minor += 1 if amount_minor == 1 else -1
        under_way = any(plan.due == "pay" for plan in payment.plans)
        if channel.charges_once and (act.times > 1 or payment.charges or under_way):
            raise Refusal("charged_once", "This channel takes a payment's money once", reference)
        doubles = act.times == 1 and not channel.charges_once and strike.takes("double_charge")
        amounts = [amount_minor] * (2 if doubles else act.times)
        if strike.takes("pay_late"):
            at = now + channel.faults.params.pay_late_ms / 1_000
            payment.plan(Plan("pay", at, sorted(strike.kinds), amounts_minor=amounts))
            self.write(payment)
            return Outcome(payment)
        return Outcome(payment, notices=self._charge(channel, payment, amounts, strike, now))

    def fail(self, channel: ChannelSettings, reference: str, code: str = DECLINED) -> Outcome:
        """The payer tries and fails; another attempt may succeed."""
        payment, now = self.payment(channel, reference), self.clock()
        if payment.status != "waiting":
            raise Refusal(f"already_{payment.status}", f"The payment is {payment.status}", reference)
        payment.failure = code
        self.write(payment)
        return Outcome(payment, notices=(Notice(payment_id=payment.id, says="failed", at=now, code=code),))

    def refund(self, channel: ChannelSettings, asked: RefundAsked, strike: Strike[Kind]) -> Outcome:
        """Give money back, once per number. Never more than was charged and not given back."""
        now, known = self.clock(), self.book.with_refund(channel.name, asked.refund_no)
        if known is not None:
            return Outcome(known, _the_same(known, asked))
        payment = self.payment(channel, asked.reference)
        refund = _refund(payment, asked, now)
        payment.refunds.append(refund)
        if strike.takes("refund_pending"):
            refund.status = "pending"
            at = now + channel.faults.params.refund_late_ms / 1_000
            payment.plan(Plan("refund", at, sorted(strike.kinds), refund_no=refund.refund_no))
            self.write(payment)
            return Outcome(payment, refund)
        return Outcome(payment, refund, self._give_back(channel, payment, refund, strike, now))

    def find_refund(self, channel: ChannelSettings, refund_no: str, strike: Strike[Kind]) -> Outcome:
        """What a query shows; a forgotten refund is as if it had never been."""
        now, payment = self.clock(), self.book.with_refund(channel.name, refund_no)
        refund = None if payment is None else payment.refund(refund_no)
        if payment is not None and refund is not None:
            if strike.takes("forget"):
                refund.forgotten_until = channel.faults.params.forgotten_until(now)
                self.write(payment)
            if not refund.is_forgotten(now):
                return Outcome(payment, refund)
        raise Refusal("unknown_refund", "We have no refund under this number", refund_no)

    def carry_out(self, channel: ChannelSettings, payment_id: str, due_at: float) -> Outcome | None:
        """Do what is due by itself. None where nothing is: it was done before, or erased."""
        payment, now = self.book.with_id(payment_id), max(self.clock(), due_at)
        if payment is None:
            return None
        notices: tuple[Notice, ...] = ()
        plans = len(payment.plans)
        while (plan := payment.take_due(now)) is not None:
            strike: Strike[Kind] = Strike(self.book, channel.name, plan.due, frozenset(plan.kinds))
            refund = payment.refund(plan.refund_no)
            if refund is not None:
                notices += self._give_back(channel, payment, refund, strike, plan.at)
            else:
                notices += self._charge(channel, payment, plan.amounts_minor, strike, plan.at)
        return Outcome(payment, notices=notices) if len(payment.plans) < plans else None

    def bill(self, channel: ChannelSettings, day: date) -> Iterator[BillLine]:
        """What was charged and given back on a day of the channel's time zone, payment by payment."""
        zone = ZoneInfo(channel.time_zone)
        for payment in self.book.everything(channel.name):
            for charge in payment.charges:
                if _day(charge.paid_at, zone) == day:
                    fee = (charge.amount_minor * channel.fee_bp + 5_000) // 10_000
                    yield BillLine(
                        "payment", payment.reference, charge.id, charge.amount_minor, fee, payment.currency,
                        charge.paid_at,
                    )  # fmt: skip
            for refund in payment.refunds:
                if refund.done_at is not None and _day(refund.done_at, zone) == day:
                    yield BillLine(
                        "refund", refund.refund_no, refund.id, -refund.amount_minor, 0, payment.currency, refund.done_at
                    )

    def _charge(
        self, channel: ChannelSettings, payment: Payment, amounts: list[int], strike: Strike[Kind], now: float
    ) -> tuple[Notice, ...]:
        """Take the money, and say what is called back."""
        charges = [payment.charge(amount_minor, now) for amount_minor in amounts]
        self.write(payment)
        notices = _told_paid(channel, payment, [charge.id for charge in charges], strike, now)
        if strike.takes("unknown_reference"):
            stray = _payment(channel, replace(_as_asked(payment), reference=f"stray-{uuid4().hex}"), now)
            charge = stray.charge(payment.amount_minor, now)
            self.write(stray)
            notices += (Notice(payment_id=stray.id, says="paid", at=now, charge_id=charge.id),)
        return notices

    def _give_back(
        self, channel: ChannelSettings, payment: Payment, refund: Refund, strike: Strike[Kind], now: float
    ) -> tuple[Notice, ...]:
        """Give the money back, or refuse it for good, and say what is called back."""
        if strike.takes("refund_refused"):
            refund.status, refund.refusal = "refused", "account_closed"
        else:
            refund.status, refund.done_at = "done", now
        self.write(payment)
        notice = Notice(
            payment_id=payment.id, says="refused" if refund.status == "refused" else "done", at=now,
            charge_id=refund.charge_id, refund_no=refund.refund_no, code=refund.refusal or "",
        )  # fmt: skip
        is_told = channel.target(refund.notify_url) is not None
        return (notice, notice) if is_told and strike.takes("refund_callback_twice") else (notice,)


def _told_paid(
    channel: ChannelSettings, payment: Payment, charge_ids: list[str], strike: Strike[Kind], now: float
) -> tuple[Notice, ...]:
    """The callbacks of what was just paid, one per charge, and the contradictions that follow."""
    if channel.target(payment.notify_url) is None or strike.takes("callback_lost"):
        return ()
    params = channel.faults.params
    delay_ms = params.callback_late_ms if strike.takes("callback_late") else 0
    notices = [
        Notice(payment_id=payment.id, says="paid", at=now, charge_id=each, delay_ms=delay_ms) for each in charge_ids
    ]
    if strike.takes("callback_twice"):
        notices.append(notices[-1])
    failed = Notice(payment_id=payment.id, says="failed", at=now, code=DECLINED)
    if strike.takes("callback_reordered"):
        notices.append(replace(failed, at=now - 1, delay_ms=delay_ms + params.reorder_ms))
    if strike.takes("callback_contradict"):
        later_ms = delay_ms + params.contradict_ms
        notices.append(replace(failed, id=f"evt_{uuid4().hex}", at=now + 1, delay_ms=later_ms))
    return tuple(notices)


def _payment(channel: ChannelSettings, asked: Asked, now: float) -> Payment:
    return Payment(
        id=f"pay_{uuid4().hex}", supplier=channel.name, reference=asked.reference, order_no=None, created_at=now,
        status="waiting", amount_minor=asked.amount_minor, currency=asked.currency, subject=asked.subject,
        notify_url=asked.notify_url, return_url=asked.return_url, expires_at=asked.expires_at,
    )  # fmt: skip


def _as_asked(payment: Payment) -> Asked:
    return Asked(
        payment.reference, payment.amount_minor, payment.currency, payment.subject, payment.notify_url,
        payment.return_url,
    )  # fmt: skip


def _refund(payment: Payment, asked: RefundAsked, now: float) -> Refund:
    """The refund, where a charge has enough left for it."""
    if asked.currency != payment.currency:
        raise Refusal("currency_differs", f"It was paid in {payment.currency}", asked.refund_no)
    charges = [each for each in payment.charges if asked.charge_id in (None, each.id)]
    if not charges:
        raise Refusal("unknown_charge", "Nothing was charged by that", asked.refund_no)
    charge = next((each for each in charges if payment.refundable_minor(each) >= asked.amount_minor), None)
    if charge is None:
        raise Refusal("exceeds_charge", "It is more than what is left of the charge", asked.refund_no)
    return Refund(
        f"ref_{uuid4().hex}", asked.refund_no, charge.id, asked.amount_minor, asked.reason,
        asked.notify_url or payment.notify_url, now,
    )  # fmt: skip


def _the_same(payment: Payment, asked: RefundAsked) -> Refund:
    """The refund that is known under the number, where it is the one that is asked for again."""
    refund = payment.refund(asked.refund_no)
    if (
        refund is None
        or (payment.reference, refund.amount_minor) != (asked.reference, asked.amount_minor)
        or asked.charge_id not in (None, refund.charge_id)
    ):
        raise Refusal("refund_conflict", "The number was used for another refund", asked.refund_no)
    return refund


def _unknown(reference: str) -> Refusal:
    return Refusal("unknown_reference", "We have no payment under this reference", reference)


def _day(at: float, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at, zone).date()
