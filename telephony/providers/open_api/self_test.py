"""The self-test of the open telephony API: what a PBX must send, and what is wrong with what it sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.translation import pgettext, pgettext_lazy

from outbound.http import Http
from telephony.providers.base import (
    Direction,
    Leg,
    LegState,
    Outcome,
    RecordingFact,
    Request,
    Secrets,
    Summary,
)
from telephony.providers.self_test import Heard, Remark, SelfTest, Step
from telephony.providers.telephony_api import NEEDS, NO_FORM, NO_KEY, OTHER_KEY, fields_of
from telephony.providers.telephony_api_events import is_extension

from .virtual_ats import VirtualAts

BEGIN = {"INCOMING": "in", "OUTGOING": "out"}
EVENTS = (*BEGIN, "ACCEPTED", "COMPLETED")
STATUSES = ("Success", "Missed", "Busy", "NoAnswer", "NotAvailable", "NotAllowed", "Cancelled")
_KNOWN_STATUSES = {status.casefold() for status in STATUSES} | {"canceled", "cancel", "notavaliable", "notfound"}
_LONGEST_PHONE = 15
_SLACK = 5
"""Seconds by which a conversation may seem longer than the events are apart."""


# --- What is to come --------------------------------------------------------------------------------------------------


def _leg(state: LegState, *directions: Direction) -> Callable[[Heard], bool]:
    def met(heard: Heard) -> bool:
        legs = [fact for fact in heard.facts if isinstance(fact, Leg) and fact.state is state]
        return any(not directions or leg.direction in directions for leg in legs)

    return met


def _end(*outcomes: Outcome) -> Callable[[Heard], bool]:
    return lambda heard: any(isinstance(fact, Summary) and fact.outcome in outcomes for fact in heard.facts)


def _recorded(heard: Heard) -> bool:
    return any(isinstance(fact, RecordingFact) for fact in heard.facts)


def _said(command: str) -> Callable[[Heard], bool]:
    return lambda heard: not heard.error and told(heard.request).get("cmd") == command


STEPS = (
    Step(
        pgettext_lazy("Open API", "The PBX reaches us"),
        pgettext_lazy("Open API", "Send cmd=ping with our key."),
        _said("ping"),
        needed=False,
    ),
    Step(
        pgettext_lazy("Open API", "An incoming call rings"),
        pgettext_lazy("Open API", "Call the company from a mobile phone: cmd=event, type=in, event=INCOMING."),
        _leg(LegState.RINGING, Direction.IN),
    ),
    Step(
        pgettext_lazy("Open API", "It is answered"),
        pgettext_lazy("Open API", "Pick up: event=ACCEPTED with the same callid."),
        _leg(LegState.TALKING),
    ),
    Step(
        pgettext_lazy("Open API", "It ends"),
        pgettext_lazy("Open API", "Hang up: event=COMPLETED, status=Success, duration in seconds."),
        _end(Outcome.ANSWERED),
    ),
    Step(
        pgettext_lazy("Open API", "A call is missed"),
        pgettext_lazy(
            "Open API",
            "Call once more and hang up before anybody answers: INCOMING, then COMPLETED with status=Missed.",
        ),
        _end(Outcome.MISSED),
    ),
    Step(
        pgettext_lazy("Open API", "An employee calls out"),
        pgettext_lazy("Open API", "Dial a mobile phone: cmd=event, type=out, event=OUTGOING."),
        _leg(LegState.RINGING, Direction.OUT),
    ),
    Step(
        pgettext_lazy("Open API", "A recording is told"),
        pgettext_lazy("Open API", "record_link with COMPLETED, or cmd=record as soon as it is ready."),
        _recorded,
        needed=False,
    ),
    Step(
        pgettext_lazy("Open API", "The PBX asks who calls"),
        pgettext_lazy("Open API", "Before it rings: cmd=contact with phone and callid."),
        _said("contact"),
        needed=False,
    ),
)


# --- What is wrong with what came -------------------------------------------------------------------------------------


def told(request: Request) -> Mapping[str, str]:
    """The fields of a request; none where it is no form."""
    try:
        return request.once(fields_of)
    except ValueError:
        return {}


@dataclass(slots=True)
class _Call:
    """What came of one call so far."""

    began: datetime | None = None
    type: str = ""
    phone: str = ""
    answered: set[str] = field(default_factory=set)
    ended: bool = False
    seen: set[frozenset[tuple[str, str]]] = field(default_factory=set)


class OpenApiTest(SelfTest):
    steps = STEPS

    def remarks(self, heard: Sequence[Heard]) -> list[list[Remark]]:
        calls: dict[str, _Call] = {}
        found = []
        for each in heard:
            fields = told(each.request)
            if lacking := list(_lacking(fields)):
                found.append([Remark(words) for words in lacking])
            elif fields["cmd"] in ("event", "record"):
                call = calls.setdefault(fields["callid"], _Call())
                found.append(list((_of_event if fields["cmd"] == "event" else _of_record)(each.at, fields, call)))
            else:
                found.append([])
        return found

    def refusal(self, why: str) -> str:
        cures = {
            OTHER_KEY: pgettext(
                "Open API",
                "The key is another one: planfix_token must be what the field “Our key” of the connection says.",
            ),
            NO_KEY: pgettext("Open API", "There was no key: send it in the field planfix_token with every request."),
            NO_FORM: pgettext(
                "Open API",
                "The body was no form: send Content-Type: application/x-www-form-urlencoded and fields, no JSON.",
            ),
        }
        return cures.get(why, "")

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> tuple[int, list[Remark]]:
        rows, wrong = VirtualAts(http, secrets).examine(since, until)
        return rows, [Remark(words) for words in wrong]


def _lacking(fields: Mapping[str, str]) -> Iterator[str]:
    """Why a request was answered with 400."""
    command = fields.get("cmd", "")
    if not command:
        yield pgettext("Open API", "cmd is missing: it says what the request is.")
    elif command not in NEEDS:
        words = pgettext("Open API", "cmd is “%(told)s”, which we do not know. Known are: %(known)s.")
        yield words % {"told": command[:40], "known": ", ".join(NEEDS)}
    for name in NEEDS.get(command, ()):
        if name not in fields:
            words = pgettext("Open API", "%(field)s is missing or empty. The request was answered with 400.")
            yield words % {"field": name}


def _of_event(at: datetime, fields: Mapping[str, str], call: _Call) -> Iterator[Remark]:
    same = frozenset(fields.items())
    if same in call.seen:
        words = pgettext(
            "Open API", "It came before, word for word: it counts once. Send again only what was not answered with 200."
        )
        yield Remark(words, wrong=False)
        return
    call.seen.add(same)
    event = fields["event"].upper()
    yield from _values(fields, event)
    if event in EVENTS:
        yield from _order(fields, event, call)
        if event == "COMPLETED":
            yield from _ending(at, fields, call)
        _note(at, fields, event, call)


def _values(fields: Mapping[str, str], event: str) -> Iterator[Remark]:
    """Fields that say what they cannot say."""
    kind, phone = fields["type"].casefold(), fields["phone"]
    if event not in EVENTS:
        words = pgettext("Open API", "event is “%(told)s”, which says nothing to us. Known are: %(known)s.")
        yield Remark(words % {"told": fields["event"][:40], "known": ", ".join(EVENTS)})
    if kind not in BEGIN.values():
        words = pgettext("Open API", "type is “%(told)s”: it must be in or out. The call counts as incoming.")
        yield Remark(words % {"told": kind[:40]})
    elif BEGIN.get(event, kind) != kind:
        words = pgettext("Open API", "event=%(event)s does not go with type=%(type)s.")
        yield Remark(words % {"event": event, "type": kind})
    digits = sum(map(str.isdecimal, phone))
    if not digits:
        words = pgettext("Open API", "phone has no digits: the caller counts as one who hides his number.")
        yield Remark(words, wrong=False)
    elif digits > _LONGEST_PHONE:
        words = pgettext("Open API", "phone has %(count)d digits: no phone number has more than 15.")
        yield Remark(words % {"count": digits})
    elif is_extension(phone):
        words = pgettext(
            "Open API",
            "phone is as short as an extension: this counts as a call among colleagues, which no CRM is told of.",
        )
        yield Remark(words)
    if event in EVENTS and "ext" not in fields:
        words = pgettext("Open API", "ext is missing: nobody knows whose phone it is.")
        yield Remark(words, wrong=event != "COMPLETED")
    if event in BEGIN and "diversion" not in fields:
        words = pgettext("Open API", "diversion is missing: the line that was called is not known.")
        yield Remark(words, wrong=False)


def _order(fields: Mapping[str, str], event: str, call: _Call) -> Iterator[Remark]:
    """What contradicts what came before of the same call."""
    extension = fields.get("ext", "")
    if event == "COMPLETED" and call.began is None and not extension:
        words = pgettext("Open API", "No phone rang before: right for a caller who hangs up in the voice menu.")
        yield Remark(words, wrong=False)
    elif event not in BEGIN and call.began is None:
        words = pgettext(
            "Open API",
            "Wrong order, or another callid: no INCOMING or OUTGOING came before with this callid. It is one for the "
            "whole call.",
        )
        yield Remark(words)
    if call.ended:
        words = pgettext(
            "Open API",
            "It came after the end (COMPLETED) of this call. If it is another call, it needs a callid of its own.",
        )
        yield Remark(words)
    elif event in BEGIN and extension in call.answered:
        words = pgettext("Open API", "Wrong order: ACCEPTED of the same ext came before %(event)s.")
        yield Remark(words % {"event": event})
    if call.phone and call.phone != fields["phone"]:
        words = pgettext(
            "Open API", "phone is another one than before in this call. Does another call have this callid?"
        )
        yield Remark(words)
    if call.type and call.type != fields["type"].casefold():
        words = pgettext("Open API", "type is another one than before in this call.")
        yield Remark(words)


def _ending(at: datetime, fields: Mapping[str, str], call: _Call) -> Iterator[Remark]:
    status = fields.get("status", "").casefold().replace(" ", "")
    if not status:
        words = pgettext("Open API", "status is missing: the call counts as failed. Known are: %(known)s.")
        yield Remark(words % {"known": ", ".join(STATUSES)})
    elif status not in _KNOWN_STATUSES:
        words = pgettext("Open API", "status is “%(told)s”: the call counts as failed. Known are: %(known)s.")
        yield Remark(words % {"told": fields["status"][:40], "known": ", ".join(STATUSES)})
    if status == "success" and call.began and not call.answered:
        words = pgettext("Open API", "status is Success, but no ACCEPTED came: nobody saw that the call was answered.")
        yield Remark(words)
    if status == "missed" and call.answered:
        words = pgettext("Open API", "status is Missed, but ACCEPTED came before.")
        yield Remark(words)
    yield from _duration(at, fields.get("duration", ""), status, call)
    if _is_yes(fields.get("is_recorded", "")) and "record_link" not in fields:
        words = pgettext("Open API", "is_recorded promises a recording: cmd=record with its link has to follow.")
        yield Remark(words, wrong=False)
    if link := fields.get("record_link"):
        yield from _link(link)


def _duration(at: datetime, duration: str, status: str, call: _Call) -> Iterator[Remark]:
    if not duration:
        if status == "success":
            words = pgettext("Open API", "duration is missing: the conversation counts as 0 seconds.")
            yield Remark(words)
    elif not duration.isdecimal():
        words = pgettext("Open API", "duration is “%(told)s”: it must be whole seconds. It counts as 0.")
        yield Remark(words % {"told": duration[:40]})
    elif call.began and int(duration) > (at - call.began).total_seconds() + _SLACK:
        words = pgettext(
            "Open API",
            "duration cannot be: %(told)s seconds of conversation, but the call began %(ago)d seconds ago. Send events "
            "as they happen, and duration in seconds.",
        )
        yield Remark(words % {"told": duration[:20], "ago": (at - call.began).total_seconds()})
    elif int(duration) and status not in ("success", "cancelled", "canceled", "cancel"):
        words = pgettext("Open API", "duration is not 0, but by its status nobody talked.")
        yield Remark(words)


def _note(at: datetime, fields: Mapping[str, str], event: str, call: _Call) -> None:
    extension = fields.get("ext", "")
    call.type = call.type or fields["type"].casefold()
    call.phone = call.phone or fields["phone"]
    if event in BEGIN:
        call.began = call.began or at
    elif event == "ACCEPTED":
        call.answered.add(extension)
    elif not fields.get("status", "").casefold().startswith("cancel"):
        call.ended = True


def _of_record(at: datetime, fields: Mapping[str, str], call: _Call) -> Iterator[Remark]:
    if call.began is None:
        words = pgettext("Open API", "No event came before with this callid: nobody knows whose recording it is.")
        yield Remark(words)
    yield from _link(fields["record_link"])


def _link(link: str) -> Iterator[Remark]:
    if not link.startswith(("https://", "http://")):
        words = pgettext("Open API", "record_link is no address that begins with https://.")
        yield Remark(words)


def _is_yes(text: str) -> bool:
    return text.casefold() in ("1", "true", "yes")
