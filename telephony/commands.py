"""What we ask a PBX to do: dial, hang up, transfer, route. Each is written down before it is sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from django.utils import timezone
from django.utils.translation import gettext_noop as _

from employees.models import Company, User
from outbound.errors import PASSING, OutboundError, Rejected

from .exchanges import http_for
from .hot import hot_write
from .models import Call, Command, Connection
from .providers.base import Capability

WEB_SECONDS = 8.0
"""The budget of a command that a person waits for."""
ONCE = timedelta(seconds=10)
"""How long the same is not asked for again."""


def able_to_dial(company: Company) -> list[Connection]:
    """Active connections with a PBX that dials."""
    rows = Connection.objects.filter(company=company, active=True)
    return [row for row in rows if Capability.DIAL in row.protocol.able(row.credentials)]


def dial(
    connection: Connection,
    *,
    extension: str,
    phone: str,
    line: str = "",
    user: User | None = None,
) -> Command:
    """Call the employee, then the client.

    Raises `outbound.errors.OutboundError`; the refused command is kept with its reason.
    """
    _must(connection, Capability.DIAL)
    command = intend_dial(connection, extension=extension, phone=phone, line=line, user=user)
    try:
        send_dial(command)
    except OutboundError as error:
        withdraw(command, error.words)
        raise
    return command


def intend_dial(
    connection: Connection,
    *,
    extension: str,
    phone: str,
    line: str = "",
    origin: dict[str, Any] | None = None,
    user: User | None = None,
) -> Command:
    """Write down a dial that `send_dial` sends. `origin` is what the CRM that asked for it calls the call."""
    details = {"extension": extension, "phone": phone, "line": line}
    return _begin(connection, "dial", details, state=Command.State.INTENDED, origin=origin, user=user)


def send_dial(command: Command) -> None:
    """Send a dial that is only intended; one that somebody has taken up before is left to him.

    Raises `outbound.errors.OutboundError`. After a passing one that surely had no effect it may be sent again.
    """
    intended = Command.objects.filter(pk=command.pk, state=Command.State.INTENDED)
    if not intended.update(state=Command.State.SENT, sent_at=timezone.now()):
        return
    command.state = Command.State.SENT
    connection, details = command.connection, command.details
    http = http_for(connection, purpose="dial", deadline=WEB_SECONDS)
    with _Sent(command, passing=Command.State.INTENDED):
        connection.protocol.dial(http, connection.credentials, command=command.wire_id, **details)


def withdraw(command: Command, why: str) -> None:
    """A command that is only intended is not sent any more."""
    intended = Command.objects.filter(pk=command.pk, state=Command.State.INTENDED)
    intended.update(state=Command.State.REFUSED, error=why)


def hangup(call: Call, user: User | None = None) -> Command:
    """End a live call. Raises `OutboundError`."""
    connection = call.connection
    _must(connection, Capability.HANGUP)
    if not call.live_leg:
        raise Rejected(_("The call is over already."), code="call_is_over")
    command = _begin_once(connection, "hangup", {"leg": call.live_leg}, call, user)
    http = http_for(connection, purpose="hangup", call_id=call.pk, deadline=WEB_SECONDS)
    with _Sent(command):
        connection.protocol.hangup(http, connection.credentials, command=command.wire_id, leg=call.live_leg)
    return command


def transfer(call: Call, to: str, *, method: Literal["blind", "hold"] = "blind", user: User | None = None) -> Command:
    """Hand the client of a talking call to the extension or phone `to`. Raises `OutboundError`."""
    connection = call.connection
    _must(connection, Capability.TRANSFER)
    talking = call.participants.filter(state="talking").order_by("-position").first()
    if talking is None:
        raise Rejected(_("Nobody is talking in this call, so there is nothing to transfer."), code="nobody_talks")
    command = _begin_once(connection, "transfer", {"leg": talking.leg, "to": to, "method": method}, call, user)
    http = http_for(connection, purpose="transfer", call_id=call.pk, deadline=WEB_SECONDS)
    with _Sent(command):
        connection.protocol.transfer(
            http,
            connection.credentials,
            command=command.wire_id,
            leg=talking.leg,
            by=talking.extension,
            to=to,
            method=method,
        )
    return command


def route(call: Call, extension: str, deadline: float) -> Command:
    """Send a call that is still in the menu to an extension. Raises `OutboundError`."""
    connection = call.connection
    command = _begin(connection, "route", {"leg": call.waiting_leg, "extension": extension}, call=call)
    http = http_for(connection, purpose="route", call_id=call.pk, deadline=deadline, patience=0)
    with _Sent(command):
        connection.protocol.route(
            http,
            connection.credentials,
            command=command.wire_id,
            leg=call.waiting_leg,
            extension=extension,
            deadline=deadline,
        )
    return command


def _must(connection: Connection, capability: Capability) -> None:
    if capability not in connection.protocol.able(connection.credentials):
        raise Rejected(_("This PBX cannot do that."), code="not_supported")


def _begin(
    connection: Connection,
    kind: str,
    details: dict[str, Any],
    *,
    state: Command.State = Command.State.SENT,
    call: Call | None = None,
    origin: dict[str, Any] | None = None,
    user: User | None = None,
) -> Command:
    command = Command(
        company_id=connection.company_id,
        connection=connection,
        call=call,
        kind=kind,
        details=details,
        origin=origin or {},
        state=state,
        requested_by=user,
    )
    command.wire_id = command.uuid.hex
    command.save()
    return command


def _begin_once(connection: Connection, kind: str, details: dict[str, Any], call: Call, user: User | None) -> Command:
    """Two people, or one in two windows, ask for the same at once: the PBX is asked once."""
    with hot_write():
        Call.objects.select_for_update(no_key=True).get(pk=call.pk)
        asked = Command.objects.filter(call=call, kind=kind, details=details, created_at__gt=timezone.now() - ONCE)
        if asked.exclude(state=Command.State.REFUSED).exists():
            raise Rejected(_("The PBX has been asked for this a moment ago."), code="asked_already")
        return _begin(connection, kind, details, call=call, user=user)


class _Sent:
    """Notes what became of a command: accepted unless an error says otherwise.

    `passing`: its state after an error that time mends.
    """

    def __init__(self, command: Command, passing: Command.State = Command.State.REFUSED):
        self._command, self._passing = command, passing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        command = self._command
        if isinstance(error, OutboundError):
            command.state, command.error = self._after(error), error.words
            error.about = command
        elif error is None:
            command.state, command.error = Command.State.ACCEPTED, ""
        # The PBX's own late answer may have come first: it knows better than the immediate one.
        Command.objects.filter(pk=command.pk, state=Command.State.SENT).update(state=command.state, error=command.error)

    def _after(self, error: OutboundError) -> Command.State:
        if error.fate_unknown:
            return Command.State.DOUBT
        return self._passing if isinstance(error, PASSING) else Command.State.REFUSED


def fail_unanswered(before: datetime) -> int:
    """Commands that were sent and never answered are shown as that; those that nobody sent are sent no more."""
    old = Command.objects.filter(created_at__lt=before)
    unsent = old.filter(state=Command.State.INTENDED).update(state=Command.State.REFUSED, error=_("not sent in time"))
    return unsent + old.filter(state=Command.State.SENT).update(state=Command.State.DOUBT)
