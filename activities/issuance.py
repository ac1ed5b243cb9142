"""What is recorded of issuing: issued, failed, tried elsewhere, escalated, taken back, lost. One transaction each."""

from __future__ import annotations

from temporalio import activity

from activities.issuance_messages import (
    KeepLine,
    NoteNegotiation,
    OpenException,
    RecordBooking,
    RecordFailure,
    RecordIssue,
    RecordLoss,
    ResolveException,
    TakeBackLine,
    TryElsewhere,
)
from activities.order_discounts import return_uses
from activities.order_money import asked_before, give_back, left_to_ask_for
from activities.order_writes import facts_of, intent_of, order_under_lock, save
from activities.unit_writes import note_what_was_used, record_credentials, void_line, void_what_is_taken_back
from domain.categories import CATEGORIES
from domain.orders import OrderStatus
from domain.settlement import flow_at_issue, flow_at_loss, flow_at_supplier_refund, loss_of
from storage import bookings, codes, order_exceptions, order_stock, units
from storage.database import Database
from storage.settlement import insert_flows


class IssuanceActivities:
    """Each may run twice: the line's status, or the booking's, says whether the effect is there already."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def record_issue(self, message: RecordIssue) -> None:
        """The line is issued: its tickets (kept with the supplier's answer), the payable and the events are written.

        Idempotency: the line's status.
        """
        booking = message.booking
        async with order_under_lock(self._database, booking.order_no) as (cx, order):
            line = order.line(booking.line_no)
            if line.status is not OrderStatus.ISSUING:
                return
            await record_credentials(cx, line, (booking, *message.others), at=message.at)
            order.issue_line(
                booking.line_no,
                message.at,
                supplier_id=booking.supplier_id,
                cost_minor=message.cost_minor,
                carried=CATEGORIES.of(line.kind).carried,
            )
            await save(cx, order, actor=message.actor, at=message.at)
            await void_what_is_taken_back(cx, order, at=message.at)
            flow = flow_at_issue(facts_of(order, line), booking.supplier_id, message.cost_minor, message.at)
            await insert_flows(cx, payables=[flow])

    @activity.defn
    async def record_failure(self, message: RecordFailure) -> str | None:
        """The line is certain not to be issued: stock comes back, and its money, on account at once.

        The refund's id where a channel gives the money back. Idempotency: the line's status.
        """
        async with order_under_lock(self._database, message.order_no) as (cx, order):
            line = order.line(message.line_no)
            booking = message.booking
            if booking is not None:
                await bookings.mark(
                    cx, booking.order_no, booking.line_no, booking.attempt, message.booking_state, at=message.at
                )
            for state, others in (("rejected", message.rejected), ("releasing", message.releasing)):
                for each in others:
                    await bookings.mark(cx, each.order_no, each.line_no, each.attempt, state, at=message.at)
            if line.status is not OrderStatus.ISSUING:
                return await asked_before(cx, order, message.line_no)
            order.fail_line(message.line_no, message.failure, message.at)
            await save(cx, order, actor=message.actor, at=message.at)
            await void_what_is_taken_back(cx, order, at=message.at)
            await units.void(cx, order.order_no, message.line_no, at=message.at, reason=message.failure.code)
            await order_stock.give_back(cx, order.order_no, message.line_no, at=message.at)
            await codes.release(cx, order.order_no, message.line_no)
            await return_uses(cx, order, message.at)
            return await give_back(
                cx, order, line, line.total_minor, message.at, reason=message.failure.code, actor=message.actor
            )

    @activity.defn
    async def try_elsewhere(self, message: TryElsewhere) -> None:
        """This attempt was rejected; the next supplier's is stored before it is sent. Idempotency: the attempt."""
        booking, after = message.booking, message.next
        async with self._database.transaction() as cx:
            await bookings.mark(
                cx,
                booking.order_no,
                booking.line_no,
                booking.attempt,
                "rejected",
                at=message.at,
                answer={"code": message.code},
            )
            await bookings.intend(cx, booking.order_no, [intent_of(after, state="issuing")], at=message.at)

    @activity.defn
    async def record_booking(self, message: RecordBooking) -> None:
        """What is known of an attempt now: held, releasing, released, lost. Idempotency: the booking's state."""
        booking = message.booking
        async with self._database.transaction() as cx:
            await bookings.mark(
                cx,
                booking.order_no,
                booking.line_no,
                booking.attempt,
                message.state,
                at=message.at,
                supplier_reference=message.supplier_reference,
                expires_at=message.expires_at,
            )

    @activity.defn
    async def note_negotiation(self, message: NoteNegotiation) -> None:
        """Show that the line is negotiated, since when, how often asked, and whether it waits for a person."""
        booking = message.booking
        async with self._database.transaction() as cx:
            await bookings.note_negotiation(
                cx,
                booking.order_no,
                booking.line_no,
                booking.attempt,
                asked=message.asked,
                at=message.at,
                escalated=message.escalated,
            )

    @activity.defn
    async def take_back_line(self, message: TakeBackLine) -> str | None:
        """An issued line is cancelled at its supplier: tickets void, money back on both sides.

        The refund's id where a channel gives the money back. Idempotency: the line's status, and that refund.
        """
        booking = message.booking
        async with order_under_lock(self._database, booking.order_no) as (cx, order):
            line = order.line(booking.line_no)
            for each in (booking, *message.others):
                await bookings.mark(cx, each.order_no, each.line_no, each.attempt, "releasing", at=message.at)
                await bookings.mark(cx, each.order_no, each.line_no, each.attempt, "released", at=message.at)
            if line.status not in (OrderStatus.ISSUED, OrderStatus.REFUNDING):
                return await asked_before(cx, order, booking.line_no)
            left_minor = await left_to_ask_for(cx, order, line)
            if not left_minor and line.total_minor:
                return await asked_before(cx, order, booking.line_no)
            credit = message.supplier_credit_minor
            order.take_back_line(booking.line_no, message.at, reason=message.reason, supplier_credit_minor=credit)
            await save(cx, order, actor=message.actor, at=message.at)
            await void_line(cx, order.order_no, booking.line_no, at=message.at, reason=message.reason)
            await note_what_was_used(cx, order.order_no, booking.line_no, at=message.at)
            gone = await units.left_for_good(cx, order.order_no, booking.line_no)
            await order_stock.give_back(cx, order.order_no, booking.line_no, at=message.at, gone=gone)
            await codes.burn(cx, order.order_no, booking.line_no)
            await return_uses(cx, order, message.at)
            credited = flow_at_supplier_refund(facts_of(order, line), booking.supplier_id, credit, message.at)
            return await give_back(
                cx, order, line, left_minor, message.at,
                reason=message.reason, actor=message.actor, payables=[credited],
            )  # fmt: skip

    @activity.defn
    async def keep_line(self, message: KeepLine) -> None:
        """A line that was to be taken back stays issued: its supplier keeps it. Idempotency: the line's status."""
        booking = message.booking
        async with order_under_lock(self._database, booking.order_no) as (cx, order):
            if order.line(booking.line_no).status is not OrderStatus.REFUNDING:
                return
            order.keep_line(booking.line_no, message.at, reason=f"supplier: {message.supplier_code}")
            await save(cx, order, actor="system", at=message.at)
            await bookings.restore_tickets(cx, booking.order_no, booking.line_no)
            await units.restore(cx, booking.order_no, booking.line_no, at=message.at)

    @activity.defn
    async def record_loss(self, message: RecordLoss) -> None:
        """Refunded here, confirmed there, and not to be cancelled: we owe the supplier, and the amount is our loss.

        Idempotency: the booking's state and the flow's key.
        """
        booking = message.booking
        async with order_under_lock(self._database, booking.order_no) as (cx, order):
            new = await bookings.mark(cx, booking.order_no, booking.line_no, booking.attempt, "lost", at=message.at)
            if not new or not message.cost_minor:
                return
            facts = facts_of(order, order.line(booking.line_no))
            owed = flow_at_loss(facts, booking.supplier_id, booking.attempt, message.cost_minor, message.at)
            written_off = loss_of(facts, f"{message.reason}_{booking.attempt}", message.cost_minor, message.at)
            await insert_flows(cx, payables=[owed], transfers=[written_off])

    @activity.defn
    async def open_exception(self, message: OpenException) -> None:
        """Put a case into the operators' queue. Idempotency: its id, which is a business key."""
        async with self._database.transaction() as cx:
            await order_exceptions.open_exception(
                cx,
                exception_id=message.exception_id,
                kind=message.kind,
                order_no=message.order_no,
                line_no=message.line_no,
                supplier_id=message.supplier_id,
                evidence=message.evidence,
                at=message.at,
            )

    @activity.defn
    async def resolve_exception(self, message: ResolveException) -> None:
        """Close a case with what was decided. Idempotency: its state."""
        async with self._database.transaction() as cx:
            await order_exceptions.resolve(
                cx, message.exception_id, by=message.actor, at=message.at, resolution=message.resolution
            )
