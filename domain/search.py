"""How texts are cut into words that can be searched, alike when they are indexed and when they are asked for.

Scripts that put no spaces between words (Chinese, Japanese, Korean) are cut into single characters and pairs of
neighbours, so that any run of characters in a text is found without a dictionary; other scripts into whole words. The
results are texts that PostgreSQL reads as `tsvector` and `tsquery`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

MAX_POSITION = 16_000
"""PostgreSQL keeps places up to 16383: what stands later in a product's texts is not indexed."""

MAX_WORD = 60
"""Longer words are cut here, when indexed and when asked for."""

MAX_TERMS = 16
"""Words of one question."""

MAX_FACETS = 1000
"""Of one product; with MAX_POSITION it keeps a product's words below the megabyte that a `tsvector` may have."""

_FIELD_GAP = 8
"""Places between two texts of one product, so that no phrase reaches from one into the next."""

_FACET_BYTES = 400

_UNSPACED = (
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7AF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


@dataclass(frozen=True, slots=True)
class Field:
    """One text of a product. `weight` is A (a title) to D (a description)."""

    text: str
    weight: str


@dataclass(frozen=True, slots=True)
class Term:
    """One thing asked for: lexemes that must stand one after another."""

    lexemes: tuple[str, ...]
    text: str


def normal(text: str) -> str:
    """One spelling of what readers take for the same: full-width and half-width, capitals and small letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _unspaced(character: str) -> bool:
    code = ord(character)
    return code >= 0x3005 and any(low <= code <= high for low, high in _UNSPACED)


def _runs(text: str) -> Iterator[str]:
    """Runs of characters of unspaced scripts, and words of others; punctuation and spaces end both."""
    run: list[str] = []
    unspaced = False
    for character in normal(text):
        # a combining mark belongs to the letter before it
        part = character.isalnum() or (bool(run) and not unspaced and unicodedata.category(character)[0] == "M")
        if run and (not part or _unspaced(character) is not unspaced):
            yield "".join(run)
            run = []
        if part:
            run.append(character)
            unspaced = _unspaced(character)
    if run:
        yield "".join(run)


def _lexemes(text: str, start: int) -> Iterator[tuple[str, int]]:
    """Each lexeme with its place: a word has one, of an unspaced run each character and each pair has one."""
    place = start
    for run in _runs(text):
        if not _unspaced(run[0]):
            yield run[:MAX_WORD], place
            place += 1
            continue
        for index, character in enumerate(run):
            yield character, place
            if index + 1 < len(run):
                yield run[index : index + 2], place
            place += 1


def vector(fields: Iterable[Field], facets: Iterable[str]) -> str:
    """The text of a `tsvector`: all words of the fields with places and weights, and the facets, which have none."""
    places: dict[str, list[str]] = {}
    start = 1
    for field in fields:
        end = start
        for lexeme, place in _lexemes(field.text, start):
            if place > MAX_POSITION:
                break
            places.setdefault(lexeme, []).append(f"{place}{field.weight}")
            end = place
        start = end + _FIELD_GAP
    words = [f"{_quoted(lexeme)}:{','.join(found)}" for lexeme, found in places.items()]
    return " ".join([*words, *(_quoted(facet) for facet in islice(dict.fromkeys(facets), MAX_FACETS))])


def terms(question: str) -> list[Term]:
    """What a person's question asks for: every term must be there. Punctuation alone asks for nothing."""
    found: list[Term] = []
    for run in _runs(question):
        if not _unspaced(run[0]):
            lexemes: tuple[str, ...] = (run[:MAX_WORD],)
        elif len(run) == 1:
            lexemes = (run,)
        else:
            lexemes = tuple(run[index : index + 2] for index in range(len(run) - 1))
        term = Term(lexemes, run)
        if term not in found:
            found.append(term)
    return found[:MAX_TERMS]


def mentions(text: str, term: Term) -> bool:
    """Whether a text, such as the name of a brand, has the term."""
    if _unspaced(term.text[0]):
        return any(term.text in run for run in _runs(text))
    return term.lexemes[0] in {run[:MAX_WORD] for run in _runs(text)}


def phrase(term: Term) -> str:
    """The term as a part of a `tsquery`."""
    return "(" + " <-> ".join(_quoted(lexeme) for lexeme in term.lexemes) + ")"


def any_of(parts: Sequence[str]) -> str:
    """One of these parts of a `tsquery`."""
    return "(" + " | ".join(parts) + ")"


def facet(kind: str, *values: str) -> str:
    """An exact property of a product, as a lexeme that no word of a text can be: it has a colon."""
    text = f"{kind}:{'='.join(normal(value).strip() for value in values)}"
    if len(text.encode()) <= _FACET_BYTES:
        return text
    return f"{kind}:#{hashlib.sha256(text.encode()).hexdigest()}"


def facet_part(text: str) -> str:
    """The facet as a part of a `tsquery`."""
    return _quoted(text)


def _quoted(lexeme: str) -> str:
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"
