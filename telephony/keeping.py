"""What is kept no longer than a company wants: audio, what PBXs sent, the log of requests, of changes, comments, done
planned calls.

Deleted in batches, oldest first, each a short transaction: whoever dies between two of them has left nothing half done.
A call stays for ever. Its first event that goes seals it: from then on it is not folded again, since what is known of
it could no longer be known from its events. So events of a call that is not over stay, however old they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from clients.models import Comment
from employees.models import Change, Company

from . import feed, files
from .fold import CallState
from .hot import Constant, hot_write, lock_drain
from .models import Call, Connection, Exchange, ExchangeCall, InboxEvent, PlannedCall, Recording

BATCH = 200
BREATH = 0.05
"""Seconds between two batches, for those who wait to write."""


def delete_old() -> None:
    """Delete all that is older than its company keeps it."""
    for company in Company.objects.all():
        in_batches(company.recordings_kept_days, partial(delete_recordings, company))
        for connection in company.connections.all():
            in_batches(company.events_kept_days, partial(delete_events, connection))
        in_batches(company.exchanges_kept_days, partial(delete_exchanges, company))
        in_batches(company.changes_kept_days, partial(_delete, Change.objects.filter(company=company), "at"))
        in_batches(company.comments_kept_days, partial(_delete, Comment.objects.filter(company=company), "at"))
        in_batches(company.planned_kept_days, partial(_delete, PlannedCall.objects.filter(company=company), "done_at"))


def in_batches(days: int | None, delete: Callable[[datetime], int]) -> None:
    """Delete what is older than `days` (None: it is kept for ever) until less than a batch is found."""
    if days is None:
        return
    before = timezone.now() - timedelta(days=days)
    while delete(before) >= BATCH:
        time.sleep(BREATH)


def _delete(rows: QuerySet[Any], when: str, before: datetime) -> int:
    """A batch of rows of which nothing else depends; how many. What is not done has no time, and stays."""
    with hot_write():
        found = list(rows.filter(**{f"{when}__lt": before}).order_by(when).values_list("pk", flat=True)[:BATCH])
        rows.filter(pk__in=found).delete()
    return len(found)


def delete_events(connection: Connection, before: datetime) -> int:
    """A batch of what a PBX sent before; how many events. Those that wait to be folded stay."""
    old = InboxEvent.objects.filter(connection=connection, received_at__lt=before).exclude(state=InboxEvent.State.NEW)
    with hot_write():
        lock_drain()
        rows = old.filter(Q(call=None) | Q(call__state=CallState.FINISHED)).order_by("received_at")
        found = dict(rows.values_list("pk", "call")[:BATCH])
        Call.objects.filter(pk__in=set(found.values()), sealed_at=None).update(sealed_at=timezone.now())
        InboxEvent.objects.filter(pk__in=list(found)).delete()
    return len(found)


def delete_exchanges(company: Company, before: datetime) -> int:
    """A batch of requests made before; how many."""
    with hot_write():
        lock_drain()
        rows = Exchange.objects.filter(company=company, at__lt=before).order_by("at")
        found = list(rows.values_list("pk", flat=True)[:BATCH])
        links = ExchangeCall.objects.filter(exchange__in=found)
        Call.objects.filter(pk__in=links.values("call"), log_deleted_at=None).update(log_deleted_at=timezone.now())
        Exchange.objects.filter(pk__in=found).only("pk").delete()
    return len(found)


def delete_recordings(company: Company, before: datetime) -> int:
    """A batch of recordings stored before; how many. No recording names a file any more when the file is removed."""
    with hot_write():
        lock_drain()
        held = Constant(Recording.State.STORED)  # so that SQLite sees its partial index
        stored = Recording.objects.filter(company=company, state=held, stored_at__lt=before)
        found = list(stored.order_by("stored_at").values_list("pk", "file", "call")[:BATCH])
        files.drop(file for _pk, file, _call in found)
        feed.touch({call for _pk, _file, call in found})
        Recording.objects.filter(pk__in=[pk for pk, _file, _call in found]).update(
            state=Recording.State.DELETED, file="", deleted_at=timezone.now(), due_at=None, lease_until=None
        )
    return len(found)
