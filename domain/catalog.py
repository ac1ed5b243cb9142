"""Products as they are offered: their lifecycle, the price in effect, and the snapshot of what a buyer saw."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeVar

from domain.errors import DomainError
from domain.machines import Machine


class ProductStatus(StrEnum):
    """`sold_out` is not a state but derived from stock."""

    DRAFT = "draft"
    PENDING_AUDIT = "pending_audit"
    AUDIT_REJECTED = "audit_rejected"
    APPROVED = "approved"
    ON_SHELF = "on_shelf"
    OFF_SHELF = "off_shelf"
    FROZEN = "frozen"
    DELETED = "deleted"


class ProductEvent(StrEnum):
    SUBMIT = "submit"
    APPROVE = "approve"
    REJECT = "reject"
    REVISE = "revise"
    PUT_ON_SHELF = "put_on_shelf"
    TAKE_OFF_SHELF = "take_off_shelf"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    DELETE = "delete"


_S, _E = ProductStatus, ProductEvent

LIFECYCLE: Machine[ProductStatus, ProductEvent] = Machine(
    "product",
    _S.DRAFT,
    {
        (_S.DRAFT, _E.SUBMIT): _S.PENDING_AUDIT,
        (_S.PENDING_AUDIT, _E.APPROVE): _S.APPROVED,
        (_S.PENDING_AUDIT, _E.REJECT): _S.AUDIT_REJECTED,
        (_S.AUDIT_REJECTED, _E.REVISE): _S.DRAFT,
        (_S.APPROVED, _E.PUT_ON_SHELF): _S.ON_SHELF,
        (_S.ON_SHELF, _E.TAKE_OFF_SHELF): _S.OFF_SHELF,
        (_S.OFF_SHELF, _E.PUT_ON_SHELF): _S.ON_SHELF,
        (_S.APPROVED, _E.REVISE): _S.DRAFT,
        (_S.OFF_SHELF, _E.REVISE): _S.DRAFT,
        (_S.ON_SHELF, _E.FREEZE): _S.FROZEN,
        (_S.OFF_SHELF, _E.FREEZE): _S.FROZEN,
        (_S.APPROVED, _E.FREEZE): _S.FROZEN,
        (_S.FROZEN, _E.UNFREEZE): _S.OFF_SHELF,
        (_S.DRAFT, _E.DELETE): _S.DELETED,
        (_S.AUDIT_REJECTED, _E.DELETE): _S.DELETED,
        (_S.APPROVED, _E.DELETE): _S.DELETED,
        (_S.OFF_SHELF, _E.DELETE): _S.DELETED,
    },
)


class ProductNotFound(DomainError):
    """Nothing of this id is offered to this caller."""

    code = "product_not_found"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"There is no product or variant {sku_id!r} for you: read /v1/products for what there is.")
        self.sku_id = sku_id

    @property
    def facts(self) -> dict[str, object]:
        return {"sku_id": self.sku_id}


class NotOnSale(DomainError):
    """The variant exists and cannot be bought now: its product is off the shelf, or has no price for this channel."""

    code = "not_on_sale"

    def __init__(self, sku_id: str) -> None:
        super().__init__(f"{sku_id} is not on sale in your channel now: read the product again before ordering.")
        self.sku_id = sku_id

    @property
    def facts(self) -> dict[str, object]:
        return {"sku_id": self.sku_id}


def source_of(stock_policy: str) -> str:
    """Where a variant's units come from: our `codes`, our own `stock`, or `none` of ours. How it is fulfilled, its
    kind makes of that."""
    return stock_policy if stock_policy in ("codes", "none") else "stock"


class VariantInOrders(DomainError):
    """Orders in motion count on where the variant's units come from, and how they are fulfilled by that."""

    code = "variant_in_orders"

    def __init__(self, sku_id: str, orders: int) -> None:
        super().__init__(
            f"{orders} orders with {sku_id} are in motion: take it off the shelf, and change its policy once they rest."
        )
        self.orders = orders

    @property
    def facts(self) -> dict[str, object]:
        return {"orders": self.orders}


class UnknownCategory(DomainError):
    """No category of this id exists, so nothing says how the product is sold and fulfilled."""

    code = "unknown_category"

    def __init__(self, category_id: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no category {category_id!r}; known are: {', '.join(known) or 'none'}.")
        self.category_id = category_id
        self.known = tuple(known)

    @property
    def facts(self) -> dict[str, object]:
        return {"category_id": self.category_id, "known": list(self.known)}


class PriceInThePast(DomainError):
    """A price begins now or later: what buyers have seen is never rewritten."""

    code = "price_in_the_past"

    def __init__(self, valid_from: datetime, earliest: datetime) -> None:
        super().__init__(
            f"A price cannot begin at {valid_from.isoformat()}: the earliest possible is {earliest.isoformat()}."
        )
        self.earliest = earliest

    @property
    def facts(self) -> dict[str, object]:
        return {"earliest": self.earliest.isoformat()}


class Sellable(StrEnum):
    """What a buyer can be told about a product on the shelf. Derived, never stored."""

    ON_SALE = "on_sale"
    SOLD_OUT = "sold_out"
    NOT_ON_SALE = "not_on_sale"


def sellable(status: ProductStatus, available: int | None) -> Sellable:
    """`available` units over all variants; None where stock is the supplier's and we don't count it."""
    if status is not ProductStatus.ON_SHELF:
        return Sellable.NOT_ON_SALE
    return Sellable.SOLD_OUT if available is not None and available <= 0 else Sellable.ON_SALE


class Priced(Protocol):
    """What a price is chosen by; rows of storage have the same shape."""

    @property
    def channel(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def valid_from(self) -> datetime: ...
    @property
    def valid_to(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Price:
    """The net price of a variant in a channel and currency, in effect in `[valid_from, valid_to)`."""

    channel: str
    currency: str
    amount_minor: int
    valid_from: datetime
    valid_to: datetime | None = None


DEFAULT_CHANNEL = "default"

P = TypeVar("P", bound=Priced)


def price_at(prices: Iterable[P], channel: str, currency: str, now: datetime) -> P | None:
    """The price in effect: the channel's own before the default channel's, the latest begun before earlier ones."""
    in_effect = [
        price
        for price in prices
        if price.channel in (channel, DEFAULT_CHANNEL)
        and price.currency == currency
        and price.valid_from <= now
        and (price.valid_to is None or now < price.valid_to)
    ]
    return max(in_effect, key=lambda price: (price.channel == channel, price.valid_from), default=None)


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """What a product says of itself to a buyer. Everything is plain JSON, no floats; images are addresses."""

    product_id: str
    title: str
    description: str
    kind: str
    category_id: str
    brand_id: str | None
    time_zone: str
    attributes: Sequence[object]
    terms: Mapping[str, object]
    images: Sequence[object]


@dataclass(frozen=True, slots=True)
class SkuFacts:
    """What a variant says of itself to a buyer."""

    sku_id: str
    title: str
    attributes: Sequence[object]
    event_at: datetime | None = None


class Snapshot(NamedTuple):
    """What the buyer saw: `id` is the SHA-256 (hex) of the canonical form of `body`."""

    id: str
    body: dict[str, Any]


def snapshot_of(product: ProductFacts, sku: SkuFacts, price: Priced) -> Snapshot:
    """The sellable facts at this moment. The same facts have the same id, whoever asks and however often."""
    body: dict[str, Any] = {
        "product": {
            "id": product.product_id,
            "title": product.title,
            "description": product.description,
            "kind": product.kind,
            "category_id": product.category_id,
            "brand_id": product.brand_id,
            "time_zone": product.time_zone,
            "attributes": list(product.attributes),
            "terms": dict(product.terms),
            "images": list(product.images),
        },
        "sku": {
            "id": sku.sku_id,
            "title": sku.title,
            "attributes": list(sku.attributes),
            "event_at": None if sku.event_at is None else sku.event_at.astimezone(UTC).isoformat(),
        },
        "price": {"amount_minor": price.amount_minor, "currency": price.currency},
    }
    return Snapshot(hashlib.sha256(canonical(body)).hexdigest(), body)


def canonical(value: object) -> bytes:
    """One text for one value: keys sorted, no spaces, UTF-8, and no floats, whose text depends on who prints them."""
    _refuse_floats(value)
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("a snapshot holds no floats")
    children: Iterable[object] = ()
    if isinstance(value, Mapping):
        children = value.values()
    elif isinstance(value, list | tuple):
        children = value
    for child in children:
        _refuse_floats(child)
