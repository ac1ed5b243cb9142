"""What callers send to order routes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from api.views import CouponCode, Currency, Flag, Id, Input, MoneyInput, Name, Text

Quantity = Annotated[int, Field(ge=1, le=1000, strict=True, examples=[2])]


class ContactInput(Input):
    """Who the supplier may reach. Kept in the database only, never in workflow histories."""

    full_name: Name
    email: Annotated[str, Field(pattern=r"^[^@\s]{1,64}@[^@\s]{1,255}$", max_length=320)] | None = None
    phone: Annotated[str, Field(pattern=r"^\+?[0-9 ()\-]{5,32}$")] | None = None


class AddressInput(Input):
    """Where the parcels of an order go. Kept in the database only, never in workflow histories."""

    receiver: Name
    phone: Annotated[str, Field(pattern=r"^\+?[0-9 ()\-]{5,32}$", examples=["+86 21 5555 0100"])]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["CN"], description="ISO 3166-1 alpha-2.")]
    region: Annotated[Name, Field(description="Province or state, as the country names it.", examples=["上海"])]
    city: Name
    street: Annotated[str, Field(min_length=1, max_length=500)]
    postcode: Annotated[str, Field(pattern=r"^[A-Za-z0-9 \-]{2,16}$")] | None = None


class LineInput(Input):
    """One variant. `unit_price` is the price that the caller saw; another one in effect is refused with it."""

    sku_id: Id
    quantity: Quantity
    unit_price: MoneyInput
    availability_id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The session, where the product is sold by session."
    )
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9@+._\-]{3,100}$", examples=["13800138000"])] | None = Field(
        None, description="What is to be topped up, where the product is a top-up: a phone number, an account's name."
    )
    visitors: Annotated[list[Name], Field(max_length=1000)] | None = Field(
        None, description="One name per unit, where tickets are personal."
    )


class CartInput(Input):
    """What is wanted, in one currency, at the prices that the caller saw."""

    lines: Annotated[list[LineInput], Field(min_length=1, max_length=50)]
    currency: Currency
    device_ref: Id | None = Field(None, description="A stable reference of the buyer's device, for risk rules.")
    address_ref: Id | None = Field(None, description="A stable reference of the buyer's address, for risk rules.")
    contact: ContactInput | None = None
    ship_to: AddressInput | None = Field(None, description="Required where a line is a physical product.")
    coupon_codes: Annotated[list[CouponCode], Field(max_length=5)] = Field(
        default_factory=list, description="Each is used, or the order is refused with the reason."
    )
    promotions: Literal["auto", "none"] = Field(
        "auto", description="`auto`: the best legal combination of what runs; `none`: only what the coupons open."
    )
    expected_total: MoneyInput | None = Field(
        None, description="The total that the caller saw, discounts included; another one is refused with it."
    )
    all_or_nothing: Flag = Field(
        False, description="If any line cannot be issued, issued ones are cancelled and all is refunded."
    )


class OrderInput(CartInput):
    """An order. One currency; `client_order_no` is the distributor's own number, unique for ever."""

    client_order_no: Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-:.]{1,100}$")] | None = None
    buyer_ref: Id | None = Field(None, description="The distributor's own name for its buyer; limits count by it.")


class CheckoutInput(Input):
    """A shopper's order: what a checkout has shown, at the prices that it has shown."""

    checkout_id: Id = Field(examples=["chk-1039000000000000001"])


def _either(body: object) -> OrderInput | CheckoutInput:
    """Told apart by the one field, so that faults are named where they are: /lines/0/quantity."""
    shape = CheckoutInput if isinstance(body, dict) and "checkout_id" in body else OrderInput
    return shape.model_validate(body)


PlaceInput = Annotated[
    OrderInput | CheckoutInput, PlainValidator(_either, json_schema_input_type=OrderInput | CheckoutInput)
]
"""What placing takes: an order, or a checkout that has become one."""


class CancelInput(Input):
    """Why, in a few words; kept in the order's log."""

    reason: Text = "requested by the buyer"


class ExtendInput(Input):
    """Until when from now, in seconds; never past the ceiling."""

    by_s: Annotated[int, Field(ge=1, le=86_400, strict=True, examples=[900])]


class ReviewInput(Input):
    """An operator's word on an order that a risk rule has parked."""

    decision: Literal["approve", "deny"]
    reason: Text


class TicketInput(Input):
    """A ticket as the supplier named it when it was asked by other means."""

    supplier_ticket_id: Name
    code: Annotated[str, Field(min_length=1, max_length=2000)]
    code_format: Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,40}$")] = "QRCODE"


EvidenceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class DecisionInput(Input):
    """An operator's decision on a case.

    `issued`: found at the supplier, with its reference and one ticket per unit. `give_up`: refund; the supplier is
    asked to cancel until it has. `keep`: what was accepted first stands. `acknowledge`: seen, nothing to do.

    About money: `refund`: the channel gives it back; `settle`: it was dealt with otherwise, as `evidence` shows;
    `retry`: the channel is asked for the refund again; `to_coins`: the buyer gets coins instead; `paid_by_hand`: they
    were paid otherwise, as `evidence` shows.
    """

    decision: Literal[
        "issued", "give_up", "keep", "acknowledge", "refund", "settle", "retry", "to_coins", "paid_by_hand"
    ]
    reason: Text
    evidence: Annotated[dict[EvidenceName, Name], Field(max_length=20)] = Field(
        default_factory=dict,
        description="What anybody can check later; needed for `settle` and `paid_by_hand`.",
        examples=[{"bank_reference": "GB-20260501-7"}],
    )
    supplier_reference: Name | None = None
    tickets: Annotated[list[TicketInput], Field(max_length=1000)] = Field(default_factory=list)
