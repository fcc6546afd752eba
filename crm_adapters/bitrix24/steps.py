"""The steps of a living call: what is sent for `register`, `cards` and `finish`, and what the answers say.

For each step two functions: the commands of a job, and the result that their answers are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import CallFacts, Done, Job, Result, Said
from outbound.errors import OutboundError, Rejected, Temporary

from . import entities, failures, people, recordings, tags, wire
from .rest import Answers, Command, Group, Ref

REGISTER, SHOW, HIDE, FINISH = (f"telephony.externalCall.{name}" for name in ("register", "show", "hide", "finish"))
OUTGOING, INCOMING, CALL_BACK = 1, 2, 4
STATUS = {
    "in": {"answered": "200", "busy": "486", "rejected": "603", "failed": "503"},
    "out": {
        "answered": "200",
        "missed": "480",
        "no_answer": "480",
        "busy": "486",
        "rejected": "603",
        "cancelled": "603-S",
        "failed": "503",
    },
}
"""STATUS_CODE of `finish` by outcome. An incoming call that nobody took is 304 however it ended: only that code fires
Bitrix24's trigger for missed calls."""


def _id(user: str) -> int | str:
    return int(user) if user.isdecimal() else user


def _ids(users: Sequence[str]) -> Any:
    return _id(users[0]) if len(users) == 1 else [_id(user) for user in users]


# --- register ---------------------------------------------------------------------------------------------------------


def register(job: Job) -> Group:
    """`register`, with the card for one user; for several a `show` in the same request.

    CRM_CREATE is left out where it is off, which is its default.
    """
    facts = job.facts
    owner, began = first_words(job)
    watchers = first_watchers(job)
    alone = watchers == [owner]
    params: dict[str, Any] = {
        "USER_ID": _id(owner),
        "PHONE_NUMBER": facts.client_phone,
        "TYPE": _type(facts),
        "CALL_START_DATE": began,
    }
    if job.settings.get("create_entity_outgoing" if people.outgoing(facts) else "create_entity_incoming"):
        params["CRM_CREATE"] = 1
    if params["TYPE"] == CALL_BACK:
        params["CRM_ENTITY_TYPE"], params["CRM_ENTITY_ID"] = _entity_of(facts)
    params |= {"SHOW": int(alone), "LINE_NUMBER": digits(facts.virtual_number), "EXTERNAL_CALL_ID": facts.id}
    if not params["LINE_NUMBER"]:
        del params["LINE_NUMBER"]
    group = {"reg": Command(REGISTER, params)}
    if watchers and not alone:
        group["show"] = _push(SHOW, Ref("reg", ("CALL_ID",)), watchers)
    return group


def first_words(job: Job) -> list[str]:
    """USER_ID and CALL_START_DATE: what the first `register` said of a call, whatever came to light since."""
    first = job.progress.get("first")
    return list(first) if first else [people.owner(job), job.facts.started_at.isoformat(timespec="seconds")]


def first_watchers(job: Job) -> list[str]:
    if job.facts.finished or not job.facts.live:
        return []
    watchers = people.watchers(job)
    if watchers is None:
        owner = people.owner(job)
        watchers = [owner] if people.outgoing(job.facts) and owner == people.dialler(job.facts) else []
    return watchers


def _type(facts: CallFacts) -> int:
    """A call that the CRM asked for without registering it is an ordered call-back (ONEXTERNALCALLBACKSTART)."""
    if not people.outgoing(facts):
        return INCOMING
    return CALL_BACK if not facts.crm_call and all(_entity_of(facts)) else OUTGOING


def _entity_of(facts: CallFacts) -> tuple[str, int]:
    """CRM_ENTITY_TYPE and CRM_ENTITY_ID, or empty ones: a call cannot be bound to anything else (a deal, say)."""
    kind, _colon, number = facts.crm_entity.partition(":")
    good = kind in ("CONTACT", "COMPANY", "LEAD") and number.isdecimal()
    return (kind, int(number)) if good else ("", 0)


def _push(method: str, call: str | Ref, users: Sequence[str]) -> Command:
    return Command(method, {"CALL_ID": call, "USER_ID": _ids(users)})


def digits(number: str) -> str:
    """The one spelling of a line's number: Bitrix24 compares it as text."""
    return "".join(filter(str.isdecimal, number))


def registered(job: Job, answers: Answers) -> Result:
    """The CALL_ID, who has the card, and what was created."""
    answer = answers["reg"]
    if isinstance(answer, OutboundError):
        return _dismissed(job, first_words(job)[0], answer)
    made = wire.parse(wire.Registered, answer)
    if not made.CALL_ID:
        return Temporary(_("Bitrix24 gave no CALL_ID"), code="no_call_id", fate_unknown=True)
    failed = isinstance(answers.get("show"), OutboundError)
    notes: dict[str, Any] = {"call": made.CALL_ID, "shown": [] if failed else first_watchers(job)}
    created = _created(made)
    if created:
        notes["created"] = created
    if entity := _entity(made.CRM_ENTITY_TYPE, made.CRM_ENTITY_ID):
        notes["entity"] = entity
    words: list[Said | str] = [f"{kind}:{number}" for kind, number in created]
    if made.LEAD_CREATION_ERROR:
        words.append(Said(_("Bitrix24 created nothing: %(words)s"), {"words": made.LEAD_CREATION_ERROR}))
    return Done(notes, tuple(words))


def _created(made: wire.Registered) -> list[list[Any]]:
    """What the call created: both fields are read, since what they hold in the simple mode is not documented."""
    entities = wire.rows(wire.Entity, made.CRM_CREATED_ENTITIES)
    found = [[e.ENTITY_TYPE.upper(), e.ENTITY_ID] for e in entities if e.ENTITY_TYPE and e.ENTITY_ID > 0]
    lead = ["LEAD", made.CRM_CREATED_LEAD]
    return found if made.CRM_CREATED_LEAD <= 0 or lead in found else [*found, lead]


def _entity(kind: str, number: int) -> str:
    return f"{kind}:{number}" if kind and number > 0 else ""


def _dismissed(job: Job, user: str, error: OutboundError) -> Result:
    """A dismissed employee is noted, so that the step comes again with the default responsible."""
    if error.code != failures.USER_NOT_ACTIVE or user == people.default(job):
        return error
    words = Said(_("Employee %(user)s is dismissed in Bitrix24"), {"user": user})
    return Done({"gone": [*job.progress.get("gone", ()), user], "first": None}, (words,))


# --- cards ------------------------------------------------------------------------------------------------------------


def cards(job: Job) -> Group:
    """Show the card to newcomers, hide it at the others: an array for each."""
    new, old = people.card_changes(job)
    group: dict[str, Command] = {}
    if new:
        group["show"] = _push(SHOW, people.call_id(job), new)
    if old:
        group["hide"] = _push(HIDE, people.call_id(job), old)
    return group


def cards_set(job: Job, answers: Answers) -> Result:
    """`false` (the call is unknown) is no error and is not asked again: `finish` will find out."""
    new, old = people.card_changes(job)
    error = next((each for each in answers.values() if isinstance(each, OutboundError)), None)
    if error and not isinstance(error, Rejected):
        return error
    shown = [user for user in [*people.shown(job), *new] if user not in old]
    return Done({"shown": shown}, (error.words,) if error else ())


# --- finish -----------------------------------------------------------------------------------------------------------


def finish(job: Job) -> Group:
    """The end, with everything that can go along: cards off, UTM tags, the recording's link."""
    facts, call, user = job.facts, people.call_id(job), people.responsible(job)
    others = [each for each in people.may_see(job) if each != user]
    group: dict[str, Command] = {}
    if others:
        # Before `finish`, which takes the card from its own USER_ID only and leaves nothing to hide it by.
        group["hide"] = _push(HIDE, call, others)
    group["fin"] = Command(
        FINISH,
        {
            "CALL_ID": call,
            "USER_ID": _id(user),
            "DURATION": facts.talk_seconds if facts.outcome == "answered" else 0,
            "STATUS_CODE": status_code(facts),
            # Always: the documents of different years disagree about the default.
            "ADD_TO_CHAT": int(bool(job.settings.get("post_call_message_to_chat"))),
        },
    )
    if utm := tags.command(job):
        group["utm"] = utm
    if facts.recording_url and recordings.filename(facts) and not job.progress.get("upload"):
        group["rec"] = recordings.attach(job)
    return group


def status_code(facts: CallFacts) -> str:
    """`finish`'s STATUS_CODE, a string: the telephony's SIP-like codes."""
    known = STATUS["out" if people.outgoing(facts) else "in"].get(facts.outcome)
    return known or ("OTHER" if people.outgoing(facts) else "304")


def finished(job: Job, answers: Answers) -> Result:
    """`finish` alone decides; what went along and failed is told, or comes again as a step of its own."""
    answer = answers["fin"]
    if isinstance(answer, OutboundError):
        return _dismissed(job, people.responsible(job), answer)
    made = wire.parse(wire.Finished, answer)
    notes: dict[str, Any] = after_finish(made)
    words: list[Said | str] = [str(value) for value in made.ERRORS.values() if value]
    if "utm" in answers:
        more, said = tags.outcome(answers["utm"])
        notes, words = notes | more, [*words, *said]
    if "rec" in answers:
        outcome = recordings.attached(job, answers["rec"])
        if isinstance(outcome, Done):
            notes, words = {**notes, **outcome.progress}, [*words, *outcome.words]
    elif job.facts.recording_url and not recordings.filename(job.facts):
        words.append(Said(_("Bitrix24 takes recordings in WAV and MP3 only")))
    return Done(notes, tuple(words))


def after_finish(made: wire.Finished) -> dict[str, Any]:
    """Notes of a call that is in the statistics."""
    notes: dict[str, Any] = {"finished": True, "shown": []}
    if made.CRM_ACTIVITY_ID > 0:
        notes["activity"] = made.CRM_ACTIVITY_ID
    if entity := _entity(made.CRM_ENTITY_TYPE, made.CRM_ENTITY_ID):
        notes["entity"] = entity
    return notes


# --- withdraw ---------------------------------------------------------------------------------------------------------


def withdraw(job: Job) -> Group:
    """Close what was opened for a part of another call.

    A card is hidden at everybody and not finished: only `finish` writes into the statistics (b24restdocs), where the
    call would stand twice. Of a call that is there already the activity is deleted; the statistics offer us nothing.
    """
    if not job.progress.get("finished"):
        seers = people.may_see(job)
        return {"hide": _push(HIDE, people.call_id(job), seers)} if seers else {}
    activity = job.progress.get("activity")
    return {"activity": entities.delete_activity(activity)} if activity else {}


def withdrawn(_job: Job, answers: Answers) -> Result:
    """`false` (the call is unknown) is no error, and what is deleted already is gone."""
    for answer in answers.values():
        if isinstance(answer, OutboundError) and not entities.is_gone(answer):
            return answer
    return Done({"withdrawn": True, "shown": [], "activity": 0})


# --- user -------------------------------------------------------------------------------------------------------------


def correct_user(job: Job) -> Group:
    """Who is responsible for what the call created, and for its activity. The statistics keep whom `finish` named."""
    user = _id(people.responsible(job))
    group = {
        kind: entities.update(kind, number, {"assignedById": user})
        for kind, number in job.progress.get("created", ())
        if kind in entities.TYPE_IDS
    }
    if activity := job.progress.get("activity"):
        group["activity"] = entities.update_activity(activity, {"RESPONSIBLE_ID": user})
    return group


def user_corrected(job: Job, answers: Answers) -> Result:
    """A refusal is told: what was changed by hand since, or deleted, is not asked for again."""
    errors = [each for each in answers.values() if isinstance(each, OutboundError)]
    passing = next((error for error in errors if not failures.refuses(error)), None)
    if passing:
        return passing
    words = Said(_("A late event told who had talked: user %(user)s is responsible"), {"user": people.responsible(job)})
    return Done(people.end_notes(job), (words, *(error.words for error in errors)))
