"""Promotions under an order: wanted with its price, held, confirmed, released or returned exactly once.

Every change is conditional on the use's state, so that repeating it does nothing. Promotions are taken in the order of
their ids, each before its buyer's counter and its coupon: two orders never wait for each other in a ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.coupons import USABLE
from domain.promotion_choice import LineDiscount
from domain.promotions import Occasion, PromotionExhausted
from storage.database import Connection
from storage.promotions import coupon_of, promotion_of


async def record(
    cx: Connection,
    order_no: int,
    occasion: Occasion,
    discounts: Sequence[LineDiscount],
    coupon_ids: Mapping[str, str],
) -> None:
    """What the order was priced with. `coupon_ids`: by promotion, the coupon that opened it."""
    totals: dict[str, int] = {}
    for discount in discounts:
        totals[discount.promotion_id] = totals.get(discount.promotion_id, 0) + discount.amount_minor
    await cx.execute(
        """
        INSERT INTO promotion_uses (order_no, promotion_id, distributor_id, buyer_ref, coupon_id, discount_minor,
                                    updated_at)
        SELECT %s, promotion_id, %s, %s, coupon_id, discount_minor, %s
        FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS u (promotion_id, coupon_id, discount_minor)
        """,
        (
            order_no,
            occasion.distributor_id,
            occasion.buyer_ref,
            occasion.now,
            list(totals),
            [coupon_ids.get(promotion_id) for promotion_id in totals],
            list(totals.values()),
        ),
    )
    await cx.execute(
        """
        INSERT INTO order_discounts (order_no, line_no, promotion_id, rank, name, amount_minor, explanation)
        SELECT %s, line_no, promotion_id, rank, name, amount_minor, explanation
        FROM unnest(%s::int[], %s::text[], %s::int[], %s::text[], %s::bigint[], %s::text[])
             AS d (line_no, promotion_id, rank, name, amount_minor, explanation)
        """,
        (
            order_no,
            [discount.line_no for discount in discounts],
            [discount.promotion_id for discount in discounts],
            list(range(1, len(discounts) + 1)),
            [discount.name for discount in discounts],
            [discount.amount_minor for discount in discounts],
            [discount.explanation for discount in discounts],
        ),
    )


async def is_priced_with_some(cx: Connection, order_no: int) -> bool:
    """Whether the order was priced with any promotion."""
    cursor = await cx.execute("SELECT 1 FROM promotion_uses WHERE order_no = %s LIMIT 1", (order_no,))
    return await cursor.fetchone() is not None


async def discounts_of(cx: Connection, order_no: int) -> list[dict[str, Any]]:
    """What was taken off the order's lines: `line_no`, `promotion_id`, `amount_minor`."""
    cursor = await cx.execute(
        "SELECT line_no, promotion_id, amount_minor FROM order_discounts WHERE order_no = %s ORDER BY line_no, rank",
        (order_no,),
    )
    return await cursor.fetchall()


_TAKE_PROMOTION = """
UPDATE promotions SET held = held + 1
WHERE id = %(promotion)s AND state = 'active' AND valid_from <= %(at)s AND (valid_to IS NULL OR valid_to > %(at)s)
  AND (stock IS NULL OR held + used < stock)
RETURNING name, per_buyer_limit
"""
_TAKE_OF_BUYER = """
INSERT INTO promotion_buyers AS b (promotion_id, distributor_id, buyer_ref, taken)
VALUES (%(promotion)s, %(distributor)s, %(buyer)s, 1)
ON CONFLICT (promotion_id, distributor_id, buyer_ref) DO UPDATE SET taken = b.taken + 1
WHERE %(limit)s::bigint IS NULL OR b.taken < %(limit)s
RETURNING taken
"""
_TAKE_COUPON = """
UPDATE coupons SET held = held + 1, state = CASE WHEN held + 1 + used = most_uses THEN 'held' ELSE state END
WHERE id = %(coupon)s AND state = ANY(%(usable)s) AND (valid_to IS NULL OR valid_to > %(at)s)
  AND held + used < most_uses
  AND (distributor_id IS NULL OR (distributor_id, buyer_ref) = (%(distributor)s, %(buyer)s))
RETURNING id
"""


async def hold(cx: Connection, order_no: int, *, at: datetime) -> None:
    """Hold a use of every promotion that the order was priced with.

    Raises PromotionExhausted, PromotionExpired, PromotionNotApplicable: the caller's transaction then holds none.
    """
    cursor = await cx.execute(
        "SELECT * FROM promotion_uses WHERE order_no = %s AND state = 'wanted' ORDER BY promotion_id FOR UPDATE",
        (order_no,),
    )
    for use in await cursor.fetchall():
        values = {
            "promotion": use["promotion_id"],
            "coupon": use["coupon_id"],
            "distributor": use["distributor_id"],
            "buyer": use["buyer_ref"],
            "usable": sorted(USABLE),
            "at": at,
        }
        await _take(cx, use, values, at)
    await cx.execute(
        "UPDATE promotion_uses SET state = 'held', updated_at = %s WHERE order_no = %s AND state = 'wanted'",
        (at, order_no),
    )


async def _take(cx: Connection, use: Mapping[str, Any], values: dict[str, Any], at: datetime) -> None:
    taken = await (await cx.execute(_TAKE_PROMOTION, values)).fetchone()
    if taken is None:
        await _say_why_not(cx, use, at)
        return
    if use["buyer_ref"] is not None:
        limit = taken["per_buyer_limit"]
        if await (await cx.execute(_TAKE_OF_BUYER, {**values, "limit": limit})).fetchone() is None:
            why = f"a buyer may use it {limit} times, and this one has"
            raise PromotionExhausted(f"Promotion {taken['name']!r}", use["promotion_id"], why)
    if use["coupon_id"] is not None and await (await cx.execute(_TAKE_COUPON, values)).fetchone() is None:
        await _say_why_no_coupon(cx, use, at)


async def _say_why_not(cx: Connection, use: Mapping[str, Any], at: datetime) -> None:
    cursor = await cx.execute("SELECT *, 0 AS taken FROM promotions WHERE id = %s", (use["promotion_id"],))
    row = await cursor.fetchone()
    assert row is not None, "promotions are never deleted"
    promotion = promotion_of(row)
    promotion.judge_window(at)
    promotion.judge_uses()
    # Free again between the two statements: whoever asks now finds it so.
    raise PromotionExhausted(f"Promotion {promotion.name!r}", promotion.id)


async def _say_why_no_coupon(cx: Connection, use: Mapping[str, Any], at: datetime) -> None:
    row = await (await cx.execute("SELECT * FROM coupons WHERE id = %s", (use["coupon_id"],))).fetchone()
    assert row is not None, "coupons are never deleted"
    coupon = coupon_of(row)
    coupon.judge(Occasion(use["distributor_id"], "", use["buyer_ref"], "", at))
    raise PromotionExhausted(f"Coupon {coupon.code}", coupon.promotion_id)


async def confirm(cx: Connection, order_no: int, *, at: datetime) -> None:
    """The order is paid: what it holds is used."""
    await _end(cx, order_no, "held", "confirmed", at)


async def release(cx: Connection, order_no: int, *, at: datetime) -> None:
    """The order is refused, cancelled or expired: what it holds, or wanted, is free again. Always goes through."""
    await cx.execute(
        "UPDATE promotion_uses SET state = 'released', updated_at = %s WHERE order_no = %s AND state = 'wanted'",
        (at, order_no),
    )
    await _end(cx, order_no, "held", "released", at)


async def give_back(cx: Connection, order_no: int, *, at: datetime) -> None:
    """The whole order was refunded: uses come back of promotions whose rule says so; the others stay used."""
    await _end(cx, order_no, "confirmed", "returned", at)


_LOCK = """
SELECT p.id FROM promotions p JOIN promotion_uses u ON u.promotion_id = p.id
WHERE u.order_no = %s AND u.state = %s ORDER BY p.id FOR NO KEY UPDATE OF p
"""
_END = """
WITH ended AS (
    UPDATE promotion_uses u SET state = %(after)s, updated_at = %(at)s FROM promotions p
    WHERE u.order_no = %(order)s AND u.state = %(before)s AND p.id = u.promotion_id
      AND (%(after)s <> 'returned' OR p.returns_on_refund)
    RETURNING u.promotion_id, u.distributor_id, u.buyer_ref, u.coupon_id),
counted AS (
    UPDATE promotions p SET held = p.held - %(held)s, used = p.used + %(used)s
    FROM ended WHERE p.id = ended.promotion_id),
of_buyer AS (
    UPDATE promotion_buyers b SET taken = b.taken - 1 FROM ended
    WHERE %(after)s <> 'confirmed' AND b.promotion_id = ended.promotion_id
      AND b.distributor_id = ended.distributor_id AND b.buyer_ref = ended.buyer_ref)
UPDATE coupons c SET held = c.held - %(held)s, used = c.used + %(used)s,
       state = CASE WHEN %(after)s = 'confirmed' THEN CASE WHEN c.used + 1 = c.most_uses THEN 'used' ELSE c.state END
                    WHEN c.state = 'expired' OR c.valid_to <= %(at)s THEN 'expired' ELSE 'returned' END
FROM ended WHERE c.id = ended.coupon_id
"""
_COUNTS = {"confirmed": (1, 1), "released": (1, 0), "returned": (0, -1)}
"""What leaves `held`, and what comes to `used`."""


async def _end(cx: Connection, order_no: int, before: str, after: str, at: datetime) -> None:
    locked = await (await cx.execute(_LOCK, (order_no, before))).fetchall()
    if locked:
        held, used = _COUNTS[after]
        values = {"order": order_no, "before": before, "after": after, "at": at, "held": held, "used": used}
        await cx.execute(_END, values)
