"""Stored events and what they say: from a row of the inbox to facts."""

from __future__ import annotations

from datetime import timedelta

import structlog

from employees import installation

from . import clocks, directory
from .bodies import storable
from .directory import Known
from .models import Connection, InboxEvent
from .providers.base import Closed, Fact, Leg, NotUnderstood, Parsed, Request

log = structlog.get_logger(__name__)

OURS = "_callbridge/"
"""What the paths of events begin with that we write ourselves: nobody may send us such a one."""
CLOSE_PATH = f"{OURS}close"
"""The path of events that we write ourselves when a call's end never came."""


def request_of(event: InboxEvent) -> Request:
    return Request("POST", event.path, bytes(event.body), event.query, event.headers, event.remote)


def parse(event: InboxEvent) -> list[Parsed]:
    """What an event says; an event that is not understood is marked as that, with the reason."""
    try:
        known = directory.by_id(event.connection_id)
        if event.path == CLOSE_PATH:
            call, why = bytes(event.body).decode().split("\n", 1)
            parsed: list[Parsed] = [Closed(call=call, at=event.received_at, why=why)]
        else:
            parsed = known.provider.parse(request_of(event))
    except NotUnderstood as error:
        event.state, event.error = InboxEvent.State.FAILED, storable(str(error))
        return []
    except Exception as error:
        log.exception("event not understood", inbox_event=event.id)
        event.state, event.error = InboxEvent.State.FAILED, storable(f"{type(error).__name__}: {error}")
        return []
    event.state, event.error = InboxEvent.State.FOLDED, ""
    _recognise_clock(known, event, parsed)
    return [_made_possible(event, item) if isinstance(item, Fact) else item for item in parsed]


def _made_possible(event: InboxEvent, fact: Fact) -> Fact:
    if event.path.startswith(OURS):
        return fact
    shift = timedelta(seconds=directory.by_id(event.connection_id).clock_shift or 0)
    made = clocks.made_possible(fact, event.received_at + shift)
    if made != fact:
        event.impossible_time = fact.at
    return made


def _recognise_clock(known: Known, event: InboxEvent, parsed: list[Parsed]) -> None:
    """A vendor whose clock may be ahead by a known amount: the first live event tells."""
    if known.clock_shift is not None or not known.provider.clock_shifts:
        return
    ahead = max(
        ((item.at - event.received_at).total_seconds() for item in parsed if isinstance(item, Leg)), default=None
    )
    if ahead is None:
        return
    for shift in (0, *known.provider.clock_shifts):
        if abs(ahead - shift) < 300:
            Connection.objects.filter(pk=known.id).update(clock_shift=shift)
            installation.changed()
            directory.refresh()
