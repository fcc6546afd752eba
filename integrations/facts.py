"""A call as a CRM adapter sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from crm_adapters.base import CallFacts, Participant, Priority, Step
from telephony import recordings
from telephony.fold import CallState, Source
from telephony.models import Call, Recording
from telephony.models import Participant as Person
from telephony.providers.base import Outcome

from . import directory
from .directory import Wanting

LIVE = timedelta(minutes=15)
"""A call that began longer ago, by our clock or the PBX's, and still rings is written, but nothing pops up any more."""


def facts_of(
    call: Call, people: Sequence[Person], audio: Sequence[Recording], wanting: Wanting, *, late: bool = False
) -> CallFacts:
    """`call.dialled_by` must be loaded where it is set. `late`: what is to be told of the call happened a while ago."""
    finished = call.state == CallState.FINISHED
    stored = max((row for row in audio if row.state == Recording.State.STORED), key=lambda row: row.size, default=None)
    origin = call.dialled_by.origin if call.dialled_by_id and call.dialled_by else {}
    mine = origin if origin.get("credential") == wanting.credential_id else {}
    return CallFacts(
        id=str(call.uuid),
        version=call.version,
        direction=call.direction,
        state=call.state,
        client_phone=call.client_phone,
        virtual_number=call.virtual_number,
        line_name=_line_name(call),
        started_at=call.started_at,
        participants=tuple(_participant(person, wanting, finished) for person in people),
        outcome=call.outcome,
        talk_seconds=call.talk_seconds,
        wait_seconds=call.wait_seconds,
        recording_url=recordings.link(stored) if stored else "",
        recording_name=str(stored.file.name).rsplit("/", 1)[-1] if stored else "",
        recording_expected=any(row.state in {Recording.State.ANNOUNCED, Recording.State.READY} for row in audio),
        utm=call.utm,
        crm_call=mine.get("crm_call", ""),
        crm_user=mine.get("crm_user", ""),
        crm_entity=mine.get("crm_entity", ""),
        live=not finished and not late and timezone.now() - min(call.first_received_at, call.started_at) < LIVE,
        gathering=bool(call.waiting_leg),
        backfilled=call.source in (Source.HISTORY, Source.IMPORT),
    )


def _line_name(call: Call) -> str:
    """That of a test call says so, wherever a CRM shows it."""
    name = directory.line_name(call.connection_id, call.virtual_number)
    if not call.played:
        return name
    with override(call.company.language):
        return f"{_('Test call')} · {name}" if name else _("Test call")


def urgency(facts: CallFacts, step: Step) -> Priority:
    """A call that nobody saw live comes after everything else of the account, in all its steps."""
    return Priority.BACKFILL if facts.backfilled else step.priority


def _participant(person: Person, wanting: Wanting, finished: bool) -> Participant:
    mapped = wanting.mapping.get(person.employee_id) if person.employee_id else None
    return Participant(
        extension=person.extension,
        crm_user=mapped.crm_user if mapped else "",
        ringing=not finished and person.state == "ringing",
        talking=not finished and person.state in {"talking", "held"},
        rang_at=person.rang_at,
        answered_at=person.answered_at,
        left_at=person.left_at,
    )


# --- A part of a call -------------------------------------------------------------------------------------------------

_TIMES = ("rang_at", "answered_at", "left_at")


def frozen(facts: CallFacts) -> dict[str, Any]:
    """Facts as they are stored (`CallSync.part`)."""
    return json.loads(json.dumps(asdict(facts), cls=DjangoJSONEncoder))


def thawed(kept: Mapping[str, Any]) -> CallFacts:
    """Facts as they were `frozen`."""
    people = [{**person, **{name: _moment(person[name]) for name in _TIMES}} for person in kept["participants"]]
    facts = CallFacts(**{**kept, "participants": ()})
    started = datetime.fromisoformat(kept["started_at"])
    return replace(facts, started_at=started, participants=tuple(Participant(**person) for person in people))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def over(facts: CallFacts, now: datetime) -> CallFacts:
    """A call of which nothing more will be told under its own id, as it stands now."""
    if facts.finished:
        return facts
    people = tuple(
        replace(person, ringing=False, talking=False, left_at=person.left_at or now) for person in facts.participants
    )
    answered = min((person.answered_at for person in people if person.answered_at), default=None)
    return replace(
        facts,
        state=CallState.FINISHED.value,
        outcome=(Outcome.ANSWERED if answered else Outcome.MISSED).value,
        talk_seconds=max(0, round((now - answered).total_seconds())) if answered else 0,
        participants=people,
        recording_expected=False,
        live=False,
        gathering=False,
    )
