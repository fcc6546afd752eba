"""Working hours of a line, by the clock on the company's wall."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony import hours
from telephony.hours import Hours, Interval

MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")


def line(text: str) -> Hours:
    found = hours.read(text)
    assert found is not None
    return found


OFFICE = line("mon 09:00-13:00 14:00-18:00\nfri 09:00-17:00\noff 2026-03-06")
NIGHT = line("sat 22:00-06:00\nsun 00:00-00:00")


@pytest.mark.parametrize(
    ("at", "working"),
    [
        ("2026-03-02 08:59", False),
        ("2026-03-02 09:00", True),
        ("2026-03-02 12:59", True),
        ("2026-03-02 13:30", False),
        ("2026-03-02 18:00", False),
        ("2026-03-03 10:00", False),  # Tuesday
        ("2026-03-06 10:00", False),  # a day off
        ("2026-03-13 10:00", True),
    ],
)
def test_an_office(at: str, working: bool) -> None:
    assert OFFICE.are_now(datetime.fromisoformat(at).replace(tzinfo=MOSCOW), MOSCOW) is working


@pytest.mark.parametrize(
    ("at", "working"),
    [
        ("2026-03-07 21:59", False),
        ("2026-03-07 22:00", True),
        ("2026-03-08 05:59", True),
        ("2026-03-08 23:59", True),
        ("2026-03-09 00:00", False),
    ],
)
def test_hours_past_midnight(at: str, working: bool) -> None:
    assert NIGHT.are_now(datetime.fromisoformat(at).replace(tzinfo=MOSCOW), MOSCOW) is working


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    on_the_next_day = datetime(2026, 3, 8, 3, tzinfo=MOSCOW)
    assert line("sat 22:00-06:00\noff 2026-03-08").are_now(on_the_next_day, MOSCOW)
    assert not line("sat 22:00-06:00\noff 2026-03-07").are_now(on_the_next_day, MOSCOW)


def test_the_clock_on_the_wall_decides_when_it_is_put_forward_and_back() -> None:
    """In Berlin 2026-03-29 has 23 hours and 2026-10-25 has 25; both are Sundays."""
    early = line("sun 09:00-10:00")
    assert early.are_now(datetime(2026, 3, 29, 7, 30, tzinfo=UTC), BERLIN)  # summer time began in this night
    assert early.are_now(datetime(2026, 10, 25, 8, 30, tzinfo=UTC), BERLIN)  # and is over
    assert not early.are_now(datetime(2026, 10, 25, 7, 30, tzinfo=UTC), BERLIN)
    twice = line("sun 02:00-03:00")  # this hour comes twice in autumn
    assert [twice.are_now(datetime(2026, 10, 25, hour, 30, tzinfo=UTC), BERLIN) for hour in (0, 1)] == [True, True]


def test_whose_clock_it_is() -> None:
    at = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
    assert (OFFICE.are_now(at, MOSCOW), OFFICE.are_now(at, BERLIN)) == (True, False)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("9:00–13:00, 14-18", "09:00-13:00 14:00-18:00"),
        ("14.30 - 18.00; 9-13", "09:00-13:00 14:30-18:00"),
        ("22:00—6:00", "22:00-06:00"),
        ("0:00–24:00", "00:00-00:00"),
        ("", ""),
    ],
)
def test_hours_as_people_write_them(text: str, read: str) -> None:
    assert " ".join(map(str, hours.intervals(text))) == read


@pytest.mark.parametrize("text", ["from nine", "9:00", "25:00-26:00", "9:70-10:00", "9-13 12-18", "9-18 x"])
def test_what_cannot_be_hours_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        hours.intervals(text)


intervals = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).map(lambda of: Interval(of[0], of[0] + of[1]))


@given(st.lists(st.lists(intervals, max_size=1), min_size=7, max_size=7), st.sets(st.dates(), max_size=3))
def test_what_is_stored_says_the_same(week: list[list[Interval]], off: set[date]) -> None:
    known = Hours(tuple(map(tuple, week)), frozenset(off))
    text = str(known)
    again = hours.read(text)
    assert (again or Hours(((),) * 7)) == (known if text else Hours(((),) * 7))


def test_no_line_has_hours_until_somebody_says_so() -> None:
    assert hours.read("") is None


def test_every_minute_of_a_week_is_covered_as_it_is_written() -> None:
    monday = datetime(2026, 3, 2, tzinfo=MOSCOW)
    open_ = sum(OFFICE.are_now(monday + timedelta(minutes=n), MOSCOW) for n in range(7 * 24 * 60))
    assert open_ == 8 * 60, "Friday of this week is off"
