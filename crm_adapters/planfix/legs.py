"""A call as Planfix's telephony API hears of it: events for each short number, one `callid` for all, in its order.

Notes (`Job.progress`) of this face:

- `legs` what Planfix knows of each short number: it rings, talks, or has left
- `doing` event, short number and status of the request that is under way; `link` the recording's that goes with it
- `known` whether Planfix knew the client before the call; only where it was asked
- `status` how the call has ended, as Planfix was told; `ext` for whom
- `record` the recording's link that Planfix was given
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from crm_adapters.base import CallFacts, Job

from . import people
from .people import LEFT, RINGS, TALKS

INCOMING, OUTGOING, ACCEPTED, COMPLETED = "INCOMING", "OUTGOING", "ACCEPTED", "COMPLETED"
SUCCESS, MISSED, CANCELLED = "Success", "Missed", "Cancelled"
_FAILED = {"busy": "Busy", "rejected": "Busy", "failed": "NotAvailable"}
"""Statuses of outgoing calls; what is not here is `NoAnswer`. (`NotAllowed` is for calls that the PBX forbids.)"""
UTM = "utm_"


class Event(NamedTuple):
    """One event for one short number; `status` where it is `COMPLETED`."""

    name: str
    ext: str
    status: str = ""

    @property
    def step(self) -> str:
        """The step that tells it."""
        if self.name == COMPLETED:
            return "leave" if self.status == CANCELLED else "finish"
        return "accept" if self.name == ACCEPTED else "ring"


def known(job: Job) -> dict[str, str]:
    """What Planfix knows of each short number."""
    return dict(job.progress.get("legs") or {})


def next_event(job: Job) -> Event | None:
    """The next event that Planfix lacks."""
    legs = known(job)
    if job.progress.get("status"):
        return None
    if job.facts.finished:
        return _ending(job, legs)
    return _living(job.facts, legs) if job.facts.live else None


def _living(facts: CallFacts, legs: Mapping[str, str]) -> Event | None:
    """Who picked up first; then who rings no more, before the next one of a hunt group; then who begins to ring.

    Who stops ringing last is not told while the call lives: the next event is either that another one rings, or the
    call's end, and then it was he who missed it. Who talked leaves when another one talks (a transfer).
    """
    now = people.states(facts)
    for ext, state in now.items():
        if state == TALKS and legs.get(ext) == RINGS:
            return Event(ACCEPTED, ext)
    others = {RINGS: any(state != LEFT for state in now.values()), TALKS: _another_talks(now, legs)}
    for ext in (ext for ext in legs if legs[ext] != LEFT):
        if now.get(ext, LEFT) == LEFT and others[legs[ext]]:
            return Event(COMPLETED, ext, CANCELLED)
    for ext, state in now.items():
        if state != LEFT and legs.get(ext, LEFT) == LEFT:
            return _begins(facts, ext)
    return None


def _another_talks(now: Mapping[str, str], legs: Mapping[str, str]) -> bool:
    return any(state == TALKS and legs.get(ext) == TALKS for ext, state in now.items())


def _begins(facts: CallFacts, ext: str) -> Event:
    return Event(OUTGOING if people.outgoing(facts) else INCOMING, ext)


def _ending(job: Job, legs: Mapping[str, str]) -> Event | None:
    """The rest of the documented order, for the one whose call it is: it begins, is accepted, is completed.

    All others have left before. A call that is seen first after its end is told for him alone: no order without a
    beginning is documented, and Planfix might not write what it has not heard the beginning of.
    """
    ext = people.whose(job, dict(legs))
    if not ext:
        return None
    state = legs.get(ext, LEFT)
    if state == LEFT:
        return _begins(job.facts, ext)
    if job.facts.outcome == "answered" and state == RINGS:
        return Event(ACCEPTED, ext)
    for other in legs:
        if other != ext and legs[other] != LEFT:
            return Event(COMPLETED, other, CANCELLED)
    return Event(COMPLETED, ext, final_status(job.facts))


def next_to_leave(job: Job) -> Event | None:
    """Whose window is still open, of a call that is not to be written."""
    if job.progress.get("status"):
        return None
    return next((Event(COMPLETED, ext, CANCELLED) for ext, state in known(job).items() if state != LEFT), None)


def final_status(facts: CallFacts) -> str:
    """`status` of the last event: an incoming call that nobody took is `Missed` however it ended."""
    if facts.outcome == "answered":
        return SUCCESS
    return _FAILED.get(facts.outcome, "NoAnswer") if people.outgoing(facts) else MISSED


def fields(job: Job, event: Event) -> dict[str, str]:
    """The parameters of an event. `data_…` go into String fields of the data tag that have the same names."""
    facts = job.facts
    told = {
        "type": "out" if people.outgoing(facts) else "in",
        "event": event.name,
        "phone": people.digits(facts.client_phone),
        "diversion": people.digits(facts.virtual_number),
        "ext": event.ext,
        "callid": facts.id,
    }
    if event.name == COMPLETED:
        told |= _end(job, event)
    return {name: value for name, value in told.items() if value}


def _end(job: Job, event: Event) -> dict[str, str]:
    facts, settings = job.facts, job.settings
    success = event.status == SUCCESS
    keeps = success and records(job)
    told = {
        "duration": str(facts.talk_seconds if success else 0),
        "is_recorded": str(int(keeps and bool(facts.recording_url or facts.recording_expected))),
        "status": event.status,
        "record_link": facts.recording_url if keeps else "",
    }
    if event.status == CANCELLED:
        return told
    if settings.get("use_call_tracking", True):
        told |= {f"data_{name}": value for name, value in facts.utm.items() if name.startswith(UTM)}
    if name := call_id_field(job):
        told[f"data_{name}"] = facts.id
    return told


def call_id_field(job: Job) -> str:
    """The String field of both data tags that the customer has added for the call's id; "" where he has not."""
    return str(job.settings.get("call_id_field") or "")


def records(job: Job) -> bool:
    """Whether Planfix itself is given the recording; else it goes where our settings say, by REST, and only there."""
    return job.settings.get("attach_to", "planfix") == "planfix"


def missing_record(job: Job) -> bool:
    """Whether Planfix lacks the recording, or has a link that is no longer the call's. (Planfix either copies the file
    or keeps the link, as it is set up there: both are served by a link that lives.)"""
    url = job.facts.recording_url
    notes = job.progress
    told = notes.get("status") == SUCCESS and not notes.get("attached")  # never by both doors
    return bool(url and told and (records(job) or notes.get("record")) and notes.get("record") != url)


def keeps(job: Job, event: Event) -> dict[str, Any]:
    """What a lost answer would have been to."""
    return {"doing": list(event), "link": fields(job, event).get("record_link", "")}


def told(job: Job, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Notes once an event (of `keeps`) was told, or is never to be told again."""
    event = Event(*kept["doing"])
    state = {COMPLETED: LEFT, ACCEPTED: TALKS}.get(event.name, RINGS)
    notes: dict[str, Any] = {"legs": {**known(job), event.ext: state}, "doing": None}
    if event.step == "finish":
        notes |= {"status": event.status, "ext": event.ext, "record": kept.get("link") or ""}
    return notes
