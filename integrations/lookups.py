"""Asking CRMs who calls, for people who look at the call: never on the thread that shows it."""

from __future__ import annotations

import time

from django.core.cache import cache
from django.utils import timezone

from clients.models import Client
from outbound.errors import OutboundError, Rejected
from telephony import live
from telephony.models import Call
from telephony.routing import Caller

from . import credentials, mirror, routing
from .card_writes import record_of
from .models import Credential

SECONDS = 8.0
REMEMBERED = 60
"""How long a CRM is not asked again for a number."""
LOST = 20
"""After so many seconds without an outcome somebody else asks."""
ASKING, FOUND, NOBODY = "asking", "found", "nobody"


def caller_of(call: Call) -> Caller:
    return Caller(call.connection_id, call.company_id, call.client_phone, call.virtual_number, call_id=call.pk)


def begins(credential: Credential, phone: str) -> bool:
    """Whether it is for whoever calls this to have the CRM asked: one of all who look at the call is told so."""
    return cache.add(_key(credential, phone), ASKING, LOST)


def outcome(credential: Credential, phone: str) -> str:
    """What became of the question: `ASKING`, `FOUND`, `NOBODY`, or the code for which the CRM did not say."""
    return cache.get(_key(credential, phone)) or ASKING


def ask(call: Call, credential: Credential, *, detailed: bool = False) -> None:
    """The answer goes into the client book, with further fields where they are wanted, and pages that show the call are
    told."""
    client, how = routing.look_up(caller_of(call), credential, time.monotonic() + SECONDS)
    said = how if how.startswith("crm_") else FOUND if client else NOBODY
    if client and detailed and how != "old_book" and lacks_details(client):
        _ask_details(call, credential, client)
    cache.set(_key(credential, call.client_phone), said, REMEMBERED)
    live.touch(call.pk)


def lacks_details(client: Client) -> bool:
    return client.detailed_at is None or client.detailed_at < timezone.now() - mirror.FRESH


def _ask_details(call: Call, credential: Credential, client: Client) -> None:
    """A CRM that refuses them is not asked again for a while: the card shows what it has without."""
    http = credentials.http_for(credential, purpose="client's fields", call_id=call.pk, deadline=SECONDS)
    record = record_of(client.entity, call.client_phone)
    try:
        values = credentials.speaking(
            credential, http, lambda keys: credential.adapter.read_contact(http, keys, record)
        )
    except Rejected:
        values = {}
    except OutboundError:
        return
    mirror.detail(client, values)


def _key(credential: Credential, phone: str) -> str:
    return f"client-look-up-{credential.uuid}-{phone}"
