"""The calls of a company in the order in which they changed, for programs that keep a copy of them.

Whoever changes a call, or what stands with it, does so after `lock_drain` and writes down when. So who commits later
has a later time, and what was told is never followed by something older. Clocks of several machines differ a little:
what changed a moment ago is told when that is over (`SETTLED`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from employees.models import Company

from .models import Call, CallGone

SETTLED = timedelta(seconds=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- Writing it down: inside a transaction of the caller's, after `lock_drain` ----------------------------------------


def stamp(calls: Iterable[Call]) -> None:
    """They change now; the caller saves it."""
    now = timezone.now()
    for call in calls:
        call.changed_at = now


def touch(call_ids: Iterable[int]) -> None:
    """Something that stands with these calls has changed. CRMs are not told."""
    rows = Call.objects.filter(pk__in=list(call_ids))
    rows.update(version=F("version") + 1, changed_at=timezone.now())


def link_client(call_id: int, client_id: int) -> None:
    """The client of a call has become known."""
    Call.objects.filter(pk=call_id, client=None).update(client_id=client_id, changed_at=timezone.now())


def note_gone(call: Call, into: Call | None = None) -> None:
    """It leaves the journal: it turns out to be a part of `into`, or is removed."""
    CallGone.objects.create(company_id=call.company_id, uuid=call.uuid, into=into.uuid if into else None)


# --- Reading it -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """Where a reader is: behind a change. At one time calls that are gone stand behind the others."""

    at: datetime = EPOCH
    gone: bool = False
    pk: int = 0

    def __str__(self) -> str:
        return f"{(self.at - EPOCH) // timedelta(microseconds=1)}-{self.gone:d}-{self.pk}"

    @classmethod
    def of(cls, row: Call | CallGone) -> Place:
        return cls(row.changed_at, isinstance(row, CallGone), row.pk)

    @classmethod
    def read(cls, text: str) -> Place:
        """What `str` wrote. Raises `ValueError`."""
        try:
            micros, gone, pk = map(int, text.split("-"))
            return cls(EPOCH + timedelta(microseconds=micros), bool(gone), pk)
        except OverflowError as error:
            raise ValueError(text) from error

    def behind(self, gone: bool) -> Q:
        """Rows of one kind that come after it."""
        if gone == self.gone:
            return Q(changed_at__gte=self.at) & (Q(changed_at__gt=self.at) | Q(pk__gt=self.pk))
        return Q(changed_at__gte=self.at) if gone else Q(changed_at__gt=self.at)


def since(company: Company, place: Place, limit: int) -> list[Call | CallGone]:
    """What has changed behind `place`, the oldest first and each call once."""
    calls, gone = changes(company, place)
    both: tuple[Iterable[Call | CallGone], ...] = (calls[:limit], gone[:limit])
    return list(islice(merge(*both, key=Place.of), limit))


def changes(company: Company, place: Place) -> tuple[QuerySet[Call], QuerySet[CallGone]]:
    settled = Q(company=company, changed_at__lt=timezone.now() - SETTLED)
    calls = Call.objects.filter(settled, place.behind(gone=False))
    gone = CallGone.objects.filter(settled, place.behind(gone=True))
    return calls.order_by("changed_at", "pk"), gone.order_by("changed_at", "pk")
