"""How the customers are: for support, the worst first. Asked for all of them at once, never one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Count
from django.utils import timezone

from employees.models import Company
from telephony import pulse
from telephony.models import Call, Connection
from telephony.silence import with_last_event

from . import troubles
from .journal import PAUSED
from .models import Credential
from .troubles import Trouble
from .unwritten import Chosen

DAY = timedelta(hours=24)


@dataclass
class Customer:
    """A company, what needs somebody there, and its pulse. `connections` have their `last_event`."""

    company: Company
    troubles: list[Trouble]
    connections: list[Any] = field(default_factory=list)
    calls: int = 0
    parked: int = 0
    refused: int = 0

    @property
    def grave(self) -> int:
        return sum(trouble.grave for trouble in self.troubles)


def worst_first(among: troubles.Companies, name: str = "") -> list[Customer]:
    """All of these companies, or those with `name` in theirs. What pages show besides is added by `attach_pulse`."""
    asked = name.strip().casefold()
    companies = [row for row in among if asked in row.name.casefold()]
    found = troubles.by_company(_these(companies) if asked else among)
    customers = [Customer(row, found[row.pk]) for row in companies]
    return sorted(customers, key=lambda row: (-row.grave, -len(row.troubles), row.company.name.casefold()))


def attach_pulse(customers: Sequence[Customer]) -> None:
    """Last events, calls of the last day, what is parked and refused, of these few."""
    companies = _these(row.company for row in customers)
    connections: defaultdict[int, list[Connection]] = defaultdict(list)
    for connection in _connections(companies):
        connections[connection.company_id].append(connection)
    accounts = Credential.objects.filter(company__in=companies)
    calls = Call.objects.filter(company__in=companies, started_at__gt=timezone.now() - DAY)
    parked = Chosen(accounts, parked=True).rows()
    counts = {
        "calls": dict(calls.values_list("company").annotate(Count("pk")).order_by()),
        "parked": dict(parked.values_list("credential__company").annotate(Count("pk")).order_by()),
        "refused": Counter(accounts.filter(state__in=PAUSED).values_list("company", flat=True)),
    }
    for row in customers:
        row.connections = connections[row.company.pk]
        for name, count in counts.items():
            setattr(row, name, count.get(row.company.pk, 0))


def _connections(companies: troubles.Companies) -> Iterable[Any]:
    rows = Connection.objects.filter(company__in=companies).select_related("company")
    return with_last_event(rows).order_by("name")


def attach_history(customer: Customer) -> None:
    """`strip` of each connection: its last days."""
    strips = pulse.of(customer.connections)
    for row in customer.connections:
        row.strip = strips[row.pk]


def _these(companies: Iterable[Company]) -> troubles.Companies:
    return Company.objects.filter(pk__in=[row.pk for row in companies])
