"""Looking up and remembering clients by phone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Model, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy

from employees.models import Company
from employees.phones import normalise

from .models import Client, ClientPhone, Comment, Task
from .signals import client_created

T = TypeVar("T", bound=Model)


FIELDS = {
    "email": gettext_lazy("E-mail"),
    "position": gettext_lazy("Position"),
    "address": gettext_lazy("Address"),
    "note": gettext_lazy("Note"),
}
"""What is kept of a client who is entered here, beside name and organisation (`Client.details`)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a CRM said of a client (or, with an empty `entity`, that it knows nobody under this phone)."""

    source: str
    entity: str
    name: str
    organisation: str = ""
    manager: str = ""
    manager_extension: str = ""
    link: str = ""
    deals: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def find(company: Company, phone: str, source: str = "", fresher_than: datetime | None = None) -> Client | None:
    """The client known under `phone` in `source`, freshest first; None when nobody is, or none fresh enough."""
    clients = Client.objects.filter(company=company, source=source, phones__phone=phone).order_by("-seen_at")
    if fresher_than:
        clients = clients.filter(seen_at__gte=fresher_than)
    return clients.first()


def known(company_id: int, phones: Collection[str]) -> dict[str, Client]:
    """Who is known by name under each of these phones, freshest first; one question for all."""
    rows = ClientPhone.objects.filter(company=company_id, phone__in=phones).exclude(client__name="")
    return {row.phone: row.client for row in rows.select_related("client").order_by("client__seen_at")}


def search(company: Company, text: str = "") -> QuerySet[Client]:
    """The clients with a number in any spelling, or with this in their names; all of them for an empty text."""
    rows = Client.objects.filter(company=company).exclude(entity="", source__gt="").prefetch_related("phones")
    if not text:
        return rows
    found = Q(phones__phone=normalise(text, company.region))
    for spelling in {text, text.lower(), text.capitalize(), text.title()}:
        found |= Q(name__icontains=spelling) | Q(organisation__icontains=spelling)
    return rows.filter(found).distinct()


def forget(company: Company, source: str, entity: str) -> None:
    """A record of a CRM is under other phones now, or under none: calls keep the name that they had."""
    ClientPhone.objects.filter(
        company=company, client__company=company, client__source=source, client__entity=entity
    ).delete()


@transaction.atomic
def remember(company: Company, phone: str, entry: Entry) -> Client:
    """Mirror what a CRM said of `phone`. The phone leaves the clients of this source that had it before."""
    ClientPhone.objects.filter(company=company, phone=phone, client__source=entry.source).exclude(
        client__entity=entry.entity
    ).delete()
    client, created = Client.objects.update_or_create(
        company=company,
        source=entry.source,
        entity=entry.entity,
        defaults={
            "name": entry.name[:300],
            "organisation": entry.organisation[:300],
            "manager": entry.manager,
            "manager_extension": entry.manager_extension,
            "link": entry.link,
            "deals": list(entry.deals),
            "others": list(entry.others),
            "seen_at": timezone.now(),
        },
    )
    ClientPhone.objects.get_or_create(company=company, client=client, phone=phone)
    if created:
        client_created.send(sender=Client, client=client, phone=phone)
    return client


@transaction.atomic
def enter(
    company: Company, phone: str, name: str, organisation: str, details: Mapping[str, str] | None = None
) -> Client:
    """Keep whom `phone` belongs to as somebody of the company says, beside what CRMs say."""
    client = Client.objects.select_for_update().filter(company=company, source="", phones__phone=phone).first()
    client = client or Client(company=company)
    client.name, client.organisation, client.details = name, organisation, dict(details or {})
    created = client.pk is None
    client.name, client.organisation = name, organisation
    client.save()
    ClientPhone.objects.get_or_create(company=company, client=client, phone=phone)
    if created:
        client_created.send(sender=Client, client=client, phone=phone)
    return client


def comments(company: Company, phone: str, call: UUID) -> QuerySet[Comment]:
    """What was noted of the client behind `phone`, under any phone of his; of a hidden number in this call alone."""
    return _about(Comment.objects.filter(company=company).select_related("author"), company, phone, call)


def tasks(company: Company, phone: str, call: UUID) -> QuerySet[Task]:
    """What is still to be done about the client behind `phone`, as `comments` are found."""
    rows = Task.objects.filter(company=company, done_at=None).select_related("employee", "made_by")
    return _about(rows, company, phone, call)


def _about(rows: QuerySet[T], company: Company, phone: str, call: UUID) -> QuerySet[T]:
    if not phone:
        return rows.filter(call=call)
    return rows.filter(under(company, phone))


def under(company: Company, phone: str) -> Q:
    """Comments under this phone, or under another one of whoever has it."""
    also = ClientPhone.objects.filter(company=company, client__phones__phone=phone)
    return Q(client_phone=phone) | Q(client_phone__in=also.values("phone"))


def last_comments(company: Company, phones: Collection[str]) -> dict[str, Comment]:
    """The newest comment under each of these phones, one question for all."""
    rows = Comment.objects.filter(company=company, client_phone__in=phones).order_by("at", "id")
    return {row.client_phone: row for row in rows.select_related("author")}


def open_tasks(company: Company, phones: Collection[str]) -> dict[str, int]:
    """How many tasks wait under each of these phones, one question for all."""
    rows = Task.objects.filter(company=company, client_phone__in=phones, done_at=None).order_by()
    return dict(rows.values_list("client_phone").annotate(Count("pk")))
