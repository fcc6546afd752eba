"""From facts to calls: load what is known of them, fold, and save what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from employees import phones
from employees.models import Extension

from . import directory, feed, parts, statements
from .directory import Known, Short
from .fold import LONGEST, CallState, FoldedCall, Source, fold
from .models import Call, CallAlias, Command, InboxEvent, Participant, Recording
from .providers.base import Alias, Direction, Fact, Leg, LegState, RecordingState
from .told import CallKey, Told

MOST_EVENTS = 5_000
DIAL_PATIENCE = timedelta(seconds=90)
"""How long the employee's phone may ring before a PBX that does not name our dial tells of its call."""
UNKNOWN = Short(Extension.Handling.UNKNOWN)


def take_in(told: Told) -> list[Call]:
    """Bring the calls to what their facts tell, together with all that was told before; those that changed.

    Inside a transaction of the caller's, after `lock_drain`.
    """
    if not told.facts:
        return []
    calls = _load_calls(told)
    grown = parts.join(told, calls)
    _load_earlier_facts(told, calls)
    dials = _dials(told)
    load_people(calls.values())
    changed: list[Call] = []
    folded: dict[CallKey, FoldedCall] = {}
    for key, facts in told.facts.items():
        if not facts or _sealed(calls, key):
            continue
        folded[key] = fold(facts, dials.keys(), sums_up=directory.by_id(key[0]).provider.sums_up)
        call = calls.get(key) or _new_call(key, told.events[key])
        calls[key] = call
        if _apply(call, folded[key], dials):
            changed.append(call)
    _save_calls(changed)
    changed_ids = {call.pk for call in changed}
    touched = _save_people(calls, folded) | _save_recordings(calls, folded) | grown
    grow([call for call in calls.values() if call.pk in touched - changed_ids])
    _save_aliases(told, calls)
    for key, events in told.events.items():
        for event in events:
            event.call_id = calls[key].pk
    return [call for call in calls.values() if call.pk in changed_ids | touched]


def _load_calls(told: Told) -> dict[CallKey, Call]:
    connections = {connection_id for connection_id, _ in told.facts}
    keys = {key for _, key in told.facts}
    rows = statements.select(Call, {"connection_id": connections, "key": keys})
    calls = {(call.connection_id, call.key): call for call in rows}
    missing = {key for key in told.facts if key not in calls}
    if missing:
        known: dict[str, Iterable[Any]] = {"connection_id": connections, "key": {key for _, key in missing}}
        for alias in statements.select(CallAlias, known):
            told.move((alias.connection_id, alias.key), (alias.connection_id, alias.call.key))
            calls[(alias.connection_id, alias.call.key)] = alias.call
    return calls


def find(keys: Collection[CallKey]) -> dict[CallKey, Call]:
    """The calls under these keys, by whichever of their ids."""
    wanted: dict[str, Iterable[Any]] = {"connection_id": {key[0] for key in keys}, "key": {key[1] for key in keys}}
    found = {(call.connection_id, call.key): call for call in statements.select(Call, wanted)}
    if len(found) < len(keys):
        aliases = CallAlias.objects.filter(connection__in=wanted["connection_id"], key__in=wanted["key"])
        found |= {(row.connection_id, row.key): row.call for row in aliases.select_related("call")}
    return found


def _move(told: Told, old: CallKey, new: CallKey) -> None:
    """Facts that came under another id of the same call belong to it."""
    if old != new and old in told.facts:
        told.facts[new] += told.facts.pop(old)
        told.events[new] += told.events.pop(old, [])


def _sealed(calls: dict[CallKey, Call], key: CallKey) -> bool:
    """A call whose events are deleted: folded from what came since, it would forget everything."""
    return key in calls and calls[key].sealed_at is not None


def _load_earlier_facts(told: Told, calls: dict[CallKey, Call]) -> None:
    ids = {call.pk: key for key, call in calls.items() if not _sealed(calls, key)}
    if not ids:
        return
    count: Counter[CallKey] = Counter()
    for event in statements.select(InboxEvent, {"call_id": ids}, also=f"state = {InboxEvent.State.FOLDED:d}"):
        key = ids[event.call_id]  # type: ignore[index]
        count[key] += 1
        if count[key] > MOST_EVENTS:  # each fold reads all of them anew
            raise ValueError(f"the call {key[1]} has more than {MOST_EVENTS} events")
        told.facts[key] += [fact for fact in told.read(event) if isinstance(fact, Fact)]


def _dials(told: Told) -> dict[str, Command]:
    """Dial commands of ours that these calls name, by the id that the PBX knows."""
    named = {fact.command for facts in told.facts.values() for fact in facts if isinstance(fact, Leg) and fact.command}
    if not named:
        return {}
    connections = {connection_id for connection_id, _ in told.facts}
    rows = Command.objects.filter(connection_id__in=connections, wire_id__in=named, kind="dial")
    return {command.wire_id: command for command in rows}


def _dialled_by(call: Call, folded: FoldedCall, dials: dict[str, Command]) -> int | None:
    named = next((dials[wire].pk for wire in folded.commands if wire in dials), None)
    return named or call.dialled_by_id or _unnamed_dial(call, folded)


def _unnamed_dial(call: Call, folded: FoldedCall) -> int | None:
    """The dial of ours that began an outgoing call whose PBX does not say so: the same employee dials the same number
    within a moment."""
    known = directory.by_id(call.connection_id)
    if known.provider.names_dials or folded.direction is not Direction.OUT or folded.source is Source.TRIAL:
        return None
    phone = phones.normalise(folded.client_number, known.region)
    about = call.first_received_at
    dials = Command.objects.filter(
        connection_id=call.connection_id,
        kind="dial",
        state__in=[Command.State.SENT, Command.State.ACCEPTED, Command.State.DOUBT],
        sent_at__range=(about - DIAL_PATIENCE, about + DIAL_PATIENCE),
        details__extension=folded.extension,
        details__phone=phone,
        dialled_calls=None,
    )
    return dials.order_by("sent_at").values_list("pk", flat=True).first()


def _new_call(key: CallKey, events: list[InboxEvent]) -> Call:
    known = directory.by_id(key[0])
    received = min((event.received_at for event in events), default=timezone.now())
    call = Call(connection_id=key[0], company_id=known.company_id, key=key[1], first_received_at=received)
    call.people, call.audio = [], []
    return call


def _apply(call: Call, folded: FoldedCall, dials: dict[str, Command]) -> bool:
    """Bring a call to what its facts tell; true when that changed anything."""
    known = directory.by_id(call.connection_id)
    shift = timedelta(seconds=known.clock_shift or 0)
    whose = _shorts(known, folded).get(folded.extension, UNKNOWN)
    now: dict[str, object] = {
        "source": folded.source,
        "direction": folded.direction,
        "state": folded.state,
        "outcome": folded.outcome or "",
        "client_phone": phones.normalise(folded.client_number, known.region)[:128],
        "virtual_number": phones.normalise(folded.virtual_number, known.region)[:128],
        "extension": folded.extension[:32],
        "first_extension": folded.first_extension[:32],
        "employee_id": whose.employee_id,
        "dialled_by_id": _dialled_by(call, folded, dials),
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
    waited = round((until - folded.started_at).total_seconds()) if until and folded.started_at else 0
    return min(max(0, waited), LONGEST)


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
    "changed_at",
    "source",
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
    feed.stamp(changed)
    statements.insert_for_ids([call for call in changed if call.pk is None])
    statements.update([call for call in changed if call.version > 1], _CALL_FIELDS)


def load_people(calls: Iterable[Call]) -> None:
    by_id = {call.pk: call for call in calls}
    for call in by_id.values():
        call.people, call.audio = [], []
    if by_id:
        for person in statements.select(Participant, {"call_id": by_id}, order="position"):
            by_id[person.call_id].people.append(person)
        for recording in statements.select(Recording, {"call_id": by_id}):
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
    statements.put(rows, ["call", "position"], _PERSON_FIELDS)
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
    Recording.State.DELETED: 4,
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
                row = Recording(company_id=call.company_id, call_id=call.pk, key=fact.recording, vendor_url=fact.url)
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


def grow(calls: list[Call]) -> None:
    """Calls of which only the people or the recordings changed are changed calls too."""
    for call in calls:
        call.version += 1
    feed.stamp(calls)
    statements.update(calls, ["version", "changed_at"])


def _save_aliases(told: Told, calls: dict[CallKey, Call]) -> None:
    rows = [
        CallAlias(call=calls[key], connection_id=key[0], key=other)
        for key, facts in told.facts.items()
        for fact in facts
        if isinstance(fact, Alias)
        for other in {fact.call, fact.other} - {key[1]}
    ]
    if rows:
        CallAlias.objects.bulk_create(rows, ignore_conflicts=True)
