"""The product document that merchants send, checked as a whole: every fault is named with its place.

Amounts are decimal numbers in major units and are read as decimals from the text itself: a float never exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from domain.catalog import UnknownCategory
from domain.decimals import to_minor
from domain.errors import DomainError

IMPORT_CURRENCY = "CNY"
MAX_BYTES = 1_000_000
MAX_SKUS = 200
MAX_ATTRIBUTES = 100
MAX_TEXT = 10_000
MAX_STOCK = 10**9
MAX_ID = 10**12


@dataclass(frozen=True, slots=True)
class Family:
    """What a family of categories decides: the kind, and the weight (grams) and size (mm) of one piece, parcelled."""

    id: str
    name: str
    kind: str
    weight_g: int | None
    size_mm: tuple[int, int, int] | None


FAMILIES: tuple[Family, ...] = (
    Family("1003", "Physical goods", "physical", 500, (300, 200, 50)),
    Family("1005", "Virtual goods", "virtual", None, None),
)
"""The merchants' category ids are a family and three digits: 1003001 is the family 1003."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a document. `pointer` is a JSON pointer (RFC 6901)."""

    pointer: str
    code: str
    detail: str


class DocumentRefused(DomainError):
    """The document is not a product that could be imported; `faults` names everything that is wrong at once."""

    code = "document_refused"

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        super().__init__(f"The product document cannot be imported: {first.pointer or '/'}: {first.detail}{more}")
        self.faults = tuple(faults)

    @property
    def facts(self) -> dict[str, object]:
        return {"errors": [{"pointer": each.pointer, "code": each.code, "detail": each.detail} for each in self.faults]}


@dataclass(frozen=True, slots=True)
class ImportedAttribute:
    attribute_id: int
    name: str
    value: str

    def as_json(self) -> dict[str, object]:
        return {"attribute_id": self.attribute_id, "name": self.name, "value": self.value}


@dataclass(frozen=True, slots=True)
class ImportedSku:
    title: str
    price_minor: int
    stock: int
    attributes: tuple[ImportedAttribute, ...]


@dataclass(frozen=True, slots=True)
class ImportedProduct:
    """A document that can be imported: prices in minor units of IMPORT_CURRENCY.

    `family` is None where the id is of none of the merchants' families: then only the tree can know the category.
    """

    category_id: str
    family: Family | None
    title: str
    description: str
    brand_id: str | None
    attributes: tuple[ImportedAttribute, ...]
    skus: tuple[ImportedSku, ...]


def parse_product(text: bytes) -> ImportedProduct:
    """The product of a merchant's document. Raises DocumentRefused."""
    document = _load(text)
    reader = _Reader()
    fields = reader.fields_of(document, "", ("categoryId", "spu", "skus"), ("basicAttributes",))
    category = reader.integer(fields, "categoryId", "", 1, MAX_ID)
    spu = reader.fields_of(fields.get("spu"), "/spu", ("name",), ("brandId", "description"))
    title = reader.text(spu, "name", "/spu", 1)
    description = reader.text(spu, "description", "/spu", 0)
    brand = reader.integer(spu, "brandId", "/spu", 1, MAX_ID)
    attributes = reader.attributes(fields, "basicAttributes", "")
    skus = [
        reader.sku(each, f"/skus/{index}") for index, each in enumerate(reader.array(fields, "skus", "", 1, MAX_SKUS))
    ]
    if reader.faults:
        raise DocumentRefused(reader.faults)
    brand_id = str(brand) if "brandId" in spu else None
    return ImportedProduct(str(category), family_of(category), title, description, brand_id, attributes, tuple(skus))


def family_of(category_id: int) -> Family | None:
    """The family that decides kind and defaults, unless the category tree knows the id itself."""
    return next((family for family in FAMILIES if str(category_id // 1000) == family.id), None)


def unknown_category(category_id: str) -> UnknownCategory:
    """Neither the tree nor a family knows the id."""
    return UnknownCategory(category_id, [f"{family.id}xxx ({family.kind})" for family in FAMILIES])


class LineSplitter:
    """Lines out of a stream of bytes, numbered from 1; blank ones are skipped, and no more than one is ever kept."""

    def __init__(self) -> None:
        self._line_no = 0
        self._rest = bytearray()
        self._overlong = False

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """The lines that end within this chunk; None in place of a line of more than MAX_BYTES."""
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            self._add(part)
            yield from self._end()
        self._add(rest)

    def close(self) -> Iterator[tuple[int, bytes | None]]:
        """The last line, where no line break ends it."""
        if self._rest or self._overlong:
            yield from self._end()

    def _add(self, part: bytes) -> None:
        if self._overlong or len(self._rest) + len(part) > MAX_BYTES:
            self._overlong = True
            self._rest.clear()
        else:
            self._rest += part

    def _end(self) -> Iterator[tuple[int, bytes | None]]:
        line, overlong = bytes(self._rest).strip(), self._overlong
        self._line_no += 1
        self._rest.clear()
        self._overlong = False
        if overlong or line:
            yield self._line_no, None if overlong else line


def _load(text: bytes) -> object:
    if len(text) > MAX_BYTES:
        raise DocumentRefused([Fault("", "too_large", f"a document has at most {MAX_BYTES} bytes")])
    try:
        return json.loads(
            text.decode("utf-8"), parse_float=Decimal, parse_constant=_not_a_number, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        raise DocumentRefused([Fault("", "not_json", f"the body is not a JSON document: {error}")]) from None


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two fields with one name no reader can know which is meant."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field stands twice in one object")
    return fields


class _Reader:
    """Reads fields and collects faults; after one it goes on with a harmless value, so that all are found."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def _fault(self, pointer: str, code: str, detail: str) -> None:
        self.faults.append(Fault(pointer, code, detail))

    def fields_of(
        self, value: object, pointer: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._fault(pointer, "not_an_object", "an object is required here")
            return {}
        for name in required:
            if name not in value:
                self._fault(f"{pointer}/{name}", "missing", "this field is required")
        for name in value:
            if name not in required and name not in optional:
                self._fault(f"{pointer}/{_escaped(name)}", "unknown_field", "there is no such field")
        return value

    def integer(self, fields: Mapping[str, Any], name: str, pointer: str, low: int, high: int) -> int:
        value = fields.get(name, low)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._fault(f"{pointer}/{name}", "not_an_integer", f"an integer from {low} to {high} is required")
            return low
        return value

    def text(self, fields: Mapping[str, Any], name: str, pointer: str, at_least: int) -> str:
        value = fields.get(name, " " * at_least)
        if not isinstance(value, str) or not at_least <= len(value) <= MAX_TEXT or not _storable(value):
            self._fault(f"{pointer}/{name}", "not_a_text", f"a text of {at_least} to {MAX_TEXT} characters is required")
            return ""
        return value

    def array(self, fields: Mapping[str, Any], name: str, pointer: str, at_least: int, at_most: int) -> list[Any]:
        value = fields.get(name, [])
        if not isinstance(value, list) or (name in fields and not at_least <= len(value) <= at_most):
            self._fault(f"{pointer}/{name}", "not_a_list", f"a list of {at_least} to {at_most} entries is required")
            return []
        return value

    def attributes(self, fields: Mapping[str, Any], name: str, pointer: str) -> tuple[ImportedAttribute, ...]:
        entries = enumerate(self.array(fields, name, pointer, 0, MAX_ATTRIBUTES))
        return tuple(self._attribute(each, f"{pointer}/{name}/{index}") for index, each in entries)

    def _attribute(self, value: object, pointer: str) -> ImportedAttribute:
        fields = self.fields_of(value, pointer, ("attributeId", "attributeName", "value"))
        return ImportedAttribute(
            self.integer(fields, "attributeId", pointer, 1, MAX_ID),
            self.text(fields, "attributeName", pointer, 1),
            self.text(fields, "value", pointer, 0),
        )

    def sku(self, value: object, pointer: str) -> ImportedSku:
        fields = self.fields_of(value, pointer, ("skuName", "price", "stock"), ("salesAttributes",))
        return ImportedSku(
            self.text(fields, "skuName", pointer, 1),
            self._price(fields, pointer),
            self.integer(fields, "stock", pointer, 0, MAX_STOCK),
            self.attributes(fields, "salesAttributes", pointer),
        )

    def _price(self, fields: Mapping[str, Any], pointer: str) -> int:
        value = fields.get("price", 0)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            self._fault(f"{pointer}/price", "not_a_number", f"an amount in {IMPORT_CURRENCY} such as 19.99 is required")
            return 0
        try:
            return to_minor(Decimal(value), IMPORT_CURRENCY)
        except DomainError as error:
            self._fault(f"{pointer}/price", error.code, str(error))
            return 0


def _storable(text: str) -> bool:
    """JSON can say what no database of texts can hold: U+0000 and lone surrogates."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _escaped(name: str) -> str:
    """A field's name within a JSON pointer, bounded: it is the caller's text."""
    return name[:100].replace("~", "~0").replace("/", "~1")
