"""The channels' book: what merchants asked for, what payers were really charged, and what went back to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from simulators.common import book

PAGE = 500

RefundStatus = Literal["pending", "done", "refused"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS refunds (supplier TEXT, refund_no TEXT, payment TEXT NOT NULL,
    PRIMARY KEY (supplier, refund_no)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS taken (seq INTEGER PRIMARY KEY AUTOINCREMENT, supplier TEXT NOT NULL, event_id TEXT NOT NULL,
    reference TEXT NOT NULL, refund_no TEXT NOT NULL, says TEXT NOT NULL, UNIQUE (supplier, event_id));
"""
_TAKEN = """
SELECT json_extract(document, '$.currency'), count(*), sum(json_extract(charge.value, '$.amount_minor'))
FROM bookings, json_each(document, '$.charges') charge WHERE supplier = ? GROUP BY 1
"""
_GIVEN_BACK = """
SELECT json_extract(document, '$.currency'), count(*), sum(json_extract(refund.value, '$.amount_minor'))
FROM bookings, json_each(document, '$.refunds') refund
WHERE supplier = ? AND json_extract(refund.value, '$.status') = 'done' GROUP BY 1
"""


@dataclass(slots=True)
class Charge:
    """Money taken of a payer, in minor units of the payment's currency. `id` is the channel's own."""

    id: str
    amount_minor: int
    paid_at: float


@dataclass(slots=True)
class Refund:
    """Money on its way back from one charge, or back. `refund_no` is the merchant's, `id` the channel's own."""

    id: str
    refund_no: str
    charge_id: str
    amount_minor: int
    reason: str
    notify_url: str
    asked_at: float
    status: RefundStatus = "done"
    done_at: float | None = None
    refusal: str | None = None
    forgotten_until: float | None = None

    def is_forgotten(self, now: float) -> bool:
        return self.forgotten_until is not None and (self.forgotten_until < 0 or now < self.forgotten_until)


@dataclass(slots=True)
class Plan:
    """What will happen by itself, and when; `kinds` are the faults that strike it then.

    `pay` charges each of `amounts_minor`; `refund` gives back what was asked for under `refund_no`.
    """

    due: Literal["pay", "refund"]
    at: float
    kinds: list[str]
    amounts_minor: list[int] = field(default_factory=list)
    refund_no: str = ""


@dataclass(slots=True, kw_only=True)
class Payment(book.Entry):
    """One pay order as its channel has it: `reference` is the merchant's, `status` is waiting, paid or closed.

    `failure` is why the payer's latest attempt failed; times are seconds since 1970, amounts minor units.
    """

    amount_minor: int
    currency: str
    subject: str
    notify_url: str
    return_url: str
    expires_at: float | None
    failure: str | None = None
    charges: list[Charge] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)

    @property
    def shown_status(self) -> str:
        """A payment that waits after a failed attempt is shown as failed: another attempt may still succeed."""
        return "failed" if self.status == "waiting" and self.failure is not None else self.status

    def charge(self, amount_minor: int, at: float) -> Charge:
        charge = Charge(f"chg_{uuid4().hex}", amount_minor, at)
        self.charges.append(charge)
        self.failure = None
        if self.status != "paid":
            self.become("paid", at)
        return charge

    def refundable_minor(self, charge: Charge) -> int:
        """What is left of a charge: what is on its way back counts as gone."""
        gone = (each for each in self.refunds if each.charge_id == charge.id and each.status != "refused")
        return charge.amount_minor - sum(each.amount_minor for each in gone)

    def refund(self, refund_no: str) -> Refund | None:
        return next((each for each in self.refunds if each.refund_no == refund_no), None)

    def plan(self, plan: Plan) -> None:
        self.plans.append(plan)
        self._note_due()

    def take_due(self, now: float) -> Plan | None:
        """What is due by `now` and has waited longest; it is planned no more. One at a time: each is written with what
        it does, so that a kill between two loses neither."""
        plan = min(self.plans, key=lambda each: each.at, default=None)
        if plan is None or plan.at > now:
            return None
        self.plans.remove(plan)
        self._note_due()
        return plan

    def settle(self, now: float) -> bool:
        """Let time do its work: what nobody paid in time is closed."""
        if self.status != "waiting" or self.expires_at is None or now < self.expires_at:
            return False
        self.become("closed", self.expires_at)
        return True

    def _note_due(self) -> None:
        self.due_at = min((plan.at for plan in self.plans), default=None)


@dataclass(frozen=True, slots=True)
class Total:
    """All that was really charged and given back in one currency."""

    charges: int = 0
    charged_minor: int = 0
    refunds: int = 0
    refunded_minor: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """A callback that a merchant has acknowledged: what it said of which payment or, with a `refund_no`, refund."""

    event_id: str
    reference: str
    refund_no: str
    says: str
    seq: int = 0


class PaymentBook(book.Book[Payment]):
    """All channels' payments in one file of a directory."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir / "payments.sqlite3", _payment)
        self._db.executescript(_SCHEMA)

    def put(self, entry: Payment) -> None:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            super().put(entry)
            self._db.executemany(
                "INSERT INTO refunds VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                [(entry.supplier, refund.refund_no, entry.id) for refund in entry.refunds],
            )

    def with_refund(self, channel: str, refund_no: str) -> Payment | None:
        """The payment of which something is given back under the merchant's number."""
        row = self._db.execute(
            "SELECT payment FROM refunds WHERE supplier = ? AND refund_no = ?", (channel, refund_no)
        ).fetchone()
        return None if row is None else self.with_id(row[0])

    def everything(self, channel: str) -> Iterator[Payment]:
        """All of a channel's payments, oldest first, read in pages."""
        after = 0
        while found := self.page(channel, after, PAGE):
            yield from found
            after = found[-1].seq

    def totals(self, channel: str) -> dict[str, Total]:
        """What was really charged and given back, by currency."""
        taken = {currency: (count, minor) for currency, count, minor in self._db.execute(_TAKEN, (channel,))}
        back = {currency: (count, minor) for currency, count, minor in self._db.execute(_GIVEN_BACK, (channel,))}
        return {currency: Total(*taken[currency], *back.get(currency, (0, 0))) for currency in taken}

    def note_taken(self, channel: str, told: Told) -> None:
        """A merchant acknowledged it: from now on it is the merchant's to remember. A repeat changes nothing."""
        self._db.execute(
            "INSERT INTO taken (supplier, event_id, reference, refund_no, says) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (channel, told.event_id, told.reference, told.refund_no, told.says),
        )

    def taken(self, channel: str, after: int, limit: int) -> list[Told]:
        """Callbacks that were acknowledged, oldest first."""
        rows = self._db.execute(
            "SELECT event_id, reference, refund_no, says, seq FROM taken WHERE supplier = ? AND seq > ? "
            "ORDER BY seq LIMIT ?",
            (channel, after, limit),
        )
        return [Told(*row) for row in rows]

    def erase(self, supplier: str) -> None:
        self._db.execute("DELETE FROM taken WHERE supplier = ?", (supplier,))
        self._db.execute("DELETE FROM refunds WHERE supplier = ?", (supplier,))
        super().erase(supplier)


def _payment(document: dict[str, Any]) -> Payment:
    charges = [Charge(**each) for each in document.pop("charges")]
    refunds = [Refund(**each) for each in document.pop("refunds")]
    plans = [Plan(**each) for each in document.pop("plans")]
    return Payment(**document, charges=charges, refunds=refunds, plans=plans)
