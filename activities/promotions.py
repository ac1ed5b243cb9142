"""Holding an order's promotions: one transaction of ours, all of them or none."""

from __future__ import annotations

from datetime import datetime

from temporalio import activity

from activities.order_messages import HoldPromotions
from activities.order_writes import order_under_lock
from activities.promotion_pricing import price_again
from domain.errors import DomainError, Refusal
from domain.orders import OrderStatus
from storage import order_admission, order_promotions, order_reading
from storage.database import Database


class PromotionActivities:
    """A hold ends with its order's own steps: they confirm, release and return it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def hold_promotions(self, message: HoldPromotions) -> Refusal | None:
        """Hold a use of each promotion that the order was priced with; the *no* brings the price as it would be now.

        Idempotency: the uses' states, under the order's lock.
        """
        try:
            async with order_under_lock(self._database, message.order_no) as (cx, order):
                if order.status is OrderStatus.PENDING:
                    await order_promotions.hold(cx, message.order_no, at=message.at)
                return None
        except DomainError as error:
            refusal = Refusal.of(error)
        return Refusal(
            refusal.code, refusal.detail, refusal.facts | await self._price_now(message.order_no, message.at)
        )

    async def _price_now(self, order_no: int, at: datetime) -> dict[str, object]:
        async with self._database.reading() as cx:
            wish = await order_admission.read_wish(cx, order_no)
            order, lines = await order_reading.read_core(cx, order_no)
            if wish is None or order is None:
                return {}
            total_minor = await price_again(cx, wish, lines, at)
        return {"total": {"amount_minor": total_minor, "currency": order["currency"]}}
