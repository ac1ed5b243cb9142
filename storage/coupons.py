"""Coupons as people have them: issued in batches, claimed by a buyer, expired by an operator, listed by state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.coupons import (
    USABLE,
    CouponClaimed,
    CouponCodeTaken,
    CouponNotFound,
    CouponState,
)
from domain.promotion_terms import PromotionInvalid
from domain.promotions import Occasion, PromotionNotApplicable, PromotionNotFound
from storage.catalog_log import log_operation
from storage.database import Connection
from storage.promotions import coupon_of


@dataclass(frozen=True, slots=True)
class NewCoupon:
    """A code about to be issued."""

    id: str
    code: str


async def issue(
    cx: Connection,
    promotion_id: str,
    coupons: Sequence[NewCoupon],
    *,
    most_uses: int,
    valid_to: datetime | None,
    actor: str,
    now: datetime,
) -> None:
    """Issue these codes. Raises PromotionNotFound, PromotionInvalid, CouponCodeTaken, with nothing issued."""
    cursor = await cx.execute("SELECT needs_coupon FROM promotions WHERE id = %s", (promotion_id,))
    promotion = await cursor.fetchone()
    if promotion is None:
        raise PromotionNotFound(promotion_id)
    if not promotion["needs_coupon"]:
        raise PromotionInvalid(f"{promotion_id} is given to everybody: coupons are for promotions that need one.")
    if valid_to is not None and valid_to <= now:
        raise PromotionInvalid("These coupons would have expired already: `valid_to` has to be in the future.")
    cursor = await cx.execute(
        """
        INSERT INTO coupons (id, code, promotion_id, most_uses, valid_to, issued_at)
        SELECT id, code, %s, %s, %s, %s FROM unnest(%s::text[], %s::text[]) AS c (id, code)
        ON CONFLICT (code) DO NOTHING
        """,
        (
            promotion_id,
            most_uses,
            valid_to,
            now,
            [coupon.id for coupon in coupons],
            [coupon.code for coupon in coupons],
        ),
    )
    if cursor.rowcount != len(coupons):
        raise CouponCodeTaken(coupons[0].code)
    await log_operation(
        cx,
        at=now,
        actor=actor,
        action="coupon.issue",
        subject=("promotion", promotion_id),
        before=None,
        after={"count": len(coupons), "most_uses": most_uses},
    )


async def claim(cx: Connection, code: str, *, distributor_id: str, buyer_ref: str, now: datetime) -> dict[str, Any]:
    """The coupon is this buyer's from now on; again for the same buyer changes nothing.

    Raises CouponNotFound, CouponClaimed, PromotionExpired, PromotionExhausted, PromotionNotApplicable.
    """
    row = await (await cx.execute("SELECT * FROM coupons WHERE code = %s FOR NO KEY UPDATE", (code,))).fetchone()
    if row is None:
        raise CouponNotFound(code)
    owner = (row["distributor_id"], row["buyer_ref"])
    if owner == (distributor_id, buyer_ref):
        return row
    if row["distributor_id"] is not None:
        raise CouponClaimed
    if row["most_uses"] > 1:
        why = "it is shared by many buyers: name it in the order"
        raise PromotionNotApplicable(f"Coupon {code}", why, row["promotion_id"])
    coupon_of(row).judge(Occasion(distributor_id, "", buyer_ref, "", now))
    cursor = await cx.execute(
        "UPDATE coupons SET state = 'claimed', distributor_id = %s, buyer_ref = %s, claimed_at = %s WHERE id = %s "
        "RETURNING *",
        (distributor_id, buyer_ref, now, row["id"]),
    )
    claimed = await cursor.fetchone()
    assert claimed is not None, "its row is locked"
    return claimed


async def expire(cx: Connection, coupon_id: str, *, actor: str, now: datetime) -> dict[str, Any]:
    """From now on no order can hold it; an order that holds it keeps it. Raises CouponNotFound."""
    cursor = await cx.execute(
        """
        UPDATE coupons SET valid_to = least(valid_to, %(now)s),
               state = CASE WHEN state = ANY(%(usable)s) THEN 'expired' ELSE state END
        WHERE id = %(id)s RETURNING *, old.state AS was
        """,
        {"id": coupon_id, "now": now, "usable": sorted(USABLE)},
    )
    row = await cursor.fetchone()
    if row is None:
        raise CouponNotFound(coupon_id)
    was = row.pop("was")
    if was != row["state"]:
        subject = ("coupon", coupon_id)
        await log_operation(
            cx, at=now, actor=actor, action="coupon.expire", subject=subject, before={"state": was},
            after={"state": row["state"]},
        )  # fmt: skip
    return row


@dataclass(frozen=True, slots=True)
class CouponFilter:
    """What a list is narrowed to; None does not narrow."""

    distributor_id: str | None = None
    promotion_id: str | None = None
    buyer_ref: str | None = None
    state: CouponState | None = None


async def list_coupons(
    cx: Connection, narrowed: CouponFilter, *, now: datetime, after: Sequence[str | int] | None, limit: int
) -> list[dict[str, Any]]:
    """In the order of their ids. What is valid no more counts as expired, whatever its row still says."""
    cursor = await cx.execute(
        """
        SELECT * FROM (
            SELECT c.*, CASE WHEN state = ANY(%(usable)s) AND valid_to <= %(now)s THEN 'expired' ELSE state END
                        AS standing
            FROM coupons c
            WHERE id > %(after)s AND (%(promotion)s::text IS NULL OR promotion_id = %(promotion)s)
              AND (%(distributor)s::text IS NULL OR distributor_id = %(distributor)s)
              AND (%(buyer)s::text IS NULL OR buyer_ref = %(buyer)s)) AS shown
        WHERE %(state)s::text IS NULL OR standing = %(state)s ORDER BY id LIMIT %(limit)s
        """,
        {
            "usable": sorted(USABLE),
            "now": now,
            "after": after[0] if after else "",
            "promotion": narrowed.promotion_id,
            "distributor": narrowed.distributor_id,
            "buyer": narrowed.buyer_ref,
            "state": narrowed.state,
            "limit": limit,
        },
    )
    return await cursor.fetchall()
