"""What an order's changes mean for the promotions it was priced with, in the transaction of the change.

An order without a discount costs nothing here: its own lines say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from activities.order_writes import all_facts
from domain.ledger import Transfer
from domain.order import Line, Order
from domain.orders import OrderStatus
from domain.subsidies import GrantedDiscount, subsidies_at_lock, subsidies_back
from storage import order_promotions
from storage.database import Connection


async def release_uses(cx: Connection, order: Order, at: datetime) -> None:
    """Refused, cancelled or expired: uses that were wanted or held are free again. Idempotency: their states."""
    if order.discounted:
        await order_promotions.release(cx, order.order_no, at=at)


async def confirm_uses(cx: Connection, order: Order, at: datetime) -> None:
    """`locked` became `issuing`: what was held is used. Idempotency: the uses' states."""
    if order.discounted:
        await order_promotions.confirm(cx, order.order_no, at=at)


async def return_uses(cx: Connection, order: Order, at: datetime) -> None:
    """If all of the order is refunded, uses come back of promotions whose rule says so. Idempotency: their states."""
    if order.discounted and order.status is OrderStatus.REFUNDED:
        await order_promotions.give_back(cx, order.order_no, at=at)


async def lock_subsidies(cx: Connection, order: Order, at: datetime) -> list[Transfer]:
    """What campaigns owe us once the order is locked."""
    if not order.discounted:
        return []
    return subsidies_at_lock(all_facts(order), await _granted(cx, order), at)


async def end_subsidies(cx: Connection, order: Order, lines: Sequence[Line], at: datetime) -> list[Transfer]:
    """What campaigns owe us no more for these lines, cancelled after the lock or refunded whole."""
    if not any(line.discount_minor for line in lines):
        return []
    return subsidies_back(all_facts(order, lines), await _granted(cx, order), at)


async def _granted(cx: Connection, order: Order) -> list[GrantedDiscount]:
    return [GrantedDiscount(**row) for row in await order_promotions.discounts_of(cx, order.order_no)]
