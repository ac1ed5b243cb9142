"""Attributes against their definitions, and the tree's rules."""

from __future__ import annotations

import json

import pytest

from domain.attributes import AttributeDefinition, AttributeScope, ValueKind, check_attributes, nearest
from domain.category_tree import MAX_DEPTH, CategoryCycle, CategoryKindDiffers, CategoryTooDeep, check_place
from domain.imports import ImportedProduct, parse_product


def a_definition(attribute_id: int, scope: str, **changed: object) -> AttributeDefinition:
    values: dict[str, object] = {
        "name": f"n{attribute_id}", "scope": AttributeScope(scope), "value_kind": ValueKind.TEXT, "required": False,
        "allowed": (), "defined_by": "c",
    }  # fmt: skip
    return AttributeDefinition(attribute_id, **(values | changed))  # type: ignore[arg-type]  # a builder of tests


def a_product(basic: list[tuple[int, str]], *skus: list[tuple[int, str]]) -> ImportedProduct:
    def plain(attributes: list[tuple[int, str]]) -> list[dict[str, object]]:
        return [{"attributeId": n, "attributeName": f"n{n}", "value": v} for n, v in attributes]

    document = {
        "categoryId": 7, "spu": {"name": "T"}, "basicAttributes": plain(basic),
        "skus": [{"skuName": "s", "price": 1, "stock": 0, "salesAttributes": plain(sku)} for sku in skus],
    }  # fmt: skip
    return parse_product(json.dumps(document).encode())


def faults(product: ImportedProduct, *definitions: AttributeDefinition) -> set[tuple[str, str]]:
    return {(f.pointer, f.code) for f in check_attributes(product, nearest([definitions]))}


COLOUR = a_definition(201, "sales", required=True, allowed=("black", "white"))
WEIGHT = a_definition(102, "basic", value_kind=ValueKind.NUMBER)


def test_a_category_without_definitions_takes_everything() -> None:
    assert faults(a_product([(9, "x")], [(8, "y")], [(8, "y")])) == set()


def test_what_is_as_defined_has_no_fault() -> None:
    assert faults(a_product([(102, "1.5")], [(201, "black")], [(201, "white")]), COLOUR, WEIGHT) == set()


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        (a_product([(103, "x")], [(201, "black")]), ("/basicAttributes/0/attributeId", "unknown_attribute")),
        (a_product([(201, "black")], [(201, "black")]), ("/basicAttributes/0/attributeId", "unknown_attribute")),
        (a_product([(102, "heavy")], [(201, "black")]), ("/basicAttributes/0/value", "attribute_value")),
        (a_product([(102, "NaN")], [(201, "black")]), ("/basicAttributes/0/value", "attribute_value")),
        (a_product([], [(201, "green")]), ("/skus/0/salesAttributes/0/value", "attribute_value")),
        (a_product([], []), ("/skus/0/salesAttributes", "missing_attribute")),
        (a_product([], [(201, "black"), (201, "white")]), ("/skus/0/salesAttributes/1/attributeId", "attribute_twice")),
        (a_product([], [(201, "black")], [(201, "black")]), ("/skus/1/salesAttributes", "duplicate_variant")),
    ],
)
def test_each_fault_is_named_with_its_place(product: ImportedProduct, expected: tuple[str, str]) -> None:
    assert faults(product, COLOUR, WEIGHT) == {expected}


def test_the_nearest_definition_counts() -> None:
    own, inherited = a_definition(201, "sales", defined_by="child"), a_definition(201, "basic", defined_by="root")
    assert nearest([[own], [inherited, WEIGHT]]) == {201: own, 102: WEIGHT}


def test_nothing_hangs_below_itself_or_below_another_kind() -> None:
    check_place("a", "ticket", 0, [("b", "ticket"), ("c", "ticket")])
    check_place("a", "ticket", 9, [])
    with pytest.raises(CategoryCycle):
        check_place("a", "ticket", 0, [("b", "ticket"), ("a", "ticket")])
    with pytest.raises(CategoryCycle):
        check_place("a", "ticket", 0, [("a", "ticket")])
    with pytest.raises(CategoryKindDiffers):
        check_place("a", "ticket", 0, [("b", "physical")])


def test_a_tree_has_a_bounded_depth_with_all_that_moves_along() -> None:
    above = [(str(n), "ticket") for n in range(MAX_DEPTH - 3)]
    check_place("a", "ticket", 2, above)
    with pytest.raises(CategoryTooDeep):
        check_place("a", "ticket", 3, above)
