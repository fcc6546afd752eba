"""Events that failed alike are tried again after a mend: in the background, a batch at a time, over all companies.

A batch is written down in the transaction that makes its events new, so whoever comes after a worker that died goes on
where that one stopped, and every event is counted once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.utils import timezone

from crm_adapters import registry as crms
from employees.models import User
from telephony import inbox
from telephony.hot import Constant, hot_write
from telephony.leases import LEASE, renewed
from telephony.models import InboxEvent
from telephony.providers import registry as pbxs

from . import crm_events
from .models import CrmEvent, Replay

Kind = Replay.Kind
BATCH = 100
PATIENCE = 30.0
"""Seconds that a batch is given to be folded; one that takes longer is looked at again later."""
PAUSE = 2.0
KEPT = timedelta(days=90)


@dataclass(frozen=True)
class Cause:
    """Events that failed with the same words, of all companies."""

    kind: Replay.Kind
    vendor: str
    words: str
    count: int
    companies: int
    first: datetime
    last: datetime
    newest: int

    @property
    def title(self) -> str:
        known: dict[str, Any] = {**pbxs.all_providers()} if self.kind == Kind.PBX else {**crms.all_adapters()}
        return known[self.vendor].title if self.vendor in known else self.vendor


def causes() -> list[Cause]:
    """The most frequent first."""
    return sorted((cause for kind in Kind for cause in _causes(kind)), key=lambda cause: -cause.count)


def _causes(kind: Replay.Kind) -> Iterator[Cause]:
    owner, column = OWNERS[kind]
    groups = _all_failed(kind).values(f"{owner}__{column}", "error").order_by()
    companies = Count(f"{owner}__company", distinct=True)
    times = {"first": Min("received_at"), "last": Max("received_at")}
    for row in groups.annotate(count=Count("pk"), companies=companies, newest=Max("pk"), **times):
        yield Cause(kind, row.pop(f"{owner}__{column}"), row.pop("error"), **row)


OWNERS = {Kind.PBX: ("connection", "provider"), Kind.CRM: ("credential", "crm")}


def _all_failed(kind: str) -> QuerySet[Any]:
    if kind == Kind.PBX:
        return InboxEvent.objects.filter(state=Constant(InboxEvent.State.FAILED))
    return CrmEvent.objects.filter(state__gte=Constant(CrmEvent.State.FAILED))


# --- Beginning --------------------------------------------------------------------------------------------------------


def start(kind: Replay.Kind, event_id: int, asked_by: User | None) -> Replay | None:
    """Try all of the cause of this event again; what is at them already is it. None: the event does not fail now."""
    owner, column = OWNERS[kind]
    event = _all_failed(kind).filter(pk=event_id).values_list(f"{owner}__{column}", "error").first()
    if event is None:
        return None
    vendor, words = event
    running = Replay.objects.filter(kind=kind, vendor=vendor, cause=words, finished_at=None).first()
    if running:
        return running
    found = _failed(kind, vendor, words).aggregate(until=Max("pk"), total=Count("pk"))
    return Replay.objects.create(kind=kind, vendor=vendor, cause=words, asked_by=asked_by, **found)


def _failed(kind: str, vendor: str, words: str) -> QuerySet[Any]:
    owner, column = OWNERS[Kind(kind)]
    return _all_failed(kind).filter(**{f"{owner}__{column}": vendor, "error": words})


def shown() -> list[Replay]:
    """Those under way and the last ones that are over."""
    return list(Replay.objects.select_related("asked_by").order_by(F("finished_at").desc(nulls_first=True), "-pk")[:10])


def forget_old() -> None:
    Replay.objects.filter(finished_at__lt=timezone.now() - KEPT).delete()


# --- Working at it ----------------------------------------------------------------------------------------------------


def due() -> list[int]:
    return list(_free().values_list("pk", flat=True))


def _free() -> QuerySet[Replay]:
    idle = Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    return Replay.objects.filter(idle, finished_at=None)


def work(replay_id: int) -> float | None:
    """Try a batch; returns after how many seconds to come again, None when nothing is left (or another is at it)."""
    lease = uuid.uuid4()
    with hot_write():
        if not _free().filter(pk=replay_id).update(lease=lease, lease_until=timezone.now() + LEASE):
            return None
    mine = Replay.objects.filter(pk=replay_id, lease=lease)
    try:
        with renewed(mine):
            return _work(mine)
    finally:
        mine.update(lease=None, lease_until=None)


def _work(mine: QuerySet[Replay]) -> float | None:
    row = mine.get()
    batch = row.batch or _take(row, mine)
    if not batch:
        mine.update(finished_at=timezone.now())
        return None
    if not _try(row.kind, batch):
        return PAUSE
    _judge(row.kind, batch, mine)
    return 0.0


def _take(row: Replay, mine: QuerySet[Replay]) -> list[int]:
    """The next batch, which is new from now on."""
    rows = _failed(row.kind, row.vendor, row.cause).filter(pk__gt=row.reached, pk__lte=row.until)
    with hot_write():
        batch = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if not mine.update(batch=batch):
            return []
        if row.kind == Kind.PBX:
            InboxEvent.objects.filter(pk__in=batch).update(state=InboxEvent.State.NEW, error="")
        else:
            renew(CrmEvent.objects.filter(pk__in=batch))
    return batch


def renew(events: QuerySet[CrmEvent]) -> int:
    """Failed events of CRMs are as if they had just come; returns how many."""
    failed = events.filter(state__gte=CrmEvent.State.FAILED)
    return failed.update(state=CrmEvent.State.NEW, error="", attempts=0, not_before=timezone.now())


def _try(kind: str, batch: list[int]) -> bool:
    """Whether every event of the batch has had its try."""
    if kind == Kind.CRM:
        for event_id in batch:
            crm_events.handle(event_id)
        return True
    new = inbox.waiting_events().filter(pk__in=batch)
    end = time.monotonic() + PATIENCE
    while new.exists():
        if time.monotonic() > end:
            return False
        inbox.drain()
    return True


def _judge(kind: str, batch: list[int], mine: QuerySet[Replay]) -> None:
    failed = _all_failed(kind).filter(pk__in=batch).count()
    mine.update(batch=[], reached=max(batch), done=F("done") + len(batch), failed=F("failed") + failed)
