"""A call in Planfix, step by step.

By the telephony API, to which we are a PBX: (ask) -> ring, accept, leave, as often as employees do -> finish -> record.
What it cannot do, and calls that nobody told it of, by REST: `written` has the steps. See `legs` and `written` for the
notes that are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import Done, Doubtful, Job, NotMade, Priority, Repeat, Result, Said, Step, Work
from outbound.errors import CredentialsRefused, OutboundError, RateLimited, Rejected
from outbound.http import Http

from . import address, entries, failures, legs, people, written
from .legs import Event
from .rest import Account
from .voip import Telephony

HIDDEN, NOBODY_RUNG = "hidden_number", "nobody_rung"

# Planfix documents no recognition of repetitions in its telephony API. So each event is told once at the most: of a
# lost one for a window nothing is said again (`look` leaves it out), of a lost end REST is asked for the entry, by the
# field that the customer has added for the call's id; without one a person decides.
_RING = Step("ring", Priority.POP_UP, Repeat.LOOK)
_ACCEPT = Step("accept", Priority.POP_UP, Repeat.LOOK)
_LEAVE = Step("leave", Priority.POP_UP, Repeat.LOOK)
_ASK = Step("ask", Priority.POP_UP, Repeat.KEY)  # reads
_DOOR = Step("door", Priority.FINISH, Repeat.KEY)  # decides, and asks nobody
_RECORD = Step("record", Priority.RECORDING, Repeat.STOP)  # nor is it said what a second `record` of a call does
_RECORD_SEEN = replace(_RECORD, repeat=Repeat.LOOK)  # the entry is found, and its comment has the recording or not
_EVENTS = {step.name: step for step in (_RING, _ACCEPT, _LEAVE)}


# --- plan -------------------------------------------------------------------------------------------------------------


def refuses(job: Job) -> str:
    """Every event needs a number, and one of the telephony API is some employee's: a call that ended before anybody was
    rung has none."""
    if not job.facts.client_phone:
        return HIDDEN
    lacks = job.facts.finished and job.settings.get("mode") != written.REST and not people.whose(job, {})
    return NOBODY_RUNG if lacks else ""


def plan(job: Job) -> Step | None:
    """The next step that Planfix lacks."""
    facts = job.facts
    if not facts.client_phone:
        return None
    if written.door(job) == written.REST:
        return written.plan(job) if facts.finished else None
    if _is_unseen(job):
        return _DOOR
    if event := legs.next_event(job):
        return _ASK if _asks(job) else _step(job, event)
    if not job.progress.get("status"):
        return None
    return _record(job) if legs.missing_record(job) else written.plan(job)


def _record(job: Job) -> Step:
    step = _RECORD_SEEN if legs.call_id_field(job) else _RECORD
    return replace(step, keeps={"link": job.facts.recording_url})


def _is_unseen(job: Job) -> bool:
    """Whether the call is over and Planfix has heard nothing of it, though there was something to be told."""
    facts = job.facts
    told_late = facts.backfilled or any(person.extension for person in facts.participants)
    return facts.finished and told_late and not legs.known(job) and not written.door(job)


def _asks(job: Job) -> bool:
    """Whether the client is known must be asked before Planfix hears of the call and makes a contact of him."""
    wants = job.settings.get("responsible") in ("first", "last")
    return wants and not legs.known(job) and "known" not in job.progress


def _step(job: Job, event: Event) -> Step:
    keeps = legs.keeps(job, event)
    if event.step == "finish":
        repeat = Repeat.LOOK if legs.call_id_field(job) else Repeat.STOP
        return Step("finish", Priority.FINISH, repeat, keeps=keeps)
    step = _EVENTS[event.step]
    priority = Priority.FINISH if job.facts.finished else step.priority
    return Step(step.name, priority, step.repeat, keeps=keeps)


def withdraw(job: Job) -> Step | None:
    """The windows of a part of another call are closed with the status that writes nothing."""
    event = legs.next_to_leave(job)
    return _step(job, event) if event else None


def foresee(job: Job, step: Step) -> Mapping[str, Any] | None:
    """What the telephony API is told is known before; whom Planfix knows, and what it made, is not."""
    if step.name in ("ring", "accept", "leave", "finish"):
        return legs.told(job, step.keeps)
    return {"record": job.facts.recording_url} if step.name == "record" else None


# --- perform ----------------------------------------------------------------------------------------------------------


def perform(http: Http, secrets: Mapping[str, str], work: Work) -> Result:
    """Make a step. Raises what concerns the account; an error of this step alone is returned."""
    job, name = work.job, work.step.name
    if name == "door":
        return written.choose_door(job, has_token=bool(secrets.get("rest_token")))
    if name in written.STEPS:
        return _by_rest(http, secrets, job, name)
    try:
        return _by_telephony(Telephony.of(http, secrets), work)
    except Rejected as error:
        return error


def _by_telephony(telephony: Telephony, work: Work) -> Result:
    job, name = work.job, work.step.name
    if name == "ask":
        told = telephony.contact(people.digits(job.facts.client_phone), job.facts.id)
        return Done({"known": bool(told.get("contact_name"))})
    if name == "record":
        telephony.record(job.facts.id, job.facts.recording_url)
        return Done({"record": job.facts.recording_url})
    event = Event(*work.step.keeps["doing"])
    telephony.event(legs.fields(job, event))
    return Done(legs.told(job, work.step.keeps))


def _by_rest(http: Http, secrets: Mapping[str, str], job: Job, name: str) -> Result:
    try:
        return written.STEPS[name](Account.of(http, secrets), job)
    except OutboundError as error:
        return _of(error, secrets)


def _of(error: OutboundError, secrets: Mapping[str, str]) -> OutboundError:
    """Trouble of REST stops an account only where nothing but REST speaks to it: the windows of others do not wait."""
    if not address.has_voip(secrets) and isinstance(error, CredentialsRefused | RateLimited):
        raise error
    return failures.of_one_call(error)


# --- look -------------------------------------------------------------------------------------------------------------


def look(http: Http, secrets: Mapping[str, str], work: Work) -> Result:
    """What became of a step whose answer was lost."""
    job, name = work.job, work.step.name
    try:
        if name == "finish":
            return _ended(Account.of(http, secrets), job)
        if name == "record":
            return _recorded(Account.of(http, secrets), job)
        if name in written.LOOKS:
            return written.LOOKS[name](Account.of(http, secrets), job)
    except OutboundError as error:
        return _of(error, secrets)
    if name in _EVENTS and job.progress.get("doing"):
        return Done(legs.told(job, job.progress), (Said(_("The answer was lost: it is not told a second time")),))
    return NotMade()  # it changes nothing that a repetition could double


def _ended(account: Account, job: Job) -> Result:
    found = entries.find(account, job)
    if found is None or not job.progress.get("doing"):
        return NotMade()
    return Done(legs.told(job, job.progress) | ({"contact": found.contact} if found.contact else {}))


def _recorded(account: Account, job: Job) -> Result:
    """Whether the entry's comment has a recording. Of one that replaces another nobody can tell which of them it is."""
    found = entries.find(account, job)
    if found is None or not found.comment or job.progress.get("record"):
        return Doubtful(_("the answer was lost, and Planfix cannot tell"), code=failures.DOUBT)
    files = account.get(f"comment/{found.comment}", "id,files").get("comment")
    has = bool(isinstance(files, dict) and files.get("files"))
    return Done({"record": job.progress.get("link") or job.facts.recording_url}) if has else NotMade()
