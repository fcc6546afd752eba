"""Click to call: an employee clicks a number in the CRM, his phone rings first, then the client's.

What is to be dialled is written down in the transaction that notes the event as seen, and sent after that. So a process
may die between any two steps: the event is handled again, a command that was never sent is sent then, and one that may
have been sent is never sent again. What is not dialled is refused in the CRM, which has opened a card for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.utils import timezone, translation
from django.utils.translation import gettext_noop as _

from crm_adapters.base import DialRequested
from employees import phones
from employees.models import Employee, Extension
from outbound.errors import PASSING, OutboundError, Temporary
from telephony import commands
from telephony.hot import hot_write
from telephony.models import Call, Command, Connection
from telephony.providers.base import Capability
from telephony.words import in_words

from . import credentials, words
from .models import Credential, CrmEvent, EmployeeMapping, SeenEvent

log = structlog.get_logger(__name__)

State = Command.State
DOUBLE_CLICK = timedelta(seconds=5)
LATEST = timedelta(seconds=60)
"""A wish to call that is older is refused: nobody wants a telephone that rings an hour later."""
SIGNS = timedelta(minutes=10)
"""How long the PBX's events may yet show that a command without an answer was carried out: whatever took its answer may
hold up its events too, and a card that is closed too soon is a second call in the CRM."""
TOO_LATE = _("too much time has passed since the click")


class Outcome(NamedTuple):
    """What came of an event: a code of `words.OUTCOMES` and what fills its words."""

    code: str = ""
    details: Mapping[str, Any] = {}


DIALLED, REPEATED = "dialled", "repeated"
NOT_DIALLED = ("no_pbx", "nobody_mapped", "no_extension", "no_phone", "too_late", "pbx_refused", "doubt")
"""Outcomes that somebody may want to know of; a double click is none."""


def handle(row: CrmEvent, event: DialRequested) -> Outcome:
    """Dial, or refuse in the CRM. Raises `outbound.errors`; after a passing one this is to be asked again."""
    intended = row.command or _intend(row, event)
    outcome = intended if isinstance(intended, Outcome) else _carry_out(intended, event.at or row.received_at)
    if outcome.code not in (DIALLED, REPEATED):
        _refuse(row, event, outcome)
        SeenEvent.first(row.credential, event.key)
    return outcome


# --- Writing down what is to be dialled -------------------------------------------------------------------------------


def _intend(row: CrmEvent, event: DialRequested) -> Command | Outcome:
    """Write down what is to be dialled, once for each event; else why not."""
    with hot_write():
        # Two clicks of one account come one after the other here.
        accounts = Credential.objects.select_for_update(of=("self",), no_key=True).select_related("company")
        credential = accounts.get(pk=row.credential_id)
        if event.key and SeenEvent.objects.filter(credential=credential, key=event.key[:200]).exists():
            return Outcome(REPEATED)
        wish = _wish(credential, event, row.received_at)
        if isinstance(wish, Outcome):
            return wish
        SeenEvent.first(credential, event.key)
        row.command = command = commands.intend_dial(
            wish.connection,
            extension=wish.extension,
            phone=wish.phone,
            line=wish.line,
            origin=_origin(credential, event),
        )
        row.save(update_fields=["command"])
    return command


class _Wish(NamedTuple):
    """What a click asks for: whose phone rings first, whom it calls, over which line."""

    connection: Connection
    extension: str
    phone: str
    line: str


def _wish(credential: Credential, event: DialRequested, at: datetime) -> _Wish | Outcome:
    """What is to be dialled, or why nothing is."""
    phone = phones.normalise(event.phone, credential.company.region)
    line = phones.normalise(event.line, credential.company.region) if event.line else ""
    found = _who_dials(credential, event, line)
    if isinstance(found, Outcome):
        return found
    connection, extension = found
    if _clicked_twice(connection, extension, phone, at):
        return Outcome("clicked_twice")
    if not phones.is_phone(phone):
        return Outcome("no_phone", {"phone": event.phone})
    own_line = line if line and connection.virtual_numbers.filter(number=line).exists() else ""
    return _Wish(connection, extension, phone, own_line)


def _origin(credential: Credential, event: DialRequested) -> dict[str, Any]:
    return {
        "credential": credential.pk,
        "crm_call": event.crm_call,
        "crm_user": event.crm_user,
        "crm_entity": event.crm_entity,
    }


def _clicked_twice(connection: Connection, extension: str, phone: str, at: datetime) -> bool:
    """People double-click: within some seconds the same wish is one call."""
    lately = Command.objects.filter(connection=connection, kind="dial", created_at__gte=at - DOUBLE_CLICK)
    lately = lately.exclude(state=State.REFUSED)
    return lately.filter(details__extension=extension, details__phone=phone).exists()


def _who_dials(credential: Credential, event: DialRequested, line: str) -> tuple[Connection, str] | Outcome:
    """The connection and extension of the employee who clicked; else why there is none."""
    able = [
        connection
        for connection in Connection.objects.filter(
            integrations__credential=credential, integrations__active=True, active=True
        ).distinct()
        if Capability.DIAL in connection.protocol.able(connection.credentials)
    ]
    if not able:
        return Outcome("no_pbx")
    connection = next((row for row in able if line and row.virtual_numbers.filter(number=line).exists()), able[0])
    mapping = EmployeeMapping.objects.filter(integration__credential=credential)
    if event.extension and not event.crm_user:
        known = Extension.objects.filter(company=credential.company, number=event.extension).exists()
        return (connection, event.extension) if known else Outcome("no_extension", {"extension": event.extension})
    if event.crm_user:
        employees = mapping.filter(crm_user=event.crm_user).values("employee")
    else:
        # Nobody clicked (a form on the site asked for a call): the responsible's first employee that has an extension.
        employees = mapping.values("employee")
    extension = Extension.objects.filter(employee__in=Employee.objects.filter(pk__in=employees)).order_by("id").first()
    if extension is None:
        return Outcome("nobody_mapped", {"user": event.crm_user})
    return connection, extension.number


# --- Sending it -------------------------------------------------------------------------------------------------------


def _carry_out(command: Command, clicked_at: datetime) -> Outcome:
    """Send what was written down, unless it was sent before."""
    if command.state == State.INTENDED and timezone.now() - clicked_at > LATEST:
        commands.withdraw(command, TOO_LATE)
    elif command.state == State.INTENDED:
        _send(command)
    command.refresh_from_db(fields=["state", "error"])
    if command.state in (State.SENT, State.DOUBT):
        _look_for_signs(command)
    if command.state == State.ACCEPTED:
        return Outcome(DIALLED, command.details)
    if command.state == State.DOUBT:
        return Outcome("doubt", command.details)
    return Outcome("too_late") if command.error == TOO_LATE else Outcome("pbx_refused", {"words": command.error})


def _send(command: Command) -> None:
    """A refusal stands in the command; raises what time may mend."""
    try:
        commands.send_dial(command)
    except OutboundError as error:
        if isinstance(error, PASSING) and not error.fate_unknown:
            raise


def _look_for_signs(command: Command) -> None:
    """What became of a command without an answer: it was carried out, or in the end nobody knows.

    Raises `Temporary` as long as the PBX's events may still tell.
    """
    if Call.objects.filter(dialled_by=command).exists():
        command.state = State.ACCEPTED
    elif timezone.now() - (command.sent_at or command.created_at) < SIGNS:
        raise Temporary(_("the PBX has not answered; its events may yet show whether it dials"))
    else:
        command.state = State.DOUBT
    Command.objects.filter(pk=command.pk, state__in=(State.SENT, State.DOUBT)).update(state=command.state)


# --- Refusing it ------------------------------------------------------------------------------------------------------


def _refuse(row: CrmEvent, event: DialRequested, refused: Outcome) -> None:
    """Close in the CRM what it has opened for this call. Raises what time may mend."""
    credential = row.credential
    with translation.override("en"):
        why = in_words(words.OUTCOMES, refused.code, refused.details)
    http = credentials.http_for(credential, purpose="refused dial")
    try:
        credentials.speaking(
            credential, http, lambda secrets: credential.adapter.refuse_call(http, secrets, event, why)
        )
    except PASSING:
        raise
    except OutboundError as error:
        log.warning("could not tell the CRM that the call was not made", words=error.words)
    if row.command:
        _leave(row.command)


def _leave(command: Command) -> None:
    """The CRM's card is closed: should the PBX have dialled after all, that call is one of its own in the CRM."""
    origin = command.origin
    left = {"credential": origin["credential"], "crm_user": origin["crm_user"], "closed": origin.get("crm_call", "")}
    Command.objects.filter(pk=command.pk).update(origin=left)
