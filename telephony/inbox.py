"""The inbox: what PBXs sent, stored as it came, then drained: parse, fold, save, tell.

`store` is the first seam of the hot path (submit → durable), `drain` the second (events → calls).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice, zip_longest

import structlog
from django.db import OperationalError
from django.db.models import QuerySet
from django.utils import timezone

from . import answers, apart, calls, directory, statements
from .bodies import storable
from .directory import Known
from .events import AnswerGiven
from .hot import Constant, hot_write, lock_drain
from .models import Call, Command, Decision, InboxEvent
from .providers.base import NO_TIME, CommandResult, Fact, Request
from .signals import calls_changed, dials_refused
from .told import Told

log = structlog.get_logger(__name__)

BATCH = 256
FEW = 8
CLOCK = "clock"
"""The kind of decisions about times that cannot be."""


# --- Storing ----------------------------------------------------------------------------------------------------------


def event_of(known: Known, request: Request) -> InboxEvent:
    return InboxEvent(
        connection_id=known.id,
        received_at=timezone.now(),
        path=request.path,
        query=request.query,
        headers=dict(request.headers),
        body=request.body,
        remote=request.remote[:64],
    )


def store(events: list[InboxEvent]) -> None:
    """Make events durable, in one commit."""
    with hot_write():
        statements.insert(events)


# --- Draining ---------------------------------------------------------------------------------------------------------


def drain(limit: int = BATCH) -> bool:
    """Fold what waits in the inbox, up to `limit` events, and some of a connection that is kept apart; true when more
    may wait."""
    full = _drain_together(limit)
    return _drain_apart() or full


def _drain_together(limit: int) -> bool:
    events: list[InboxEvent] = []
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
        if not events:
            raise
        log.exception("a batch of events cannot be folded, going connection by connection")
        _drain_by_connection(events)
    return len(events) == limit


def _process(events: list[InboxEvent]) -> None:
    if not events:
        return
    told, results, given = _read(events)
    _note_results(results)
    changed = calls.take_in(told)
    answers.note(given, changed)
    statements.update(events, ["call", "state", "error"])
    _note_impossible_times(events)
    if changed:
        calls_changed.send(sender=Call, calls=changed)
    for connection_id, seconds in told.seconds.items():
        if seconds > apart.SLOW:
            apart.put(connection_id, "slow")


def _drain_by_connection(events: list[InboxEvent]) -> None:
    """Whose events cannot be folded is put apart: he must not hold up the others."""
    ids: dict[int, list[int]] = defaultdict(list)
    for event in events:
        ids[event.connection_id].append(event.pk)
    for connection_id, event_ids in ids.items():
        try:
            _fold_again(event_ids)
        except OperationalError:
            directory.forget()
            raise
        except Exception:
            directory.forget()
            apart.put(connection_id, "failing")


def _fold_again(event_ids: list[int]) -> None:
    with hot_write():
        lock_drain()
        _process(list(waiting_events().filter(pk__in=event_ids).order_by("id")))


def _drain_apart() -> bool:
    """A few events of the connection whose turn it is among those that are kept apart; true when there were any."""
    for connection_id in apart.ids():
        apart.had_his_turn(connection_id)
        event_ids = waiting_events().filter(connection_id=connection_id).order_by("id").values_list("pk", flat=True)
        end = time.monotonic() + apart.SLOW
        for event_id in (few := list(event_ids[:FEW])):
            _fold_alone(connection_id, event_id)
            if time.monotonic() > end:
                break
        if few:
            return True
    return False


def _fold_alone(connection_id: int, event_id: int) -> None:
    """An event that cannot be folded is put aside with the reason."""
    try:
        _fold_again([event_id])
    except OperationalError:
        directory.forget()
        raise
    except Exception as error:
        directory.forget()
        apart.put(connection_id, "failing")
        log.exception("event cannot be folded", inbox_event=event_id)
        with hot_write():
            InboxEvent.objects.filter(pk=event_id).update(
                state=InboxEvent.State.FAILED, error=storable(f"{type(error).__name__}: {error}")
            )


def fold_now(event: InboxEvent) -> None:
    """Store an event of ours and fold it in the same commit.

    Inside a transaction of the caller's, after `lock_drain`.
    """
    directory.refresh()
    statements.insert_for_ids([event])
    _process([event])


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


def announce(call_ids: Iterable[int], *changes: str) -> None:
    """Tell that calls changed by something else than an event (a recording was stored, a visitor was recognised).
    `changes`: what changed.

    Inside a transaction of the caller's, who changes the calls after `lock_drain`.
    """
    directory.refresh()
    rows = list(Call.objects.filter(pk__in=list(call_ids)))
    for row in rows:
        row.changes = set(changes)
    calls.load_people(rows)
    calls.grow(rows)
    if rows:
        calls_changed.send(sender=Call, calls=rows)


def waiting_events() -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(state=Constant(InboxEvent.State.NEW))


def _take(limit: int) -> list[InboxEvent]:
    """New events, each connection's in the order in which they came; when more wait than fit, by turns."""
    kept_apart = apart.ids()
    new = f"state = {InboxEvent.State.NEW:d}"
    if kept_apart:
        new += f" AND connection_id NOT IN ({', '.join(map(str, kept_apart))})"
    events = statements.select(InboxEvent, {}, also=new, order="connection_id, id", limit=limit)
    if len(events) < limit:
        return events
    together = waiting_events().exclude(connection_id__in=kept_apart)
    waiting: dict[int, list[int]] = defaultdict(list)
    for event_id, connection_id in together.order_by("id").values_list("id", "connection_id")[: 8 * limit]:
        waiting[connection_id].append(event_id)
    # Whom a flood has pushed out of that window: his first events, however far behind it.
    crowd = together.exclude(connection_id__in=list(waiting)).order_by("connection_id")
    for connection_id in crowd.values_list("connection_id", flat=True).distinct()[:limit]:
        his = together.filter(connection_id=connection_id).order_by("id").values_list("id", flat=True)
        waiting[connection_id] = list(his[:8])
    by_turns = (event_id for turn in zip_longest(*waiting.values()) for event_id in turn if event_id)
    return list(waiting_events().filter(id__in=list(islice(by_turns, limit))).order_by("id"))


def _read(
    events: list[InboxEvent],
) -> tuple[Told, list[tuple[int, CommandResult]], list[tuple[InboxEvent, AnswerGiven]]]:
    """What the events say of calls, the PBX's late answers to commands by connection, and our answers to its
    questions."""
    told = Told()
    results: list[tuple[int, CommandResult]] = []
    given: list[tuple[InboxEvent, AnswerGiven]] = []
    for event in events:
        for item in told.read(event):
            if isinstance(item, CommandResult):
                results.append((event.connection_id, item))
            elif isinstance(item, AnswerGiven):
                given.append((event, item))
            elif isinstance(item, Fact):
                told.facts[(event.connection_id, item.call)].append(item)
                told.events[(event.connection_id, item.call)].append(event)
    return told, results, given


def _note_impossible_times(events: list[InboxEvent]) -> None:
    """Once for each call."""
    said = {event.call_id: event.impossible_time for event in events if event.call_id and event.impossible_time}
    if not said:
        return
    noted = Decision.objects.filter(call_id__in=said, kind=CLOCK).values_list("call_id", flat=True)
    Decision.objects.bulk_create(
        Decision(call_id=call_id, kind=CLOCK, code="no_time")
        if moment == NO_TIME
        else Decision(call_id=call_id, kind=CLOCK, code="impossible_time", details={"said": f"{moment:%Y-%m-%d %H:%M}"})
        for call_id, moment in said.items()
        if call_id not in noted
    )


def _note_results(results: list[tuple[int, CommandResult]]) -> None:
    for connection_id, result in results:
        state = Command.State.ACCEPTED if result.ok else Command.State.REFUSED
        error = "" if result.ok else f"{result.code} {result.words}".strip()
        told = Command.objects.filter(connection_id=connection_id, wire_id=result.command)
        told.update(state=state, error=error)
        if not result.ok and (dials := list(told.filter(kind="dial", dialled_calls=None).values_list("pk", flat=True))):
            dials_refused.send(sender=Command, commands=dials)
