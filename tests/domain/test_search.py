"""Cutting texts into words: what stands in a text is found in it, what does not is not, in every script."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.search import MAX_POSITION, MAX_TERMS, MAX_WORD, Field, Term, facet, mentions, terms, vector

CHINESE = st.text("博物馆圆领恤黑色纯棉门票成人", min_size=1, max_size=12)
WORDS = st.text("abcxyz019", min_size=1, max_size=8)


def lexemes(text: str) -> dict[str, set[int]]:
    """The words of a text with their places, as `tsvector` would keep them."""
    found = re.findall(r"'((?:[^'])*)':([0-9A-D,]+)", vector([Field(text, "A")], ()))
    return {word: {int(place.rstrip("ABCD")) for place in places.split(",")} for word, places in found}


def found(text: str, question: str) -> bool:
    """As PostgreSQL would answer: every term, its lexemes at places one after another."""
    there = lexemes(text)

    def has(term: Term) -> bool:
        starts = there.get(term.lexemes[0], set())
        return any(all(s + i in there.get(x, ()) for i, x in enumerate(term.lexemes)) for s in starts)

    return all(has(term) for term in terms(question))


@given(before=CHINESE, middle=CHINESE, after=CHINESE)
def test_any_run_of_characters_in_a_text_is_found(before: str, middle: str, after: str) -> None:
    assert found(before + middle + after, middle)


@given(text=CHINESE, question=CHINESE)
def test_a_run_is_found_exactly_where_the_text_has_it(text: str, question: str) -> None:
    assert found(text, question) is (question in text)


@given(text=st.lists(WORDS, min_size=1, max_size=10), asked=st.sets(WORDS, min_size=1, max_size=5))
def test_words_are_found_whole_and_all_are_needed(text: list[str], asked: set[str]) -> None:
    assert found(" ".join(text), ", ".join(asked)) is (asked <= set(text))


@given(st.text())
def test_a_text_is_found_by_itself_whatever_its_script(text: str) -> None:
    for term in terms(text):
        assert mentions(text, term)


@given(name=CHINESE, asked=CHINESE)
def test_a_name_mentions_what_it_contains(name: str, asked: str) -> None:
    assert mentions(name, terms(asked)[0]) is (asked in name)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("圆领T恤", "t恤"),
        ("ＮＩＫＥ Air", "nike"),
        ("Café", "CAFE\u0301"),
        ("Straße", "STRASSE"),
        ("博物馆 门票", "门票,博物馆"),
        ("हिन्दी में", "हिन्दी"),
        ("snake_case", "snake"),
    ],
)
def test_spelling_that_readers_take_for_the_same_is_the_same(text: str, question: str) -> None:
    assert found(text, question)


def test_a_word_is_no_part_of_another_and_a_pair_does_not_reach_over_a_space() -> None:
    assert not found("smart", "art")
    assert not found("博物 馆", "物馆")


@given(st.text("!?。，、 -'\\", max_size=20))
def test_punctuation_asks_for_nothing(text: str) -> None:
    assert terms(text) == []


def test_what_is_too_much_is_cut_and_never_refused() -> None:
    assert terms("w" * 500)[0].lexemes == ("w" * MAX_WORD,)
    assert len(terms(" ".join(f"w{n}" for n in range(100)))) == MAX_TERMS
    places = {place for found in lexemes("字" * (MAX_POSITION + 100)).values() for place in found}
    assert max(places) == MAX_POSITION


def test_no_phrase_reaches_from_one_text_into_the_next() -> None:
    text = vector([Field("博物", "A"), Field("馆票", "D")], [])
    assert "物馆" not in text
    assert "1A" in text
    assert "'馆票':11D" in text


def test_facets_are_exact_and_bounded() -> None:
    assert facet("a", "Colour", " Black ") == "a:colour=black"
    assert len(facet("a", "n", "v" * 9_000).encode()) < 100
    assert facet("a", "n", "v" * 9_000) != facet("a", "n", "v" * 8_999)
    assert vector([], ["a:it's=\\x"]) == "'a:it''s=\\\\x'"
