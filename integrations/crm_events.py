"""What CRMs told us: understood, and done. Each stored event once, whoever is told of it how often."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from crm_adapters.base import DialRequested, Disconnected, Event, Request, SecretsChanged
from employees import phones
from employees.models import Employee, Extension
from outbound.errors import OutboundError
from telephony import commands
from telephony.models import Command, Connection, VirtualNumber
from telephony.providers.base import Capability as PbxCapability

from . import credentials, sync
from .models import Credential, CrmEvent, EmployeeMapping, Integration, SeenEvent

log = structlog.get_logger(__name__)

DOUBLE_CLICK = timedelta(seconds=5)


def waiting() -> list[int]:
    """Events that were stored some seconds ago and never handled: their message was lost."""
    now = timezone.now()
    old = Q(received_at__lt=now - timedelta(seconds=5)) | Q(received_at__gt=now)  # or our clock was put back
    rows = CrmEvent.objects.filter(old, state=CrmEvent.State.NEW)
    return list(rows.order_by("id").values_list("id", flat=True)[:500])


def handle(event_id: int) -> None:
    """Understand a stored event and do what it asks for. Repetitions do nothing."""
    row = CrmEvent.objects.select_related("credential__company").get(pk=event_id)
    if row.state != CrmEvent.State.NEW:
        return
    credential = row.credential
    http = credentials.http_for(credential, purpose="event")
    wire = Request("POST", row.path, bytes(row.body), row.query, row.headers)
    outcome, state = "", CrmEvent.State.HANDLED
    try:
        for event in credential.adapter.events(wire, http, credential.values):
            if _first_time(credential, event):
                outcome = _do(credential, event) or outcome
    except OutboundError as error:
        outcome, state = error.words, CrmEvent.State.FAILED
    except Exception as error:
        log.exception("CRM event not understood", crm_event=row.pk)
        outcome, state = f"{type(error).__name__}: {error}", CrmEvent.State.FAILED
    row.state, row.outcome = state, outcome
    row.error = outcome if state == CrmEvent.State.FAILED else ""
    row.save(update_fields=["state", "outcome", "error"])


def _first_time(credential: Credential, event: Event) -> bool:
    if not event.key:
        return True
    try:
        with transaction.atomic():
            SeenEvent.objects.create(credential=credential, key=event.key[:200])
    except IntegrityError:
        return False
    return True


def _do(credential: Credential, event: Event) -> str:
    if isinstance(event, DialRequested):
        return dial(credential, event)
    if isinstance(event, SecretsChanged):
        credentials.store(credential, event.secrets)
        sync.resume(credential)
        if event.installed:
            prepare(credential)
        return "connected"
    if isinstance(event, Disconnected):
        Credential.objects.filter(pk=credential.pk).update(
            state=Credential.State.DISCONNECTED, state_words="the application was removed in the CRM"
        )
        return "disconnected"
    return ""


def prepare(credential: Credential) -> None:
    """Set up in the CRM what our integrations with it need: event handlers and lines."""
    rows = VirtualNumber.objects.filter(connection__integrations__credential=credential).distinct()
    lines = {row.number: row.line_name for row in rows}
    integration = Integration.objects.filter(credential=credential).order_by("-active", "id").first()
    settings = integration.settings if integration else {}
    http = credentials.http_for(credential, purpose="set-up")
    credentials.speaking(
        credential,
        http,
        lambda secrets: credential.adapter.prepare(http, secrets, credential.handler_url, lines, settings),
    )


# --- Click to call ----------------------------------------------------------------------------------------------------


def dial(credential: Credential, event: DialRequested) -> str:
    """An employee clicked a number in the CRM: his phone rings first, then the client's."""
    origin = {
        "credential": credential.pk,
        "crm_call": event.crm_call,
        "crm_user": event.crm_user,
        "crm_entity": event.crm_entity,
    }
    phone = phones.normalise(event.phone, credential.company.region)
    line = phones.normalise(event.line, credential.company.region) if event.line else ""
    connection, extension, why = _who_dials(credential, event, line)
    if connection and extension and _clicked_twice(connection, extension, phone):
        why = "the same number was clicked twice"
    elif connection and extension and phones.is_phone(phone):
        own_line = line if line and connection.virtual_numbers.filter(number=line).exists() else ""
        try:
            command = commands.dial(connection, extension=extension, phone=phone, line=own_line, origin=origin)
            return f"dialling: {command.wire_id}"
        except OutboundError as error:
            why = error.words
    elif connection and extension:
        why = f"{event.phone} is not a phone number"
    _refuse(credential, event, why)
    return f"not dialled: {why}"


def _clicked_twice(connection: Connection, extension: str, phone: str) -> bool:
    """People double-click: within some seconds the same wish is one call."""
    lately = Command.objects.filter(connection=connection, kind="dial", created_at__gte=timezone.now() - DOUBLE_CLICK)
    lately = lately.exclude(state=Command.State.REFUSED)
    return lately.filter(details__extension=extension, details__phone=phone).exists()


def _who_dials(credential: Credential, event: DialRequested, line: str) -> tuple[Connection | None, str, str]:
    """The connection and extension of the employee who clicked; else why there is none."""
    able = [
        connection
        for connection in Connection.objects.filter(
            integrations__credential=credential, integrations__active=True, active=True
        ).distinct()
        if PbxCapability.DIAL in connection.protocol.capabilities
    ]
    if not able:
        return None, "", "no active integration of this account has a PBX that can dial"
    connection = next((row for row in able if line and row.virtual_numbers.filter(number=line).exists()), able[0])
    mapping = EmployeeMapping.objects.filter(integration__credential=credential)
    if event.crm_user:
        employees = mapping.filter(crm_user=event.crm_user).values("employee")
    else:
        # Nobody clicked (a form on the site asked for a call): the responsible's first employee that has an extension.
        employees = mapping.values("employee")
    extension = Extension.objects.filter(employee__in=Employee.objects.filter(pk__in=employees)).order_by("id").first()
    if extension is None:
        return connection, "", f"user {event.crm_user} of the CRM is not mapped to an employee with an extension"
    return connection, extension.number, ""


def _refuse(credential: Credential, event: DialRequested, why: str) -> None:
    http = credentials.http_for(credential, purpose="refused dial")
    try:
        credentials.speaking(
            credential, http, lambda secrets: credential.adapter.refuse_call(http, secrets, event, why)
        )
    except OutboundError as error:
        log.warning("could not tell the CRM that the call was not made", words=error.words)
