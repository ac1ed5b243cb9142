"""Numbers never repeat, sort by time, carry their parts, and stop rather than guess."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import (
    EPOCH_MS,
    NODES,
    PER_MS,
    SHARDS,
    STEP_BACK_MS,
    ClockMovedBack,
    IdGenerator,
    NodeLeaseLost,
    NotAnId,
    compose,
    gene_of,
    parse,
    parse_prefixed,
    parts,
    prefixed,
    show,
)

NOW_MS = 1_795_000_000_000
NUMBERS = st.integers(min_value=0, max_value=(1 << 63) - 1)


class Clock:
    """A clock that moves only when it is told to, or waited for."""

    def __init__(self, now_ms: float = NOW_MS) -> None:
        self.now_ms = now_ms
        self.waited_s = 0.0

    def __call__(self) -> int:
        return int(self.now_ms)

    def wait(self, seconds: float) -> None:
        self.waited_s += seconds
        self.now_ms += seconds * 1000


def generator(clock: Clock, node: int = 7, last_ms: int = 0) -> IdGenerator:
    return IdGenerator(node, clock, clock.wait, last_ms)


@given(
    st.integers(EPOCH_MS, EPOCH_MS + (1 << 41) - 1), st.integers(0, NODES - 1), st.integers(0, SHARDS - 1),
    st.integers(0, PER_MS - 1),
)  # fmt: skip
def test_a_number_is_its_parts(at_ms: int, node: int, gene: int, sequence: int) -> None:
    number = compose(at_ms, node, gene, sequence)
    found = parts(number)
    assert (found.at_ms, found.node, found.gene, found.sequence) == (at_ms, node, gene, sequence)
    assert 0 <= number < 1 << 63


@given(st.lists(st.tuples(st.integers(-STEP_BACK_MS, 100), st.integers(0, 63)), max_size=200))
def test_numbers_never_repeat_and_their_times_never_go_back(steps: list[tuple[int, int]]) -> None:
    clock = Clock()
    ids = generator(clock)
    numbers = []
    for step_ms, gene in steps:
        clock.now_ms = max(clock.now_ms + step_ms, ids.last_ms - STEP_BACK_MS)
        numbers.append(ids.next(gene))
    assert len(set(numbers)) == len(numbers)
    times = [parts(number).at_ms for number in numbers]
    assert times == sorted(times)
    assert [parts(number).gene for number in numbers] == [gene for _, gene in steps]


def test_a_node_gives_256_numbers_per_millisecond_so_more_than_200_000_per_second() -> None:
    clock = Clock()
    ids = generator(clock)
    numbers = [ids.next(gene % SHARDS) for gene in range(PER_MS)]
    assert clock.waited_s == 0
    assert {parts(number).at_ms for number in numbers} == {NOW_MS}
    assert PER_MS * 1000 >= 200_000

    assert parts(ids.next(0)).at_ms == NOW_MS + 1  # the next one waits for the next millisecond
    assert 0 < clock.waited_s < 0.005


def test_the_real_rate_is_printed() -> None:
    ids = IdGenerator(1, lambda: time.time_ns() // 1_000_000, time.sleep, 0)
    started_s = time.perf_counter()
    numbers = {ids.next(gene % SHARDS) for gene in range(20_000)}
    print(f"{20_000 / (time.perf_counter() - started_s):,.0f} ids per second on this machine")
    assert len(numbers) == 20_000


def test_a_small_step_back_is_waited_out_and_a_large_one_refused() -> None:
    clock = Clock()
    ids = generator(clock)
    first = ids.next(0)

    clock.now_ms -= STEP_BACK_MS
    second = ids.next(0)
    assert parts(second).at_ms > parts(first).at_ms
    assert clock.waited_s >= STEP_BACK_MS / 1000

    clock.now_ms = ids.last_ms - STEP_BACK_MS - 1
    with pytest.raises(ClockMovedBack, match=f"{STEP_BACK_MS + 1} ms"):
        ids.next(0)


def test_a_clock_that_stands_still_is_refused_after_a_bounded_wait() -> None:
    waits: list[float] = []
    ids = IdGenerator(1, lambda: NOW_MS, waits.append, NOW_MS)
    with pytest.raises(ClockMovedBack):
        ids.next(0)
    assert len(waits) <= 4 * STEP_BACK_MS


def test_it_starts_above_what_its_node_has_used() -> None:
    assert parts(generator(Clock(), last_ms=NOW_MS + 10).next(0)).at_ms > NOW_MS + 10
    with pytest.raises(ClockMovedBack):
        generator(Clock(), last_ms=NOW_MS + STEP_BACK_MS + 1).next(0)


def test_without_its_lease_it_gives_nothing() -> None:
    clock = Clock()
    ids = IdGenerator(3, clock, clock.wait, 0, lease_ends_ms=lambda: NOW_MS + 1)
    ids.next(0)
    clock.now_ms += 1
    with pytest.raises(NodeLeaseLost, match="node 3"):
        ids.next(0)


@given(NUMBERS)
def test_what_is_shown_can_be_read_back(number: int) -> None:
    assert len(show(number)) == 19
    assert parse(show(number)) == number
    assert parse_prefixed("prd", prefixed("prd", number)) == number


@given(NUMBERS, NUMBERS)
def test_texts_sort_as_their_numbers(left: int, right: int) -> None:
    assert (show(left) < show(right)) == (left < right)
    assert (prefixed("x", left) < prefixed("x", right)) == (left < right)


def test_numbers_of_these_years_have_19_digits_without_padding() -> None:
    assert len(str(compose(NOW_MS, 0, 0, 0))) == 19


@given(st.text(max_size=30))
def test_other_texts_are_refused(text: str) -> None:
    for read in (parse, lambda given: parse_prefixed("prd", given)):
        try:
            number = read(text)
        except NotAnId:
            continue
        assert text in (show(number), prefixed("prd", number))


@pytest.mark.parametrize("text", ["", "1" * 18, "9" * 19, "٣" * 19, " " + "1" * 18, "+" + "1" * 18])
def test_near_numbers_are_refused(text: str) -> None:
    with pytest.raises(NotAnId):
        parse(text)


def test_an_id_of_another_type_is_refused() -> None:
    with pytest.raises(NotAnId, match="starts with sku_"):
        parse_prefixed("sku", prefixed("prd", 1))
    with pytest.raises(NotAnId):
        parse_prefixed("prd", "prd_" + "z" * 13)


@given(st.text(max_size=50))
def test_a_buyers_gene_is_stable_and_in_range(buyer: str) -> None:
    assert 0 <= gene_of(buyer) < SHARDS
    assert gene_of(64 * 5 + 3) == 3


def test_text_genes_do_not_change_between_releases() -> None:
    assert [gene_of(buyer) for buyer in ("house", "alice", "bob")] == [29, 7, 0]
