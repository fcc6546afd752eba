"""A call in a chain: `event` while it rings, `history` when it is over.

The service finds the client and decides whom to show the pop-up by the number (`diversion`) or the subscriber (`user`)
that the customer has put into Routing. The notes (`Job.progress`) that are kept for a call:

- `event` true; "unknown" when the answer was lost
- `history` true; `recording_url` the link that went with it, or ""
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_noop as _

from crm_adapters.base import (
    CallFacts,
    Done,
    Doubtful,
    Job,
    Participant,
    Priority,
    Repeat,
    Result,
    Said,
    Step,
    Trace,
    Work,
)
from outbound.errors import Rejected

from . import failures
from .chain import Chain

# An `event` has no id, so nobody can tell a repeated one from another call: it is shown at most once. `look` says so
# without asking anybody, and the call goes on to its history.
_EVENT = Step("event", Priority.POP_UP, Repeat.LOOK)
# What a second `history` with the same `call_id` does (another row, or the same one anew) is not documented, and the
# list of calls gives no `call_id` back: a person looks.
_HISTORY = Step("history", Priority.FINISH, Repeat.STOP)
_AGAIN = Step("record", Priority.RECORDING, Repeat.STOP)

ANNOUNCED_WITHIN = 60.0
"""Seconds for which an answered call waits for a recording that nobody has announced."""

HIDDEN, NO_NUMBER = "hidden_number", "no_virtual_number"


# --- plan -------------------------------------------------------------------------------------------------------------


def refuses(facts: CallFacts) -> str:
    """`phone` and `diversion` are required."""
    if not digits(facts.client_phone):
        return HIDDEN
    return "" if digits(facts.virtual_number) else NO_NUMBER


def plan(job: Job) -> Step | None:
    """The next step that the chain lacks."""
    facts = job.facts
    if refuses(facts):
        return None
    if facts.finished:
        return _plan_end(job)
    return _EVENT if _pops_up(job) else None


def _pops_up(job: Job) -> bool:
    """Pop-ups are shown for incoming calls alone, once, and as long as nobody has answered."""
    facts = job.facts
    if facts.direction != "in" or facts.state != "ringing" or not facts.live or "event" in job.progress:
        return False
    return not job.settings.get("send_user") or bool(_subscriber(facts))


def _plan_end(job: Job) -> Step | None:
    facts, notes = job.facts, job.progress
    if not notes.get("history"):
        return replace(_HISTORY, settle=_wait_for_recording(job))
    wants_it = facts.recording_url and facts.recording_url != notes.get("recording_url")
    return _AGAIN if wants_it and job.settings.get("resend_with_recording") else None


def _wait_for_recording(job: Job) -> float:
    """Seconds: a link cannot be added later, so `history` waits for it."""
    facts = job.facts
    if facts.outcome != "answered" or facts.recording_url:
        return 0.0
    longest = 60.0 * int(job.settings.get("recording_minutes") or 0)
    return longest if facts.recording_expected else min(longest, ANNOUNCED_WITHIN)


def foresee(job: Job, step: Step) -> dict[str, Any]:
    """The answers say nothing, so everything is known before."""
    if step.name == "event":
        return {"event": True}
    return {"history": True, "recording_url": job.facts.recording_url}


def traces(progress: Mapping[str, Any]) -> list[Trace]:
    """The service gives no id of what it saved, and deletes nothing for telephony."""
    return [Trace(_("The call in the list of calls"), "call", "")] if progress.get("history") else []


# --- perform ----------------------------------------------------------------------------------------------------------


def perform(chain: Chain, batch: Sequence[Work]) -> list[Result]:
    """Make the steps, a request for each. Raises what concerns all."""
    return [_make(chain, work) for work in batch]


def _make(chain: Chain, work: Work) -> Result:
    job = work.job
    try:
        if work.step.name == "event":
            chain.tell("event", "incoming", _numbers(job))
            return Done({"event": True})
        chain.tell("history", "incoming" if job.facts.direction == "in" else "outgoing", _end(job))
    except Rejected as error:
        return error
    return Done({"history": True, "recording_url": job.facts.recording_url})


def _numbers(job: Job) -> dict[str, Any]:
    """Digits alone, country code first: what stands in Routing is compared with them. `phone` is the client's in both
    directions."""
    facts = job.facts
    numbers = {"phone": digits(facts.client_phone), "diversion": digits(facts.virtual_number)}
    subscriber = _subscriber(facts) if job.settings.get("send_user") else ""
    return numbers | ({"user": subscriber} if subscriber else {})


def _end(job: Job) -> dict[str, Any]:
    """`success` and `missed` are the only documented values of `status`."""
    facts = job.facts
    answered = facts.outcome == "answered"
    end: dict[str, Any] = {**_numbers(job), "duration": facts.talk_seconds if answered else 0}
    if facts.recording_url:
        end["link"] = facts.recording_url
    return end | {
        "call_id": facts.id,
        "status": "success" if answered else "missed",
        "date": facts.started_at.isoformat(timespec="seconds"),
    }


def _subscriber(facts: CallFacts) -> str:
    """Who rings (the first of a group); afterwards who talked last, or who rang or dialled."""
    people = facts.participants
    talked = sorted((each for each in people if each.answered_at), key=_answered)
    ringing = [each for each in people if each.ringing]
    if not facts.finished:
        return ringing[0].extension if ringing else ""
    found = talked[-1:] or people[:1]
    return found[0].extension if found else ""


def _answered(person: Participant) -> Any:
    return person.answered_at


def digits(number: str) -> str:
    return "".join(each for each in number if each.isascii() and each.isdigit())


# --- look -------------------------------------------------------------------------------------------------------------


def look(batch: Sequence[Work]) -> list[Result]:
    """What is known of steps whose answer was lost: nothing more, and no request tells more."""
    return [_seen(work) for work in batch]


def _seen(work: Work) -> Result:
    if work.step.name == "event":
        words = Said(_("Nobody knows whether the pop-up was shown: the answer was lost, and it is not shown twice"))
        return Done({"event": "unknown"}, (words,))
    return Doubtful(_("the answer was lost, and nobody can tell whether the call was saved"), code=failures.LOST)
