"""How texts are cut into words that can be searched, alike when they are indexed and when they are asked for.

Scripts that put no spaces between words (Chinese, Japanese, Korean) are cut into single characters and pairs of
neighbours, so that any run of characters in a text is found without a dictionary; other scripts into whole words. The
results are texts that PostgreSQL reads as `tsvector` and `tsquery`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
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

_UNSPACED = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Chinese, Japanese and Korean characters, as a part of a character class."""

_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff\u0e31-\u0e3a\u0e47-\u0e4e\u0f71-\u0f84\u102b-\u103e\u17b4-\u17d3\u20d0-\u20f0"
)
"""Signs that belong to the letter before them, such as accents and vowels."""

_RUN = re.compile(f"[{_UNSPACED}]+|(?:[^\\W_{_UNSPACED}][{_MARKS}]*)+")
"""Runs of characters of unspaced scripts, and words of others; punctuation and spaces end both."""

_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


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


def _runs(text: str) -> list[str]:
    return _RUN.findall(normal(text))


def _unspaced(run: str) -> bool:
    return _IS_UNSPACED.match(run) is not None


def vector(fields: Iterable[Field], facets: Iterable[str]) -> str:
    """The text of a `tsvector`: all words of the fields with places and weights, and the facets, which have none."""
    places: dict[str, list[str]] = {}
    start = 1
    for field in fields:
        start = _add(places, field, start) + _FIELD_GAP
    # a word has neither quotes nor backslashes
    words = [f"'{lexeme}':{','.join(found)}" for lexeme, found in places.items()]
    return " ".join([*words, *(_quoted(facet) for facet in islice(dict.fromkeys(facets), MAX_FACETS))])


def _add(places: dict[str, list[str]], field: Field, start: int) -> int:
    """Each lexeme of the field with its place: a word has one, of an unspaced run each character and each pair has
    one. Returns the place behind the last."""
    place, weight = start, field.weight
    for run in _runs(field.text):
        if not _unspaced(run):
            if place <= MAX_POSITION:
                places.setdefault(run[:MAX_WORD], []).append(f"{place}{weight}")
            place += 1
            continue
        for index in range(min(len(run), MAX_POSITION + 1 - place)):
            at = f"{place + index}{weight}"
            places.setdefault(run[index], []).append(at)
            if index + 1 < len(run):
                places.setdefault(run[index : index + 2], []).append(at)
        place += len(run)
    return place


def terms(question: str) -> list[Term]:
    """What a person's question asks for: every term must be there. Punctuation alone asks for nothing."""
    found: list[Term] = []
    for run in _runs(question):
        if not _unspaced(run):
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
    if _unspaced(term.text):
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
