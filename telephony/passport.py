"""The passport of a call, as far as telephony knows it: facts, people, events, decisions, commands, recordings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from employees import phones
from outbound.masking import MASK, mask

from . import files, words
from .events import ANSWER_PATH, CLOSE_PATH, HISTORY_PATH, OURS, TRIAL_PATH, ToldByHistory, request_of, script_of
from .fold import Source
from .models import Call, Command, Decision, Exchange, InboxEvent, Participant, Recording, VirtualNumber


@dataclass(frozen=True)
class Moment:
    """Something that happened, for a timeline. `tone` is how it is coloured."""

    at: datetime
    text: str
    tone: str = ""
    milliseconds: int | None = None


@dataclass(frozen=True)
class Received:
    """An event as it came."""

    at: datetime
    path: str
    remote: str
    ours: bool
    """Written by ourselves: what the PBX's history told, that the PBX never said how the call ended, or a test call."""
    failed: bool
    error: str
    body: str


@dataclass
class TelephonyPassport:
    call: Call
    facts: list[tuple[str, str]] = field(default_factory=list)
    timeline: list[Moment] = field(default_factory=list)
    events: list[Received] = field(default_factory=list)
    decisions: list[Moment] = field(default_factory=list)
    commands: list[Moment] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    """With `missing`: whether the storage lacks the file."""
    exchanges: list[Exchange] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    """What the company's rule has deleted, in sentences."""


def compose(call: Call, decision_words: dict[str, Any]) -> TelephonyPassport:
    """Everything about `call`; `decision_words` are the codes of all rooms."""
    people = list(call.participants.select_related("employee"))
    found = TelephonyPassport(call)
    found.facts = _facts(call)
    found.timeline = _timeline(call, people)
    found.events = [_received(call, row) for row in _events(call)]
    found.decisions = [_decision(row, decision_words) for row in call.decisions.all()]
    found.commands = [_command(row) for row in _commands(call)]
    found.recordings = _recordings(call)
    found.exchanges = list(
        call.exchanges.filter(company=call.company_id, account=call.connection.uuid).order_by("at", "id")
    )
    found.deleted = _deleted(call)
    return found


# --- Facts and people -------------------------------------------------------------------------------------------------


def _facts(call: Call) -> list[tuple[str, str]]:
    line = VirtualNumber.objects.filter(connection=call.connection_id, number=call.virtual_number).first()
    number = phones.pretty(call.virtual_number)
    rows = [
        (_("Line"), f"{line.line_name} ({number})" if line and line.line_name else number),
        (_("PBX connection"), call.connection.name),
        (_("Employee"), f"{call.employee} ({call.extension})" if call.employee else call.extension),
        (_("Waiting"), _("%(seconds)d s") % {"seconds": call.wait_seconds} if call.finished else ""),
        (_("Conversation"), _("%(seconds)d s") % {"seconds": call.talk_seconds} if call.finished else ""),
        (_("Source"), str(call.get_source_display()) if call.source != Source.LIVE else ""),
        (_("Call tracking"), phones.in_text(", ".join(f"{key} = {value}" for key, value in call.utm.items()))),
        (_("Call id in the PBX"), "" if call.played else phones.in_text(call.key)),
    ]
    return [(name, value) for name, value in rows if value]


def _timeline(call: Call, people: list[Participant]) -> list[Moment]:
    moments = [Moment(call.started_at, _("The call began"), "info")]
    for person in people:
        who = f"{person.employee} ({person.extension})" if person.employee else person.extension
        if person.rang_at:
            moments.append(Moment(person.rang_at, _("%(who)s: ringing") % {"who": who}))
        if person.answered_at:
            moments.append(Moment(person.answered_at, _("%(who)s answered") % {"who": who}, "success"))
        if person.left_at:
            moments.append(Moment(person.left_at, _left(person, who)))
    if call.ended_at:
        tone = "success" if call.outcome == "answered" else "danger"
        text = _("The call ended: %(outcome)s") % {"outcome": call.get_outcome_display()}
        moments.append(Moment(call.ended_at, text, tone))
    return sorted(moments, key=lambda moment: moment.at)


def _left(person: Participant, who: str) -> str:
    if person.answered_at:
        return _("%(who)s left the conversation") % {"who": who}
    return _("%(who)s: no longer ringing") % {"who": who}


# --- What is kept -----------------------------------------------------------------------------------------------------


def _recordings(call: Call) -> list[Recording]:
    rows = list(call.recordings.order_by("id"))
    for row in rows:
        row.missing = row.state == Recording.State.STORED and files.missing(str(row.file))  # type: ignore[attr-defined]
    return rows


def _deleted(call: Call) -> list[str]:
    found = []
    if call.sealed_at:
        words = _(
            "What the PBX sent about this call was deleted on %(date)s, as your company's rule says. The call stays as "
            "it was known then."
        )
        found.append(words % {"date": _day(call.sealed_at)})
    if call.log_deleted_at:
        words = _(
            "Requests about this call and their answers were deleted from %(date)s on, as your company's rule says."
        )
        found.append(words % {"date": _day(call.log_deleted_at)})
    return found


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "d.m.Y")


# --- Events -----------------------------------------------------------------------------------------------------------


def _events(call: Call) -> QuerySet[InboxEvent]:
    """What we answered to the PBX's question stands among the decisions."""
    return call.events.exclude(path=ANSWER_PATH).select_related("connection").order_by("received_at", "id")


def _received(call: Call, row: InboxEvent) -> Received:
    ours = row.path.startswith(OURS)
    return Received(
        at=row.received_at,
        path="" if ours else row.path,
        remote=row.remote,
        ours=ours,
        failed=row.state == InboxEvent.State.FAILED,
        error=row.error,
        body=shown(row),
    )


def _closed(row: InboxEvent) -> str:
    code, _colon, said = bytes(row.body).decode().partition("\n")[2].partition(": ")
    return words.in_words(words.CLOSED, code if code in words.CLOSED else "no_history", {"words": said})


def _told(row: InboxEvent) -> str:
    legs = ToldByHistory.model_validate_json(bytes(row.body)).model_dump_json(
        indent=2, include={"legs"}, exclude={"legs": {"__all__": {"links"}}}
    )
    return _("The history of calls in the PBX says:") + "\n" + legs


def shown(row: InboxEvent) -> str:
    """The body of an event as a person may read it."""
    if row.path == CLOSE_PATH:
        return _closed(row)
    if row.path == HISTORY_PATH:
        return _told(row)
    if row.path == TRIAL_PATH:
        return words.in_words(words.STAGES, script_of(row).state)
    connection = row.connection
    protocol = connection.protocol
    try:
        text = protocol.shown(request_of(row))
    except Exception:  # an event that nobody understands is shown all the same
        text = bytes(row.body).decode("utf-8", "replace")
    values = [value for name, value in connection.credentials.items() if name in protocol.secret_fields and value]
    return mask_fields(mask(text, values), protocol.secret_fields)


def mask_fields(text: str, names: Iterable[str]) -> str:
    """`text` without the values under these names, as JSON or as a form."""
    either = "|".join(re.escape(name) for name in names)
    if not either:
        return text
    text = re.sub(rf'("(?:{either})"\s*:\s*)(?:"(?:[^"\\]|\\.)*"|[\d.]+)', rf'\1"{MASK}"', text, flags=re.IGNORECASE)
    return re.sub(rf"((?:^|[?&\s])(?:{either})=)[^&\s]*", rf"\1{MASK}", text, flags=re.IGNORECASE)


# --- Decisions and commands -------------------------------------------------------------------------------------------

GOOD = {"manager_found", "recognised"}


def _decision(row: Decision, table: dict[str, Any]) -> Moment:
    kind = words.in_words(words.KINDS, row.kind)
    text = f"{kind}: {words.in_words(table, row.code, row.details)}"
    return Moment(row.at, text, "success" if row.code in GOOD else "warning", row.milliseconds)


def _commands(call: Call) -> list[Command]:
    rows = list(call.commands_of_call.all())
    if call.dialled_by and call.dialled_by not in rows:
        rows.insert(0, call.dialled_by)
    return sorted(rows, key=lambda row: row.created_at)


def _command(row: Command) -> Moment:
    to = row.details.get("extension") or row.details.get("to") or ""
    text = f"{words.in_words(words.COMMANDS, row.kind)} {to}: {row.get_state_display()}"
    if row.error:
        text = f"{text} ({words.ours(row.error)})"
    tone = {"accepted": "success", "refused": "danger", "doubt": "warning"}.get(row.state, "")
    return Moment(row.created_at, text, tone)
