"""PBXs that should speak and do not: the line to one is down, or one that spoke every day says nothing any more."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, DateTimeField, ExpressionWrapper, OuterRef, QuerySet, Subquery
from django.db.models.functions import TruncDate
from django.utils import timezone

from employees.models import Company

from .coverage import zone_of
from .events import OURS
from .models import Call, Connection, InboxEvent, Listening

DOWN = timedelta(minutes=5)
"""A line that breaks is up again within moments; so long means that somebody must look."""
SILENT = timedelta(hours=24)
"""Of working days: nobody calls an office at the weekend."""
BEFORE = timedelta(days=7)
LIVELY = 3
"""On so many of the days `BEFORE` its last event a PBX must have had calls for its silence to mean something."""


def with_last_event(connections: QuerySet[Connection]) -> QuerySet[Any]:
    """`last_event`: when the PBX itself told us something last."""
    told = InboxEvent.objects.filter(connection=OuterRef("pk")).exclude(path__startswith=OURS)
    return connections.annotate(last_event=Subquery(told.order_by("-received_at").values("received_at")[:1]))


def lines_down(companies: QuerySet[Company]) -> QuerySet[Listening]:
    """Lines of active connections that have been down for a while; `error` says why."""
    rows = Listening.objects.filter(connection__company__in=companies, connection__active=True, up_since=None)
    return rows.filter(down_since__lt=timezone.now() - DOWN).select_related("connection__company")


def silent(companies: QuerySet[Company]) -> Iterator[tuple[Connection, datetime]]:
    """Active connections of lively PBXs that push their events and have not for long, each with the last one."""
    now = timezone.now()
    pushing = Connection.objects.filter(company__in=companies, active=True, listening=None)
    rows = with_last_event(pushing).filter(last_event__lt=now - SILENT).select_related("company")
    quiet = {row.pk: row for row in rows if _working(row.company, row.last_event, now) > SILENT}
    for pk in _lively(quiet):
        yield quiet[pk], quiet[pk].last_event


def _lively(connections: Collection[int]) -> list[int]:
    """Those that had calls on several days before they fell silent."""
    if not connections:
        return []
    before = ExpressionWrapper(OuterRef("last_event") - BEFORE, DateTimeField())
    calls = Call.objects.filter(company=OuterRef("company"), connection=OuterRef("pk"), started_at__gt=before)
    days = calls.order_by().values("connection").annotate(days=Count(TruncDate("started_at"), distinct=True))
    rows = with_last_event(Connection.objects.filter(pk__in=list(connections))).annotate(
        days=Subquery(days.values("days"))
    )
    return list(rows.filter(days__gte=LIVELY).order_by("name").values_list("pk", flat=True))


def _working(company: Company, since: datetime, until: datetime) -> timedelta:
    """The time between two moments without Saturdays and Sundays, the company's; a week is long enough to count."""
    zone = zone_of(company)
    begin, end = since.astimezone(zone), until.astimezone(zone)
    if end - begin > timedelta(days=7):
        return timedelta(days=5)
    found = timedelta()
    while begin < end:
        midnight = (begin + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        if begin.weekday() < 5:
            found += min(midnight, end) - begin
        begin = midnight
    return found
