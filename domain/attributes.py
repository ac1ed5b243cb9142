"""Attributes that a category defines: sales attributes make variants, basic ones describe; and the check against them.

A category has its own definitions and those of its ancestors; of two with one id the nearer one counts. Where none is
defined, everything is accepted as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from domain.imports import Fault, ImportedAttribute, ImportedProduct


class AttributeScope(StrEnum):
    """`sales`: variants differ by it. `basic`: it describes the product."""

    SALES = "sales"
    BASIC = "basic"


class ValueKind(StrEnum):
    """What a value has to be; it is a text in any case."""

    TEXT = "text"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class AttributeDefinition:
    """`allowed` empty: any value of the kind. `defined_by`: the category, which may be an ancestor."""

    attribute_id: int
    name: str
    scope: AttributeScope
    value_kind: ValueKind
    required: bool
    allowed: tuple[str, ...]
    defined_by: str


def nearest(levels: Iterable[Iterable[AttributeDefinition]]) -> dict[int, AttributeDefinition]:
    """The definitions in effect by id; `levels` from the category up to the root."""
    found: dict[int, AttributeDefinition] = {}
    for level in levels:
        for definition in level:
            found.setdefault(definition.attribute_id, definition)
    return found


def check_attributes(product: ImportedProduct, defined: Mapping[int, AttributeDefinition]) -> list[Fault]:
    """Everything in which the product's attributes are not as its category defines them."""
    if not defined:
        return []
    faults = _check_group(product.attributes, "/basicAttributes", AttributeScope.BASIC, defined)
    seen: dict[frozenset[tuple[int, str]], int] = {}
    sells = any(definition.scope is AttributeScope.SALES for definition in defined.values())
    for index, sku in enumerate(product.skus):
        pointer = f"/skus/{index}/salesAttributes"
        faults += _check_group(sku.attributes, pointer, AttributeScope.SALES, defined)
        first = seen.setdefault(frozenset((each.attribute_id, each.value) for each in sku.attributes), index)
        if sells and first != index:
            detail = f"this variant has the same sales attributes as /skus/{first}: nobody could tell them apart"
            faults.append(Fault(pointer, "duplicate_variant", detail))
    return faults


def _check_group(
    given: Sequence[ImportedAttribute],
    pointer: str,
    scope: AttributeScope,
    defined: Mapping[int, AttributeDefinition],
) -> list[Fault]:
    faults: list[Fault] = []
    met: set[int] = set()
    for index, attribute in enumerate(given):
        place = f"{pointer}/{index}"
        definition = defined.get(attribute.attribute_id)
        if definition is None or definition.scope is not scope:
            known = ", ".join(f"{d.attribute_id} ({d.name})" for d in defined.values() if d.scope is scope) or "none"
            detail = f"the category has no such {scope} attribute; it has: {known}"
            faults.append(Fault(f"{place}/attributeId", "unknown_attribute", detail))
            continue
        if attribute.attribute_id in met:
            faults.append(Fault(f"{place}/attributeId", "attribute_twice", "this attribute stands here twice"))
        met.add(attribute.attribute_id)
        if detail := _wrong_value(attribute.value, definition):
            faults.append(Fault(f"{place}/value", "attribute_value", detail))
    for definition in defined.values():
        if definition.scope is scope and definition.required and definition.attribute_id not in met:
            detail = f"the category requires the attribute {definition.attribute_id} ({definition.name})"
            faults.append(Fault(pointer, "missing_attribute", detail))
    return faults


def _wrong_value(value: str, definition: AttributeDefinition) -> str:
    """What is wrong with the value; empty: nothing."""
    if definition.allowed and value not in definition.allowed:
        return f"one of {', '.join(definition.allowed[:20])} is required"
    if definition.value_kind is ValueKind.NUMBER:
        try:
            number = Decimal(value)
        except InvalidOperation:
            return "a decimal number is required"
        if not number.is_finite():
            return "a decimal number is required"
    return ""
