"""How a connection was day by day: a row for each, rolled up from what is stored, so that a page reads few of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, F, Max, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from .coverage import first_moment, zone_of
from .events import OURS
from .hot import hot_write
from .models import Connection, ConnectionDay, Exchange, InboxEvent, Listening

SHOWN = 30
KEPT = timedelta(days=400)
REFUSALS = (401, 403)
SHORT = 5
"""Minutes that a line may be down on a day without a word: it is connected anew now and then."""


# --- Writing it down --------------------------------------------------------------------------------------------------


def roll_up() -> None:
    """Count what is not counted yet: today anew each time, and the days since the last count."""
    for connection in Connection.objects.select_related("company").annotate(counted=Max("pulse__day")):
        today = _today(connection)
        first = max(connection.counted or date.min, today - timedelta(days=SHOWN - 1))
        events, refused = _events(connection, first), _refused(connection, first)
        days = [first + timedelta(days=each) for each in range((today - first).days + 1)]
        rows = [
            ConnectionDay(connection=connection, day=day, events=events.get(day, 0), refused=refused.get(day, 0))
            for day in days
        ]
        with hot_write():
            ConnectionDay.objects.bulk_create(
                rows, update_conflicts=True, unique_fields=["connection", "day"], update_fields=["events", "refused"]
            )


def note_lines_down() -> None:
    """Once a minute: today's row of each line that is down has one minute more."""
    down = Listening.objects.filter(connection__active=True, up_since=None).exclude(down_since=None)
    for line in down.select_related("connection__company"):
        day = _today(line.connection)
        ConnectionDay.objects.get_or_create(connection=line.connection, day=day)
        ConnectionDay.objects.filter(connection=line.connection, day=day).update(down_minutes=F("down_minutes") + 1)


def forget_old() -> None:
    ConnectionDay.objects.filter(day__lt=(timezone.now() - KEPT).date()).delete()


def _events(connection: Connection, first: date) -> dict[date, int]:
    told = InboxEvent.objects.filter(connection=connection).exclude(path__startswith=OURS)
    return _by_day(told, "received_at", connection, first)


def _refused(connection: Connection, first: date) -> dict[date, int]:
    refused = Exchange.objects.filter(account=connection.uuid, status__in=REFUSALS)
    return _by_day(refused, "at", connection, first)


def _by_day(rows: QuerySet[Any], moment: str, connection: Connection, first: date) -> dict[date, int]:
    company = connection.company
    recent = rows.filter(**{f"{moment}__gte": first_moment(company, first)})
    by_day = recent.annotate(its_day=TruncDate(moment, tzinfo=zone_of(company)))
    return dict(by_day.values_list("its_day").annotate(Count("pk")).order_by())


def _today(connection: Connection) -> date:
    return timezone.now().astimezone(zone_of(connection.company)).date()


# --- Showing it -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pulse:
    """A day of a connection. `code`: `spoke`, `silent`, `down`, `refused`, or empty before it was made or counted."""

    day: date
    code: str = ""
    events: int = 0
    refused: int = 0
    down_minutes: int = 0


def of(connections: Iterable[Connection]) -> dict[int, list[Pulse]]:
    """The last days of each, the oldest first; their companies must be loaded. One question for all."""
    connections = list(connections)
    known: defaultdict[int, dict[date, ConnectionDay]] = defaultdict(dict)
    earliest = (timezone.now() - timedelta(days=SHOWN + 1)).date()
    for row in ConnectionDay.objects.filter(connection__in=connections, day__gt=earliest):
        known[row.connection_id][row.day] = row
    return {each.pk: _strip(each, known[each.pk]) for each in connections}


def _strip(connection: Connection, rows: dict[date, ConnectionDay]) -> list[Pulse]:
    today = _today(connection)
    made = connection.created_at.astimezone(zone_of(connection.company)).date()
    days = [today - timedelta(days=back) for back in range(SHOWN - 1, -1, -1)]
    return [_pulse(rows[day]) if day in rows and (day >= made or rows[day].events) else Pulse(day) for day in days]


def _pulse(row: ConnectionDay) -> Pulse:
    code = "spoke" if row.events else "silent"
    if row.refused:
        code = "refused"
    elif row.down_minutes > SHORT:
        code = "down"
    return Pulse(row.day, code, row.events, row.refused, row.down_minutes)
