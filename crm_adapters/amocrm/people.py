"""Whom in amoCRM a call belongs to, who should see its card, and how an employee is named in the call's note."""

from __future__ import annotations

from typing import Any

from crm_adapters.base import CallFacts, Job, Participant


def outgoing(facts: CallFacts) -> bool:
    return facts.direction == "out"


def default(job: Job) -> str:
    """The default responsible of this direction."""
    side = "outgoing" if outgoing(job.facts) else "incoming"
    return str(job.settings.get(f"default_responsible_{side}") or "")


def talked(facts: CallFacts) -> list[Participant]:
    """Who talked with the client, in this order."""
    answered = [(p.answered_at, number, p) for number, p in enumerate(facts.participants) if p.answered_at]
    return [p for _at, _number, p in sorted(answered, key=lambda each: each[:2])]


def to_notify(job: Job) -> list[str]:
    """Users whose phones ring or who talk already, and who have not been told of this call."""
    told = job.progress.get("notified", ())
    now = [p.crm_user for p in job.facts.participants if p.crm_user and (p.ringing or p.talking)]
    return [user for user in dict.fromkeys(now) if user not in told]


def responsible(job: Job) -> str:
    """The user whose call it is: who dialled, who talked first or last, or the one that the settings name."""
    facts = job.facts
    if outgoing(facts):
        dialled = facts.participants[0].crm_user if facts.participants else ""
        return facts.crm_user or dialled or default(job)
    who = _who_talked(job)
    if who:
        return who.crm_user or default(job)
    manager = str((job.progress.get("client") or {}).get("manager", ""))
    return manager if manager and wants_manager(job) else default(job)


def wants_manager(job: Job) -> bool:
    """Whether this call goes to the client's manager: a missed one, where the settings say so."""
    missed = not outgoing(job.facts) and job.facts.outcome != "answered"
    return missed and job.settings.get("assign_missed_to") == "manager"


def _who_talked(job: Job) -> Participant | None:
    people = talked(job.facts) if job.facts.outcome == "answered" else []
    last = job.settings.get("assign_incoming_to") == "last"
    return people[-1 if last else 0] if people else None


def shown(job: Job) -> int | str:
    """`call_responsible`: a user's id, else the words that stand for an employee whom amoCRM does not know."""
    who = job.facts.participants[0] if outgoing(job.facts) and job.facts.participants else _who_talked(job)
    if who and not who.crm_user and not (outgoing(job.facts) and job.facts.crm_user):
        return who.name or who.extension
    return number(responsible(job))


def number(user: str) -> int | str:
    return int(user) if user.isdecimal() else user


def told(facts: CallFacts) -> list[Any]:
    """What a later event may correct in a call that is written already."""
    return [facts.outcome, facts.talk_seconds, [p.extension for p in talked(facts)]]
