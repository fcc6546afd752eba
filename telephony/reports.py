"""Reports: how many calls, how long, and who was not reached, by employee, client, line and time.

The database adds up; what comes here is one row for each line of a report. Calls among colleagues and those with
employees' own phones are no calls with clients. Days and hours are the company's (the zone that is active).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import ExtractHour, TruncDate, TruncHour
from django.utils import timezone
from django.utils.translation import gettext as _

from clients.models import ClientPhone
from employees import phones
from employees.models import Company, Employee, EmployeePhone

from . import journal
from .coverage import zone_of
from .fold import CallState, Source
from .missed import conversations, lines_with_hours, missed
from .models import Call, VirtualNumber
from .providers.base import Direction

DAYS_OF_WEEK = 7
INCOMING, OUTGOING = Q(direction=Direction.IN), Q(direction=Direction.OUT)
SUMS: dict[str, Any] = {
    "incoming": Count("pk", filter=INCOMING),
    "outgoing": Count("pk", filter=OUTGOING),
    "answered": Count("pk", filter=Q(answered_at__isnull=False)),
    "missed": Count("pk", filter=INCOMING & Q(answered_at=None)),
    "talk": Sum("talk_seconds", default=0),
    "waiting": Sum("wait_seconds", filter=INCOMING, default=0),
}


@dataclass
class Figures:
    """What some calls add up to; times in seconds. `called_back` and `came_back`: missed calls after which the next
    conversation was begun by us, or by the client; `patience` is the median of the time until ours. `off_hours`: missed
    calls that came outside the working hours of their line, where those are known."""

    incoming: int = 0
    outgoing: int = 0
    answered: int = 0
    missed: int = 0
    talk: int = 0
    waiting: int = 0
    called_back: int = 0
    came_back: int = 0
    patience: int | None = None
    off_hours: int = 0

    def add(self, sums: dict[str, int]) -> None:
        for name, value in sums.items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def total(self) -> int:
        return self.incoming + self.outgoing

    @property
    def unreached(self) -> int:
        """Outgoing calls that nobody answered."""
        return self.total - self.answered - self.missed

    @property
    def called_back_percent(self) -> int | None:
        return round(100 * self.called_back / self.missed) if self.missed else None

    @property
    def average_talk(self) -> int | None:
        return round(self.talk / self.answered) if self.answered else None

    @property
    def average_wait(self) -> int | None:
        return round(self.waiting / self.incoming) if self.incoming else None


@dataclass
class Line(Figures):
    """A line of a report; `key` is what its calls have in common."""

    key: Any = None
    name: str = ""
    about: str = ""
    days: list[Figures] = field(default_factory=list)
    """Of a week, Monday first."""


@dataclass(frozen=True)
class Period:
    """From the first to the last day."""

    since: date
    until: date

    @property
    def days(self) -> int:
        return (self.until - self.since).days + 1

    @property
    def began(self) -> Q:
        return journal.within(self.since, self.until)

    @property
    def before(self) -> Period:
        """As many days just before it."""
        return Period(self.since - timedelta(days=self.days), self.since - timedelta(days=1))

    @property
    def week(self) -> Period:
        """The week, Monday to Sunday, that its last day is in."""
        monday = self.until - timedelta(days=self.until.weekday())
        return Period(monday, monday + timedelta(days=DAYS_OF_WEEK - 1))


def calls(company: Company, period: Period) -> QuerySet[Call]:
    """Calls with clients that are over."""
    private = EmployeePhone.objects.filter(company=company).values("phone")
    found = Call.objects.filter(period.began, company=company, state=CallState.FINISHED)
    return found.filter(INCOMING | OUTGOING).exclude(client_phone__in=private).exclude(source=Source.TRIAL)


# --- Lines ------------------------------------------------------------------------------------------------------------


def totals(company: Company, period: Period) -> Figures:
    found = Line(key=0, **calls(company, period).aggregate(**SUMS))
    _note_answers(company, [found], missed(company).filter(period.began), Value(0))
    return found


def by_employee(company: Company, period: Period) -> list[Line]:
    """Whoever talked, else whose phone rang."""
    lines = _lines(company, period, calls(company, period), "employee")
    return _sorted(_name_employees(lines))


def by_client(company: Company, period: Period, limit: int) -> list[Line]:
    """By number; those with most calls."""
    most = _most(company, period, limit)
    return _sorted(_name_clients(company, _lines(company, period, most, "client_phone")))


def by_line(company: Company, period: Period) -> list[Line]:
    lines = _lines(company, period, calls(company, period), "virtual_number")
    names = dict(VirtualNumber.objects.filter(company=company).values_list("number", "line_name"))
    for line in lines:
        number = phones.pretty(line.key)
        line.name = (f"{names[line.key]} ({number})" if names.get(line.key) else number) or str(_("unknown line"))
    return _sorted(lines)


def by_hour(company: Company, period: Period) -> tuple[list[Line], list[list[Figures]]]:
    """Each hour of the day, and each hour of each day of the week (Monday first)."""
    hours = [Line(key=hour, name=f"{hour:02}:00") for hour in range(24)]
    week = [[Figures() for _hour in hours] for _day in range(DAYS_OF_WEEK)]
    zone = timezone.get_current_timezone()
    groups = calls(company, period).values(hour=TruncHour("started_at", tzinfo=zone)).annotate(**SUMS).order_by()
    for row in map(dict[str, Any], groups):
        at = row.pop("hour")
        hours[at.hour].add(row)
        week[at.weekday()][at.hour].add(row)
    _note_answers(company, hours, missed(company).filter(period.began), ExtractHour("started_at", tzinfo=zone))
    return hours, week


def week_by_employee(company: Company, week: Period) -> list[Line]:
    return _sorted(_name_employees(_days(calls(company, week), week, "employee")))


def week_by_client(company: Company, week: Period, limit: int) -> list[Line]:
    return _sorted(_name_clients(company, _days(_most(company, week, limit), week, "client_phone")))


def _most(company: Company, period: Period, limit: int) -> QuerySet[Call]:
    """Calls with the numbers that have most of them."""
    found = calls(company, period).exclude(client_phone="")
    counted = found.values_list("client_phone").annotate(count=Count("pk")).order_by("-count", "client_phone")
    return found.filter(client_phone__in=[phone for phone, _count in counted[:limit]])


def _lines(company: Company, period: Period, found: QuerySet[Call], key: str) -> list[Line]:
    lines = [Line(key=row.pop(key), **row) for row in found.values(key).annotate(**SUMS).order_by()]
    _note_answers(company, lines, missed(company).filter(period.began), F(key))
    return lines


def _days(found: QuerySet[Call], week: Period, key: str) -> list[Line]:
    """Lines with the figures of each day."""
    lines: dict[Any, Line] = {}
    day = TruncDate("started_at", tzinfo=timezone.get_current_timezone())
    for row in found.values(key, day=day).annotate(**SUMS).order_by():
        place, on = row.pop(key), row.pop("day")
        line = lines.setdefault(place, Line(key=place, days=[Figures() for _day in range(DAYS_OF_WEEK)]))
        line.add(row)
        line.days[(on - week.since).days].add(row)
    return list(lines.values())


def _sorted(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (-line.total, line.name))


def _name_employees(lines: list[Line]) -> list[Line]:
    names = dict(Employee.objects.filter(pk__in=[line.key for line in lines]).values_list("pk", "name"))
    for line in lines:
        line.name = names.get(line.key) or str(_("nobody's"))
    return lines


def _name_clients(company: Company, lines: list[Line]) -> list[Line]:
    """The number, and who he is as the client book knows him."""
    rows = ClientPhone.objects.filter(company=company, phone__in=[line.key for line in lines]).exclude(client__name="")
    names = dict(rows.order_by("client__seen_at").values_list("phone", "client__name"))
    for line in lines:
        line.name, line.about = phones.of_client(line.key), phones.in_text(names.get(line.key, ""))
    return lines


# --- What came after missed calls -------------------------------------------------------------------------------------


MIDDLE = """
SELECT line, way, count, AVG(seconds) FROM (
    SELECT line, way, seconds, COUNT(*) OVER same AS count,
        ROW_NUMBER() OVER (PARTITION BY line, way ORDER BY seconds) AS place
    FROM (
        SELECT missed.line, answer.direction AS way, {seconds} AS seconds
        FROM ({missed}) AS missed JOIN telephony_call AS answer ON answer.id = missed.answer
    ) AS followed WINDOW same AS (PARTITION BY line, way)
) AS numbered WHERE place BETWEEN (count + 1) / 2 AND count / 2 + 1 GROUP BY line, way, count
"""
SECONDS = {
    "sqlite": "(julianday(answer.started_at) - julianday(missed.began)) * 86400",
    "postgresql": "EXTRACT(EPOCH FROM answer.started_at - missed.began)",
}


def _note_answers(company: Company, lines: list[Line], unanswered: QuerySet[Call], key: Any) -> None:
    """How many of these missed calls were followed by a conversation that we began, or the client; and the median of
    the time until ours. `key` is the line of a call. Each call's next conversation is looked for once, and the medians
    are found where the calls are, which the ORM has no words for."""
    found = unanswered.annotate(
        line=key, began=F("started_at"), answer=Subquery(conversations(company).values("pk")[:1])
    )
    inner, values = found.order_by().values("line", "began", "answer").query.sql_with_params()
    by_key = {line.key: line for line in lines}
    with connection.cursor() as cursor:
        cursor.execute(MIDDLE.format(missed=inner, seconds=SECONDS[connection.vendor]), values)
        for place, way, count, seconds in cursor.fetchall():
            line = by_key.get(place)
            if line and way == Direction.OUT:
                line.called_back, line.patience = count, round(seconds)
            elif line:
                line.came_back = count
    _note_hours(company, by_key, unanswered, key)


def _note_hours(company: Company, lines: dict[Any, Line], unanswered: QuerySet[Call], key: Any) -> None:
    known, zone = lines_with_hours(company), zone_of(company)
    rows = unanswered.filter(virtual_number__in=known).order_by() if known else unanswered.none()
    for place, number, at in rows.annotate(line=key).values_list("line", "virtual_number", "started_at").iterator():
        if place in lines and not known[number].are_now(at, zone):
            lines[place].off_hours += 1
