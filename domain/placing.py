"""Placing an order: what each step of creation refuses, and why. The steps run in order and stop at the first no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.errors import DomainError
from domain.money import Money


class BuyerBlocked(DomainError):
    code = "buyer_blocked"

    def __init__(self, buyer_ref: str) -> None:
        super().__init__(f"Buyer {buyer_ref!r} is blocked; contact support if that is wrong.")


class DistributorBlocked(DomainError):
    code = "not_permitted"

    def __init__(self) -> None:
        super().__init__("This distributor's account is blocked: it may not place orders.")


class NotPermitted(DomainError):
    """The caller has no grant for this product."""

    code = "not_permitted"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"You are not permitted to sell {sku_id}: ask for a grant on its product.")
        self.sku_id = sku_id

    @property
    def facts(self) -> dict[str, object]:
        return {"sku_id": self.sku_id}


class CreditExceeded(DomainError):
    code = "credit_exceeded"

    def __init__(self, required: Money, available: Money) -> None:
        super().__init__(
            f"The order needs {required.amount_minor} minor units of {required.currency} of credit and "
            f"{available.amount_minor} are free: pay outstanding statements or ask for a higher limit."
        )
        self.required = required
        self.available = available

    @property
    def facts(self) -> dict[str, object]:
        return {"required_minor": self.required.amount_minor, "available_minor": self.available.amount_minor}


class PriceChanged(DomainError):
    """The price now in effect is not the one that the caller saw."""

    code = "price_changed"

    def __init__(self, sku_id: str, seen: Money, now: Money) -> None:
        super().__init__(
            f"The price of {sku_id} is now {now.amount_minor} {now.currency} (minor units), not {seen.amount_minor}: "
            "show the new price and order again."
        )
        self.sku_id = sku_id
        self.now = now

    @property
    def facts(self) -> dict[str, object]:
        return {
            "sku_id": self.sku_id,
            "unit_price": {"amount_minor": self.now.amount_minor, "currency": self.now.currency},
        }


class TotalChanged(DomainError):
    """The order's total is not the one that the caller expected."""

    code = "price_changed"

    def __init__(self, expected: Money, now: Money) -> None:
        super().__init__(
            f"The order's total is now {now.amount_minor} {now.currency} (minor units), not {expected.amount_minor} "
            f"{expected.currency}: show the new total and order again."
        )
        self.now = now

    @property
    def facts(self) -> dict[str, object]:
        return {"total": {"amount_minor": self.now.amount_minor, "currency": self.now.currency}}


class InsufficientStock(DomainError):
    """Names the variants that are short, and what is left of each."""

    code = "insufficient_stock"

    def __init__(self, left: Mapping[str, int]) -> None:
        listed = ", ".join(f"{sku} ({count} left)" for sku, count in sorted(left.items()))
        super().__init__(f"Not enough stock of {listed}.")
        self.left = dict(left)

    @property
    def facts(self) -> dict[str, object]:
        return {"left": self.left}


class SeatTaken(DomainError):
    """The supplier has said no to holding the seat or slot."""

    code = "seat_taken"

    def __init__(self, sku_id: str, supplier_code: str) -> None:
        super().__init__(f"The supplier will not hold {sku_id} ({supplier_code}): choose another session or seat.")
        self.sku_id = sku_id

    @property
    def facts(self) -> dict[str, object]:
        return {"sku_id": self.sku_id}


class RiskDenied(DomainError):
    code = "risk_denied"

    def __init__(self) -> None:
        super().__init__("The order was declined by a risk rule; contact support.")


class ReviewDenied(DomainError):
    """An operator looked at the parked order and declined it, or nobody did in time."""

    code = "risk_denied"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The order was declined after review: {reason}.")


class EventPast(DomainError):
    code = "event_past"

    def __init__(self, sku_id: str, starts_at: datetime) -> None:
        super().__init__(f"The event of {sku_id} began at {starts_at.isoformat()}: choose a later session.")


class SessionUnknown(DomainError):
    code = "session_unknown"

    def __init__(self, sku_id: str, availability_id: str | None) -> None:
        chosen = f"{availability_id!r} is not a session of {sku_id}" if availability_id else f"{sku_id} needs a session"
        super().__init__(f"{chosen}: read its product's sessions and name one's availability_id.")


class VisitorsRequired(DomainError):
    code = "visitors_required"

    def __init__(self, sku_id: str, quantity: int) -> None:
        super().__init__(f"{sku_id} is personal: name {quantity} visitors, one per ticket.")


class BuyerRefRequired(DomainError):
    """A limit per buyer can't be kept for a buyer without a name."""

    code = "buyer_ref_required"

    def __init__(self, sku_id: str, limit: int) -> None:
        super().__init__(f"One buyer may have {limit} tickets for the event of {sku_id}: name your buyer by buyer_ref.")


class BuyerLimitExceeded(DomainError):
    code = "buyer_limit_exceeded"

    def __init__(self, sku_id: str, limit: int, already: int) -> None:
        super().__init__(f"One buyer may have {limit} tickets for the event of {sku_id} and has {already} already.")
        self.limit = limit
        self.already = already

    @property
    def facts(self) -> dict[str, object]:
        return {"limit": self.limit, "already": self.already}


class AddressRequired(DomainError):
    """Goods that are carried need to know where to."""

    code = "address_required"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"{sku_id} is sent in a parcel: say where to, by the order's ship_to.")


class NotDeliverable(DomainError):
    """No carrier of ours goes there."""

    code = "not_deliverable"

    def __init__(self, sku_id: str, place: str) -> None:
        super().__init__(f"{sku_id} cannot be delivered to {place}: no carrier serves it; choose another address.")


class ParcelTooHeavy(DomainError):
    code = "parcel_too_heavy"

    def __init__(self, sku_id: str, weight_g: int, limit_g: int) -> None:
        super().__init__(f"One piece of {sku_id} weighs {weight_g} g; a parcel carries {limit_g} g at most.")


class AccountRequired(DomainError):
    """A top-up has to know what to top up."""

    code = "account_required"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"{sku_id} is topped up by its supplier: name the line's account, such as a phone number.")


class CategoryNotSold(DomainError):
    """No category is registered under the product's kind."""

    code = "category_not_supported"

    def __init__(self, kind: str) -> None:
        super().__init__(f"Products of kind {kind!r} cannot be ordered yet: no category is registered for them.")
        self.kind = kind

    @property
    def facts(self) -> dict[str, object]:
        return {"kind": self.kind}


class NoSupplier(DomainError):
    code = "not_on_sale"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"{sku_id} has no active supplier: it cannot be ordered now.")


@dataclass(frozen=True, slots=True)
class RiskRule:
    """`velocity`: more than `threshold` orders of the subject in a window; `amount`: above `threshold` minor units."""

    kind: str
    subject: str
    threshold: int
    window_s: int
    outcome: str


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """What the rules look at. `recent` counts this caller's orders by subject and window, this one not included."""

    total_minor: int
    denied: bool
    recent: Mapping[tuple[str, int], int]


def judge_risk(rules: Sequence[RiskRule], facts: RiskFacts) -> str:
    """`pass`, `review` or `deny`: the strictest outcome of the rules that fire; the deny list comes first."""
    if facts.denied:
        return "deny"
    fired = {rule.outcome for rule in rules if _fires(rule, facts)}
    for outcome in ("deny", "review"):
        if outcome in fired:
            return outcome
    return "pass"


def _fires(rule: RiskRule, facts: RiskFacts) -> bool:
    if rule.kind == "amount":
        return facts.total_minor > rule.threshold
    return facts.recent.get((rule.subject, rule.window_s), 0) + 1 > rule.threshold


def demand_per_sku(lines: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Quantities added up per variant, in id order: two lines of one variant are one demand."""
    demand: dict[str, int] = {}
    for sku_id, quantity in sorted(lines):
        demand[sku_id] = demand.get(sku_id, 0) + quantity
    return demand


class HoldNotExtended(DomainError):
    """A supplier has not agreed to hold on: both clocks stay as they were."""

    code = "hold_not_extended"

    def __init__(self, expires_at: datetime) -> None:
        super().__init__(f"A supplier has not agreed to extend its hold; it still ends at {expires_at.isoformat()}.")
        self.expires_at = expires_at

    @property
    def facts(self) -> dict[str, object]:
        return {"hold_expires_at": self.expires_at.isoformat()}
