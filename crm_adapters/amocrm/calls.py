"""A call in amoCRM, step by step.

amoCRM knows no living call: a notification while it rings, and one record when it is over. `notify` as often as others
begin to ring; then `call`, which finds the client by itself, or `note` where the settings choose the deal or contact
(`find`); for an unknown number `unsorted` (after `seek`) or `lead` with a `note`; then `task`, and whatever late events
correct: `user`, `update`, `utm`.

The notes (`Job.progress`) that are kept for a call:

- `notified` users who were notified; `notifying` those of the request under way
- `said` what a record under way says: `link`, `told` (see `people.told`), `user`; they stand beside it once it is made
- `client` whom `find` found, {} for nobody; `unknown` true when amoCRM knows nobody with this number
- `waiting` deal and contact of an unsorted entry of the same caller that waits already, [] for none
- `unsorted` uid of the entry that this call made; `created` deal and contact that it made
- `entity` where the call stands, `["leads", 5000001]`; `written` true; `note` the note's id, or "lost"
- `task` its id, or "refused"; `utm` "written" or "refused"
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import CallFacts, Job, NotMade, Priority, Repeat, Result, Step, Work
from outbound.errors import DeadlineExceeded, OutboundError, Rejected

from . import corrections, failures, notes, notices, people, tags, tasks, unknown
from .api import Account

RECORDING_WAIT = 60.0
"""Seconds for which a record waits for its recording: with it, it costs one request, without it up to three."""

# Each notification is an entry of its own in the users' centres, and nothing tells which were made: after a lost answer
# it is left out (`look` answers without a request) rather than shown twice.
_NOTIFY = Step("notify", Priority.POP_UP, Repeat.LOOK)
_NOTIFY_GROUP = replace(_NOTIFY, settle=0.15)  # one request for all whose phones begin to ring together
# `uniq` is not documented to keep amoCRM from a second record, and there is no list of calls; but a call is a note, and
# lists of notes are filtered by type and time (kommo.com/developers, "Notes list by the entity type") and hold `uniq`.
_CALL = Step("call", Priority.FINISH, Repeat.LOOK)
_NOTE = Step("note", Priority.FINISH, Repeat.LOOK)
# The list of unsorted entries holds `metadata` with `uniq` (or caller, time and service), the newest first.
_UNSORTED = Step("unsorted", Priority.FINISH, Repeat.LOOK)
# A deal has no key of ours: its contact is found by the phone, of which there was none before, and the deal is younger
# than the call.
_LEAD = Step("lead", Priority.FINISH, Repeat.LOOK)
# Tasks are listed by entity; text and deadline, which is counted from the call's end, tell ours.
_TASK = Step("task", Priority.RECORDING, Repeat.LOOK)
# These only read, or say the same once more.
_FIND = Step("find", Priority.FINISH, Repeat.KEY)
_SEEK = Step("seek", Priority.FINISH, Repeat.KEY)
_UPDATE = Step("update", Priority.RECORDING, Repeat.KEY)
_USER = Step("user", Priority.RECORDING, Repeat.KEY)
_UTM = Step("utm", Priority.RECORDING, Repeat.KEY)

HIDDEN = "hidden_number"


# --- plan -------------------------------------------------------------------------------------------------------------


def refuses(facts: CallFacts) -> str:
    """amoCRM finds clients by their numbers, and an unsorted entry needs one too."""
    return "" if facts.client_phone else HIDDEN


def plan(job: Job) -> Step | None:
    """The next step that amoCRM lacks."""
    facts = job.facts
    if not facts.client_phone:
        return None
    if not facts.finished:
        return _plan_notice(job)
    return _plan_rest(job) if job.progress.get("written") else _plan_record(job)


def _plan_notice(job: Job) -> Step | None:
    facts = job.facts
    if people.outgoing(facts) or not facts.live or not job.settings.get("notify_incoming", True):
        return None
    users = people.to_notify(job)
    if not users:
        return None
    return replace(_NOTIFY_GROUP if facts.gathering else _NOTIFY, keeps={"notifying": users})


def _plan_record(job: Job) -> Step | None:
    """The first of these steps waits for the recording: later it would cost requests of its own."""
    step = _next_of_record(job)
    facts = job.facts
    if step and facts.recording_expected and not facts.recording_url:
        return replace(step, settle=RECORDING_WAIT)
    return step


def _next_of_record(job: Job) -> Step | None:
    known = job.progress
    keeps = {"said": notes.said(job)}
    if known.get("entity"):
        return replace(_NOTE, keeps=keeps)
    if "client" not in known and (notes.chooses(job) or people.wants_manager(job)):
        return _FIND
    if not known.get("unknown"):
        return replace(_CALL, keeps=keeps)
    way = unknown.way(job)
    if way == unknown.LEAD:
        return replace(_LEAD, keeps=keeps)
    if way == unknown.UNSORTED and job.settings.get("unsorted_once", True) and known.get("waiting") is None:
        return _SEEK
    return replace(_UNSORTED, keeps=keeps) if way == unknown.UNSORTED else None


def _plan_rest(job: Job) -> Step | None:
    if tasks.missing(job):
        return _TASK
    if corrections.user_differs(job):
        return _USER
    if corrections.note_differs(job):
        return _UPDATE
    return _UTM if tags.missing(job) else None


def foresee(job: Job, step: Step) -> Mapping[str, Any] | None:
    """Whether it knows the client, only amoCRM says: what follows is another way then."""
    if step.name != "notify":
        return None
    return {"notified": [*job.progress.get("notified", ()), *people.to_notify(job)]}


# --- Kinds of steps ---------------------------------------------------------------------------------------------------

Run = Callable[[Account, Sequence[Work]], list[Result]]


def _alone(work: Work) -> Hashable:
    return work.job.facts.id


def _together(_work: Work) -> Hashable:
    return ""


def _by_entity(work: Work) -> Hashable:
    return (work.job.progress.get("entity") or [""])[0]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How steps of a name are made: those of one `part` share their requests."""

    perform: Run
    part: Callable[[Work], Hashable] = _together
    look: Run | None = None


# In this order: who made a client is done before others ask whether there is one.
_KINDS: Mapping[str, _Kind] = {
    "notify": _Kind(notices.notify, look=notices.look),
    "lead": _Kind(unknown.lead, look=unknown.look_for_lead),
    "unsorted": _Kind(unknown.unsorted, look=unknown.look_for_unsorted),
    "seek": _Kind(unknown.seek),
    "find": _Kind(notes.find, _alone),
    "call": _Kind(notes.call, look=notes.look_everywhere),
    "note": _Kind(notes.note, _by_entity, look=notes.look_at_entity),
    "task": _Kind(tasks.task, _by_entity, look=tasks.look),
    "user": _Kind(corrections.user),
    "update": _Kind(corrections.note, _by_entity),
    "utm": _Kind(tags.write),
}
_ORDER = list(_KINDS)


def perform(account: Account, batch: Sequence[Work]) -> list[Result]:
    """Make the steps: one request for all of a kind that belong together."""
    return _in_turn(account, batch, lambda name: _KINDS[name].perform)


def look(account: Account, batch: Sequence[Work]) -> list[Result]:
    """Find out what became of steps. Those that may simply be repeated are not looked for."""
    return _in_turn(account, batch, lambda name: _KINDS[name].look or _not_made)


def _not_made(_account: Account, works: Sequence[Work]) -> list[Result]:
    return [NotMade() for _work in works]


def _in_turn(account: Account, batch: Sequence[Work], run_of: Callable[[str], Run]) -> list[Result]:
    """The results of all parts of a batch. What hits one part of several is the result of its works, and what was not
    sent because of it says so; what hits the first with nothing done, or the only one, is raised."""
    began = time.monotonic()
    failed: OutboundError | None = None
    found: dict[int, Result] = {}
    parts = _parts(batch)
    for name, places in parts:
        if not failed and found and time.monotonic() - began > account.http.deadline:
            failed = DeadlineExceeded(_("no time is left"), code="deadline")
        if failed:
            found.update(dict.fromkeys(places, failed))
            continue
        try:
            found.update(zip(places, run_of(name)(account, [batch[place] for place in places]), strict=True))
        except OutboundError as error:
            if len(parts) == 1 or (not found and not error.fate_unknown and not isinstance(error, Rejected)):
                raise
            found.update(dict.fromkeys(places, error))
            failed = None if isinstance(error, Rejected) else failures.without_fate(error)
    return [found[place] for place in range(len(batch))]


def _parts(batch: Sequence[Work]) -> list[tuple[str, list[int]]]:
    parts: dict[tuple[str, Hashable], list[int]] = {}
    for place in sorted(range(len(batch)), key=lambda each: _ORDER.index(batch[each].step.name)):
        name = batch[place].step.name
        parts.setdefault((name, _KINDS[name].part(batch[place])), []).append(place)
    return [(name, places) for (name, _part), places in parts.items()]
