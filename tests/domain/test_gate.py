"""Serials that people read, windows on days of 23 to 25 hours, and what a gate is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.gate import (
    LATE_ENTRY_H,
    NotASerial,
    Outcome,
    TicketRedeemed,
    TicketRef,
    TicketStanding,
    TicketStatus,
    TicketVoid,
    Window,
    judge_entry,
    judge_scan,
    window_of,
)

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
REF = TicketRef(1039000000000000001, 1, 0)
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

refs = st.builds(
    TicketRef, st.integers(0, 2**63 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1)
)  # fmt: skip
zones = st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut"])
moments = st.datetimes(datetime(2000, 1, 1), datetime(2037, 12, 31)).map(lambda naive: naive.replace(tzinfo=UTC))


def at(zone: str, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone)).astimezone(UTC)  # type: ignore[misc, arg-type]


@given(refs)
def test_a_serial_names_one_ticket_and_is_read_back(ref: TicketRef) -> None:
    assert TicketRef.of_serial(ref.serial) == ref


@given(refs, st.integers(0, 22), st.sampled_from(LETTERS))
def test_a_misread_letter_is_noticed(ref: TicketRef, place: int, letter: str) -> None:
    serial = ref.serial
    if serial[place] in ("-", letter):
        return
    with pytest.raises(NotASerial):
        TicketRef.of_serial(serial[:place] + letter + serial[place + 1 :])


def test_people_may_type_a_serial_in_small_letters_without_hyphens_and_take_o_for_zero() -> None:
    typed = REF.serial.replace("-", "").lower().replace("0", "o").replace("1", "l")
    assert TicketRef.of_serial(typed) == REF


@pytest.mark.parametrize("text", ["", "-", "U" * 20, REF.serial[:-1], REF.serial + "0", "é" * 20])
def test_what_is_no_serial_is_refused(text: str) -> None:
    with pytest.raises(NotASerial):
        TicketRef.of_serial(text)


def test_a_ticket_of_an_event_opens_three_hours_before_it_until_its_day_ends() -> None:
    starts_at = at("Asia/Shanghai", 2026, 12, 1, 14)
    window = window_of(starts_at=starts_at, issued_at=NOON, time_zone="Asia/Shanghai", terms={})
    assert window == Window(at("Asia/Shanghai", 2026, 12, 1, 11), at("Asia/Shanghai", 2026, 12, 2))


def test_terms_say_when_the_gate_opens() -> None:
    starts_at = at("Asia/Shanghai", 2026, 12, 1, 14)
    window = window_of(starts_at=starts_at, issued_at=NOON, time_zone="Asia/Shanghai", terms={"gate_opens_before_h": 1})
    assert window.opens_at == at("Asia/Shanghai", 2026, 12, 1, 13)


def test_a_concert_before_midnight_lets_people_in_after_it() -> None:
    starts_at = at("Asia/Shanghai", 2026, 12, 31, 23, 30)
    window = window_of(starts_at=starts_at, issued_at=NOON, time_zone="Asia/Shanghai", terms={})
    assert window.closes_at == starts_at + timedelta(hours=LATE_ENTRY_H)


@pytest.mark.parametrize(
    ("day", "hours"),
    [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24)],
    ids=["spring forward", "fall back", "a usual day"],
)
def test_the_event_day_ends_at_local_midnight_also_where_clocks_change(day: tuple[int, int, int], hours: int) -> None:
    midnight = at("Europe/Berlin", *day)
    window = window_of(starts_at=midnight, issued_at=NOON, time_zone="Europe/Berlin", terms={})
    assert window.closes_at == midnight + timedelta(hours=hours)
    assert window.opens_at == midnight - timedelta(hours=3)  # hours that pass, not those on the clock


def test_the_same_moment_is_another_day_elsewhere() -> None:
    starts_at = datetime(2026, 12, 1, 12, tzinfo=UTC)
    ends = {
        zone: window_of(starts_at=starts_at, issued_at=NOON, time_zone=zone, terms={}).closes_at
        for zone in ("Asia/Shanghai", "America/New_York")
    }
    assert ends == {"Asia/Shanghai": datetime(2026, 12, 1, 16, tzinfo=UTC),
                    "America/New_York": datetime(2026, 12, 2, 5, tzinfo=UTC)}  # fmt: skip


def test_an_open_ticket_is_valid_from_its_issue_for_as_many_days_as_agreed() -> None:
    issued_at = at("Asia/Shanghai", 2026, 11, 1, 20)
    window = window_of(starts_at=None, issued_at=issued_at, time_zone="Asia/Shanghai", terms={"valid_days": 30})
    assert window == Window(issued_at, at("Asia/Shanghai", 2026, 12, 2))


@pytest.mark.parametrize("term", [None, "30", True, -1, 10**9])
def test_an_open_ticket_without_a_sensible_term_does_not_end(term: object) -> None:
    window = window_of(starts_at=None, issued_at=NOON, time_zone="UTC", terms={"valid_days": term})
    assert window.closes_at is None
    assert window.is_open(NOON + timedelta(days=10_000))


@given(moments, zones)
def test_every_event_is_inside_its_own_window(starts_at: datetime, zone: str) -> None:
    window = window_of(starts_at=starts_at, issued_at=NOON, time_zone=zone, terms={})
    assert window.is_open(starts_at)
    assert window.closes_at is not None
    assert window.is_open(window.closes_at - timedelta(seconds=1))
    assert not window.is_open(window.closes_at)
    assert not window.is_open(window.opens_at - timedelta(seconds=1))


WINDOW = Window(NOON, NOON + timedelta(hours=1))
VALID = TicketStanding(TicketStatus.VALID)
USED = TicketStanding(TicketStatus.REDEEMED, NOON, "north-1")
TAKEN_BACK = TicketStanding(TicketStatus.VOID, voided_at=NOON, void_reason="event canceled")


@pytest.mark.parametrize(
    ("standing", "minutes", "told", "told_after_entry"),
    [
        (VALID, -1, Outcome.NOT_VALID_NOW, Outcome.ADMITTED),
        (VALID, 0, Outcome.ADMITTED, Outcome.ADMITTED),
        (VALID, 60, Outcome.NOT_VALID_NOW, Outcome.ADMITTED),
        (USED, 0, Outcome.REDEEMED, Outcome.REDEEMED),
        (USED, 90, Outcome.REDEEMED, Outcome.REDEEMED),
        (TAKEN_BACK, 0, Outcome.VOID, Outcome.VOID),
    ],
)
def test_what_a_scan_and_an_entry_come_to(
    standing: TicketStanding, minutes: int, told: Outcome, told_after_entry: Outcome
) -> None:
    assert judge_scan(standing, WINDOW, NOON + timedelta(minutes=minutes)) is told
    assert judge_entry(standing) is told_after_entry


def test_only_an_unused_ticket_can_be_voided() -> None:
    VALID.check_unused("s")
    with pytest.raises(TicketRedeemed, match="gate north-1"):
        USED.check_unused("s")
    with pytest.raises(TicketVoid, match="event canceled"):
        TAKEN_BACK.check_unused("s")
