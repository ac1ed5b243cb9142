"""Shapes of the catalogue: what an operator sees of a product, and the less that a distributor sees."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from api.views import Flag, Input, Instant, MoneyInput, MoneyView, Name, Text, View
from domain.access import Action, Grant, Principal, ResourceKind
from domain.catalog import DEFAULT_CHANNEL, ProductEvent, ProductStatus, Sellable, price_at, sellable
from domain.categories import CATEGORIES, LineTerms
from domain.money import Money
from domain.payments import LatePayment
from storage.catalog import OfferRow
from storage.catalog_reading import ProductDetail, Row, SkuDetail, Visibility

Channel = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_\-]{0,63}$", examples=["default"])]
JsonObject = dict[str, Any]


class PreviewView(View):
    """What the buyer will get, how and when."""

    what: str
    how: str
    when: str

    @classmethod
    def of(cls, kind: str, terms: LineTerms) -> PreviewView:
        """As the product's kind has it for variants on these terms."""
        return cls(**asdict(CATEGORIES.preview(kind, terms)))


class OfferView(View):
    """A supplier's offer of a variant, for operators: `rank` 0 is asked first."""

    id: str
    supplier_id: str
    supplier_product_id: str
    option_id: str
    unit_id: str
    cost: MoneyView
    rank: int
    lock_at_supplier: bool
    active: bool

    @classmethod
    def of(cls, row: OfferRow) -> OfferView:
        cost = MoneyView(amount_minor=row.cost_minor, currency=row.currency)
        return cls(cost=cost, **{name: getattr(row, name) for name in cls.model_fields if name != "cost"})


class PriceView(View):
    """A price with its window [valid_from, valid_to)."""

    channel: str
    price: MoneyView
    valid_from: Instant
    valid_to: Instant | None


class SkuView(View):
    """A variant. `price`: in effect now in the caller's channel (null: none); `available` null: not counted here."""

    id: str
    title: str
    attributes: list[Any]
    price: MoneyView | None
    stock_policy: str
    available: int | None
    event_at: Instant | None
    weight_g: int | None
    size_mm: list[int] | None
    prices: list[PriceView] | None = Field(None, description="Operators: all prices, past and to come.")
    offers: list[OfferView] | None = Field(None, description="Operators: the suppliers, with what they cost us.")


class ProductView(View):
    """A product with its variants."""

    id: str = Field(examples=["prd_0f3a9c1d2b4e5f60a1b2"])
    kind: str = Field(examples=["ticket"])
    category_id: str
    category_path: list[str] = Field(description="From the product's category up to the root.")
    brand_id: str | None
    brand_name: str | None
    title: str
    description: str
    status: ProductStatus
    sellable: Sellable
    time_zone: str
    session_required: bool
    visitors_required: bool
    buyer_limit: int
    late_payment: LatePayment = Field(description="What money does that comes when its order is gone.")
    attributes: list[Any]
    terms: JsonObject
    images: list[Any]
    preview: PreviewView
    skus: list[SkuView]
    created_at: Instant
    updated_at: Instant
    version: int


class Eyes:
    """Through whose eyes the catalogue is shown: which products, whose prices, and whether costs."""

    def __init__(self, caller: Principal, channel: str, currency: str | None, now: datetime) -> None:
        self.caller = caller
        self.operator = caller.distributor_id is None
        self.channel = channel
        self.currency = currency
        self.now = now
        grants = [grant for grant in caller.grants if grant.action is Action.CATALOG_READ and grant.holds(now)]
        self.visible = Visibility() if self.operator else _visibility(grants)

    def product(self, detail: ProductDetail) -> ProductView:
        """The product as this caller may see it."""
        row, counts = detail.row, [sku.available for sku in detail.skus]
        counted = [count for count in counts if count is not None]
        total = sum(counted) if counted and len(counted) == len(counts) else None
        status = ProductStatus(row["status"])
        names = [name for name in ProductView.model_fields if name in row and name not in ("status", "category_path")]
        return ProductView(
            **{name: row[name] for name in names},
            category_path=list(detail.category_path),
            status=status,
            sellable=sellable(status, total),
            preview=PreviewView.of(row["kind"], _terms(detail.skus)),
            skus=[self.sku(sku) for sku in detail.skus],
        )

    def sku(self, sku: SkuDetail) -> SkuView:
        """Costs, and prices of other channels or of tomorrow, are operators' business."""
        names = ("id", "title", "attributes", "stock_policy", "event_at", "weight_g", "size_mm")
        return SkuView(
            **{name: sku.row[name] for name in names},
            price=self._price(sku),
            available=sku.available,
            prices=self._prices(sku) if self.operator else None,
            offers=[OfferView.of(offer) for offer in sku.offers] if self.operator else None,
        )

    def _price(self, sku: SkuDetail) -> MoneyView | None:
        currencies = [self.currency] if self.currency else sorted({price.currency for price in sku.prices})
        for currency in currencies:
            if found := price_at(sku.prices, self.channel, currency, self.now):
                return MoneyView.of(Money(found.amount_minor, found.currency))
        return None

    def _prices(self, sku: SkuDetail) -> list[PriceView]:
        return [
            PriceView(
                channel=price.channel,
                price=MoneyView.of(Money(price.amount_minor, price.currency)),
                valid_from=price.valid_from,
                valid_to=price.valid_to,
            )
            for price in sku.prices
        ]


def _terms(skus: tuple[SkuDetail, ...]) -> LineTerms:
    """The terms of the first variant: what a buyer is told of a product holds for its usual variants."""
    if not skus:
        return LineTerms("none", offered=True)
    return LineTerms(skus[0].row["stock_policy"], offered=bool(skus[0].offers))


def _visibility(grants: list[Grant]) -> Visibility:
    """A distributor sees what is on the shelf and one of its grants covers."""

    def named(kind: ResourceKind) -> tuple[str, ...]:
        return tuple(grant.resource_id for grant in grants if grant.resource_kind is kind)

    return Visibility(
        everything=any(grant.resource_kind is ResourceKind.ALL for grant in grants),
        statuses=(ProductStatus.ON_SHELF,),
        product_ids=named(ResourceKind.PRODUCT),
        category_ids=named(ResourceKind.CATEGORY),
        supplier_ids=named(ResourceKind.SUPPLIER),
    )


class SessionView(View):
    """A bookable date or start time; `availability_id` is what an order line names."""

    availability_id: str
    option_id: str
    starts_at: Instant
    ends_at: Instant
    available: bool
    vacancies: int | None = Field(description="Null where the supplier doesn't count.")
    sku_ids: list[str] = Field(description="The variants that this session can be bought as.")
    read_at: Instant = Field(description="When the supplier last said so.")


class SessionsView(View):
    """Sessions in the order of their start."""

    data: list[SessionView]


class TransitionInput(Input):
    """An event of the lifecycle."""

    event: ProductEvent = Field(examples=["submit"])
    reason: str = Field("", max_length=500, examples=["new season"])


class ProductEdit(Input):
    """What is given is set, the rest stays."""

    title: Name | None = None
    description: Annotated[str, Field(max_length=10_000)] | None = None
    attributes: Annotated[list[JsonObject], Field(max_length=100)] | None = None
    terms: JsonObject | None = None
    images: Annotated[list[Text], Field(max_length=50)] | None = Field(None, description="Addresses.")
    buyer_limit: Annotated[int, Field(ge=0, le=10_000, strict=True)] | None = None
    visitors_required: Flag | None = None
    late_payment: LatePayment | None = Field(
        None,
        description="Money for an order that is gone buys the same again: `revive` (if it was canceled too), "
        "`revive_expired` (only if it ran out); or it goes back: `refund`.",
    )


class PriceInput(Input):
    """A price from `valid_from` on (null: at once). The one then in effect ends there."""

    price: MoneyInput
    channel: Channel = DEFAULT_CHANNEL
    valid_from: Instant | None = Field(None, examples=["2027-01-01T00:00:00Z"])


class StockPolicyInput(Input):
    """`none`: the supplier's allotment; `codes`: the pool of codes; the others: own quota, taken at that moment."""

    stock_policy: Literal["hold", "at_place", "at_payment", "codes", "none"]
    lock_at_supplier: Flag


class OperationView(View):
    """An edit: who, what, before, after."""

    id: int
    at: Instant
    actor: str
    action: str
    subject_kind: str
    subject_id: str
    before: JsonObject | None
    after: JsonObject | None

    @classmethod
    def of(cls, row: Row) -> OperationView:
        return cls(**row)
