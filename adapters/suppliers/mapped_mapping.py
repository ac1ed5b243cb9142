"""How a supplier without a standard is spoken to, as data: the mapping in `protocol_settings` of its contract.

A mapping says what is sent (method, path, parameters, signature) and what an answer means. It is validated when a
contract is made or changed, so that a supplier is never called by a mapping that cannot work. docs/adding-a-supplier.md
explains it by an example.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import Formatter
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)

SCALARS = (str, int, bool)
DEEPEST = 8
EVERYWHERE = frozenset({"reference", "timestamp", "timestamp_ms", "nonce"})
"""Fields that every operation can send: our reference, the time (seconds, milliseconds), a number used once."""
OF_A_CANCEL = EVERYWHERE | {"reason"}
OF_A_BOOKING = EVERYWHERE | {
    "product_id", "option_id", "unit_id", "availability_id", "unit_references", "quantity", "order_no", "currency",
    "account",
}  # fmt: skip
"""What a booking adds. `quantity` is a number; `unit_references` are joined by commas."""
PERSONAL = frozenset({"account"})
"""Goes into bodies only: addresses are written into logs, ours and those of everybody on the way."""

_POINTER = re.compile(r"(/([^~/]|~[01])*)+")


def _clean(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a character that cannot be printed")
    return text


def _pointer(text: str) -> str:
    if not _POINTER.fullmatch(text):
        raise ValueError("is no JSON pointer (RFC 6901), such as /data/status")
    return text


def _field_names(template: str) -> Iterator[str]:
    """The fields in a template; raises ValueError where it is none."""
    for _, name, form, conversion in Formatter().parse(template):
        if name is None:
            continue
        if form or conversion or not name.isidentifier():
            raise ValueError("has something else in braces than the name of a field; write {{ for a brace")
        yield name


def _path(text: str) -> str:
    if not text.startswith("/") or text.startswith("//") or re.search(r"[\s?#\\]|/\.\.?(/|$)", text):
        raise ValueError("is no path: it starts with one / and has no query, such as /orders/{reference}")
    list(_field_names(text))
    return text


Pointer = Annotated[str, Field(max_length=200), AfterValidator(_clean), AfterValidator(_pointer)]
Path = Annotated[str, Field(max_length=500), AfterValidator(_clean), AfterValidator(_path)]
Text = Annotated[str, Field(max_length=200), AfterValidator(_clean)]
HttpStatus = Annotated[int, Field(ge=200, le=499)]
Means = Literal["confirmed", "held", "rejected", "pending", "not_found", "canceled", "turned_away"]

# Redirects prove nothing; 408, 425 and 429 have a meaning of their own in HTTP.
_INDEFINITE = frozenset({*range(300, 400), 408, 425, 429})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoSettings(_Part):
    """For protocols that leave nothing to be set."""


class Unsigned(_Part):
    kind: Literal["none"] = "none"


class Bearer(_Part):
    """The contract's `api_token` in the Authorization header."""

    kind: Literal["bearer"]


class Digest(_Part):
    """A digest over the parameters, sorted by name and joined as `name=value&...`, empty ones left out.

    The secret is `api_token`. `secret_suffix` stands between the parameters and the secret where that is digested too,
    as `&key=`: `md5`, which old gateways ask for, cannot do without. The digest goes into a parameter or header.
    """

    kind: Literal["hmac-sha256", "md5"]
    place: Literal["parameter", "header"] = "parameter"
    name: str = Field("sign", pattern=r"^[A-Za-z][A-Za-z0-9_\-]{0,63}$")
    secret_suffix: Text | None = None
    encoding: Literal["hex", "hex_upper", "base64"] = "hex"

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.kind == "md5" and self.secret_suffix is None:
            raise ValueError("md5 needs a secret_suffix, such as &key=: it has no other place for the secret")
        return self


Signature = Annotated[Unsigned | Bearer | Digest, Field(discriminator="kind")]


class Meaning(_Part):
    """What an answer means whose HTTP status is one of `http` (none given: any 2xx) and that has, at each pointer of
    `when`, one of the values, and at each of `absent` nothing. Numbers and truth values are compared as JSON has them.

    `absent` keeps an answer that contradicts itself from being believed: a refusal that also shows a finished order.

    `echoes`: it counts only where the answer repeats our reference; to be turned off only for answers that carry none.
    """

    means: Means
    when: dict[Pointer, Annotated[list[Text], Field(min_length=1, max_length=100)]] = Field({}, max_length=10)
    absent: list[Pointer] = Field([], max_length=10)
    http: list[HttpStatus] = Field([], max_length=50)
    echoes: bool = True

    @model_validator(mode="after")
    def _provable(self) -> Self:
        if not self.when and self.means not in ("not_found", "rejected", "turned_away"):
            raise ValueError(f"{self.means} needs a value in the answer that says so: give `when`")
        if not self.when and not self.http:
            raise ValueError("gives neither `when` nor `http`: it would fit every answer")
        if not self.when and any(status < 300 for status in self.http):
            raise ValueError("a success alone says nothing: give `when`")
        if _INDEFINITE & set(self.http):
            raise ValueError("3xx, 408, 425 and 429 prove nothing about a booking")
        if self.means == "confirmed" and not self.echoes:
            raise ValueError("confirmed has to echo our reference")
        return self


class Credential(_Part):
    """Where the receipt (the supplier's name for one thing) and its code are (none: the receipt is the code).

    With `each`, a pointer to an array with one element per unit, the others are pointers within an element, and
    `unit_reference` (ours, as it was sent) puts them in order. Without, one credential serves every unit.
    """

    receipt: Pointer
    code: Pointer | None = None
    each: Pointer | None = None
    unit_reference: Pointer | None = None
    code_format: str = Field("TOPUP", pattern=r"^[A-Z0-9_]{1,40}$")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.unit_reference is not None and self.each is None:
            raise ValueError("unit_reference is within an element: give `each`")
        return self


class Fields(_Part):
    """Where in an answer things are. `echo` is our reference; `ask_again_s` seconds until it is worth asking again."""

    echo: Pointer
    supplier_reference: Pointer
    credential: Credential
    error_code: Pointer | None = None
    ask_again_s: Pointer | None = None


class Operation(_Part):
    """One request. `parameters` are the body as JSON or form, or with GET the query; texts have {fields} in them."""

    known_fields: ClassVar[frozenset[str]] = EVERYWHERE

    method: Literal["GET", "POST", "PUT"] = "POST"
    path: Path
    parameters: dict[str, JsonValue] = Field({}, max_length=50)
    answers: list[Meaning] = Field(min_length=1, max_length=50)

    @property
    def has_body(self) -> bool:
        return self.method != "GET"

    @field_validator("path")
    @classmethod
    def _path_is_known(cls, path: str) -> str:
        cls._check("", set(_field_names(path)), exposed=True)
        return path

    @field_validator("parameters")
    @classmethod
    def _parameters_are_known(cls, parameters: dict[str, JsonValue], info: ValidationInfo) -> dict[str, JsonValue]:
        for name, value in parameters.items():
            _check_json({name: value})
            cls._check(f"{name}: ", set(_fields_of(value)), exposed=info.data.get("method") == "GET")
        return parameters

    @model_validator(mode="after")
    def _asks_by_reference(self) -> Self:
        if "reference" not in {*_field_names(self.path), *_fields_of(self.parameters)}:
            raise ValueError("our {reference} has to be sent, or nothing can be asked about it later")
        return self

    @classmethod
    def _check(cls, place: str, used: set[str], *, exposed: bool) -> None:
        unknown = sorted(used - cls.known_fields)
        if unknown:
            known = ", ".join(sorted(cls.known_fields))
            raise ValueError(f"{place}there is no field {{{unknown[0]}}} here, only {known}")
        if exposed and used & PERSONAL:
            raise ValueError(f"{place}{{account}} is personal: it may stand in a body only")


class Booking(Operation):
    known_fields = OF_A_BOOKING


class Cancellation(Operation):
    known_fields = OF_A_CANCEL


class Callback(_Part):
    """What a callback's body means; `fields` where they stand elsewhere than in answers."""

    answers: list[Meaning] = Field(min_length=1, max_length=50)
    fields: Fields | None = None


class SupplierMapping(_Part):
    """The whole of it. Without `reserve` nothing can be held there, without `callback` nothing is told unasked."""

    format: Literal["json", "form"] = "json"
    signature: Signature = Unsigned()
    fields: Fields
    issue: Booking
    query: Operation
    cancel: Cancellation | None = None
    reserve: Booking | None = None
    callback: Callback | None = None

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        for name in ("issue", "query", "cancel", "reserve"):
            operation: Operation | None = getattr(self, name)
            if operation is not None:
                self._check(name, operation)
        if not any(each.means == "confirmed" for each in self.query.answers):
            raise ValueError("query.answers: nothing means confirmed, so no time-out could ever be cleared up")
        return self

    def _check(self, name: str, operation: Operation) -> None:
        flat = self.format == "form" or not operation.has_body or isinstance(self.signature, Digest)
        nested = [key for key, value in operation.parameters.items() if not isinstance(value, SCALARS)]
        if flat and nested:
            raise ValueError(f"{name}.parameters.{nested[0]}: forms, queries and signed parameters are flat")
        if isinstance(self.signature, Digest) and self.signature.name in operation.parameters:
            raise ValueError(f"{name}.parameters.{self.signature.name}: is where the signature goes")


def _check_json(value: JsonValue, deepest: int = DEEPEST) -> None:
    """Refuses what the database or a supplier's parser could not take."""
    if deepest == 0:
        raise ValueError(f"is nested deeper than {DEEPEST} levels")
    if isinstance(value, str):
        _clean(value)
    elif isinstance(value, float):
        raise ValueError("has a number with a fraction: write it as text")
    elif isinstance(value, dict):
        for name, each in value.items():
            _clean(name)
            _check_json(each, deepest - 1)
    elif isinstance(value, list):
        for each in value:
            _check_json(each, deepest - 1)


def _fields_of(value: JsonValue) -> Iterator[str]:
    """Every field used in the texts of a template. Raises ValueError where one is none."""
    if isinstance(value, str):
        yield from _field_names(value)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _fields_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from _fields_of(each)
