"""What became of a day's calls in each CRM account, beside what the PBX has of that day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db.models import Count, F, Q
from django.db.models.functions import TruncDate

from telephony import coverage
from telephony.coverage import Day
from telephony.fold import Source
from telephony.models import Connection

from . import words
from .models import CallSync, Integration

State = CallSync.State


@dataclass
class InCrm:
    """A day's calls in one integration. `unwanted`: why not, in words, and how many; `aside`: it did not concern
    itself with so many (it was off, or another integration has them)."""

    integration: Integration
    written: int = 0
    on_the_way: int = 0
    parked: int = 0
    waiting: int = 0
    unwanted: list[tuple[str, int]] = field(default_factory=list)
    aside: int = 0

    @property
    def seen(self) -> int:
        known = self.written + self.on_the_way + self.parked + self.waiting
        return known + sum(count for _why, count in self.unwanted)


def integrations_of(connection: Connection) -> list[Integration]:
    rows = Integration.objects.filter(connections=connection).select_related("credential")
    return list(rows.order_by("id"))


def attach_crm(connection: Connection, days: Sequence[Day], integrations: Iterable[Integration]) -> None:
    """Fill `crm` of each day: one `InCrm` for each integration, in their order."""
    for day in days:
        day.crm = [InCrm(integration) for integration in integrations]
    by_place = {(day.day, each.integration.pk): each for day in days for each in day.crm}
    for row in _counts(connection, days[-1].day):
        if place := by_place.get((row["day"], row["integration"])):
            _add(place, row)
    for day in days:
        for each in day.crm:
            each.aside = max(0, day.calls - each.seen)


def _counts(connection: Connection, first: date) -> Iterable[Mapping[str, Any]]:
    since = coverage.first_moment(connection.company, first)
    zone = coverage.zone_of(connection.company)
    rows = CallSync.objects.filter(
        call__company=connection.company_id, call__connection=connection, call__started_at__gte=since, part__isnull=True
    ).exclude(call__source=Source.TRIAL)
    by_day = rows.annotate(day=TruncDate("call__started_at", tzinfo=zone))
    groups = by_day.values("day", "integration", "state", "reason", "parked").order_by()
    return groups.annotate(count=Count("pk"), behind=Count("pk", filter=Q(wanted__gt=F("noted"))))


def _add(place: InCrm, row: Mapping[str, Any]) -> None:
    if row["state"] == State.SKIPPED:
        place.unwanted.append((words.unwanted(place.integration.credential.crm, row["reason"]), row["count"]))
    elif row["state"] == State.WAITING:
        place.waiting += row["count"]
    elif row["parked"]:
        place.parked += row["count"]
    else:
        place.on_the_way += row["behind"]
        place.written += row["count"] - row["behind"]
