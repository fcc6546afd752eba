"""The client book as a mirror of CRMs: what they answered to look-ups, and what they said has changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from django.utils import timezone

from clients import book
from clients.models import Client
from crm_adapters.base import ClientChanged, ClientMatch
from employees import phones
from telephony.hot import hot_write

from .models import Credential

FRESH = timedelta(minutes=10)


def lately(credential: Credential, phone: str) -> Client | None:
    """What the CRM said of `phone` (E.164) a short while ago."""
    return book.find(credential.company, phone, credential.source, timezone.now() - FRESH)


def remember(credential: Credential, phone: str, match: ClientMatch) -> Client:
    """What a CRM said of `phone` (E.164)."""
    entry = book.Entry(
        source=credential.source,
        entity=f"{match.entity}:{match.entity_id}",
        name=match.name,
        organisation=match.company,
        manager=match.manager,
        manager_extension=match.manager_extension,
        link=match.link,
        deals=match.deals,
        others=match.others,
    )
    return book.remember(credential.company, phone, entry)


def detail(client: Client, values: Mapping[str, str], name: str = "") -> None:
    """Further fields of a record, and what it is called by them."""
    client.details, client.detailed_at = dict(values), timezone.now()
    client.name = name[:300] or client.name
    with hot_write():
        client.save(update_fields=["details", "detailed_at", "name"])


def changed(credential: Credential, event: ClientChanged) -> None:
    """What the book had of this client is over; what the CRM told in its place is kept."""
    company = credential.company
    with hot_write():
        book.forget(company, credential.source, f"{event.entity}:{event.entity_id}")
        for phone in event.phones:
            number = phones.normalise(phone, company.region)
            if event.match and phones.is_phone(number):
                remember(credential, number, event.match)
