"""Whom in Megaplan a call belongs to. It has one employee at a time; his card moves with the call."""

from __future__ import annotations

from collections.abc import Sequence

from crm_adapters.base import CallFacts, Job, Participant


def outgoing(facts: CallFacts) -> bool:
    """Whether an employee dialled."""
    return facts.direction == "out"


def default(job: Job) -> str:
    """«Ответственный по умолчанию»: for calls that had no employee."""
    return str(job.settings.get("default_responsible") or "")


def current(job: Job) -> str:
    """The employee whom the call in Megaplan has now; "" before it is there."""
    return str(job.progress.get("user", ""))


def stand_in(job: Job) -> str:
    """Under whose name calls of those who are not in Megaplan are kept; "" where they are not."""
    if not job.settings.get("keep_absent"):
        return ""
    return str(job.settings.get("absent_user") or "") or default(job)


def talkers(facts: CallFacts) -> list[Participant]:
    """Who talked with the client, in this order."""
    answered = [(p.answered_at, number, p) for number, p in enumerate(facts.participants) if p.answered_at]
    return [p for _at, _number, p in sorted(answered, key=lambda each: each[:2])]


def holder(job: Job) -> str:
    """Whose screen should have the card now; "" where nobody of Megaplan is in the call.

    Of a ringing group it is the first, as long as he rings. Once somebody talks who is not in Megaplan the card leaves
    the one it rang at for whoever keeps such calls.
    """
    facts = job.facts
    talking = [p for p in talkers(facts) if p.talking] or [p for p in facts.participants if p.talking]
    if mapped := _last_mapped(talking):
        return mapped
    if outgoing(facts):
        return _dialler(facts)
    if talking:
        return (stand_in(job) or default(job) or current(job)) if current(job) else ""
    ringing = [p.crm_user for p in facts.participants if p.ringing and p.crm_user]
    return current(job) if current(job) in ringing or not ringing else ringing[0]


def responsible(job: Job) -> str | None:
    """Whose call it was, once it is over; None: of somebody whose calls are not kept in Megaplan.

    Who talked last; who dialled; at a missed call who has its card, else the first that it rang at.
    """
    facts = job.facts
    if facts.outcome == "answered" and talkers(facts):
        people, found = talkers(facts), _last_mapped(talkers(facts))
    elif outgoing(facts):
        people, found = list(facts.participants[:1]), _dialler(facts)
    else:
        people = list(facts.participants)
        found = current(job) or next((p.crm_user for p in people if p.crm_user), "")
    if found:
        return found
    if not people:
        return default(job)
    return stand_in(job) or current(job) or None


def _last_mapped(people: Sequence[Participant]) -> str:
    return next((p.crm_user for p in reversed(people) if p.crm_user), "")


def _dialler(facts: CallFacts) -> str:
    """Who clicked in Megaplan, else the employee with whom the call began."""
    return facts.crm_user or (facts.participants[0].crm_user if facts.participants else "")
