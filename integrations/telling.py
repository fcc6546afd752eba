"""Who is told what by webhook, and once more: the outbox of endpoints, written in the transaction that changes what it
tells of."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext as _

from clients.models import Client
from clients.signals import client_created
from employees import installation
from telephony import statements
from telephony.fold import Source
from telephony.hot import after_commit, hot_write, persistently
from telephony.models import Call, Connection, Recording
from telephony.signals import calls_changed

from . import directory, payloads
from .models import Credential, Notice, WebhookDelivery, WebhookEndpoint
from .payloads import Data
from .webhook_actors import deliver

State = WebhookDelivery.State
FACTS = frozenset(
    {
        "direction",
        "outcome",
        "client_phone",
        "virtual_number",
        "extension",
        "employee_id",
        "started_at",
        "answered_at",
        "ended_at",
        "talk_seconds",
    }
)
"""What was told with the end of a call, and is told once more when it turns out to be different."""


# --- Calls ------------------------------------------------------------------------------------------------------------


@receiver(calls_changed, sender=Call)
def tell_of_calls(calls: list[Call], **_: object) -> None:
    """Sent inside the transaction that changes them. What a person brings into the journal is no news."""
    rows: list[WebhookDelivery] = []
    for call in calls:
        if directory.endpoints(call.company_id) and call.source != Source.IMPORT:
            for kind in _news(call):
                rows += _rows(call.company_id, kind, partial(payloads.of_call, call), call.connection_id)
    _put(rows)


def _news(call: Call) -> Iterator[str]:
    """The types of events that a change of a call is. One that is over when we first hear of it rings for nobody."""
    if call.finished:
        if "state" in call.changes:
            yield payloads.FINISHED
        elif call.changes & FACTS:
            yield payloads.CORRECTED
    else:
        if call.version == 1:
            yield payloads.RINGING
        if "answered_at" in call.changes and call.answered_at:
            yield payloads.ANSWERED
    if "audio" in call.changes and any(row.state == Recording.State.STORED for row in call.audio):
        yield payloads.RECORDING


# --- What else happens ------------------------------------------------------------------------------------------------


@receiver(client_created, sender=Client)
def tell_of_a_client(client: Client, phone: str, **_: object) -> None:
    _tell(client.company_id, payloads.CLIENT, lambda: payloads.of_client(client, phone))


def tell_of_trouble(notice: Notice, *, over: bool = False) -> None:
    """A trouble has begun, or is `over` because it works again. Inside the transaction that notes it."""
    kind, _colon, what = notice.cause.partition(":")
    which = {"uuid": what.partition(":")[0], "company": notice.company_id}
    if kind in ("account", "unwritten") and (account := Credential.objects.filter(**which).first()):
        told = payloads.SYNC_RECOVERED if over else payloads.SYNC_FAILED
        _tell(notice.company_id, told, lambda: payloads.of_account(account, notice))
    elif kind in ("line", "silent") and (pbx := Connection.objects.filter(**which).first()):
        told = payloads.UP if over else payloads.DOWN
        _tell(notice.company_id, told, lambda: payloads.of_connection(pbx, notice), pbx.pk)


def _tell(company_id: int, kind: str, data: Callable[[], Data], connection_id: int | None = None) -> None:
    installation.refresh()
    _put(_rows(company_id, kind, data, connection_id))


# --- The outbox -------------------------------------------------------------------------------------------------------


def _rows(
    company_id: int, kind: str, data: Callable[[], Data], connection_id: int | None = None
) -> list[WebhookDelivery]:
    """One for each endpoint that wants it; nothing is put together for nobody."""
    hearing = [each for each in directory.endpoints(company_id) if each.wants(kind, connection_id)]
    return _deliveries([each.endpoint_id for each in hearing], kind, data()) if hearing else []


def _deliveries(endpoint_ids: list[int], kind: str, data: Data) -> list[WebhookDelivery]:
    event, now = uuid.uuid4(), timezone.now()
    body = payloads.body(kind, now, data)
    return [
        WebhookDelivery(endpoint_id=pk, event=event, kind=kind, body=body, created_at=now, due_at=now)
        for pk in endpoint_ids
    ]


def _put(rows: list[WebhookDelivery]) -> None:
    """One message for each endpoint; what the broker loses the sweep finds."""
    statements.insert(rows)
    for endpoint_id in sorted({row.endpoint_id for row in rows}):
        after_commit(deliver.send, endpoint_id)


# --- What a person may ask for ----------------------------------------------------------------------------------------


def send_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """An event to try an endpoint with, whatever it wants to hear. Raises `ValidationError` when it is switched off."""
    _expect_active(endpoint)
    data = {"endpoint": str(endpoint.uuid), "message": "A test event: your programme can hear us."}
    (row,) = _deliveries([endpoint.pk], payloads.TEST, data)
    with hot_write():
        _open(endpoint)
        row.save()
    deliver.send(endpoint.pk)
    return row


def resend(row: WebhookDelivery) -> None:
    """One event once more, with the same id. Raises `ValidationError` when its endpoint is switched off."""
    _again(row.endpoint, WebhookDelivery.objects.filter(pk=row.pk), behind=False)


def resend_since(endpoint: WebhookEndpoint, since: datetime, *, failed_only: bool) -> int:
    """Everything since a moment once more, or what was given up of it, behind what is new; returns how many. It is sent
    in the background; `progress` says how far that is. Raises `ValidationError` when the endpoint is switched off."""
    rows = endpoint.deliveries.filter(created_at__gte=since)
    count = _again(endpoint, rows.filter(state=State.FAILED) if failed_only else rows, behind=True)
    if count:
        total = _left(endpoint)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(resent_at=timezone.now(), resend_total=total)
    return count


def progress(endpoint: WebhookEndpoint) -> tuple[int, int]:
    """Of the messages that somebody asked to be sent once more: how many are through, of how many."""
    return max(0, endpoint.resend_total - _left(endpoint)), endpoint.resend_total


def _left(endpoint: WebhookEndpoint) -> int:
    return endpoint.deliveries.filter(state=State.WAITING, behind=True).count()


def _again(endpoint: WebhookEndpoint, rows: QuerySet[WebhookDelivery], *, behind: bool) -> int:
    _expect_active(endpoint)

    def renew() -> int:
        with hot_write():
            _open(endpoint)
            return rows.update(state=State.WAITING, behind=behind, due_at=timezone.now(), attempts=0, error="")

    count = persistently(renew)
    deliver.send(endpoint.pk)
    return count


def _expect_active(endpoint: WebhookEndpoint) -> None:
    if not endpoint.active:
        raise ValidationError(_("The webhook is switched off. Switch it on first."))


def _open(endpoint: WebhookEndpoint) -> None:
    """Somebody wants to see now whether it works: no pause after failures holds it up."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(open_at=None)
