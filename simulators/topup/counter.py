"""The counter: tops up, answers and takes back by the gateway's rules, and misbehaves where a fault says so."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from simulators.common.book import Clerk, latest, shown
from simulators.common.faults import Strike
from simulators.common.results import Outcome, decide, may_forget, remembered
from simulators.topup.book import Book, Recharge
from simulators.topup.faults import Kind
from simulators.topup.houses import OperatorSettings

_PHONE = re.compile(r"1\d{10}", re.ASCII)


class Refusal(Exception):
    """The gateway's no: a code and a sentence; with `standing`, what it has under that reference."""

    def __init__(self, code: str, message: str, standing: Recharge | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.standing = standing


class OrderBody(BaseModel):
    """What names an order. Forms and JSON alike: every value may come as text."""

    model_config = ConfigDict(extra="ignore")

    out_trade_no: str = Field(pattern=r"^[A-Za-z0-9\-]{8,64}$")


class RechargeBody(OrderBody):
    phone: str = Field(max_length=20)
    product: str = Field(max_length=64)
    quantity: int = Field(1, ge=1, le=50)
    amount_fen: int | None = Field(None, ge=0)
    order_no: str | None = Field(None, max_length=64)


def _not_found() -> Refusal:
    return Refusal("ORDER_NOT_FOUND", "There is no order with this out_trade_no")


class Counter(Clerk[Recharge]):
    """All operators' counters over one book. `clock` is seconds since 1970."""

    def __init__(self, book: Book, clock: Callable[[], float] = time.time) -> None:
        super().__init__(book, clock)

    def recharge(self, operator: OperatorSettings, body: RechargeBody, strike: Strike[Kind]) -> Outcome[Recharge]:
        """Top up, once per out_trade_no where the operator deduplicates."""
        now, reference = self.clock(), body.out_trade_no.lower()
        known = latest(self.settled(operator.name, reference, now)) if operator.deduplicates else None
        if known is not None:
            return Outcome(known)
        _check(operator, body)
        recharge = Recharge(
            id=str(uuid4()), supplier=operator.name, reference=reference, order_no=body.order_no, created_at=now,
            status="PENDING", phone=body.phone, product=body.product, quantity=body.quantity,
        )  # fmt: skip
        outcome = decide(recharge, operator, strike, now)
        may_forget(recharge, operator, strike, now)
        self.write(recharge)
        return outcome

    def find(self, operator: OperatorSettings, reference: str, strike: Strike[Kind]) -> Outcome[Recharge]:
        """What a query shows; a forgotten order is as if it had never been."""
        recharge = remembered(self, operator, reference.lower(), strike)
        if recharge is None:
            raise _not_found()
        return Outcome(recharge)

    def cancel(self, operator: OperatorSettings, reference: str) -> Outcome[Recharge]:
        """Only while it is being processed: data on a phone can't be taken back. A repeat is harmless."""
        now = self.clock()
        recharge = shown(self.settled(operator.name, reference.lower(), now))
        if recharge is None:
            raise _not_found()
        if recharge.status == "CONFIRMED":
            raise Refusal("ALREADY_DONE", "The phone was topped up", recharge)
        if recharge.status == "PENDING":
            recharge.due_at = None
            recharge.become("CANCELLED", now)
            self.write(recharge)
        return Outcome(recharge)


def _check(operator: OperatorSettings, body: RechargeBody) -> None:
    if not _PHONE.fullmatch(body.phone):
        raise Refusal("PHONE_INVALID", "A phone has 11 digits and begins with 1")
    if not body.phone.startswith(operator.house.prefixes):
        raise Refusal("PHONE_NOT_SERVED", "The phone is another operator's")
    price_fen = operator.house.packs.get(body.product)
    if price_fen is None:
        raise Refusal("PRODUCT_UNKNOWN", "There is no such product")
    if body.product in operator.out_of_stock:
        raise Refusal("OUT_OF_STOCK", "The product is sold out")
    if body.amount_fen is not None and body.amount_fen != price_fen * body.quantity:
        raise Refusal("WRONG_AMOUNT", "The amount is not the price")
