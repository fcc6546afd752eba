"""Whose call it is: Planfix's telephony API knows employees by their short numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_adapters.base import CallFacts, Job, Participant

RINGS, TALKS, LEFT = "rings", "talks", "left"


def outgoing(facts: CallFacts) -> bool:
    """Whether an employee dialled."""
    return facts.direction == "out"


def states(facts: CallFacts) -> dict[str, str]:
    """What each short number does now, in the order in which they came; somebody may have come twice."""
    found: dict[str, str] = {}
    for person in facts.participants:
        state = _state(person, facts)
        if person.extension and (state != LEFT or person.extension not in found):
            found[person.extension] = TALKS if TALKS in (state, found.get(person.extension)) else state
    return found


def _state(person: Participant, facts: CallFacts) -> str:
    if person.talking:
        return TALKS
    # Who dials has his share from the beginning; it is the client who rings.
    dials = outgoing(facts) and not facts.finished and not person.answered_at and not person.left_at
    return RINGS if person.ringing or dials else LEFT


def talkers(facts: CallFacts) -> list[Participant]:
    """Who talked with the client, in this order."""
    answered = [(p.answered_at, number, p) for number, p in enumerate(facts.participants) if p.answered_at]
    return [p for _at, _number, p in sorted(answered, key=lambda each: each[:2])]


def whose(job: Job, legs: dict[str, str]) -> str:
    """The short number that a finished call is told for, or "".

    An answered call is the last talker's: each `Success` makes an entry of its own, so there is only one. A missed one
    is the last's who rang, of an outgoing one who dialled. `legs`: what Planfix knows of each.
    """
    facts = job.facts
    called = [p.extension for p in facts.participants if p.extension]
    if outgoing(facts) and facts.outcome != "answered":
        return _first(called) or without_operator(job)
    if facts.outcome == "answered":
        talked = [p.extension for p in talkers(facts) if p.extension]
        return _last(talked or called) or without_operator(job)
    rang = [p.extension for p in _by_ring(facts) if p.extension]
    return _last([ext for ext in rang if legs.get(ext) == RINGS] or rang) or without_operator(job)


def without_operator(job: Job) -> str:
    """The short number of the settings for calls that nobody was rung for."""
    return str(job.settings.get("no_operator_extension") or "")


def _by_ring(facts: CallFacts) -> list[Participant]:
    rang = [(p.rang_at or facts.started_at, number, p) for number, p in enumerate(facts.participants)]
    return [p for _at, _number, p in sorted(rang, key=lambda each: each[:2])]


def responsible(job: Job) -> str:
    """The user of Planfix who took the call: by the settings the first or the last talker; "" for nobody mapped."""
    talked = [p.crm_user for p in talkers(job.facts) if p.crm_user]
    return _first(talked) if job.settings.get("responsible") == "first" else _last(talked)


def user(job: Job) -> str:
    """The user of Planfix whose call it is; "" when he is not mapped."""
    facts = job.facts
    if outgoing(facts) and facts.crm_user:
        return facts.crm_user
    talked = talkers(facts)
    if talked:
        return talked[-1].crm_user
    mapped = [p.crm_user for p in facts.participants if p.crm_user]
    return _first(mapped) if outgoing(facts) else ""


def digits(number: str) -> str:
    """A number as Planfix's examples have it: digits without a plus."""
    return "".join(filter(str.isdecimal, number))


def _first(found: Sequence[Any]) -> Any:
    return found[0] if found else ""


def _last(found: Sequence[Any]) -> Any:
    return found[-1] if found else ""
