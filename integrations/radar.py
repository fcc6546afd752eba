"""Somebody else writes the same calls into this CRM: found, counted, and shown with what to do about it.

Once in a while the CRM is asked which calls stand in it. Those that are not ours are compared with ours by number,
direction, time and length.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db.models import QuerySet
from django.utils import timezone

from crm_adapters.base import Capability, Listed
from employees import phones
from outbound.errors import OutboundError
from telephony.hot import hot_write
from telephony.models import Call

from . import credentials
from .models import CallSync, Credential, Double, Integration

log = structlog.get_logger(__name__)

SETTLED = timedelta(minutes=15)
"""A call that has ended so long ago is written by everybody who writes it."""
LONGEST = timedelta(days=1)
OVERLAP = timedelta(minutes=10)
NEAR = timedelta(minutes=2)
"""By so much the other's clock, or what he takes for the beginning, may differ."""
SLACK = 15
"""Seconds by which the lengths of a call may differ."""
LATELY = timedelta(days=2)
"""When no call was written twice for so long, it is over."""
KEPT = timedelta(days=30)
ASK_SECONDS = 20.0
EXAMPLES = 5


# --- Looking ----------------------------------------------------------------------------------------------------------


def due() -> list[int]:
    """Ids of the accounts that can be asked."""
    rows = Credential.objects.filter(state=Credential.State.READY, integrations__active=True).distinct()
    return [row.pk for row in rows if Capability.LISTS_CALLS in row.adapter.capabilities]


def look(credential: Credential) -> int:
    """Ask one account; returns how many calls were found to stand there twice."""
    until = timezone.now() - SETTLED
    since = max(until - LONGEST, (credential.calls_read_until or until - LONGEST) - OVERLAP)
    http = credentials.http_for(credential, purpose="radar", deadline=ASK_SECONDS)
    adapter = credential.adapter
    try:
        listed = credentials.besides(credential, http, lambda secrets: adapter.calls(http, secrets, since, until))
    except OutboundError as error:
        log.info("calls not listed", credential=str(credential.uuid), kind=error.kind, words=error.words)
        return 0  # it is asked again with the next look
    found = _doubles(credential, listed, since, until)
    with hot_write():
        Double.objects.bulk_create(found, ignore_conflicts=True)
        Credential.objects.filter(pk=credential.pk).update(calls_read_until=until)
    return len(found)


def _doubles(credential: Credential, listed: Sequence[Listed], since: datetime, until: datetime) -> list[Double]:
    around = (since - LONGEST, until + SETTLED)
    rows = list(CallSync.objects.filter(credential=credential, call__started_at__range=around).select_related("call"))
    strange = _strange(credential, listed, rows)
    written: defaultdict[str, list[CallSync]] = defaultdict(list)
    for row in rows:
        if row.noted and not row.part and row.state == CallSync.State.WANTED:
            written[row.call.client_phone].append(row)
    found = []
    for each in strange:
        same = written[phones.normalise(each.phone, credential.company.region)] if each.phone else []
        if ours := next((row for row in same if is_same(each, row.call)), None):
            other = {"listed": each.id[:200], "writer": each.writer[:200]}
            found.append(Double(integration_id=ours.integration_id, call=ours.call, **other))
    return found


def _strange(credential: Credential, listed: Iterable[Listed], rows: Iterable[CallSync]) -> list[Listed]:
    """Those that are not ours, by our key or by the id that the CRM gave."""
    keys = {str(row.part["id"]) if row.part else str(row.call.uuid) for row in rows}
    numbers = {credential.adapter.number_of(row.progress) for row in rows} - {""}
    return [each for each in listed if each.key not in keys and each.id not in numbers]


def is_same(listed: Listed, call: Call) -> bool:
    """Whether both tell of one conversation with the same number: what another takes for its beginning may be the
    first ring, the answer or the end, and its length may be with the ringing or without."""
    if not call.finished or listed.direction != call.direction:
        return False
    end = call.ended_at or call.started_at
    lengths = (call.talk_seconds, call.talk_seconds + call.wait_seconds)
    near = call.started_at - NEAR <= listed.started_at <= end + NEAR
    return near and any(abs(listed.seconds - length) <= SLACK for length in lengths)


# --- What was found ---------------------------------------------------------------------------------------------------


@dataclass
class Twice:
    """An integration whose calls stand in the CRM twice. `writers`: who seems to write them, and how many."""

    integration: Integration
    calls: set[int] = field(default_factory=set)
    writers: Counter[str] = field(default_factory=Counter)
    examples: list[Double] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.calls)

    @property
    def named(self) -> list[tuple[str, int]]:
        """The writers, who writes most of them first."""
        return self.writers.most_common()

    @property
    def help(self) -> str:
        return str(self.integration.credential.adapter.twice_help)


def lately(accounts: QuerySet[Credential]) -> list[Twice]:
    """Where calls of the last days stand twice, the newest as examples. Of what was switched off nothing is said."""
    rows = Double.objects.filter(
        integration__credential__in=accounts.order_by().values("pk"),
        integration__active=True,
        call__started_at__gte=timezone.now() - LATELY,
    )
    found: dict[int, Twice] = {}
    for row in rows.select_related("call", "integration__credential__company").order_by("-call__started_at", "pk"):
        twice = found.setdefault(row.integration_id, Twice(row.integration))
        twice.calls.add(row.call_id)
        twice.writers[row.writer] += 1
        if len(twice.examples) < EXAMPLES:
            twice.examples.append(row)
    return list(found.values())


def delete_old() -> None:
    Double.objects.filter(found_at__lt=timezone.now() - KEPT).delete()
