"""The inbox: what PBXs sent, stored as it came, then drained: parse, fold, save, tell.

`store` is the first seam of the hot path (submit → durable), `drain` the second (events → calls).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice, zip_longest

import structlog
from django.db import OperationalError
from django.db.models import QuerySet
from django.utils import timezone

from . import calls, directory, statements
from .calls import Told
from .directory import Known
from .events import parse
from .hot import Constant, hot_write, lock_drain
from .models import Call, Command, InboxEvent
from .providers.base import CommandResult, Fact, Request
from .signals import calls_changed

log = structlog.get_logger(__name__)

BATCH = 256


# --- Storing ----------------------------------------------------------------------------------------------------------


def event_of(known: Known, request: Request) -> InboxEvent:
    return InboxEvent(
        connection_id=known.id,
        received_at=timezone.now(),
        path=request.path[:200],
        query=request.query,
        headers=dict(request.headers),
        body=request.body,
        remote=request.remote,
    )


def store(events: list[InboxEvent]) -> None:
    """Make events durable, in one commit."""
    with hot_write():
        statements.insert(events)


# --- Draining ---------------------------------------------------------------------------------------------------------


def drain(limit: int = BATCH) -> int:
    """Fold what waits in the inbox, up to `limit` events; returns how many were taken (fewer: no more waited)."""
    try:
        with hot_write():
            lock_drain()
            directory.refresh()
            events = _take(limit)
            _process(events)
    except OperationalError:
        directory.forget()
        raise
    except Exception:
        directory.forget()
        log.exception("a batch of events cannot be folded, going one by one")
        return _drain_singly(limit)
    return len(events)


def _process(events: list[InboxEvent]) -> None:
    if not events:
        return
    told, results = _read(events)
    _note_results(results)
    changed = calls.take_in(told)
    statements.update(events, ["call", "state", "error"])
    if changed:
        calls_changed.send(sender=Call, calls=changed)


def _drain_singly(limit: int) -> int:
    """An event that cannot be folded is put aside with the reason: it must not hold up those of others."""
    events = _take(limit)
    for event in events:
        try:
            with hot_write():
                lock_drain()
                _process(list(waiting_events().filter(pk=event.pk)))
        except OperationalError:
            directory.forget()
            raise
        except Exception as error:
            directory.forget()
            log.exception("event cannot be folded", inbox_event=event.pk)
            words = f"{type(error).__name__}: {error}".replace("\0", "")
            with hot_write():
                InboxEvent.objects.filter(pk=event.pk).update(state=InboxEvent.State.FAILED, error=words)
    return len(events)


def refold(rows: Sequence[Call]) -> None:
    """Fold calls anew from their stored events, and tell of all of them: what they rest on has changed (whose an
    extension is, how an event is understood)."""
    told = Told()
    for row in rows:
        told.facts[(row.connection_id, row.key)] = []
    with hot_write():
        lock_drain()
        directory.refresh()
        calls.take_in(told)
        announce([row.pk for row in rows])


def announce(call_ids: Iterable[int]) -> None:
    """Tell that calls changed by something else than an event (a recording was stored, a visitor was recognised).

    Inside a transaction of the caller's, who changes the calls after `lock_drain`.
    """
    rows = list(Call.objects.filter(pk__in=list(call_ids)))
    for row in rows:
        row.changes = set()
    calls.load_people(rows)
    calls.grow(rows)
    if rows:
        calls_changed.send(sender=Call, calls=rows)


def waiting_events() -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(state=Constant(InboxEvent.State.NEW))


def _take(limit: int) -> list[InboxEvent]:
    """New events, each connection's in the order in which they came; when more wait than fit, by turns."""
    by_index = "connection_id, id"
    events = statements.select(InboxEvent, {}, also=f"state = {InboxEvent.State.NEW:d}", order=by_index, limit=limit)
    if len(events) < limit:
        return events
    waiting: dict[int, list[int]] = defaultdict(list)
    for event_id, connection_id in waiting_events().order_by("id").values_list("id", "connection_id")[: 8 * limit]:
        waiting[connection_id].append(event_id)
    # Whom a flood has pushed out of that window: his first events, however far behind it.
    crowd = waiting_events().exclude(connection_id__in=list(waiting)).order_by("connection_id")
    for connection_id in crowd.values_list("connection_id", flat=True).distinct()[:limit]:
        his = waiting_events().filter(connection_id=connection_id).order_by("id").values_list("id", flat=True)
        waiting[connection_id] = list(his[:8])
    by_turns = (event_id for turn in zip_longest(*waiting.values()) for event_id in turn if event_id)
    return list(waiting_events().filter(id__in=list(islice(by_turns, limit))).order_by("id"))


def _read(events: list[InboxEvent]) -> tuple[Told, list[tuple[int, CommandResult]]]:
    """What the events say of calls, and the PBX's late answers to commands by connection."""
    told = Told()
    results: list[tuple[int, CommandResult]] = []
    for event in events:
        for item in parse(event):
            if isinstance(item, CommandResult):
                results.append((event.connection_id, item))
            elif isinstance(item, Fact):
                told.facts[(event.connection_id, item.call)].append(item)
                told.events[(event.connection_id, item.call)].append(event)
    return told, results


def _note_results(results: list[tuple[int, CommandResult]]) -> None:
    for connection_id, result in results:
        state = Command.State.ACCEPTED if result.ok else Command.State.REFUSED
        error = "" if result.ok else f"{result.code} {result.words}".strip()
        Command.objects.filter(connection_id=connection_id, wire_id=result.command).update(state=state, error=error)
