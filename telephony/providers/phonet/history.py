"""Phonet's history: one row for each uuid, with all that its events do not say.

By which moment of a call the vendor chooses the rows of a period it does not say, and a call that was handed on may lie
on both sides of an end: rows from around the period are asked for too, and those calls kept that began in it.
Source: the vendor's HTTPS API v4.1, as public clients quote it. Its filter by direction they understand in two ways: we
do without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field

from telephony.providers.base import NO_TIME, Direction, HistoryLeg, Outcome, Party, Place
from telephony.providers.values import EmptyObject, MaybeInteger, Model, Text

from .api import Api, items
from .wire import Epoch, LiveLeg, MaybeUuid, Side, Uuid, direction, sides

_PAGE = 50
_AROUND, _LONGEST = timedelta(hours=1), timedelta(days=1)
_ANSWERED, _NO_ANSWER, _BUSY = 0, 1, 4
_AUDIO = re.compile(r"/calls/([0-9A-Za-z-]+)/audio")
_NUMBER = re.compile(r"[0-9]{5,}")


class _Row(Model):
    uuid: Uuid
    parent: MaybeUuid = Field("", alias="parentUuid")
    ended_at: Epoch = Field(NO_TIME, alias="endAt")
    lg_direction: MaybeInteger = Field(None, alias="lgDirection")
    leg: Annotated[Side, EmptyObject] = Side()
    leg2: Annotated[Side, EmptyObject] = Side()
    other: Text = Field("", alias="otherLegNum")
    talk: MaybeInteger = Field(None, alias="billSecs")
    duration: MaybeInteger = None
    disposition: MaybeInteger = None
    audio: Text = Field("", alias="audioRecUrl")
    trunk: Text = ""

    @property
    def direction(self) -> Direction | None:
        return direction(self.lg_direction)

    @property
    def is_call(self) -> bool:
        return self.direction is not None and self.ended_at != NO_TIME

    @property
    def seconds(self) -> int:
        """How long somebody talked."""
        return max(0, self.talk or 0) if self.disposition == _ANSWERED else 0

    @property
    def began_at(self) -> datetime:
        return self.ended_at - timedelta(seconds=max(self.seconds, self.duration or 0))

    @property
    def answered_at(self) -> datetime | None:
        return self.ended_at - timedelta(seconds=self.seconds) if self.disposition == _ANSWERED else None

    @property
    def sides(self) -> tuple[Party, Party]:
        return sides(self.direction, self.leg, self.leg2, self.other)

    @property
    def line(self) -> str:
        """Written as `+380440000001` or as `o=380440000001;`."""
        number = _NUMBER.search(self.trunk)
        return f"+{number[0]}" if number else ""

    @property
    def recordings(self) -> tuple[str, ...]:
        """The link has the recording's id in it."""
        found = _AUDIO.search(self.audio)
        return (found[1],) if found else ()


_AnyLeg = _Row | LiveLeg


def legs(api: Api, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
    """All legs of the calls that began in the period."""
    now = datetime.now(UTC)
    rows = [row for row in _rows(api, since - _AROUND, max(until, min(until + _AROUND, now))) if row.is_call]
    live = _live(api) if any(row.ended_at > now - _LONGEST for row in rows) else []
    found: list[_AnyLeg] = [*live, *rows]
    known = {leg.uuid: leg for leg in found}
    for leg in known.values():
        first = _first(leg, known)
        if since <= first.began_at <= until:
            yield _past(leg, first) if isinstance(leg, _Row) else _present(leg, first)


def _live(api: Api) -> list[LiveLeg]:
    """Who was handed a client and still talks has no row yet: without him the call would look as if it were over."""
    return [leg for leg in items(api.get("rest/calls/active/v3"), LiveLeg) if leg.direction]


def _rows(api: Api, since: datetime, until: datetime) -> Iterator[_Row]:
    """Page by page; a page with nothing new is the last, whatever its length."""
    seen: set[str] = set()
    offset = 0
    while True:
        page = items(
            api.get(
                "rest/calls/company.api",
                timeFrom=_milliseconds(since),
                timeTo=_milliseconds(until),
                limit=str(_PAGE),
                offset=str(offset),
            ),
            _Row,
        )
        new = [row for row in page if row.uuid not in seen]
        yield from new
        seen |= {row.uuid for row in new}
        offset += len(page)
        if not new or len(page) < _PAGE:
            return


def _milliseconds(moment: datetime) -> str:
    return str(int(moment.timestamp()) * 1000)


def _first(leg: _AnyLeg, known: Mapping[str, _AnyLeg]) -> _AnyLeg:
    """The leg that the conversation began with, as far back as is known."""
    passed = set()
    while leg.parent in known and leg.uuid not in passed:
        passed.add(leg.uuid)
        leg = known[leg.parent]
    return leg


def _present(leg: LiveLeg, first: _AnyLeg) -> HistoryLeg:
    caller, callee = leg.sides
    return HistoryLeg(
        call=first.parent or first.uuid,
        direction=first.direction,
        caller=caller,
        callee=callee,
        virtual_number=leg.line,
        started_at=leg.began_at,
        answered_at=leg.bridged_at,
        ended_at=None,
        why=None,
        call_started_at=first.began_at,
    )


def _past(row: _Row, first: _AnyLeg) -> HistoryLeg:
    caller, callee = row.sides
    return HistoryLeg(
        call=first.parent or first.uuid,
        direction=first.direction,
        caller=caller,
        callee=callee,
        virtual_number=row.line,
        started_at=row.began_at,
        answered_at=row.answered_at,
        ended_at=row.ended_at,
        why=_outcome(row),
        recordings=row.recordings,
        call_started_at=first.began_at,
        talk_seconds=0 if _aside(row, first) else row.seconds,
    )


def _aside(row: _Row, first: _AnyLeg) -> bool:
    """Whether nobody talks with the client here: a menu does, or an employee with his colleague."""
    with_colleague = row.direction is Direction.INTERNAL and first.direction is not Direction.INTERNAL
    return with_colleague or row.leg.place is not Place.PERSON


def _outcome(row: _Row) -> Outcome:
    """2 is an overload, 3 an error while dialling."""
    nobody = Outcome.MISSED if row.direction is Direction.IN else Outcome.NO_ANSWER
    known = {_ANSWERED: Outcome.ANSWERED, _NO_ANSWER: nobody, _BUSY: Outcome.BUSY}
    return known.get(row.disposition, Outcome.FAILED) if row.disposition is not None else nobody
