"""The self-test of a connection: what its PBX has sent since somebody began, how we understood it, what is wrong with
it, and what the PBX answers when we ask. It stores nothing: it is read off the inbox, each time anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from employees import phones
from employees.models import User
from outbound.errors import OutboundError

from . import commands, events, passport, turned_away, words
from .account_forms import ASK_SECONDS, unanswered
from .exchanges import http_for
from .models import Call, Connection, Exchange, InboxEvent, Recording
from .providers.base import Capability, Direction, Leg, LegState, Note, Parsed, RecordingFact, Summary
from .providers.self_test import Heard, Remark, SelfTest, Step
from .turned_away import TurnedAway

MOST_EVENTS = 200
LOOKED_BACK = timedelta(hours=1)
"""As far as the history is asked."""
PROMPT = 2000
"""Milliseconds: whoever has clicked waits for this answer."""

STATES = {
    LegState.RINGING: gettext_lazy("rings"),
    LegState.TALKING: gettext_lazy("conversation"),
    LegState.HELD: gettext_lazy("on hold"),
    LegState.ENDED: gettext_lazy("this phone's share is over"),
}
REFUSALS = {
    "connection_switched_off": gettext_lazy("The connection is switched off: switch it on, on its page."),
    "refused_too_often": gettext_lazy("Refused too often: wait a second between tries, and mend what is wrong."),
    "path_too_long": gettext_lazy("The address is too long: enter it as it stands on the connection's page."),
}
NOT_ASKED = {
    Capability.DIAL: gettext_lazy("dialling"),
    Capability.HANGUP: gettext_lazy("hanging up"),
    Capability.TRANSFER: gettext_lazy("transfer"),
    Capability.USERS: gettext_lazy("the list of users"),
    Capability.NUMBERS: gettext_lazy("the list of numbers"),
    Capability.HISTORY: gettext_lazy("the history"),
}
"""What is named where this connection has no way to ask for it."""


# --- What came --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Understood:
    """A fact, as a person reads it; empty fields say nothing."""

    what: str
    phone: str = ""
    extension: str = ""
    line: str = ""
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    id: int
    at: datetime
    body: str
    understood: list[Understood]
    remarks: list[Remark]

    @property
    def wrong(self) -> bool:
        return any(remark.wrong for remark in self.remarks)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A step, and the last event that was it (`by`)."""

    step: Step
    by: Event | None

    @property
    def state(self) -> str:
        return "waiting" if self.by is None else "wrong" if self.by.wrong else "done"


@dataclass(frozen=True, slots=True)
class Rejection:
    refused: TurnedAway
    cure: str


@dataclass(slots=True)
class Played:
    """A command of ours, as the page's session keeps it. `at` is ISO 8601, `exchange` the id of its `Exchange`."""

    kind: str
    at: str
    ok: bool
    words: str
    wrong: list[str] = field(default_factory=list)
    phone: str = ""
    exchange: int | None = None

    def kept(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Course:
    """How a self-test stands."""

    awaited: list[Awaited]
    events: list[Event]
    rejections: list[Rejection]
    recordings: list[Recording]

    @property
    def missing(self) -> list[Step]:
        return [each.step for each in self.awaited if each.step.needed and each.by is None]

    @property
    def wrong(self) -> list[Event]:
        return [event for event in self.events if event.wrong]

    @property
    def whole(self) -> bool:
        """Whether everything that must come came, and the last of each kind without a fault."""
        return all(each.state == "done" for each in self.awaited if each.step.needed or each.by)


def course_of(connection: Connection, test: SelfTest, since: datetime) -> Course:
    rows = _stored(connection, since)
    heard = [_heard(row) for row in rows]
    told = [_event(connection, *each) for each in zip(rows, heard, test.remarks(heard), strict=True)]
    awaited = [Awaited(step, _last(told, heard, step.met)) for step in test.steps]
    recordings = Recording.objects.filter(call__events__in=[row.pk for row in rows]).distinct().order_by("id")
    return Course(
        awaited=awaited,
        events=told,
        rejections=[_rejection(test, row) for row in turned_away.since(connection.pk, since)],
        recordings=list(recordings),
    )


def _stored(connection: Connection, since: datetime) -> list[InboxEvent]:
    """What the PBX sent, in the order in which it came."""
    rows = connection.events.filter(received_at__gte=since).exclude(path__startswith=events.OURS)
    found = list(reversed(rows.order_by("-id")[:MOST_EVENTS]))
    for row in found:
        row.connection = connection
    return found


def _heard(row: InboxEvent) -> Heard:
    facts = [fact for fact in events.parse(row) if not isinstance(fact, events.AnswerGiven)]
    return Heard(row.received_at, events.request_of(row), tuple(facts), row.error)


def _event(connection: Connection, row: InboxEvent, heard: Heard, remarks: Sequence[Remark]) -> Event:
    told = [found for fact in heard.facts if (found := _understood(connection, fact))]
    own = [*remarks, *_clock(row), *_phones(told)]
    if heard.error and not remarks:
        own.append(Remark(heard.error))
    return Event(row.pk, row.received_at, passport.shown(row), told, own)


def _clock(row: InboxEvent) -> Iterator[Remark]:
    if row.impossible_time is not None:
        yield Remark(
            words.in_words(words.CLOCK, "impossible_time", {"said": f"{row.impossible_time:%d.%m.%Y %H:%M:%S}"})
        )


def _phones(told: Sequence[Understood]) -> Iterator[Remark]:
    if any(fact.phone and not phones.is_phone(fact.phone) for fact in told):
        yield Remark(_("We could not read the phone as a number of your country: send it as +, country code, number."))


def _understood(connection: Connection, fact: Parsed) -> Understood | None:
    if isinstance(fact, Leg):
        dialled = fact.direction is Direction.OUT
        employee, client = (fact.caller, fact.callee) if dialled else (fact.callee, fact.caller)
        phone = phones.normalise(client.number, connection.company.region)
        what = f"{_label('direction', fact.direction)}: {STATES[fact.state]}"
        return Understood(what, phone, employee.extension, _line(connection, fact))
    if isinstance(fact, Summary):
        phone = phones.normalise(fact.client_number, connection.company.region)
        what = f"{_label('direction', fact.direction)}: {_label('outcome', fact.outcome)}"
        return Understood(what, phone, fact.extension, _line(connection, fact), fact.talk_seconds)
    if isinstance(fact, RecordingFact):
        return Understood(_("recording: %(state)s") % {"state": Recording.State(fact.state).label})
    return Understood(fact.text) if isinstance(fact, Note) else None


def _line(connection: Connection, fact: Leg | Summary) -> str:
    return phones.normalise(fact.virtual_number, connection.company.region)


def _label(name: str, value: str | None) -> str:
    """A direction or an outcome as the journal calls it."""
    choices: Any = Call._meta.get_field(name)
    return str(dict(choices.flatchoices).get(value, "?"))


def _last(told: Sequence[Event], heard: Sequence[Heard], met: Callable[[Heard], bool]) -> Event | None:
    return next((event for event, each in zip(reversed(told), reversed(heard), strict=True) if met(each)), None)


def _rejection(test: SelfTest, row: TurnedAway) -> Rejection:
    if row.code.startswith("use_"):
        return Rejection(row, _("The method is not one of this protocol: send POST."))
    return Rejection(row, test.refusal(row.why) or str(REFUSALS.get(row.code, "")))


# --- What we ask ------------------------------------------------------------------------------------------------------


def able(connection: Connection) -> frozenset[Capability]:
    """What can be played: of what this connection is able to."""
    return connection.protocol.able(connection.credentials) & {Capability.DIAL, Capability.HISTORY}


def not_asked(connection: Connection) -> list[str]:
    """What this connection has no way to ask for, in words."""
    able_to = connection.protocol.able(connection.credentials)
    return [str(name) for capability, name in NOT_ASKED.items() if capability not in able_to]


def dial(connection: Connection, *, extension: str, phone: str, user: User) -> Played:
    """Have the PBX ring an employee and then dial `phone` (E.164)."""

    def play() -> tuple[str, list[str]]:
        commands.dial(connection, extension=extension, phone=phone, user=user)
        return _("The PBX has taken the command. Now its events of this call must come."), []

    return _played(connection, "dial", play, phone=phone)


def history(connection: Connection, test: SelfTest) -> Played:
    """Ask for the calls of the last hour."""

    def play() -> tuple[str, list[str]]:
        http = http_for(connection, purpose="history", deadline=ASK_SECONDS)
        until = timezone.now()
        rows, remarks = test.history(http, connection.credentials, until - LOOKED_BACK, until)
        said = ngettext(
            "%(count)d call of the last hour is listed.", "%(count)d calls of the last hour are listed.", rows
        )
        return said % {"count": rows}, [remark.words for remark in remarks]

    return _played(connection, "history", play)


def _played(connection: Connection, kind: str, play: Callable[[], tuple[str, list[str]]], phone: str = "") -> Played:
    began = timezone.now()
    try:
        said, wrong = play()
        ok = not wrong
    except OutboundError as error:
        said, wrong, ok = unanswered(connection, error), [], False
    mine = Exchange.objects.filter(account=connection.uuid, purpose=kind, at__gte=began)
    exchange = mine.order_by("at", "id").first()
    if exchange and exchange.answer.lstrip()[:1] == "<" and ok:
        wrong, ok = [_("The answer is a page (HTML): this is not the address that takes commands.")], False
    if exchange and exchange.milliseconds > PROMPT:
        late = _("The answer took %(ms)d ms, and somebody waits for it: answer at once, and do the work afterwards.")
        wrong = [*wrong, late % {"ms": exchange.milliseconds}]
    return Played(kind, began.isoformat(), ok, said, wrong, phone, exchange.pk if exchange else None)


def exchange_of(played: Played) -> Exchange | None:
    """Request and answer, masked; None where nothing was sent or the company's rule has deleted it."""
    row = Exchange.objects.filter(pk=played.exchange).first() if played.exchange else None
    if row:
        row.about = words.in_words(words.PURPOSES, row.purpose)  # type: ignore[attr-defined]
    return row


def followed(course: Course, played: Played) -> bool:
    """Whether events of a call to the dialled number came after the command."""
    began = datetime.fromisoformat(played.at)
    return any(fact.phone == played.phone for event in course.events if event.at >= began for fact in event.understood)


# --- To be copied -----------------------------------------------------------------------------------------------------

SIGNS = {"done": "[+]", "wrong": "[!]", "waiting": "[ ]"}


def report(connection: Connection, course: Course, played: Sequence[Played], since: datetime) -> str:
    """What works and what does not, as a text for support."""
    lines = [_("Self-test: %(name)s, %(pbx)s") % {"name": connection.name, "pbx": connection.protocol.title}]
    lines.append(
        _("Begun %(time)s UTC, connection %(uuid)s")
        % {"time": f"{since.astimezone(UTC):%d.%m.%Y %H:%M:%S}", "uuid": connection.uuid}
    )
    for each in course.awaited:
        lines.append(f"{SIGNS[each.state]} {each.step.title}")
    for event in course.events:
        lines += [f"{event.at:%H:%M:%S} {'!' if remark.wrong else 'i'} {remark.words}" for remark in event.remarks]
    for row in course.rejections:
        lines.append(f"{row.refused.at:%H:%M:%S} ! HTTP {row.refused.status} {row.refused.code}. {row.cure}")
    for command in played:
        name = words.in_words(words.PURPOSES, command.kind)
        lines.append(f"{SIGNS['done' if command.ok else 'wrong']} {name}: {' '.join([command.words, *command.wrong])}")
    for recording in course.recordings:
        lines.append(f"{_('Recording')}: {recording.get_state_display()} {words.ours(recording.error)}".rstrip())
    return "\n".join(lines)
