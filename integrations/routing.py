"""Answers telephony's question: who shall take this call? The client book first, the CRM within the time left."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from django.dispatch import receiver

from clients import book
from clients.models import Client
from crm_adapters.base import FORWARD, Capability
from employees.models import Company
from outbound.errors import OutboundError
from telephony import directory as telephony_directory
from telephony.routing import Caller, Opinion
from telephony.signals import routing_question

from . import credentials, directory, mirror
from .directory import Wanting
from .models import Credential

LEAST_SECONDS = 0.2
"""With less time left the CRM is not even asked."""


@receiver(routing_question, sender=Caller)
def answer(caller: Caller, deadline: float, **_: Any) -> Opinion | None:
    """The client's name and his personal manager's extension, or why there is none.

    None where no integration forwards, and none can tell the name that the PBX wants to show.
    """
    able = [row for row in directory.of_connection(caller.connection_id) if knows_clients(row, caller)]
    forwarding = [row for row in able if row.settings.get(FORWARD)]
    wanting = next(iter(forwarding or (able if caller.named else [])), None)
    if wanting is None:
        return None
    if directory.is_employee_phone(wanting.company_id, caller.phone):
        return Opinion("employee_phone")
    end = time.monotonic() + deadline
    credential = Credential.objects.select_related("company").get(pk=wanting.credential_id)
    client, how = look_up(caller, credential, end)
    details = {"source": how}
    if client is None:
        return Opinion(how if how.startswith("crm_") else "nobody_known", details=details)
    details |= {"client": client.name}
    if not forwarding:
        return Opinion("client_named", details=details, client=client)
    return replace(_to_manager(wanting, client, details), client=client)


def knows_clients(wanting: Wanting, caller: Caller) -> bool:
    """A PBX that does not say which line was called asks for all of them."""
    in_filter = wanting.numbers is None or not caller.line or caller.line in wanting.numbers
    return in_filter and Capability.CLIENT_LOOKUP in wanting.adapter.capabilities


def look_up(caller: Caller, credential: Credential, end: float) -> tuple[Client | None, str]:
    """The client, and where he was found (`book`, `crm`, `old_book`) or why he was not (`crm_…`: why the CRM did not
    say). `end`: the monotonic time at which that is of no use any more."""
    company, phone = credential.company, caller.phone
    if known := mirror.lately(credential, phone):
        return (known if known.entity else None), "book"
    left = end - time.monotonic()
    if left < LEAST_SECONDS:
        return _stale(company, phone, credential, "crm_no_time")
    http = credentials.http_for(credential, purpose="client look-up", call_id=caller.call_id, deadline=left)
    http.patience = left / 2
    try:
        match = credentials.speaking(
            credential, http, lambda secrets: credential.adapter.find_client(http, secrets, phone, left)
        )
    except OutboundError as error:
        return _stale(company, phone, credential, f"crm_{error.kind}")
    return (mirror.remember(credential, phone, match) if match else None), "crm"


def _stale(company: Company, phone: str, credential: Credential, why: str) -> tuple[Client | None, str]:
    """The CRM did not answer in time: what was known before is better than nothing."""
    known = book.find(company, phone, credential.source)
    return (known, "old_book") if known and known.entity else (None, why)


def _to_manager(wanting: Wanting, client: Client, details: dict[str, Any]) -> Opinion:
    if not (client.manager or client.manager_extension):
        return Opinion("no_manager", details=details)
    details["manager"] = client.manager or client.manager_extension
    shorts = telephony_directory.extensions(wanting.company_id)
    employee_id = next((key for key, row in wanting.mapping.items() if row.crm_user == client.manager), None)
    if employee_id is None and client.manager_extension in shorts:
        employee_id = shorts[client.manager_extension].employee_id  # a CRM that knows employees by their extensions
    if employee_id is None:
        return Opinion("manager_not_mapped", details=details)
    mapped = wanting.mapping.get(employee_id)
    if mapped and not mapped.use_for_personal_manager:
        return Opinion("manager_excluded", details=details)
    number = min((number for number, short in shorts.items() if short.employee_id == employee_id), default="")
    phone = directory.phone_of(wanting.company_id, employee_id)
    return Opinion("manager_found" if number else "manager_without_extension", number, details, phone=phone)
