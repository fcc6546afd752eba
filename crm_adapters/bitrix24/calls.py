"""A call in Bitrix24, step by step.

register -> cards (as often as others should see it) -> finish -> record and utm, where they did not go with finish, and
user, where a late event says that somebody else had talked.

Bitrix24 keys everything by the CALL_ID that `register` gives. `finish` destroys the live call; from then on only the
statistics know it. The notes (`Job.progress`) that are kept for a call:

- `first` USER_ID and CALL_START_DATE of the first `register`, which a repetition says again
- `call` CALL_ID; "" when Bitrix24 has lost it and it must be registered again
- `shown` users who have the card on their screens
- `created` what this call created in the CRM, `[["LEAD", 3465]]`; `entity` what it is bound to, `CONTACT:651`
- `gone` users whom Bitrix24 calls dismissed
- `again` how often a call that should be finished was not in the statistics
- `finished` true; `activity` id of the CRM's activity
- `user` USER_ID of `finish`; `talked` extensions of who had talked, as far as was known then
- `utm` "later" when the tags are still to be written
- `withdrawn` true once a part of another call is closed
- `upload` true when Bitrix24 cannot fetch the recording's link; `record` the file's id, or "refused"
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import TO_COME, CallFacts, Done, Job, NotMade, Priority, Repeat, Result, Said, Step, Work
from outbound.errors import CredentialsRefused, DeadlineExceeded, OutboundError, Rejected, TokenExpired

from . import failures, people, recordings, steps, tags, wire
from .rest import Answers, Command, Group, Portal

STATISTICS = "voximplant.statistic.get"
MAX_AGAIN = 3

# Repeating `register` is harmless for 30 minutes: EXTERNAL_CALL_ID gives the same CALL_ID. A call that is written later
# than that may already be in the statistics (our notes came from a backup, say): look there first.
_REGISTER_LIVE = Step("register", Priority.POP_UP, Repeat.KEY)
_REGISTER_GROUP = replace(_REGISTER_LIVE, settle=0.15)  # one request for all whose phones begin to ring together
_REGISTER_LATE = Step("register", Priority.FINISH, Repeat.LOOK)
_CARDS = Step("cards", Priority.POP_UP, Repeat.KEY)
_CARDS_GROUP = replace(_CARDS, settle=0.15)
_FINISH = Step("finish", Priority.FINISH, Repeat.LOOK)
_RECORD = Step("record", Priority.RECORDING, Repeat.KEY)  # attaching again replaces the file
_UTM = Step("utm", Priority.RECORDING, Repeat.KEY)  # the same tags once more
_USER = Step("user", Priority.RECORDING, Repeat.KEY)  # the same person once more
_WITHDRAW = Step("withdraw", Priority.POP_UP, Repeat.KEY)  # what is hidden or deleted stays so

HIDDEN = "hidden_number"


# --- plan -------------------------------------------------------------------------------------------------------------


def refuses(facts: CallFacts) -> str:
    """Bitrix24 registers no anonymous caller ("Unsupported phone number format")."""
    return "" if facts.client_phone else HIDDEN


def plan(job: Job) -> Step | None:
    """The next step that Bitrix24 lacks."""
    facts, notes = job.facts, job.progress
    if not facts.client_phone:
        return None
    if not people.call_id(job):
        step = _plan_register(facts)
        return replace(step, keeps={"first": steps.first_words(job)}) if step else None
    if notes.get("finished"):
        return _plan_rest(job)
    if facts.finished:
        return replace(_FINISH, keeps=people.end_notes(job))
    if not facts.live or not any(people.card_changes(job)):
        return None
    return _CARDS_GROUP if facts.gathering else _CARDS


def _plan_register(facts: CallFacts) -> Step | None:
    if not (facts.finished or _has_begun(facts)):
        return None
    if facts.finished or not facts.live:
        return _REGISTER_LATE
    return _REGISTER_GROUP if facts.gathering else _REGISTER_LIVE


def _has_begun(facts: CallFacts) -> bool:
    """Somebody rings or talks. At an outgoing call it is the client who rings: an employee is enough."""
    if facts.direction == "out":
        return bool(facts.participants)
    return any(p.ringing or p.talking for p in facts.participants)


def _plan_rest(job: Job) -> Step | None:
    facts, notes = job.facts, job.progress
    if not facts.finished:
        return None
    if people.user_differs(job):
        return _USER
    if recordings.missing(job):
        return _RECORD
    return _UTM if notes.get("utm") == "later" and tags.command(job) else None


def withdraw(job: Job, doubtful: str) -> Step | None:
    """Of a card that may have been opened the CALL_ID is asked for first: registering once more tells it."""
    if doubtful == "register" and not people.call_id(job):
        return _REGISTER_LIVE
    return _WITHDRAW if people.call_id(job) and not job.progress.get("withdrawn") else None


def foresee(job: Job, step: Step) -> Mapping[str, Any] | None:
    """What it creates, and binds the call to, only Bitrix24 knows."""
    if step.name == "register":
        return {"call": TO_COME, "shown": steps.first_watchers(job)}
    if step.name == "cards":
        new, old = people.card_changes(job)
        return {"shown": [user for user in [*people.shown(job), *new] if user not in old]}
    if step.name == "finish":
        sent = {"record": TO_COME} if job.facts.recording_url else {}
        return {"finished": True, "shown": [], **sent}
    return {"record": TO_COME, "recorded": job.facts.recording_name} if step.name == "record" else None


# --- perform ----------------------------------------------------------------------------------------------------------

_STEPS: Mapping[str, tuple[Callable[[Job], Group], Callable[[Job, Answers], Result]]] = {
    "register": (steps.register, steps.registered),
    "cards": (steps.cards, steps.cards_set),
    "finish": (steps.finish, steps.finished),
    "user": (steps.correct_user, steps.user_corrected),
    "record": (recordings.record, recordings.recorded),
    "utm": (tags.write, tags.written),
    "withdraw": (steps.withdraw, steps.withdrawn),
}


def _uploads(work: Work) -> bool:
    return work.step.name == "record" and bool(work.job.progress.get("upload"))


def perform(portal: Portal, batch: Sequence[Work]) -> list[Result]:
    """Make the steps: one request for all of them (two where a batch would get too slow), uploads one by one."""
    began = time.monotonic()
    groups = [{} if _uploads(work) else _STEPS[work.step.name][0](work.job) for work in batch]
    answers = portal.run(groups)
    return [_result(portal, began, *each) for each in zip(batch, groups, answers, strict=True)]


def _result(portal: Portal, began: float, work: Work, group: Group, answers: Answers) -> Result:
    if not _uploads(work):
        return _STEPS[work.step.name][1](work.job, answers) if group else Done({})
    if time.monotonic() - began > portal.http.deadline:
        return DeadlineExceeded(_("other recordings took the time"), code="deadline")
    return recordings.upload(portal, work.job)


# --- look -------------------------------------------------------------------------------------------------------------


def look(portal: Portal, batch: Sequence[Work]) -> list[Result]:
    """Ask the statistics, which know finished calls only, by CALL_ID and by our own key.

    The steps that repeating cannot harm are not looked for.
    """
    answers = portal.run([_look_for(work) for work in batch])
    return [_seen(work, each) if each else NotMade() for work, each in zip(batch, answers, strict=True)]


def _look_for(work: Work) -> Group:
    job = work.job
    if work.step.name not in ("register", "finish"):
        return {}
    group = {"ext": Command(STATISTICS, {"FILTER": {"EXTERNAL_CALL_ID": job.facts.id}})}
    if call := people.call_id(job):
        group["sta"] = Command(STATISTICS, {"FILTER": {"CALL_ID": call}})
    return group


def _seen(work: Work, answers: Answers) -> Result:
    job = work.job
    for answer in answers.values():
        if isinstance(answer, CredentialsRefused) and not isinstance(answer, TokenExpired):
            # The statistics are closed to the application's user; everything else may work.
            return Rejected(answer.words, code=answer.code, fate_unknown=True)
        if isinstance(answer, OutboundError):
            return answer
    rows = [row for answer in answers.values() for row in wire.rows(wire.Finished, answer)]
    found = next((row for row in rows if _is_ours(row, job)), None)  # a portal may ignore a filter it does not know
    if found:
        return Done({"call": found.CALL_ID} | steps.after_finish(found) | _utm_left(job))
    return _lost(job) if work.step.name == "finish" else NotMade()


def _is_ours(row: wire.Finished, job: Job) -> bool:
    return bool(row.CALL_ID) and (people.call_id(job) == row.CALL_ID or job.facts.id == row.EXTERNAL_CALL_ID)


def _utm_left(job: Job) -> dict[str, str]:
    """The tags may have been written with the lost answer; writing them twice is harmless."""
    return {"utm": "later"} if tags.command(job) else {}


def _lost(job: Job) -> Result:
    """Not in the statistics. The first time, `finish` is repeated: it may never have arrived, or Bitrix24 may still be
    writing. When it is not there then either, the live call is gone too, and is registered anew."""
    again = int(job.progress.get("again", 0)) + 1
    if again > MAX_AGAIN:
        return Rejected(_("Bitrix24 loses this call again and again"), code=failures.CALL_NOT_FOUND)
    if again == 1:
        return Done({"again": again})
    words = Said(_("Bitrix24 does not know the call; it is registered again"))
    return Done({"again": again, "call": "", "shown": []}, (words,))
