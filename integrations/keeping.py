"""Events of CRMs that are too old are deleted, by the rule of their company, and files that were asked for."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from telephony import files
from telephony.hot import hot_write
from telephony.keeping import BATCH, in_batches

from . import radar
from .models import Credential, CrmEvent, Export, SeenEvent

SEEN_DAYS = 30
EXPORT_DAYS = 7


def delete_old() -> None:
    """Delete events that their company keeps no longer, the keys of those that no CRM repeats any more, and exports."""
    for credential in Credential.objects.select_related("company"):
        in_batches(credential.company.events_kept_days, partial(_delete_events, credential))
    in_batches(SEEN_DAYS, _forget_keys)
    in_batches(EXPORT_DAYS, _delete_exports)
    radar.delete_old()


def _delete_events(credential: Credential, before: datetime) -> int:
    rows = CrmEvent.objects.filter(credential=credential, received_at__lt=before).exclude(state=CrmEvent.State.NEW)
    return _delete(CrmEvent, list(rows.order_by("received_at").values_list("pk", flat=True)[:BATCH]))


def _forget_keys(before: datetime) -> int:
    rows = SeenEvent.objects.filter(at__lt=before).order_by("at")
    return _delete(SeenEvent, list(rows.values_list("pk", flat=True)[:BATCH]))


def _delete_exports(before: datetime) -> int:
    rows = Export.objects.filter(created_at__lt=before).order_by("created_at")
    with hot_write():
        found = dict(rows.values_list("pk", "file")[:BATCH])
        files.drop(name for name in found.values() if name)
        Export.objects.filter(pk__in=list(found)).delete()
    return len(found)


def _delete(model: type[CrmEvent | SeenEvent], ids: list[int]) -> int:
    with hot_write():
        model._default_manager.filter(pk__in=ids).delete()
    return len(ids)
