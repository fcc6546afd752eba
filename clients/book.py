"""Looking up and remembering clients by phone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from employees.models import Company

from .models import Client, ClientPhone


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
    client, _ = Client.objects.update_or_create(
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
    return client
