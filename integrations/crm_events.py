"""What CRMs told us: understood, and done. Each stored event once, whoever is told of it how often.

What meets an error that time mends is done again later, so each of its steps may be repeated.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models import F, Q, QuerySet
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from crm_adapters.base import ClientChanged, DialRequested, Disconnected, Event, SecretsChanged
from outbound.errors import PASSING, OutboundError
from telephony import words
from telephony.hot import hot_write
from telephony.models import Command
from telephony.signals import dials_refused

from . import credentials, crm_setup, dials, mirror, sync
from .dials import Outcome
from .models import Credential, CrmEvent, SeenEvent
from .words import OUTCOMES

log = structlog.get_logger(__name__)

State = CrmEvent.State
LOST = timedelta(seconds=5)
"""A new event that nobody has taken up for so long: its message was lost."""
LEASE = timedelta(seconds=20)
"""Who has taken up an event and says nothing for so long has died."""
PATIENCE = timedelta(days=1)
LATELY = timedelta(days=7)
LATE = timedelta(minutes=10)
"""What an event says of the account's keys is old news by then, where the account was connected since."""
HASTE = timedelta(seconds=90)
"""For so long somebody may sit and wait for what the CRM asked for: pauses stay as short as after `HASTY` tries."""
HASTY = 2
LONGEST = 300.0
"""Seconds: these are few, and what became of a click should not be known an hour late."""


def waiting() -> list[int]:
    """New events whose time has come."""
    now = timezone.now()
    lost = Q(received_at__lt=now - LOST) | Q(received_at__gt=now)  # or our clock was put back
    rows = CrmEvent.objects.filter(Q(not_before__lte=now) | Q(not_before=None) & lost, state=State.NEW)
    return list(rows.order_by("id").values_list("id", flat=True)[:500])


def handle(event_id: int) -> float | None:
    """Understand a stored event and do what it asks for. Repetitions do nothing.

    Returns the seconds after which to come again, where something must be tried again.
    """
    row = _take_up(event_id)
    if row is None:
        return None
    try:
        outcome = _understand(row)
    except PASSING as error:
        return _later(row, error)
    except (OperationalError, InterfaceError):
        raise  # our own trouble: the event is taken up again when its lease is over
    except OutboundError as error:
        _note(row, state=State.FAILED, error=error.words)
    except Exception as error:
        log.exception("CRM event not understood", crm_event=row.pk)
        _note(row, state=State.FAILED, error=f"{type(error).__name__}: {error}")
    else:
        _note(row, state=State.HANDLED, outcome=outcome.code, details=dict(outcome.details), error="")
        return _refused_meanwhile(row, outcome)
    return None


def _refused_meanwhile(row: CrmEvent, outcome: Outcome) -> float | None:
    """A PBX may refuse a dial that it has just taken before the event is noted as handled."""
    refused = Command.objects.filter(pk=row.command_id or 0, state=Command.State.REFUSED).first()
    if outcome.code != dials.DIALLED or refused is None:
        return None
    take_up_again([refused.pk])
    return 0.0


def _take_up(event_id: int) -> CrmEvent | None:
    """The event, if it is new and nobody else is at it."""
    now = timezone.now()
    free = CrmEvent.objects.filter(Q(not_before=None) | Q(not_before__lte=now), pk=event_id, state=State.NEW)
    with hot_write():
        if not free.update(not_before=now + LEASE, attempts=F("attempts") + 1):
            return None
    return CrmEvent.objects.select_related("credential__company", "command__connection").get(pk=event_id)


def _understand(row: CrmEvent) -> Outcome:
    credential = row.credential
    http = credentials.http_for(credential, purpose="event")
    outcome = Outcome()
    adapter = credential.adapter
    for event in credentials.speaking(credential, http, lambda secrets: adapter.events(row.wire, http, secrets)):
        outcome = _do(row, event)
    return outcome


def _later(row: CrmEvent, error: OutboundError) -> float | None:
    now = timezone.now()
    if now - row.received_at > PATIENCE:
        _note(row, state=State.GIVEN_UP, error=error.words)
        return None
    hasty = now - row.received_at < HASTE
    pause = sync.pause(min(row.attempts, HASTY) if hasty else row.attempts)
    wait = max(error.retry_after or 0.0, min(pause, LONGEST))
    _note(row, not_before=now + timedelta(seconds=wait), error=error.words)
    return wait


def _note(row: CrmEvent, **changes: Any) -> None:
    CrmEvent.objects.filter(pk=row.pk, state=State.NEW).update(**changes)


def _do(row: CrmEvent, event: Event) -> Outcome:
    credential = row.credential
    if isinstance(event, DialRequested):
        return dials.handle(row, event)
    if isinstance(event, SecretsChanged | Disconnected) and _overtaken(row):
        return Outcome("overtaken")
    if isinstance(event, SecretsChanged):
        with hot_write():
            if SeenEvent.first(credential, event.key):  # later these secrets may be older than those we have
                credentials.store(credential, event.secrets)
        sync.resume(credential)
        if event.installed:
            crm_setup.prepare(credential)
        return Outcome("connected")
    if isinstance(event, ClientChanged):
        mirror.changed(credential, event)
        return Outcome("client_changed")
    if isinstance(event, Disconnected):
        with hot_write():
            if SeenEvent.first(credential, event.key):
                _disconnect(credential)
        return Outcome("disconnected")
    return Outcome()


def _overtaken(row: CrmEvent) -> bool:
    """An event that is tried again long afterwards says nothing of an account that was connected since."""
    stored = row.credential.stored_at
    return timezone.now() - row.received_at > LATE and stored is not None and stored > row.received_at


@receiver(dials_refused, sender=Command)
def take_up_again(commands: list[int], **_: Any) -> None:
    """The PBX took a dial and refuses it afterwards: what the CRM has opened for it is closed after all."""
    clicks = CrmEvent.objects.filter(command__in=commands, state=State.HANDLED)
    clicks.update(state=State.NEW, outcome="", not_before=timezone.now())


def troubles(credential: Credential) -> QuerySet[CrmEvent]:
    """Events of the last days that did not, or not yet, lead to what the CRM asked for; the newest first."""
    return all_troubles().filter(credential=credential).order_by("-received_at")


def all_troubles() -> QuerySet[CrmEvent]:
    """The same of all accounts."""
    lately = CrmEvent.objects.filter(received_at__gt=timezone.now() - LATELY)
    unfinished = Q(state__in=(State.FAILED, State.GIVEN_UP)) | (Q(state=State.NEW) & ~Q(error=""))
    return lately.filter(unfinished | Q(outcome__in=dials.NOT_DIALLED))


def in_words(event: CrmEvent) -> str:
    """What came of an event, or what keeps it from being done."""
    return words.in_words(OUTCOMES, event.outcome, event.details) if event.outcome else words.ours(event.error)


def _disconnect(credential: Credential) -> None:
    Credential.objects.filter(pk=credential.pk).update(
        state=Credential.State.DISCONNECTED, state_words=_("the application was removed in the CRM")
    )
