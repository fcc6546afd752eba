"""UniTalk's history: one row for each call, without an id.

Source: public clients. What `to` holds of an answered incoming call is not documented: the events name those who took
it, so the last of them stands for the whole conversation.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from typing import Annotated

from telephony.providers.base import NO_TIME, Direction, HistoryLeg, Outcome, Party
from telephony.providers.values import EmptyList, Model, local

from .api import Api
from .calls import Call

_PAGE = 1000


class _Page(Model):
    calls: Annotated[list[Call], EmptyList]


def legs(api: Api, since: datetime, until: datetime, zone: tzinfo) -> Iterator[HistoryLeg]:
    """All legs of the calls that began in the period. The newest come first, so a call that is saved meanwhile moves
    the others on to the next page: what was read before is left out there."""
    read: set[Call] = set()
    offset = 0
    while True:
        rows = _page(api, since.astimezone(zone), until.astimezone(zone), offset)
        for call in rows:
            if call not in read:
                yield from _legs(call, zone)
        read.update(rows)
        offset += len(rows)
        if len(rows) < _PAGE:
            return


def _page(api: Api, since: datetime, until: datetime, offset: int) -> list[Call]:
    question = {
        "dateFrom": f"{since:%Y-%m-%d %H:%M:%S}",
        "dateTo": f"{until:%Y-%m-%d %H:%M:%S}",
        "limit": _PAGE,
        "offset": offset,
    }
    return api.ask("history/get", question, _Page).calls


def _legs(call: Call, zone: tzinfo) -> Iterator[HistoryLeg]:
    """Nothing of a call that was answered by nobody we can name: without an employee it would count as missed."""
    began = local(call.date, zone)
    if began == NO_TIME or call.direction is None:
        return
    caller, called = _sides(call)
    ended = began + timedelta(seconds=max(call.full_seconds or 0, call.talked)) if call.over else None
    answered = ended - timedelta(seconds=call.talked) if ended and call.outcome is Outcome.ANSWERED else None
    if answered and not (caller.extension or called[-1].extension):
        return
    for place, party in enumerate(called, 1):
        last = place == len(called)
        yield HistoryLeg(
            call=call.mark,
            direction=call.direction,
            caller=caller,
            callee=party,
            virtual_number=call.outer_number,
            started_at=began,
            answered_at=answered if last else None,
            ended_at=ended if last else answered or ended,
            why=call.outcome if ended and (last or not answered) else None,
            recordings=call.recordings if last else (),
        )


def _sides(call: Call) -> tuple[Party, list[Party]]:
    """Who called, and each who was called."""
    lines = [Party(extension=line) for line in call.lines] or [Party()]
    if call.direction is Direction.IN:
        return Party(number=call.client), lines
    internal = call.direction is Direction.INTERNAL
    return Party(extension=call.dialler), lines[:1] if internal else [Party(number=call.client)]
