"""Working hours of a line: what the clock on the company's wall must show for somebody to take calls.

Kept as text, a line for each day of the week that has hours and one for the days off:

    mon 09:00-13:00 14:00-18:00
    fri 22:00-06:00
    off 2027-01-01 2027-01-02

An interval that ends before it begins goes on past midnight and belongs to the day on which it begins, also where the
next day is off. `00:00-00:00` is the whole day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OFF = "off"
DAY_MINUTES = 24 * 60
_INTERVAL = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*[-–—]\s*(\d{1,2})(?:[:.](\d{2}))?")


@dataclass(frozen=True, slots=True)
class Interval:
    """Minutes since midnight; `end` is above `DAY_MINUTES` where it goes on into the next day."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end)}"


@dataclass(frozen=True, slots=True)
class Hours:
    """`week`: the intervals of each day, Monday first. `off`: dates on which nobody works."""

    week: tuple[tuple[Interval, ...], ...]
    off: frozenset[date] = frozenset()

    def __str__(self) -> str:
        lines = [f"{name} {' '.join(map(str, day))}" for name, day in zip(DAYS, self.week, strict=True) if day]
        if self.off:
            lines.append(f"{OFF} {' '.join(sorted(map(str, self.off)))}")
        return "\n".join(lines)

    def are_now(self, moment: datetime, zone: ZoneInfo) -> bool:
        """Whether somebody works at an (aware) moment."""
        local = moment.astimezone(zone)
        minute = local.hour * 60 + local.minute
        today = local.date()
        return self._covers(today, minute) or self._covers(today - timedelta(days=1), minute + DAY_MINUTES)

    def _covers(self, day: date, minute: int) -> bool:
        intervals = () if day in self.off else self.week[day.weekday()]
        return any(each.begin <= minute < each.end for each in intervals)


def read(text: str) -> Hours | None:
    """The stored text; None where the line has no hours."""
    if not text:
        return None
    said = {name: rest.split() for name, _space, rest in (line.partition(" ") for line in text.splitlines())}
    week = tuple(tuple(intervals(" ".join(said.get(name, ())))) for name in DAYS)
    return Hours(week, frozenset(date.fromisoformat(day) for day in said.get(OFF, ())))


def intervals(text: str) -> list[Interval]:
    """`9:00–13:00, 14-18`, as people write it; raises `ValueError` with what cannot be read, or what overlaps."""
    found = [_interval(match) for match in _INTERVAL.finditer(text)]
    rest = _INTERVAL.sub(" ", text).strip(" ,;\t")
    if rest:
        raise ValueError(rest)
    found.sort(key=lambda each: each.begin)
    for one, following in pairwise(found):
        if following.begin < one.end:
            raise ValueError(f"{one}, {following}")
    return found


def _interval(match: re.Match[str]) -> Interval:
    hours = (int(match[1]), int(match[3]))
    minutes = (int(match[2] or 0), int(match[4] or 0))
    begin, end = (hour * 60 + minute for hour, minute in zip(hours, minutes, strict=True))
    if max(minutes) > 59 or begin >= DAY_MINUTES or end > DAY_MINUTES:
        raise ValueError(match[0])
    return Interval(begin, end if end > begin else end + DAY_MINUTES)


def _clock(minute: int) -> str:
    return f"{minute // 60 % 24:02}:{minute % 60:02}"
