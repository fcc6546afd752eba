"""Events of CRMs and the log of webhooks are deleted when they are too old, by the rule of their company, and so are
files that were asked for, and what cards had written."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from django.utils import timezone

from telephony import files
from telephony.hot import Constant, hot_write
from telephony.keeping import BATCH, in_batches

from . import radar
from .models import CardWrite, Credential, CrmEvent, Export, SeenEvent, WebhookDelivery, WebhookEndpoint

SEEN_DAYS = 30
CARD_DAYS = 30
EXPORT_DAYS = 7
FORGOTTEN = timedelta(hours=1)
"""By then no process remembers an endpoint that was deleted, so nothing is written for it any more."""


def delete_old() -> None:
    """Delete what its company keeps no longer, the keys of events that no CRM repeats any more, exports, and what is
    left of webhooks that somebody has deleted."""
    for credential in Credential.objects.select_related("company"):
        in_batches(credential.company.events_kept_days, partial(_delete_events, credential))
    for endpoint in WebhookEndpoint.objects.select_related("company").defer("url", "secrets"):
        days = 0 if endpoint.deleted_at else endpoint.company.exchanges_kept_days
        in_batches(days, partial(_delete_deliveries, endpoint))
    WebhookEndpoint.objects.filter(deleted_at__lt=timezone.now() - FORGOTTEN, deliveries=None).delete()
    in_batches(SEEN_DAYS, _forget_keys)
    in_batches(CARD_DAYS, _delete_writes)
    in_batches(EXPORT_DAYS, _delete_exports)
    radar.delete_old()


def _delete_events(credential: Credential, before: datetime) -> int:
    rows = CrmEvent.objects.filter(credential=credential, received_at__lt=before).exclude(state=CrmEvent.State.NEW)
    return _delete(CrmEvent, list(rows.order_by("received_at").values_list("pk", flat=True)[:BATCH]))


def _delete_deliveries(endpoint: WebhookEndpoint, before: datetime) -> int:
    """A batch of the log; what waits stays, where somebody may yet take it."""
    rows = endpoint.deliveries.filter(created_at__lt=before)
    if not endpoint.deleted_at:
        rows = rows.exclude(state=Constant(WebhookDelivery.State.WAITING))
    return _delete(WebhookDelivery, list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]))


def _forget_keys(before: datetime) -> int:
    rows = SeenEvent.objects.filter(at__lt=before).order_by("at")
    return _delete(SeenEvent, list(rows.values_list("pk", flat=True)[:BATCH]))


def _delete_writes(before: datetime) -> int:
    rows = CardWrite.objects.filter(created_at__lt=before).order_by("created_at")
    return _delete(CardWrite, list(rows.values_list("pk", flat=True)[:BATCH]))


def _delete_exports(before: datetime) -> int:
    rows = Export.objects.filter(created_at__lt=before).order_by("created_at")
    with hot_write():
        found = dict(rows.values_list("pk", "file")[:BATCH])
        files.drop(name for name in found.values() if name)
        Export.objects.filter(pk__in=list(found)).delete()
    return len(found)


def _delete(model: type[CrmEvent | SeenEvent | CardWrite | WebhookDelivery], ids: list[int]) -> int:
    with hot_write():
        model._default_manager.filter(pk__in=ids).delete()
    return len(ids)
