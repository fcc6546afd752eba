"""Is every call here? A PBX's history beside our calls, day by day (the company's days)."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from employees import phones
from employees.models import Company

from . import backfill, words
from .backfill import Missing
from .fold import Source
from .models import Call, Connection, CoverageDay

HOLES_SHOWN = timedelta(days=7)
"""As far as comparisons look back by themselves."""


def zone_of(company: Company) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(company.time_zone)


def first_moment(company: Company, day: date) -> datetime:
    return datetime.combine(day, time.min, zone_of(company))


def midnight(company: Company, moment: datetime) -> datetime:
    """The beginning of the company's day."""
    return first_moment(company, moment.astimezone(zone_of(company)).date())


def note(connection: Connection, begin: datetime, until: datetime, told: int, missing: Iterable[Missing]) -> None:
    """Keep what a comparison of a day found, unless a later one is known already. In a transaction of the caller's."""
    day = begin.astimezone(zone_of(connection.company)).date()
    rows = CoverageDay.objects.filter(connection=connection, day=day)
    if not rows.filter(until__gt=until).exists():
        found = {"until": until, "told": told, "missing": [_shown(connection, each) for each in missing]}
        CoverageDay.objects.update_or_create(connection=connection, day=day, defaults=found)


def _shown(connection: Connection, each: Missing) -> dict[str, Any]:
    """A missing call as a person would look for it."""
    folded = each.compared.folded
    return {
        "call": each.compared.told.call,
        "at": folded.started_at and (folded.started_at - backfill.shift_of(connection)).isoformat(),
        "phone": phones.normalise(folded.client_number, connection.company.region),
        "extension": folded.extension,
        "why": each.why,
    }


# --- What a page shows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Absent:
    """A call that the PBX has and we have not, and why."""

    at: datetime
    phone: str
    extension: str
    why: str


@dataclass
class Day:
    """A day of a connection. `told`: calls in the PBX, None where it was not compared. `calls`: those in our journal.
    `crm` is what the rooms above add."""

    day: date
    calls: int
    told: int | None = None
    until: datetime | None = None
    whole: bool = False
    missing: list[Absent] = field(default_factory=list)
    crm: list[Any] = field(default_factory=list)

    @property
    def here(self) -> int:
        """How many of the PBX's calls are here."""
        return (self.told or 0) - len(self.missing)


def days(connection: Connection, count: int) -> list[Day]:
    """The last days, the newest first; of those before the connection was made only what is known."""
    company = connection.company
    today = timezone.now().astimezone(zone_of(company)).date()
    made = connection.created_at.astimezone(zone_of(company)).date()
    first = today - timedelta(days=count - 1)
    calls = calls_by_day(connection, first)
    rows = {row.day: row for row in CoverageDay.objects.filter(connection=connection, day__gte=first)}
    known = backfill.ours(connection, [each["call"] for row in rows.values() for each in row.missing])
    wanted = [today - timedelta(days=back) for back in range(count)]
    shown = [day for day in wanted if day >= made or day in calls or day in rows]
    return [_day(company, day, calls.get(day, 0), rows.get(day), known) for day in shown]


def absent(connection: Connection, day: date) -> list[Absent]:
    """What is still missing of a day, as far as it was compared."""
    row = CoverageDay.objects.filter(connection=connection, day=day).exclude(missing=[]).first()
    return _absent(row.missing, backfill.ours(connection, [each["call"] for each in row.missing])) if row else []


def holes(companies: QuerySet[Company]) -> Iterator[tuple[Connection, date, int]]:
    """The days of the last week, today's apart, that are not whole: how many calls of the PBX are missing."""
    rows = CoverageDay.objects.filter(connection__company__in=companies, connection__active=True)
    recent = rows.filter(day__gte=(timezone.now() - HOLES_SHOWN).date()).exclude(missing=[])
    torn = list(recent.select_related("connection__company").order_by("connection__name", "-day"))
    known = backfill.known({(row.connection_id, each["call"]) for row in torn for each in row.missing})
    for row in torn:
        missing = sum((row.connection_id, each["call"]) not in known for each in row.missing)
        if missing and row.day < timezone.now().astimezone(zone_of(row.connection.company)).date():
            yield row.connection, row.day, missing


def calls_by_day(connection: Connection, first: date) -> dict[date, int]:
    since = first_moment(connection.company, first)
    rows = Call.objects.filter(company=connection.company_id, connection=connection, started_at__gte=since)
    rows = rows.exclude(source=Source.TRIAL)
    by_day = rows.annotate(day=TruncDate("started_at", tzinfo=zone_of(connection.company)))
    return dict(by_day.values_list("day").annotate(Count("pk")).order_by())


def _day(company: Company, day: date, calls: int, row: CoverageDay | None, known: dict[str, Call]) -> Day:
    if row is None:
        return Day(day, calls)
    whole = row.until >= first_moment(company, day + timedelta(days=1))
    return Day(day, calls, row.told, row.until, whole, _absent(row.missing, known))


def _absent(missing: Sequence[dict[str, Any]], known: dict[str, Call]) -> list[Absent]:
    """What was missing and has not come since."""
    return [
        Absent(
            at=datetime.fromisoformat(each["at"]),
            phone=each["phone"],
            extension=each["extension"],
            why=words.in_words(words.MISSING, each["why"]),
        )
        for each in missing
        if each["call"] not in known
    ]
