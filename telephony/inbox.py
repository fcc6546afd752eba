"""The inbox: what PBXs sent, stored as it came, then drained: parse, fold, save, tell.

`store` is the first seam of the hot path (submit → durable), `drain` the second (events → calls).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, zip_longest

import structlog
from django.db import OperationalError
from django.db.models import Q, QuerySet
from django.utils import timezone

from employees import installation, phones
from employees.models import Extension

from . import directory
from .directory import Known, Short
from .fold import CallState, FoldedCall, fold
from .hot import Constant, hot_write, lock_drain, upsert
from .models import Call, CallAlias, Command, Connection, InboxEvent, Participant, Recording
from .providers.base import (
    Alias,
    Closed,
    CommandResult,
    Fact,
    Leg,
    LegState,
    NotUnderstood,
    Parsed,
    RecordingState,
    Request,
)
from .signals import calls_changed

log = structlog.get_logger(__name__)

BATCH = 256
CLOSE_PATH = "_callbridge/close"
"""The path of events that we write ourselves when a call's end never came."""

CallKey = tuple[int, str]
UNKNOWN = Short(Extension.Handling.UNKNOWN)


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
        InboxEvent.objects.bulk_create(events)


def request_of(event: InboxEvent) -> Request:
    return Request("POST", event.path, bytes(event.body), event.query, event.headers, event.remote)


# --- Draining ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Batch:
    """One drain: the events taken, and what they say by call."""

    events: list[InboxEvent] = field(default_factory=list)
    facts: dict[CallKey, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    of_call: dict[CallKey, list[InboxEvent]] = field(default_factory=lambda: defaultdict(list))
    results: list[tuple[int, CommandResult]] = field(default_factory=list)


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
    batch = _read(events)
    changed = _fold(batch)
    upsert(events, ["call", "state", "error"])
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


def refold(calls: Sequence[Call]) -> None:
    """Fold calls anew from their stored events, and tell of all of them: what they rest on has changed (whose an
    extension is, how an event is understood)."""
    batch = _Batch()
    for call in calls:
        batch.facts[(call.connection_id, call.key)] = []
    with hot_write():
        lock_drain()
        directory.refresh()
        _fold(batch)
        announce([call.pk for call in calls])


def announce(call_ids: Iterable[int]) -> None:
    """Tell that calls changed by something else than an event (a recording was stored, a visitor was recognised).

    Inside a transaction of the caller's, who changes the calls after `lock_drain`.
    """
    calls = list(Call.objects.filter(pk__in=list(call_ids)))
    for call in calls:
        call.changes = set()
    _load_people(calls)
    _grow(calls)
    if calls:
        calls_changed.send(sender=Call, calls=calls)


def waiting_events() -> QuerySet[InboxEvent]:
    return InboxEvent.objects.filter(state=Constant(InboxEvent.State.NEW))


def _take(limit: int) -> list[InboxEvent]:
    """New events, each connection's in the order in which they came; when more wait than fit, by turns."""
    events = list(waiting_events().order_by("connection_id", "id")[:limit])  # the order of the index
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


def _read(events: list[InboxEvent]) -> _Batch:
    batch = _Batch(events)
    for event in events:
        parsed = _parse(event)
        for item in parsed:
            if isinstance(item, CommandResult):
                batch.results.append((event.connection_id, item))
            elif isinstance(item, Fact):
                batch.facts[(event.connection_id, item.call)].append(item)
                batch.of_call[(event.connection_id, item.call)].append(event)
    return batch


def _parse(event: InboxEvent) -> list[Parsed]:
    """What an event says; an event that is not understood is marked as that, with the reason."""
    try:
        known = directory.by_id(event.connection_id)
        if event.path == CLOSE_PATH:
            call, why = bytes(event.body).decode().split("\n", 1)
            parsed: list[Parsed] = [Closed(call=call, at=event.received_at, why=why)]
        else:
            parsed = known.provider.parse(request_of(event))
    except NotUnderstood as error:
        event.state, event.error = InboxEvent.State.FAILED, str(error)
        return []
    except Exception as error:
        log.exception("event not understood", inbox_event=event.id)
        event.state, event.error = InboxEvent.State.FAILED, f"{type(error).__name__}: {error}"
        return []
    event.state, event.error = InboxEvent.State.FOLDED, ""
    _recognise_clock(known, event, parsed)
    return parsed


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


# --- Folding ----------------------------------------------------------------------------------------------------------


def _fold(batch: _Batch) -> list[Call]:
    _note_results(batch.results)
    if not batch.facts:
        return []
    calls = _load_calls(batch)
    _load_earlier_facts(batch, calls)
    dials = _dials(batch)
    _load_people(calls.values())
    changed: list[Call] = []
    folded: dict[CallKey, FoldedCall] = {}
    for key, facts in batch.facts.items():
        if not facts:
            continue
        folded[key] = fold(facts, dials.keys())
        call = calls.get(key) or _new_call(key)
        calls[key] = call
        if _apply(call, folded[key], dials):
            changed.append(call)
    _save_calls(changed)
    changed_ids = {call.pk for call in changed}
    touched = _save_people(calls, folded) | _save_recordings(calls, folded)
    _grow([call for call in calls.values() if call.pk in touched - changed_ids])
    _save_aliases(batch, calls)
    for key, events in batch.of_call.items():
        for event in events:
            event.call_id = calls[key].pk
    return [call for call in calls.values() if call.pk in changed_ids | touched]


def _note_results(results: list[tuple[int, CommandResult]]) -> None:
    for connection_id, result in results:
        state = Command.State.ACCEPTED if result.ok else Command.State.REFUSED
        error = "" if result.ok else f"{result.code} {result.words}".strip()
        Command.objects.filter(connection_id=connection_id, wire_id=result.command).update(state=state, error=error)


def _load_calls(batch: _Batch) -> dict[CallKey, Call]:
    connections = {connection_id for connection_id, _ in batch.facts}
    keys = {key for _, key in batch.facts}
    rows = Call.objects.filter(connection_id__in=connections, key__in=keys)
    calls = {(call.connection_id, call.key): call for call in rows}
    missing = {key for key in batch.facts if key not in calls}
    if missing:
        aliases = CallAlias.objects.filter(
            connection_id__in=connections, key__in={key for _, key in missing}
        ).select_related("call")
        for alias in aliases:
            _move(batch, (alias.connection_id, alias.key), (alias.connection_id, alias.call.key))
            calls[(alias.connection_id, alias.call.key)] = alias.call
    for key in [key for key in batch.facts if key not in calls]:
        for fact in batch.facts[key]:
            if isinstance(fact, Alias):
                _move(batch, (key[0], fact.other), key)
    return calls


def _move(batch: _Batch, old: CallKey, new: CallKey) -> None:
    """Facts that came under another id of the same call belong to it."""
    if old != new and old in batch.facts:
        batch.facts[new] += batch.facts.pop(old)
        batch.of_call[new] += batch.of_call.pop(old, [])


def _load_earlier_facts(batch: _Batch, calls: dict[CallKey, Call]) -> None:
    ids = {call.pk: key for key, call in calls.items()}
    if not ids:
        return
    for event in InboxEvent.objects.filter(call_id__in=ids, state=InboxEvent.State.FOLDED).order_by("id"):
        key = ids[event.call_id]  # type: ignore[index]
        batch.facts[key] += [fact for fact in _parse(event) if isinstance(fact, Fact)]


def _dials(batch: _Batch) -> dict[str, Command]:
    """Dial commands of ours that these calls name, by the id that the PBX knows."""
    named = {fact.command for facts in batch.facts.values() for fact in facts if isinstance(fact, Leg) and fact.command}
    if not named:
        return {}
    connections = {connection_id for connection_id, _ in batch.facts}
    rows = Command.objects.filter(connection_id__in=connections, wire_id__in=named, kind="dial")
    return {command.wire_id: command for command in rows}


def _new_call(key: CallKey) -> Call:
    known = directory.by_id(key[0])
    call = Call(connection_id=key[0], company_id=known.company_id, key=key[1])
    call.people, call.audio = [], []
    return call


def _apply(call: Call, folded: FoldedCall, dials: dict[str, Command]) -> bool:
    """Bring a call to what its facts tell; true when that changed anything."""
    known = directory.by_id(call.connection_id)
    shift = timedelta(seconds=known.clock_shift or 0)
    whose = _shorts(known, folded).get(folded.extension, UNKNOWN)
    now: dict[str, object] = {
        "direction": folded.direction,
        "state": folded.state,
        "outcome": folded.outcome or "",
        "client_phone": phones.normalise(folded.client_number, known.region)[:128],
        "virtual_number": phones.normalise(folded.virtual_number, known.region)[:128],
        "extension": folded.extension,
        "first_extension": folded.first_extension,
        "employee_id": whose.employee_id,
        "dialled_by_id": next((dials[wire].pk for wire in folded.commands if wire in dials), call.dialled_by_id),
        "started_at": _shifted(folded.started_at, shift) or call.first_received_at,
        "answered_at": _shifted(folded.answered_at, shift),
        "ended_at": _shifted(folded.ended_at, shift),
        "talk_seconds": folded.talk_seconds,
        "wait_seconds": _wait(folded),
        "live_leg": folded.live_leg,
        "waiting_leg": folded.waiting_leg,
        "legs_ended_at": _shifted(folded.legs_ended_at, shift),
        "tracking_number": folded.tracking_number,
    }
    different = [name for name, value in now.items() if getattr(call, name) != value]
    for name in different:
        setattr(call, name, now[name])
    call.changes = set(different)
    if different or not call.version:
        call.version += 1
    return bool(different) or call.pk is None


def _shifted(moment: datetime | None, shift: timedelta) -> datetime | None:
    return moment - shift if moment else None


def _wait(folded: FoldedCall) -> int:
    until = folded.answered_at or folded.ended_at
    return max(0, round((until - folded.started_at).total_seconds())) if until and folded.started_at else 0


def _shorts(known: Known, folded: FoldedCall) -> dict[str, Short]:
    """The company's extensions. One that nobody has seen before is written down as unknown."""
    shorts = directory.extensions(known.company_id)
    named = {share.extension for share in folded.shares} | {folded.extension}
    if strangers := {number for number in named if number and number not in shorts}:
        rows = [Extension(company_id=known.company_id, number=number[:32]) for number in sorted(strangers)]
        Extension.objects.bulk_create(rows, ignore_conflicts=True)
        shorts.update(dict.fromkeys(strangers, UNKNOWN))
    return shorts


# --- Saving -----------------------------------------------------------------------------------------------------------

_CALL_FIELDS = [
    "version",
    "direction",
    "state",
    "outcome",
    "client_phone",
    "virtual_number",
    "extension",
    "first_extension",
    "employee",
    "dialled_by",
    "started_at",
    "answered_at",
    "ended_at",
    "talk_seconds",
    "wait_seconds",
    "live_leg",
    "waiting_leg",
    "legs_ended_at",
    "tracking_number",
]
"""What the fold owns; the client and what call tracking said are written by others."""
_PERSON_FIELDS = ["extension", "employee", "leg", "state", "rang_at", "answered_at", "left_at", "why"]


def _save_calls(changed: list[Call]) -> None:
    Call.objects.bulk_create([call for call in changed if call.pk is None])
    upsert([call for call in changed if call.version > 1], _CALL_FIELDS)


def _load_people(calls: Iterable[Call]) -> None:
    by_id = {call.pk: call for call in calls}
    for call in by_id.values():
        call.people, call.audio = [], []
    if by_id:
        for person in Participant.objects.filter(call_id__in=by_id).order_by("position"):
            by_id[person.call_id].people.append(person)
        for recording in Recording.objects.filter(call_id__in=by_id).order_by("id"):
            by_id[recording.call_id].audio.append(recording)


def _save_people(calls: dict[CallKey, Call], folded: dict[CallKey, FoldedCall]) -> set[int]:
    """Write the participants that changed; returns the ids of their calls."""
    rows: list[Participant] = []
    for key, told in folded.items():
        call = calls[key]
        known = directory.by_id(call.connection_id)
        shorts = directory.extensions(known.company_id)
        shift = timedelta(seconds=known.clock_shift or 0)
        people = [
            Participant(
                call_id=call.pk,
                position=position,
                extension=share.extension[:32],
                employee_id=shorts.get(share.extension, UNKNOWN).employee_id,
                leg=share.leg,
                state=LegState.ENDED if told.state is CallState.FINISHED else share.state,
                rang_at=_shifted(share.rang_at, shift),
                answered_at=_shifted(share.answered_at, shift),
                left_at=_shifted(share.left_at, shift),
                why=share.why or "",
            )
            for position, share in enumerate(told.shares)
        ]
        before: list[Participant] = call.people
        changed = [row for row in people if row.position >= len(before) or not _same(row, before[row.position])]
        if len(before) > len(people):
            Participant.objects.filter(call_id=call.pk, position__gte=len(people)).delete()
        rows += changed
        call.people = people
    if rows:
        Participant.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["call", "position"], update_fields=_PERSON_FIELDS
        )
    return {row.call_id for row in rows}


def _same(one: Participant, other: Participant) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("extension", "employee_id", "leg", "state", "rang_at", "answered_at", "left_at", "why")
    )


_RANK = {
    Recording.State.ANNOUNCED: 0,
    Recording.State.ABSENT: 1,
    Recording.State.READY: 2,
    Recording.State.STORED: 3,
    Recording.State.FAILED: 3,
}


def _save_recordings(calls: dict[CallKey, Call], folded: dict[CallKey, FoldedCall]) -> set[int]:
    """Write what became known of recordings; returns the ids of their calls."""
    rows: list[Recording] = []
    now = timezone.now()
    for key, told in folded.items():
        call = calls[key]
        known = {row.key: row for row in call.audio}
        for fact in told.recordings.values():
            row = known.get(fact.recording)
            if row and _RANK[Recording.State(row.state)] >= _RANK[Recording.State(fact.state)]:
                continue
            if row is None:
                row = Recording(call_id=call.pk, key=fact.recording, vendor_url=fact.url)
                call.audio.append(row)
            row.state = Recording.State(fact.state)
            row.extension = fact.extension or row.extension
            row.vendor_url = fact.url or row.vendor_url
            row.due_at = now if fact.state is RecordingState.READY else None
            rows.append(row)
    if rows:
        Recording.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["call", "key"],
            update_fields=["state", "extension", "vendor_url", "due_at"],
        )
    return {row.call_id for row in rows}


def _grow(calls: list[Call]) -> None:
    """Calls of which only the people or the recordings changed are changed calls too."""
    for call in calls:
        call.version += 1
    upsert(calls, ["version"])


def _save_aliases(batch: _Batch, calls: dict[CallKey, Call]) -> None:
    rows = [
        CallAlias(call=calls[key], connection_id=key[0], key=fact.other)
        for key, facts in batch.facts.items()
        for fact in facts
        if isinstance(fact, Alias)
    ]
    if rows:
        CallAlias.objects.bulk_create(rows, ignore_conflicts=True)


# --- Calls whose end never came ---------------------------------------------------------------------------------------


def close_silent_calls(now: datetime | None = None) -> int:
    """End calls whose legs are all over although the vendor's summary never came, or that were silent for a day.

    The end is written as an event of our own, so that the call stays a fold over its events.
    """
    now = now or timezone.now()
    silent = (
        Call.objects.exclude(state=CallState.FINISHED)
        .filter(Q(legs_ended_at__lt=now - timedelta(minutes=2)) | Q(first_received_at__lt=now - timedelta(days=1)))
        .select_related("connection")[:BATCH]
    )
    events = []
    for call in silent:
        patience = timedelta(seconds=call.connection.protocol.summary_patience)
        newest = call.events.order_by("-id").values_list("received_at", flat=True).first()
        if newest and now - newest > patience:
            body = f"{call.key}\nthe PBX never said how the call ended".encode()
            events.append(InboxEvent(connection=call.connection, received_at=now, path=CLOSE_PATH, body=body))
    if events:
        store(events)
    return len(events)
