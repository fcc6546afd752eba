"""Clocks that are wrong: those of PBXs, and our own when somebody puts it back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from outbound.limits import CLOCKS_DIFFER

from .fold import LONGEST
from .providers.base import AT_RECEIPT, NO_TIME, Fact, Summary

AHEAD = timedelta(minutes=15)
BEHIND = timedelta(days=31)
"""An event cannot be further away from its receipt: PBXs tell what happens now, and repeat it for days at most."""


def made_possible(fact: Fact, clock: datetime) -> Fact:
    """The same fact, with the time of receipt where its own cannot be. `clock`: what the PBX's clock, as far as we know
    it, showed when the event came."""
    if fact.at == AT_RECEIPT:
        fact = replace(fact, at=clock)
    at = fact.at if -BEHIND < fact.at - clock < AHEAD else clock
    if isinstance(fact, Summary):
        return _summary(fact, at)
    return fact if at == fact.at else replace(fact, at=at)


def _summary(fact: Summary, at: datetime) -> Summary:
    """Its moments stay as far before its end as the vendor says, where that can be."""
    end = at if fact.at == NO_TIME else fact.at
    started = _before(fact.started_at, end, at)
    answered = _before(fact.answered_at, end, at) or (fact.answered_at and (started or at))
    made = replace(fact, at=at, started_at=started, answered_at=answered)
    talk = fact.talk_seconds
    if made != fact and answered:
        talk = round((at - answered).total_seconds())
    return replace(made, talk_seconds=talk if talk is None else min(max(talk, 0), LONGEST))


def _before(moment: datetime | None, end: datetime, at: datetime) -> datetime | None:
    if moment is None or end - moment > timedelta(seconds=LONGEST):
        return None
    return at - max(end - moment, timedelta(0))


def pull_back(rows: QuerySet[Any], name: str, most: timedelta) -> None:
    """What lies further ahead than it is ever put off was written before our clock was put back: it is due now."""
    now = timezone.now()
    rows.filter(**{f"{name}__gt": now + most + timedelta(seconds=CLOCKS_DIFFER)}).update(**{name: now})
