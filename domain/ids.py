"""Order numbers and their kin: 63-bit integers that sort by time, carry a shard gene and never repeat.

Layout, high bits first: 41 bits of milliseconds since 2019-01-01T00:00Z, 8 bits of node, 6 bits of shard gene, 8 bits
of sequence: 256 numbers per millisecond and node. Between 22 July 2026 and 2088 such a number has 19 decimal digits,
without padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zlib import crc32

from domain.errors import DomainError

EPOCH_MS = 1_546_300_800_000
"""2019-01-01T00:00Z in milliseconds since 1970."""
TIME_BITS, NODE_BITS, GENE_BITS, SEQUENCE_BITS = 41, 8, 6, 8
NODES = 1 << NODE_BITS
SHARDS = 1 << GENE_BITS
PER_MS = 1 << SEQUENCE_BITS
DIGITS = 19
STEP_BACK_MS = 50
"""How far the clock may step back and still be waited out, blocking its caller for that long."""

_TIME_SHIFT = NODE_BITS + GENE_BITS + SEQUENCE_BITS
_NODE_SHIFT = GENE_BITS + SEQUENCE_BITS
_LARGEST = (1 << 63) - 1
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_OPAQUE_LENGTH = 13


class NotAnId(DomainError):
    """The text is no id of the kind that was asked for."""

    code = "invalid_id"

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(f"{text[:40]!r} is not {expected}.")


class ClockMovedBack(RuntimeError):
    """The machine's clock stands so far before the last number's time that waiting is no answer."""

    def __init__(self, by_ms: int) -> None:
        super().__init__(
            f"the clock stands {by_ms} ms before the last number given out (more than {STEP_BACK_MS} ms): "
            "set the clock right, or restart to lease another node"
        )
        self.by_ms = by_ms


class NodeLeaseLost(RuntimeError):
    """The lease of the node has run out: another process may hold it by now, so no number can be given."""

    def __init__(self, node: int) -> None:
        super().__init__(f"the lease of node {node} has run out: is the database reachable, or was the process frozen?")
        self.node = node


@dataclass(frozen=True, slots=True)
class IdParts:
    """What a number says about itself; `at_ms` is in milliseconds since 1970."""

    at_ms: int
    node: int
    gene: int
    sequence: int

    @property
    def at(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.at_ms)


class IdGenerator:
    """Gives numbers of one node, with times that never go back. For one thread: it never suspends a task.

    `clock_ms`: milliseconds since 1970; `wait`: sleeps that many seconds (about 50 ms at most per number); `last_ms`:
    the node's highest time that may have been used, by whomever; `lease_ends_ms`: the time, by the same clock, from
    which on the node is no longer ours. Since the bound is on the time *inside* the number, a process that
    froze between asking and using still can't collide with the node's next holder, who starts above that bound.
    """

    def __init__(
        self,
        node: int,
        clock_ms: Callable[[], int],
        wait: Callable[[float], None],
        last_ms: int,
        lease_ends_ms: Callable[[], int] | None = None,
    ) -> None:
        if not 0 <= node < NODES:
            raise ValueError(f"a node is between 0 and {NODES - 1}, not {node}")
        self.node = node
        self.last_ms = max(last_ms, EPOCH_MS)
        self._sequence = PER_MS - 1  # the stored millisecond counts as used up
        self._clock_ms = clock_ms
        self._wait = wait
        self._lease_ends_ms = lease_ends_ms or (lambda: EPOCH_MS + (1 << TIME_BITS))

    def next(self, gene: int) -> int:
        """A number for a buyer's gene (`gene_of`). Raises ClockMovedBack, NodeLeaseLost."""
        now_ms = self._clock_ms()
        sequence = self._sequence + 1
        if now_ms > self.last_ms:
            sequence = 0
        elif now_ms < self.last_ms or sequence == PER_MS:
            now_ms = self._wait_past_last(now_ms)
            sequence = 0
        if now_ms >= self._lease_ends_ms():
            raise NodeLeaseLost(self.node)
        self.last_ms, self._sequence = now_ms, sequence
        return compose(now_ms, self.node, gene, sequence)

    def _wait_past_last(self, now_ms: int) -> int:
        """Waits until the clock is past the last number's millisecond; the bound holds however strange the clock is."""
        for _ in range(4 * STEP_BACK_MS):
            behind_ms = self.last_ms - now_ms
            if behind_ms > STEP_BACK_MS:
                raise ClockMovedBack(behind_ms)
            self._wait(max(behind_ms, 0) / 1000 + 0.0003)
            now_ms = self._clock_ms()
            if now_ms > self.last_ms:
                return now_ms
        raise ClockMovedBack(self.last_ms - now_ms)


def compose(at_ms: int, node: int, gene: int, sequence: int) -> int:
    """The number with these parts. Raises ValueError for a part out of its range."""
    time = at_ms - EPOCH_MS
    if time >> TIME_BITS or not (0 <= node < NODES and 0 <= gene < SHARDS and 0 <= sequence < PER_MS):
        raise ValueError(f"out of range: time {at_ms}, node {node}, gene {gene}, sequence {sequence}")
    return time << _TIME_SHIFT | node << _NODE_SHIFT | gene << SEQUENCE_BITS | sequence


def parts(number: int) -> IdParts:
    """The parts of a number that `compose` made."""
    if not 0 <= number <= _LARGEST:
        raise NotAnId(str(number), "a 63-bit number")
    return IdParts(
        at_ms=(number >> _TIME_SHIFT) + EPOCH_MS,
        node=number >> _NODE_SHIFT & NODES - 1,
        gene=number >> SEQUENCE_BITS & SHARDS - 1,
        sequence=number & PER_MS - 1,
    )


def gene_of(buyer: int | str) -> int:
    """The shard gene of a buyer: its id modulo the shard count; a text's stable hash (CRC-32) modulo the same."""
    return (buyer if isinstance(buyer, int) else crc32(buyer.encode())) % SHARDS


def show(number: int) -> str:
    """The number as its callers see it: 19 decimal digits."""
    if not 0 <= number <= _LARGEST:
        raise NotAnId(str(number), "a 63-bit number")
    return f"{number:0{DIGITS}d}"


def parse(text: str) -> int:
    """The number that `show` made. Raises NotAnId for anything else."""
    if len(text) != DIGITS or not (text.isascii() and text.isdigit()) or int(text) > _LARGEST:
        raise NotAnId(text, f"an order number: {DIGITS} decimal digits")
    return int(text)


def prefixed(prefix: str, number: int) -> str:
    """A typed, opaque id such as `prd_0w4qxk2m9a7bc`: 13 letters of Crockford's base 32, sorting alike."""
    if not 0 <= number <= _LARGEST:
        raise NotAnId(str(number), "a 63-bit number")
    letters = [_ALPHABET[number >> shift & 31] for shift in range(5 * (_OPAQUE_LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(letters)}"


def parse_prefixed(prefix: str, text: str) -> int:
    """The number inside a typed id. Raises NotAnId for another type's id, or for no id."""
    head, _, tail = text.rpartition("_")
    if head != prefix or len(tail) != _OPAQUE_LENGTH or any(letter not in _VALUES for letter in tail):
        raise NotAnId(text, f"an id that starts with {prefix}_")
    number = 0
    for letter in tail:
        number = number << 5 | _VALUES[letter]
    if number > _LARGEST:
        raise NotAnId(text, f"an id that starts with {prefix}_")
    return number
