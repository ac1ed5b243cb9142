"""Catalogue rules: exact amounts, the price in effect, snapshots, the lifecycle, and the merchants' documents."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain.catalog import (
    LIFECYCLE,
    Price,
    ProductEvent,
    ProductFacts,
    ProductStatus,
    Sellable,
    SkuFacts,
    canonical,
    price_at,
    sellable,
    snapshot_of,
)
from domain.decimals import AmountOutOfRange, TooManyDecimals, to_minor
from domain.imports import FAMILIES, DocumentRefused, parse_product
from domain.machines import IllegalTransition
from domain.supplier_catalog import ListedUnit, Listing, ListingRefused

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("19.99", "CNY", 1999),
        ("0.1", "CNY", 10),
        ("79.00", "CNY", 7900),
        ("79.000", "CNY", 7900),
        ("5", "CNY", 500),
        ("1E+2", "CNY", 10000),
        ("0", "CNY", 0),
        ("0E+30", "JPY", 0),
        ("120", "JPY", 120),
        ("1.234", "KWD", 1234),
        ("9999999999999.99", "CNY", 999999999999999),
    ],
)
def test_amounts_convert_exactly(text: str, currency: str, minor: int) -> None:
    assert to_minor(Decimal(text), currency) == minor


@pytest.mark.parametrize(("text", "currency"), [("0.001", "CNY"), ("0.1", "JPY"), ("1E-999999", "CNY")])
def test_more_decimals_than_the_currency_has_are_refused(text: str, currency: str) -> None:
    with pytest.raises(TooManyDecimals):
        to_minor(Decimal(text), currency)


@pytest.mark.parametrize("text", ["-1", "1E+999999", "NaN", "Infinity", "10000000000000.01"])
def test_what_no_price_can_be_is_refused(text: str) -> None:
    with pytest.raises(AmountOutOfRange):
        to_minor(Decimal(text), "CNY")


def test_the_latest_begun_price_is_in_effect_until_it_ends() -> None:
    first = Price("default", "CNY", 100, NOW - 2 * HOUR, NOW)
    second = Price("default", "CNY", 120, NOW)
    assert price_at([second, first], "default", "CNY", NOW - HOUR) is first
    assert price_at([first, second], "default", "CNY", NOW) is second
    assert price_at([first, second], "default", "CNY", NOW - 3 * HOUR) is None
    assert price_at([first, second], "default", "JPY", NOW) is None


def test_a_channels_own_price_wins_over_the_default_channels_newer_one() -> None:
    own = Price("partner", "CNY", 90, NOW - HOUR)
    general = Price("default", "CNY", 100, NOW)
    assert price_at([general, own], "partner", "CNY", NOW) is own
    assert price_at([general, own], "elsewhere", "CNY", NOW) is general


def facts(**changed: object) -> ProductFacts:
    values: dict[str, object] = {
        "product_id": "prd_1", "title": "经典T恤", "description": "", "kind": "physical", "category_id": "1003001",
        "brand_id": None, "time_zone": "Asia/Shanghai", "attributes": [{"name": "材质", "value": "棉"}], "terms": {},
        "images": [],
    }  # fmt: skip
    return ProductFacts(**(values | changed))  # type: ignore[arg-type]  # a builder of tests


def test_the_same_facts_have_the_same_snapshot_and_any_change_another() -> None:
    sku, price = SkuFacts("sku_1", "黑色 L", []), Price("default", "CNY", 7900, NOW)
    first = snapshot_of(facts(), sku, price)
    assert len(first.id) == 64
    assert snapshot_of(facts(), sku, Price("partner", "CNY", 7900, NOW + HOUR)) == first
    assert snapshot_of(facts(title="T"), sku, price).id != first.id
    assert snapshot_of(facts(), sku, Price("default", "CNY", 7901, NOW)).id != first.id


def test_a_canonical_form_knows_no_order_of_keys_and_no_floats() -> None:
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(TypeError):
        canonical({"a": [{"b": 0.1}]})


def test_sold_out_is_derived_from_stock_and_only_on_the_shelf() -> None:
    assert sellable(ProductStatus.ON_SHELF, 0) is Sellable.SOLD_OUT
    assert sellable(ProductStatus.ON_SHELF, None) is Sellable.ON_SALE
    assert sellable(ProductStatus.FROZEN, 5) is Sellable.NOT_ON_SALE


def test_a_draft_is_never_put_on_the_shelf_unaudited() -> None:
    with pytest.raises(IllegalTransition):
        LIFECYCLE.after(ProductStatus.DRAFT, ProductEvent.PUT_ON_SHELF)


def document(**changed: object) -> bytes:
    value = {
        "categoryId": 1003001,
        "spu": {"name": "T"},
        "skus": [{"skuName": "L", "price": 1, "stock": 2, "salesAttributes": []}],
    }
    return json.dumps(value | changed).encode()


def test_a_documents_family_decides_kind_weight_and_size() -> None:
    product = parse_product(document())
    assert product.family == FAMILIES[0]
    assert parse_product(document(categoryId=1005002)).family == FAMILIES[1]


def test_what_is_of_no_family_is_for_the_category_tree_to_know() -> None:
    assert parse_product(document(categoryId=1009001)).family is None


def test_prices_are_read_from_the_text_and_never_as_floats() -> None:
    text = document().replace(b'"price": 1', b'"price": 0.1')
    assert parse_product(text).skus[0].price_minor == 10


def test_all_faults_are_named_at_once_with_their_places() -> None:
    skus = [{"skuName": "", "price": 0.005, "stock": -1, "colour": "red"}]
    with pytest.raises(DocumentRefused) as refused:
        parse_product(document(spu={"title": "T"}, skus=skus))
    found = {(fault.pointer, fault.code) for fault in refused.value.faults}
    assert found == {
        ("/spu/name", "missing"), ("/spu/title", "unknown_field"), ("/skus/0/colour", "unknown_field"),
        ("/skus/0/skuName", "not_a_text"), ("/skus/0/price", "too_many_decimals"), ("/skus/0/stock", "not_an_integer"),
    }  # fmt: skip


@pytest.mark.parametrize("text", [b"", b"[]", b'{"skus": NaN}', b'{"spu": 1, "spu": 2}', b"\xff", b"[" * 100_000])
def test_what_is_no_document_is_refused_and_not_a_crash(text: bytes) -> None:
    with pytest.raises(DocumentRefused):
        parse_product(text)


def a_listing(**changed: object) -> Listing:
    values: dict[str, object] = {
        "supplier_id": "north", "product_id": "p1", "reference": "REF", "title": "Lanterns", "description": "",
        "time_zone": "Asia/Shanghai", "currency": "CNY", "session_required": True,
        "units": (ListedUnit("DEFAULT", "adult", "Adult", 150, 120),),
    }  # fmt: skip
    return Listing(**(values | changed))  # type: ignore[arg-type]  # a builder of tests


def test_two_suppliers_of_one_reference_share_product_and_variant_but_not_the_offer() -> None:
    ours, theirs = a_listing(), a_listing(supplier_id="south", product_id="p9")
    unit = ours.units[0]
    assert ours.own_product_id == theirs.own_product_id
    assert ours.sku_id(unit) == theirs.sku_id(unit)
    assert ours.offer_id(unit) != theirs.offer_id(unit)


def test_a_listing_that_could_not_be_sold_cannot_be_made() -> None:
    for changed in ({"units": ()}, {"units": (ListedUnit("D", "a", "A", -1, 0),)}, {"title": " "}):
        with pytest.raises(ListingRefused):
            a_listing(**changed)
