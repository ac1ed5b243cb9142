"""Coupons: a code that opens a promotion which needs one, for one buyer or for whoever comes first.

`issued` → `claimed` (it belongs to a buyer now) → `held` (orders hold all that is left of it) → `used`; `returned` when
an order gave a use back, good to be used again; `expired` for good. A code of several uses is `held` and `used` when
none is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.errors import DomainError
from domain.promotions import Occasion, PromotionExhausted, PromotionExpired, PromotionNotApplicable


class CouponState(StrEnum):
    """Where a coupon stands. Nobody's clock moves it to `expired`: it is so once `valid_to` has passed."""

    ISSUED = "issued"
    CLAIMED = "claimed"
    HELD = "held"
    USED = "used"
    RETURNED = "returned"
    EXPIRED = "expired"


USABLE = frozenset({CouponState.ISSUED, CouponState.CLAIMED, CouponState.RETURNED})
"""States in which a coupon can be used, as long as it is valid."""


class CouponNotFound(DomainError):
    """No such coupon."""

    code = "coupon_not_found"

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no coupon {what}.")


class CouponClaimed(DomainError):
    """It belongs to a buyer already."""

    code = "coupon_claimed"

    def __init__(self) -> None:
        super().__init__("The coupon belongs to another buyer: each is claimed once.")


class CouponCodeTaken(DomainError):
    """Codes are unique for ever."""

    code = "coupon_code_taken"

    def __init__(self, code: str) -> None:
        super().__init__(f"There is a coupon with the code {code} already: choose another.")


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon as an order meets it. `owner`: distributor and buyer who have claimed it."""

    id: str
    code: str
    promotion_id: str
    state: CouponState
    valid_to: datetime | None = None
    owner: tuple[str, str] | None = None

    def judge(self, occasion: Occasion) -> None:
        """Whether this buyer may use it now. Raises PromotionExpired, PromotionExhausted, PromotionNotApplicable."""
        what = f"Coupon {self.code}"
        if self.owner is not None and self.owner != (occasion.distributor_id, occasion.buyer_ref):
            raise PromotionNotApplicable(what, "it belongs to another buyer", self.promotion_id)
        if self.state in (CouponState.HELD, CouponState.USED):
            raise PromotionExhausted(what, self.promotion_id)
        if self.state is CouponState.EXPIRED or (self.valid_to is not None and self.valid_to <= occasion.now):
            raise PromotionExpired(what, self.promotion_id)


def standing(state: CouponState, valid_to: datetime | None, now: datetime) -> CouponState:
    """The state as it is shown at `now`: what could still be used is expired once it is valid no more."""
    if state in USABLE and valid_to is not None and valid_to <= now:
        return CouponState.EXPIRED
    return state
