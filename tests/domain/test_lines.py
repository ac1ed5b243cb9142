"""Lines out of a stream: however it is cut into chunks, the same lines come out, and an endless one is not kept."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from domain.imports import MAX_BYTES, LineSplitter


def lines_of(chunks: list[bytes]) -> list[tuple[int, bytes | None]]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + list(splitter.close())


@given(data=st.binary(max_size=60).map(lambda b: b.replace(b"x", b"\n")), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_where_the_stream_is_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(data)]
    chunks = [data[a:b] for a, b in itertools.pairwise(edges)]
    expected = [(n, line.strip()) for n, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    assert lines_of(chunks) == expected


def test_blank_lines_count_but_are_no_rows() -> None:
    assert lines_of([b"a\r\n\n  \nb"]) == [(1, b"a"), (4, b"b")]


def test_a_line_without_end_is_told_and_not_kept() -> None:
    long = [b"x" * 400_000] * 4
    assert lines_of([b"a\n", *long, b"\nb\n"]) == [(1, b"a"), (2, None), (3, b"b")]
    assert lines_of(long) == [(1, None)]
    assert lines_of([b"y" * MAX_BYTES]) == [(1, b"y" * MAX_BYTES)]
