"""Calls whose end never came: looked up in the PBX's own history, and closed by ourselves where that does not help."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

from django.db.models import Max, Q
from django.utils import timezone

from . import history, inbox
from .events import close_event
from .fold import CallState, Source
from .models import Call, Connection, HistoryRun

LEGS_OVER = timedelta(minutes=2)
LONGEST = timedelta(days=1)
"""A call that was told to live for longer is asked for."""
BETWEEN = timedelta(minutes=5)
"""At least so long lies between two looks into one connection's history."""

State = HistoryRun.State


def close_silent_calls(now: datetime | None = None) -> int:
    """End calls whose legs are all over although the vendor's summary never came, or that were silent for a day.

    Where the vendor keeps a history, it is asked first: what it knows of a call ends it. Only calls that it does not
    know, or those for which it could not be asked in half an hour, are ended by ourselves, with that reason. The end is
    written as an event of our own, so that the call stays a fold over its events. Returns how many were ended.
    """
    now = now or timezone.now()
    events, unasked = [], defaultdict(list)
    looks = _looks(now)
    for call in _silent(now):
        if not history.able(call.connection):
            events.append(close_event(call.connection_id, call.key, "no_history", now))
            continue
        look = _look_for(call, looks[call.connection_id], now)
        if look is None:
            unasked[call.connection].append(call)
        elif why := _why(call, look):
            events.append(close_event(call.connection_id, call.key, why, now))
    for connection, calls in unasked.items():
        if not any(look.created_at > now - BETWEEN for look in looks[connection.pk]):
            _ask(connection, calls)
    if events:
        inbox.store(events)
    return len(events)


def _silent(now: datetime) -> list[Call]:
    """Calls that should be over; `last_heard` is when their newest event came."""
    rows = (
        Call.objects.exclude(state=CallState.FINISHED)
        .exclude(source=Source.TRIAL)
        .filter(Q(legs_ended_at__lt=now - LEGS_OVER) | Q(first_received_at__lt=now - LONGEST))
        .select_related("connection__company")
        .annotate(last_heard=Max("events__received_at"))
    )
    return [
        call
        for call in rows[: inbox.BATCH]
        if call.last_heard and now - call.last_heard > timedelta(seconds=call.connection.protocol.summary_patience)
    ]


def _looks(now: datetime) -> dict[int, list[HistoryRun]]:
    """The looks of the last day by connection, the newest first."""
    found: dict[int, list[HistoryRun]] = defaultdict(list)
    rows = HistoryRun.objects.filter(kind=HistoryRun.Kind.WATCHDOG, created_at__gt=now - LONGEST)
    for look in rows.order_by("-created_at"):
        found[look.connection_id].append(look)
    return found


def _look_for(call: Call, looks: list[HistoryRun], now: datetime) -> HistoryRun | None:
    """The newest look that was made for this call, since it went silent; none where the call was going on then, as
    long as that can be believed."""
    heard: datetime = call.last_heard  # type: ignore[attr-defined]
    mine = (look for look in looks if look.since <= call.started_at <= look.until and look.created_at >= heard)
    look = next(mine, None)
    going_on = look and call.key in look.going_on and heard > now - LONGEST
    return None if going_on else look


def _why(call: Call, look: HistoryRun) -> str:
    """Why the call is to be closed by us; empty while the look is under way."""
    if look.state == State.OPEN:
        return ""
    return "not_in_history" if look.state == State.DONE else f"not_asked: {look.error}"


def _ask(connection: Connection, calls: list[Call]) -> None:
    """One look for all calls of a day; the others have their turn afterwards."""
    times = sorted(call.started_at for call in calls)
    since = times[0] - timedelta(minutes=1)
    until = min(times[-1], since + timedelta(days=1)) + timedelta(minutes=1)
    history.start(connection, HistoryRun.Kind.WATCHDOG, since, until)
