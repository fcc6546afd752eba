"""Whom in Bitrix24 a call belongs to, and who should see its card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_adapters.base import CallFacts, Job, Participant


def call_id(job: Job) -> str:
    """CALL_ID as the notes know it, else the one that Bitrix24 gave a call it began itself."""
    return str(job.progress.get("call", job.facts.crm_call))


def outgoing(facts: CallFacts) -> bool:
    """Whether an employee dialled."""
    return facts.direction == "out"


def default(job: Job) -> str:
    """The default responsible of this direction."""
    side = "outgoing" if outgoing(job.facts) else "incoming"
    return str(job.settings.get(f"default_responsible_{side}") or "")


def or_default(job: Job, user: str) -> str:
    """`user`, unless there is none or Bitrix24 has called him dismissed."""
    return user if user and user not in job.progress.get("gone", ()) else default(job)


def dialler(facts: CallFacts) -> str:
    """The user who dialled: who clicked in the CRM, else the employee with whom the call began."""
    return facts.crm_user or (facts.participants[0].crm_user if facts.participants else "")


def owner(job: Job) -> str:
    """USER_ID of `register`: who dialled, or the first employee whom the call came to; not who rings at this moment.

    `finish` names who is responsible in the end.
    """
    facts, gone = job.facts, job.progress.get("gone", ())
    if outgoing(facts):
        return or_default(job, dialler(facts))
    return next((p.crm_user for p in facts.participants if p.crm_user and p.crm_user not in gone), default(job))


def watchers(job: Job) -> list[str] | None:
    """Whose screens should have the card now; None: leave it as it is (on hold, between two rings)."""
    facts = job.facts
    talking = [p for p in facts.participants if p.talking]
    if talking:
        seers = [*talking, *(p for p in facts.participants if p.ringing and not p.talking and _joins(p, talking))]
    else:
        seers = [p for p in facts.participants if p.ringing]
    if not seers:
        return None
    gone = job.progress.get("gone", ())
    users = list(dict.fromkeys(p.crm_user for p in seers if p.crm_user and p.crm_user not in gone))
    return None if outgoing(facts) and not users else users  # who dialled keeps his card


def _joins(ringing: Participant, talking: Sequence[Participant]) -> bool:
    """Whether somebody rings because the call is being passed on to him. The others of a group only stop late."""
    since = [p.answered_at for p in talking if p.answered_at]
    return bool(since and ringing.rang_at and ringing.rang_at >= min(since))


def shown(job: Job) -> list[str]:
    """Who has the card. Bitrix24 shows it itself to the user who clicked."""
    users = job.progress.get("shown")
    if users is None:
        users = [job.facts.crm_user] if job.facts.crm_call and job.facts.crm_user else []
    return list(users)


def may_see(job: Job) -> list[str]:
    """Everybody who may have the card: who is noted, and who was called at all.

    The second because an answer that was lost leaves cards that nobody noted; hiding what is not there is harmless.
    """
    called = [p.crm_user for p in job.facts.participants if p.crm_user]
    return list(dict.fromkeys([*shown(job), *called]))


def card_changes(job: Job) -> tuple[list[str], list[str]]:
    """Users to show the card to, and users to hide it at.

    Nothing is hidden before somebody answers: a ringing group stops one by one, each would cost a request, and the end
    hides the card anyway.
    """
    wanted = watchers(job)
    if wanted is None:
        return [], []
    there = shown(job)
    answered = any(p.talking or p.answered_at for p in job.facts.participants)
    return [user for user in wanted if user not in there], [u for u in there if answered and u not in wanted]


def responsible(job: Job) -> str:
    """USER_ID of `finish`: Bitrix24 makes him responsible for what this call created."""
    facts = job.facts
    if outgoing(facts):
        return or_default(job, dialler(facts))
    if facts.outcome != "answered":
        return default(job)
    talked = _talked(facts) or [p for p in facts.participants if p.talking] or list(facts.participants[:1])
    last = job.settings.get("assign_incoming_to") == "last"
    return or_default(job, talked[-1 if last else 0].crm_user if talked else "")


def _talked(facts: CallFacts) -> list[Participant]:
    """Who talked with the client, in this order."""
    answered = [(p.answered_at, number, p) for number, p in enumerate(facts.participants) if p.answered_at]
    return [p for _at, _number, p in sorted(answered, key=lambda each: each[:2])]


def end_notes(job: Job) -> dict[str, Any]:
    """Who is responsible when the call ends, and by whose talking."""
    return {"user": responsible(job), "talked": [p.extension for p in _talked(job.facts)]}


def user_differs(job: Job) -> bool:
    """Whether somebody else is responsible since a late event told who had talked.

    Nothing but such an event is a reason: what a person changed in the CRM afterwards, or in our settings, stays.
    """
    known = job.progress
    if "talked" not in known or not (known.get("activity") or known.get("created")):
        return False
    now = end_notes(job)
    return bool(known["talked"] != now["talked"] and known["user"] != now["user"])
