"""What a mapped supplier's answer means, judged without trust.

The rule of the house: whatever is not provably a definite answer is `Unknown`. Two meanings that fit at once, a name
that stands twice in an object, another reference than ours, a confirmation without all its credentials: none is
evidence. No text of an answer goes into a reason, since it may repeat whom the thing is for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adapters.suppliers.mapped_mapping import Credential, Fields, Meaning
from domain.issuance import (
    Canceled,
    Confirmed,
    Held,
    IssuedTicket,
    NotFound,
    Pending,
    QueryAnswer,
    Rejected,
    Unknown,
)

ASK_AGAIN_MAX_S = 86_400.0
TEXT_MAX = 2_000

_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,40}")
_SOMEBODY = re.compile(r"\d{7,}")


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The supplier says that it did nothing with the request, and wants it again later (its limit of a rate)."""

    retry_after_s: float | None


Judged = QueryAnswer | TurnedAway


class _Unreadable(Exception):
    pass


def read_json(body: bytes) -> Any:
    """The document, or None where there is none that can be believed: not JSON, or a name stands twice."""
    try:
        return json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError, _Unreadable):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unreadable
    return found


def at(document: Any, pointer: str) -> Any:
    """What stands at an RFC 6901 pointer, or None."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(document):
            document = document[int(name[:9])]
        else:
            return None
    return document


def text_at(document: Any, pointer: str | None) -> str | None:
    """A text, number or truth value as JSON writes it; None for everything else, and for what cannot be printed."""
    value = at(document, pointer) if pointer is not None else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < 10**30 else None
    if isinstance(value, str) and value and len(value) <= TEXT_MAX and value.isprintable():
        return value
    return None


def judge(
    document: Any,
    http_status: int,
    answers: Sequence[Meaning],
    fields: Fields,
    reference: str,
    unit_references: Sequence[str] = (),
) -> Judged:
    """What one answer proves about the booking under `reference`."""
    echo = text_at(document, fields.echo)
    echoed = echo is not None and echo.lower() == reference.lower()
    if echo is not None and not echoed:
        return Unknown("the answer is about another reference")
    fitting = [each for each in answers if _fits(each, document, http_status)]
    if not fitting:
        return Unknown(f"the mapping knows no meaning of this answer (HTTP {http_status})")
    if len({each.means for each in fitting}) > 1:
        return Unknown("the answer means different things at once")
    if not echoed and all(each.echoes for each in fitting):
        return Unknown("the answer does not repeat our reference")
    return _meant(fitting[0].means, document, fields, reference, unit_references)


def _fits(meaning: Meaning, document: Any, http_status: int) -> bool:
    if http_status not in meaning.http if meaning.http else not 200 <= http_status < 300:
        return False
    if any(at(document, pointer) is not None for pointer in meaning.absent):
        return False
    return all(text_at(document, pointer) in values for pointer, values in meaning.when.items())


def _meant(means: str, document: Any, fields: Fields, reference: str, unit_references: Sequence[str]) -> Judged:
    name = text_at(document, fields.supplier_reference)
    match means:
        case "confirmed":
            if name is None:
                return Unknown("confirmed, but without the supplier's own reference")
            tickets = _tickets(document, fields.credential, unit_references)
            return tickets if isinstance(tickets, Unknown) else Confirmed(name, tickets)
        case "held":
            return Held(name or reference)
        case "pending":
            return Pending(name or reference, _seconds(document, fields.ask_again_s))
        case "rejected":
            return Rejected(_code(text_at(document, fields.error_code)), retry_elsewhere=True)
        case "not_found":
            return NotFound()
        case "canceled":
            return Canceled()
        case _:
            return TurnedAway(_seconds(document, fields.ask_again_s))


def _tickets(
    document: Any, credential: Credential, unit_references: Sequence[str]
) -> tuple[IssuedTicket, ...] | Unknown:
    """One per unit in our order. Without our references (a callback's first reading) the supplier's order stands."""
    if credential.each is None:
        elements = [document] * max(1, len(unit_references))
    else:
        found = at(document, credential.each)
        ordered = _in_order(found, credential, unit_references) if isinstance(found, list) and found else None
        if ordered is None:
            return Unknown("confirmed, but its units are not the ones we asked for")
        elements = ordered
    tickets = []
    for unit, element in enumerate(elements):
        receipt = text_at(element, credential.receipt)
        code = text_at(element, credential.code or credential.receipt)
        if receipt is None or code is None:
            return Unknown("confirmed, but without all credentials")
        tickets.append(IssuedTicket(unit, receipt, code, credential.code_format))
    return tuple(tickets)


def _in_order(found: list[Any], credential: Credential, unit_references: Sequence[str]) -> list[Any] | None:
    if not unit_references:
        return found
    if len(found) != len(unit_references):
        return None
    if credential.unit_reference is None:
        return found
    by_reference = {(text_at(each, credential.unit_reference) or "").lower(): each for each in found}
    wanted = [each.lower() for each in unit_references]
    return [by_reference[each] for each in wanted] if set(by_reference) == set(wanted) else None


def _code(text: str | None) -> str:
    """The supplier's code for a refusal, where it is one: a sentence or a number of somebody's is not."""
    if text is None or not _CODE.fullmatch(text) or _SOMEBODY.search(text):
        return "REJECTED"
    return text


def _seconds(document: Any, pointer: str | None) -> float | None:
    value = at(document, pointer) if pointer is not None else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= ASK_AGAIN_MAX_S:
        return None
    return float(value)
